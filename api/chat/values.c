/* values.c - a request's JSON as values of a rendering. In the heap's thread; a fault leaves by
 * jinja_fail. */
#include "api/chat/values.h"

#include "base/chars.h"
#include "base/utf8.h"
#include "jinja/numbers.h"
#include "jinja/text.h"

#include <ctype.h>
#include <string.h>

enum { ARGUMENTS_NODES = 1 << 20 };

struct value_reader {
    struct jinja_heap *heap;
    const char *at, *end;
};

static void skip_blanks(struct value_reader *r)
{
    while (r->at < r->end && chars_have(" \t\r\n", *r->at))
        r->at++;
}

static unsigned hex4(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i];
        value = value << 4 | (isdigit(c) ? c - 48u : (c | 32u) - 'a' + 10u);
    }
    return value;
}

/* \uXXXX, a pair of surrogates as one character; a lone one as U+FFFD. at is after the u. */
static uint32_t read_code(struct value_reader *r)
{
    uint32_t cp = hex4(r->at);
    r->at += 4;
    if (cp < 0xd800 || cp >= 0xe000)
        return cp;
    if (cp < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        uint32_t low = hex4(r->at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            r->at += 6;
            return 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

static struct jinja_value read_string(struct value_reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    struct jinja_builder b = {.heap = r->heap};
    r->at++;
    while (*r->at != '"') {
        const char *begin = r->at;
        while (*r->at != '"' && *r->at != '\\')
            r->at++;
        jinja_add(&b, begin, (size_t)(r->at - begin), true);
        if (*r->at != '\\')
            break;
        char bytes[4] = {r->at[1]};
        size_t n = 1;
        r->at += 2;
        if (bytes[0] == 'u')
            n = utf8_encode(read_code(r), bytes);
        else
            bytes[0] = to[(const char *)memchr(from, bytes[0], sizeof from - 1) - from];
        jinja_add(&b, bytes, n, true);
    }
    r->at++;
    return jinja_string(jinja_finish(&b));
}

static struct jinja_value read_number(struct value_reader *r)
{
    const char *begin = r->at;
    bool integer = true;
    while (r->at < r->end && chars_have("+-.eE0123456789", *r->at)) {
        integer = integer && !chars_have(".eE", *r->at);
        r->at++;
    }
    size_t n = (size_t)(r->at - begin);
    if (integer)
        return numbers_read_int(r->heap, begin, n, 10, true);
    const struct jinja_text *spelling = jinja_text_new(r->heap, begin, n, true);
    struct jinja_builder digits = {.heap = r->heap};
    jinja_add(&digits, begin, n, true);
    jinja_add(&digits, "", 1, false);
    struct jinja_value v = jinja_float(numbers_read_double(digits.bytes));
    v.request = true;
    v.spelling = spelling;
    return v;
}

static struct jinja_value read_value(struct value_reader *r);

static struct jinja_value read_array(struct value_reader *r)
{
    struct jinja_items items = {0};
    r->at++;
    skip_blanks(r);
    while (*r->at != ']') {
        jinja_push(r->heap, &items, read_value(r));
        r->at += *r->at == ',';
        skip_blanks(r);
    }
    r->at++;
    return jinja_list(r->heap, items.items, items.n);
}

static struct jinja_value read_object(struct value_reader *r)
{
    struct jinja_dict *dict = jinja_dict_new(r->heap);
    r->at++;
    skip_blanks(r);
    while (*r->at != '}') {
        struct jinja_value key = read_string(r);
        skip_blanks(r);
        r->at++; /* : */
        jinja_dict_set(r->heap, dict, key, read_value(r));
        r->at += *r->at == ',';
        skip_blanks(r);
    }
    r->at++;
    return jinja_dict_value(dict);
}

static struct jinja_value read_value(struct value_reader *r)
{
    struct jinja_value v;
    jinja_enter(r->heap);
    skip_blanks(r);
    switch (*r->at) {
    case '"':
        v = read_string(r);
        break;
    case '[':
        v = read_array(r);
        break;
    case '{':
        v = read_object(r);
        break;
    case 't':
    case 'f':
        v = jinja_bool(*r->at == 't');
        r->at += v.truth ? 4 : 5;
        break;
    case 'n':
        v = jinja_none();
        r->at += 4;
        break;
    default:
        v = read_number(r);
    }
    skip_blanks(r);
    jinja_leave(r->heap);
    return v;
}

struct jinja_value chat_value(struct jinja_heap *heap, struct json_span json)
{
    struct value_reader r = {heap, json.at, json.at + json.n};
    return read_value(&r);
}

static const struct jinja_value *member(struct jinja_heap *heap, struct jinja_value of,
                                        const char *name)
{
    return of.kind == JINJA_DICT ? jinja_dict_text(heap, of.dict, name, strlen(name)) : NULL;
}

/* The same dict with another value of one of its keys, or with one more. */
static struct jinja_value with_member(struct jinja_heap *heap, struct jinja_value of,
                                      const char *name, struct jinja_value value)
{
    struct jinja_dict *dict = jinja_dict_new(heap);
    for (size_t i = 0; i < of.dict->n; i++)
        jinja_dict_set(heap, dict, of.dict->pairs[i].key, of.dict->pairs[i].value);
    jinja_dict_set(heap, dict, jinja_chars(heap, name), value);
    return jinja_dict_value(dict);
}

/* Arguments that are a string of a JSON object, as the object; of a call, or of its function. */
static struct jinja_value read_arguments(struct jinja_heap *heap, struct jinja_value call)
{
    const struct jinja_value *arguments = member(heap, call, "arguments");
    if (arguments == NULL || arguments->kind != JINJA_STRING)
        return call;
    struct json_span json = {arguments->text->bytes, arguments->text->n};
    size_t at = 0;
    while (at < json.n && chars_have(" \t\r\n", json.at[at]))
        at++;
    if (at == json.n || json.at[at] != '{' ||
        json_check(json.at, json.n, JSON_DEPTH_MAX, ARGUMENTS_NODES, NULL) != STATUS_OK)
        return call;
    return with_member(heap, call, "arguments", chat_value(heap, json));
}

static struct jinja_value read_call(struct jinja_heap *heap, struct jinja_value call)
{
    const struct jinja_value *function = member(heap, call, "function");
    if (call.kind != JINJA_DICT)
        return call;
    if (function != NULL)
        return with_member(heap, call, "function", read_arguments(heap, *function));
    return read_arguments(heap, call);
}

static struct jinja_value read_message(struct jinja_heap *heap, struct jinja_value message,
                                       size_t i)
{
    const struct jinja_value *role = member(heap, message, "role");
    if (message.kind != JINJA_DICT)
        jinja_fail(heap, "messages[%zu] must be an object", i);
    if (role == NULL || role->kind != JINJA_STRING)
        jinja_fail(heap, "messages[%zu].role must be a string", i);
    const struct jinja_value *calls = member(heap, message, "tool_calls");
    if (calls == NULL || calls->kind != JINJA_LIST)
        return message;
    struct jinja_items read = {0};
    for (size_t k = 0; k < calls->list->n; k++)
        jinja_push(heap, &read, read_call(heap, calls->list->items[k]));
    return with_member(heap, message, "tool_calls", jinja_list(heap, read.items, read.n));
}

struct jinja_value chat_messages(struct jinja_heap *heap, struct jinja_value messages)
{
    struct jinja_items read = {0};
    if (messages.kind != JINJA_LIST)
        jinja_fail(heap, "messages must be an array of objects");
    for (size_t i = 0; i < messages.list->n; i++)
        jinja_push(heap, &read, read_message(heap, messages.list->items[i], i));
    return jinja_list(heap, read.items, read.n);
}

/* The texts of a list of parts, a newline between. */
static struct jinja_value join(struct jinja_heap *heap, const struct jinja_list *parts, size_t i)
{
    struct jinja_builder b = {.heap = heap};
    for (size_t k = 0; k < parts->n; k++) {
        const struct jinja_value *text = parts->items[k].kind == JINJA_STRING
                                             ? &parts->items[k]
                                             : member(heap, parts->items[k], "text");
        if (text == NULL || text->kind != JINJA_STRING)
            jinja_fail(heap,
                       "messages[%zu].content[%zu] must be a text part: this model takes "
                       "text alone",
                       i, k);
        if (k > 0)
            jinja_add(&b, "\n", 1, true);
        jinja_add_text(&b, text->text);
    }
    return jinja_string(jinja_finish(&b));
}

static struct jinja_value split_content(struct jinja_heap *heap, struct jinja_value content)
{
    struct jinja_dict *part = jinja_dict_new(heap);
    struct jinja_value *list = jinja_alloc(heap, 1, sizeof *list);
    jinja_dict_set(heap, part, jinja_chars(heap, "type"), jinja_chars(heap, "text"));
    jinja_dict_set(heap, part, jinja_chars(heap, "text"), content);
    *list = jinja_dict_value(part);
    return jinja_list(heap, list, 1);
}

struct jinja_value chat_fill_content(struct jinja_heap *heap, struct jinja_value messages,
                                     bool lists)
{
    struct jinja_items read = {0};
    const struct jinja_value empty =
        lists ? jinja_list(heap, NULL, 0) : jinja_string(jinja_text_new(heap, "", 0, true));
    for (size_t i = 0; i < messages.list->n; i++) {
        struct jinja_value message = messages.list->items[i];
        const struct jinja_value *content = member(heap, message, "content");
        const struct jinja_value *calls = member(heap, message, "tool_calls");
        bool has_calls = calls != NULL && calls->kind == JINJA_LIST && calls->list->n > 0;
        if (content == NULL ? !has_calls : content->kind == JINJA_NONE)
            message = with_member(heap, message, "content", empty);
        jinja_push(heap, &read, message);
    }
    return jinja_list(heap, read.items, read.n);
}

struct jinja_value chat_join_parts(struct jinja_heap *heap, struct jinja_value messages, bool split)
{
    struct jinja_items read = {0};
    for (size_t i = 0; i < messages.list->n; i++) {
        struct jinja_value message = messages.list->items[i];
        const struct jinja_value *content = member(heap, message, "content");
        if (content != NULL && content->kind == (split ? JINJA_STRING : JINJA_LIST))
            message =
                with_member(heap, message, "content",
                            split ? split_content(heap, *content) : join(heap, content->list, i));
        jinja_push(heap, &read, message);
    }
    return jinja_list(heap, read.items, read.n);
}

/* What a tool has always: templates join the description to other texts, and walk the parameters'
 * properties, without a look whether they are there. */
static struct jinja_value read_function(struct jinja_heap *heap, struct jinja_value function)
{
    static const char *const first[] = {"name", "description", "parameters"};
    static const char none[] = "{\"type\":\"object\",\"properties\":{}}";
    struct jinja_dict *whole = jinja_dict_new(heap);
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        const struct jinja_value *given = member(heap, function, first[i]);
        struct jinja_value value;
        if (given != NULL && given->kind != JINJA_NONE)
            value = *given;
        else if (i == 0)
            continue;
        else
            value = i == 1 ? jinja_chars(heap, "")
                           : chat_value(heap, (struct json_span){none, sizeof none - 1});
        jinja_dict_set(heap, whole, jinja_chars(heap, first[i]), value);
    }
    for (size_t i = 0; i < function.dict->n; i++) {
        const struct jinja_pair *pair = &function.dict->pairs[i];
        if (jinja_dict_get(heap, whole, pair->key) == NULL)
            jinja_dict_set(heap, whole, pair->key, pair->value);
    }
    return jinja_dict_value(whole);
}

static bool is_given(struct jinja_heap *heap, struct jinja_value of, const char *name)
{
    const struct jinja_value *value = member(heap, of, name);
    return value != NULL && value->kind != JINJA_NONE;
}

struct jinja_value chat_tools(struct jinja_heap *heap, struct jinja_value tools)
{
    struct jinja_items read = {0};
    for (size_t i = 0; tools.kind == JINJA_LIST && i < tools.list->n; i++) {
        struct jinja_value tool = tools.list->items[i];
        const struct jinja_value *function = member(heap, tool, "function");
        if (function != NULL && function->kind == JINJA_DICT) {
            const struct jinja_value inside = *function;
            if (!is_given(heap, inside, "description") || !is_given(heap, inside, "parameters"))
                tool = with_member(heap, tool, "function", read_function(heap, inside));
            if (!is_given(heap, tool, "type"))
                tool = with_member(heap, tool, "type", jinja_chars(heap, "function"));
        }
        jinja_push(heap, &read, tool);
    }
    return tools.kind == JINJA_LIST ? jinja_list(heap, read.items, read.n) : tools;
}
