/* experts.c - the memory of experts' work, and its phases.
 *
 * Work is counted in (row, expert, panel) units, of which there are as many whatever the choice:
 * so phases have their sizes before a step begins, and their chunks are alike. A chunk does the
 * panels whose first unit it holds, for all rows of the expert. Rows of an expert that do not lie
 * together are gathered, a block at a time, in the formats that its matrices read.
 */
#include "forward/experts.h"

#include "base/arena.h"
#include "forward/routing.h"
#include "math/act.h"
#include "math/fmath.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64,       /* rows of an expert that pass its panels together */
    PART_PANELS = 16, /* panels whose products one block's scratch holds */
    PART = PART_PANELS * PANEL_ROWS,
};

/* One thread's, on cache lines of its own. */
struct own {
    _Alignas(64) struct act gathered; /* [BLOCK] of n_embd */
    float *part;                      /* [BLOCK][PART] */
    float *scores;                    /* [n_experts] */
    /* where rows are few: this thread's copy of what phases would have made */
    struct act hidden, shared_hidden; /* [few * n_used], [few]; F32 is shared by all threads */
    struct pairs pairs;
    uint32_t *chosen;         /* [few][n_used] */
    float *weights;           /* likewise */
    uint64_t sorted, rounded; /* the layer and step they are of: see stamp() */
};

struct experts {
    const struct model *model;
    const struct kernels *kernels;
    unsigned n_threads;
    size_t max_rows, few;
    size_t logit_stride;
    void (*activate)(float *gate, const float *up, size_t n);
    float *logits;        /* [max_rows][logit_stride] */
    float *shared_logits; /* [max_rows][PANEL_ROWS] */
    uint32_t *chosen;     /* [max_rows][n_used] */
    float *weights;       /* likewise */
    struct pairs pairs;
    struct act hidden;        /* [max_rows * n_used] of n_ff_expert: of pairs, in their order */
    struct act shared_hidden; /* [max_rows] of n_ff_shared */
    struct own *own;          /* [n_threads] */
    uint32_t *n_read;         /* [n_layers] */
    uint64_t step;
    struct arena arena;
};

/* --- creation --- */

static void carve_own(struct experts *e, struct own *own)
{
    const struct shape *s = &e->model->shape;
    const size_t n_used = s->routing.n_used;
    act_carve(&own->gathered, &e->arena, BLOCK, s->n_embd);
    own->part = arena_carve(&e->arena, (size_t)BLOCK * PART, sizeof *own->part);
    own->scores = arena_carve(&e->arena, s->routing.n_experts, sizeof *own->scores);
    act_carve(&own->hidden, &e->arena, e->few * n_used, s->n_ff_expert);
    act_carve(&own->shared_hidden, &e->arena, e->few, s->n_ff_shared);
    own->hidden.f32 = e->hidden.f32;
    own->shared_hidden.f32 = e->shared_hidden.f32;
    pairs_carve(&own->pairs, &e->arena, s->routing.n_experts, e->few * n_used);
    own->chosen = arena_carve(&e->arena, e->few * n_used, sizeof *own->chosen);
    own->weights = arena_carve(&e->arena, e->few * n_used, sizeof *own->weights);
}

/* Twice: with an arena that only measures, and with its memory. */
static void carve_all(struct experts *e)
{
    const struct shape *s = &e->model->shape;
    const size_t n_pairs = e->max_rows * s->routing.n_used;
    e->logits = arena_carve(&e->arena, e->max_rows * e->logit_stride, sizeof *e->logits);
    e->shared_logits = arena_carve(&e->arena, e->max_rows * PANEL_ROWS, sizeof(float));
    e->chosen = arena_carve(&e->arena, n_pairs, sizeof *e->chosen);
    e->weights = arena_carve(&e->arena, n_pairs, sizeof *e->weights);
    pairs_carve(&e->pairs, &e->arena, s->routing.n_experts, n_pairs);
    act_carve(&e->hidden, &e->arena, n_pairs, s->n_ff_expert);
    act_carve(&e->shared_hidden, &e->arena, e->max_rows, s->n_ff_shared);
    e->n_read = arena_carve(&e->arena, s->n_layers, sizeof *e->n_read);
    e->own = arena_carve(&e->arena, e->n_threads, sizeof *e->own);
    for (unsigned rank = 0; rank < e->n_threads; rank++) {
        struct own own = {0};
        carve_own(e, &own);
        if (e->own != NULL)
            e->own[rank] = own;
    }
}

enum status experts_create(struct experts **out, const struct model *model,
                           const struct kernels *kernels, unsigned n_threads, size_t max_rows,
                           size_t few, struct error *err)
{
    *out = NULL;
    if (model->shape.routing.n_experts == 0)
        return STATUS_OK;
    struct experts *e = calloc(1, sizeof *e);
    if (e == NULL)
        return error_no_memory(err, sizeof *e, "the experts' work");
    e->model = model;
    e->kernels = kernels;
    e->n_threads = n_threads;
    e->max_rows = max_rows;
    e->few = few < max_rows ? few : max_rows;
    e->logit_stride = (model->shape.routing.n_experts + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
    e->activate = model->shape.ffn == FFN_SWIGLU_OAI ? kernels->swiglu_oai : kernels->silu_mul;
    carve_all(e); /* measures */
    const size_t n_bytes = e->arena.n_used;
    e->arena = (struct arena){0};
    const enum status status = arena_init(&e->arena, n_bytes, "a worker's experts", err);
    if (status != STATUS_OK) {
        free(e);
        return status;
    }
    carve_all(e);
    *out = e;
    return STATUS_OK;
}

void experts_destroy(struct experts *e)
{
    if (e == NULL)
        return;
    arena_free(&e->arena);
    free(e);
}

size_t experts_bytes(const struct experts *e)
{
    return e != NULL ? e->arena.n_bytes : 0;
}

void experts_begin(struct experts *e)
{
    if (e == NULL)
        return;
    e->step++;
    memset(e->n_read, 0, e->model->shape.n_layers * sizeof *e->n_read);
}

const uint32_t *experts_read(const struct experts *e)
{
    return e->n_read;
}

/* --- items --- */

static const struct layer_experts *layer_of(const struct experts *e, const struct experts_call *c)
{
    return &e->model->layers[c->layer].experts;
}

static bool is_few(const struct experts *e, const struct experts_call *c)
{
    return c->n_rows <= e->few;
}

static size_t n_pairs_of(const struct experts *e, const struct experts_call *c)
{
    return c->n_rows * e->model->shape.routing.n_used;
}

static bool has_shared(const struct layer_experts *l)
{
    return l->shared_up.w.n_rows > 0;
}

size_t experts_route_items(const struct experts *e, const struct experts_call *c)
{
    if (c->n_rows == 0 || !is_few(e, c))
        return c->n_rows;
    const struct layer_experts *l = layer_of(e, c);
    return matrix_n_panels(&l->router.w) + matrix_n_panels(&l->shared_weight.w);
}

size_t experts_sort_items(const struct experts *e, const struct experts_call *c)
{
    return is_few(e, c) ? 0 : 1;
}

size_t experts_expand_items(const struct experts *e, const struct experts_call *c)
{
    const struct layer_experts *l = layer_of(e, c);
    return n_pairs_of(e, c) * matrix_n_panels(&l->up.first) +
           c->n_rows * matrix_n_panels(&l->shared_up.w);
}

size_t experts_round_items(const struct experts *e, const struct experts_call *c)
{
    if (is_few(e, c))
        return 0;
    return n_pairs_of(e, c) + (has_shared(layer_of(e, c)) ? c->n_rows : 0);
}

size_t experts_project_items(const struct experts *e, const struct experts_call *c)
{
    return c->n_rows > 0 ? matrix_n_panels(&layer_of(e, c)->down.first) : 0;
}

/* --- products --- */

/* y = W x + bias for panels [p0, p0 + n) of w: y [n_rows][y_stride] begins with the first of them.
 * bias: the whole matrix's. */
static void multiply(const struct experts *e, const struct matrix *w, const float *bias, size_t p0,
                     size_t n, const struct act *x, size_t n_rows, float *y, size_t y_stride)
{
    struct matrix part = *w;
    part.panels += p0 * w->panel_bytes;
    part.n_rows -= p0 * PANEL_ROWS;
    e->kernels->matmul[w->type](&part, 0, n, x, n_rows, y, y_stride);
    for (size_t t = 0; bias != NULL && t < n_rows; t++)
        e->kernels->add(y + t * y_stride, bias + p0 * PANEL_ROWS, n * PANEL_ROWS);
}

static void multiply_linear(const struct experts *e, const struct linear *l, size_t p0, size_t p1,
                            const struct act *x, size_t n_rows, float *y, size_t y_stride)
{
    const size_t n = matrix_n_panels(&l->w);
    p1 = p1 < n ? p1 : n;
    if (p0 < p1)
        multiply(e, &l->w, l->bias, p0, p1 - p0, x, n_rows, y + p0 * PANEL_ROWS, y_stride);
}

/* --- routing --- */

static void choose_row(const struct experts *e, const struct experts_call *c, size_t t,
                       float *scores, uint32_t *chosen, float *weights)
{
    routing_choose(&e->model->shape.routing, layer_of(e, c), e->kernels,
                   e->logits + t * e->logit_stride, scores, chosen, weights);
}

/* All of the router for some rows, and their choice. */
static void route_rows(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                       unsigned rank)
{
    const struct layer_experts *l = layer_of(e, c);
    const struct act x = act_from(c->x, begin);
    const size_t n_used = e->model->shape.routing.n_used;
    multiply_linear(e, &l->router, 0, SIZE_MAX, &x, end - begin,
                    e->logits + begin * e->logit_stride, e->logit_stride);
    multiply_linear(e, &l->shared_weight, 0, SIZE_MAX, &x, end - begin,
                    e->shared_logits + begin * PANEL_ROWS, PANEL_ROWS);
    for (size_t t = begin; t < end; t++)
        choose_row(e, c, t, e->own[rank].scores, e->chosen + t * n_used, e->weights + t * n_used);
}

void experts_route(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                   unsigned rank)
{
    if (!is_few(e, c)) {
        route_rows(e, c, begin, end, rank);
        return;
    }
    const struct layer_experts *l = layer_of(e, c);
    const size_t n = matrix_n_panels(&l->router.w);
    multiply_linear(e, &l->router, begin, end, c->x, c->n_rows, e->logits, e->logit_stride);
    if (end > n)
        multiply_linear(e, &l->shared_weight, begin > n ? begin - n : 0, end - n, c->x, c->n_rows,
                        e->shared_logits, PANEL_ROWS);
}

void experts_sort(struct experts *e, const struct experts_call *c)
{
    pairs_sort(&e->pairs, &e->model->shape.routing, e->chosen, e->weights, c->n_rows);
    e->n_read[c->layer] = (uint32_t)e->pairs.n_used;
}

static uint64_t stamp(const struct experts *e, const struct experts_call *c)
{
    return e->step * e->model->shape.n_layers + c->layer + 1;
}

/* The pairs, sorted; few are by each thread. */
static const struct pairs *sorted_pairs(struct experts *e, const struct experts_call *c,
                                        unsigned rank)
{
    if (!is_few(e, c))
        return &e->pairs;
    struct own *own = &e->own[rank];
    if (own->sorted != stamp(e, c)) {
        const size_t n_used = e->model->shape.routing.n_used;
        for (size_t t = 0; t < c->n_rows; t++)
            choose_row(e, c, t, own->scores, own->chosen + t * n_used, own->weights + t * n_used);
        pairs_sort(&own->pairs, &e->model->shape.routing, own->chosen, own->weights, c->n_rows);
        own->sorted = stamp(e, c);
    }
    return &own->pairs;
}

/* --- gate and up --- */

struct span {
    size_t begin, end;
};

/* Of n_panels panels with n units each, from unit `first` on: those whose first unit is in
 * [begin, end). */
static struct span panels_within(size_t first, size_t n, size_t n_panels, size_t begin, size_t end)
{
    size_t p0 = begin > first ? (begin - first + n - 1) / n : 0;
    size_t p1 = end > first ? (end - first + n - 1) / n : 0;
    return (struct span){p0, p1 < n_panels ? p1 : n_panels};
}

/* hidden [n_rows][stride], of whole rows: act(gate x) * up x in panels [p.begin, p.end). */
static void expand_rows(const struct experts *e, const struct linear *gate, const struct linear *up,
                        struct span p, const struct act *x, size_t n_rows, float *hidden,
                        size_t stride, float *part)
{
    for (size_t p0 = p.begin, n; p0 < p.end; p0 += n) {
        n = p.end - p0 < PART_PANELS ? p.end - p0 : PART_PANELS;
        float *y = hidden + p0 * PANEL_ROWS;
        multiply(e, &gate->w, gate->bias, p0, n, x, n_rows, y, stride);
        multiply(e, &up->w, up->bias, p0, n, x, n_rows, part, PART);
        for (size_t t = 0; t < n_rows; t++)
            e->activate(y + t * stride, part + t * PART, n * PANEL_ROWS);
    }
}

/* Rows of x as they lie together, or gathered. */
static struct act rows_together(const struct layer_experts *l, const struct act *x,
                                const uint32_t *rows, size_t n, const struct act *gathered)
{
    if (rows[n - 1] - rows[0] + 1 == n)
        return act_from(x, rows[0]);
    const unsigned gate = weight_infos[l->gate.first.type].activation;
    const unsigned up = weight_infos[l->up.first.type].activation;
    for (size_t i = 0; i < n; i++) {
        act_copy_row(gathered, i, x, rows[i], (enum act_format)gate);
        if (up != gate)
            act_copy_row(gathered, i, x, rows[i], (enum act_format)up);
    }
    return *gathered;
}

static struct linear linear_of(const struct expert_linear *l, size_t expert)
{
    return (struct linear){expert_matrix(l, expert), expert_bias(l, expert)};
}

static void expand_expert(struct experts *e, const struct experts_call *c,
                          const struct pairs *pairs, size_t expert, struct span p, unsigned rank)
{
    const struct layer_experts *l = layer_of(e, c);
    const struct linear gate = linear_of(&l->gate, expert), up = linear_of(&l->up, expert);
    const size_t stride = e->hidden.f32_stride, end = pairs->first[expert + 1];
    for (size_t i = pairs->first[expert], n; i < end; i += n) {
        n = end - i < BLOCK ? end - i : BLOCK;
        const struct act x = rows_together(l, c->x, pairs->row + i, n, &e->own[rank].gathered);
        expand_rows(e, &gate, &up, p, &x, n, e->hidden.f32 + i * stride, stride, e->own[rank].part);
    }
}

static void expand_shared(struct experts *e, const struct experts_call *c, struct span p,
                          unsigned rank)
{
    const struct layer_experts *l = layer_of(e, c);
    const size_t stride = e->shared_hidden.f32_stride;
    for (size_t t = 0, n; t < c->n_rows; t += n) {
        n = c->n_rows - t < BLOCK ? c->n_rows - t : BLOCK;
        const struct act x = act_from(c->x, t);
        expand_rows(e, &l->shared_gate, &l->shared_up, p, &x, n, e->shared_hidden.f32 + t * stride,
                    stride, e->own[rank].part);
    }
}

void experts_expand(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                    unsigned rank)
{
    const struct layer_experts *l = layer_of(e, c);
    const struct pairs *pairs = sorted_pairs(e, c, rank);
    const size_t n_panels = matrix_n_panels(&l->up.first);
    if (begin == 0)
        e->n_read[c->layer] = (uint32_t)pairs->n_used;
    for (size_t i = 0; i < pairs->n_used; i++) {
        const size_t expert = pairs->used[i], first = pairs->first[expert];
        const struct span p =
            panels_within(first * n_panels, pairs->first[expert + 1] - first, n_panels, begin, end);
        if (p.begin < p.end)
            expand_expert(e, c, pairs, expert, p, rank);
    }
    const struct span p = panels_within(pairs->n_pairs * n_panels, c->n_rows,
                                        matrix_n_panels(&l->shared_up.w), begin, end);
    if (p.begin < p.end)
        expand_shared(e, c, p, rank);
}

/* --- down --- */

static void round_row(const struct experts *e, const struct act *act, size_t t,
                      enum weight_type reader)
{
    const unsigned format = weight_infos[reader].activation;
    if (format != ACT_F32)
        e->kernels->quantize[format](act, t);
}

void experts_round(struct experts *e, const struct experts_call *c, size_t begin, size_t end)
{
    const struct layer_experts *l = layer_of(e, c);
    const size_t n_pairs = n_pairs_of(e, c);
    for (size_t i = begin; i < end && i < n_pairs; i++)
        round_row(e, &e->hidden, i, l->down.first.type);
    for (size_t i = begin > n_pairs ? begin : n_pairs; i < end; i++)
        round_row(e, &e->shared_hidden, i - n_pairs, l->shared_down.w.type);
}

bool experts_round_own(struct experts *e, const struct experts_call *c, unsigned rank)
{
    const struct layer_experts *l = layer_of(e, c);
    struct own *own = &e->own[rank];
    if (!is_few(e, c) || own->rounded == stamp(e, c))
        return false;
    for (size_t i = 0; i < n_pairs_of(e, c); i++)
        round_row(e, &own->hidden, i, l->down.first.type);
    for (size_t t = 0; has_shared(l) && t < c->n_rows; t++)
        round_row(e, &own->shared_hidden, t, l->shared_down.w.type);
    own->rounded = stamp(e, c);
    return true;
}

/* Adds n panels of one expert's results to its rows of y. */
static void project_expert(const struct experts *e, const struct layer_experts *l,
                           const struct pairs *pairs, size_t expert, size_t p0, size_t n_panels,
                           const struct act *hidden, float *part, float *y, size_t y_stride)
{
    const struct linear down = linear_of(&l->down, expert);
    const size_t end = pairs->first[expert + 1];
    for (size_t i = pairs->first[expert], n; i < end; i += n) {
        n = end - i < BLOCK ? end - i : BLOCK;
        const struct act x = act_from(hidden, i);
        multiply(e, &down.w, down.bias, p0, n_panels, &x, n, part, PART);
        for (size_t j = 0; j < n; j++)
            e->kernels->add_scaled(y + pairs->row[i + j] * y_stride, part + j * PART,
                                   pairs->weight[i + j], n_panels * PANEL_ROWS);
    }
}

static void project_shared(const struct experts *e, const struct experts_call *c, size_t p0,
                           size_t n_panels, const struct act *hidden, float *part, float *y,
                           size_t y_stride)
{
    const struct layer_experts *l = layer_of(e, c);
    for (size_t t = 0, n; t < c->n_rows; t += n) {
        n = c->n_rows - t < BLOCK ? c->n_rows - t : BLOCK;
        const struct act x = act_from(hidden, t);
        multiply(e, &l->shared_down.w, l->shared_down.bias, p0, n_panels, &x, n, part, PART);
        for (size_t j = 0; j < n; j++) {
            const float *logit = e->shared_logits + (t + j) * PANEL_ROWS;
            const float weight =
                l->shared_weight.w.n_rows > 0 ? 1.0f / (1.0f + fmath_exp(-*logit)) : 1.0f;
            e->kernels->add_scaled(y + (t + j) * y_stride, part + j * PART, weight,
                                   n_panels * PANEL_ROWS);
        }
    }
}

void experts_project(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                     unsigned rank, float *y, size_t y_stride)
{
    const struct layer_experts *l = layer_of(e, c);
    const struct pairs *pairs = sorted_pairs(e, c, rank);
    struct own *own = &e->own[rank];
    const struct act *hidden = is_few(e, c) ? &own->hidden : &e->hidden;
    const struct act *shared = is_few(e, c) ? &own->shared_hidden : &e->shared_hidden;
    for (size_t p0 = begin, n; p0 < end; p0 += n) {
        n = end - p0 < PART_PANELS ? end - p0 : PART_PANELS;
        float *columns = y + p0 * PANEL_ROWS;
        for (size_t t = 0; t < c->n_rows; t++)
            memset(columns + t * y_stride, 0, n * PANEL_ROWS * sizeof *columns);
        for (size_t i = 0; i < pairs->n_used; i++)
            project_expert(e, l, pairs, pairs->used[i], p0, n, hidden, own->part, columns,
                           y_stride);
        if (has_shared(l))
            project_shared(e, c, p0, n, shared, own->part, columns, y_stride);
    }
}
