/* thompson.h - rules as nondeterministic automata over bytes (Thompson's construction).
 *
 * Lives in the builder's memory. One thread.
 */
#pragma once

#include "grammar/nfa.h"

/* Prepares: which rules are inlined. False: the builder has failed. */
bool thompson_begin(struct nfa *nfa, struct grammar_builder *b, uint32_t root, size_t longest,
                    size_t n_states_most);
/* The rule's start state; makes it if need be. */
uint32_t thompson_rule(struct nfa *nfa, struct grammar_builder *b, uint32_t rule);
