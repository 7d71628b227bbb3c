/* forward.c - the transformer, reading like the paper: embed, then per layer norm, QKV, RoPE,
 * attend, output, norm, FFN; then the head for the rows that want logits.
 *
 * Every phase is a function that each thread of the team runs on its share: rows, panels of output
 * rows, (row, head) pairs or attention tasks; a barrier stands between two phases where one reads
 * what another thread wrote. Shares decide who computes a number, never how. After the last layer
 * has stored its keys and values only the rows that want logits go on.
 *
 * Letters in shapes: T rows of the step, E n_embd, H heads, G KV heads, D head size, F n_ff, V
 * vocabulary. Strides are rounded up to whole panels.
 */
#include "model/forward.h"

#include "base/arena.h"
#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPLIT_TASKS = 4, /* a thread's worth of attention tasks below which spans are split up */
    SPAN_BLOCKS = ATTEND_SPAN / (int)KV_PAGE, /* pages of a span */
};

struct span_part {    /* one span's partial results of one KV head's group */
    float *max, *sum; /* [n_spans][H/G] */
    float *acc;       /* [n_spans][H/G][D] */
};

struct forward {
    const struct model *model;
    const struct kernels *kernels;
    struct kv *kv;
    struct team *team;
    size_t max_rows, max_logits, n_spans;
    size_t embd_stride, q_stride, kv_stride, ff_stride, vocab_stride; /* floats */

    float *x;                /* [T][embd_stride]: the residual stream */
    float *q, *k, *v;        /* [T][q_stride], [T][kv_stride] twice */
    float *up;               /* [T][ff_stride] */
    float *proj;             /* [T][embd_stride]: a projection before it joins the residual */
    struct act normed;       /* of E: what QKV, gate/up and the head read */
    struct act attended;     /* of H * D: what attn_output reads */
    struct act hidden;       /* of F: what down reads */
    struct span_part *parts; /* [SPLIT_TASKS * threads] */
    float *logits;           /* [max_logits][vocab_stride] */
    struct arena arena;

    /* of the current step */
    const struct row *rows;
    size_t n_rows;
    uint32_t *wanted; /* [max_rows]: the rows that want logits, ascending */
    size_t n_wanted;
};

/* --- creation --- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Carves everything out of f->arena. With a measuring arena (base NULL) the pointers are
 * meaningless and only n_used counts. */
static void *carve(struct arena *arena, size_t n, size_t size)
{
    if (arena->base)
        return arena_alloc(arena, n, size);
    size_t bytes = 0;
    if (!checked_mul(n, size, &bytes) || !checked_align(bytes, ARENA_ALIGN, &bytes) ||
        !checked_add(arena->n_used, bytes, &arena->n_used))
        arena->n_used = SIZE_MAX;
    return NULL;
}

static void carve_act(struct act *act, struct arena *arena, size_t n_rows, size_t n_cols)
{
    act->n_cols = n_cols;
    act->f32_stride = round_up(n_cols, PANEL_ROWS);
    act->q_stride = round_up(n_cols, 256);
    act->b_stride = round_up(n_cols, 512) / 32;
    act->f32 = carve(arena, n_rows * act->f32_stride, sizeof(float));
    act->q8 = carve(arena, n_rows * act->q_stride, 1);
    act->q8_scale = carve(arena, n_rows * act->b_stride, sizeof(float));
    act->q8_sum = carve(arena, n_rows * act->b_stride, sizeof(int16_t));
    act->q8k = carve(arena, n_rows * act->q_stride, 1);
    act->q8k_scale = carve(arena, n_rows * act->b_stride, sizeof(float));
    act->q8k_sum = carve(arena, n_rows * act->b_stride * 2, sizeof(int16_t));
}

static void carve_all(struct forward *f)
{
    const struct shape *s = &f->model->shape;
    struct arena *arena = &f->arena;
    size_t t = f->max_rows, group = s->n_heads / s->n_kv_heads;
    f->x = carve(arena, t * f->embd_stride, sizeof(float));
    f->q = carve(arena, t * f->q_stride, sizeof(float));
    f->k = carve(arena, t * f->kv_stride, sizeof(float));
    f->v = carve(arena, t * f->kv_stride, sizeof(float));
    f->up = carve(arena, t * f->ff_stride, sizeof(float));
    f->proj = carve(arena, t * f->embd_stride, sizeof(float));
    carve_act(&f->normed, arena, t, s->n_embd);
    carve_act(&f->attended, arena, t, s->n_heads * s->head_dim);
    carve_act(&f->hidden, arena, t, s->n_ff);
    size_t n_parts = (size_t)SPLIT_TASKS * team_size(f->team);
    f->parts = carve(arena, n_parts, sizeof *f->parts);
    for (size_t i = 0; i < n_parts; i++) {
        struct span_part part = {
            .max = carve(arena, f->n_spans * group, sizeof(float)),
            .sum = carve(arena, f->n_spans * group, sizeof(float)),
            .acc = carve(arena, f->n_spans * group * s->head_dim, sizeof(float)),
        };
        if (f->parts)
            f->parts[i] = part;
    }
    f->logits = carve(arena, f->max_logits * f->vocab_stride, sizeof(float));
    f->wanted = carve(arena, t, sizeof *f->wanted);
}

enum status forward_create(struct forward **out, const struct model *model,
                           const struct kernels *kernels, struct kv *kv, struct team *team,
                           size_t max_rows, size_t max_logits, struct error *err)
{
    const struct shape *s = &model->shape;
    struct forward *f = calloc(1, sizeof *f);
    if (!f)
        return error_no_memory(err, sizeof *f, "the forward pass");
    f->model = model;
    f->kernels = kernels;
    f->kv = kv;
    f->team = team;
    f->max_rows = max_rows;
    f->max_logits = max_logits;
    f->n_spans = (model->n_context + ATTEND_SPAN - 1) / ATTEND_SPAN;
    f->embd_stride = round_up(s->n_embd, PANEL_ROWS);
    f->q_stride = round_up(s->n_heads * s->head_dim, PANEL_ROWS);
    f->kv_stride = round_up(s->n_kv_heads * s->head_dim, PANEL_ROWS);
    f->ff_stride = round_up(s->n_ff, PANEL_ROWS);
    f->vocab_stride = round_up(s->n_vocab, PANEL_ROWS);
    carve_all(f); /* measures */
    size_t n_bytes = f->arena.n_used;
    f->arena = (struct arena){0};
    enum status status = arena_init(&f->arena, n_bytes, "a worker's activations", err);
    if (status != STATUS_OK) {
        forward_destroy(f);
        return status;
    }
    carve_all(f);
    *out = f;
    return STATUS_OK;
}

void forward_destroy(struct forward *f)
{
    if (!f)
        return;
    arena_free(&f->arena);
    free(f);
}

float *forward_logits(const struct forward *f, size_t i)
{
    return f->logits + i * f->vocab_stride;
}

size_t forward_bytes(const struct forward *f)
{
    return f->arena.n_bytes;
}

/* --- shares --- */

struct range {
    size_t begin, end;
};

/* Thread `rank`'s share of n equal parts, contiguous. */
static struct range share(const struct forward *f, unsigned rank, size_t n)
{
    size_t threads = team_size(f->team);
    return (struct range){n * rank / threads, n * (rank + 1) / threads};
}

static void barrier(struct forward *f, unsigned rank)
{
    team_barrier(f->team, rank);
}

/* --- the parts of a layer; each computes `rank`'s share --- */

static void embed(struct forward *f, unsigned rank)
{
    const struct model *m = f->model;
    struct range r = share(f, rank, f->n_rows);
    for (size_t t = r.begin; t < r.end; t++) {
        float *x = f->x + t * f->embd_stride;
        matrix_row(&m->embed, (size_t)f->rows[t].token, x);
        if (m->positions)
            f->kernels->add(x, m->positions + f->rows[t].position * m->shape.n_embd,
                            m->shape.n_embd);
    }
}

static void norm_row(const struct forward *f, const struct norm *norm, const float *x, size_t n,
                     float *y)
{
    const struct shape *s = &f->model->shape;
    if (s->norm == NORM_LAYER)
        f->kernels->layer_norm(x, norm->weight, norm->bias, n, s->norm_eps, y);
    else
        f->kernels->rms_norm(x, norm->weight, n, s->norm_eps, y);
}

/* Rounds row t once to each format that the given matrices read. */
static void quantize_row(const struct forward *f, const struct act *act, size_t t,
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

static void norm_all(struct forward *f, unsigned rank, const struct norm *norm,
                     const struct linear *const *readers, size_t n_readers, size_t n_rows)
{
    struct range r = share(f, rank, n_rows);
    for (size_t t = r.begin; t < r.end; t++) {
        float *y = f->normed.f32 + t * f->normed.f32_stride;
        norm_row(f, norm, f->x + t * f->embd_stride, f->model->shape.n_embd, y);
        quantize_row(f, &f->normed, t, readers, n_readers);
    }
}

static void quantize_all(struct forward *f, unsigned rank, const struct act *act,
                         const struct linear *reader, size_t n_rows)
{
    struct range r = share(f, rank, n_rows);
    for (size_t t = r.begin; t < r.end; t++)
        quantize_row(f, act, t, &reader, 1);
}

/* y = W x + b for panels [p0, p1). */
static void linear_panels(const struct forward *f, const struct linear *l, size_t p0, size_t p1,
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

static void project_qkv(struct forward *f, unsigned rank, const struct layer *layer)
{
    const struct linear *parts[3] = {&layer->q, &layer->k, &layer->v};
    float *out[3] = {f->q, f->k, f->v};
    size_t strides[3] = {f->q_stride, f->kv_stride, f->kv_stride};
    size_t total = 0, first = 0;
    for (int i = 0; i < 3; i++)
        total += matrix_n_panels(&parts[i]->w);
    struct range r = share(f, rank, total);
    for (int i = 0; i < 3; i++) { /* the share is a run over the three, one behind the other */
        size_t n = matrix_n_panels(&parts[i]->w);
        size_t p0 = r.begin > first ? r.begin - first : 0;
        size_t p1 = r.end > first ? (r.end - first < n ? r.end - first : n) : 0;
        linear_panels(f, parts[i], p0, p1, &f->normed, f->n_rows, out[i], strides[i]);
        first += n;
    }
}

static void rotate(const struct forward *f, const struct norm *norm, float *head, uint32_t position,
                   float scale)
{
    const struct model *m = f->model;
    const struct shape *s = &m->shape;
    if (norm->weight)
        f->kernels->rms_norm(head, norm->weight, s->head_dim, s->norm_eps, head);
    size_t n = s->rope == ROPE_NONE ? 0 : s->rope_dim;
    const float *cos = n ? m->rope_cos + position * (n / 2) : NULL;
    const float *sin = n ? m->rope_sin + position * (n / 2) : NULL;
    f->kernels->rope(head, cos, sin, n, s->head_dim, s->rope == ROPE_INTERLEAVED, scale);
}

/* Norms and rotates queries and keys; rounds keys and values into the cache, the current token's
 * included. */
static void store_kv(struct forward *f, unsigned rank, const struct layer *layer,
                     size_t layer_index)
{
    const struct shape *s = &f->model->shape;
    float scale = 1.0f / sqrtf((float)s->head_dim);
    size_t heads = s->n_heads + s->n_kv_heads;
    struct range r = share(f, rank, f->n_rows * heads);
    for (size_t i = r.begin; i < r.end; i++) {
        size_t t = i / heads, h = i % heads;
        const struct row *row = &f->rows[t];
        if (h < s->n_heads) {
            rotate(f, &layer->q_norm, f->q + t * f->q_stride + h * s->head_dim, row->position,
                   scale);
            continue;
        }
        h -= s->n_heads;
        float *k = f->k + t * f->kv_stride + h * s->head_dim;
        const float *v = f->v + t * f->kv_stride + h * s->head_dim;
        rotate(f, &layer->k_norm, k, row->position, 1.0f);
        uint8_t *block = kv_block(f->kv, row->seq->pages[row->position / KV_PAGE], layer_index, h);
        f->kernels->kv_store[kv_type(f->kv)](block, row->position % KV_PAGE, s->head_dim, k, v);
    }
}

/* One span of one row's group of heads that share KV head g. */
static void attend_span(const struct forward *f, const struct row *row, size_t t,
                        size_t layer_index, size_t g, size_t span, const struct span_part *part)
{
    const struct shape *s = &f->model->shape;
    size_t group = s->n_heads / s->n_kv_heads;
    size_t first = span * ATTEND_SPAN, n = row->position + 1 - first;
    if (n > ATTEND_SPAN)
        n = ATTEND_SPAN;
    const uint8_t *blocks[SPAN_BLOCKS];
    for (size_t b = 0; b * KV_PAGE < n; b++)
        blocks[b] = kv_block(f->kv, row->seq->pages[first / KV_PAGE + b], layer_index, g);
    struct attend a = {
        .q = f->q + t * f->q_stride + g * group * s->head_dim,
        .n_heads = group,
        .head_dim = s->head_dim,
        .blocks = blocks,
        .n_positions = n,
        .max = part->max + span * group,
        .sum = part->sum + span * group,
        .acc = part->acc + span * group * s->head_dim,
    };
    f->kernels->attend[kv_type(f->kv)](&a);
}

/* The i-th row that goes on: all of them, or in the last layer those that want logits. */
static size_t active_row(const struct forward *f, bool last, size_t i)
{
    return last ? f->wanted[i] : i;
}

static void merge_spans(const struct forward *f, size_t position, size_t out_row, size_t g,
                        const struct span_part *part)
{
    const struct shape *s = &f->model->shape;
    size_t group = s->n_heads / s->n_kv_heads;
    float *out = f->attended.f32 + out_row * f->attended.f32_stride + g * group * s->head_dim;
    f->kernels->attend_merge(part->max, part->sum, part->acc, position / ATTEND_SPAN + 1, group,
                             s->head_dim, out);
}

/* Tasks are (row, KV head) pairs. Where they are too few to occupy the team their spans are shared
 * out as well, and merged behind a barrier: the same numbers merged in the same order. */
static void attend_all(struct forward *f, unsigned rank, size_t layer_index, bool last,
                       size_t n_rows)
{
    size_t heads = f->model->shape.n_kv_heads, n_tasks = n_rows * heads;
    bool split = team_size(f->team) > 1 && n_tasks < (size_t)SPLIT_TASKS * team_size(f->team);
    struct range r = share(f, rank, split ? n_tasks * f->n_spans : n_tasks);
    for (size_t i = r.begin; i < r.end; i++) {
        size_t task = split ? i / f->n_spans : i;
        size_t t = active_row(f, last, task / heads), g = task % heads;
        const struct row *row = &f->rows[t];
        size_t n_spans = row->position / ATTEND_SPAN + 1;
        if (split) {
            if (i % f->n_spans < n_spans)
                attend_span(f, row, t, layer_index, g, i % f->n_spans, &f->parts[task]);
            continue;
        }
        for (size_t span = 0; span < n_spans; span++)
            attend_span(f, row, t, layer_index, g, span, &f->parts[rank]);
        merge_spans(f, row->position, task / heads, g, &f->parts[rank]);
    }
    if (!split)
        return;
    barrier(f, rank);
    r = share(f, rank, n_tasks);
    for (size_t task = r.begin; task < r.end; task++) {
        size_t t = active_row(f, last, task / heads);
        merge_spans(f, f->rows[t].position, task / heads, task % heads, &f->parts[task]);
    }
}

/* x += W act + b. */
static void project_residual(struct forward *f, unsigned rank, const struct linear *l,
                             const struct act *act, size_t n_rows)
{
    struct range r = share(f, rank, matrix_n_panels(&l->w));
    linear_panels(f, l, r.begin, r.end, act, n_rows, f->proj, f->embd_stride);
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    for (size_t t = 0; t < n_rows; t++)
        f->kernels->add(f->x + t * f->embd_stride + begin, f->proj + t * f->embd_stride + begin, n);
}

/* hidden = silu(gate) * up, or gelu(up). */
static void expand(struct forward *f, unsigned rank, const struct layer *layer, size_t n_rows)
{
    struct range r = share(f, rank, matrix_n_panels(&layer->up.w));
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    float *hidden = f->hidden.f32;
    if (f->model->shape.ffn == FFN_SILU_GATED) {
        linear_panels(f, &layer->gate, r.begin, r.end, &f->normed, n_rows, hidden,
                      f->hidden.f32_stride);
        linear_panels(f, &layer->up, r.begin, r.end, &f->normed, n_rows, f->up, f->ff_stride);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->silu_mul(hidden + t * f->hidden.f32_stride + begin,
                                 f->up + t * f->ff_stride + begin, n);
    } else {
        linear_panels(f, &layer->up, r.begin, r.end, &f->normed, n_rows, hidden,
                      f->hidden.f32_stride);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->gelu(hidden + t * f->hidden.f32_stride + begin, n);
    }
}

/* Only the rows that want logits go on: their residuals move to the front (rows are ascending, so
 * none is overwritten). */
static void keep_wanted(struct forward *f, unsigned rank)
{
    if (rank != 0)
        return;
    for (size_t i = 0; i < f->n_wanted; i++)
        if (f->wanted[i] != i)
            memcpy(f->x + i * f->embd_stride, f->x + f->wanted[i] * f->embd_stride,
                   f->embd_stride * sizeof(float));
}

static void run_layer(struct forward *f, unsigned rank, size_t index)
{
    const struct layer *layer = &f->model->layers[index];
    bool last = index + 1 == f->model->shape.n_layers;
    size_t n_rows = last ? f->n_wanted : f->n_rows;

    norm_all(f, rank, &layer->attn_norm, (const struct linear *[]){&layer->q, &layer->k, &layer->v},
             3, f->n_rows);
    barrier(f, rank);
    project_qkv(f, rank, layer);
    barrier(f, rank);
    store_kv(f, rank, layer, index);
    if (last)
        keep_wanted(f, rank);
    barrier(f, rank);
    if (n_rows == 0)
        return;
    attend_all(f, rank, index, last, n_rows);
    barrier(f, rank);
    quantize_all(f, rank, &f->attended, &layer->attn_output, n_rows);
    barrier(f, rank);
    project_residual(f, rank, &layer->attn_output, &f->attended, n_rows);
    barrier(f, rank);
    norm_all(f, rank, &layer->ffn_norm, (const struct linear *[]){&layer->gate, &layer->up}, 2,
             n_rows);
    barrier(f, rank);
    expand(f, rank, layer, n_rows);
    barrier(f, rank);
    quantize_all(f, rank, &f->hidden, &layer->down, n_rows);
    barrier(f, rank);
    project_residual(f, rank, &layer->down, &f->hidden, n_rows);
    barrier(f, rank);
}

static void run_head(struct forward *f, unsigned rank)
{
    const struct model *m = f->model;
    const struct linear *output = &m->output;
    norm_all(f, rank, &m->output_norm, &output, 1, f->n_wanted);
    barrier(f, rank);
    struct range r = share(f, rank, matrix_n_panels(&output->w));
    linear_panels(f, output, r.begin, r.end, &f->normed, f->n_wanted, f->logits, f->vocab_stride);
}

static void run_step(void *arg, unsigned rank)
{
    struct forward *f = arg;
    embed(f, rank);
    barrier(f, rank);
    for (size_t i = 0; i < f->model->shape.n_layers; i++)
        run_layer(f, rank, i);
    if (f->n_wanted > 0)
        run_head(f, rank);
}

void forward_run(struct forward *f, const struct row *rows, size_t n_rows)
{
    f->rows = rows;
    f->n_rows = n_rows;
    f->n_wanted = 0;
    for (size_t t = 0; t < n_rows; t++)
        if (rows[t].wants_logits)
            f->wanted[f->n_wanted++] = (uint32_t)t;
    team_run(f->team, run_step, f);
}
