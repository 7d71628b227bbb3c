/* score.c - the head of models that rank documents, over one vector: a layer with tanh, where the
 * file has one, then a product with as many rows as there are scores. One thread, between steps:
 * it is a thousandth of what the text's tokens cost.
 */
#include "forward/phases.h"

#include "math/fmath.h"

#include <string.h>

/* out [n_rows] = W x + b, by way of the step's buffers. */
static void apply(struct forward *f, const struct linear *l, const float *x, float *out)
{
    struct act *act = &f->inputs[INPUT_NORMED];
    memcpy(act->f32, x, f->model->shape.n_embd * sizeof *x);
    round_row(f, act, 0, &l, 1);
    linear_panels(f, l, 0, matrix_n_panels(&l->w), act, 1, f->proj, f->embd_stride);
    memcpy(out, f->proj, l->w.n_rows * sizeof *out);
}

static void softmax(const struct kernels *kernels, float *x, size_t n)
{
    const float max = kernels->max(x, n), sum = kernels->sum_exp(x, n, max);
    for (size_t i = 0; i < n; i++)
        x[i] = fmath_exp(x[i] - max) / sum;
}

void forward_score(struct forward *f, const float *vector, float *scores)
{
    const struct model *m = f->model;
    const float *x = vector;
    if (m->score_dense.w.n_rows > 0) {
        float *dense = f->inputs[INPUT_NORMED].f32 + f->inputs[INPUT_NORMED].f32_stride;
        apply(f, &m->score_dense, x, dense);
        for (size_t i = 0; i < m->shape.n_embd; i++)
            dense[i] = fmath_tanh(dense[i]);
        x = dense;
    }
    apply(f, &m->score_out, x, scores);
    if (!m->shape.encoder)
        softmax(f->kernels, scores, m->shape.n_scores);
}
