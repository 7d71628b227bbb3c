/* syntax.h - what the files of the parser share. */
#pragma once

#include "jinja/syntax/parser.h"

_Noreturn void syntax_fault(struct jinja_parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void syntax_lacks(struct jinja_parser *p, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const struct jinja_token *syntax_token(const struct jinja_parser *p);
bool syntax_is(const struct jinja_parser *p, const char *what); /* an operator or a name */
bool syntax_skip(struct jinja_parser *p, const char *what);     /* if it is there */
void syntax_expect(struct jinja_parser *p, const char *what);
const struct jinja_text *syntax_name(struct jinja_parser *p); /* the next token's */
const char *syntax_describe(const struct jinja_token *token, char out[64]);

struct jinja_node *syntax_node(struct jinja_parser *p, enum jinja_node_kind kind, int line);
/* The same node, once its children are known: how deep the tree is. */
struct jinja_node *syntax_done(struct jinja_parser *p, struct jinja_node *node);
void syntax_deeper(struct jinja_parser *p); /* syntax_back is its other end */
void syntax_back(struct jinja_parser *p);

struct jinja_node *syntax_expression(struct jinja_parser *p, bool with_choice);
/* One expression, or several with commas as a tuple; end: a name that ends it, or NULL. */
struct jinja_node *syntax_tuple(struct jinja_parser *p, bool with_choice, bool in_brackets,
                                const char *end);
struct jinja_node *syntax_primary(struct jinja_parser *p);
/* | filters; node NULL: of a block. first: a name without | comes first. */
struct jinja_node *syntax_filters(struct jinja_parser *p, struct jinja_node *node, bool first);
