/* nfa.h - nondeterministic automata over bytes: their states, what is reached from them without
 * reading, and sets of them, each once.
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

/* --- sets --- */

struct state_set {      /* of nondeterministic states that read, call or accept */
    const uint32_t *at; /* ascending */
    uint32_t n;
    uint32_t hash_next; /* another set of its bucket; 0: none */
};

struct set_table { /* of sets, by their content */
    struct state_set *sets;
    size_t n, room;
    uint32_t *buckets;
    size_t n_buckets;
};

/* The set's number, a new one if need be; 0: the builder has failed. */
uint32_t sets_find(struct grammar_builder *b, struct set_table *t, const uint32_t *at, size_t n);

struct closure {
    uint32_t *marks; /* [room]: seen in this round */
    uint32_t *found; /* [room]: what was reached */
    uint32_t *stack; /* [room] */
    size_t n_found, room;
    uint32_t round;
};

/* Room for all states there are. False: the builder has failed. */
bool closure_room(struct closure *c, const struct nfa *nfa, struct grammar_builder *b);
void closure_begin(struct closure *c);
/* Adds what is reached from state without reading. */
void closure_add(struct closure *c, const struct nfa *nfa, uint32_t state);
void closure_sort(struct closure *c);
