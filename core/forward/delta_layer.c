/* delta_layer.c - the mixing half of a recurrent layer, a gated delta net: norm, projections, short
 * convolution, the rule, output.
 *
 * The rows of a sequence that stand together in a step are a run: its positions are computed one
 * after the other, heads side by side. What a sequence carries from one run to the next lies in the
 * cache: the convolution's last inputs, and each head's state. A run may read it in one place and
 * leave it in another (kv.h).
 */
#include "forward/phases.h"
#include "math/fmath.h"

#include <math.h>
#include <string.h>

static const struct delta_shape *delta_of(const struct forward *f)
{
    return &f->model->shape.delta;
}

/* --- memory, and the runs of a step --- */

static size_t whole_panels(size_t n)
{
    return (n + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
}

/* Whether attention has gates, which lie where those of recurrent layers do. */
static size_t gate_width(const struct forward *f)
{
    const struct shape *s = &f->model->shape;
    size_t width = delta_inner(&s->delta);
    for (size_t i = 0; i < s->n_layers; i++) {
        const size_t n = f->model->layers[i].q_gate.w.n_rows;
        width = n > width ? n : width;
    }
    return width;
}

static const float *carve_weights(struct forward *f, float weight)
{
    const size_t n = delta_of(f)->size;
    float *weights = arena_carve(&f->arena, n, sizeof *weights);
    for (size_t i = 0; weights != NULL && i < n; i++)
        weights[i] = weight;
    return weights;
}

void delta_carve(struct forward *f)
{
    const struct delta_shape *s = delta_of(f);
    const size_t t = f->max_rows;
    f->mix_stride = whole_panels(delta_channels(s));
    f->alpha_stride = whole_panels(s->n_value_heads);
    f->gate_stride = whole_panels(gate_width(f));
    f->gate = arena_carve(&f->arena, t * f->gate_stride, sizeof(float));
    if (s->size == 0)
        return;
    f->mix = arena_carve(&f->arena, t * f->mix_stride, sizeof(float));
    f->alpha = arena_carve(&f->arena, t * f->alpha_stride, sizeof(float));
    f->beta = arena_carve(&f->arena, t * f->alpha_stride, sizeof(float));
    f->runs = arena_carve(&f->arena, t, sizeof *f->runs);
    f->places = arena_carve(&f->arena, t, sizeof *f->places);
    /* x / sqrt(sum x^2 + eps) is an RMS norm with eps / D: D more under the root are taken back.
     * Queries are divided by the root of D besides, as scores are. */
    f->query_norm = carve_weights(f, 1.0f / (float)s->size);
    f->key_norm = carve_weights(f, 1.0f / sqrtf((float)s->size));
}

void delta_plan(struct forward *f)
{
    if (delta_of(f)->size == 0)
        return;
    f->n_runs = 0;
    for (size_t t = 0; t < f->n_rows; t++) {
        f->places[t] = NO_PLACE;
        if (t > 0 && f->rows[t].seq == f->rows[t - 1].seq)
            f->runs[f->n_runs - 1].n++;
        else
            f->runs[f->n_runs++] = (struct run){t, 1};
    }
    for (size_t i = 0; i < f->n_wanted; i++)
        f->places[f->wanted[i]] = (uint32_t)i;
}

static void make_mix_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    const struct delta_layer *d = &l->delta;
    norm_rows(f, &l->attn_norm, act, r,
              (const struct linear *[]){&d->mix, &d->gate, &d->alpha, &d->beta}, 4);
}

static size_t mix_input_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return input_items(f->n_rows);
}

static void norm_mix(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_mix_input(f, layer, &f->inputs[INPUT_NORMED], r);
}

enum { MIX_PARTS = 4 };

static void mix_parts(const struct forward *f, size_t layer, struct product parts[MIX_PARTS])
{
    const struct delta_layer *d = &f->model->layers[layer].delta;
    parts[0] = (struct product){&d->mix, f->mix, f->mix_stride};
    parts[1] = (struct product){&d->gate, f->gate, f->gate_stride};
    parts[2] = (struct product){&d->alpha, f->alpha, f->alpha_stride};
    parts[3] = (struct product){&d->beta, f->beta, f->alpha_stride};
}

static size_t mix_items(const struct forward *f, size_t layer)
{
    struct product parts[MIX_PARTS];
    mix_parts(f, layer, parts);
    return parts_items(f, parts, MIX_PARTS, f->n_rows);
}

static void project_mix(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    struct product parts[MIX_PARTS];
    mix_parts(f, layer, parts);
    const struct act *x = product_input(f, layer, INPUT_NORMED, f->n_rows, make_mix_input, rank);
    project_parts(f, parts, MIX_PARTS, r, x, f->n_rows);
}

/* --- the short convolution --- */

/* Groups of channels: the queries and the keys of each key head, then the values of each value
 * head. */
static size_t n_groups(const struct delta_shape *s)
{
    return 2 * s->n_key_heads + s->n_value_heads;
}

static size_t conv_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_runs * n_groups(delta_of(f));
}

/* The inputs before a run: [n_taps - 1] of a group, the oldest first, each [size]; zeros where it
 * begins. */
struct delta_past {
    float values[DELTA_TAPS_MAX - 1][DELTA_SIZE_MAX];
};

static void read_past(const struct forward *f, size_t layer, const struct run *run, size_t group,
                      struct delta_past *out)
{
    const struct delta_shape *s = delta_of(f);
    const struct row *row = &f->rows[run->first];
    const float *from = kv_state_from(f->kv, row->seq, layer, row->position);
    for (size_t j = 0; j + 1 < s->n_taps; j++) {
        if (from != NULL)
            memcpy(out->values[j], from + j * delta_channels(s) + group * s->size,
                   s->size * sizeof(float));
        else
            memset(out->values[j], 0, s->size * sizeof(float));
    }
}

/* The input of a group, i positions after the run's first; before it: of the past. */
static const float *input_at(const struct forward *f, const struct run *run, size_t group,
                             const struct delta_past *past, ptrdiff_t i)
{
    const struct delta_shape *s = delta_of(f);
    if (i < 0)
        return past->values[i + (ptrdiff_t)s->n_taps - 1];
    return f->mix + (run->first + (size_t)i) * f->mix_stride + group * s->size;
}

/* In place, the last row first: no row's input is needed by those before it. */
static void convolve_run(struct forward *f, size_t layer, const struct run *run, size_t group)
{
    const struct delta_shape *s = delta_of(f);
    const struct delta_layer *d = &f->model->layers[layer].delta;
    const float *taps[DELTA_TAPS_MAX], *norm = group < s->n_key_heads ? f->query_norm : f->key_norm;
    const ptrdiff_t n = (ptrdiff_t)run->n, n_past = (ptrdiff_t)s->n_taps - 1;
    struct delta_past before, after;
    read_past(f, layer, run, group, &before);
    for (ptrdiff_t j = 0; j < n_past; j++)
        memcpy(after.values[j], input_at(f, run, group, &before, n - n_past + j),
               s->size * sizeof(float));
    for (ptrdiff_t i = n - 1; i >= 0; i--) {
        float *y = f->mix + (run->first + (size_t)i) * f->mix_stride + group * s->size;
        for (ptrdiff_t j = 0; j <= n_past; j++)
            taps[j] = input_at(f, run, group, &before, i - n_past + j);
        f->kernels->conv(taps, s->n_taps, d->taps + group * s->size, delta_channels(s), NULL,
                         s->size, true, y);
        if (group < 2 * s->n_key_heads)
            f->kernels->rms_norm(y, norm, s->size, f->model->shape.norm_eps / (float)s->size, y);
    }
    float *state = kv_state(f->kv, f->rows[run->first].seq, layer);
    for (size_t j = 0; j + 1 < s->n_taps; j++)
        memcpy(state + j * delta_channels(s) + group * s->size, after.values[j],
               s->size * sizeof(float));
}

/* What a head keeps of its state, and how much of a value it takes in, in place of their logits. */
static void open_gates(struct forward *f, size_t layer, const struct run *run, size_t head)
{
    const struct delta_layer *d = &f->model->layers[layer].delta;
    for (size_t t = run->first; t < run->first + run->n; t++) {
        float *alpha = f->alpha + t * f->alpha_stride + head;
        float *beta = f->beta + t * f->alpha_stride + head;
        *alpha = fmath_exp(fmath_softplus(*alpha + d->dt[head]) * d->decay[head]);
        *beta = 1.0f / (1.0f + fmath_exp(-*beta));
    }
}

static void convolve(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct delta_shape *s = delta_of(f);
    (void)rank;
    for (size_t i = r.begin; i < r.end; i++) {
        const struct run *run = &f->runs[i / n_groups(s)];
        size_t group = i % n_groups(s);
        convolve_run(f, layer, run, group);
        if (group >= 2 * s->n_key_heads)
            open_gates(f, layer, run, group - 2 * s->n_key_heads);
    }
}

/* --- the rule --- */

static size_t rule_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_runs * delta_of(f)->n_value_heads;
}

/* A run's positions of a value head: its values become what the state answers. */
static void run_rule(struct forward *f, size_t layer, const struct run *run, size_t head)
{
    const struct delta_shape *s = delta_of(f);
    const struct row *row = &f->rows[run->first];
    const size_t key_head = head % s->n_key_heads;
    const size_t at = delta_conv_floats(s) + head * delta_state_floats(s->size);
    const float *from = kv_state_from(f->kv, row->seq, layer, row->position);
    float *mix = f->mix + run->first * f->mix_stride;
    f->kernels->delta(&(struct delta){
        .size = s->size,
        .n_positions = run->n,
        .q = mix + key_head * s->size,
        .k = mix + (s->n_key_heads + key_head) * s->size,
        .qk_stride = f->mix_stride,
        .v = mix + (2 * s->n_key_heads + head) * s->size,
        .v_stride = f->mix_stride,
        .decay = f->alpha + run->first * f->alpha_stride + head,
        .beta = f->beta + run->first * f->alpha_stride + head,
        .gate_stride = f->alpha_stride,
        .from = from != NULL ? from + at : NULL,
        .state = kv_state(f->kv, row->seq, layer) + at,
    });
}

/* Answers are normed, gated, and go where the output's product reads them. */
static void finish_run(struct forward *f, size_t layer, const struct run *run, size_t head)
{
    const struct delta_shape *s = delta_of(f);
    const struct act *out = &f->inputs[INPUT_ATTENDED];
    const float *norm = f->model->layers[layer].delta.norm.weight;
    for (size_t t = run->first; t < run->first + run->n; t++) {
        const size_t place = is_last(f, layer) ? f->places[t] : t;
        if (place == NO_PLACE)
            continue;
        float *answer = f->mix + t * f->mix_stride + (2 * s->n_key_heads + head) * s->size;
        float *gate = f->gate + t * f->gate_stride + head * s->size;
        f->kernels->rms_norm(answer, norm, s->size, f->model->shape.norm_eps, answer);
        f->kernels->silu_mul(gate, answer, s->size);
        memcpy(out->f32 + place * out->f32_stride + head * s->size, gate, s->size * sizeof(float));
    }
}

static void apply_rule(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_heads = delta_of(f)->n_value_heads;
    (void)rank;
    if (is_last(f, layer) && r.begin == 0)
        gather_residuals(f); /* no item reads residuals in this phase */
    for (size_t i = r.begin; i < r.end; i++) {
        run_rule(f, layer, &f->runs[i / n_heads], i % n_heads);
        finish_run(f, layer, &f->runs[i / n_heads], i % n_heads);
    }
}

static const struct phase phases[] = {
    {mix_input_items, norm_mix, SCOPE_ATTN_NORM, {NOTHING, NOTHING}},
    {mix_items, project_mix, SCOPE_QKV, {SCOPE_ATTN_NORM, NOTHING}},
    {conv_items, convolve, SCOPE_CONV, {NOTHING, NOTHING}},
    {rule_items, apply_rule, SCOPE_RECURRENCE, {NOTHING, NOTHING}},
};
const struct phase_group delta_phases = PHASE_GROUP(phases);
