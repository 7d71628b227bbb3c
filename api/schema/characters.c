/* characters.c - the characters of strings of JSON, and given strings.
 *
 * A character may be written as itself or escaped. Beyond ASCII both ways are open; printable ASCII
 * is written as itself, but for what must be escaped. See schema.h.
 */
#include "api/schema/internal.h"

#include "base/utf8.h"

#include <string.h>

enum { LAST_CODE_POINT = 0x10FFFF };

/* --- escapes by number --- */

/* One hexadecimal digit of first..last. */
static const struct expr *hex_digit(struct schema *s, uint32_t first, uint32_t last)
{
    struct expr_range ranges[3];
    size_t n = 0;
    if (first <= 9)
        ranges[n++] = (struct expr_range){'0' + first, '0' + (last < 9 ? last : 9)};
    if (last >= 10) {
        uint32_t from = first > 10 ? first - 10 : 0, to = last - 10;
        ranges[n++] = (struct expr_range){'a' + from, 'a' + to};
        ranges[n++] = (struct expr_range){'A' + from, 'A' + to};
    }
    return expr_class(s->b, ranges, n, false);
}

/* Numbers of n hexadecimal digits from first to last. */
static const struct expr *hex_range(struct schema *s, uint32_t first, uint32_t last, unsigned n)
{
    if (n == 1)
        return hex_digit(s, first, last);
    const unsigned bits = 4 * (n - 1);
    const uint32_t low = (1u << bits) - 1, a = first >> bits, z = last >> bits;
    if (a == z)
        return SEQUENCE(s, hex_digit(s, a, a), hex_range(s, first & low, last & low, n - 1));
    struct expr_list list = {0};
    uint32_t from = a, to = z;
    if ((first & low) != 0) {
        expr_list_add(s->b, &list,
                      SEQUENCE(s, hex_digit(s, a, a), hex_range(s, first & low, low, n - 1)));
        from++;
    }
    if ((last & low) != low) {
        expr_list_add(s->b, &list,
                      SEQUENCE(s, hex_digit(s, z, z), hex_range(s, 0, last & low, n - 1)));
        to--;
    }
    if (from <= to)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, hex_digit(s, from, to),
                               expr_repeat(s->b, hex_digit(s, 0, 15), n - 1, n - 1)));
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *escaped(struct schema *s, uint32_t first, uint32_t last)
{
    return SEQUENCE(s, TEXT(s, "\\u"), hex_range(s, first, last, 4));
}

/* Characters beyond the first plane, as pairs of surrogates. */
static void add_pairs(struct schema *s, struct expr_list *list, uint32_t first, uint32_t last)
{
    for (first -= 0x10000, last -= 0x10000; first <= last;) {
        uint32_t high = first >> 10, low = first & 0x3FF;
        uint32_t last_high = last >> 10, end = high == last_high ? last & 0x3FF : 0x3FF;
        if (low == 0 && last_high > high) { /* as many whole ones as there are */
            uint32_t whole = (last & 0x3FF) == 0x3FF ? last_high : last_high - 1;
            expr_list_add(
                s->b, list,
                SEQUENCE(s, escaped(s, 0xD800 + high, 0xD800 + whole), escaped(s, 0xDC00, 0xDFFF)));
            first = (whole + 1) << 10;
            continue;
        }
        expr_list_add(s->b, list,
                      SEQUENCE(s, escaped(s, 0xD800 + high, 0xD800 + high),
                               escaped(s, 0xDC00 + low, 0xDC00 + end)));
        first = (high + 1) << 10;
    }
}

static void add_escaped(struct schema *s, struct expr_list *list, uint32_t first, uint32_t last)
{
    static const struct expr_range parts[] = {{0, 0x1F}, {0x7F, 0xD7FF}, {0xE000, 0xFFFF}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint32_t from = first > parts[i].first ? first : parts[i].first;
        uint32_t to = last < parts[i].last ? last : parts[i].last;
        if (from <= to)
            expr_list_add(s->b, list, escaped(s, from, to));
    }
    if (last >= 0x10000)
        add_pairs(s, list, first > 0x10000 ? first : 0x10000, last);
}

/* --- characters --- */

static const struct {
    char meant;
    const char *written;
} short_escapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'/', "\\/"},  {'\b', "\\b"},
                     {'\f', "\\f"}, {'\n', "\\n"},  {'\r', "\\r"}, {'\t', "\\t"}};

const struct expr *character_of(struct schema *s, const struct expr_range *ranges, size_t n,
                                bool negated)
{
    static const struct expr_range special[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    const struct expr *all = expr_class(s->b, ranges, n, negated);
    struct expr_list list = {0};
    struct expr_range *plain = expr_alloc(s->b, all->class.n + 4, sizeof *plain);
    if (plain == NULL || all->kind != EXPR_CLASS)
        return all;
    size_t n_plain = 0;
    for (size_t i = 0; i < all->class.n; i++) { /* less what must be escaped */
        uint32_t next = all->class.ranges[i].first, last = all->class.ranges[i].last;
        for (size_t k = 0; k < sizeof special / sizeof *special; k++) {
            if (special[k].last < next || special[k].first > last)
                continue;
            if (special[k].first > next)
                plain[n_plain++] = (struct expr_range){next, special[k].first - 1};
            next = special[k].last + 1;
        }
        if (next <= last)
            plain[n_plain++] = (struct expr_range){next, last};
    }
    if (n_plain > 0)
        expr_list_add(s->b, &list, expr_class(s->b, plain, n_plain, false));
    for (size_t i = 0; i < all->class.n; i++) {
        const struct expr_range r = all->class.ranges[i];
        for (size_t k = 0; k < sizeof short_escapes / sizeof *short_escapes; k++) {
            uint32_t meant = (uint32_t)short_escapes[k].meant;
            if (r.first <= meant && meant <= r.last)
                expr_list_add(s->b, &list, TEXT(s, short_escapes[k].written));
        }
        add_escaped(s, &list, r.first, r.last);
    }
    return expr_choice(s->b, list.at, list.n);
}

const struct expr *any_character(struct schema *s)
{
    static const struct expr_range plain[] = {{0x20, '!'}, {'#', '['}, {']', LAST_CODE_POINT}};
    static const struct expr_range escapes[] = {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'},
                                                {'f', 'f'}, {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    if (s->character == NULL) {
        const struct expr *pair =
            SEQUENCE(s, escaped(s, 0xD800, 0xDBFF), escaped(s, 0xDC00, 0xDFFF));
        s->character =
            CHOICE(s, expr_class(s->b, plain, 3, false),
                   SEQUENCE(s, TEXT(s, "\\"),
                            expr_class(s->b, escapes, sizeof escapes / sizeof *escapes, false)),
                   escaped(s, 0, 0xD7FF), escaped(s, 0xE000, 0xFFFF), pair);
    }
    return s->character;
}

const struct expr *any_string(struct schema *s)
{
    if (s->string == NO_RULE) {
        s->string = rule_declare(s->b, "string", 6);
        rule_define(s->b, s->string,
                    SEQUENCE(s, TEXT(s, "\""), expr_repeat(s->b, any_character(s), 0, EXPR_MANY),
                             TEXT(s, "\"")));
    }
    return expr_rule(s->b, s->string);
}

/* --- given texts --- */

const struct expr *literal_characters(struct schema *s, const char *text, size_t n)
{
    struct expr_list list = {0};
    for (size_t i = 0; i < n && expr_status(s->b) == STATUS_OK;) {
        uint32_t cp;
        size_t length = utf8_decode(text + i, n - i, &cp);
        if (length == 0) {
            expr_fail(s->b, STATUS_INVALID, "a string of the schema is not UTF-8");
            break;
        }
        expr_list_add(s->b, &list, character_of(s, &(struct expr_range){cp, cp}, 1, false));
        i += length;
    }
    return expr_sequence(s->b, list.at, list.n);
}

const struct expr *quoted(struct schema *s, const struct expr *inside)
{
    return SEQUENCE(s, TEXT(s, "\""), inside, TEXT(s, "\""));
}

const struct expr *literal_string(struct schema *s, const char *text)
{
    return quoted(s, literal_characters(s, text, strlen(text)));
}
