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
/* A single expression without rules, in an automaton of its own. */
bool thompson_one(struct nfa *nfa, struct grammar_builder *b, const struct expr *e,
                  size_t n_states_most, uint32_t *start);
