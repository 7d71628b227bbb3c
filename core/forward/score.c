/* score.c - what comes after a text's last token, over one vector: the head of models that rank
 * documents (a layer with tanh, where the file has one, then a product with as many rows as there
 * are scores), and the two matrices that some models put their vectors through. One thread, between
 * steps: it is a thousandth of what the text's tokens cost.
 */
#include "forward/phases.h"

#include "math/fmath.h"

#include <string.h>

/* y [n_rows rounded up to panels] = W x + b; act: room for x. */
static void apply(struct forward *f, const struct linear *l, struct act *act, const float *x,
                  float *y)
{
    memcpy(act->f32, x, l->w.n_cols * sizeof *x);
    round_row(f, act, 0, &l, 1);
    linear_panels(f, l, 0, matrix_n_panels(&l->w), act, 1, y, matrix_n_panels(&l->w) * PANEL_ROWS);
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
    struct act *act = &f->inputs[INPUT_NORMED];
    const float *x = vector;
    if (m->score_dense.w.n_rows > 0) {
        apply(f, &m->score_dense, act, x, f->proj);
        for (size_t i = 0; i < m->shape.n_embd; i++)
            f->proj[i] = fmath_tanh(f->proj[i]);
        x = f->proj;
    }
    apply(f, &m->score_out, act, x, f->proj);
    memcpy(scores, f->proj, m->shape.n_scores * sizeof *scores);
    if (!m->shape.encoder)
        softmax(f->kernels, scores, m->shape.n_scores);
}

void forward_finish_vector(struct forward *f, float *vector)
{
    const struct linear *dense = f->model->vector_dense;
    if (dense[0].w.n_rows == 0)
        return;
    apply(f, &dense[0], &f->inputs[INPUT_NORMED], vector, f->dense_y);
    apply(f, &dense[1], &f->dense, f->dense_y, f->proj);
    memcpy(vector, f->proj, f->model->shape.n_embd * sizeof *vector);
}
