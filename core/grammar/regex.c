/* regex.c - regular expressions (ECMA-262, "u" flag). See read.h.
 *
 * Lazy and possessive marks change nothing for an automaton. Anchors are understood where an
 * alternative begins or ends, which is where people write them.
 */
#include "grammar/read.h"

#include "base/chars.h"
#include "base/utf8.h"

#include <string.h>

struct regex_reader {
    struct grammar_builder *b;
    const char *text, *at, *end;
    unsigned depth;
    bool whole;
};

struct regex_ranges {
    struct expr_range *at;
    size_t n, room;
};

enum { LAST_CODE_POINT = 0x10FFFF };

static const struct expr_range digits[] = {{'0', '9'}};
static const struct expr_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct expr_range spaces[] = {
    {'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
static const struct expr_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static const struct expr *read_alternatives(struct regex_reader *r, bool top);

static void fail(struct regex_reader *r, enum status status, const char *what)
{
    expr_fail(r->b, status, "byte %zu of the expression: %s", (size_t)(r->at - r->text), what);
}

static bool ok(const struct regex_reader *r)
{
    return expr_status(r->b) == STATUS_OK;
}

static bool is(const struct regex_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static bool starts(const struct regex_reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

static uint32_t read_char(struct regex_reader *r)
{
    uint32_t cp = 0;
    size_t n = r->at < r->end ? utf8_decode(r->at, (size_t)(r->end - r->at), &cp) : 0;
    if (n == 0)
        fail(r, STATUS_INVALID, r->at < r->end ? "a character that is not UTF-8" : "it ends early");
    r->at += n > 0 ? n : 1;
    return cp;
}

/* --- ranges --- */

static void add_range(struct regex_reader *r, struct regex_ranges *ranges, uint32_t first,
                      uint32_t last)
{
    if (ranges->n == ranges->room) {
        size_t room = 2 * ranges->room + 8;
        struct expr_range *more = expr_alloc(r->b, room, sizeof *more);
        if (more == NULL)
            return;
        if (ranges->n > 0)
            memcpy(more, ranges->at, ranges->n * sizeof *more);
        ranges->at = more;
        ranges->room = room;
    }
    ranges->at[ranges->n++] = (struct expr_range){first, last};
}

/* Ascending ranges, or all that is outside of them. */
static void add_ranges(struct regex_reader *r, struct regex_ranges *ranges,
                       const struct expr_range *of, size_t n, bool negated)
{
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated)
            add_range(r, ranges, of[i].first, of[i].last);
        else if (of[i].first > next)
            add_range(r, ranges, next, of[i].first - 1);
        next = of[i].last + 1;
    }
    if (negated)
        add_range(r, ranges, next, LAST_CODE_POINT);
}

/* --- escapes --- */

static uint32_t read_hex(struct regex_reader *r, size_t n_digits)
{
    uint32_t value = 0;
    for (size_t i = 0; i < n_digits; i++) {
        int digit = r->at < r->end ? chars_hex(*r->at) : -1;
        if (digit < 0) {
            fail(r, STATUS_INVALID, "an escape lacks hexadecimal digits");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
        r->at++;
    }
    return value;
}

/* After "\u": four digits, a pair of surrogates, or {digits}. */
static uint32_t read_unicode(struct regex_reader *r)
{
    if (is(r, '{')) {
        uint32_t value = 0;
        for (r->at++; ok(r) && !is(r, '}') && value <= LAST_CODE_POINT;)
            value = value << 4 | read_hex(r, 1);
        r->at++;
        if (value > LAST_CODE_POINT)
            fail(r, STATUS_INVALID, "an escape beyond the last code point");
        return value;
    }
    uint32_t high = read_hex(r, 4);
    if (high < 0xD800 || high > 0xDBFF || !starts(r, "\\u"))
        return high;
    r->at += 2;
    uint32_t low = read_hex(r, 4);
    if (low < 0xDC00 || low > 0xDFFF)
        fail(r, STATUS_INVALID, "half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* An escape after its backslash: a class (true), or one character in *cp. */
static bool read_escape(struct regex_reader *r, struct regex_ranges *ranges, uint32_t *cp)
{
    static const char plain[] = "nrtvf0", meant[] = "\n\r\t\v\f";
    char c = r->at < r->end ? *r->at : '\0';
    *cp = 0;
    switch (c) {
    case 'd':
    case 'D':
        r->at++;
        add_ranges(r, ranges, digits, 1, c == 'D');
        return true;
    case 'w':
    case 'W':
        r->at++;
        add_ranges(r, ranges, words, sizeof words / sizeof *words, c == 'W');
        return true;
    case 's':
    case 'S':
        r->at++;
        add_ranges(r, ranges, spaces, sizeof spaces / sizeof *spaces, c == 'S');
        return true;
    case 'x':
        r->at++;
        *cp = read_hex(r, 2);
        return false;
    case 'u':
        r->at++;
        *cp = read_unicode(r);
        return false;
    case 'p':
    case 'P':
        fail(r, STATUS_UNSUPPORTED, "classes by Unicode property (\\p) are not supported");
        return false;
    case 'b':
    case 'B':
        fail(r, STATUS_UNSUPPORTED, "word borders (\\b) are not supported");
        return false;
    case 'k':
        fail(r, STATUS_UNSUPPORTED, "back references are not supported");
        return false;
    default:
        break;
    }
    const char *found = c != '\0' ? strchr(plain, c) : NULL;
    if (c >= '1' && c <= '9')
        fail(r, STATUS_UNSUPPORTED, "back references are not supported");
    else if (found != NULL)
        *cp = (uint32_t)(unsigned char)meant[found - plain];
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\0')
        fail(r, STATUS_INVALID, "an unknown escape");
    else {
        *cp = read_char(r);
        return false;
    }
    r->at++;
    return false;
}

/* --- classes --- */

static const struct expr *read_class(struct regex_reader *r)
{
    struct regex_ranges ranges = {0};
    bool negated = is(r, '^');
    r->at += negated;
    while (ok(r) && !is(r, ']')) {
        uint32_t first, last;
        bool is_class = false;
        if (is(r, '\\')) {
            r->at++;
            is_class = read_escape(r, &ranges, &first);
        } else {
            first = read_char(r);
        }
        if (is_class)
            continue;
        last = first;
        if (is(r, '-') && r->at + 1 < r->end && r->at[1] != ']') {
            const char *minus = r->at++;
            if (is(r, '\\')) {
                r->at++;
                if (read_escape(r, &ranges, &last)) { /* [a-\d]: three members */
                    add_range(r, &ranges, '-', '-');
                    last = first;
                }
            } else {
                last = read_char(r);
            }
            if (ok(r) && first > last) {
                r->at = minus;
                fail(r, STATUS_INVALID, "a range of a class goes backwards");
            }
        }
        if (ok(r))
            add_range(r, &ranges, first, last);
    }
    r->at++;
    return ok(r) ? expr_class(r->b, ranges.at, ranges.n, negated) : expr_text(r->b, "", 0);
}

/* --- items --- */

static const struct expr *read_group(struct regex_reader *r)
{
    if (starts(r, "?=") || starts(r, "?!") || starts(r, "?<=") || starts(r, "?<!"))
        fail(r, STATUS_UNSUPPORTED, "looking around ((?=...), (?<...)) is not supported");
    else if (starts(r, "?:"))
        r->at += 2;
    else if (starts(r, "?<") || starts(r, "?P<")) {
        while (r->at < r->end && *r->at != '>')
            r->at++;
        r->at++;
    } else if (is(r, '?'))
        fail(r, STATUS_UNSUPPORTED,
             "groups other than (...), (?:...) and (?<name>...) are not supported");
    const struct expr *e = ok(r) ? read_alternatives(r, false) : expr_text(r->b, "", 0);
    if (ok(r) && !is(r, ')'))
        fail(r, STATUS_INVALID, "a group is not closed by )");
    r->at++;
    return e;
}

static const struct expr *read_one(struct regex_reader *r)
{
    char bytes[4];
    uint32_t cp = 0;
    if (is(r, '(')) {
        r->at++;
        return read_group(r);
    }
    if (is(r, '[')) {
        r->at++;
        return read_class(r);
    }
    if (is(r, '.')) {
        r->at++;
        return expr_class(r->b, line_ends, sizeof line_ends / sizeof *line_ends, true);
    }
    if (is(r, '*') || is(r, '+') || is(r, '?'))
        fail(r, STATUS_INVALID, "there is nothing to repeat");
    else if (is(r, '^') || is(r, '$'))
        fail(r, STATUS_UNSUPPORTED, "an anchor in the middle is not supported");
    else if (is(r, '\\')) {
        struct regex_ranges ranges = {0};
        r->at++;
        if (read_escape(r, &ranges, &cp))
            return ok(r) ? expr_class(r->b, ranges.at, ranges.n, false) : expr_text(r->b, "", 0);
    } else {
        cp = read_char(r);
    }
    if (ok(r) && cp >= 0xD800 && cp <= 0xDFFF)
        fail(r, STATUS_INVALID, "half of a surrogate pair");
    return ok(r) ? expr_text(r->b, bytes, utf8_encode(cp, bytes)) : expr_text(r->b, "", 0);
}

/* {3}, {3,} and {3,5}; anything else after a brace is text, as it is in practice. */
static bool read_braces(struct regex_reader *r, uint32_t *min, uint32_t *max)
{
    const char *at = r->at + 1;
    uint32_t numbers[2] = {0, 0};
    int n = 0;
    for (; n < 2; n++) {
        const char *begin = at;
        for (; at < r->end && *at >= '0' && *at <= '9'; at++)
            numbers[n] = numbers[n] < EXPR_MANY / 20 ? numbers[n] * 10 + (uint32_t)(*at - '0')
                                                     : EXPR_MANY / 20;
        if (at == begin && n == 0)
            return false;
        numbers[n] = at == begin ? EXPR_MANY : numbers[n];
        if (at >= r->end || (*at != ',' && *at != '}') || (n == 1 && *at == ','))
            return false;
        if (*at++ == '}')
            break;
    }
    *min = numbers[0];
    *max = n == 0 ? numbers[0] : numbers[1];
    if (*min > *max)
        fail(r, STATUS_INVALID, "a repetition's most is less than its least");
    r->at = at;
    return true;
}

static const struct expr *read_repetitions(struct regex_reader *r, const struct expr *e)
{
    while (ok(r) && r->at < r->end) {
        uint32_t min = 0, max = EXPR_MANY;
        if (is(r, '*') || is(r, '+') || is(r, '?')) {
            min = *r->at == '+';
            max = *r->at == '?' ? 1 : EXPR_MANY;
            r->at++;
        } else if (!is(r, '{') || !read_braces(r, &min, &max)) {
            break;
        }
        if (is(r, '?') || is(r, '+')) /* lazy, possessive: the same texts */
            r->at++;
        e = ok(r) ? expr_repeat(r->b, e, min, max) : e;
    }
    return e;
}

/* Any text at all: around what need not match all of one. */
static const struct expr *anything(struct regex_reader *r)
{
    return expr_repeat(r->b, expr_class(r->b, NULL, 0, true), 0, EXPR_MANY);
}

static const struct expr *read_sequence(struct regex_reader *r, bool top)
{
    struct expr_list list = {0};
    bool at_start = is(r, '^'), at_end = false;
    r->at += at_start;
    if (top && !at_start && !r->whole)
        expr_list_add(r->b, &list, anything(r));
    while (ok(r) && r->at < r->end && *r->at != '|' && *r->at != ')') {
        if (*r->at == '$' && (r->at + 1 == r->end || r->at[1] == '|' || r->at[1] == ')')) {
            at_end = true;
            r->at++;
            continue;
        }
        expr_list_add(r->b, &list, read_repetitions(r, read_one(r)));
    }
    if ((at_start || at_end) && !top)
        fail(r, STATUS_UNSUPPORTED, "an anchor inside a group is not supported");
    if (top && !at_end && !r->whole)
        expr_list_add(r->b, &list, anything(r));
    return expr_sequence(r->b, list.at, list.n);
}

static const struct expr *read_alternatives(struct regex_reader *r, bool top)
{
    struct expr_list list = {0};
    if (++r->depth > 200)
        fail(r, STATUS_TOO_LARGE, "groups are nested too deep");
    while (ok(r)) {
        expr_list_add(r->b, &list, read_sequence(r, top));
        if (!is(r, '|'))
            break;
        r->at++;
    }
    r->depth--;
    return expr_choice(r->b, list.at, list.n);
}

const struct expr *regex_read(struct grammar_builder *b, const char *text, size_t n, bool whole)
{
    struct regex_reader r = {.b = b, .text = text, .at = text, .end = text + n, .whole = whole};
    const struct expr *e = read_alternatives(&r, true);
    if (ok(&r) && r.at < r.end)
        fail(&r, STATUS_INVALID, "a ) that closes nothing");
    return e;
}
