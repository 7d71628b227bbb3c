/* lexer.c - cuts a template into tokens. In the heap of the template that is parsed.
 *
 * Line ends become \n and one at the very end goes, as jinja2 reads a template; then a newline
 * after a tag, and blanks between a line's begin and a tag (not an output), are dropped.
 */
#include "jinja/syntax/lexer.h"

#include "base/chars.h"
#include "base/utf8.h"
#include "jinja/library/letters.h"
#include "jinja/numbers.h"
#include "jinja/text.h"

#include <ctype.h>
#include <string.h>

struct lexer {
    struct jinja_heap *heap;
    const char *text; /* with \n alone */
    size_t n, at;
    int line;
    bool line_starts; /* the last match ended with a newline, or nothing has been read */
    struct jinja_tokens tokens;
    size_t room;
    char open[128]; /* brackets inside the tag */
    size_t n_open;
};

_Noreturn static void fault(struct lexer *l, const char *what)
{
    jinja_at_line(l->heap, l->line);
    jinja_fail_as(l->heap, STATUS_FORMAT, "%s", what);
}

static struct jinja_token *add(struct lexer *l, enum jinja_token_kind kind)
{
    if (l->tokens.n == l->room) {
        size_t room = l->room == 0 ? 256 : l->room * 2, size = sizeof l->tokens.at[0];
        l->tokens.at = jinja_grow(l->heap, l->tokens.at, l->room * size, room * size);
        l->room = room;
    }
    jinja_steps(l->heap, 1);
    struct jinja_token *token = &l->tokens.at[l->tokens.n++];
    token->kind = kind;
    token->line = l->line;
    return token;
}

static void count_lines(struct lexer *l, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        l->line += l->text[i] == '\n';
}

static bool starts(const struct lexer *l, size_t at, const char *what)
{
    size_t n = strlen(what);
    return l->n - at >= n && memcmp(l->text + at, what, n) == 0;
}

/* Past white space, from at on. */
static size_t past_blanks(const struct lexer *l, size_t at)
{
    while (at < l->n) {
        uint32_t cp = (unsigned char)l->text[at];
        size_t size = 1;
        if (cp >= 0x80)
            size = utf8_decode(l->text + at, l->n - at, &cp);
        if (!letters_is_space(cp))
            break;
        at += size;
    }
    return at;
}

static size_t before_blanks(const struct lexer *l, size_t begin, size_t end)
{
    while (end > begin) {
        size_t at = end - 1;
        while (at > begin && ((unsigned char)l->text[at] & 0xc0) == 0x80)
            at--;
        uint32_t cp = (unsigned char)l->text[at];
        if (cp >= 0x80)
            utf8_decode(l->text + at, end - at, &cp);
        if (!letters_is_space(cp))
            break;
        end = at;
    }
    return end;
}

/* The end of the data before a tag whose sign is given: '-', '+' or another. */
static size_t data_end(const struct lexer *l, size_t begin, size_t end, char sign, bool strip_line)
{
    if (sign == '-')
        return before_blanks(l, begin, end);
    if (sign == '+' || !strip_line)
        return end;
    size_t line = end;
    while (line > begin && l->text[line - 1] != '\n')
        line--;
    if (line == begin && !l->line_starts)
        return end;
    return line < end && past_blanks(l, line) >= end ? line : end;
}

static void add_data(struct lexer *l, size_t begin, size_t end)
{
    if (end > begin)
        add(l, JINJA_T_DATA)->text = jinja_text_new(l->heap, l->text + begin, end - begin, false);
}

/* Moves past a tag's end of n bytes at `at`, and past what its sign or a newline drops. */
static void pass(struct lexer *l, size_t at, size_t n, bool strip, bool newline)
{
    size_t begin = l->at, end = at + n;
    if (strip)
        end = past_blanks(l, end);
    else if (newline && end < l->n && l->text[end] == '\n')
        end++;
    count_lines(l, begin, end);
    l->line_starts = end > at && l->text[end - 1] == '\n';
    l->at = end;
}

static char sign_at(const struct lexer *l, size_t at)
{
    return at < l->n && (l->text[at] == '-' || l->text[at] == '+') ? l->text[at] : '\0';
}

static void skip_comment(struct lexer *l)
{
    for (size_t at = l->at; at < l->n; at++) {
        char sign = sign_at(l, at);
        if (sign != '\0' && starts(l, at + 1, "#}")) {
            pass(l, at, 3, sign == '-', false);
            return;
        }
        if (starts(l, at, "#}")) {
            pass(l, at, 2, false, true);
            return;
        }
    }
    fault(l, "a comment has no end");
}

/* Is this the tag `name` alone? *end: where its %} begins, or the sign before it. */
static bool is_tag(const struct lexer *l, size_t at, const char *name, size_t *end)
{
    if (!starts(l, at, "{%"))
        return false;
    at += 2;
    at = past_blanks(l, sign_at(l, at) != '\0' ? at + 1 : at);
    if (!starts(l, at, name))
        return false;
    at = past_blanks(l, at + strlen(name));
    *end = at;
    return starts(l, sign_at(l, at) != '\0' ? at + 1 : at, "%}");
}

static void read_raw(struct lexer *l)
{
    for (size_t at = l->at, end; at < l->n; at++) {
        if (!is_tag(l, at, "endraw", &end))
            continue;
        add_data(l, l->at, data_end(l, l->at, at, sign_at(l, at + 2), true));
        char sign = sign_at(l, end);
        pass(l, sign != '\0' ? end + 1 : end, 2, sign == '-', sign == '\0');
        return;
    }
    fault(l, "{% raw %} has no {% endraw %}");
}

static bool is_name_byte(unsigned char c)
{
    return c >= 0x80 || c == '_' || isalnum(c);
}

static unsigned digit_of(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : ((unsigned char)c | 32u) - 'a' + 10u;
}

/* \xHH, \uHHHH, \UHHHHHHHH; *at is after the letter. */
static void add_code(struct lexer *l, struct jinja_builder *b, size_t *at, size_t end, size_t n)
{
    uint32_t cp = 0;
    for (size_t i = 0; i < n; i++, ++*at) {
        if (*at >= end || !isxdigit((unsigned char)l->text[*at]))
            fault(l, "an escape in a string is cut");
        cp = cp << 4 | digit_of(l->text[*at]);
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        fault(l, "an escape in a string stands for no character");
    char bytes[4];
    jinja_add(b, bytes, utf8_encode(cp, bytes), false);
}

static void add_escape(struct lexer *l, struct jinja_builder *b, size_t *at, size_t end)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = l->text[(*at)++];
    const char *found = memchr(from, c, sizeof from - 1);
    if (found != NULL) {
        jinja_add(b, &to[found - from], 1, false);
    } else if (c == '\n') {
    } else if (c == 'x' || c == 'u' || c == 'U') {
        add_code(l, b, at, end, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
        uint32_t cp = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *at < end && l->text[*at] >= '0' && l->text[*at] <= '7'; i++)
            cp = cp * 8 + (uint32_t)(l->text[(*at)++] - '0');
        char bytes[4];
        jinja_add(b, bytes, utf8_encode(cp, bytes), false);
    } else if (c == 'N') {
        fault(l, "\\N{...} in a string is not supported; write the character itself");
    } else { /* no escape: both characters */
        jinja_add(b, "\\", 1, false);
        --*at;
        size_t size = 1;
        while (*at + size < end && ((unsigned char)l->text[*at + size] & 0xc0) == 0x80)
            size++;
        jinja_add(b, l->text + *at, size, false);
        *at += size;
    }
}

static void read_string(struct lexer *l)
{
    char quote = l->text[l->at];
    size_t end = l->at + 1;
    while (end < l->n && l->text[end] != quote)
        end += l->text[end] == '\\' ? 2 : 1;
    if (end >= l->n)
        fault(l, "a string has no end");
    struct jinja_token *token = add(l, JINJA_T_STRING);
    struct jinja_builder b = {.heap = l->heap};
    for (size_t at = l->at + 1; at < end;) {
        size_t from = at;
        while (at < end && l->text[at] != '\\')
            at++;
        jinja_add(&b, l->text + from, at - from, false);
        if (at++ < end)
            add_escape(l, &b, &at, end);
    }
    token->text = jinja_finish(&b);
    count_lines(l, l->at, end + 1);
    l->at = end + 1;
}

/* Digits with single underscores between them; where they end. */
static size_t past_digits(const struct lexer *l, size_t at)
{
    while (at < l->n &&
           (isdigit((unsigned char)l->text[at]) ||
            (l->text[at] == '_' && at + 1 < l->n && isdigit((unsigned char)l->text[at + 1]))))
        at++;
    return at;
}

static void read_number(struct lexer *l)
{
    size_t begin = l->at, end = past_digits(l, begin);
    bool after_dot = begin > 0 && l->text[begin - 1] == '.', fraction = false;
    int base = 10;
    if (l->text[begin] == '0' && begin + 2 < l->n && chars_have("xXoObB", l->text[begin + 1])) {
        char kind = (char)(l->text[begin + 1] | 32);
        base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
        for (end = begin + 2; end < l->n; end++)
            if (l->text[end] != '_' && (!isxdigit((unsigned char)l->text[end]) ||
                                        digit_of(l->text[end]) >= (unsigned)base))
                break;
    } else if (!after_dot) {
        if (end + 1 < l->n && l->text[end] == '.' && isdigit((unsigned char)l->text[end + 1])) {
            end = past_digits(l, end + 1);
            fraction = true;
        }
        size_t exponent = end + 1;
        if (end < l->n && (l->text[end] | 32) == 'e') {
            exponent += sign_at(l, exponent) != '\0';
            if (exponent < l->n && isdigit((unsigned char)l->text[exponent])) {
                end = past_digits(l, exponent);
                fraction = true;
            }
        }
    }
    char digits[128];
    size_t n = 0;
    for (size_t i = begin + (base == 10 ? 0 : 2); i < end; i++) {
        if (n == sizeof digits - 1)
            fault(l, "a number has more than 127 digits");
        if (l->text[i] != '_')
            digits[n++] = l->text[i];
    }
    digits[n] = '\0';
    struct jinja_token *token = add(l, JINJA_T_NUMBER);
    token->number = fraction ? jinja_float(numbers_read_double(digits))
                             : numbers_read_int(l->heap, digits, n, base, false);
    l->at = end;
}

static void read_operator(struct lexer *l)
{
    static const char two[][3] = {"==", "!=", ">=", "<=", "//", "**"};
    char c = l->text[l->at];
    size_t n = 1;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (starts(l, l->at, two[i]))
            n = 2;
    if (n == 1 && !chars_have("+-/*%~[](){}<>=.:|,;", c))
        fault(l, "a character that means nothing inside a tag");
    if (c == '(' || c == '[' || c == '{') {
        if (l->n_open == sizeof l->open)
            fault(l, "brackets are more than 128 deep");
        l->open[l->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (l->n_open == 0 || l->open[--l->n_open] != c)
            fault(l, "a closing bracket without the one that opens it");
    }
    struct jinja_token *token = add(l, JINJA_T_OPERATOR);
    memcpy(token->operator, l->text + l->at, n);
    l->at += n;
}

/* Tokens up to the tag's end; close: "}}" or "%}". */
static void read_inside(struct lexer *l, const char *close, enum jinja_token_kind kind)
{
    bool tag = kind == JINJA_T_CLOSE_TAG;
    l->n_open = 0;
    for (;;) {
        size_t at = past_blanks(l, l->at);
        count_lines(l, l->at, at);
        l->at = at;
        if (l->at >= l->n)
            fault(l, tag ? "a tag has no %}" : "an output has no }}");
        char c = l->text[l->at], sign = sign_at(l, l->at);
        if (l->n_open == 0 && starts(l, l->at, close)) {
            add(l, kind);
            pass(l, l->at, 2, false, tag);
            return;
        }
        if (l->n_open == 0 && (sign == '-' || (sign == '+' && tag)) &&
            starts(l, l->at + 1, close)) {
            add(l, kind);
            pass(l, l->at + 1, 2, sign == '-', false);
            return;
        }
        if (c == '\'' || c == '"') {
            read_string(l);
        } else if (isdigit((unsigned char)c)) {
            read_number(l);
        } else if (is_name_byte((unsigned char)c)) {
            size_t end = l->at;
            while (end < l->n && is_name_byte((unsigned char)l->text[end]))
                end++;
            add(l, JINJA_T_NAME)->text =
                jinja_text_new(l->heap, l->text + l->at, end - l->at, false);
            l->at = end;
        } else {
            read_operator(l);
        }
    }
}

/* The kind of tag that opens, whose sign has been looked at. */
static void read_tag(struct lexer *l, char kind, size_t raw_end)
{
    if (raw_end != 0) {
        char sign = sign_at(l, raw_end);
        pass(l, sign != '\0' ? raw_end + 1 : raw_end, 2, sign == '-', false);
        read_raw(l);
        return;
    }
    l->at += sign_at(l, l->at + 2) != '\0' ? 3 : 2;
    if (kind == '#') {
        skip_comment(l);
    } else if (kind == '%') {
        add(l, JINJA_T_OPEN_TAG);
        read_inside(l, "%}", JINJA_T_CLOSE_TAG);
    } else {
        add(l, JINJA_T_OPEN_OUTPUT);
        read_inside(l, "}}", JINJA_T_CLOSE_OUTPUT);
    }
}

static void read_all(struct lexer *l)
{
    while (l->at < l->n) {
        size_t at = l->at;
        while (at < l->n &&
               !(l->text[at] == '{' && at + 1 < l->n && chars_have("{%#", l->text[at + 1])))
            at++;
        if (at == l->n) {
            add_data(l, l->at, l->n);
            break;
        }
        char kind = l->text[at + 1];
        size_t raw_end = 0;
        if (!is_tag(l, at, "raw", &raw_end))
            raw_end = 0;
        add_data(l, l->at, data_end(l, l->at, at, sign_at(l, at + 2), kind != '{'));
        count_lines(l, l->at, at);
        l->at = at;
        read_tag(l, kind, raw_end);
    }
    add(l, JINJA_T_END);
}

struct jinja_tokens jinja_lex(struct jinja_heap *heap, const char *text, size_t n)
{
    char *copy = jinja_alloc(heap, n + 1, 1);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n')
            continue;
        copy[kept++] = text[i] == '\r' ? '\n' : text[i];
    }
    kept -= kept > 0 && copy[kept - 1] == '\n';
    struct lexer l = {.heap = heap, .text = copy, .n = kept, .line = 1, .line_starts = true};
    read_all(&l);
    return l.tokens;
}
