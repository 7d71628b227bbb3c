/* grammar.h - the answers that a request with tools may get, as a grammar: free text up to what
 * begins a call, and from there the call in the model's own syntax, its name one of the tools' and
 * its arguments what the schema allows. What reader.h reads, and no other call. One thread. */
#pragma once

#include "api/reasoning.h"
#include "api/tools/set.h"
#include "grammar/expr.h"

enum tool_thought { /* what may come before the answer */
                    THOUGHT_NONE,
                    THOUGHT_MAY_COME, /* it may begin with the opening tag */
                    THOUGHT_UNDER_WAY /* it goes on after the opening tag */
};

/* Failures stay in the builder. text: an answer without calls; NULL: any. tags: may be NULL with
 * THOUGHT_NONE. */
const struct expr *tool_grammar(struct grammar_builder *b, const struct tool_set *set,
                                const struct expr *text, enum tool_thought thought,
                                const struct reasoning_tags *tags);

/* All that it depends on, as bytes, malloc'ed for the caller; NULL: no memory. text: what the
 * expression was made of, or NULL. */
char *tool_grammar_key(const struct tool_set *set, const char *text, enum tool_thought thought,
                       const struct reasoning_tags *tags, size_t *n);
