/* feed_forward.c - the feed-forward half of a layer with one FFN: norm, gate and up, down. See
 * phases.h.
 */
#include "forward/phases.h"

static void make_ffn_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->ffn_norm, act, r, (const struct linear *[]){&l->gate, &l->up}, 2);
}

static void make_down_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    round_rows(f, act, r, &f->model->layers[layer].down);
}

static size_t on_input_items(const struct forward *f, size_t layer)
{
    return input_items(rows_on(f, layer));
}

static void norm_ffn(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_ffn_input(f, layer, &f->inputs[INPUT_NORMED], r);
}

static void round_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_down_input(f, layer, &f->inputs[INPUT_HIDDEN], r);
}

static size_t panels_on(const struct forward *f, size_t layer, const struct linear *l)
{
    return product_items(f, matrix_n_panels(&l->w), rows_on(f, layer));
}

static size_t expand_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].up);
}

/* hidden = silu(gate) * up, gelu(gate) * up, or gelu(up). */
static void expand_piece(struct forward *f, const struct layer *l, const struct act *x,
                         const struct piece *piece, unsigned rank)
{
    const size_t begin = piece->panels.begin * PANEL_ROWS, first = piece->rows.begin;
    const size_t n = (piece->panels.end - piece->panels.begin) * PANEL_ROWS;
    const size_t n_rows = piece->rows.end - first, stride = f->inputs[INPUT_HIDDEN].f32_stride;
    float *hidden = f->inputs[INPUT_HIDDEN].f32 + first * stride,
          *up = f->up + first * f->ff_stride;
    const struct act rows = act_from(x, first);
    uint64_t part;
    if (f->model->shape.ffn != FFN_GELU) {
        linear_panels(f, &l->gate, piece->panels.begin, piece->panels.end, &rows, n_rows, hidden,
                      stride);
        linear_panels(f, &l->up, piece->panels.begin, piece->panels.end, &rows, n_rows, up,
                      f->ff_stride);
        part = part_begin(f, rank);
        const bool silu = f->model->shape.ffn == FFN_SILU_GATED;
        void (*const act_mul)(float *, const float *, size_t) =
            silu ? f->kernels->silu_mul : f->kernels->gelu_mul;
        for (size_t t = 0; t < n_rows; t++)
            act_mul(hidden + t * stride + begin, up + t * f->ff_stride + begin, n);
    } else {
        linear_panels(f, &l->up, piece->panels.begin, piece->panels.end, &rows, n_rows, hidden,
                      stride);
        part = part_begin(f, rank);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->gelu(hidden + t * stride + begin, n);
    }
    part_end(f, rank, PART_ACTIVATION, part);
}

static void expand(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = product_input(f, layer, INPUT_NORMED, n_rows, make_ffn_input, rank);
    struct piece piece;
    while (next_piece(f, matrix_n_panels(&l->up.w), n_rows, &r, &piece))
        expand_piece(f, l, x, &piece, rank);
}

static size_t down_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].down);
}

static void project_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = product_input(f, layer, INPUT_HIDDEN, n_rows, make_down_input, rank);
    const struct layer *l = &f->model->layers[layer];
    project_residual(f, &l->down, &l->ffn_post_norm, x, n_rows, r);
}

static size_t ffn_post_items(const struct forward *f, size_t layer)
{
    return post_norm_items(&f->model->layers[layer].ffn_post_norm, rows_on(f, layer));
}

static void add_expanded(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    add_normed(f, &f->model->layers[layer].ffn_post_norm, r);
}

static const struct phase phases[] = {
    {on_input_items, norm_ffn, SCOPE_FFN_NORM, {NOTHING, NOTHING}},
    {expand_items, expand, SCOPE_GATE_UP, {SCOPE_FFN_NORM, SCOPE_ACTIVATION}},
    {on_input_items, round_hidden, SCOPE_DOWN_ROUND, {NOTHING, NOTHING}},
    {down_items, project_hidden, SCOPE_DOWN, {SCOPE_DOWN_ROUND, NOTHING}},
    {ffn_post_items, add_expanded, SCOPE_DOWN, {NOTHING, NOTHING}},
};
const struct phase_group feed_forward_phases = PHASE_GROUP(phases);
