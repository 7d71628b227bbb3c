/* regular.h - questions to an expression without rules. One thread. */
#pragma once

#include "grammar/expr.h"

/* Whether it matches all of these bytes; false after a failure, which is the builder's. */
bool regular_matches(struct grammar_builder *b, const struct expr *e, const char *bytes, size_t n);
/* Whether it matches nothing. */
bool regular_is_empty(struct grammar_builder *b, const struct expr *e);
