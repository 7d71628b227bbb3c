/* forward.c - the transformer, reading like the paper: embed, then per layer norm, QKV, RoPE,
 * attend, output, norm, FFN; then the head for the rows that want logits.
 *
 * A step is a list of phases (the tables at the end: what a layer is); a phase's items are rows,
 * panels of output rows, (row, head) pairs or attention tasks, cut into chunks that any thread of
 * the team may do. Cutting decides who computes a number, never how. After the last layer has
 * stored its keys and values only the rows that want logits go on.
 *
 * Letters in shapes: T rows of the step, E n_embd, H heads, G KV heads, D head size, F n_ff, V
 * vocabulary. Strides are rounded up to whole panels.
 */
#include "model/forward.h"

#include "base/arena.h"
#include "math/act.h"
#include "model/attention.h"
#include "model/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREAD_CHUNKS = 4, /* chunks of a phase for each thread: who is late leaves some to others */
    PART_STRIDE = 8,   /* a cache line for each thread */
};

struct forward {
    const struct model *model;
    const struct kernels *kernels;
    struct kv *kv;
    struct team *team;
    size_t max_rows, max_logits;
    size_t embd_stride, q_stride, kv_stride, ff_stride, vocab_stride; /* floats */

    float *x;            /* [T][embd_stride]: the residual stream */
    float *q, *k, *v;    /* [T][q_stride], [T][kv_stride] twice */
    float *up;           /* [T][ff_stride] */
    float *proj;         /* [T][embd_stride]: a projection before it joins the residual */
    struct act normed;   /* of E: what QKV, gate/up and the head read */
    struct act attended; /* of H * D: what attn_output reads */
    struct act hidden;   /* of F: what down reads */
    struct attention *attention;
    float *logits; /* [max_logits][vocab_stride] */
    struct arena arena;

    /* of the current step */
    const struct row *rows;
    size_t n_rows;
    uint32_t *wanted; /* [max_rows]: the rows that want logits, ascending */
    size_t n_wanted;
    uint32_t *n_chunks; /* [forward_max_phases()] */

    const struct team_marks *marks; /* for a profile; NULL: nobody asks */
    uint64_t *part_ticks; /* [n_threads][PART_STRIDE]: of the part of the chunk under way */
};

/* --- creation --- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Twice: with an arena that only measures, and with its memory. */
static void carve_all(struct forward *f)
{
    const struct shape *s = &f->model->shape;
    struct arena *arena = &f->arena;
    size_t t = f->max_rows;
    f->x = arena_carve(arena, t * f->embd_stride, sizeof(float));
    f->q = arena_carve(arena, t * f->q_stride, sizeof(float));
    f->k = arena_carve(arena, t * f->kv_stride, sizeof(float));
    f->v = arena_carve(arena, t * f->kv_stride, sizeof(float));
    f->up = arena_carve(arena, t * f->ff_stride, sizeof(float));
    f->proj = arena_carve(arena, t * f->embd_stride, sizeof(float));
    act_carve(&f->normed, arena, t, s->n_embd);
    act_carve(&f->attended, arena, t, s->n_heads * s->head_dim);
    act_carve(&f->hidden, arena, t, s->n_ff);
    f->logits = arena_carve(arena, f->max_logits * f->vocab_stride, sizeof(float));
    f->wanted = arena_carve(arena, t, sizeof *f->wanted);
    f->n_chunks = arena_carve(arena, forward_max_phases(f->model), sizeof *f->n_chunks);
    f->part_ticks =
        arena_carve(arena, (size_t)team_size(f->team) * PART_STRIDE, sizeof *f->part_ticks);
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
    f->embd_stride = round_up(s->n_embd, PANEL_ROWS);
    f->q_stride = round_up(s->n_heads * s->head_dim, PANEL_ROWS);
    f->kv_stride = round_up(s->n_kv_heads * s->head_dim, PANEL_ROWS);
    f->ff_stride = round_up(s->n_ff, PANEL_ROWS);
    f->vocab_stride = round_up(s->n_vocab, PANEL_ROWS);
    carve_all(f); /* measures */
    size_t n_bytes = f->arena.n_used;
    f->arena = (struct arena){0};
    enum status status = arena_init(&f->arena, n_bytes, "a worker's activations", err);
    if (status == STATUS_OK)
        status =
            attention_create(&f->attention, model, kernels, kv, team_size(team), max_rows, err);
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
    attention_destroy(f->attention);
    arena_free(&f->arena);
    free(f);
}

float *forward_logits(const struct forward *f, size_t i)
{
    return f->logits + i * f->vocab_stride;
}

size_t forward_bytes(const struct forward *f)
{
    return f->arena.n_bytes + attention_bytes(f->attention);
}

/* --- shares --- */

struct range {
    size_t begin, end;
};

static bool is_last(const struct forward *f, size_t layer)
{
    return layer + 1 == f->model->shape.n_layers;
}

/* Rows that go on behind a layer's keys and values. */
static size_t rows_on(const struct forward *f, size_t layer)
{
    return is_last(f, layer) ? f->n_wanted : f->n_rows;
}

static size_t panels_on(const struct forward *f, size_t layer, const struct linear *l)
{
    return rows_on(f, layer) > 0 ? matrix_n_panels(&l->w) : 0;
}

/* --- what a phase sets apart, for a profile: two looks at the clock around its second part --- */

static inline uint64_t part_begin(const struct forward *f)
{
    return __builtin_expect(f->marks != NULL, false) ? f->marks->clock() : 0;
}

static inline void part_end(const struct forward *f, unsigned rank, uint64_t begin)
{
    if (__builtin_expect(f->marks != NULL, false))
        f->part_ticks[rank * PART_STRIDE] += f->marks->clock() - begin;
}

/* --- the parts of a layer: each says how many items it has, and computes a range of them --- */

static size_t embed_items(const struct forward *f, size_t layer)
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

static void norm_rows(struct forward *f, const struct norm *norm, struct range r,
                      const struct linear *const *readers, size_t n_readers, unsigned rank)
{
    const struct shape *s = &f->model->shape;
    for (size_t t = r.begin; t < r.end; t++) {
        const float *x = f->x + t * f->embd_stride;
        float *y = f->normed.f32 + t * f->normed.f32_stride;
        if (s->norm == NORM_LAYER)
            f->kernels->layer_norm(x, norm->weight, norm->bias, s->n_embd, s->norm_eps, y);
        else
            f->kernels->rms_norm(x, norm->weight, s->n_embd, s->norm_eps, y);
        uint64_t part = part_begin(f);
        quantize_row(f, &f->normed, t, readers, n_readers);
        part_end(f, rank, part);
    }
}

static void norm_attention(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->attn_norm, r, (const struct linear *[]){&l->q, &l->k, &l->v}, 3, rank);
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

static size_t qkv_items(const struct forward *f, size_t layer)
{
    const struct layer *l = &f->model->layers[layer];
    return matrix_n_panels(&l->q.w) + matrix_n_panels(&l->k.w) + matrix_n_panels(&l->v.w);
}

/* Items are the panels of the three, one behind the other. */
static void project_qkv(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    const struct linear *parts[3] = {&l->q, &l->k, &l->v};
    float *out[3] = {f->q, f->k, f->v};
    size_t strides[3] = {f->q_stride, f->kv_stride, f->kv_stride}, first = 0;
    (void)rank;
    for (int i = 0; i < 3; i++) {
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

static size_t head_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_rows * (f->model->shape.n_heads + f->model->shape.n_kv_heads);
}

/* Norms and rotates queries and keys; rounds keys and values into the cache, the current token's
 * included. */
static void store_kv(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct shape *s = &f->model->shape;
    const struct layer *l = &f->model->layers[layer];
    float scale = 1.0f / sqrtf((float)s->head_dim);
    size_t heads = s->n_heads + s->n_kv_heads;
    (void)rank;
    for (size_t i = r.begin; i < r.end; i++) {
        size_t t = i / heads, h = i % heads;
        const struct row *row = &f->rows[t];
        if (h < s->n_heads) {
            rotate(f, &l->q_norm, f->q + t * f->q_stride + h * s->head_dim, row->position, scale);
            continue;
        }
        h -= s->n_heads;
        float *k = f->k + t * f->kv_stride + h * s->head_dim;
        const float *v = f->v + t * f->kv_stride + h * s->head_dim;
        rotate(f, &l->k_norm, k, row->position, 1.0f);
        uint8_t *block = kv_block(f->kv, row->seq->pages[row->position / KV_PAGE], layer, h);
        f->kernels->kv_store[kv_type(f->kv)](block, row->position % KV_PAGE, s->head_dim, k, v);
    }
}

/* --- attention --- */

static struct attention_layer attention_layer(const struct forward *f, size_t layer)
{
    return (struct attention_layer){.layer = layer,
                                    .last = is_last(f, layer),
                                    .q = f->q,
                                    .q_stride = f->q_stride,
                                    .out = f->attended.f32,
                                    .out_stride = f->attended.f32_stride};
}

static size_t attend_items(const struct forward *f, size_t layer)
{
    return attention_items(f->attention, is_last(f, layer));
}

static void attend(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    struct attention_layer l = attention_layer(f, layer);
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

/* --- behind attention --- */

static void round_rows(struct forward *f, const struct act *act, const struct linear *reader,
                       struct range r)
{
    for (size_t t = r.begin; t < r.end; t++)
        quantize_row(f, act, t, &reader, 1);
}

static void round_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    round_rows(f, &f->attended, &f->model->layers[layer].attn_output, r);
    if (!is_last(f, layer) || r.begin != 0)
        return;
    /* From here on row i is the i-th that wants logits: the first chunk moves all their residuals
     * to the front (rows are ascending, so none is overwritten). */
    for (size_t i = 0; i < f->n_wanted; i++) {
        if (f->wanted[i] != i)
            memcpy(f->x + i * f->embd_stride, f->x + f->wanted[i] * f->embd_stride,
                   f->embd_stride * sizeof(float));
    }
}

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
    (void)rank;
    project_residual(f, &f->model->layers[layer].attn_output, &f->attended, rows_on(f, layer), r);
}

static void norm_ffn(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->ffn_norm, r, (const struct linear *[]){&l->gate, &l->up}, 2, rank);
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
    size_t n_rows = rows_on(f, layer), stride = f->hidden.f32_stride;
    float *hidden = f->hidden.f32;
    uint64_t part;
    if (f->model->shape.ffn == FFN_SILU_GATED) {
        linear_panels(f, &l->gate, r.begin, r.end, &f->normed, n_rows, hidden, stride);
        linear_panels(f, &l->up, r.begin, r.end, &f->normed, n_rows, f->up, f->ff_stride);
        part = part_begin(f);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->silu_mul(hidden + t * stride + begin, f->up + t * f->ff_stride + begin, n);
    } else {
        linear_panels(f, &l->up, r.begin, r.end, &f->normed, n_rows, hidden, stride);
        part = part_begin(f);
        for (size_t t = 0; t < n_rows; t++)
            f->kernels->gelu(hidden + t * stride + begin, n);
    }
    part_end(f, rank, part);
}

static void round_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    round_rows(f, &f->hidden, &f->model->layers[layer].down, r);
}

static size_t down_items(const struct forward *f, size_t layer)
{
    return panels_on(f, layer, &f->model->layers[layer].down);
}

static void project_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    project_residual(f, &f->model->layers[layer].down, &f->hidden, rows_on(f, layer), r);
}

/* --- the head --- */

static size_t wanted_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_wanted;
}

static void norm_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct linear *output = &f->model->output;
    (void)layer;
    norm_rows(f, &f->model->output_norm, r, &output, 1, rank);
}

static size_t output_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_wanted > 0 ? matrix_n_panels(&f->model->output.w) : 0;
}

static void project_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)layer, (void)rank;
    linear_panels(f, &f->model->output, r.begin, r.end, &f->normed, f->n_wanted, f->logits,
                  f->vocab_stride);
}

/* --- the step --- */

struct phase {
    size_t (*items)(const struct forward *f, size_t layer);
    void (*run)(struct forward *f, size_t layer, struct range r, unsigned rank);
    enum scope scope, part; /* part: what its function sets apart; the scope itself: nothing */
};

static const struct phase first_phases[] = {{embed_items, embed, SCOPE_EMBED, SCOPE_EMBED}};
static const struct phase layer_phases[] = {
    {embed_items, norm_attention, SCOPE_ATTN_NORM, SCOPE_QKV_ROUND},
    {qkv_items, project_qkv, SCOPE_QKV, SCOPE_QKV},
    {head_items, store_kv, SCOPE_ROPE, SCOPE_ROPE},
    {attend_items, attend, SCOPE_ATTENTION, SCOPE_ATTENTION},
    {merge_items, merge, SCOPE_ATTENTION_MERGE, SCOPE_ATTENTION_MERGE},
    {rows_on, round_attended, SCOPE_OUTPUT_ROUND, SCOPE_OUTPUT_ROUND},
    {attended_items, project_attended, SCOPE_OUTPUT, SCOPE_OUTPUT},
    {rows_on, norm_ffn, SCOPE_FFN_NORM, SCOPE_GATE_UP_ROUND},
    {expand_items, expand, SCOPE_GATE_UP, SCOPE_ACTIVATION},
    {rows_on, round_hidden, SCOPE_DOWN_ROUND, SCOPE_DOWN_ROUND},
    {down_items, project_hidden, SCOPE_DOWN, SCOPE_DOWN},
};
static const struct phase head_phases[] = {
    {wanted_items, norm_output, SCOPE_HEAD_NORM, SCOPE_HEAD_ROUND},
    {output_items, project_output, SCOPE_HEAD, SCOPE_HEAD}};

enum {
    N_FIRST = sizeof first_phases / sizeof *first_phases,
    N_LAYER = sizeof layer_phases / sizeof *layer_phases,
    N_HEAD = sizeof head_phases / sizeof *head_phases,
};

size_t forward_max_phases(const struct model *model)
{
    return N_FIRST + model->shape.n_layers * N_LAYER + N_HEAD;
}

/* The i-th phase of a step, and its layer (n_layers: of none). */
static const struct phase *phase_of(size_t n_layers, size_t i, size_t *layer)
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

static const struct phase *phase_at(const struct forward *f, size_t i, size_t *layer)
{
    return phase_of(f->model->shape.n_layers, i, layer);
}

struct scope_phase forward_phase(const struct model *model, size_t i)
{
    size_t layer;
    const struct phase *phase = phase_of(model->shape.n_layers, i, &layer);
    return (struct scope_phase){phase->scope, phase->part, layer,
                                cost_matrix_type(model, phase->scope, layer)};
}

const uint32_t *forward_chunks(const struct forward *f)
{
    return f->n_chunks;
}

void forward_set_marks(struct forward *f, const struct team_marks *marks)
{
    f->marks = marks;
}

/* What a chunk's function has set apart belongs to its phase's mark. */
static void keep_part(const struct forward *f, size_t i, unsigned rank)
{
    size_t n_phases = forward_max_phases(f->model);
    f->marks->marks[rank * n_phases + i].part += (uint32_t)f->part_ticks[rank * PART_STRIDE];
    f->part_ticks[rank * PART_STRIDE] = 0;
}

static void run_chunk(void *arg, size_t i, size_t chunk, unsigned rank)
{
    struct forward *f = arg;
    size_t layer;
    const struct phase *phase = phase_at(f, i, &layer);
    size_t n_items = phase->items(f, layer), n_chunks = f->n_chunks[i];
    struct range r = {n_items * chunk / n_chunks, n_items * (chunk + 1) / n_chunks};
    phase->run(f, layer, r, rank);
    if (__builtin_expect(f->marks != NULL, false))
        keep_part(f, i, rank);
}

void forward_run(struct forward *f, const struct row *rows, size_t n_rows)
{
    f->rows = rows;
    f->n_rows = n_rows;
    f->n_wanted = 0;
    for (size_t t = 0; t < n_rows; t++) {
        if (rows[t].wants_logits)
            f->wanted[f->n_wanted++] = (uint32_t)t;
    }
    attention_plan(f->attention, rows, n_rows, f->wanted, f->n_wanted);
    size_t n_phases = forward_max_phases(f->model), threads = team_size(f->team);
    size_t max_chunks = threads == 1 ? 1 : threads * THREAD_CHUNKS;
    for (size_t i = 0; i < n_phases; i++) {
        size_t layer, n_items = phase_at(f, i, &layer)->items(f, layer);
        f->n_chunks[i] = (uint32_t)(n_items < max_chunks ? n_items : max_chunks);
    }
    team_set_marks(f->team, f->marks);
    team_run(f->team, &(struct team_work){run_chunk, f, f->n_chunks, n_phases});
    team_set_marks(f->team, NULL);
}
