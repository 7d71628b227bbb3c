/* mixed.c - after a layer has mixed positions, by attention or otherwise: the output's product, and
 * the residual. After the last layer only the rows that want logits come here.
 */
#include "forward/phases.h"

#include <string.h>

/* Rows are ascending, so none is overwritten. */
void gather_residuals(const struct forward *f)
{
    for (size_t i = 0; i < f->n_wanted; i++) {
        if (f->wanted[i] != i)
            memcpy(f->x + i * f->embd_stride, f->x + f->wanted[i] * f->embd_stride,
                   f->embd_stride * sizeof(float));
    }
}

static void make_output_input(const struct forward *f, size_t layer, struct act *act,
                              struct range r)
{
    round_rows(f, act, r, &f->model->layers[layer].attn_output);
}

static size_t on_input_items(const struct forward *f, size_t layer)
{
    return input_items(rows_on(f, layer));
}

static void round_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_output_input(f, layer, &f->inputs[INPUT_ATTENDED], r);
}

static size_t attended_items(const struct forward *f, size_t layer)
{
    return product_items(f, matrix_n_panels(&f->model->layers[layer].attn_output.w),
                         rows_on(f, layer));
}

static void project_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = product_input(f, layer, INPUT_ATTENDED, n_rows, make_output_input, rank);
    const struct layer *l = &f->model->layers[layer];
    project_residual(f, &l->attn_output, &l->attn_post_norm, x, n_rows, r);
}

static size_t attn_post_items(const struct forward *f, size_t layer)
{
    return post_norm_items(&f->model->layers[layer].attn_post_norm, rows_on(f, layer));
}

static void add_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    add_normed(f, &f->model->layers[layer].attn_post_norm, r);
}

static const struct phase phases[] = {
    {on_input_items, round_attended, SCOPE_OUTPUT_ROUND, {NOTHING, NOTHING}},
    {attended_items, project_attended, SCOPE_OUTPUT, {SCOPE_OUTPUT_ROUND, NOTHING}},
    {attn_post_items, add_attended, SCOPE_OUTPUT, {NOTHING, NOTHING}},
};
const struct phase_group output_phases = PHASE_GROUP(phases);
