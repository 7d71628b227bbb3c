/* nfa.h - nondeterministic automata over bytes: their states.
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
    size_t n, room, n_most;
    size_t longest;   /* bytes of the longest token */
    uint32_t *starts; /* [rules] of the builder; NFA_UNMADE: not made yet */
    bool *inlined;    /* [rules] */
};

#define NFA_UNMADE UINT32_MAX

/* A new state; 0 once the builder has failed. It is like itself alone. */
uint32_t nfa_add(struct nfa *nfa, struct grammar_builder *b, struct nfa_state state);
/* Bytes that no state from `first` on tells apart, as classes: how many; one byte of each. */
size_t nfa_classes(const struct nfa *nfa, size_t first, uint8_t class_of[256], uint8_t sample[256]);
