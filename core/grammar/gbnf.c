/* gbnf.c - llama.cpp's grammars: NAME ::= alternatives, with strings, classes, groups and
 * repetitions. See read.h.
 *
 * An alternative goes on over a new line only inside a group, or where the line ends or the next
 * one begins with "|".
 */
#include "grammar/read.h"

#include "base/chars.h"
#include "base/utf8.h"

#include <string.h>

/* Rules by name, as a tree of its characters: no choice of names makes it slow. */
struct name_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t rule;           /* plus one; 0: no name ends here */
    char c;
};

struct gbnf_reader {
    struct grammar_builder *b;
    const char *at, *end;
    unsigned line, depth;
    struct name_node *names; /* [n_names]; the first is the root */
    size_t n_names, names_room;
};

static const struct expr *read_alternatives(struct gbnf_reader *r, bool nested);

static void fail(struct gbnf_reader *r, const char *what)
{
    expr_fail(r->b, STATUS_INVALID, "line %u: %s", r->line, what);
}

static bool ok(const struct gbnf_reader *r)
{
    return expr_status(r->b) == STATUS_OK;
}

static bool is(const struct gbnf_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static void skip_space(struct gbnf_reader *r, bool over_lines)
{
    while (r->at < r->end) {
        if (*r->at == '#') {
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        } else if (*r->at == ' ' || *r->at == '\t' || *r->at == '\r') {
            r->at++;
        } else if (*r->at == '\n' && over_lines) {
            r->at++;
            r->line++;
        } else {
            return;
        }
    }
}

static size_t read_name(struct gbnf_reader *r, const char **name)
{
    *name = r->at;
    while (r->at < r->end && is_name(*r->at))
        r->at++;
    return (size_t)(r->at - *name);
}

static uint32_t new_name_node(struct gbnf_reader *r, struct name_node node)
{
    if (r->n_names == r->names_room) {
        size_t room = r->names_room > 0 ? 2 * r->names_room : 256;
        struct name_node *more = expr_alloc(r->b, room, sizeof *more);
        if (more == NULL)
            return 0;
        if (r->n_names > 0)
            memcpy(more, r->names, r->n_names * sizeof *more);
        r->names = more;
        r->names_room = room;
    }
    r->names[r->n_names] = node;
    return (uint32_t)r->n_names++;
}

/* The rule of a name; it is declared the first time that it is named. */
static uint32_t find_rule(struct gbnf_reader *r, const char *name, size_t n)
{
    uint32_t at = 0;
    if (r->n_names == 0)
        new_name_node(r, (struct name_node){0});
    if (r->names == NULL) /* no memory, as the builder says */
        return 0;
    for (size_t i = 0; i < n && ok(r); i++) {
        uint32_t child = r->names[at].child;
        while (child != 0 && r->names[child].c != name[i])
            child = r->names[child].sibling;
        if (child == 0) {
            child =
                new_name_node(r, (struct name_node){.sibling = r->names[at].child, .c = name[i]});
            r->names[at].child = child;
        }
        at = child;
    }
    if (!ok(r))
        return 0;
    if (r->names[at].rule == 0)
        r->names[at].rule = rule_declare(r->b, name, n) + 1;
    return r->names[at].rule - 1;
}

/* --- characters --- */

static uint32_t read_hex(struct gbnf_reader *r, unsigned n_digits)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n_digits; i++, r->at++) {
        int digit = r->at < r->end ? chars_hex(*r->at) : -1;
        if (digit < 0) {
            expr_fail(r->b, STATUS_INVALID, "line %u: an escape needs %u hexadecimal digits",
                      r->line, n_digits);
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        fail(r, "an escape names no Unicode character");
    return value;
}

static uint32_t read_escape(struct gbnf_reader *r)
{
    char c = r->at < r->end ? *r->at++ : '\0';
    switch (c) {
    case 'x':
        return read_hex(r, 2);
    case 'u':
        return read_hex(r, 4);
    case 'U':
        return read_hex(r, 8);
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
        return (uint32_t)(unsigned char)c;
    default:
        fail(r,
             "an unknown escape: \\x, \\u, \\U, \\t, \\r, \\n, \\\\, \\\", \\[ and \\] are known");
        return 0;
    }
}

static uint32_t read_char(struct gbnf_reader *r)
{
    uint32_t cp = 0;
    if (r->at >= r->end) {
        fail(r, "the grammar ends inside a string or a class");
        return 0;
    }
    if (*r->at == '\\') {
        r->at++;
        return read_escape(r);
    }
    size_t n = utf8_decode(r->at, (size_t)(r->end - r->at), &cp);
    if (n == 0)
        fail(r, "a character that is not UTF-8");
    r->line += *r->at == '\n';
    r->at += n > 0 ? n : 1;
    return cp;
}

static const struct expr *read_string(struct gbnf_reader *r)
{
    struct expr_list list = {0};
    while (ok(r) && !is(r, '"')) {
        char bytes[4];
        uint32_t cp = read_char(r);
        if (ok(r))
            expr_list_add(r->b, &list, expr_text(r->b, bytes, utf8_encode(cp, bytes)));
    }
    r->at++;
    return expr_sequence(r->b, list.at, list.n);
}

static const struct expr *read_class(struct gbnf_reader *r)
{
    bool negated = is(r, '^');
    struct expr_range *ranges = NULL;
    size_t n = 0, room = 0;
    r->at += negated;
    while (ok(r) && !is(r, ']')) {
        uint32_t first = read_char(r), last = first;
        if (is(r, '-') && r->at + 1 < r->end && r->at[1] != ']') {
            r->at++;
            last = read_char(r);
        }
        if (first > last)
            fail(r, "a range of a class goes backwards");
        if (n == room) {
            struct expr_range *more = expr_alloc(r->b, room = 2 * room + 8, sizeof *more);
            if (more == NULL)
                break;
            if (n > 0)
                memcpy(more, ranges, n * sizeof *more);
            ranges = more;
        }
        if (ok(r))
            ranges[n++] = (struct expr_range){first, last};
    }
    r->at++;
    return ok(r) ? expr_class(r->b, ranges, n, negated) : expr_text(r->b, "", 0);
}

/* --- expressions --- */

static uint32_t read_number(struct gbnf_reader *r)
{
    uint32_t value = 0;
    if (r->at >= r->end || *r->at < '0' || *r->at > '9')
        fail(r, "a repetition needs a number: {3}, {3,} or {3,5}");
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        value = value < EXPR_MANY / 20 ? value * 10 + (uint32_t)(*r->at - '0') : EXPR_MANY / 20;
    return value;
}

static const struct expr *read_braces(struct gbnf_reader *r, const struct expr *e)
{
    skip_space(r, false);
    uint32_t min = is(r, ',') ? 0 : read_number(r), max = min;
    skip_space(r, false);
    if (is(r, ',')) {
        r->at++;
        skip_space(r, false);
        max = is(r, '}') ? EXPR_MANY : read_number(r);
        skip_space(r, false);
    }
    if (!is(r, '}'))
        fail(r, "a repetition is not closed by }");
    r->at++;
    return ok(r) ? expr_repeat(r->b, e, min, max) : e;
}

static const struct expr *read_repetitions(struct gbnf_reader *r, const struct expr *e, bool nested)
{
    for (skip_space(r, nested); ok(r) && r->at < r->end; skip_space(r, nested)) {
        char c = *r->at;
        if (c != '*' && c != '+' && c != '?' && c != '{')
            break;
        r->at++;
        e = c == '*'   ? expr_repeat(r->b, e, 0, EXPR_MANY)
            : c == '+' ? expr_repeat(r->b, e, 1, EXPR_MANY)
            : c == '?' ? expr_optional(r->b, e)
                       : read_braces(r, e);
    }
    return e;
}

static const struct expr *read_group(struct gbnf_reader *r)
{
    const struct expr *e = read_alternatives(r, true);
    if (ok(r) && !is(r, ')'))
        fail(r, "a group is not closed by )");
    r->at++;
    return e;
}

/* One item, or NULL where none begins. */
static const struct expr *read_item(struct gbnf_reader *r)
{
    const char *name;
    if (r->at >= r->end)
        return NULL;
    if (is_name(*r->at)) {
        size_t n = read_name(r, &name);
        return expr_rule(r->b, find_rule(r, name, n));
    }
    switch (*r->at) {
    case '"':
        r->at++;
        return read_string(r);
    case '[':
        r->at++;
        return read_class(r);
    case '(':
        r->at++;
        return read_group(r);
    case '.':
        r->at++;
        return expr_class(r->b, NULL, 0, true);
    case '<':
    case '!':
        expr_fail(r->b, STATUS_UNSUPPORTED,
                  "line %u: tokens (<name>, <[id]>) in a grammar are not supported: write their "
                  "text as a string",
                  r->line);
        return NULL;
    default:
        return NULL;
    }
}

static const struct expr *read_sequence(struct gbnf_reader *r, bool nested)
{
    struct expr_list list = {0};
    for (skip_space(r, nested); ok(r); skip_space(r, nested)) {
        const struct expr *e = read_item(r);
        if (e == NULL)
            break;
        expr_list_add(r->b, &list, read_repetitions(r, e, nested));
    }
    return expr_sequence(r->b, list.at, list.n);
}

static const struct expr *read_alternatives(struct gbnf_reader *r, bool nested)
{
    struct expr_list list = {0};
    if (++r->depth > 200)
        fail(r, "groups are nested too deep");
    while (ok(r)) {
        expr_list_add(r->b, &list, read_sequence(r, nested));
        const char *at = r->at;
        unsigned line = r->line;
        skip_space(r, true);
        if (!is(r, '|')) {
            r->at = at;
            r->line = line;
            break;
        }
        r->at++;
        skip_space(r, true);
    }
    skip_space(r, nested);
    r->depth--;
    return expr_choice(r->b, list.at, list.n);
}

static void read_rule(struct gbnf_reader *r)
{
    const char *name;
    size_t n = read_name(r, &name);
    if (n == 0)
        fail(r, "a rule begins with its name");
    skip_space(r, false);
    if (ok(r) && (r->end - r->at < 3 || memcmp(r->at, "::=", 3) != 0))
        fail(r, "\"::=\" must follow the name of a rule");
    if (!ok(r))
        return;
    r->at += 3;
    uint32_t rule = find_rule(r, name, n);
    skip_space(r, true);
    const struct expr *e = read_alternatives(r, false);
    if (ok(r) && r->at < r->end && *r->at != '\n')
        expr_fail(r->b, STATUS_INVALID, "line %u: \"%c\" was not expected here", r->line,
                  *r->at > ' ' && *r->at < 127 ? *r->at : '?');
    if (ok(r) && rule_expr(r->b, rule) != NULL)
        expr_fail(r->b, STATUS_INVALID, "line %u: the rule \"%s\" is defined twice", r->line,
                  rule_name(r->b, rule));
    rule_define(r->b, rule, e);
}

const struct expr *gbnf_read(struct grammar_builder *b, const char *text, size_t n)
{
    struct gbnf_reader r = {.b = b, .at = text, .end = text + n, .line = 1};
    for (skip_space(&r, true); ok(&r) && r.at < r.end; skip_space(&r, true))
        read_rule(&r);
    uint32_t root = ok(&r) ? find_rule(&r, "root", 4) : 0;
    if (ok(&r) && rule_expr(b, root) == NULL)
        expr_fail(b, STATUS_INVALID, "the grammar has no rule \"root\"");
    return expr_rule(b, root);
}
