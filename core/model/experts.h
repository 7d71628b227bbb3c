/* experts.h - a layer's experts: their matrices, and how a row chooses among them.
 *
 * The experts of one matrix lie one after the other, each packed by itself, so that each is a
 * matrix like any other. Plain data, read-only once loaded. Knows nothing of rows or threads.
 */
#pragma once

#include "math/matrix.h"

#include <stdbool.h>
#include <stddef.h>

enum { ROUTING_MAX_EXPERTS = 512 };

/* What makes weights of the router's logits. */
enum router {
    ROUTER_SOFTMAX, /* over all experts */
    ROUTER_SIGMOID, /* of each by itself */
    ROUTER_CHOSEN,  /* a softmax over the chosen ones */
};

/* The same in all layers of a model. */
struct routing {
    size_t n_experts, n_used; /* 0: none; each row goes to n_used of them */
    enum router router;
    bool renormalised; /* the chosen ones' weights are divided by their sum */
    float scale;       /* then multiplied by this; 1 = none */
};

/* One matrix of every expert. */
struct expert_linear {
    struct matrix first; /* the first expert's; n_rows 0: none */
    const float *bias;   /* [n_experts][n_rows rounded up to PANEL_ROWS]; NULL: none */
};

static inline struct matrix expert_matrix(const struct expert_linear *l, size_t expert)
{
    struct matrix m = l->first;
    m.panels += expert * matrix_n_panels(&m) * m.panel_bytes;
    return m;
}

/* NULL: none. */
static inline const float *expert_bias(const struct expert_linear *l, size_t expert)
{
    const size_t stride = matrix_n_panels(&l->first) * PANEL_ROWS;
    return l->bias != NULL ? l->bias + expert * stride : NULL;
}
