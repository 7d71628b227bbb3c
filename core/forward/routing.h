/* routing.h - which experts a row goes to, with what weights; and a step's rows sorted by expert.
 *
 * Pure functions of a row's logits: equal ones are taken by the lower expert's number, so that a
 * row's choice depends on nothing but the row. Any thread; each into memory of its own.
 */
#pragma once

#include "base/arena.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

/* The n_used experts of one row, the first the most wanted, and their weights. logits: [n_experts];
 * scores: [n_experts], overwritten. */
void routing_choose(const struct routing *routing, const struct layer_experts *layer,
                    const struct kernels *kernels, const float *logits, float *scores,
                    uint32_t *chosen, float *weights);

/* (row, expert) pairs sorted by expert, the rows of each ascending. */
struct pairs {
    uint32_t
        *first;     /* [n_experts + 1]: an expert's first pair; its last is before the next one's */
    uint32_t *row;  /* [n_pairs] */
    float *weight;  /* [n_pairs] */
    uint32_t *used; /* [n_used]: the experts that have rows, ascending; room for n_experts */
    size_t n_used, n_pairs;
};

/* Room for max_pairs; from an arena without memory it only measures. */
void pairs_carve(struct pairs *pairs, struct arena *arena, size_t n_experts, size_t max_pairs);

/* chosen, weights: [n_rows][routing->n_used]. */
void pairs_sort(struct pairs *pairs, const struct routing *routing, const uint32_t *chosen,
                const float *weights, size_t n_rows);
