/* forward.c - the memory of a forward pass, and a step: its phases cut into chunks that any thread
 * of the team may do. Cutting decides who computes a number, never how. What the phases compute:
 * layer.c.
 */
#include "forward/forward.h"

#include "base/arena.h"
#include "forward/internal.h"
#include "forward/phases.h"

#include <stdlib.h>

enum {
    THREAD_CHUNKS = 4, /* chunks of a phase for each thread: a late one leaves some to others */
};

/* --- creation --- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static void carve_own(struct forward *f, const size_t *widths)
{
    const unsigned n_threads = team_size(f->team);
    f->own = arena_carve(&f->arena, n_threads, sizeof *f->own);
    for (unsigned rank = 0; rank < n_threads; rank++) {
        struct thread_scratch own = {0};
        for (size_t i = 0; i < INPUTS; i++) {
            act_carve(&own.inputs[i], &f->arena, OWN_ROWS, widths[i]);
            if (i != INPUT_NORMED)
                own.inputs[i].f32 = f->inputs[i].f32;
        }
        if (f->own != NULL)
            f->own[rank] = own;
    }
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
    const size_t attended = s->n_heads * s->head_dim, answered = delta_inner(&s->delta);
    const size_t widths[INPUTS] = {s->n_embd, attended > answered ? attended : answered, s->n_ff};
    for (size_t i = 0; i < INPUTS; i++)
        act_carve(&f->inputs[i], arena, t, widths[i]);
    if (s->n_vector_dense > 0) {
        act_carve(&f->dense, arena, 1, s->n_vector_dense);
        f->dense_y = arena_carve(arena, round_up(s->n_vector_dense, PANEL_ROWS), sizeof(float));
    }
    delta_carve(f);
    carve_own(f, widths);
    f->logits = arena_carve(arena, f->max_logits * f->vocab_stride, sizeof(float));
    f->wanted = arena_carve(arena, t, sizeof *f->wanted);
    f->logits_of = arena_carve(arena, f->max_logits, sizeof *f->logits_of);
    f->vectors_of = arena_carve(arena, t, sizeof *f->vectors_of);
    f->out_of_range = arena_carve(arena, t, sizeof *f->out_of_range);
    f->plan = arena_carve(arena, f->n_plan, sizeof *f->plan);
    f->phases = arena_carve(arena, f->n_plan, sizeof *f->phases);
    f->n_chunks = arena_carve(arena, f->n_plan, sizeof *f->n_chunks);
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
    f->n_plan = forward_max_phases(model);
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
    if (status == STATUS_OK)
        status =
            experts_create(&f->experts, model, kernels, team_size(team), max_rows, OWN_ROWS, err);
    if (status != STATUS_OK) {
        forward_destroy(f);
        return status;
    }
    carve_all(f);
    forward_list_phases(model, f->plan);
    *out = f;
    return STATUS_OK;
}

void forward_destroy(struct forward *f)
{
    if (!f)
        return;
    attention_destroy(f->attention);
    experts_destroy(f->experts);
    arena_free(&f->arena);
    free(f);
}

float *forward_logits(const struct forward *f, size_t i)
{
    return f->logits + i * f->vocab_stride;
}

const float *forward_vector(const struct forward *f, size_t i)
{
    return f->x + f->vectors_of[i] * f->embd_stride;
}

size_t forward_n_out_of_range(const struct forward *f)
{
    size_t n = 0;
    if (atomic_load_explicit(&f->n_out_of_range, memory_order_relaxed) == 0)
        return 0;
    for (size_t t = 0; t < f->n_rows; t++)
        n += forward_is_out_of_range(f, t);
    return n;
}

bool forward_is_out_of_range(const struct forward *f, size_t row)
{
    return atomic_load_explicit(&f->out_of_range[row], memory_order_relaxed) != 0;
}

size_t forward_bytes(const struct forward *f)
{
    return f->arena.n_bytes + attention_bytes(f->attention) + experts_bytes(f->experts);
}

const uint32_t *forward_experts(const struct forward *f)
{
    return f->experts != NULL ? experts_read(f->experts) : NULL;
}

/* --- the step --- */

const uint32_t *forward_phases(const struct forward *f, size_t *n)
{
    *n = f->n_phases;
    return f->phases;
}

void forward_set_marks(struct forward *f, const struct team_marks *marks)
{
    f->marks = marks;
}

/* The part that a phase with many chunks sets apart in each of them takes some hundred nanoseconds,
 * which two looks at the clock would lengthen by a tenth: one chunk in LOOK_EVERY is looked at,
 * each in its turn, and stands for the others. */
enum { LOOK_EVERY = THREAD_CHUNKS };

static uint32_t look_weight(const struct forward *f, size_t n_chunks, size_t chunk)
{
    if (__builtin_expect(f->marks == NULL, true))
        return 0;
    if (n_chunks < 2 * LOOK_EVERY)
        return 1;
    return (chunk + f->marks->run) % LOOK_EVERY == 0 ? LOOK_EVERY : 0;
}

static void run_chunk(void *arg, size_t i, size_t chunk, unsigned rank)
{
    struct forward *f = arg;
    const struct phase *phase = f->plan[f->phases[i]].phase;
    size_t layer = f->plan[f->phases[i]].layer;
    size_t n_items = phase->items(f, layer), n_chunks = f->n_chunks[i];
    struct range r = {n_items * chunk / n_chunks, n_items * (chunk + 1) / n_chunks};
    f->own[rank].phase = i;
    f->own[rank].weight = look_weight(f, n_chunks, chunk);
    phase->run(f, layer, r, rank);
}

static void clear_out_of_range(struct forward *f)
{
    if (atomic_load_explicit(&f->n_out_of_range, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&f->n_out_of_range, 0, memory_order_relaxed);
    for (size_t t = 0; t < f->max_rows; t++)
        atomic_store_explicit(&f->out_of_range[t], 0, memory_order_relaxed);
}

static void list_wanted(struct forward *f)
{
    f->n_wanted = f->n_logits = f->n_vectors = 0;
    for (size_t t = 0; t < f->n_rows; t++) {
        const struct row *row = &f->rows[t];
        if (!row->wants_logits && !row->wants_vector)
            continue;
        if (row->wants_logits)
            f->logits_of[f->n_logits++] = (uint32_t)f->n_wanted;
        if (row->wants_vector)
            f->vectors_of[f->n_vectors++] = (uint32_t)f->n_wanted;
        f->wanted[f->n_wanted++] = (uint32_t)t;
    }
}

void forward_run(struct forward *f, const struct row *rows, size_t n_rows)
{
    clear_out_of_range(f);
    f->rows = rows;
    f->n_rows = n_rows;
    list_wanted(f);
    delta_plan(f);
    attention_plan(f->attention, rows, n_rows, f->wanted, f->n_wanted);
    experts_begin(f->experts);
    const size_t threads = team_active(f->team);
    const size_t max_chunks = threads == 1 ? 1 : threads * THREAD_CHUNKS;
    f->n_phases = 0;
    for (size_t i = 0; i < f->n_plan; i++) {
        size_t n_items = f->plan[i].phase->items(f, f->plan[i].layer);
        if (n_items == 0)
            continue;
        f->phases[f->n_phases] = (uint32_t)i;
        f->n_chunks[f->n_phases++] = (uint32_t)(n_items < max_chunks ? n_items : max_chunks);
    }
    for (size_t rank = 0; rank < threads; rank++)
        f->own[rank].made = f->n_plan; /* none */
    team_set_marks(f->team, f->marks);
    team_run(f->team, &(struct team_work){run_chunk, f, f->n_chunks, f->n_phases});
    team_set_marks(f->team, NULL);
}
