/* tails.h - what tokens hold from where they leave a rule, merged into one tree.
 *
 * Many tokens leave a rule in the same words ("," after any name): they are looked at once. One
 * thread; the memory is a room's, taken when it is made.
 */
#pragma once

#include "grammar/walk.h"

struct tail {                /* a node while it grows */
    uint32_t child, sibling; /* 0: none */
    uint32_t parent, laid;   /* laid: where it lies in the end */
    uint32_t first_token;    /* of tails_room.tokens, plus one; 0: none */
    uint8_t byte;
};

struct tail_token {
    uint32_t id, next; /* next: plus one; 0: none */
};

struct tails_room {
    struct tail *nodes;        /* [room]; the first is the root */
    struct tail_token *tokens; /* [tokens_room] */
    uint32_t *path;            /* [longest + 2] */
    size_t n, room, n_tokens, tokens_room;
    uint32_t first[256];          /* the root's children by byte */
    struct vocabulary_node *laid; /* [room + 1] */
    uint32_t *laid_tokens;        /* [tokens_room] */
};

enum status tails_room_init(struct tails_room *t, const struct vocabulary *v, struct error *err);
void tails_room_free(struct tails_room *t);

void tails_begin(struct tails_room *t);
/* The node's own byte and all below it, with their tokens. False: no room, and some may be in. */
bool tails_add(struct tails_room *t, const struct walk_tree *tree, uint32_t node);
/* Into laid and laid_tokens, as a walk needs them: t->n nodes and an end mark. */
void tails_lay(struct tails_room *t);
