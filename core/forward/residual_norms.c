/* residual_norms.c - BERT's norms: of the residual itself, after each half of a layer. In place, so
 * in phases of their own: what comes next reads whole rows. See phases.h.
 */
#include "forward/phases.h"

static size_t items(const struct forward *f, size_t layer)
{
    return rows_on(f, layer);
}

static void norm_in_place(struct forward *f, const struct norm *norm, struct range r)
{
    for (size_t t = r.begin; t < r.end; t++) {
        float *x = f->x + t * f->embd_stride;
        norm_row(f, norm, x, x);
    }
}

static void norm_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    norm_in_place(f, &f->model->layers[layer].attn_residual_norm, r);
}

static void norm_expanded(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    norm_in_place(f, &f->model->layers[layer].ffn_residual_norm, r);
}

static const struct phase attended[] = {{items, norm_attended, SCOPE_FFN_NORM, {NOTHING, NOTHING}}};
static const struct phase expanded[] = {
    {items, norm_expanded, SCOPE_ATTN_NORM, {NOTHING, NOTHING}}};
const struct phase_group attended_norm_phases = PHASE_GROUP(attended);
const struct phase_group expanded_norm_phases = PHASE_GROUP(expanded);
