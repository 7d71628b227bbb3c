/* record.c - a record's memory: one arena, carved once. One owner. */
#include "profile/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const record_kind_names[RECORD_KINDS] = {
    [RECORD_DECODE] = "decode", [RECORD_PREFILL] = "prefill", [RECORD_MIXED] = "mixed"};

const enum scope record_sections[RECORD_SECTIONS] = {SCOPE_SCHEDULE, SCOPE_RECORD, SCOPE_MASK,
                                                     SCOPE_SAMPLE,   SCOPE_TEXT,   SCOPE_RECORD,
                                                     SCOPE_PUBLISH,  SCOPE_RECORD};

/* --- memory --- */

/* Twice: with an arena that only measures, and with its memory. */
static void carve_all(struct record *r)
{
    const struct record_shape *s = &r->shape;
    struct arena *arena = &r->arena;
    r->cells =
        arena_carve(arena, RECORD_KINDS * (s->n_layers + 1) * (SCOPES + 1), sizeof *r->cells);
    r->histograms = arena_carve(arena, (size_t)RECORD_KINDS * (SCOPES + 1) * HISTOGRAM_BUCKETS,
                                sizeof *r->histograms);
    r->n_sums = arena->n_used;
    r->series = arena_carve(arena, RECORD_SERIES, sizeof *r->series);
    r->lines = arena_carve(arena, r->max_lines, sizeof *r->lines);
    r->spans = arena_carve(arena, r->max_lines * s->n_threads * s->n_phases, sizeof *r->spans);
}

static enum status create(struct record **out, const struct record_shape *shape, size_t max_lines,
                          struct error *err)
{
    struct record *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_no_memory(err, sizeof *r, "a profile");
    const size_t phase_bytes = shape->n_phases * sizeof *shape->phases;
    r->shape = *shape;
    r->max_lines = max_lines;
    carve_all(r); /* measures */
    const size_t n_bytes = r->arena.n_used;
    r->arena = (struct arena){0};
    enum status status = arena_init(&r->arena, n_bytes, "a profile", err);
    r->phases = malloc(phase_bytes);
    if (status == STATUS_OK && r->phases == NULL)
        status = error_no_memory(err, phase_bytes, "a profile");
    if (status != STATUS_OK) {
        record_destroy(r);
        return status;
    }
    r->shape.phases = memcpy(r->phases, shape->phases, phase_bytes);
    carve_all(r);
    *out = r;
    return STATUS_OK;
}

enum status record_create(struct record **out, const struct record_shape *shape, size_t line_bytes,
                          struct error *err)
{
    size_t line = sizeof(struct record_line) +
                  shape->n_threads * shape->n_phases * sizeof(struct record_span);
    return create(out, shape, line_bytes / line, err);
}

void record_destroy(struct record *r)
{
    if (r == NULL)
        return;
    arena_free(&r->arena);
    free(r->phases);
    free(r);
}

void record_touch(struct record *r)
{
    arena_touch(&r->arena, 1);
}

void record_reset(struct record *r, uint64_t begin_ns)
{
    memset(r->arena.base, 0, r->n_sums);
    r->totals = (struct record_totals){.begin_ns = begin_ns, .end_ns = begin_ns};
}

enum status record_copy(struct record **out, const struct record *r, struct error *err)
{
    struct record *copy;
    enum status status = create(&copy, &r->shape, r->totals.n_lines, err);
    if (status != STATUS_OK)
        return status;
    memcpy(copy->arena.base, r->arena.base, r->n_sums);
    copy->totals = r->totals;
    memcpy(copy->series, r->series, r->totals.n_series * sizeof *r->series);
    memcpy(copy->lines, r->lines, r->totals.n_lines * sizeof *r->lines);
    memcpy(copy->spans, r->spans,
           r->totals.n_lines * r->shape.n_threads * r->shape.n_phases * sizeof *r->spans);
    *out = copy;
    return STATUS_OK;
}

/* --- sums --- */

void record_cell_add(struct record_cell *to, const struct record_cell *from)
{
    if (from->n > 0) {
        to->min = to->n == 0 || from->min < to->min ? from->min : to->min;
        to->max = from->max > to->max ? from->max : to->max;
    }
    to->n += from->n;
    to->total += from->total;
    to->busy += from->busy;
    to->allocated += from->allocated;
}

void record_work_add(struct record_work *to, const struct record_work *from)
{
    to->n_steps += from->n_steps;
    to->n_rows += from->n_rows;
    to->n_wanted += from->n_wanted;
    to->n_steps_wanted += from->n_steps_wanted;
    to->n_positions += from->n_positions;
    to->n_kv_blocks += from->n_kv_blocks;
    to->n_positions_wanted += from->n_positions_wanted;
    to->n_kv_blocks_wanted += from->n_kv_blocks_wanted;
    to->n_window_positions += from->n_window_positions;
    to->n_window_blocks += from->n_window_blocks;
    to->n_window_positions_wanted += from->n_window_positions_wanted;
    to->n_window_blocks_wanted += from->n_window_blocks_wanted;
    to->n_sampled += from->n_sampled;
    to->n_sequences += from->n_sequences;
    to->n_experts += from->n_experts;
    to->n_experts_wanted += from->n_experts_wanted;
}

static void add_steps(struct record_steps *to, const struct record_steps *from)
{
    to->n_seen += from->n_seen;
    to->n_recorded += from->n_recorded;
    to->seen_ns += from->seen_ns;
    record_work_add(&to->work, &from->work);
    record_work_add(&to->seen_work, &from->seen_work);
}

static void add_totals(struct record_totals *to, const struct record_totals *from)
{
    to->begin_ns = from->begin_ns < to->begin_ns ? from->begin_ns : to->begin_ns;
    to->end_ns = from->end_ns > to->end_ns ? from->end_ns : to->end_ns;
    to->idle_ns += from->idle_ns;
    to->allocated += from->allocated;
    to->allocations += from->allocations;
    if (from->every_min > 0 && (to->every_min == 0 || from->every_min < to->every_min))
        to->every_min = from->every_min;
    if (from->every_max > to->every_max)
        to->every_max = from->every_max;
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        add_steps(&to->steps[kind], &from->steps[kind]);
}

void record_add(struct record *to, const struct record *from)
{
    add_totals(&to->totals, &from->totals);
    size_t n_cells = (size_t)RECORD_KINDS * (to->shape.n_layers + 1) * (SCOPES + 1);
    for (size_t i = 0; i < n_cells; i++)
        record_cell_add(&to->cells[i], &from->cells[i]);
    size_t n_counts = (size_t)RECORD_KINDS * (SCOPES + 1) * HISTOGRAM_BUCKETS;
    for (size_t i = 0; i < n_counts; i++)
        to->histograms[i] += from->histograms[i];
}

void record_extrapolate(struct record *record)
{
    const size_t n_cells = (record->shape.n_layers + 1) * (SCOPES + 1);
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        struct record_steps *steps = &record->totals.steps[kind];
        const struct record_cell all =
            *record_cell(record, (enum record_kind)kind, record->shape.n_layers, SCOPES);
        if (all.n == 0 || all.n == steps->n_seen)
            continue;
        const double calls = (double)steps->n_seen / (double)all.n;
        const double time = steps->seen_ns / all.total;
        for (size_t i = 0; i < n_cells; i++) {
            struct record_cell *cell = record_cell(record, (enum record_kind)kind, 0, 0) + i;
            cell->n = (uint64_t)llround((double)cell->n * calls);
            cell->total *= time;
            cell->busy *= time;
            cell->allocated = (uint64_t)llround((double)cell->allocated * calls);
        }
        steps->work = steps->seen_work;
    }
}
