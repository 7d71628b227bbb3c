/* print.c - str(), repr() and json.dumps(). What comes from the request stays marked as such in
 * what is written. In the heap's thread. */
#include "jinja/print.h"

#include "jinja/iterate.h"
#include "jinja/library/letters.h"
#include "jinja/numbers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_number(struct jinja_builder *b, struct jinja_value v)
{
    char text[NUMBERS_DOUBLE_CHARS];
    size_t n;
    if (v.kind == JINJA_FLOAT)
        n = numbers_write_double(v.number, text);
    else
        n = (size_t)snprintf(text, sizeof text, "%" PRId64, v.integer);
    jinja_add(b, text, n, v.request);
}

/* A character's escape in a Python string; false: it stands for itself. */
static bool python_escape(uint32_t cp, char quote, char out[12])
{
    if (cp == (unsigned char)quote || cp == '\\')
        snprintf(out, 12, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        snprintf(out, 12, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    else if (cp < 0x20 || cp == 0x7f || (cp >= 0x80 && letters_flags(cp) & LETTERS_HIDDEN))
        snprintf(out, 12,
                 cp < 0x100     ? "\\x%02" PRIx32
                 : cp < 0x10000 ? "\\u%04" PRIx32
                                : "\\U%08" PRIx32,
                 cp);
    else
        return false;
    return true;
}

static bool json_escape(uint32_t cp, bool ascii, char out[16])
{
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    const char *found = cp < 0x80 && cp != 0 ? strchr(from, (int)cp) : NULL;
    if (found != NULL)
        snprintf(out, 16, "\\%c", to[found - from]);
    else if (cp < 0x20 || (ascii && cp >= 0x7f && cp < 0x10000))
        snprintf(out, 16, "\\u%04" PRIx32, cp);
    else if (ascii && cp >= 0x10000)
        snprintf(out, 16, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((cp - 0x10000) >> 10),
                 0xdc00 + (cp & 0x3ff));
    else
        return false;
    return true;
}

enum quoting { QUOTE_PYTHON, QUOTE_JSON, QUOTE_JSON_ASCII };

static void add_quoted(struct jinja_builder *b, const struct jinja_text *text, enum quoting how)
{
    char quote = '"', escape[16];
    if (how == QUOTE_PYTHON && (text->n == 0 || memchr(text->bytes, '\'', text->n) == NULL ||
                                memchr(text->bytes, '"', text->n) != NULL))
        quote = '\'';
    jinja_add(b, &quote, 1, false);
    size_t from = 0;
    for (size_t at = 0, size; at < text->n; at += size) {
        uint32_t cp = jinja_char_at(text, at, &size);
        bool escaped = how == QUOTE_PYTHON ? python_escape(cp, quote, escape)
                                           : json_escape(cp, how == QUOTE_JSON_ASCII, escape);
        if (!escaped)
            continue;
        jinja_add_part(b, text, from, at);
        jinja_add(b, escape, strlen(escape), jinja_from_request(text, at, at + size));
        from = at + size;
    }
    jinja_steps(b->heap, text->n / 16);
    jinja_add_part(b, text, from, text->n);
    jinja_add(b, &quote, 1, false);
}

static void add_items(struct jinja_builder *b, struct jinja_value v, const char *open,
                      const char *close)
{
    jinja_add_chars(b, open);
    struct jinja_iter *iter = jinja_iterate(b->heap, v);
    struct jinja_value item;
    for (size_t i = 0; jinja_next(iter, &item); i++) {
        if (i > 0)
            jinja_add_chars(b, ", ");
        jinja_print_repr(b, item);
    }
    if (v.kind == JINJA_TUPLE && v.list->n == 1)
        jinja_add_chars(b, ",");
    jinja_add_chars(b, close);
}

static void add_dict(struct jinja_builder *b, const struct jinja_dict *dict)
{
    jinja_add_chars(b, "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i > 0)
            jinja_add_chars(b, ", ");
        jinja_print_repr(b, dict->pairs[i].key);
        jinja_add_chars(b, ": ");
        jinja_print_repr(b, dict->pairs[i].value);
    }
    jinja_add_chars(b, "}");
}

static void add_range(struct jinja_builder *b, const struct jinja_range *range)
{
    char text[100];
    int n = snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %" PRId64, range->step);
    jinja_add(b, text, (size_t)n, false);
    jinja_add_chars(b, ")");
}

static void add_object(struct jinja_builder *b, struct jinja_value v)
{
    switch ((int)v.kind) {
    case JINJA_LIST:
        add_items(b, v, "[", "]");
        break;
    case JINJA_TUPLE:
        add_items(b, v, "(", ")");
        break;
    case JINJA_DICT:
        add_dict(b, v.dict);
        break;
    case JINJA_VIEW:
        jinja_add_chars(b, jinja_type_name(v));
        add_items(b, v, "([", "])");
        break;
    case JINJA_RANGE:
        add_range(b, v.range);
        break;
    case JINJA_NAMESPACE:
        jinja_add_chars(b, "<Namespace ");
        add_dict(b, v.names);
        jinja_add_chars(b, ">");
        break;
    default:
        jinja_fail(b->heap, "a value of type '%s' cannot be written as text", jinja_type_name(v));
    }
}

void jinja_print_repr(struct jinja_builder *b, struct jinja_value v)
{
    jinja_enter(b->heap);
    if (v.kind == JINJA_STRING && v.text->markup) {
        jinja_add_chars(b, "Markup(");
        add_quoted(b, v.text, QUOTE_PYTHON);
        jinja_add_chars(b, ")");
    } else if (v.kind == JINJA_STRING) {
        add_quoted(b, v.text, QUOTE_PYTHON);
    } else if (v.kind == JINJA_UNDEFINED) {
        jinja_add_chars(b, "Undefined");
    } else {
        jinja_print_str(b, v);
    }
    jinja_leave(b->heap);
}

void jinja_print_str(struct jinja_builder *b, struct jinja_value v)
{
    switch ((int)v.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
        break;
    case JINJA_NONE:
        jinja_add_chars(b, "None");
        break;
    case JINJA_BOOL:
        jinja_add_chars(b, v.truth ? "True" : "False");
        break;
    case JINJA_INT:
    case JINJA_FLOAT:
        add_number(b, v);
        break;
    case JINJA_BIGINT:
    case JINJA_STRING:
        jinja_add_text(b, v.text);
        break;
    default:
        add_object(b, v);
    }
}

const struct jinja_text *jinja_print_text(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_STRING)
        return jinja_marked(heap, v.text, false);
    struct jinja_builder b = {.heap = heap};
    jinja_print_str(&b, v);
    return jinja_finish(&b);
}

const struct jinja_text *jinja_print_soft(struct jinja_heap *heap, struct jinja_value v)
{
    return v.kind == JINJA_STRING ? v.text : jinja_print_text(heap, v);
}

static void new_line(struct jinja_builder *b, const struct jinja_print_json *how, size_t depth)
{
    if (how->indent == NULL)
        return;
    jinja_add_chars(b, "\n");
    jinja_add_repeated(b, how->indent, depth);
}

static void add_json(struct jinja_builder *b, struct jinja_value v,
                     const struct jinja_print_json *how, size_t depth);

static void add_json_key(struct jinja_builder *b, struct jinja_value key,
                         const struct jinja_print_json *how)
{
    if (key.kind == JINJA_STRING) {
        add_json(b, key, how, 0);
        return;
    }
    if (key.kind != JINJA_NONE && !jinja_is_number(key))
        jinja_fail(b->heap, "keys must be str, int, float, bool or None, not %s",
                   jinja_type_name(key));
    jinja_add_chars(b, "\"");
    add_json(b, key, how, 0);
    jinja_add_chars(b, "\"");
}

/* The pairs of a dict in the order of their keys, which must be comparable. */
static struct jinja_pair *sorted_pairs(struct jinja_heap *heap, const struct jinja_dict *dict)
{
    struct jinja_pair *pairs = jinja_alloc(heap, dict->n, sizeof *pairs);
    for (size_t i = 0; i < dict->n; i++) { /* binary insertion */
        size_t low = 0, high = i;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (jinja_order(heap, dict->pairs[i].key, pairs[middle].key, "<") < 0)
                high = middle;
            else
                low = middle + 1;
        }
        memmove(&pairs[low + 1], &pairs[low], (i - low) * sizeof *pairs);
        pairs[low] = dict->pairs[i];
        jinja_steps(heap, i / 64 + 1);
    }
    return pairs;
}

static void add_json_dict(struct jinja_builder *b, const struct jinja_dict *dict,
                          const struct jinja_print_json *how, size_t depth)
{
    const struct jinja_pair *pairs = how->sort_keys ? sorted_pairs(b->heap, dict) : dict->pairs;
    jinja_add_chars(b, "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i > 0)
            jinja_add_text(b, how->comma);
        new_line(b, how, depth + 1);
        add_json_key(b, pairs[i].key, how);
        jinja_add_text(b, how->colon);
        add_json(b, pairs[i].value, how, depth + 1);
    }
    if (dict->n > 0)
        new_line(b, how, depth);
    jinja_add_chars(b, "}");
}

static void add_json_list(struct jinja_builder *b, const struct jinja_list *list,
                          const struct jinja_print_json *how, size_t depth)
{
    jinja_add_chars(b, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            jinja_add_text(b, how->comma);
        new_line(b, how, depth + 1);
        add_json(b, list->items[i], how, depth + 1);
    }
    if (list->n > 0)
        new_line(b, how, depth);
    jinja_add_chars(b, "]");
}

static void add_json_float(struct jinja_builder *b, struct jinja_value v)
{
    if (v.spelling != NULL)
        jinja_add_text(b, v.spelling);
    else if (v.number - v.number != 0) /* not finite */
        jinja_add_chars(b, v.number > 0 ? "Infinity" : v.number < 0 ? "-Infinity" : "NaN");
    else
        jinja_print_str(b, v);
}

static void add_json(struct jinja_builder *b, struct jinja_value v,
                     const struct jinja_print_json *how, size_t depth)
{
    jinja_enter(b->heap);
    switch ((int)v.kind) {
    case JINJA_NONE:
        jinja_add_chars(b, "null");
        break;
    case JINJA_BOOL:
        jinja_add_chars(b, v.truth ? "true" : "false");
        break;
    case JINJA_INT:
    case JINJA_BIGINT:
        jinja_print_str(b, v);
        break;
    case JINJA_FLOAT:
        add_json_float(b, v);
        break;
    case JINJA_STRING:
        add_quoted(b, v.text, how->ascii ? QUOTE_JSON_ASCII : QUOTE_JSON);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        add_json_list(b, v.list, how, depth);
        break;
    case JINJA_DICT:
        add_json_dict(b, v.dict, how, depth);
        break;
    default:
        jinja_fail(b->heap, "Object of type %s is not JSON serializable", jinja_type_name(v));
    }
    jinja_leave(b->heap);
}

void jinja_print_json(struct jinja_builder *b, struct jinja_value v,
                      const struct jinja_print_json *how)
{
    add_json(b, v, how, 0);
}
