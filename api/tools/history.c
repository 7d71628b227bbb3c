/* history.c - see history.h. */
#include "api/tools/history.h"

#include <cjson/cJSON.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char before_tools[] =
    "You may call tools to help with the user's request. These are the tools, one a line, as JSON "
    "with a JSON Schema of their parameters:\n<tools>\n";
static const char after_tools[] =
    "</tools>\nTo call one, answer with its name and arguments as JSON between <tool_call> and "
    "</tool_call>:\n<tool_call>\n{\"name\": \"NAME\", \"arguments\": {...}}\n</tool_call>\nYou are "
    "then given its result. Otherwise answer the user.";

struct message { /* members of it, as they stand */
    struct json_span role, content, calls;
};

static bool is_name(struct json_span name, const char *text)
{
    return name.n == strlen(text) && memcmp(name.at, text, name.n) == 0;
}

static struct json_span member(struct json_span object, const char *wanted)
{
    struct json_span name, value;
    for (size_t at = 0; json_next_member(object.at, object.n, &at, &name, &value);)
        if (is_name(name, wanted))
            return value;
    return (struct json_span){NULL, 0};
}

static bool is_string(struct json_span value)
{
    return value.n > 1 && value.at[0] == '"';
}

static void put(struct json_writer *w, const char *bytes, size_t n)
{
    if (n == 0)
        return;
    assert(bytes != NULL);
    if (w->full || w->room - w->n < n) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->n, bytes, n);
    w->n += n;
}

/* Text inside a string. */
static void put_text(struct json_writer *w, const char *text)
{
    json_inside(w, text, strlen(text));
}

/* The inside of a string of the body. */
static void put_inside(struct json_writer *w, struct json_span string)
{
    put(w, string.at + 1, string.n - 2);
}

/* --- a call, as text --- */

/* A value of arguments as Python writes it. */
static void put_python(struct json_writer *w, const struct cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);
    if (cJSON_IsTrue(value) || cJSON_IsFalse(value))
        put_text(w, cJSON_IsTrue(value) ? "True" : "False");
    else if (cJSON_IsNull(value))
        put_text(w, "None");
    else if (text != NULL)
        put_text(w, text);
    w->full |= text == NULL;
    free(text);
}

static void put_keywords(struct json_writer *w, const struct cJSON *arguments)
{
    for (const struct cJSON *one = arguments->child; one != NULL; one = one->next) {
        if (one != arguments->child)
            put_text(w, ", ");
        put_text(w, one->string);
        put_text(w, "=");
        put_python(w, one);
    }
}

/* The arguments: a string of JSON, or JSON. */
static void put_arguments(struct json_writer *w, const struct tool_family *family,
                          struct json_span arguments)
{
    struct cJSON *value = cJSON_ParseWithLength(arguments.at, arguments.n), *inner = NULL;
    if (cJSON_IsString(value))
        inner = cJSON_Parse(value->valuestring);
    const struct cJSON *object = inner != NULL ? inner : value;
    if (family->form == FORM_PYTHON && cJSON_IsObject(object))
        put_keywords(w, object);
    else if (is_string(arguments))
        put_inside(w, arguments);
    else
        json_inside(w, arguments.n > 0 ? arguments.at : "{}", arguments.n > 0 ? arguments.n : 2);
    cJSON_Delete(inner);
    cJSON_Delete(value);
}

/* A pattern of family.h as models are used to see it. */
static void put_pattern(struct json_writer *w, const struct tool_family *family,
                        const char *pattern, struct json_span name, struct json_span arguments)
{
    const bool lines = strstr(family->end, "\n</tool_call>") != NULL;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\1') {
            p = strchr(p, '\2');
        } else if (*p == '\n') {
            put_text(w, lines ? "\n" : p > pattern && p[-1] == ',' ? " " : "");
        } else if (*p == '$' && p[1] == 'N') {
            put_inside(w, name);
            p++;
        } else if (*p == '$') {
            put_arguments(w, family, arguments);
            p++;
        } else {
            json_inside(w, p, 1);
        }
    }
}

static void put_calls(struct json_writer *w, const struct tool_family *family,
                      struct json_span calls)
{
    const struct json_span none = {NULL, 0};
    struct json_span call;
    bool section = false;
    for (size_t at = 0; json_next_element(calls.at, calls.n, &at, &call);) {
        struct json_span function = member(call, "function");
        struct json_span name = member(function.n > 0 ? function : call, "name");
        if (!is_string(name))
            continue;
        if (section && family->between != NULL) {
            put_pattern(w, family, family->between, none, none);
        } else {
            if (section) {
                put_pattern(w, family, family->end, none, none);
                put_text(w, "\n");
            }
            for (const char *c = family->trigger != NULL ? family->trigger : ""; *c != '\0'; c++)
                json_inside(w, c, 1);
            put_pattern(w, family, family->begin, none, none);
        }
        put_pattern(w, family, family->call, name,
                    member(function.n > 0 ? function : call, "arguments"));
        section = true;
    }
    if (section)
        put_pattern(w, family, family->end, none, none);
}

/* --- messages --- */

/* The texts of a content, without quotes. */
static void put_content(struct json_writer *w, struct json_span content)
{
    struct json_span part;
    bool first = true;
    if (is_string(content))
        put_inside(w, content);
    for (size_t at = 0; content.n > 0 && content.at[0] == '[' &&
                        json_next_element(content.at, content.n, &at, &part);) {
        struct json_span text = member(part, "text");
        if (!is_string(text))
            continue;
        if (!first)
            put_text(w, "\n");
        first = false;
        put_inside(w, text);
    }
}

static void put_tools(struct json_writer *w, struct json_span tools)
{
    struct json_span tool;
    put_text(w, before_tools);
    for (size_t at = 0; json_next_element(tools.at, tools.n, &at, &tool);) {
        json_inside(w, tool.at, tool.n);
        put_text(w, "\n");
    }
    put_text(w, after_tools);
}

/* Another message, whose content is open. */
static void open_message(struct json_writer *w, const char *role)
{
    json_raw(w, w->n > 1 ? ",{\"role\":\"" : "{\"role\":\"");
    json_raw(w, role);
    json_raw(w, "\",\"content\":\"");
}

/* The calls of an assistant's message after its text. */
static void put_calling(struct json_writer *w, const struct tool_history *h,
                        const struct message *m)
{
    open_message(w, "assistant");
    size_t before = w->n;
    put_content(w, m->content);
    if (w->n > before)
        put_text(w, "\n");
    put_calls(w, h->set->family, m->calls);
    json_raw(w, "\"}");
}

/* Results that follow each other are one message of the user's. */
static void put_result(struct json_writer *w, const struct message *m, bool goes_on)
{
    if (goes_on) {
        w->n -= 2; /* the last one's end */
        put_text(w, "\n");
    } else {
        open_message(w, "user");
    }
    put_text(w, "<tool_response>\n");
    put_content(w, m->content);
    put_text(w, "\n</tool_response>");
    json_raw(w, "\"}");
}

/* The first message that tells of the tools; whether it has taken this one's place. */
static bool put_first(struct json_writer *w, const struct tool_history *h, const struct message *m)
{
    const bool is_system =
        json_is_string(m->role, "system") || json_is_string(m->role, "developer");
    const bool is_user = h->in_user && json_is_string(m->role, "user");
    open_message(w, h->in_user ? "user" : "system");
    if (is_system) {
        put_content(w, m->content);
        put_text(w, "\n\n");
    }
    put_tools(w, h->tools);
    if (is_user) {
        put_text(w, "\n\n");
        put_content(w, m->content);
    }
    json_raw(w, "\"}");
    return is_system || is_user;
}

enum status tool_history_write(const struct tool_history *h, char **out, struct json_span *written,
                               struct error *err)
{
    /* A call in a body is longer than a sixteenth of what is written around its parts. */
    size_t room = 16 * h->messages.n + 8 * h->tools.n + 4096;
    struct json_writer w = {.out = malloc(room), .room = room};
    struct json_span one;
    bool first = h->describes, result = false;
    if (w.out == NULL)
        return error_no_memory(err, room, "a conversation");
    json_raw(&w, "[");
    for (size_t at = 0; json_next_element(h->messages.at, h->messages.n, &at, &one);) {
        const struct message m = {member(one, "role"), member(one, "content"),
                                  member(one, "tool_calls")};
        const bool was_result = result, calls = m.calls.n > 0 && m.calls.at[0] == '[';
        const bool told = first && put_first(&w, h, &m);
        first = false;
        result = h->results_too && json_is_string(m.role, "tool");
        if (told)
            continue;
        if (result) {
            put_result(&w, &m, was_result);
        } else if (calls) {
            put_calling(&w, h, &m);
        } else {
            json_raw(&w, w.n > 1 ? "," : "");
            put(&w, one.at, one.n);
        }
    }
    json_raw(&w, "]");
    if (w.full) {
        free(w.out);
        return error_no_memory(err, room, "a conversation");
    }
    *out = w.out;
    *written = (struct json_span){w.out, w.n};
    return STATUS_OK;
}
