/* loader.c - tensors are packed, cut and kept, or only counted. See loader.h. */
#include "model/loader.h"

#include "base/checked.h"
#include "model/weights.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PACK_CHUNKS = 8 }; /* of a matrix for each thread */

void *loader_carve(struct loader *l, size_t n, size_t size)
{
    if (l->model != NULL)
        return arena_alloc(&l->model->arena, n, size);
    size_t n_bytes;
    if (!checked_mul(n, size, &n_bytes) || !checked_align(n_bytes, ARENA_ALIGN, &n_bytes) ||
        !checked_add(l->n_bytes, n_bytes, &l->n_bytes))
        l->overflow = true;
    return NULL;
}

enum status loader_no_room(struct loader *l, const char *what)
{
    return error_set(l->err, STATUS_INTERNAL, "%s: the arena was made too small", what);
}

static enum weight_type type_of(const struct gguf_tensor *t)
{
    return weight_type_of_ggml(t->type);
}

struct packing {
    const struct matrix *matrix;
    const uint8_t *src;
    uint32_t n_chunks;
    _Atomic size_t bad_row; /* the first with a value that is not finite; n_rows: none */
};

static void pack_chunk(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct packing *p = arg;
    size_t n = matrix_n_panels(p->matrix);
    (void)phase, (void)rank;
    size_t bad = matrix_pack_panels(p->matrix, p->src, n * chunk / p->n_chunks,
                                    n * (chunk + 1) / p->n_chunks);
    size_t found = p->bad_row;
    while (bad < found && !atomic_compare_exchange_weak(&p->bad_row, &found, bad))
        continue;
}

/* All of a matrix, by the whole team. Returns the first row that holds a value that is not finite;
 * n_rows: none. */
static size_t pack(struct team *team, const struct matrix *matrix, const uint8_t *src)
{
    size_t n = matrix_n_panels(matrix), most = (size_t)PACK_CHUNKS * team_size(team);
    struct packing p = {matrix, src, (uint32_t)(n < most ? n : most), matrix->n_rows};
    team_run(team, &(struct team_work){
                       .fn = pack_chunk, .arg = &p, .n_chunks = &p.n_chunks, .n_phases = 1});
    return p.bad_row;
}

/* n rows that lie at src as a packed matrix. *bad_row: the first with a value that is not finite;
 * n_rows: none. */
static enum status pack_from(struct loader *l, const struct gguf_tensor *t, const uint8_t *src,
                             size_t n_rows, struct matrix *out, size_t *bad_row)
{
    enum weight_type type = type_of(t);
    size_t n_cols = (size_t)t->ne[0], n_bytes = matrix_packed_bytes(type, n_rows, n_cols);
    *bad_row = n_rows;
    if (n_bytes == 0) {
        l->overflow = true;
        return STATUS_OK;
    }
    uint8_t *dst = loader_carve(l, n_bytes, 1);
    if (l->model == NULL)
        return STATUS_OK;
    if (dst == NULL)
        return loader_no_room(l, t->name);
    *out = matrix_at(type, n_rows, n_cols, dst);
    if (!l->filled)
        *bad_row = pack(l->team, out, src);
    l->model->weight_bytes += n_bytes;
    l->model->bytes_per_token += n_bytes;
    return STATUS_OK;
}

/* Rows [first, first + n_rows) of a tensor as a packed matrix. */
static enum status pack_rows(struct loader *l, const struct gguf_tensor *t, size_t first,
                             size_t n_rows, struct matrix *out)
{
    enum weight_type type = type_of(t);
    const size_t row_bytes = weight_bytes(type, (size_t)t->ne[0]);
    size_t bad_row;
    enum status status = pack_from(l, t, t->data != NULL ? t->data + first * row_bytes : NULL,
                                   n_rows, out, &bad_row);
    if (status == STATUS_OK && bad_row < n_rows)
        return weights_refuse(t, first + bad_row, l->err);
    return status;
}

/* Of each head 2 * size rows, queries and then their gates: all queries, and all gates. */
static enum status pack_gated_queries(struct loader *l, const struct gguf_tensor *t, size_t first,
                                      size_t at, struct layer *layer)
{
    const size_t size = l->shape->layers[at].head_dim, n = role_dim(l->shape, DIM_Q, at);
    const size_t row_bytes = weight_bytes(type_of(t), (size_t)t->ne[0]);
    struct linear *parts[2] = {&layer->q, &layer->q_gate};
    const bool cuts = l->model != NULL && !l->filled;
    uint8_t *rows = cuts ? malloc(n * row_bytes) : NULL;
    if (cuts && rows == NULL)
        return error_no_memory(l->err, n * row_bytes, t->name);
    enum status status = STATUS_OK;
    for (size_t part = 0; part < 2 && status == STATUS_OK; part++) {
        size_t bad_row = n;
        for (size_t i = 0; rows != NULL && i < n; i += size)
            memcpy(rows + i * row_bytes, t->data + (first + 2 * i + part * size) * row_bytes,
                   size * row_bytes);
        status = pack_from(l, t, rows, n, &parts[part]->w, &bad_row);
        if (status == STATUS_OK && bad_row < n)
            status = weights_refuse(
                t, first + 2 * (bad_row / size * size) + part * size + bad_row % size, l->err);
    }
    free(rows);
    return status;
}

/* Rows [first, first + n_rows) of each expert's matrix in a tensor, one packed matrix after the
 * other. */
static enum status pack_experts(struct loader *l, const struct gguf_tensor *t, size_t first,
                                size_t n_rows, struct expert_linear *out)
{
    const enum weight_type type = type_of(t);
    const size_t n_cols = (size_t)t->ne[0], n_experts = (size_t)t->ne[2];
    const size_t n_bytes = matrix_packed_bytes(type, n_rows, n_cols);
    uint8_t *dst = loader_carve(l, n_experts, n_bytes);
    if (n_bytes == 0)
        l->overflow = true;
    if (l->model == NULL || n_bytes == 0)
        return STATUS_OK;
    if (dst == NULL)
        return loader_no_room(l, t->name);
    for (size_t e = 0; e < n_experts && !l->filled; e++) {
        const struct matrix m = matrix_at(type, n_rows, n_cols, dst + e * n_bytes);
        const size_t row = e * (size_t)t->ne[1] + first;
        const size_t bad_row = pack(l->team, &m, t->data + row * weight_bytes(type, n_cols));
        if (bad_row < n_rows)
            return weights_refuse(t, row + bad_row, l->err);
    }
    out->first = matrix_at(type, n_rows, n_cols, dst);
    l->model->weight_bytes += n_experts * n_bytes;
    l->model->bytes_per_token += l->shape->routing.n_used * n_bytes;
    return STATUS_OK;
}

/* n values of a tensor from value first on, as F32, with zeros after them up to n_padded. */
static enum status keep_values(struct loader *l, const struct gguf_tensor *t, size_t first,
                               size_t n, size_t n_padded, const float **out)
{
    float *dst = loader_carve(l, n_padded, sizeof *dst);
    if (l->model == NULL)
        return STATUS_OK;
    if (dst == NULL)
        return loader_no_room(l, t->name);
    *out = dst;
    if (l->filled)
        return STATUS_OK;
    enum status status = weights_check_tensor(t, l->err);
    if (status == STATUS_OK)
        weight_to_f32(type_of(t), t->data + weight_bytes(type_of(t), first), n, dst);
    return status;
}

static size_t whole_panels(size_t n)
{
    return (n + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
}

/* Queries with gates have no biases in any model. */
static enum status gated_bias(struct loader *l, const struct gguf_tensor *t)
{
    return error_set_param(l->err, STATUS_UNSUPPORTED, t->name,
                           "tensor '%s': queries with gates and a bias are not supported", t->name);
}

/* A convolution's weights, [channels][taps] in the file. */
static enum status keep_taps(struct loader *l, const struct gguf_tensor *t, const float **out)
{
    const size_t n_taps = (size_t)t->ne[0], n = (size_t)t->ne[1];
    const float *by_channel = NULL;
    float *dst = loader_carve(l, n_taps * n, sizeof *dst);
    enum status status = keep_values(l, t, 0, n_taps * n, n_taps * n, &by_channel);
    if (status != STATUS_OK || l->model == NULL)
        return status;
    if (dst == NULL)
        return loader_no_room(l, t->name);
    for (size_t i = 0; i < n_taps * n && !l->filled; i++)
        dst[i % n_taps * n + i / n_taps] = by_channel[i];
    *out = dst;
    return STATUS_OK;
}

/* Values [first, first + n) of each expert's vector in a tensor, each padded to whole panels. */
static enum status keep_experts_bias(struct loader *l, const struct gguf_tensor *t, size_t first,
                                     size_t n, struct expert_linear *out)
{
    const size_t n_experts = (size_t)t->ne[1], stride = whole_panels(n);
    const enum weight_type type = type_of(t);
    float *dst = loader_carve(l, n_experts * stride, sizeof *dst);
    if (l->model == NULL)
        return STATUS_OK;
    if (dst == NULL)
        return loader_no_room(l, t->name);
    out->bias = dst;
    if (l->filled)
        return STATUS_OK;
    enum status status = weights_check_tensor(t, l->err);
    for (size_t e = 0; e < n_experts && status == STATUS_OK; e++) {
        const size_t at = e * (size_t)t->ne[0] + first;
        weight_to_f32(type, t->data + weight_bytes(type, at), n, dst + e * stride);
    }
    return status;
}

/* Gate and up of each expert in one tensor, the gate first. */
static enum status cut_experts(struct loader *l, const struct gguf_tensor *t, bool bias,
                               struct layer_experts *experts)
{
    const size_t n = l->shape->n_ff_expert;
    struct expert_linear *parts[2] = {&experts->gate, &experts->up};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 2 && status == STATUS_OK; i++)
        status = bias ? keep_experts_bias(l, t, i * n, n, parts[i])
                      : pack_experts(l, t, i * n, n, parts[i]);
    return status;
}

/* q, k and v stacked in one tensor: place is the layer's. */
static enum status cut_qkv(struct loader *l, const struct gguf_tensor *t, bool bias, size_t at,
                           struct layer *layer)
{
    struct linear *parts[3] = {&layer->q, &layer->k, &layer->v};
    size_t kv = role_dim(l->shape, DIM_KV, at), n[3] = {role_dim(l->shape, DIM_Q, at), kv, kv};
    size_t first = 0;
    enum status gated = STATUS_OK;
    if ((l->shape->traits & TRAIT_QUERY_GATES) != 0) {
        gated = bias ? gated_bias(l, t) : pack_gated_queries(l, t, 0, at, layer);
        first = 2 * n[0];
    }
    for (size_t i = first > 0 ? 1 : 0; i < 3 && gated == STATUS_OK; i++) {
        enum status status =
            bias ? keep_values(l, t, first, n[i], whole_panels(n[i]), &parts[i]->bias)
                 : pack_rows(l, t, first, n[i], &parts[i]->w);
        if (status != STATUS_OK)
            return status;
        first += n[i];
    }
    return gated;
}

/* Gate and up stacked in one tensor, the gate first; or up alone. */
static enum status cut_up(struct loader *l, const struct gguf_tensor *t, bool bias, size_t at,
                          struct layer *layer)
{
    const size_t n = role_dim(l->shape, DIM_FF, at);
    const bool joint = t->ne[bias ? 0 : 1] == 2 * (uint64_t)n;
    struct linear *parts[2] = {joint ? &layer->gate : &layer->up, &layer->up};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < (joint ? 2 : 1) && status == STATUS_OK; i++)
        status = bias ? keep_values(l, t, i * n, n, whole_panels(n), &parts[i]->bias)
                      : pack_rows(l, t, i * n, n, &parts[i]->w);
    return status;
}

/* Frequencies are divided by these, so each must keep the angle in range. */
static enum status keep_freq_factors(struct loader *l, const struct gguf_tensor *t)
{
    const float *factors = NULL;
    size_t n = (size_t)t->ne[0];
    enum status status = keep_values(l, t, 0, n, n, &factors);
    for (size_t i = 0; status == STATUS_OK && factors != NULL && i < n; i++) {
        if (!(factors[i] >= 0.01f)) /* infinities have been refused; a large one: does not turn */
            return error_set_param(l->err, STATUS_FORMAT, t->name,
                                   "tensor '%s': factor %zu is %g; it must be 0.01 or more",
                                   t->name, i, (double)factors[i]);
    }
    l->freq_factors = factors;
    return status;
}

/* Whether contexts of this length are served by the factors for long ones. */
static bool is_long(const struct loader *l)
{
    return l->n_context > l->shape->rotations[ROTATION_MAIN].original_context;
}

enum status loader_take(struct loader *l, const struct tensor_role *role, size_t layer,
                        const struct gguf_tensor *t, uint8_t *base)
{
    void *place = base + role->place;
    size_t n = (size_t)t->ne[0];
    switch (role->kind) {
    case ROLE_MATRIX:
    case ROLE_HEAD:
        return pack_rows(l, t, 0, (size_t)t->ne[1], place);
    case ROLE_Q:
        return (l->shape->traits & TRAIT_QUERY_GATES) != 0
                   ? pack_gated_queries(l, t, 0, layer, (struct layer *)(void *)base)
                   : pack_rows(l, t, 0, (size_t)t->ne[1], place);
    case ROLE_TAPS:
        return keep_taps(l, t, place);
    case ROLE_QKV:
    case ROLE_QKV_BIAS:
        return cut_qkv(l, t, role->kind == ROLE_QKV_BIAS, layer, (struct layer *)(void *)base);
    case ROLE_UP:
    case ROLE_UP_BIAS:
        return cut_up(l, t, role->kind == ROLE_UP_BIAS, layer, (struct layer *)(void *)base);
    case ROLE_BIAS:
        return keep_values(l, t, 0, n, whole_panels(n), place);
    case ROLE_FIRST_ROW:
        return keep_values(l, t, 0, n, n, place);
    case ROLE_POSITIONS:
        return keep_values(l, t, 0, l->n_context * n, l->n_context * n, place);
    case ROLE_FREQS:
        return keep_freq_factors(l, t);
    case ROLE_FREQS_LONG:
        return is_long(l) ? keep_freq_factors(l, t) : STATUS_OK;
    case ROLE_FREQS_SHORT:
        return is_long(l) ? STATUS_OK : keep_freq_factors(l, t);
    case ROLE_EXPERTS:
        return pack_experts(l, t, 0, (size_t)t->ne[1], place);
    case ROLE_EXPERTS_BIAS:
        return keep_experts_bias(l, t, 0, n, place);
    case ROLE_EXPERTS_GATE_UP:
    case ROLE_EXPERTS_GATE_UP_BIAS:
        return cut_experts(l, t, role->kind == ROLE_EXPERTS_GATE_UP_BIAS, place);
    case ROLE_VECTOR:
    default:
        return keep_values(l, t, 0, n, n, place);
    }
}
