/* vocabulary.h - all tokens' bytes as trees, so that a beginning is looked at once.
 *
 * There are two: of plain tokens (printable, without quotes and backslashes: what strings of JSON
 * hold as it is) and of the rest, so that whole subtrees are of few kinds of characters. Nodes lie
 * in the order of a walk: a node's first child comes next, and what lies below it ends at `end`.
 * Tokens without bytes are not in it. Control tokens are, by their names, and set apart in
 * `control`: who fills a mask takes out those that are no text in its request. Made once for a
 * model, read-only after.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary_node {
    uint32_t end;         /* the first node that is not below this one */
    uint32_t first_token; /* of those in vocabulary.tokens whose bytes end here: up to the next
                             node's first */
    uint16_t depth;       /* bytes from the root; the root's is 0 */
    uint8_t byte;         /* the last of them */
};

struct vocabulary_below { /* what the tokens below a node hold after it */
    uint64_t kinds;       /* of their characters (kinds.h) */
    uint32_t n;           /* the most characters */
};

enum { VOCABULARY_SLICES = 16 };

struct vocabulary {
    struct vocabulary_node *nodes;  /* [n_nodes + 1]; the last is an end mark */
    struct vocabulary_below *below; /* [n_nodes] */
    uint32_t roots[2];              /* of plain tokens, of others */
    uint32_t *tokens;               /* [n_tokens] ids, in the order of their bytes */
    size_t n_nodes, n_tokens;
    size_t n_ids;      /* of the model: bits of a mask */
    size_t longest;    /* bytes */
    uint64_t *control; /* [vocabulary_n_words]: control tokens */
    uint64_t *slices;  /* [VOCABULARY_SLICES][vocabulary_n_words]: plain tokens of at most 1, 2, ...
                          characters */
};

struct vocabulary_piece { /* the bytes of one token; NULL: left out */
    const char *bytes;
    size_t n;
    bool control;
};

/* pieces: [n_ids], borrowed for the call. STATUS_NO_MEMORY, STATUS_TOO_LARGE. */
enum status vocabulary_create(struct vocabulary **out, const struct vocabulary_piece *pieces,
                              size_t n_ids, struct error *err);
void vocabulary_destroy(struct vocabulary *v); /* takes NULL */

/* 64-bit words of a mask. */
static inline size_t vocabulary_n_words(const struct vocabulary *v)
{
    return (v->n_ids + 63) / 64;
}
