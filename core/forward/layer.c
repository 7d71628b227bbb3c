/* layer.c - what the transformer computes, reading like the paper: embed, then per layer
 * norm, QKV, RoPE, attend, output, norm, FFN; then the head for the rows that want logits.
 *
 * Each phase says how many items it has (rows, panels of output rows, (row, head) pairs or
 * attention tasks; none: the step goes without it), and computes a range of them; any thread of the
 * team may. After the last layer has stored its keys and values only the rows that want logits go
 * on.
 *
 * Every phase ends in a barrier, which costs time. So where rows are few each thread norms and
 * rounds what its product reads by itself, and a row that is alone of its sequence has its key and
 * value stored by the thread that attends to them: the same functions of the same values, in fewer
 * phases.
 */
#include "forward/internal.h"
#include "model/cost.h"

#include <string.h>

/* --- shares --- */

static bool is_last(const struct forward *f, size_t layer)
{
    return layer + 1 == f->model->shape.n_layers;
}

/* Rows that go on after a layer's keys and values. */
static size_t rows_on(const struct forward *f, size_t layer)
{
    return is_last(f, layer) ? f->n_wanted : f->n_rows;
}

static size_t panels_on(const struct forward *f, size_t layer, const struct linear *l)
{
    return rows_on(f, layer) > 0 ? matrix_n_panels(&l->w) : 0;
}

/* --- what a phase sets apart, for a profile: two looks at the clock around it --- */

/* Places in the phases' lists of parts. */
enum { PART_INPUT = 0, PART_ROPE = 0, PART_ACTIVATION = 1 };

/* The thread's mark of the phase under way, where a profile is recorded. */
static inline struct team_mark *mark_of(const struct forward *f, unsigned rank)
{
    return team_mark_at(f->marks, rank, f->own[rank].phase);
}

static inline void add_part(const struct forward *f, unsigned rank, size_t part, uint64_t begin,
                            uint32_t weight)
{
    uint32_t ticks = (uint32_t)(f->marks->clock() - begin);
    /* A slow counter: nothing would say that it was not done. */
    mark_of(f, rank)->parts[part] += weight * (ticks > 0 ? ticks : 1);
}

/* Sets a chunk's part apart. */
static inline uint64_t part_begin(const struct forward *f, unsigned rank)
{
    return __builtin_expect(f->own[rank].weight > 0, false) ? f->marks->clock() : 0;
}

static inline void part_end(const struct forward *f, unsigned rank, size_t part, uint64_t begin)
{
    if (__builtin_expect(f->own[rank].weight > 0, false))
        add_part(f, rank, part, begin, f->own[rank].weight);
}

/* For work that a thread does once, at the beginning of its part of the phase: that look at the
 * clock has been taken. */
static inline void part_end_since_begin(const struct forward *f, unsigned rank, size_t part)
{
    if (__builtin_expect(f->marks != NULL, false))
        add_part(f, rank, part, mark_of(f, rank)->begin, 1);
}

/* --- rows --- */

static size_t row_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_rows;
}

static void embed(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct model *m = f->model;
    (void)layer, (void)rank;
    for (size_t t = r.begin; t < r.end; t++) {
        float *x = f->x + t * f->embd_stride;
        matrix_row(&m->embed, (size_t)f->rows[t].token, x);
        if (m->positions)
            f->kernels->add(x, m->positions + f->rows[t].position * m->shape.n_embd,
                            m->shape.n_embd);
    }
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

static void norm_rows(const struct forward *f, const struct norm *norm, struct act *act,
                      struct range r, const struct linear *const *readers, size_t n_readers)
{
    const struct shape *s = &f->model->shape;
    for (size_t t = r.begin; t < r.end; t++) {
        const float *x = f->x + t * f->embd_stride;
        float *y = act->f32 + t * act->f32_stride;
        if (s->norm == NORM_LAYER)
            f->kernels->layer_norm(x, norm->weight, norm->bias, s->n_embd, s->norm_eps, y);
        else
            f->kernels->rms_norm(x, norm->weight, s->n_embd, s->norm_eps, y);
        quantize_row(f, act, t, readers, n_readers);
    }
}

static void round_rows(const struct forward *f, struct act *act, struct range r,
                       const struct linear *reader)
{
    for (size_t t = r.begin; t < r.end; t++)
        quantize_row(f, act, t, &reader, 1);
}

/* --- inputs of products: made in a phase of their own, or by each thread --- */

typedef void make_fn(const struct forward *f, size_t layer, struct act *act, struct range r);

static void make_qkv_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->attn_norm, act, r, (const struct linear *[]){&l->q, &l->k, &l->v}, 3);
}

static void make_output_input(const struct forward *f, size_t layer, struct act *act,
                              struct range r)
{
    round_rows(f, act, r, &f->model->layers[layer].attn_output);
}

static void make_ffn_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->ffn_norm, act, r, (const struct linear *[]){&l->gate, &l->up}, 2);
}

static void make_down_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    round_rows(f, act, r, &f->model->layers[layer].down);
}

static void make_head_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct linear *output = &f->model->output;
    (void)layer;
    norm_rows(f, &f->model->output_norm, act, r, &output, 1);
}

/* Items of the phase that makes an input of so many rows. */
static size_t input_items(size_t n_rows)
{
    return n_rows > OWN_ROWS ? n_rows : 0;
}

/* A product's input of n_rows rows. Made by each thread that needs it, in the first part of the
 * product's phase. */
static const struct act *input(const struct forward *f, size_t layer, enum input which,
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

static size_t qkv_input_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return input_items(f->n_rows);
}

static void norm_attention(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_qkv_input(f, layer, &f->inputs[INPUT_NORMED], r);
}

/* The rows after attention. */
static size_t on_input_items(const struct forward *f, size_t layer)
{
    return input_items(rows_on(f, layer));
}

static void round_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_output_input(f, layer, &f->inputs[INPUT_ATTENDED], r);
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

static size_t head_input_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return input_items(f->n_wanted);
}

static void norm_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_head_input(f, layer, &f->inputs[INPUT_NORMED], r);
}

/* --- queries, keys and values --- */

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

static size_t qkv_items(const struct forward *f, size_t layer)
{
    const struct layer *l = &f->model->layers[layer];
    return matrix_n_panels(&l->q.w) + matrix_n_panels(&l->k.w) + matrix_n_panels(&l->v.w);
}

/* Items are the panels of the three, one after the other. */
static void project_qkv(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    const struct linear *parts[3] = {&l->q, &l->k, &l->v};
    float *out[3] = {f->q, f->k, f->v};
    size_t strides[3] = {f->q_stride, f->kv_stride, f->kv_stride}, first = 0;
    const struct act *x = input(f, layer, INPUT_NORMED, f->n_rows, make_qkv_input, rank);
    for (int i = 0; i < 3; i++) {
        size_t n = matrix_n_panels(&parts[i]->w);
        size_t p0 = r.begin > first ? r.begin - first : 0;
        size_t p1 = r.end > first ? (r.end - first < n ? r.end - first : n) : 0;
        linear_panels(f, parts[i], p0, p1, x, f->n_rows, out[i], strides[i]);
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

/* Norms and rotates a query. */
static void rotate_query(const struct forward *f, size_t layer, size_t t, size_t head)
{
    const size_t head_dim = f->model->shape.head_dim;
    rotate(f, &f->model->layers[layer].q_norm, f->q + t * f->q_stride + head * head_dim,
           f->rows[t].position, f->q_scale);
}

/* --- the range of the cache's type --- */

/* The least magnitude that rounds to infinity in F16, as bits: those of magnitudes stand in their
 * order, infinities and NaNs above them. */
enum { F16_BEYOND = 0x477ff000, F32_INFINITE = 0x7f800000, F32_MAGNITUDE = 0x7fffffff };

typedef int32_t bits4 __attribute__((vector_size(16)));

static int32_t magnitude_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & F32_MAGNITUDE;
}

/* Whether any of n floats is beyond F16's range, or not finite. */
static bool any_beyond(const float *x, size_t n)
{
    bits4 beyond = {0};
    int32_t rest = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        bits4 bits;
        memcpy(&bits, x + i, sizeof bits);
        beyond |= (bits & F32_MAGNITUDE) >= F16_BEYOND;
    }
    for (; i < n; i++)
        rest |= magnitude_bits(x[i]) >= F16_BEYOND;
    return (beyond[0] | beyond[1] | beyond[2] | beyond[3] | rest) != 0;
}

/* Whether a finite one is: then the cache is at fault, not the model. */
static bool any_finite_beyond(const float *x, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n; i++)
        found |= magnitude_bits(x[i]) >= F16_BEYOND && magnitude_bits(x[i]) < F32_INFINITE;
    return found;
}

/* The other types hold what a float holds. One place for all kernel tables, which only store. */
static void check_range(struct forward *f, size_t t, const float *k, const float *v, size_t n)
{
    if (kv_type(f->kv) != KV_F16 || __builtin_expect(!(any_beyond(k, n) || any_beyond(v, n)), true))
        return;
    if (!any_finite_beyond(k, n) && !any_finite_beyond(v, n))
        return;
    atomic_store_explicit(&f->out_of_range[t], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->n_out_of_range, 1, memory_order_relaxed);
}

/* Norms and rotates a key; rounds it and its value into the cache. */
static void store_key(struct forward *f, size_t layer, size_t t, size_t kv_head)
{
    const size_t head_dim = f->model->shape.head_dim;
    const struct row *row = &f->rows[t];
    float *k = f->k + t * f->kv_stride + kv_head * head_dim;
    const float *v = f->v + t * f->kv_stride + kv_head * head_dim;
    rotate(f, &f->model->layers[layer].k_norm, k, row->position, 1.0f);
    uint8_t *block = kv_block(f->kv, row->seq->pages[row->position / KV_PAGE], layer, kv_head);
    check_range(f, t, k, v, head_dim);
    f->kernels->kv_store[kv_type(f->kv)](block, row->position % KV_PAGE, head_dim, k, v);
}

static size_t head_items(const struct forward *f, size_t layer)
{
    const struct shape *s = &f->model->shape;
    (void)layer;
    return attention_is_by_row(f->attention) ? 0 : f->n_rows * (s->n_heads + s->n_kv_heads);
}

static void rotate_and_store(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_heads = f->model->shape.n_heads, heads = n_heads + f->model->shape.n_kv_heads;
    (void)rank;
    for (size_t i = r.begin; i < r.end; i++) {
        size_t t = i / heads, head = i % heads;
        if (head < n_heads)
            rotate_query(f, layer, t, head);
        else
            store_key(f, layer, t, head - n_heads);
    }
}

/* The same for an item of attention that alone needs them. */
static void rotate_and_store_item(struct forward *f, size_t layer, size_t item)
{
    const size_t group = f->model->shape.n_heads / f->model->shape.n_kv_heads;
    size_t kv_head, t = attention_item_row(f->attention, item, &kv_head);
    for (size_t i = 0; i < group; i++)
        rotate_query(f, layer, t, kv_head * group + i);
    store_key(f, layer, t, kv_head);
}

/* --- attention --- */

static struct attention_layer attention_layer(const struct forward *f, size_t layer)
{
    return (struct attention_layer){.layer = layer,
                                    .last = is_last(f, layer),
                                    .q = f->q,
                                    .q_stride = f->q_stride,
                                    .out = f->inputs[INPUT_ATTENDED].f32,
                                    .out_stride = f->inputs[INPUT_ATTENDED].f32_stride};
}

static size_t attend_items(const struct forward *f, size_t layer)
{
    return attention_items(f->attention, is_last(f, layer));
}

/* Behind the last layer's keys and values row i is the i-th that wants logits: their residuals move
 * to the front (rows are ascending, so none is overwritten). */
static void gather_residuals(const struct forward *f)
{
    for (size_t i = 0; i < f->n_wanted; i++) {
        if (f->wanted[i] != i)
            memcpy(f->x + i * f->embd_stride, f->x + f->wanted[i] * f->embd_stride,
                   f->embd_stride * sizeof(float));
    }
}

static void attend(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    struct attention_layer l = attention_layer(f, layer);
    if (is_last(f, layer) && r.begin == 0)
        gather_residuals(f); /* no item reads residuals in this phase */
    if (attention_is_by_row(f->attention)) {
        uint64_t begin = part_begin(f, rank);
        for (size_t i = r.begin; i < r.end; i++)
            rotate_and_store_item(f, layer, i);
        part_end(f, rank, PART_ROPE, begin);
    }
    attention_run(f->attention, &l, r.begin, r.end, rank);
}

static size_t merge_items(const struct forward *f, size_t layer)
{
    return attention_merge_items(f->attention, is_last(f, layer));
}

static void merge(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    struct attention_layer l = attention_layer(f, layer);
    (void)rank;
    attention_merge(f->attention, &l, r.begin, r.end);
}

/* --- after attention --- */

/* x += W act + b. */
static void project_residual(struct forward *f, const struct linear *l, const struct act *act,
                             size_t n_rows, struct range r)
{
    linear_panels(f, l, r.begin, r.end, act, n_rows, f->proj, f->embd_stride);
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    for (size_t t = 0; t < n_rows; t++)
        f->kernels->add(f->x + t * f->embd_stride + begin, f->proj + t * f->embd_stride + begin, n);
}

static size_t attended_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].attn_output);
}

static void project_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = input(f, layer, INPUT_ATTENDED, n_rows, make_output_input, rank);
    project_residual(f, &f->model->layers[layer].attn_output, x, n_rows, r);
}

static size_t expand_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].up);
}

/* hidden = silu(gate) * up, or gelu(up). */
static void expand(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    size_t n_rows = rows_on(f, layer), stride = f->inputs[INPUT_HIDDEN].f32_stride;
    float *hidden = f->inputs[INPUT_HIDDEN].f32;
    const struct act *x = input(f, layer, INPUT_NORMED, n_rows, make_ffn_input, rank);
    uint64_t part;
    if (f->model->shape.ffn == FFN_SILU_GATED) {
        linear_panels(f, &l->gate, r.begin, r.end, x, n_rows, hidden, stride);
        linear_panels(f, &l->up, r.begin, r.end, x, n_rows, f->up, f->ff_stride);
        part = part_begin(f, rank);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->silu_mul(hidden + t * stride + begin, f->up + t * f->ff_stride + begin, n);
    } else {
        linear_panels(f, &l->up, r.begin, r.end, x, n_rows, hidden, stride);
        part = part_begin(f, rank);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->gelu(hidden + t * stride + begin, n);
    }
    part_end(f, rank, PART_ACTIVATION, part);
}

static size_t down_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].down);
}

static void project_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = input(f, layer, INPUT_HIDDEN, n_rows, make_down_input, rank);
    project_residual(f, &f->model->layers[layer].down, x, n_rows, r);
}

/* --- the head --- */

static size_t output_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_wanted > 0 ? matrix_n_panels(&f->model->output.w) : 0;
}

static void project_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct act *x = input(f, layer, INPUT_NORMED, f->n_wanted, make_head_input, rank);
    linear_panels(f, &f->model->output, r.begin, r.end, x, f->n_wanted, f->logits, f->vocab_stride);
}

/* --- the phases of a step, in their order --- */

#define NOTHING SCOPES

static const struct phase first_phases[] = {{row_items, embed, SCOPE_EMBED, {NOTHING, NOTHING}}};
static const struct phase layer_phases[] = {
    {qkv_input_items, norm_attention, SCOPE_ATTN_NORM, {NOTHING, NOTHING}},
    {qkv_items, project_qkv, SCOPE_QKV, {SCOPE_ATTN_NORM, NOTHING}},
    {head_items, rotate_and_store, SCOPE_ROPE, {NOTHING, NOTHING}},
    {attend_items, attend, SCOPE_ATTENTION, {SCOPE_ROPE, NOTHING}},
    {merge_items, merge, SCOPE_ATTENTION_MERGE, {NOTHING, NOTHING}},
    {on_input_items, round_attended, SCOPE_OUTPUT_ROUND, {NOTHING, NOTHING}},
    {attended_items, project_attended, SCOPE_OUTPUT, {SCOPE_OUTPUT_ROUND, NOTHING}},
    {on_input_items, norm_ffn, SCOPE_FFN_NORM, {NOTHING, NOTHING}},
    {expand_items, expand, SCOPE_GATE_UP, {SCOPE_FFN_NORM, SCOPE_ACTIVATION}},
    {on_input_items, round_hidden, SCOPE_DOWN_ROUND, {NOTHING, NOTHING}},
    {down_items, project_hidden, SCOPE_DOWN, {SCOPE_DOWN_ROUND, NOTHING}},
};
static const struct phase head_phases[] = {
    {head_input_items, norm_output, SCOPE_HEAD_NORM, {NOTHING, NOTHING}},
    {output_items, project_output, SCOPE_HEAD, {SCOPE_HEAD_NORM, NOTHING}},
};

enum {
    N_FIRST = sizeof first_phases / sizeof *first_phases,
    N_LAYER = sizeof layer_phases / sizeof *layer_phases,
    N_HEAD = sizeof head_phases / sizeof *head_phases,
};

size_t forward_max_phases(const struct model *model)
{
    return N_FIRST + model->shape.n_layers * N_LAYER + N_HEAD;
}

const struct phase *forward_phase_at(size_t n_layers, size_t i, size_t *layer)
{
    *layer = n_layers;
    if (i < N_FIRST)
        return &first_phases[i];
    i -= N_FIRST;
    if (i >= n_layers * N_LAYER)
        return &head_phases[i - n_layers * N_LAYER];
    *layer = i / N_LAYER;
    return &layer_phases[i % N_LAYER];
}

struct scope_phase forward_phase(const struct model *model, size_t i)
{
    size_t layer;
    const struct phase *phase = forward_phase_at(model->shape.n_layers, i, &layer);
    struct scope_phase out = {.scope = phase->scope, .layer = layer};
    memcpy(out.parts, phase->parts, sizeof out.parts);
    out.matrix = cost_matrix_type(model, phase->scope, layer);
    return out;
}
