/* json.c - a strict, iterative RFC 8259 recognizer, and exact reading of what it accepted. It
 * decides what cJSON may see; it builds nothing and knows no field. Pure; any thread. */
#include "api/json/json.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct scan {
    const char *text;
    size_t n, at;
    struct error *err;
};

static enum status refuse(const struct scan *s, size_t at, const char *expected)
{
    if (at >= s->n)
        return error_set(s->err, STATUS_FORMAT,
                         "not JSON: byte %zu: expected %s, but the text ends", at, expected);
    unsigned char c = (unsigned char)s->text[at];
    if (c < 0x20 || c >= 0x7f)
        return error_set(s->err, STATUS_FORMAT,
                         "not JSON: byte %zu: expected %s, found byte 0x%02x", at, expected, c);
    return error_set(s->err, STATUS_FORMAT, "not JSON: byte %zu: expected %s, found '%c'", at,
                     expected, c);
}

static bool at_char(const struct scan *s, char c)
{
    return s->at < s->n && s->text[s->at] == c;
}

static bool at_digit(const struct scan *s)
{
    return s->at < s->n && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

static void skip_space(struct scan *s)
{
    while (s->at < s->n && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
                            s->text[s->at] == '\n' || s->text[s->at] == '\r'))
        s->at++;
}

/* The four digits of an escape at text[0..4); false when they are not. */
static bool read_hex4(const char *text, size_t n, unsigned *out)
{
    if (n < 4)
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = text[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return false;
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

static bool is_high(unsigned unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(unsigned unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* At the backslash of an escape. */
static enum status check_escape(struct scan *s)
{
    size_t begin = s->at++;
    if (s->at >= s->n || strchr("\"\\/bfnrtu", s->text[s->at]) == NULL || s->text[s->at] == '\0')
        return refuse(s, s->at, "one of \" \\ / b f n r t u after a backslash");
    if (s->text[s->at++] != 'u')
        return STATUS_OK;
    unsigned unit, second;
    if (!read_hex4(s->text + s->at, s->n - s->at, &unit))
        return refuse(s, s->at, "four hexadecimal digits after \\u");
    s->at += 4;
    if (is_high(unit)) {
        bool paired = s->n - s->at >= 6 && s->text[s->at] == '\\' && s->text[s->at + 1] == 'u' &&
                      read_hex4(s->text + s->at + 2, s->n - s->at - 2, &second) && is_low(second);
        if (!paired)
            return refuse(s, begin, "a surrogate that is followed by its second half");
        s->at += 6;
    } else if (is_low(unit)) {
        return refuse(s, begin, "the first half of a surrogate pair before its second");
    }
    return STATUS_OK;
}

/* At the opening quote. */
static enum status check_string(struct scan *s)
{
    s->at++;
    for (;;) {
        if (s->at >= s->n)
            return refuse(s, s->at, "the closing quote of a string");
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return STATUS_OK;
        }
        if (c == '\\') {
            if (check_escape(s) != STATUS_OK)
                return STATUS_FORMAT;
        } else if (c < 0x20) {
            return refuse(s, s->at, "control characters in a string to be escaped");
        } else if (c < 0x80) {
            s->at++;
        } else {
            uint32_t cp;
            size_t length = utf8_decode(s->text + s->at, s->n - s->at, &cp);
            if (length == 0)
                return refuse(s, s->at, "well-formed UTF-8");
            s->at += length;
        }
    }
}

static enum status check_digits(struct scan *s, const char *expected)
{
    if (!at_digit(s))
        return refuse(s, s->at, expected);
    while (at_digit(s))
        s->at++;
    return STATUS_OK;
}

static enum status check_number(struct scan *s)
{
    if (at_char(s, '-'))
        s->at++;
    if (at_char(s, '0')) {
        s->at++;
        if (at_digit(s))
            return refuse(s, s->at, "no digit after a leading zero");
    } else if (check_digits(s, "a digit") != STATUS_OK) {
        return STATUS_FORMAT;
    }
    if (at_char(s, '.')) {
        s->at++;
        if (check_digits(s, "a digit after the decimal point") != STATUS_OK)
            return STATUS_FORMAT;
    }
    if (at_char(s, 'e') || at_char(s, 'E')) {
        s->at++;
        if (at_char(s, '+') || at_char(s, '-'))
            s->at++;
        if (check_digits(s, "a digit of the exponent") != STATUS_OK)
            return STATUS_FORMAT;
    }
    return STATUS_OK;
}

static enum status check_word(struct scan *s, const char *word)
{
    size_t length = strlen(word);
    if (s->n - s->at < length || memcmp(s->text + s->at, word, length) != 0)
        return refuse(s, s->at, "a value (object, array, string, number, true, false or null)");
    s->at += length;
    return STATUS_OK;
}

/* Any value that holds no other. */
static enum status check_scalar(struct scan *s)
{
    char c = s->at < s->n ? s->text[s->at] : '\0';
    if (c == '"')
        return check_string(s);
    if (c == '-' || (c >= '0' && c <= '9'))
        return check_number(s);
    return check_word(s, c == 't' ? "true" : c == 'f' ? "false" : "null");
}

/* A member's name and its colon. */
static enum status check_name(struct scan *s)
{
    skip_space(s);
    if (!at_char(s, '"'))
        return refuse(s, s->at, "a name in quotes");
    if (check_string(s) != STATUS_OK)
        return STATUS_FORMAT;
    skip_space(s);
    if (!at_char(s, ':'))
        return refuse(s, s->at, "':' after a name");
    s->at++;
    return STATUS_OK;
}

struct nesting {
    uint64_t object[JSON_DEPTH_MAX / 64]; /* one bit a level: object, else array */
    size_t depth;
};

static bool in_object(const struct nesting *nest)
{
    size_t level = nest->depth - 1;
    return nest->object[level / 64] >> level % 64 & 1;
}

static void push(struct nesting *nest, bool object)
{
    uint64_t bit = UINT64_C(1) << nest->depth % 64;
    uint64_t *word = &nest->object[nest->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    nest->depth++;
}

/* After a value: closes what ends here. *more: another value of the same array or object follows.
 */
static enum status check_after(struct scan *s, struct nesting *nest, bool *more)
{
    *more = false;
    while (nest->depth > 0) {
        bool object = in_object(nest);
        skip_space(s);
        if (at_char(s, ',')) {
            s->at++;
            *more = true;
            return object ? check_name(s) : STATUS_OK;
        }
        if (!at_char(s, object ? '}' : ']'))
            return refuse(s, s->at, object ? "',' or '}'" : "',' or ']'");
        s->at++;
        nest->depth--;
    }
    return STATUS_OK;
}

/* At '{' or '['. *empty: it is closed again. */
static enum status check_open(struct scan *s, struct nesting *nest, size_t max_depth, bool *empty)
{
    bool object = s->text[s->at] == '{';
    if (nest->depth >= max_depth)
        return error_set(s->err, STATUS_FORMAT,
                         "byte %zu: arrays and objects may be nested %zu deep, not deeper", s->at,
                         max_depth);
    s->at++;
    skip_space(s);
    *empty = at_char(s, object ? '}' : ']');
    if (*empty) {
        s->at++;
        return STATUS_OK;
    }
    push(nest, object);
    return object ? check_name(s) : STATUS_OK;
}

enum status json_check(const char *text, size_t n, size_t max_depth, size_t max_nodes,
                       struct error *err)
{
    struct scan s = {text, n, 0, err};
    struct nesting nest = {.depth = 0};
    if (max_depth > JSON_DEPTH_MAX)
        max_depth = JSON_DEPTH_MAX;
    for (size_t n_nodes = 1;; n_nodes++) {
        skip_space(&s);
        if (n_nodes > max_nodes)
            return error_set(err, STATUS_TOO_LARGE, "byte %zu: a body may hold %zu values, no more",
                             s.at, max_nodes);
        if (at_char(&s, '{') || at_char(&s, '[')) {
            bool empty = false;
            enum status status = check_open(&s, &nest, max_depth, &empty);
            if (status != STATUS_OK)
                return status;
            if (!empty)
                continue;
        } else if (check_scalar(&s) != STATUS_OK) {
            return STATUS_FORMAT;
        }
        bool more;
        if (check_after(&s, &nest, &more) != STATUS_OK)
            return STATUS_FORMAT;
        if (more)
            continue;
        skip_space(&s);
        return s.at == n ? STATUS_OK : refuse(&s, s.at, "the end of the text");
    }
}

/* The place after the string whose opening quote is at text[at]. */
static size_t skip_string(const char *text, size_t at)
{
    for (at++; text[at] != '"'; at++)
        at += text[at] == '\\';
    return at + 1;
}

/* The place after the value that begins at text[at]. */
static size_t skip_value(const char *text, size_t n, size_t at)
{
    size_t depth = 0;
    do {
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (depth == 0) {
            while (at < n && strchr(",]} \t\r\n", text[at]) == NULL)
                at++;
            return at;
        }
        at++;
    } while (depth > 0);
    return at;
}

bool json_next_member(const char *text, size_t n, size_t *at, struct json_span *name,
                      struct json_span *value)
{
    struct scan s = {text, n, *at, NULL};
    skip_space(&s);
    if (*at == 0 && !at_char(&s, '{'))
        return false;
    if (at_char(&s, '}') || s.at >= n)
        return false;
    s.at++; /* the brace before the first member, the comma before the others */
    skip_space(&s);
    if (!at_char(&s, '"'))
        return false;
    size_t end = skip_string(text, s.at);
    *name = (struct json_span){text + s.at + 1, end - s.at - 2};
    s.at = end;
    skip_space(&s);
    s.at++; /* the colon */
    skip_space(&s);
    end = skip_value(text, n, s.at);
    *value = (struct json_span){text + s.at, end - s.at};
    *at = end;
    return true;
}

bool json_next_element(const char *text, size_t n, size_t *at, struct json_span *value)
{
    struct scan s = {text, n, *at, NULL};
    skip_space(&s);
    if (*at == 0 && !at_char(&s, '['))
        return false;
    if (at_char(&s, ']') || s.at >= n)
        return false;
    s.at++; /* the bracket before the first element, the comma before the others */
    skip_space(&s);
    if (at_char(&s, ']')) /* an empty array */
        return false;
    size_t end = skip_value(text, n, s.at);
    *value = (struct json_span){text + s.at, end - s.at};
    *at = end;
    return true;
}

bool json_is_string(struct json_span value, const char *text)
{
    size_t n = strlen(text);
    return value.n == n + 2 && value.at[0] == '"' && memcmp(value.at + 1, text, n) == 0;
}

bool json_has_nul(struct json_span part)
{
    for (size_t i = 0; i + 1 < part.n; i++) {
        if (part.at[i] != '\\')
            continue;
        i++; /* the escaped character, so that the second of two backslashes escapes nothing */
        unsigned unit;
        if (part.at[i] == 'u' && read_hex4(part.at + i + 1, part.n - i - 1, &unit) && unit == 0)
            return true;
    }
    return false;
}

enum json_integer json_integer(struct json_span number, bool *negative, uint64_t *magnitude)
{
    const char *p = number.at, *end = number.at + number.n;
    *negative = p < end && *p == '-';
    p += *negative;
    const char *digits = p;
    while (p < end && *p != 'e' && *p != 'E')
        p++;
    const char *digits_end = p;
    /* An exponent that saturates is decided by its sign alone: no text is a billion digits long. */
    int64_t exponent = 0;
    bool down = false;
    for (p += p < end; p < end; p++) {
        if (*p == '-')
            down = true;
        else if (*p != '+' && exponent < 1000000000000)
            exponent = exponent * 10 + (*p - '0');
    }
    if (down)
        exponent = -exponent;
    /* value = the digits without their point, times 10^exponent */
    const char *point = memchr(digits, '.', (size_t)(digits_end - digits));
    if (point != NULL)
        exponent -= digits_end - point - 1;
    while (digits_end > digits && (digits_end[-1] == '0' || digits_end[-1] == '.')) {
        exponent += digits_end[-1] == '0';
        digits_end--;
    }
    uint64_t value = 0;
    bool huge = false;
    for (p = digits; p < digits_end; p++)
        if (*p != '.')
            huge |= __builtin_mul_overflow(value, 10u, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value);
    *magnitude = 0;
    if (value == 0 && !huge)
        return JSON_INTEGER;
    if (exponent < 0)
        return JSON_FRACTION;
    for (; exponent > 0 && !huge; exponent--)
        huge = __builtin_mul_overflow(value, 10u, &value);
    if (huge)
        return JSON_HUGE;
    *magnitude = value;
    return JSON_INTEGER;
}
