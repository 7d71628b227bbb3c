/* matcher.h - where a text stands in a grammar.
 *
 * A place is a state and the stack of states to go on at when rules end; an ambiguous grammar has
 * several at once. Stacks are one tree that all places share: a node is a stack. All memory is
 * taken when a matcher is created; what would need more is no way on, and the matcher says so.
 * One thread at a time. Knows bytes, not tokens.
 */
#pragma once

#include "grammar/automaton.h"

enum {
    MATCHER_DEPTH = 500,            /* rules inside rules that a text may open */
    MATCHER_PLACES = 256,           /* at once */
    MATCHER_NODES = 16384,          /* of the tree of stacks */
    MASK_NODES = MATCHER_NODES / 2, /* of them, for the walk that makes a mask */
    STACK_BOTTOM = 0
};

struct matcher_place {
    uint32_t state, node;
};

struct stack_node {
    uint32_t parent, back;
    uint32_t distance; /* bytes that must come after the present rule */
    uint32_t depth;
    uint32_t hash_next;
};

struct matcher_places {
    struct matcher_place *at; /* [room] */
    size_t n, room;
    bool ended;     /* the bottom was reached: the whole may end here */
    bool ambiguous; /* some place found no room */
};

struct matcher {
    const struct automaton *automaton; /* borrowed */
    struct stack_node *nodes;          /* [MATCHER_NODES]; the first is the bottom */
    size_t n_nodes;
    size_t most_nodes; /* MATCHER_NODES, or fewer while a mask is made */
    uint32_t *buckets;
    struct matcher_places now, other; /* other: the room of a step */
};

enum status matcher_create(struct matcher **out, const struct automaton *a, struct error *err);
void matcher_destroy(struct matcher *m); /* takes NULL */

/* Takes bytes of the text; false: they are none of the grammar's, and nothing has changed. */
bool matcher_take(struct matcher *m, const char *bytes, size_t n);
bool matcher_may_end(const struct matcher *m);
/* The fewest bytes that complete the text. */
uint32_t matcher_distance(const struct matcher *m);

/* --- for masks --- */

/* The places from which `state` of `node` can go on; out->n places are there already. */
void places_add(struct matcher *m, struct matcher_places *out, uint32_t state, uint32_t node);
/* Adds the places after one byte. */
void places_step(struct matcher *m, const struct matcher_place *from, size_t n, uint8_t byte,
                 struct matcher_places *out);
/* The fewest bytes from one of them to the end. */
uint32_t places_distance(const struct matcher *m, const struct matcher_places *places);
/* What has been pushed since goes: the tree is as long as it was. */
void matcher_forget(struct matcher *m, size_t n_nodes);
