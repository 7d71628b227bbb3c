/* call_check.c - calls that templates write, tried from a script: each line of standard input is
 * {"template": ..., "prompt": ..., "tools": [{"name", "parameters"}], "text": ...}; each line of
 * standard output names the syntax, says how much of the text its grammar takes (-1: it may not end
 * there), and what is told of it; "same": however the text comes. */
#include "api/tools/grammar.h"
#include "api/tools/reader.h"
#include "grammar/matcher.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16, CALLS = 32 };

struct answer {
    char text[ROOM], thought[ROOM], arguments[CALLS][ROOM / 4];
    const char *names[CALLS];
    size_t n_calls, n_complete;
};

static void append(char *out, size_t room, const struct tool_event *e)
{
    size_t n = strlen(out);
    if (n + e->n < room)
        memcpy(out + n, e->bytes, e->n);
}

static void read_answer(struct answer *out, const struct tool_set *set,
                        const struct reasoning *reasoning, const char *text, size_t step)
{
    struct tool_reader r;
    struct tool_event e;
    const size_t n = strlen(text);
    memset(out, 0, sizeof *out);
    tool_reader_begin(&r, set, reasoning);
    for (size_t at = 0;; at += step) {
        bool finished = at >= n;
        while (tool_reader_next(&r, text, finished ? n : at, finished, &e)) {
            if (e.kind == TOOL_TEXT)
                append(out->text, ROOM, &e);
            else if (e.kind == TOOL_THOUGHT)
                append(out->thought, ROOM, &e);
            else if (e.kind == TOOL_CALL && out->n_calls < CALLS)
                out->names[out->n_calls++] = e.tool->name;
            else if (e.kind == TOOL_ARGUMENTS)
                append(out->arguments[e.index], ROOM / 4, &e);
            else
                out->n_complete++;
        }
        if (finished)
            break;
    }
}

/* Bytes that the grammar takes; -1: all, and the text may not end there. */
static int taken(const struct tool_set *set, const struct reasoning *reasoning, const char *text)
{
    struct grammar_builder *b;
    struct automaton *a = NULL;
    struct matcher *m = NULL;
    struct error err;
    int n = 0;
    if (expr_builder_create(&b, &grammar_limits_default, &err) != STATUS_OK)
        return 0;
    enum tool_thought thought = reasoning->tags == NULL                ? THOUGHT_NONE
                                : reasoning->stage == REASONING_INSIDE ? THOUGHT_UNDER_WAY
                                                                       : THOUGHT_MAY_COME;
    uint32_t root = rule_declare(b, "root", 4);
    rule_define(b, root, tool_grammar(b, set, NULL, thought, reasoning->tags));
    if (automaton_build(&a, b, root, &grammar_limits_default, 64, &err) == STATUS_OK &&
        matcher_create(&m, a, &err) == STATUS_OK) {
        while (text[n] != '\0' && matcher_take(m, text + n, 1))
            n++;
        if (text[n] == '\0' && !matcher_may_end(m))
            n = -1;
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    matcher_destroy(m);
    automaton_destroy(a);
    expr_builder_destroy(b);
    return n;
}

static void check_line(const struct cJSON *line)
{
    static struct answer whole, other;
    const char *template = cJSON_GetObjectItem(line, "template")->valuestring;
    const char *prompt = cJSON_GetObjectItem(line, "prompt")->valuestring;
    const char *text = cJSON_GetObjectItem(line, "text")->valuestring;
    struct tool_set set = {
        .family = tool_family_find(template), .choice = TOOLS_AUTO, .parallel = true};
    struct reasoning reasoning;
    struct error err;
    const struct cJSON *tool;
    reasoning_begin(&reasoning, reasoning_find(template), prompt, strlen(prompt));
    cJSON_ArrayForEach(tool, cJSON_GetObjectItem(line, "tools"))
        tool_set_add(&set, "tools", cJSON_GetObjectItem(tool, "name"),
                     cJSON_GetObjectItem(tool, "parameters"), &err);
    read_answer(&whole, &set, &reasoning, text, strlen(text) + 1);
    bool same = true;
    for (size_t step = 1; step < 8; step++) {
        read_answer(&other, &set, &reasoning, text, step);
        same &= memcmp(&whole, &other, sizeof whole) == 0;
    }
    struct cJSON *out = cJSON_CreateObject(), *calls = cJSON_CreateArray();
    cJSON_AddStringToObject(out, "family", set.family->name);
    cJSON_AddNumberToObject(out, "taken", taken(&set, &reasoning, text));
    cJSON_AddStringToObject(out, "text", whole.text);
    cJSON_AddStringToObject(out, "thought", whole.thought);
    cJSON_AddBoolToObject(out, "same", same);
    for (size_t i = 0; i < whole.n_calls; i++) {
        struct cJSON *call = cJSON_CreateObject();
        cJSON_AddStringToObject(call, "name", whole.names[i]);
        cJSON_AddStringToObject(call, "arguments", whole.arguments[i]);
        cJSON_AddItemToArray(calls, call);
    }
    cJSON_AddItemToObject(out, "calls", calls);
    char *printed = cJSON_PrintUnformatted(out);
    puts(printed);
    free(printed);
    cJSON_Delete(out);
    tool_set_free(&set);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        struct cJSON *parsed = cJSON_Parse(line);
        if (parsed == NULL)
            return 1;
        check_line(parsed);
        cJSON_Delete(parsed);
    }
    free(line);
    return 0;
}
