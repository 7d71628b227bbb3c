/* filters_text.c - filters that make strings and numbers of values. In the heap's thread. */
#include "jinja/library/filters.h"

#include "jinja/iterate.h"
#include "jinja/library/entities.h"
#include "jinja/library/format.h"
#include "jinja/library/letters.h"
#include "jinja/library/strings.h"
#include "jinja/numbers.h"
#include "jinja/print.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT && v.kind != JINJA_NONE;
}

FILTER(upper)
{
    (void)a, (void)args;
    return jinja_string(letters_text(heap, jinja_print_soft(heap, self), LETTERS_TO_UPPER));
}

FILTER(lower)
{
    (void)a, (void)args;
    return jinja_string(letters_text(heap, jinja_print_soft(heap, self), LETTERS_TO_LOWER));
}

FILTER(capitalize)
{
    (void)a, (void)args;
    return jinja_string(strings_capitalize(heap, jinja_print_soft(heap, self)));
}

static bool parts_words(uint32_t cp)
{
    return letters_is_space(cp) || (cp < 0x80 && cp != 0 && strchr("-({[<", (int)cp) != NULL);
}

FILTER(title)
{
    (void)a, (void)args;
    const struct jinja_text *text = jinja_print_soft(heap, self);
    struct jinja_builder b = {.heap = heap};
    for (size_t at = 0, size, end; at < text->n; at = end) { /* a word, or what parts words */
        bool between = parts_words(jinja_char_at(text, at, &size));
        size_t first = at + size;
        for (end = first; end < text->n; end += size)
            if (parts_words(jinja_char_at(text, end, &size)) != between)
                break;
        const struct jinja_text *rest = jinja_part(heap, text, first, end);
        letters_add(&b, text, at, first, LETTERS_TO_UPPER);
        letters_add(&b, rest, 0, rest->n, LETTERS_TO_LOWER);
    }
    return jinja_string(jinja_finish(&b));
}

FILTER(trim)
{
    (void)args;
    const struct jinja_text *chars = is_given(a[0]) ? args_text(heap, a[0]) : NULL;
    return jinja_string(strings_strip(heap, jinja_print_soft(heap, self), chars, STRINGS_BOTH));
}

FILTER(replace)
{
    (void)args;
    return jinja_string(strings_replace(heap, jinja_print_text(heap, self),
                                        jinja_print_text(heap, a[0]), jinja_print_text(heap, a[1]),
                                        args_int(heap, a[2], -1)));
}

FILTER(string)
{
    (void)a, (void)args;
    return jinja_string(jinja_print_soft(heap, self));
}

FILTER(safe)
{
    (void)a, (void)args;
    return jinja_string(jinja_marked(heap, jinja_print_text(heap, self), true));
}

FILTER(escape)
{
    (void)a, (void)args;
    return jinja_string(jinja_escape(heap, jinja_print_soft(heap, self)));
}

FILTER(forceescape)
{
    (void)a, (void)args;
    return jinja_string(jinja_escape(heap, jinja_print_text(heap, self)));
}

FILTER(join)
{
    (void)args;
    struct jinja_items items = {0};
    struct jinja_iter *iter = jinja_iterate(heap, self);
    for (struct jinja_value v; jinja_next(iter, &v);) {
        v = is_given(a[1]) ? filters_dig(heap, v, a[1], (struct jinja_value){0}) : v;
        jinja_push(heap, &items, jinja_string(jinja_print_text(heap, v)));
    }
    struct jinja_value none = jinja_chars(heap, "");
    const struct jinja_text *between =
        jinja_print_text(heap, a[0].kind == JINJA_ABSENT ? none : a[0]);
    return jinja_string(strings_join(heap, between, items.items, items.n));
}

FILTER(center)
{
    (void)args;
    return jinja_string(strings_center(heap, jinja_print_soft(heap, self), args_int(heap, a[0], 80),
                                       jinja_text_new(heap, " ", 1, false)));
}

FILTER(format)
{
    (void)a;
    struct jinja_value values = jinja_tuple(heap, args->at, args->n);
    if (args->n > 0 && args->n_named > 0)
        jinja_fail(heap, "format can't handle positional and keyword arguments at the same time");
    if (args->n_named > 0) {
        struct jinja_dict *dict = jinja_dict_new(heap);
        for (size_t i = 0; i < args->n_named; i++)
            jinja_dict_set(heap, dict, args->named[i].key, args->named[i].value);
        values = jinja_dict_value(dict);
    }
    return jinja_string(format_percent(heap, jinja_print_soft(heap, self), values));
}

FILTER(indent)
{
    (void)args;
    const struct jinja_text *text = args_text(heap, self), *by;
    if (a[0].kind == JINJA_STRING) {
        by = a[0].text;
    } else {
        struct jinja_builder blanks = {.heap = heap};
        int64_t width = args_int(heap, a[0], 4);
        jinja_add_repeated(&blanks, jinja_text_new(heap, " ", 1, false),
                           width > 0 ? (size_t)width : 0);
        by = jinja_finish(&blanks);
    }
    bool first = args_bool(a[1], false), blank = args_bool(a[2], false);
    struct jinja_builder b = {.heap = heap};
    struct jinja_value newline = jinja_chars(heap, "\n");
    struct jinja_items lines = strings_lines(heap, jinja_join(heap, text, newline.text), false);
    for (size_t i = 0; i < lines.n; i++) {
        const struct jinja_text *line = lines.items[i].text;
        if (i > 0)
            jinja_add_chars(&b, "\n");
        if (i == 0 ? first : blank || line->n > 0)
            jinja_add_text(&b, by);
        jinja_add_text(&b, line);
    }
    return jinja_string(jinja_marked(heap, jinja_finish(&b), text->markup));
}

FILTER(truncate_text)
{
    (void)args;
    size_t n_items = 0;
    struct jinja_value dots = jinja_chars(heap, "...");
    const struct jinja_text *end = is_given(a[2]) ? args_text(heap, a[2]) : dots.text;
    int64_t length = args_int(heap, a[0], 255), leeway = args_int(heap, a[3], 5);
    if (length < (int64_t)end->n_chars || leeway < 0)
        jinja_fail(heap, "truncate needs a length that its end fits into, and no negative leeway");
    if (jinja_length(self, &n_items) && n_items <= (uint64_t)length + (uint64_t)leeway)
        return self; /* a list as well */
    const struct jinja_text *text = args_text(heap, self);
    size_t kept = jinja_char_offset(text, (size_t)length - end->n_chars);
    const struct jinja_text *cut = jinja_part(heap, text, 0, kept);
    if (!args_bool(a[1], false)) {
        struct jinja_value blank = jinja_chars(heap, " ");
        ptrdiff_t at = jinja_find_last(heap, cut, blank.text, 0, cut->n);
        cut = at == JINJA_NOWHERE ? cut : jinja_part(heap, cut, 0, (size_t)at);
    }
    return jinja_string(jinja_join(heap, cut, end));
}

FILTER(wordcount)
{
    (void)a, (void)args;
    const struct jinja_text *text = jinja_print_soft(heap, self);
    int64_t n = 0;
    bool inside = false;
    for (size_t at = 0, size; at < text->n; at += size) {
        uint32_t cp = jinja_char_at(text, at, &size);
        bool word = cp == '_' || (letters_flags(cp) & (LETTERS_ALPHA | LETTERS_DECIMAL |
                                                       LETTERS_DIGIT | LETTERS_NUMERIC)) != 0;
        n += word && !inside;
        inside = word;
        jinja_steps(heap, 1);
    }
    return jinja_int(n);
}

static void add_quoted(struct jinja_builder *b, const struct jinja_text *text, bool query)
{
    for (size_t i = 0; i < text->n; i++) {
        unsigned char c = (unsigned char)text->bytes[i];
        char code[4] = {(char)c};
        if (query && c == ' ')
            code[0] = '+';
        else if (!isalnum(c) && (c == 0 || strchr("_.-~", c) == NULL) && (query || c != '/'))
            snprintf(code, sizeof code, "%%%02X", c);
        jinja_add(b, code, strlen(code), jinja_from_request(text, i, i + 1));
    }
}

FILTER(urlencode)
{
    (void)a, (void)args;
    struct jinja_builder b = {.heap = heap};
    if (self.kind == JINJA_STRING || !jinja_can_iterate(self)) {
        add_quoted(&b, jinja_print_text(heap, self), false);
        return jinja_string(jinja_finish(&b));
    }
    struct jinja_view items = {.dict = self.kind == JINJA_DICT ? self.dict : NULL,
                               .of = JINJA_ITEMS};
    struct jinja_value over = {.kind = JINJA_VIEW, .view = &items};
    struct jinja_iter *iter = jinja_iterate(heap, self.kind == JINJA_DICT ? over : self);
    for (struct jinja_value pair; jinja_next(iter, &pair);) {
        struct jinja_items parts = jinja_collect(heap, pair);
        if (parts.n != 2)
            jinja_fail(heap, "urlencode needs pairs");
        if (b.n > 0)
            jinja_add_chars(&b, "&");
        add_quoted(&b, jinja_print_text(heap, parts.items[0]), true);
        jinja_add_chars(&b, "=");
        add_quoted(&b, jinja_print_text(heap, parts.items[1]), true);
    }
    return jinja_string(jinja_finish(&b));
}

/* float() of a text; false: it is not one. */
static bool read_float(const struct jinja_text *text, double *out)
{
    char digits[128];
    size_t n = 0;
    const char *at = text->bytes, *end = at + text->n;
    while (at < end && isspace((unsigned char)*at))
        at++;
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    if (at == end || (size_t)(end - at) >= sizeof digits)
        return false;
    for (; at < end; at++) {
        if (*at == '_' && n > 0 && isdigit((unsigned char)digits[n - 1]) && at + 1 < end &&
            isdigit((unsigned char)at[1]))
            continue;
        if (!isalnum((unsigned char)*at) && *at != '.' && *at != '+' && *at != '-')
            return false;
        digits[n++] = *at;
    }
    digits[n] = '\0';
    if (strpbrk(digits, "xX(") != NULL)
        return false;
    char *after;
    *out = strtod(digits, &after);
    return *after == '\0';
}

FILTER(filesizeformat)
{
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    (void)args;
    double bytes = 0, base = args_bool(a[0], false) ? 1024 : 1000, unit = base;
    char text[64];
    if (self.kind == JINJA_STRING ? !read_float(self.text, &bytes) : !jinja_as_double(self, &bytes))
        jinja_fail(heap, "filesizeformat needs a number, not '%s'", jinja_type_name(self));
    if (bytes < base) {
        snprintf(text, sizeof text, bytes == 1 ? "1 Byte" : "%.0f Bytes", trunc(bytes));
        return jinja_chars(heap, text);
    }
    size_t i = 0;
    while (i < 7 && bytes >= unit * base) {
        unit *= base;
        i++;
    }
    snprintf(text, sizeof text, "%.1f %s", bytes / unit, (base == 1024 ? binary : decimal)[i]);
    return jinja_chars(heap, text);
}

/* int() of a text in a base; false: it is not one. */
static bool read_int(struct jinja_heap *heap, const struct jinja_text *text, int64_t base,
                     struct jinja_value *out)
{
    const char *at = text->bytes, *end = at + text->n;
    while (at < end && isspace((unsigned char)*at))
        at++;
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    struct jinja_builder digits = {.heap = heap};
    if (at < end && (*at == '-' || *at == '+'))
        jinja_add(&digits, at++, 1, false);
    if (end - at > 2 && *at == '0') {
        char prefix = (char)(at[1] | 32);
        int64_t of = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : -1;
        if (of == base || (base == 0 && of > 0)) {
            base = of;
            at += 2;
        }
    }
    base = base == 0 ? 10 : base;
    size_t n = 0;
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '_' && n > 0 && at + 1 < end && at[1] != '_')
            continue;
        int digit = isdigit(c) ? c - '0' : isalpha(c) && c < 0x80 ? (c | 32) - 'a' + 10 : 99;
        if (digit >= base)
            return false;
        jinja_add(&digits, at, 1, false);
        n++;
    }
    if (n == 0 || base < 2 || base > 36)
        return false;
    *out = numbers_read_int(heap, digits.bytes, digits.n, (int)base, false);
    return true;
}

FILTER(to_int)
{
    (void)args;
    struct jinja_value out, fallback = a[0].kind == JINJA_ABSENT ? jinja_int(0) : a[0];
    double number;
    if (self.kind == JINJA_STRING) {
        if (read_int(heap, self.text, args_int(heap, a[1], 10), &out))
            return out;
        if (!read_float(self.text, &number) || number - number != 0)
            return fallback;
        return numbers_truncate(heap, number);
    }
    if (self.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, self);
    if (self.kind == JINJA_FLOAT)
        return self.number != self.number ? fallback : numbers_truncate(heap, self.number);
    if (self.kind == JINJA_BOOL)
        return jinja_int(self.truth);
    return jinja_is_number(self) ? self : fallback;
}

FILTER(to_float)
{
    (void)args;
    double number;
    if (self.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, self);
    if (self.kind == JINJA_STRING ? read_float(self.text, &number) : jinja_as_double(self, &number))
        return jinja_float(number);
    return a[0].kind == JINJA_ABSENT ? jinja_float(0) : a[0];
}

FILTER(absolute)
{
    (void)a, (void)args;
    if (self.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, self);
    if (!jinja_is_number(self))
        jinja_fail(heap, "bad operand type for abs(): '%s'", jinja_type_name(self));
    if (self.kind == JINJA_FLOAT)
        return jinja_float(fabs(self.number));
    if (self.kind == JINJA_BIGINT ? self.text->bytes[0] == '-'
                                  : self.kind == JINJA_INT && self.integer < 0)
        return numbers_negate(heap, self);
    return self.kind == JINJA_BOOL ? jinja_int(self.truth) : self;
}

FILTER(round_number)
{
    (void)args;
    int64_t places = args_int(heap, a[0], 0);
    double value = 0, scale;
    if (self.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, self);
    bool common = a[1].kind == JINJA_ABSENT || jinja_is(args_text(heap, a[1]), "common");
    if (!common && !jinja_is(a[1].text, "ceil") && !jinja_is(a[1].text, "floor"))
        jinja_fail(heap, "method must be common, ceil or floor");
    if (!jinja_as_double(self, &value))
        jinja_fail(heap, "type %s doesn't define __round__ method", jinja_type_name(self));
    if (common && self.kind == JINJA_FLOAT)
        return jinja_float(numbers_round(value, places));
    if (common && places >= 0)
        return self.kind == JINJA_BOOL ? jinja_int(self.truth) : self;
    if (common)
        return numbers_truncate(heap, numbers_round(value, places));
    scale = pow(10, (double)places);
    return jinja_float((jinja_is(a[1].text, "ceil") ? ceil : floor)(value * scale) / scale);
}

FILTER(to_json)
{
    (void)args;
    struct jinja_builder b = {.heap = heap}, blanks = {.heap = heap};
    struct jinja_print_json how = {.ascii = args_bool(a[0], false),
                                   .sort_keys = args_bool(a[3], false)};
    if (a[1].kind == JINJA_STRING) {
        how.indent = a[1].text;
    } else if (is_given(a[1])) {
        int64_t width = args_int(heap, a[1], 0);
        jinja_add_repeated(&blanks, jinja_text_new(heap, " ", 1, false),
                           width > 0 ? (size_t)width : 0);
        how.indent = jinja_finish(&blanks);
    }
    how.comma = jinja_text_new(heap, ", ", how.indent != NULL ? 1 : 2, false);
    how.colon = jinja_text_new(heap, ": ", 2, false);
    if (is_given(a[2])) {
        struct jinja_items two = jinja_collect(heap, a[2]);
        if (two.n != 2)
            jinja_fail(heap, "tojson's separators are two strings");
        how.comma = args_text(heap, two.items[0]);
        how.colon = args_text(heap, two.items[1]);
    }
    jinja_print_json(&b, self, &how);
    return jinja_string(jinja_finish(&b));
}

/* Without what stands from each opening to the next end, both included. */
static const struct jinja_text *cut_out(struct jinja_heap *heap, const struct jinja_text *text,
                                        const char *opening, const char *end)
{
    struct jinja_builder b = {.heap = heap};
    const size_t n_opening = strlen(opening), n_end = strlen(end);
    size_t at = 0;
    for (;;) {
        const char *from = memmem(text->bytes + at, text->n - at, opening, n_opening);
        const char *to =
            from == NULL ? NULL
                         : memmem(from + n_opening,
                                  text->n - (size_t)(from - text->bytes) - n_opening, end, n_end);
        if (to == NULL)
            break;
        jinja_add_part(&b, text, at, (size_t)(from - text->bytes));
        at = (size_t)(to - text->bytes) + n_end;
    }
    jinja_add_part(&b, text, at, text->n);
    jinja_steps(heap, text->n / 16 + 1);
    return jinja_finish(&b);
}

FILTER(striptags)
{
    (void)a, (void)args;
    const struct jinja_text *text = cut_out(heap, jinja_print_text(heap, self), "<!--", "-->");
    struct jinja_value bare =
        jinja_string(jinja_marked(heap, cut_out(heap, text, "<", ">"), false));
    const struct jinja_function *split = args_find(strings_methods, strings_n_methods, "split", 5);
    struct jinja_value words = args_call(heap, split, bare, &(struct jinja_args){0});
    struct jinja_builder b = {.heap = heap};
    entities_add(&b, strings_join(heap, jinja_text_new(heap, " ", 1, false), words.list->items,
                                  words.list->n));
    return jinja_string(jinja_finish(&b));
}

const struct jinja_function filters_of_texts[] = {
    {"upper", upper, "", 0, NULL},
    {"lower", lower, "", 0, NULL},
    {"capitalize", capitalize, "", 0, NULL},
    {"title", title, "", 0, NULL},
    {"trim", trim, "chars", 0, NULL},
    {"replace", replace, "old new count", 2, NULL},
    {"string", string, "", 0, NULL},
    {"safe", safe, "", 0, NULL},
    {"e", escape, "", 0, NULL},
    {"escape", escape, "", 0, NULL},
    {"forceescape", forceescape, "", 0, NULL},
    {"join", join, "d attribute", 0, NULL},
    {"center", center, "width", 0, NULL},
    {"format", format, NULL, 0, NULL},
    {"indent", indent, "width first blank", 0, NULL},
    {"truncate", truncate_text, "length killwords end leeway", 0, NULL},
    {"wordcount", wordcount, "", 0, NULL},
    {"urlencode", urlencode, "", 0, NULL},
    {"filesizeformat", filesizeformat, "binary", 0, NULL},
    {"int", to_int, "default base", 0, NULL},
    {"float", to_float, "default", 0, NULL},
    {"abs", absolute, "", 0, NULL},
    {"round", round_number, "precision method", 0, NULL},
    {"tojson", to_json, "ensure_ascii indent separators sort_keys", 0, NULL},
    {"striptags", striptags, "", 0, NULL},
};
const size_t filters_n_of_texts = sizeof filters_of_texts / sizeof filters_of_texts[0];
