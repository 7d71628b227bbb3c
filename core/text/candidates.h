/* candidates.h - lists of (logit, id): gathering the highest of a vocabulary, and sorting, without
 * allocating.
 *
 * One order everywhere: logit descending, then id ascending, so that every sum over a list has one
 * defined order. A struct candidates is scratch memory of one sampler; one thread at a time. Knows
 * nothing of requests.
 */
#pragma once

#include "base/arena.h"
#include "math/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidate {
    float logit;
    int32_t id;
};

enum { CANDIDATE_DIGITS = 3, CANDIDATE_RADIX = 2048 };

struct candidates {
    const struct kernels *kernels;
    size_t n_vocab;
    struct candidate *list;              /* [n_vocab] */
    size_t n;                            /* in list */
    struct candidate *spare;             /* [n_vocab] */
    float *maxima;                       /* of blocks of the vocabulary */
    uint32_t *index;                     /* [n_vocab] */
    uint32_t (*counts)[CANDIDATE_RADIX]; /* [CANDIDATE_DIGITS] */
};

size_t candidates_bytes(size_t n_vocab); /* what candidates_init takes of an arena */
bool candidates_init(struct candidates *c, struct arena *arena, size_t n_vocab,
                     const struct kernels *kernels);

/* All ids whose logit is >= floor, -infinity (banned) never: in ascending id. */
void candidates_gather(struct candidates *c, const float *logits, float floor);
/* The k highest, sorted: the very set and order that sorting everything would give. */
void candidates_top(struct candidates *c, const float *logits, size_t k);
/* Sorts the list; it must be in ascending id where logits are equal. */
void candidates_sort(struct candidates *c);
/* Sorts items by key ascending (equal ones keep their order); keys are candidate.logit, not NaN.
 * spare: as long. */
void candidates_sort_ascending(struct candidates *c, struct candidate *items, size_t n);
