/* twin.h - two expressions at once: what both match, or what one matches and the other does not.
 *
 * Their states stand side by side and are determinized together, so that a set tells whether each
 * of them ends there. One thread; in the builder's memory.
 */
#pragma once

#include "grammar/nfa.h"

struct twin_state {
    uint32_t *to;        /* [n_classes]; 0: nowhere */
    bool accepts, lives; /* lives: it leads to one that accepts */
    uint32_t made;       /* where it begins as a state of the result */
};

struct twin {
    const struct nfa *of;
    struct grammar_builder *b;
    uint32_t starts[2], ends[2]; /* of the two; each end accepts */
    bool without;                /* what the second does not match */
    /* by twin_find */
    struct twin_state *states; /* [n]; the first is none, then the start */
    size_t n, room, n_classes;
    uint8_t sample[256]; /* a byte of each class: the first */
};

/* False: the builder has failed. */
bool twin_find(struct twin *p);
/* Its states, with next after it. Returns where it begins. */
uint32_t twin_make(struct twin *p, struct nfa *nfa, uint32_t next);
