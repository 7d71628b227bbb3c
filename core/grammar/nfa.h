/* nfa.h - rules as nondeterministic automata over bytes (Thompson's construction).
 *
 * Lives in the builder's memory. One thread.
 */
#pragma once

#include "grammar/expr.h"

enum nfa_kind {
    NFA_ACCEPT, /* the rule's end */
    NFA_SPLIT,  /* to next or other, reading nothing */
    NFA_BYTES,  /* a byte of first..last, then next */
    NFA_CALL,   /* a whole rule, then next */
};

struct nfa_state {
    enum nfa_kind kind;
    uint8_t first, last;
    uint32_t next, other;
    uint32_t rule;
    uint32_t like; /* a state that allows the same within the longest token; itself */
};

struct nfa {
    struct nfa_state *states;
    size_t n, room;
    uint32_t *starts; /* [rules] of the builder; NFA_UNMADE: not made yet */
    bool *inlined;    /* [rules] */
};

#define NFA_UNMADE UINT32_MAX

/* Prepares: which rules are inlined. False: the builder has failed. */
bool nfa_begin(struct nfa *nfa, struct grammar_builder *b, uint32_t root);
/* The rule's start state; makes it if need be. */
uint32_t nfa_rule(struct nfa *nfa, struct grammar_builder *b, uint32_t rule, size_t longest,
                  size_t n_states_most);
