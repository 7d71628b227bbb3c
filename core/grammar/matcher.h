/* matcher.h - where a text stands in a grammar.
 *
 * A place is a state and the stack of states to go on at when rules end; an ambiguous grammar has
 * several at once. Stacks are one tree that all places share: a node is a stack. All memory is
 * taken when a matcher is created; what would need more is no way on. Nor is what could not be
 * ended any more within the stack's depth: however deep a text is, there is a way to its end. One
 * thread at a time. Knows bytes, not tokens.
 */
#pragma once

#include "grammar/automaton.h"

enum {
    MATCHER_PLACES = 1024, /* at once */
    MATCHER_NODES = 16384, /* of the tree of stacks */
    PLACE_SLOTS = 2048,    /* of the index of places */
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
    bool ambiguous; /* some place found no room, here or before */
    bool indexed;   /* while places are added: the matcher's index has them */
};

struct place_index { /* finds a place among many */
    uint32_t round;
    uint32_t rounds[PLACE_SLOTS]; /* a slot holds something where its round is the present one */
    uint16_t at[PLACE_SLOTS];
};

struct matcher {
    const struct automaton *automaton; /* borrowed */
    struct stack_node *nodes;          /* [MATCHER_NODES]; the first is the bottom */
    size_t n_nodes;
    struct place_index *index;
    uint64_t work;    /* places and calls that were looked at, since this was 0 */
    bool overran;     /* the last mask was given up: it was too much work */
    uint32_t highest; /* that a stack had to be for a way that was looked at, since this was 0 */
    uint32_t *buckets;
    struct matcher_places now, other; /* other: the room of a step */
};

enum status matcher_create(struct matcher **out, const struct automaton *a, struct error *err);
/* Stands nowhere: for walks from places that a caller has, whose grammar it says. */
enum status matcher_create_bare(struct matcher **out, struct error *err);
void matcher_destroy(struct matcher *m); /* takes NULL */

/* Takes bytes of the text; false: they are none of the grammar's, and nothing has changed. */
bool matcher_take(struct matcher *m, const char *bytes, size_t n);
bool matcher_may_end(const struct matcher *m);
/* The fewest bytes that complete the text. */
uint32_t matcher_distance(const struct matcher *m);

/* --- for masks --- */

/* Whether the stack can become so much higher. */
static inline bool stack_holds(struct matcher *m, uint32_t node, uint32_t height)
{
    const uint32_t high = m->nodes[node].depth + height;
    m->highest = high > m->highest ? high : m->highest;
    return high <= STACK_DEPTH;
}

/* The places from which `state` of `node` can go on; out->n places are there already. */
void places_add(struct matcher *m, struct matcher_places *out, uint32_t state, uint32_t node);
/* Adds the places after one byte. */
void places_step(struct matcher *m, const struct matcher_place *from, size_t n, uint8_t byte,
                 struct matcher_places *out);
/* The fewest bytes from one of them to the end. */
uint32_t places_distance(const struct matcher *m, const struct matcher_places *places);
/* What has been pushed since goes: the tree is as long as it was. */
void matcher_forget(struct matcher *m, size_t n_nodes);
