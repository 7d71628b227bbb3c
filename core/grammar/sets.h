/* sets.h - sets of nondeterministic states: what is reached without reading, and each set once.
 *
 * Lives in the builder's memory. One thread.
 */
#pragma once

#include "grammar/nfa.h"

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
