/* format.c - "%s" % v and "{}".format(v). In the heap's thread.
 *
 * Fields reach into dicts and lists, not into methods. Widths and precisions are bounded. */
#include "jinja/library/format.h"

#include "base/chars.h"
#include "base/utf8.h"
#include "jinja/library/strings.h"
#include "jinja/numbers.h"
#include "jinja/print.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH_MAX = 100000, PRECISION_MAX = 100 };

struct spec {
    const struct jinja_text *fill; /* one character; NULL: none was given */
    char align;                    /* '<', '>', '^', '='; 0 */
    char sign;                     /* '+', ' ', '-'; 0 */
    bool alternate, zero;
    char group; /* ',' or '_'; 0 */
    size_t width;
    int precision; /* -1: none */
    char type;     /* 0: none */
};

static size_t read_count(struct jinja_heap *heap, const struct jinja_text *text, size_t *at,
                         size_t most)
{
    size_t n = 0;
    while (*at < text->n && isdigit((unsigned char)text->bytes[*at])) {
        n = n * 10 + (size_t)(text->bytes[(*at)++] - '0');
        if (n > most)
            jinja_fail(heap, "a format's width or precision is beyond %zu", most);
    }
    return n;
}

/* Digits with a separator between groups of three, and zeros up to a width. */
static void add_grouped(struct jinja_builder *b, const char *digits, char group)
{
    size_t whole = strcspn(digits, ".e"), n = strlen(digits);
    for (size_t i = 0; i < whole; i++) {
        if (i > 0 && (whole - i) % 3 == 0)
            jinja_add(b, &group, 1, false);
        jinja_add(b, digits + i, 1, false);
    }
    jinja_add(b, digits + whole, n - whole, false);
}

static void add_padded(struct jinja_builder *b, const struct jinja_text *sign,
                       const struct jinja_text *body, const struct spec *spec, char align)
{
    size_t n = sign->n_chars + body->n_chars, lack = spec->width > n ? spec->width - n : 0;
    const struct jinja_text *fill =
        spec->fill != NULL ? spec->fill : jinja_text_new(b->heap, spec->zero ? "0" : " ", 1, false);
    size_t left = align == '<' ? 0 : align == '^' ? lack / 2 : lack;
    if (align == '=') {
        jinja_add_text(b, sign);
        jinja_add_repeated(b, fill, lack);
    } else {
        jinja_add_repeated(b, fill, left);
        jinja_add_text(b, sign);
    }
    jinja_add_text(b, body);
    if (align != '=')
        jinja_add_repeated(b, fill, lack - left);
}

static void to_base(uint64_t value, unsigned base, bool upper, char out[72])
{
    char reversed[72];
    size_t n = 0;
    do {
        reversed[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[value % base];
        value /= base;
    } while (value > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
}

/* The digits of a number without its sign. */
static void write_double(struct jinja_heap *heap, double value, const struct spec *spec,
                         char out[512])
{
    int precision = spec->precision < 0 ? 6 : spec->precision;
    char type = spec->type;
    if (type == 0 && spec->precision < 0) {
        numbers_write_double(value, out);
    } else if (type == 'e' || type == 'E') {
        snprintf(out, 512, type == 'e' ? "%.*e" : "%.*E", precision, value);
    } else if (type == 'f' || type == 'F' || type == '%') {
        snprintf(out, 511, "%.*f", precision, type == '%' ? value * 100 : value);
        if (type == '%')
            memcpy(out + strlen(out), "%", 2);
    } else if (type == 'g' || type == 'G' || type == 'n' || type == 0) {
        snprintf(out, 511, type == 'G' ? "%.*G" : "%.*g", precision == 0 ? 1 : precision, value);
        if (type == 0 && strpbrk(out, ".en") == NULL)
            memcpy(out + strlen(out), ".0", 3);
    } else {
        jinja_fail(heap, "unknown format code '%c' for a float", type);
    }
}

static void add_number(struct jinja_builder *b, struct jinja_value v, const struct spec *spec)
{
    char digits[512];
    int64_t integer;
    double number = 0;
    bool negative;
    const char *prefix = "";
    if (jinja_as_int(v, &integer) && (spec->type == 0 || strchr("dbBoxXcn", spec->type) != NULL)) {
        unsigned base = spec->type == 'b'                        ? 2
                        : spec->type == 'o'                      ? 8
                        : spec->type == 'x' || spec->type == 'X' ? 16
                                                                 : 10;
        negative = integer < 0;
        to_base(negative ? 0 - (uint64_t)integer : (uint64_t)integer, base, spec->type == 'X',
                digits);
        if (spec->alternate)
            prefix = base == 2           ? "0b"
                     : base == 8         ? "0o"
                     : spec->type == 'X' ? "0X"
                     : base == 16        ? "0x"
                                         : "";
    } else if (v.kind == JINJA_BIGINT && (spec->type == 0 || spec->type == 'd')) {
        negative = v.text->bytes[0] == '-';
        if (v.text->n >= sizeof digits)
            jinja_fail(b->heap, "an integer has too many digits to be formatted");
        memcpy(digits, v.text->bytes + negative, v.text->n - negative);
        digits[v.text->n - negative] = '\0';
    } else {
        jinja_as_double(v, &number);
        negative = number < 0 || (number == 0 && 1 / number < 0);
        write_double(b->heap, negative ? -number : number, spec, digits);
    }
    char sign[4] = {0};
    sign[0] = negative ? '-' : spec->sign == '+' || spec->sign == ' ' ? spec->sign : '\0';
    struct jinja_builder lead = {.heap = b->heap}, body = {.heap = b->heap};
    jinja_add_chars(&lead, sign);
    jinja_add_chars(&lead, prefix);
    if (spec->group != 0)
        add_grouped(&body, digits, spec->group);
    else
        jinja_add(&body, digits, strlen(digits), v.request);
    char align = spec->align != 0 ? spec->align : spec->zero ? '=' : '>';
    add_padded(b, jinja_finish(&lead), jinja_finish(&body), spec, align);
}

static struct spec read_spec(struct jinja_heap *heap, const struct jinja_text *text)
{
    struct spec spec = {.precision = -1};
    size_t at = 0;
    size_t first = text->n > 0 ? jinja_char_size(text, 0) : 0;
    if (first < text->n && chars_have("<>^=", text->bytes[first])) {
        spec.fill = jinja_part(heap, text, 0, first);
        spec.align = text->bytes[first];
        at = first + 1;
    } else if (text->n > 0 && chars_have("<>^=", text->bytes[0])) {
        spec.align = text->bytes[0];
        at = 1;
    }
    if (at < text->n && chars_have("+- ", text->bytes[at]))
        spec.sign = text->bytes[at++];
    if (at < text->n && text->bytes[at] == '#' && ++at)
        spec.alternate = true;
    if (at < text->n && text->bytes[at] == '0' && ++at)
        spec.zero = true;
    spec.width = read_count(heap, text, &at, WIDTH_MAX);
    if (at < text->n && (text->bytes[at] == ',' || text->bytes[at] == '_'))
        spec.group = text->bytes[at++];
    if (at < text->n && text->bytes[at] == '.') {
        at++;
        spec.precision = (int)read_count(heap, text, &at, PRECISION_MAX);
    }
    if (at < text->n)
        spec.type = text->bytes[at++];
    if (at < text->n)
        jinja_fail(heap, "invalid format specifier");
    return spec;
}

static void add_text_field(struct jinja_builder *b, const struct jinja_text *text,
                           const struct spec *spec)
{
    if (spec->type != 0 && spec->type != 's')
        jinja_fail(b->heap, "unknown format code '%c' for a string", spec->type);
    if (spec->precision >= 0)
        text = jinja_part(b->heap, text, 0, jinja_char_offset(text, (size_t)spec->precision));
    struct jinja_text none = {.bytes = ""};
    add_padded(b, &none, text, spec, spec->align != 0 && spec->align != '=' ? spec->align : '<');
}

static void add_field(struct jinja_builder *b, struct jinja_value v, const struct jinja_text *spec)
{
    struct spec how = read_spec(b->heap, spec);
    if (jinja_is_number(v) && !(v.kind == JINJA_BOOL && spec->n == 0))
        add_number(b, v, &how);
    else if (v.kind == JINJA_STRING || spec->n == 0)
        add_text_field(b, jinja_print_text(b->heap, v), &how);
    else
        jinja_fail(b->heap, "unsupported format string for a value of type '%s'",
                   jinja_type_name(v));
}

struct fields {
    const struct jinja_args *args;
    size_t next; /* the number of the next {} */
    bool automatic, numbered;
};

static struct jinja_value argument(struct jinja_heap *heap, struct fields *fields,
                                   const struct jinja_text *name)
{
    bool digits = name->n > 0 && isdigit((unsigned char)name->bytes[0]);
    if (name->n == 0 || digits) {
        size_t at = 0, i = digits ? read_count(heap, name, &at, 1000000) : fields->next++;
        fields->automatic = fields->automatic || !digits;
        fields->numbered = fields->numbered || digits;
        if (fields->automatic && fields->numbered)
            jinja_fail(heap, "cannot switch between automatic and manual field numbering");
        if (i >= fields->args->n)
            jinja_fail(heap, "replacement index %zu out of range for positional args", i);
        return fields->args->at[i];
    }
    for (size_t i = 0; i < fields->args->n_named; i++)
        if (jinja_equal(heap, fields->args->named[i].key, jinja_string(name)))
            return fields->args->named[i].value;
    jinja_fail(heap, "format() has no argument '%.*s'", (int)(name->n < 100 ? name->n : 100),
               name->bytes);
}

static struct jinja_value member(struct jinja_heap *heap, struct jinja_value v,
                                 const struct jinja_text *key)
{
    const struct jinja_value *found = NULL;
    size_t at = 0;
    if (v.kind == JINJA_DICT)
        found = jinja_dict_get(heap, v.dict, jinja_string(key));
    else if ((v.kind == JINJA_LIST || v.kind == JINJA_TUPLE) && key->n > 0 &&
             isdigit((unsigned char)key->bytes[0])) {
        size_t i = read_count(heap, key, &at, 1000000);
        found = i < v.list->n ? &v.list->items[i] : NULL;
    }
    if (found == NULL)
        jinja_fail(heap, "format() finds no '%.*s' in a value of type '%s'",
                   (int)(key->n < 100 ? key->n : 100), key->bytes, jinja_type_name(v));
    return *found;
}

/* name(.attribute|[key])* */
static struct jinja_value field_value(struct jinja_heap *heap, struct fields *fields,
                                      const struct jinja_text *path)
{
    size_t at = 0;
    while (at < path->n && path->bytes[at] != '.' && path->bytes[at] != '[')
        at++;
    struct jinja_value v = argument(heap, fields, jinja_part(heap, path, 0, at));
    while (at < path->n) {
        bool bracket = path->bytes[at++] == '[';
        size_t begin = at;
        while (at < path->n && (bracket ? path->bytes[at] != ']'
                                        : path->bytes[at] != '.' && path->bytes[at] != '['))
            at++;
        v = member(heap, v, jinja_part(heap, path, begin, at));
        at += bracket && at < path->n;
    }
    return v;
}

static void add_formatted(struct jinja_builder *b, const struct jinja_text *text,
                          struct fields *fields, bool inside);

/* The field between { and }. */
static void add_replaced(struct jinja_builder *b, const struct jinja_text *field,
                         struct fields *fields)
{
    size_t end = 0, depth = 0;
    while (end < field->n &&
           (depth > 0 || (field->bytes[end] != ':' && field->bytes[end] != '!'))) {
        depth += field->bytes[end] == '[';
        depth -= field->bytes[end] == ']' && depth > 0;
        end++;
    }
    struct jinja_value v = field_value(b->heap, fields, jinja_part(b->heap, field, 0, end));
    if (end < field->n && field->bytes[end] == '!') {
        char conversion = end + 1 < field->n ? field->bytes[end + 1] : '\0';
        struct jinja_builder converted = {.heap = b->heap};
        if (conversion == 'r')
            jinja_print_repr(&converted, v);
        else if (conversion == 's')
            jinja_print_str(&converted, v);
        else
            jinja_fail(b->heap, "a conversion in format() must be !s or !r");
        v = jinja_string(jinja_finish(&converted));
        end += 2;
        if (end < field->n && field->bytes[end] != ':')
            jinja_fail(b->heap, "expected ':' after conversion specifier");
    }
    struct jinja_builder spec = {.heap = b->heap};
    if (end < field->n)
        add_formatted(&spec, jinja_part(b->heap, field, end + 1, field->n), fields, true);
    add_field(b, v, jinja_finish(&spec));
}

static void add_formatted(struct jinja_builder *b, const struct jinja_text *text,
                          struct fields *fields, bool inside)
{
    jinja_enter(b->heap);
    for (size_t at = 0; at < text->n;) {
        size_t from = at;
        while (at < text->n && text->bytes[at] != '{' && text->bytes[at] != '}')
            at++;
        jinja_add_part(b, text, from, at);
        if (at == text->n)
            break;
        char c = text->bytes[at++];
        if (!inside && at < text->n && text->bytes[at] == c) {
            jinja_add_part(b, text, at, at + 1);
            at++;
            continue;
        }
        if (c == '}')
            jinja_fail(b->heap, "Single '}' encountered in format string");
        size_t begin = at, depth = 1;
        for (; at < text->n && depth > 0; at++) {
            if (text->bytes[at] == '{')
                depth++;
            else if (text->bytes[at] == '}')
                depth--;
        }
        if (depth > 0)
            jinja_fail(b->heap, "expected '}' before end of string");
        add_replaced(b, jinja_part(b->heap, text, begin, at - 1), fields);
    }
    jinja_leave(b->heap);
}

static struct jinja_value formatted(struct jinja_heap *heap, const struct jinja_text *text,
                                    const struct jinja_args *args)
{
    struct jinja_builder b = {.heap = heap};
    struct fields fields = {.args = args};
    if (text->markup)
        jinja_fail(heap, "format() of a text that is marked safe is not supported");
    add_formatted(&b, text, &fields, false);
    return jinja_string(jinja_finish(&b));
}

struct jinja_value format_method(struct jinja_heap *heap, struct jinja_value self,
                                 const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a;
    return formatted(heap, self.text, args);
}

struct jinja_value format_map_method(struct jinja_heap *heap, struct jinja_value self,
                                     const struct jinja_value *a, const struct jinja_args *args)
{
    (void)args;
    if (a[0].kind != JINJA_DICT)
        jinja_fail(heap, "format_map() needs a mapping");
    return formatted(heap, self.text,
                     &(struct jinja_args){.named = a[0].dict->pairs, .n_named = a[0].dict->n});
}

/* --- "%s" % v --- */

struct percents {
    struct jinja_value values;
    size_t next;
};

static struct jinja_value next_value(struct jinja_heap *heap, struct percents *from)
{
    bool tuple = from->values.kind == JINJA_TUPLE;
    size_t n = tuple ? from->values.list->n : 1;
    if (from->next >= n)
        jinja_fail(heap, "not enough arguments for format string");
    size_t i = from->next++;
    return tuple ? from->values.list->items[i] : from->values;
}

static void add_percent(struct jinja_builder *b, struct jinja_value v, struct spec *spec)
{
    struct jinja_builder text = {.heap = b->heap};
    char type = spec->type;
    if (type == 's' || type == 'r') {
        (type == 's' ? jinja_print_str : jinja_print_repr)(&text, v);
        spec->type = 0;
        spec->zero = false;
        spec->align = spec->align == '<' ? '<' : '>';
        add_text_field(b, jinja_finish(&text), spec);
        return;
    }
    if (type == 'c' && (v.kind == JINJA_STRING ? v.text->n_chars == 1 : v.kind == JINJA_INT)) {
        char bytes[4];
        bool scalar = v.kind == JINJA_INT && v.integer >= 0 && v.integer <= 0x10ffff &&
                      (v.integer < 0xd800 || v.integer >= 0xe000);
        if (v.kind == JINJA_STRING)
            jinja_add_text(&text, v.text);
        else if (scalar)
            jinja_add(&text, bytes, utf8_encode((uint32_t)v.integer, bytes), v.request);
        spec->type = 0;
        add_text_field(b, jinja_finish(&text), spec);
        return;
    }
    if (!chars_have("diuxXoeEfFgG", type))
        jinja_fail(b->heap, "unsupported format character '%c'", type);
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(b->heap, v);
    if (!jinja_is_number(v))
        jinja_fail(b->heap, "%%%c format: a real number is required, not %s", type,
                   jinja_type_name(v));
    if (type == 'i' || type == 'u' || type == 'd') {
        spec->type = 'd';
        if (v.kind == JINJA_FLOAT)
            v = numbers_truncate(b->heap, v.number);
    }
    if (spec->align == '<')
        spec->zero = false;
    add_number(b, v, spec);
}

const struct jinja_text *format_percent(struct jinja_heap *heap, const struct jinja_text *text,
                                        struct jinja_value v)
{
    struct jinja_builder b = {.heap = heap};
    struct percents from = {.values = v};
    bool named = false;
    if (text->markup)
        jinja_fail(heap, "%% on a text that is marked safe is not supported");
    for (size_t at = 0; at < text->n;) {
        size_t begin = at;
        while (at < text->n && text->bytes[at] != '%')
            at++;
        jinja_add_part(&b, text, begin, at);
        if (at++ >= text->n)
            break;
        struct jinja_value value = {.kind = JINJA_ABSENT};
        if (at < text->n && text->bytes[at] == '(') {
            size_t from_name = ++at;
            while (at < text->n && text->bytes[at] != ')')
                at++;
            if (v.kind != JINJA_DICT || at >= text->n)
                jinja_fail(heap, "format requires a mapping");
            value = member(heap, v, jinja_part(heap, text, from_name, at++));
            named = true;
        }
        struct spec spec = {.precision = -1};
        for (; at < text->n && chars_have("-+ #0", text->bytes[at]); at++) {
            char flag = text->bytes[at];
            if (flag == '-')
                spec.align = '<';
            else if (flag == '+' || (flag == ' ' && spec.sign == 0))
                spec.sign = flag;
            spec.alternate = spec.alternate || flag == '#';
            spec.zero = spec.zero || flag == '0';
        }
        spec.width = read_count(heap, text, &at, WIDTH_MAX);
        if (at < text->n && text->bytes[at] == '.') {
            at++;
            spec.precision = (int)read_count(heap, text, &at, PRECISION_MAX);
        }
        if (at >= text->n)
            jinja_fail(heap, "incomplete format");
        spec.type = text->bytes[at++];
        if (spec.type == '%') {
            jinja_add_chars(&b, "%");
            continue;
        }
        add_percent(&b, value.kind == JINJA_ABSENT ? next_value(heap, &from) : value, &spec);
    }
    bool some_left = v.kind == JINJA_TUPLE ? from.next < v.list->n : from.next == 0;
    bool has_members = v.kind == JINJA_DICT || v.kind == JINJA_LIST || v.kind == JINJA_RANGE ||
                       v.kind == JINJA_UNDEFINED;
    if (!named && some_left && !has_members)
        jinja_fail(heap, "not all arguments converted during string formatting");
    return jinja_finish(&b);
}
