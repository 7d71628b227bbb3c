/* syntax.c - tokens and nodes for the parser. In the heap of the template that is read. */
#include "jinja/syntax/syntax.h"

#include "jinja/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NESTED_MAX = 100, TREE_MAX = 400 };

__attribute__((format(printf, 4, 0))) static _Noreturn void
fail_at(struct jinja_parser *p, int line, enum status status, const char *format, va_list arguments)
{
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    jinja_at_line(p->heap, line);
    jinja_fail_as(p->heap, status, "%s", text);
}

void syntax_fault(struct jinja_parser *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail_at(p, syntax_token(p)->line, STATUS_FORMAT, format, arguments);
}

void syntax_lacks(struct jinja_parser *p, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail_at(p, line, STATUS_UNSUPPORTED, format, arguments);
}

const struct jinja_token *syntax_token(const struct jinja_parser *p)
{
    return &p->tokens.at[p->at];
}

bool syntax_is(const struct jinja_parser *p, const char *what)
{
    const struct jinja_token *token = syntax_token(p);
    if (token->kind == JINJA_T_NAME)
        return jinja_is(token->text, what);
    return token->kind == JINJA_T_OPERATOR && strcmp(token->operator, what) == 0;
}

bool syntax_skip(struct jinja_parser *p, const char *what)
{
    bool there = syntax_is(p, what);
    p->at += there;
    return there;
}

const char *syntax_describe(const struct jinja_token *token, char out[64])
{
    switch (token->kind) {
    case JINJA_T_END:
        return "the end of the template";
    case JINJA_T_DATA:
        return "text";
    case JINJA_T_OPEN_OUTPUT:
        return "{{";
    case JINJA_T_CLOSE_OUTPUT:
        return "}}";
    case JINJA_T_OPEN_TAG:
        return "{%";
    case JINJA_T_CLOSE_TAG:
        return "%}";
    case JINJA_T_NAME:
        snprintf(out, 64, "'%.*s'", (int)(token->text->n < 48 ? token->text->n : 48),
                 token->text->bytes);
        return out;
    case JINJA_T_STRING:
        return "a string";
    case JINJA_T_NUMBER:
        return "a number";
    case JINJA_T_OPERATOR:
        snprintf(out, 64, "'%s'", token->operator);
        return out;
    }
    return "";
}

void syntax_expect(struct jinja_parser *p, const char *what)
{
    char found[64];
    if (!syntax_skip(p, what))
        syntax_fault(p, "expected '%s', found %s", what, syntax_describe(syntax_token(p), found));
}

const struct jinja_text *parser_name(const struct jinja_names *names, const struct jinja_text *name)
{
    size_t low = 0, high = names->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct jinja_text *other = names->at[middle];
        size_t n = other->n < name->n ? other->n : name->n;
        int order = memcmp(other->bytes, name->bytes, n);
        if (order == 0 && other->n == name->n)
            return other;
        if (order < 0 || (order == 0 && other->n < name->n))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct jinja_text *intern(struct jinja_parser *p, const struct jinja_text *name)
{
    struct jinja_names *names = &p->names;
    const struct jinja_text *known = parser_name(names, name);
    if (known != NULL)
        return known;
    if (names->n == names->room) {
        size_t room = names->room == 0 ? 64 : names->room * 2, size = sizeof names->at[0];
        names->at = jinja_grow(p->heap, names->at, names->room * size, room * size);
        names->room = room;
    }
    size_t i = names->n++;
    for (; i > 0; i--) { /* kept in order */
        const struct jinja_text *other = names->at[i - 1];
        size_t n = other->n < name->n ? other->n : name->n;
        int order = memcmp(other->bytes, name->bytes, n);
        if (order < 0 || (order == 0 && other->n < name->n))
            break;
        names->at[i] = other;
    }
    names->at[i] = name;
    return name;
}

const struct jinja_text *syntax_name(struct jinja_parser *p)
{
    char found[64];
    const struct jinja_token *token = syntax_token(p);
    if (token->kind != JINJA_T_NAME)
        syntax_fault(p, "expected a name, found %s", syntax_describe(token, found));
    p->at++;
    return intern(p, token->text);
}

struct jinja_node *syntax_node(struct jinja_parser *p, enum jinja_node_kind kind, int line)
{
    struct jinja_node *node = jinja_alloc(p->heap, 1, sizeof *node);
    jinja_steps(p->heap, 1);
    node->kind = kind;
    node->line = line;
    node->depth = 1;
    return node;
}

struct jinja_node *syntax_done(struct jinja_parser *p, struct jinja_node *node)
{
    const struct jinja_node *children[] = {node->a, node->b, node->c, node->d, node->e};
    for (size_t i = 0; i < sizeof children / sizeof children[0]; i++)
        for (const struct jinja_node *child = children[i]; child != NULL; child = child->next)
            if (child->depth >= node->depth)
                node->depth = child->depth + 1;
    if (node->depth > TREE_MAX)
        syntax_lacks(p, node->line, "expressions are more than %d levels deep", TREE_MAX);
    return node;
}

void syntax_deeper(struct jinja_parser *p)
{
    if (++p->depth > NESTED_MAX)
        syntax_lacks(p, syntax_token(p)->line, "blocks and brackets are more than %d levels deep",
                     NESTED_MAX);
}

void syntax_back(struct jinja_parser *p)
{
    p->depth--;
}
