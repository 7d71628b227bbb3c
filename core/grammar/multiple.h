/* multiple.h - decimal digits of a number's multiples, as nondeterministic states.
 *
 * A state is the remainder of the digits so far. One thread.
 */
#pragma once

#include "grammar/nfa.h"

/* The states of an EXPR_MULTIPLE; next follows it. Returns where it begins. */
uint32_t multiple_make(struct nfa *nfa, struct grammar_builder *b, const struct expr *e,
                       uint32_t next);
