/* attend_layer.c - the attention half of a layer: norm, QKV, RoPE and the cache, attend.
 *
 * A row that is alone of its sequence has its key and value stored by the thread that attends to
 * them, without a phase for it. After the last layer has stored its keys and values only the rows
 * that want logits go on.
 */
#include "forward/phases.h"
#include "math/fmath.h"

#include <string.h>

static void make_qkv_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    norm_rows(f, &l->attn_norm, act, r, (const struct linear *[]){&l->q, &l->k, &l->v}, 3);
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

enum { QKV_PARTS = 4 };

static void qkv_parts(const struct forward *f, size_t layer, struct product parts[QKV_PARTS])
{
    const struct layer *l = &f->model->layers[layer];
    parts[0] = (struct product){&l->q, f->q, f->q_stride};
    parts[1] = (struct product){&l->k, f->k, f->kv_stride};
    parts[2] = (struct product){&l->v, f->v, f->kv_stride};
    parts[3] = (struct product){&l->q_gate, f->gate, f->gate_stride};
}

static size_t qkv_items(const struct forward *f, size_t layer)
{
    struct product parts[QKV_PARTS];
    qkv_parts(f, layer, parts);
    return parts_items(f, parts, QKV_PARTS, f->n_rows);
}

static void project_qkv(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    struct product parts[QKV_PARTS];
    qkv_parts(f, layer, parts);
    const struct act *x = product_input(f, layer, INPUT_NORMED, f->n_rows, make_qkv_input, rank);
    project_parts(f, parts, QKV_PARTS, r, x, f->n_rows);
}

/* --- norms of queries and keys over all heads --- */

static size_t row_norm_items(const struct forward *f, size_t layer)
{
    return f->model->layers[layer].q_row_norm.weight != NULL ? f->n_rows : 0;
}

static void norm_rows_of_heads(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct layer *l = &f->model->layers[layer];
    const struct layer_shape *s = shape_of(f, layer);
    const size_t q = (size_t)s->n_heads * s->head_dim, k = (size_t)s->n_kv_heads * s->head_dim;
    const float eps = f->model->shape.norm_eps;
    (void)rank;
    for (size_t t = r.begin; t < r.end; t++) {
        float *queries = f->q + t * f->q_stride, *keys = f->k + t * f->kv_stride;
        f->kernels->rms_norm(queries, l->q_row_norm.weight, q, eps, queries);
        f->kernels->rms_norm(keys, l->k_row_norm.weight, k, eps, keys);
    }
}

/* --- RoPE and the cache --- */

static void rotate(const struct forward *f, size_t layer, const struct norm *norm, float *head,
                   uint32_t position, float scale)
{
    const struct shape *s = &f->model->shape;
    const struct rope_table *table = f->model->layers[layer].rope;
    const size_t head_dim = s->layers[layer].head_dim;
    const bool after = (s->norms_after_rope && norm->weight != NULL);
    if (norm->weight != NULL && !after)
        f->kernels->rms_norm(head, norm->weight, head_dim, s->norm_eps, head);
    size_t n = table != NULL ? table->dim : 0;
    const float *cos = n > 0 ? table->cos + position * (n / 2) : NULL;
    const float *sin = n > 0 ? table->sin + position * (n / 2) : NULL;
    f->kernels->rope(head, cos, sin, n, head_dim, s->rope == ROPE_INTERLEAVED,
                     after ? 1.0f : scale);
    if (after) {
        f->kernels->rms_norm(head, norm->weight, head_dim, s->norm_eps, head);
        scale_values(head, scale, head_dim);
    }
}

/* Of queries: the model's, and for some models more with every stretch of positions. */
static float query_scale(const struct shape *s, uint32_t position)
{
    if (s->temperature == 0)
        return s->attention_scale;
    const size_t stretch = position / s->temperature_context + 1;
    return s->attention_scale * (float)(1 + (double)s->temperature * fmath_log_d((double)stretch));
}

/* Norms and rotates a query. */
static void rotate_query(const struct forward *f, size_t layer, size_t t, size_t head)
{
    const size_t head_dim = shape_of(f, layer)->head_dim;
    const uint32_t position = f->rows[t].position;
    rotate(f, layer, &f->model->layers[layer].q_norm, f->q + t * f->q_stride + head * head_dim,
           position, query_scale(&f->model->shape, position));
}

/* Norms and rotates a key; rounds it and its value into the cache. */
static void store_key(struct forward *f, size_t layer, size_t t, size_t kv_head)
{
    const size_t head_dim = shape_of(f, layer)->head_dim;
    const struct row *row = &f->rows[t];
    float *k = f->k + t * f->kv_stride + kv_head * head_dim;
    const float *v = f->v + t * f->kv_stride + kv_head * head_dim;
    rotate(f, layer, &f->model->layers[layer].k_norm, k, row->position, 1.0f);
    uint8_t *block = kv_block(f->kv, row->seq->pages[row->position / KV_PAGE], layer, kv_head);
    check_range(f, t, k, v, head_dim);
    f->kernels->kv_store[kv_type(f->kv)](block, row->position % KV_PAGE, head_dim, k, v);
}

static size_t head_items(const struct forward *f, size_t layer)
{
    const struct layer_shape *s = shape_of(f, layer);
    return attention_is_by_row(f->attention) ? 0 : f->n_rows * ((size_t)s->n_heads + s->n_kv_heads);
}

static void rotate_and_store(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_heads = shape_of(f, layer)->n_heads;
    const size_t heads = n_heads + shape_of(f, layer)->n_kv_heads;
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
    const size_t group = shape_of(f, layer)->n_heads / shape_of(f, layer)->n_kv_heads;
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
                                    .gate = f->model->layers[layer].q_gate.w.n_rows > 0 ? f->gate
                                                                                        : NULL,
                                    .gate_stride = f->gate_stride,
                                    .sinks = f->model->layers[layer].sinks,
                                    .out = f->inputs[INPUT_ATTENDED].f32,
                                    .out_stride = f->inputs[INPUT_ATTENDED].f32_stride};
}

static size_t attend_items(const struct forward *f, size_t layer)
{
    return attention_items(f->attention, is_last(f, layer));
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

static const struct phase phases[] = {
    {qkv_input_items, norm_attention, SCOPE_ATTN_NORM, {NOTHING, NOTHING}},
    {qkv_items, project_qkv, SCOPE_QKV, {SCOPE_ATTN_NORM, NOTHING}},
    {row_norm_items, norm_rows_of_heads, SCOPE_ROPE, {NOTHING, NOTHING}},
    {head_items, rotate_and_store, SCOPE_ROPE, {NOTHING, NOTHING}},
    {attend_items, attend, SCOPE_ATTENTION, {SCOPE_ROPE, NOTHING}},
    {merge_items, merge, SCOPE_ATTENTION_MERGE, {NOTHING, NOTHING}},
};
const struct phase_group attention_phases = PHASE_GROUP(phases);
