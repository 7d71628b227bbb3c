/* until.h - texts up to a trigger, as nondeterministic states.
 *
 * Aho and Corasick's automaton of the triggers, which is deterministic as it is. One thread.
 */
#pragma once

#include "grammar/nfa.h"

/* The states of an EXPR_UNTIL; next follows it. Returns where it begins. */
uint32_t until_make(struct nfa *nfa, struct grammar_builder *b, const struct expr *e,
                    uint32_t next);
