/* walk.h - a tree of tokens walked along a grammar: which of them may come.
 *
 * Places go along byte by byte, branches that lead nowhere are left out, and whole branches of
 * characters that change nothing (steady.h) are taken at once. One thread at a time; all memory is
 * the room's, taken when it is made.
 */
#pragma once

#include "grammar/matcher.h"
#include "grammar/steady.h"
#include "grammar/vocabulary.h"

struct walk_level {
    struct matcher_places places; /* a part of the pool */
    size_t n_nodes;               /* of the matcher's stacks then */
};

struct walk_room {
    struct walk_level *levels;  /* [longest + 2] */
    struct matcher_place *pool; /* places of all levels */
};

/* longest: bytes of the longest token. */
enum status walk_room_init(struct walk_room *room, size_t longest, struct error *err);
void walk_room_free(struct walk_room *room);

struct walk_tree { /* nodes as a vocabulary has them, and their tokens */
    const struct vocabulary_node *nodes;
    const uint32_t *tokens;
    const struct vocabulary_below *below; /* NULL: unknown */
};

struct tree_walk {
    struct walk_tree tree;
    struct matcher *m;
    const struct steady *steady;
    struct walk_room *room;
    uint64_t *bits;         /* of tokens that may come */
    const uint64_t *follow; /* bytes that may come after the rule; NULL: it is not left */
    uint32_t *found;        /* nodes that begin where the rule is left [n_nodes]; unless !follow */
    size_t n_found;
    uint64_t most_work; /* of the matcher's */
};

/* Where a walk begins: the caller adds places, then walks. */
struct matcher_places *walk_begin(struct tree_walk *w);
/* All below `node`, unless that is more than most_work: it is given up then. */
void walk_below(struct tree_walk *w, uint32_t node);
/* The tokens that end at this node. */
void walk_set(const struct tree_walk *w, uint32_t node);
