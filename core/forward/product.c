/* product.c - what most phases are made of: the input of a product, the product, and what joins the
 * residual. See phases.h.
 */
#include "forward/phases.h"

#include <string.h>

void round_row(const struct forward *f, const struct act *act, size_t t,
               const struct linear *const *readers, size_t n_readers)
{
    unsigned done = 1u << ACT_F32;
    for (size_t i = 0; i < n_readers; i++) {
        unsigned format = weight_infos[readers[i]->w.type].activation;
        if (readers[i]->w.n_rows > 0 && !(done & 1u << format)) {
            f->kernels->quantize[format](act, t);
            done |= 1u << format;
        }
    }
}

void norm_row(const struct forward *f, const struct norm *norm, const float *x, float *y)
{
    const struct shape *s = &f->model->shape;
    if (norm->weight == NULL && x != y)
        memcpy(y, x, s->n_embd * sizeof *y);
    else if (norm->weight != NULL && s->norm == NORM_LAYER)
        f->kernels->layer_norm(x, norm->weight, norm->bias, s->n_embd, s->norm_eps, y);
    else if (norm->weight != NULL)
        f->kernels->rms_norm(x, norm->weight, s->n_embd, s->norm_eps, y);
}

void norm_rows(const struct forward *f, const struct norm *norm, struct act *act, struct range r,
               const struct linear *const *readers, size_t n_readers)
{
    for (size_t t = r.begin; t < r.end; t++) {
        norm_row(f, norm, f->x + t * f->embd_stride, act->f32 + t * act->f32_stride);
        round_row(f, act, t, readers, n_readers);
    }
}

void round_rows(const struct forward *f, struct act *act, struct range r,
                const struct linear *reader)
{
    for (size_t t = r.begin; t < r.end; t++)
        round_row(f, act, t, &reader, 1);
}

const struct act *product_input(const struct forward *f, size_t layer, enum input which,
                                size_t n_rows, make_fn *make, unsigned rank)
{
    if (input_items(n_rows) > 0)
        return &f->inputs[which];
    struct thread_scratch *own = &f->own[rank];
    if (own->made != own->phase) {
        make(f, layer, &own->inputs[which], (struct range){0, n_rows});
        part_end_since_begin(f, rank, PART_INPUT);
        own->made = own->phase;
    }
    return &own->inputs[which];
}

void linear_panels(const struct forward *f, const struct linear *l, size_t p0, size_t p1,
                   const struct act *x, size_t n_rows, float *y, size_t stride)
{
    if (p0 >= p1)
        return;
    f->kernels->matmul[l->w.type](&l->w, p0, p1, x, n_rows, y, stride);
    if (!l->bias)
        return;
    size_t begin = p0 * PANEL_ROWS, n = (p1 - p0) * PANEL_ROWS;
    for (size_t t = 0; t < n_rows; t++)
        f->kernels->add(y + t * stride + begin, l->bias + begin, n);
}

void project_parts(const struct forward *f, const struct product *parts, size_t n, struct range r,
                   const struct act *x, size_t n_rows)
{
    for (size_t i = 0, first = 0; i < n; i++) {
        size_t n_panels = matrix_n_panels(&parts[i].linear->w);
        size_t p0 = r.begin > first ? r.begin - first : 0;
        size_t p1 = r.end > first ? (r.end - first < n_panels ? r.end - first : n_panels) : 0;
        linear_panels(f, parts[i].linear, p0, p1, x, n_rows, parts[i].y, parts[i].stride);
        first += n_panels;
    }
}

void scale_values(float *x, float scale, size_t n)
{
    for (size_t i = 0; scale != 1.0f && i < n; i++)
        x[i] *= scale;
}

void project_residual(struct forward *f, const struct linear *l, const struct norm *post,
                      const struct act *act, size_t n_rows, struct range r)
{
    linear_panels(f, l, r.begin, r.end, act, n_rows, f->proj, f->embd_stride);
    join_residual(f, post, n_rows, r);
}

void join_residual(struct forward *f, const struct norm *post, size_t n_rows, struct range r)
{
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    for (size_t t = 0; t < n_rows && post->weight == NULL; t++) {
        float *proj = f->proj + t * f->embd_stride + begin;
        scale_values(proj, f->model->shape.residual_scale, n);
        f->kernels->add(f->x + t * f->embd_stride + begin, proj, n);
    }
}

void add_normed(struct forward *f, const struct norm *post, struct range rows)
{
    const struct shape *s = &f->model->shape;
    for (size_t t = rows.begin; t < rows.end; t++) {
        float *proj = f->proj + t * f->embd_stride;
        f->kernels->rms_norm(proj, post->weight, s->n_embd, s->norm_eps, proj);
        scale_values(proj, s->residual_scale, s->n_embd);
        f->kernels->add(f->x + t * f->embd_stride, proj, s->n_embd);
    }
}
