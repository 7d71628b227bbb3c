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

/* --- bands --- */

enum {
    BAND_ROWS = 48, /* at least: reading each panel is shared by enough of them */
};

static size_t n_bands(const struct forward *f, size_t n_rows)
{
    const size_t n_threads = team_active(f->team), n = n_rows / BAND_ROWS;
    return n < 1 ? 1 : n < n_threads ? n : n_threads;
}

/* Whole tiles of rows: one that is not full takes as long. */
static size_t band_begin(size_t n_rows, size_t n, size_t band)
{
    const size_t row = n_rows * band / n;
    return band == n ? n_rows : (row + TILE_TOKENS / 2) / TILE_TOKENS * TILE_TOKENS;
}

size_t product_items(const struct forward *f, size_t n_panels, size_t n_rows)
{
    return n_rows > 0 ? n_panels * n_bands(f, n_rows) : 0;
}

bool next_piece(const struct forward *f, size_t n_panels, size_t n_rows, struct range *items,
                struct piece *out)
{
    if (n_panels == 0 || items->begin >= items->end)
        return false;
    const size_t n = n_bands(f, n_rows), band = items->begin / n_panels, first = band * n_panels;
    const size_t end = items->end < first + n_panels ? items->end : first + n_panels;
    out->panels = (struct range){items->begin - first, end - first};
    out->rows = (struct range){band_begin(n_rows, n, band), band_begin(n_rows, n, band + 1)};
    items->begin = end;
    return true;
}

/* --- products --- */

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

/* Their panels together. */
static size_t parts_panels(const struct product *parts, size_t n)
{
    size_t n_panels = 0;
    for (size_t i = 0; i < n; i++)
        n_panels += matrix_n_panels(&parts[i].linear->w);
    return n_panels;
}

size_t parts_items(const struct forward *f, const struct product *parts, size_t n, size_t n_rows)
{
    return product_items(f, parts_panels(parts, n), n_rows);
}

void project_parts(const struct forward *f, const struct product *parts, size_t n, struct range r,
                   const struct act *x, size_t n_rows)
{
    struct piece piece;
    while (next_piece(f, parts_panels(parts, n), n_rows, &r, &piece)) {
        const struct act rows = act_from(x, piece.rows.begin);
        for (size_t i = 0, first = 0; i < n; i++) {
            const size_t end = first + matrix_n_panels(&parts[i].linear->w);
            const size_t p0 = piece.panels.begin > first ? piece.panels.begin : first;
            const size_t p1 = piece.panels.end < end ? piece.panels.end : end;
            if (p0 < p1)
                linear_panels(f, parts[i].linear, p0 - first, p1 - first, &rows,
                              piece.rows.end - piece.rows.begin,
                              parts[i].y + piece.rows.begin * parts[i].stride, parts[i].stride);
            first = end;
        }
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
    struct piece piece;
    while (next_piece(f, matrix_n_panels(&l->w), n_rows, &r, &piece)) {
        const struct act rows = act_from(act, piece.rows.begin);
        linear_panels(f, l, piece.panels.begin, piece.panels.end, &rows,
                      piece.rows.end - piece.rows.begin,
                      f->proj + piece.rows.begin * f->embd_stride, f->embd_stride);
        join_residual(f, post, &piece);
    }
}

void join_residual(struct forward *f, const struct norm *post, const struct piece *piece)
{
    const size_t begin = piece->panels.begin * PANEL_ROWS;
    const size_t n = (piece->panels.end - piece->panels.begin) * PANEL_ROWS;
    for (size_t t = piece->rows.begin; t < piece->rows.end && post->weight == NULL; t++) {
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
