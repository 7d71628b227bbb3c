/* tool_calls.h - what tests of tools share: sets of tools, and answers as they are told. */
#pragma once

#include "api/tools/reader.h"

#include <check.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* Tools as OpenAI's chats name them. */
static inline struct tool_set tools_of(const char *family, const char *json)
{
    struct tool_set set = {
        .family = tool_family_named(family), .choice = TOOLS_AUTO, .parallel = true};
    struct cJSON *list = cJSON_Parse(json);
    struct error err;
    ck_assert_msg(set.family != NULL, "no family %s", family);
    ck_assert_ptr_nonnull(list);
    for (const struct cJSON *one = list->child; one != NULL; one = one->next) {
        enum status status =
            tool_set_add(&set, "tools", cJSON_GetObjectItemCaseSensitive(one, "name"),
                         cJSON_GetObjectItemCaseSensitive(one, "parameters"), &err);
        ck_assert_msg(status == STATUS_OK, "%s", err.text);
    }
    cJSON_Delete(list);
    return set;
}

struct told_answer { /* "?" reasoning, "T" text, "C" a call's name, "A" arguments, "." their end */
    char text[8192];
    size_t n;
    char last; /* kind of what was told last */
};

static inline void note(struct told_answer *told, char kind, const char *bytes, size_t n)
{
    if (kind != told->last || kind == 'C' || kind == '.')
        told->text[told->n++] = kind;
    ck_assert_uint_lt(told->n + n + 2, sizeof told->text);
    if (n > 0)
        memcpy(told->text + told->n, bytes, n);
    told->n += n;
    told->text[told->n] = '\0';
    told->last = kind;
}

static inline void note_event(struct told_answer *told, const struct tool_event *e)
{
    static const char kinds[] = {[TOOL_THOUGHT] = '?',
                                 [TOOL_TEXT] = 'T',
                                 [TOOL_CALL] = 'C',
                                 [TOOL_ARGUMENTS] = 'A',
                                 [TOOL_CALL_END] = '.'};
    if (e->kind == TOOL_CALL)
        note(told, 'C', e->tool->name, e->tool->n_name);
    else
        note(told, kinds[e->kind], e->bytes, e->kind == TOOL_CALL_END ? 0 : e->n);
}

/* What is told of a text that grows by so many bytes. */
static inline struct told_answer tell_answer_by(const struct tool_set *set,
                                                const struct reasoning *reasoning, const char *text,
                                                size_t first, size_t step)
{
    struct told_answer told = {.n = 0};
    struct tool_reader r;
    struct tool_event e;
    size_t n = strlen(text);
    tool_reader_begin(&r, set, reasoning);
    for (size_t at = first; at < n; at += step)
        while (tool_reader_next(&r, text, at, false, &e))
            note_event(&told, &e);
    while (tool_reader_next(&r, text, n, true, &e))
        note_event(&told, &e);
    return told;
}
