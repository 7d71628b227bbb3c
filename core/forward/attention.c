/* attention.c - attention's tasks: tiles of rows, their spans, and the merging of spans.
 *
 * How rows are tiled and spans are shared out depends on the step and the number of threads, and
 * decides who computes a number, never how. Read and run by a worker's team. */
#include "forward/attention.h"

#include "base/arena.h"
#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum {
    THREAD_TASKS = 4, /* below it a thread is short of tasks: tiles shrink, then spans are split */
    SPAN_BLOCKS = ATTEND_SPAN / (int)KV_PAGE, /* pages of a span */
};

struct tile { /* rows [first, first + n_rows) of a list */
    uint32_t first, n_rows;
};

/* The rows of a step, or those that go on after the last layer's keys and values. */
struct list {
    const uint32_t *wanted; /* [n_rows]; NULL: all rows */
    size_t n_rows;
    struct tile *tiles; /* [max_rows] */
    size_t n_tiles;
    size_t n_spans; /* of the row that sees most */
    bool split;     /* each row is a tile, and each of its spans an item */
};

struct part {         /* spans' partial results of a tile with one KV head */
    float *acc;       /* [rows][n_spans][group][D] */
    float *max, *sum; /* [rows][n_spans][group] */
};

struct attention {
    const struct model *model;
    const struct kernels *kernels;
    const struct kv *kv;
    unsigned n_threads;
    size_t group;     /* heads that share a KV head */
    size_t tile_rows; /* at most */
    size_t n_spans;   /* of the whole context */
    size_t row_floats, scratch_floats;
    float *
        parts; /* [n_threads][tile_rows][row_floats], then [THREAD_TASKS * n_threads][row_floats] */
    float *scratch; /* [n_threads][scratch_floats] */
    float *whole;   /* [n_threads][whole_floats]: an encoder's queries and what they gave */
    size_t whole_floats;
    const struct row *rows;
    struct list lists[2]; /* all; after the last layer's keys and values */
    bool is_by_row; /* each row is alone of its sequence, wanted, and seen by one task a head */
    struct arena arena;
};

/* So that no two threads write to one cache line. */
static size_t whole_lines(size_t n_floats)
{
    return (n_floats + 15) / 16 * 16;
}

/* Of a tile, all heads that share a KV head. */
static size_t most_queries(const struct attention *a)
{
    return a->group > ATTEND_QUERIES ? a->group : (size_t)ATTEND_QUERIES;
}

enum status attention_create(struct attention **out, const struct model *model,
                             const struct kernels *kernels, const struct kv *kv, unsigned n_threads,
                             size_t max_rows, struct error *err)
{
    const struct shape *s = &model->shape;
    struct attention *a = calloc(1, sizeof *a);
    if (!a)
        return error_no_memory(err, sizeof *a, "attention");
    a->model = model;
    a->kernels = kernels;
    a->kv = kv;
    a->n_threads = n_threads;
    a->group = s->n_heads / s->n_kv_heads;
    a->tile_rows = a->group < ATTEND_QUERIES ? ATTEND_QUERIES / a->group : 1;
    a->n_spans = (model->n_context + ATTEND_SPAN - 1) / ATTEND_SPAN;
    a->row_floats = whole_lines(a->n_spans * a->group * (s->head_dim + 2));
    a->scratch_floats = whole_lines(ATTEND_QUERIES * s->head_dim);
    if (s->encoder)
        a->whole_floats = whole_lines(most_queries(a) * 2 * (s->head_dim + 1));
    const size_t n_part_rows = n_threads * (a->tile_rows + THREAD_TASKS);
    size_t n_floats, n_bytes = 0;
    bool fits =
        checked_mul(n_part_rows, a->row_floats, &n_floats) &&
        checked_add(n_floats, n_threads * (a->scratch_floats + a->whole_floats), &n_floats) &&
        checked_mul(n_floats, sizeof(float), &n_bytes) &&
        checked_add(n_bytes, 2 * max_rows * sizeof(struct tile) + 5 * ARENA_ALIGN, &n_bytes);
    enum status status = fits ? arena_init(&a->arena, n_bytes, "a worker's attention", err)
                              : error_no_memory(err, SIZE_MAX, "a worker's attention");
    if (status != STATUS_OK) {
        attention_destroy(a);
        return status;
    }
    a->parts = arena_alloc(&a->arena, n_part_rows * a->row_floats, sizeof(float));
    a->scratch = arena_alloc(&a->arena, n_threads * a->scratch_floats, sizeof(float));
    a->whole = arena_alloc(&a->arena, n_threads * a->whole_floats, sizeof(float));
    for (size_t i = 0; i < 2; i++)
        a->lists[i].tiles = arena_alloc(&a->arena, max_rows, sizeof(struct tile));
    *out = a;
    return STATUS_OK;
}

void attention_destroy(struct attention *a)
{
    if (!a)
        return;
    arena_free(&a->arena);
    free(a);
}

size_t attention_bytes(const struct attention *a)
{
    return a->arena.n_bytes;
}

/* --- the plan of a step --- */

static size_t row_at(const struct list *list, size_t i)
{
    return list->wanted ? list->wanted[i] : i;
}

static size_t spans_of(const struct row *row)
{
    return (row->length > 0 ? row->length - 1 : row->position) / ATTEND_SPAN + 1;
}

/* The first position that a row sees through a window (0: none). */
static size_t first_seen(const struct row *row, size_t window)
{
    return window > 0 && row->position >= window ? row->position + 1 - window : 0;
}

/* Positions from `first` on that are before the window of the row at a position; 0 or less: none.
 */
static ptrdiff_t hidden_of(size_t position, size_t window, size_t first)
{
    return window > 0 ? (ptrdiff_t)(position + 1) - (ptrdiff_t)window - (ptrdiff_t)first : 0;
}

/* Whether the i-th row of a list is the step's next row and its sequence's next position. */
static bool follows(const struct attention *a, const struct list *list, size_t i)
{
    size_t t = row_at(list, i), before = row_at(list, i - 1);
    const struct row *row = &a->rows[t], *last = &a->rows[before];
    return t == before + 1 && row->seq == last->seq && row->position == last->position + 1;
}

static void plan_list(const struct attention *a, struct list *list, const uint32_t *wanted,
                      size_t n_rows)
{
    const size_t enough = (size_t)THREAD_TASKS * a->n_threads;
    const size_t n_heads = a->model->shape.n_kv_heads;
    size_t most = n_rows * n_heads / enough; /* rows of a tile, so that there are tasks enough */
    most = most < a->tile_rows ? most : a->tile_rows;
    list->wanted = wanted;
    list->n_rows = n_rows;
    list->n_tiles = list->n_spans = 0;
    for (size_t i = 0; i < n_rows; i++) {
        size_t n_spans = spans_of(&a->rows[row_at(list, i)]);
        list->n_spans = n_spans > list->n_spans ? n_spans : list->n_spans;
        struct tile *tile = &list->tiles[list->n_tiles];
        if (i > 0 && tile[-1].n_rows < most && follows(a, list, i))
            tile[-1].n_rows++;
        else
            list->tiles[list->n_tiles++] = (struct tile){(uint32_t)i, 1};
    }
    list->split = a->n_threads > 1 && list->n_spans > 1 && list->n_tiles * n_heads < enough;
}

void attention_plan(struct attention *a, const struct row *rows, size_t n_rows,
                    const uint32_t *wanted, size_t n_wanted)
{
    a->rows = rows;
    plan_list(a, &a->lists[0], NULL, n_rows);
    plan_list(a, &a->lists[1], wanted, n_wanted);
    a->is_by_row = n_wanted == n_rows && !a->lists[0].split;
    for (size_t t = 1; t < n_rows && a->is_by_row; t++)
        for (size_t i = 0; i < t; i++)
            a->is_by_row = a->is_by_row && rows[i].seq != rows[t].seq;
}

static size_t n_tasks(const struct attention *a, const struct list *list)
{
    return list->n_tiles * a->model->shape.n_kv_heads;
}

size_t attention_items(const struct attention *a, bool last)
{
    const struct list *list = &a->lists[last];
    return n_tasks(a, list) * (list->split ? list->n_spans : 1);
}

size_t attention_merge_items(const struct attention *a, bool last)
{
    const struct list *list = &a->lists[last];
    return list->split ? n_tasks(a, list) : 0;
}

/* --- tasks --- */

/* A task's tile and KV head. All heads of a tile follow each other: its rows are those that the
 * thread has made the queries of, see next_piece. */
static const struct tile *task_tile(const struct attention *a, const struct list *list, size_t task,
                                    size_t *kv_head)
{
    *kv_head = task % a->model->shape.n_kv_heads;
    return &list->tiles[task / a->model->shape.n_kv_heads];
}

bool attention_is_by_row(const struct attention *a)
{
    return a->is_by_row;
}

size_t attention_item_row(const struct attention *a, size_t item, size_t *kv_head)
{
    return task_tile(a, &a->lists[0], item, kv_head)->first;
}

static struct part part_at(const struct attention *a, size_t first_row, size_t n_rows)
{
    const size_t n_heads = n_rows * a->n_spans * a->group;
    float *floats = a->parts + first_row * a->row_floats;
    float *max = floats + n_heads * a->model->shape.head_dim;
    return (struct part){.acc = floats, .max = max, .sum = max + n_heads};
}

/* A thread's own, for a tile; and a split task's, for a row. */
static struct part own_part(const struct attention *a, unsigned rank)
{
    return part_at(a, rank * a->tile_rows, a->tile_rows);
}

static struct part split_part(const struct attention *a, size_t task)
{
    return part_at(a, a->n_threads * a->tile_rows + task, 1);
}

struct seen { /* positions [begin, end) */
    size_t begin, end;
};

/* What an encoder's row sees. */
static struct seen seen_around(const struct row *row, size_t around)
{
    const size_t p = row->position;
    if (around == 0)
        return (struct seen){0, row->length};
    return (struct seen){p + 1 > around ? p + 1 - around : 0,
                         p + around < row->length ? p + around : row->length};
}

/* One span of an encoder's row that sees the positions around its own. */
static void attend_around(const struct attention *a, const struct attention_layer *l, size_t t,
                          size_t kv_head, size_t span, const struct part *part, size_t out,
                          unsigned rank)
{
    const struct row *row = &a->rows[t];
    const struct seen seen = seen_around(row, a->model->shape.layers[l->layer].around);
    const size_t head_dim = a->model->shape.head_dim, first = span * ATTEND_SPAN;
    if (seen.end <= first || seen.begin >= first + ATTEND_SPAN)
        return;
    const ptrdiff_t n_hidden = (ptrdiff_t)seen.begin - (ptrdiff_t)first;
    const size_t left = seen.end - first, n = left < ATTEND_SPAN ? left : (size_t)ATTEND_SPAN;
    const uint8_t *blocks[SPAN_BLOCKS];
    for (size_t b = n_hidden > 0 ? (size_t)n_hidden / KV_PAGE : 0; b * KV_PAGE < n; b++)
        blocks[b] = kv_block(a->kv, row->seq->pages[first / KV_PAGE + b], l->layer, kv_head);
    a->kernels->attend[kv_type(a->kv)](&(struct attend){
        .q = l->q + t * l->q_stride + kv_head * a->group * head_dim,
        .q_stride = l->q_stride,
        .n_rows = 1,
        .n_heads = a->group,
        .head_dim = head_dim,
        .blocks = blocks,
        .n_positions = n,
        .has_window = true,
        .n_hidden = n_hidden,
        .scratch = a->scratch + rank * a->scratch_floats,
        .out_stride = a->group,
        .max = part->max + out,
        .sum = part->sum + out,
        .acc = part->acc + out * head_dim,
    });
}

/* One span of a tile of an encoder's rows. All see the same positions, so its queries go through
 * them as one row's heads do. */
static void attend_whole_span(const struct attention *a, const struct attention_layer *l,
                              const struct tile *tile, size_t kv_head, size_t span,
                              const struct part *part, unsigned rank)
{
    const struct list *list = &a->lists[l->last];
    const size_t group = a->group, n_values = group * a->model->shape.head_dim;
    const size_t n_queries = tile->n_rows * group, first = span * ATTEND_SPAN;
    const bool around = a->model->shape.layers[l->layer].around > 0;
    for (size_t i = 0; around && i < tile->n_rows; i++)
        attend_around(a, l, row_at(list, tile->first + i), kv_head, span, part,
                      (i * a->n_spans + span) * group, rank);
    if (around)
        return;
    const struct row *row = &a->rows[row_at(list, tile->first)];
    if (first >= row->length)
        return;
    const size_t left = row->length - first, seen = left < ATTEND_SPAN ? left : ATTEND_SPAN;
    float *q = a->whole + rank * a->whole_floats, *acc = q + tile->n_rows * n_values;
    float *max = acc + tile->n_rows * n_values, *sum = max + n_queries;
    const uint8_t *blocks[SPAN_BLOCKS];
    for (size_t b = 0; b * KV_PAGE < seen; b++)
        blocks[b] = kv_block(a->kv, row->seq->pages[first / KV_PAGE + b], l->layer, kv_head);
    for (size_t i = 0; i < tile->n_rows; i++)
        memcpy(q + i * n_values,
               l->q + row_at(list, tile->first + i) * l->q_stride + kv_head * n_values,
               n_values * sizeof *q);
    a->kernels->attend[kv_type(a->kv)](&(struct attend){
        .q = q,
        .q_stride = tile->n_rows * n_values,
        .n_rows = 1,
        .n_heads = n_queries,
        .head_dim = a->model->shape.head_dim,
        .blocks = blocks,
        .n_positions = seen,
        .scratch = a->scratch + rank * a->scratch_floats,
        .out_stride = n_queries,
        .max = max,
        .sum = sum,
        .acc = acc,
    });
    for (size_t i = 0; i < tile->n_rows; i++) {
        const size_t to = (i * a->n_spans + span) * group;
        memcpy(part->max + to, max + i * group, group * sizeof *max);
        memcpy(part->sum + to, sum + i * group, group * sizeof *sum);
        memcpy(part->acc + to * a->model->shape.head_dim, acc + i * n_values,
               n_values * sizeof *acc);
    }
}

/* The block that is read after a span of the row: the same head's next one, or the next head's
 * first. */
static const uint8_t *block_after(const struct attention *a, const struct attention_layer *l,
                                  const struct row *row, size_t kv_head, size_t span)
{
    size_t position = (span + 1) * ATTEND_SPAN;
    if (position > row->position) {
        if (++kv_head == a->model->shape.layers[l->layer].n_kv_heads)
            return NULL;
        position = first_seen(row, a->model->shape.layers[l->layer].window);
    }
    return kv_block(a->kv, row->seq->pages[position / KV_PAGE], l->layer, kv_head);
}

/* One span of a tile, for the rows that see any of it. */
static void attend_span(const struct attention *a, const struct attention_layer *l,
                        const struct tile *tile, size_t kv_head, size_t span,
                        const struct part *part, unsigned rank)
{
    const size_t head_dim = a->model->shape.head_dim, first = span * ATTEND_SPAN;
    const size_t t = row_at(&a->lists[l->last], tile->first);
    if (a->rows[t].length > 0) {
        attend_whole_span(a, l, tile, kv_head, span, part, rank);
        return;
    }
    const size_t position = a->rows[t].position;
    const size_t skipped = position < first ? first - position : 0; /* rows before the span */
    if (skipped >= tile->n_rows)
        return;
    const size_t window = a->model->shape.layers[l->layer].window;
    const ptrdiff_t n_hidden = hidden_of(position + skipped, window, first);
    if (n_hidden >= ATTEND_SPAN)
        return;
    const size_t left = tile->n_rows - skipped, reach = (size_t)(ATTEND_SPAN - n_hidden);
    /* The windows of rows beyond reach begin after the span. */
    const size_t n_rows = window == 0 || left < reach ? left : reach;
    const size_t seen = position + skipped + 1 - first;
    const size_t n_positions = seen < ATTEND_SPAN ? seen : ATTEND_SPAN;
    const size_t last =
        n_positions + n_rows - 1 < ATTEND_SPAN ? n_positions + n_rows - 1 : (size_t)ATTEND_SPAN;
    const uint8_t *blocks[SPAN_BLOCKS];
    for (size_t b = n_hidden > 0 ? (size_t)n_hidden / KV_PAGE : 0; b * KV_PAGE < last; b++)
        blocks[b] = kv_block(a->kv, a->rows[t].seq->pages[first / KV_PAGE + b], l->layer, kv_head);
    const size_t out_stride = a->n_spans * a->group, out = skipped * out_stride + span * a->group;
    a->kernels->attend[kv_type(a->kv)](&(struct attend){
        .q = l->q + (t + skipped) * l->q_stride + kv_head * a->group * head_dim,
        .q_stride = l->q_stride,
        .n_rows = n_rows,
        .n_heads = a->group,
        .head_dim = head_dim,
        .blocks = blocks,
        .next = block_after(a, l, &a->rows[t], kv_head, span),
        .n_positions = n_positions,
        .has_window = window > 0,
        .n_hidden = n_hidden,
        .softcap = a->model->shape.attention_softcap,
        .scratch = a->scratch + rank * a->scratch_floats,
        .out_stride = out_stride,
        .max = part->max + out,
        .sum = part->sum + out,
        .acc = part->acc + out * head_dim,
    });
}

static void merge_tile(const struct attention *a, const struct attention_layer *l,
                       const struct tile *tile, size_t kv_head, const struct part *part)
{
    const size_t head_dim = a->model->shape.head_dim;
    for (size_t i = 0; i < tile->n_rows; i++) {
        const size_t row = tile->first + i, t = row_at(&a->lists[l->last], row);
        const struct row *of = &a->rows[t];
        const struct layer_shape *s = &a->model->shape.layers[l->layer];
        const struct seen seen = seen_around(of, s->around);
        const size_t begin = of->length > 0 ? seen.begin : first_seen(of, s->window);
        const size_t first = begin / ATTEND_SPAN;
        const size_t end = of->length > 0 ? (seen.end - 1) / ATTEND_SPAN + 1 : spans_of(of);
        const size_t n_spans = end - first, from = (i * a->n_spans + first) * a->group;
        const size_t at = kv_head * a->group * head_dim;
        a->kernels->attend_merge(part->max + from, part->sum + from, part->acc + from * head_dim,
                                 l->sinks != NULL ? l->sinks + kv_head * a->group : NULL, n_spans,
                                 a->group, head_dim, l->out + row * l->out_stride + at);
        if (l->gate != NULL)
            a->kernels->sigmoid_mul(l->out + row * l->out_stride + at,
                                    l->gate + t * l->gate_stride + at, a->group * head_dim);
    }
}

void attention_run(struct attention *a, const struct attention_layer *l, size_t begin, size_t end,
                   unsigned rank)
{
    const struct list *list = &a->lists[l->last];
    for (size_t i = begin; i < end; i++) {
        size_t task = list->split ? i / list->n_spans : i, kv_head;
        const struct tile *tile = task_tile(a, list, task, &kv_head);
        struct part part = list->split ? split_part(a, task) : own_part(a, rank);
        if (list->split) {
            attend_span(a, l, tile, kv_head, i % list->n_spans, &part, rank);
            continue;
        }
        for (size_t span = 0; span < list->n_spans; span++)
            attend_span(a, l, tile, kv_head, span, &part, rank);
        merge_tile(a, l, tile, kv_head, &part);
    }
}

void attention_merge(const struct attention *a, const struct attention_layer *l, size_t begin,
                     size_t end)
{
    const struct list *list = &a->lists[l->last];
    for (size_t task = begin; task < end; task++) {
        size_t kv_head;
        const struct tile *tile = task_tile(a, list, task, &kv_head);
        struct part part = split_part(a, task);
        merge_tile(a, l, tile, kv_head, &part);
    }
}
