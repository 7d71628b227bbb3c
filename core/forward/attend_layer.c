/* attend_layer.c - the attention half of a layer: norm, QKV, RoPE and the cache, attend, output.
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

static void make_output_input(const struct forward *f, size_t layer, struct act *act,
                              struct range r)
{
    round_rows(f, act, r, &f->model->layers[layer].attn_output);
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
    const struct act *x = product_input(f, layer, INPUT_NORMED, f->n_rows, make_qkv_input, rank);
    for (int i = 0; i < 3; i++) {
        size_t n = matrix_n_panels(&parts[i]->w);
        size_t p0 = r.begin > first ? r.begin - first : 0;
        size_t p1 = r.end > first ? (r.end - first < n ? r.end - first : n) : 0;
        linear_panels(f, parts[i], p0, p1, x, f->n_rows, out[i], strides[i]);
        first += n;
    }
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
    double stretch = (double)(position / s->temperature_context + 1);
    return s->attention_scale * (float)(1 + (double)s->temperature * fmath_log_d(stretch));
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
                                    .sinks = f->model->layers[layer].sinks,
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

static size_t attended_items(const struct forward *f, size_t layer)
{
    return rows_on(f, layer) > 0 ? matrix_n_panels(&f->model->layers[layer].attn_output.w) : 0;
}

static void project_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    const struct act *x = product_input(f, layer, INPUT_ATTENDED, n_rows, make_output_input, rank);
    const struct layer *l = &f->model->layers[layer];
    project_residual(f, &l->attn_output, &l->attn_post_norm, x, n_rows, r);
}

static size_t attn_post_items(const struct forward *f, size_t layer)
{
    return post_norm_items(&f->model->layers[layer].attn_post_norm, rows_on(f, layer));
}

static void add_attended(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    add_normed(f, &f->model->layers[layer].attn_post_norm, r);
}

static const struct phase phases[] = {
    {qkv_input_items, norm_attention, SCOPE_ATTN_NORM, {NOTHING, NOTHING}},
    {qkv_items, project_qkv, SCOPE_QKV, {SCOPE_ATTN_NORM, NOTHING}},
    {row_norm_items, norm_rows_of_heads, SCOPE_ROPE, {NOTHING, NOTHING}},
    {head_items, rotate_and_store, SCOPE_ROPE, {NOTHING, NOTHING}},
    {attend_items, attend, SCOPE_ATTENTION, {SCOPE_ROPE, NOTHING}},
    {merge_items, merge, SCOPE_ATTENTION_MERGE, {NOTHING, NOTHING}},
    {on_input_items, round_attended, SCOPE_OUTPUT_ROUND, {NOTHING, NOTHING}},
    {attended_items, project_attended, SCOPE_OUTPUT, {SCOPE_OUTPUT_ROUND, NOTHING}},
    {attn_post_items, add_attended, SCOPE_OUTPUT, {NOTHING, NOTHING}},
};
const struct phase_group attention_phases = PHASE_GROUP(phases);
