/* internal.h - what the files that write grammars share. */
#pragma once

#include "api/tools/set.h"
#include "grammar/expr.h"

/* Short ways to write expressions. */
#define SEQUENCE(b, ...)                                                                           \
    expr_sequence((b), (const struct expr *const[]){__VA_ARGS__},                                  \
                  sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define CHOICE(b, ...)                                                                             \
    expr_choice((b), (const struct expr *const[]){__VA_ARGS__},                                    \
                sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define TEXT(b, text) expr_string((b), (text))

struct tool_members { /* of arguments, in their order */
    const struct expr **items;
    bool *needed;
    size_t n;
    const struct expr *other; /* one of another name; NULL: none may come */
};

enum { GRAMMAR_SPACE_MAX = 12 }; /* white space that "\n" of a pattern may become */

/* White space, or none. */
const struct expr *call_space(struct grammar_builder *b);
/* A pattern of family.h with its tool's name and arguments (NULL: it has none). */
const struct expr *call_pattern(struct grammar_builder *b, const char *pattern,
                                const struct tool *tool, const struct expr *arguments);
/* The arguments of a call, in the family's form. */
const struct expr *call_arguments(struct grammar_builder *b, const struct tool_family *family,
                                  const struct tool *tool);
/* Any text up to a mark, and the mark. */
const struct expr *call_through(struct grammar_builder *b, const char *mark);
/* A value, where line one line end or none, and a mark. */
const struct expr *call_before_mark(struct grammar_builder *b, const struct expr *value,
                                    const char *mark, bool line);
/* Strings of a schema as they stand, without quotes, up to a mark and with it. */
const struct expr *call_bare_string(struct grammar_builder *b, const struct cJSON *root,
                                    const struct cJSON *schema, const char *mark, bool line);
/* Members with commas between. */
const struct expr *call_members(struct grammar_builder *b, const struct tool_members *members);
/* quoted_grammar.c: a value in FORM_QUOTED; schema NULL: any. */
const struct expr *call_quoted(struct grammar_builder *b, const struct tool_family *family,
                               const struct cJSON *root, const struct cJSON *schema);
