/* routing.c - scores, the choice, and a counting sort. Pure. */
#include "forward/routing.h"

#include "math/fmath.h"

#include <string.h>

#define LEAST_SUM 0x1p-14f /* of weights that are divided by it: the least normal F16 */

static void softmax(const struct kernels *kernels, const float *x, size_t n, float *y)
{
    const float max = kernels->max(x, n), sum = kernels->sum_exp(x, n, max);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] - max;
    kernels->exp(y, n);
    for (size_t i = 0; i < n; i++)
        y[i] /= sum;
}

static void make_scores(const struct routing *r, const struct kernels *kernels, const float *logits,
                        float *scores)
{
    const size_t n = r->n_experts;
    switch (r->router) {
    case ROUTER_SOFTMAX:
        softmax(kernels, logits, n, scores);
        break;
    case ROUTER_SIGMOID:
        for (size_t i = 0; i < n; i++)
            scores[i] = 1.0f / (1.0f + fmath_exp(-logits[i]));
        break;
    case ROUTER_CHOSEN:
        memcpy(scores, logits, n * sizeof *scores);
        break;
    }
}

/* What the choice goes by; the bias has no part in the weights. */
static float wish(const float *scores, const float *bias, size_t expert)
{
    return bias != NULL ? scores[expert] + bias[expert] : scores[expert];
}

/* The best that is not taken yet; with a NaN among them some expert that is not. */
static uint32_t take_best(const float *scores, const float *bias, size_t n_experts, bool *taken)
{
    size_t best = n_experts;
    for (size_t i = 0; i < n_experts; i++) {
        if (taken[i])
            continue;
        if (best == n_experts || wish(scores, bias, i) > wish(scores, bias, best))
            best = i;
    }
    taken[best] = true;
    return (uint32_t)best;
}

void routing_choose(const struct routing *r, const struct layer_experts *layer,
                    const struct kernels *kernels, const float *logits, float *scores,
                    uint32_t *chosen, float *weights)
{
    float picked[ROUTING_MAX_EXPERTS], sum = 0.0f;
    bool taken[ROUTING_MAX_EXPERTS] = {false};
    make_scores(r, kernels, logits, scores);
    for (size_t j = 0; j < r->n_used; j++) {
        chosen[j] = take_best(scores, layer->choice_bias, r->n_experts, taken);
        picked[j] = scores[chosen[j]];
    }
    if (r->router == ROUTER_CHOSEN)
        softmax(kernels, picked, r->n_used, weights);
    else
        memcpy(weights, picked, r->n_used * sizeof *weights);
    for (size_t j = 0; j < r->n_used; j++)
        sum += weights[j];
    sum = sum < LEAST_SUM ? LEAST_SUM : sum;
    for (size_t j = 0; j < r->n_used; j++) {
        if (r->renormalised)
            weights[j] /= sum;
        weights[j] *= r->scale;
        if (layer->expert_scale != NULL)
            weights[j] *= layer->expert_scale[chosen[j]];
    }
}

void pairs_carve(struct pairs *pairs, struct arena *arena, size_t n_experts, size_t max_pairs)
{
    pairs->first = arena_carve(arena, n_experts + 1, sizeof *pairs->first);
    pairs->row = arena_carve(arena, max_pairs, sizeof *pairs->row);
    pairs->weight = arena_carve(arena, max_pairs, sizeof *pairs->weight);
    pairs->used = arena_carve(arena, n_experts, sizeof *pairs->used);
}

void pairs_sort(struct pairs *p, const struct routing *routing, const uint32_t *chosen,
                const float *weights, size_t n_rows)
{
    const size_t n_experts = routing->n_experts, n_used = routing->n_used;
    p->n_pairs = n_rows * n_used;
    p->n_used = 0;
    memset(p->first, 0, (n_experts + 1) * sizeof *p->first);
    for (size_t i = 0; i < p->n_pairs; i++)
        p->first[chosen[i]]++;
    uint32_t end = 0;
    for (size_t e = 0; e < n_experts; e++) { /* first: where an expert's pairs end */
        if (p->first[e] > 0)
            p->used[p->n_used++] = (uint32_t)e;
        end += p->first[e];
        p->first[e] = end;
    }
    p->first[n_experts] = end;
    for (size_t i = p->n_pairs; i-- > 0;) { /* from the back: rows come to stand ascending */
        const uint32_t at = --p->first[chosen[i]];
        p->row[at] = (uint32_t)(i / n_used);
        p->weight[at] = weights[i];
    }
}
