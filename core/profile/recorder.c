/* recorder.c - marks to sums.
 *
 * A step is cut into its phases without gaps: a phase lasts from the first thread's arrival to the
 * first arrival at the next one, which comes when all of it is done. What the threads' marks do not
 * fill of that is waiting; a thread that comes when others have done all has nothing to fill.
 * The lock guards the record; a worker holds it from a step's description to its end, so that
 * a reader of the record finds whole steps.
 */
#include "profile/recorder.h"

#include "base/alloc_count.h"
#include "base/arena.h"
#include "base/ticks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVERY_MAX = 64,
    EVERY_MAX_WANTED = 4, /* a request may have few steps */
    MEAN_OF = 16,         /* steps, about */
    CHOICES = 64,         /* then it stays: one that followed the steps would prefer slow ones */
};

struct cut {
    uint64_t ticks;
    uint32_t allocated; /* differences count, modulo 2^32 */
};

struct recorder {
    pthread_mutex_t lock;
    struct record *record; /* under the lock */
    _Atomic bool on;       /* written under the lock */
    _Atomic unsigned every;

    /* the worker's */
    ticks_fn *clock;
    struct team_marks forward, mask, sample;
    struct arena arena; /* of the marks */
    bool active, recording, locked, timed;
    uint64_t begin_ns, last_end_ns;
    uint64_t begin_calls; /* alloc_count() */
    struct cut begin, cuts[RECORDER_CUTS];
    uint64_t skip, n_every; /* steps still to pass over; one in so many is recorded */
    unsigned n_choices;     /* of n_every, since the recorder was last passive */
    uint64_t drawn;         /* state of the generator of skips */
    double mean_ns;         /* of a step */
    double scale;           /* ns of a tick, in this step */
    double thread_scale;    /* the same by the number of threads */
    enum record_kind kind;
    const uint32_t *phases; /* [n_phases] borrowed: what the marks are of */
    size_t n_phases;
    uint32_t n_rows, n_sequences;
    struct step_times times;
};

/* Twice: with an arena that only measures, and with its memory. */
static void carve_marks(struct recorder *r, const struct record_shape *shape)
{
    r->mask = r->sample = (struct team_marks){.clock = r->clock, .stride = 1};
    r->forward = (struct team_marks){.clock = r->clock, .stride = shape->n_phases};
    r->mask.marks = arena_carve(&r->arena, shape->n_threads, sizeof(struct team_mark));
    r->sample.marks = arena_carve(&r->arena, shape->n_threads, sizeof(struct team_mark));
    r->forward.marks =
        arena_carve(&r->arena, shape->n_threads * shape->n_phases, sizeof(struct team_mark));
}

enum status recorder_create(struct recorder **out, const struct record_shape *shape,
                            size_t line_bytes, struct error *err)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_no_memory(err, sizeof *r, "a profile");
    pthread_mutex_init(&r->lock, NULL);
    r->clock = ticks_clock();
    carve_marks(r, shape); /* measures */
    const size_t n_bytes = r->arena.n_used;
    r->arena = (struct arena){0};
    enum status status = arena_init(&r->arena, n_bytes, "a profile", err);
    if (status == STATUS_OK)
        status = record_create(&r->record, shape, line_bytes, err);
    if (status != STATUS_OK) {
        recorder_destroy(r);
        return status;
    }
    carve_marks(r, shape);
    *out = r;
    return STATUS_OK;
}

void recorder_destroy(struct recorder *r)
{
    if (r == NULL)
        return;
    record_destroy(r->record);
    pthread_mutex_destroy(&r->lock);
    arena_free(&r->arena);
    free(r);
}

size_t recorder_bytes(const struct recorder *r)
{
    return r->record->arena.n_bytes + r->arena.n_bytes;
}

/* --- any thread --- */

void recorder_start(struct recorder *r, const struct record_options *options)
{
    /* While it is off no thread writes to the record: no worker waits for these pages. */
    if (!atomic_load_explicit(&r->on, memory_order_acquire))
        record_touch(r->record);
    pthread_mutex_lock(&r->lock);
    record_reset(r->record, ticks_monotonic());
    atomic_store_explicit(&r->every, options->every, memory_order_relaxed);
    atomic_store_explicit(&r->on, true, memory_order_release);
    pthread_mutex_unlock(&r->lock);
}

void recorder_stop(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    if (atomic_load_explicit(&r->on, memory_order_relaxed))
        r->record->totals.end_ns = ticks_monotonic();
    atomic_store_explicit(&r->on, false, memory_order_release);
    pthread_mutex_unlock(&r->lock);
}

enum status recorder_take(struct recorder *r, struct record **out, struct error *err)
{
    pthread_mutex_lock(&r->lock);
    if (atomic_load_explicit(&r->on, memory_order_relaxed))
        r->record->totals.end_ns = ticks_monotonic();
    enum status status = record_copy(out, r->record, err);
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* --- a step --- */

static struct cut cut_now(const struct recorder *r)
{
    return (struct cut){r->clock(), (uint32_t)alloc_bytes()};
}

/* One step in so many, from how long steps are on the average. */
static uint64_t choose_every(const struct recorder *r)
{
    if (r->mean_ns <= 0 || r->mean_ns >= (double)RECORD_SHORT_NS)
        return 1;
    uint64_t n = (uint64_t)((double)RECORD_SHORT_NS / r->mean_ns) + 1;
    return n < EVERY_MAX ? n : EVERY_MAX;
}

/* Steps to pass over until the next one is recorded: so many on the average, drawn, since traffic,
 * and the clients that a step wakes, have strides of their own. */
static void choose_skip(struct recorder *r, bool on)
{
    const unsigned every = atomic_load_explicit(&r->every, memory_order_relaxed);
    if (on && every > 0) {
        r->n_every = every;
    } else if (r->n_choices < CHOICES) {
        r->n_choices++;
        r->n_every = choose_every(r);
        if (!on && r->n_every > EVERY_MAX_WANTED)
            r->n_every = EVERY_MAX_WANTED;
    }
    r->drawn = r->drawn * 6364136223846793005u + 1442695040888963407u;
    r->skip = (r->drawn >> 32) % (2 * r->n_every - 1);
}

void recorder_begin(struct recorder *r, enum recorder_wish wish)
{
    bool on = atomic_load_explicit(&r->on, memory_order_acquire);
    r->active = on || wish != WISH_NONE;
    r->recording = r->timed = false;
    if (__builtin_expect(!r->active, true)) {
        r->last_end_ns = 0;
        r->skip = r->n_choices = 0;
        return;
    }
    r->begin_ns = ticks_monotonic();
    r->recording = r->skip == 0 || wish == WISH_THIS;
    if (!r->recording) {
        r->skip--;
        return;
    }
    choose_skip(r, on);
    r->forward.run = r->mask.run = r->sample.run = r->forward.run + 1;
    r->cuts[CUT_MASK] = (struct cut){0};
    r->begin_calls = alloc_count();
    r->begin = cut_now(r);
}

bool recorder_is_active(const struct recorder *r)
{
    return r->active;
}

bool recorder_is_recording(const struct recorder *r)
{
    return r->recording;
}

void recorder_cut(struct recorder *r, enum recorder_cut cut)
{
    if (__builtin_expect(r->recording, false))
        r->cuts[cut] = cut_now(r);
}

const struct team_marks *recorder_forward_marks(const struct recorder *r)
{
    return r->recording ? &r->forward : NULL;
}

const struct team_marks *recorder_mask_marks(const struct recorder *r)
{
    return r->recording ? &r->mask : NULL;
}

const struct team_marks *recorder_sample_marks(const struct recorder *r)
{
    return r->recording ? &r->sample : NULL;
}

/* --- the fold --- */

struct portion {        /* of a step, given to one scope */
    double total, busy; /* ns */
    uint32_t allocated;
    bool ran;
};

static void add_to_cell(struct record_cell *cell, const struct portion *p)
{
    if (p->ran) {
        double min = cell->n > 0 ? cell->min : p->total;
        cell->min = p->total < min ? p->total : min; /* as one instruction: no branch to guess */
        cell->max = p->total > cell->max ? p->total : cell->max;
    }
    cell->n += p->ran;
    cell->total += p->total;
    cell->busy += p->busy;
    cell->allocated += p->allocated;
}

/* Counter ticks of this step in ns: signed, which converts in one instruction. */
static double in_ns(const struct recorder *r, uint64_t ticks)
{
    return (double)(int64_t)ticks * r->scale;
}

/* To the step's own sums, and to the record when it is being made. */
static void give(struct recorder *r, size_t layer, enum scope scope, const struct portion *p)
{
    r->times.total[scope] += p->total;
    r->times.waiting += p->total - p->busy;
    if (!r->locked)
        return;
    add_to_cell(record_cell(r->record, r->kind, layer, scope), p);
    if (p->ran)
        record_histogram(r->record, r->kind,
                         scope)[histogram_bucket((uint64_t)(int64_t)p->total)]++;
}

/* A thread that did not come to a phase has left its mark of an earlier step there. */
static bool is_of_step(const struct recorder *r, const struct team_mark *mark)
{
    return mark->run == r->forward.run;
}

static uint64_t mark_ticks(const struct recorder *r, const struct team_mark *mark)
{
    return is_of_step(r, mark) ? mark->end - mark->begin : 0;
}

/* A span in which the leader worked alone, or its team with marks of its own. */
static void give_section(struct recorder *r, enum scope scope, struct cut begin, struct cut end,
                         const struct team_mark *marks)
{
    const struct record_shape *shape = &r->record->shape;
    const bool by_team = marks != NULL && is_of_step(r, marks);
    double busy = 0;
    for (unsigned rank = 0; rank < shape->n_threads; rank++) {
        uint64_t ticks = by_team     ? mark_ticks(r, &marks[rank])
                         : rank == 0 ? end.ticks - begin.ticks
                                     : 0;
        busy += in_ns(r, ticks);
    }
    give(r, shape->n_layers, scope,
         &(struct portion){.total = in_ns(r, end.ticks - begin.ticks),
                           .busy = busy / shape->n_threads,
                           .allocated = end.allocated - begin.allocated,
                           .ran = true});
}

/* The threads' work on a phase, ticks of all threads: between two ticks, and what of it each part
 * had. */
struct phase_ticks {
    uint64_t busy, parts[TEAM_PARTS];
};

static struct phase_ticks sum_marks(struct recorder *r, size_t phase, uint64_t begin, uint64_t end)
{
    const struct record_shape *shape = &r->record->shape;
    struct phase_ticks sum = {0};
    for (unsigned rank = 0; rank < shape->n_threads; rank++) {
        const struct team_mark *mark = team_mark_at(&r->forward, rank, phase);
        uint64_t from = mark->begin > begin ? mark->begin : begin;
        uint64_t to = mark->end < end ? mark->end : end;
        if (!is_of_step(r, mark))
            continue;
        for (size_t i = 0; i < TEAM_PARTS; i++)
            sum.parts[i] += mark->parts[i];
        sum.busy += to > from ? to - from : 0;
    }
    return sum;
}

/* The scope and layer of the step's i-th phase. */
static const struct scope_phase *phase_at(const struct recorder *r, size_t i)
{
    return &r->record->shape.phases[r->phases[i]];
}

/* A part without a tick was done elsewhere: a phase of its own has it. */
static void fold_phase(struct recorder *r, size_t phase, struct cut begin, struct cut end)
{
    const struct scope_phase *p = phase_at(r, phase);
    const struct phase_ticks sum = sum_marks(r, phase, begin.ticks, end.ticks);
    uint64_t left = sum.busy; /* by what is not set apart */
    double parts = 0;
    for (size_t i = 0; i < TEAM_PARTS; i++) {
        if (p->parts[i] == SCOPES || sum.parts[i] == 0)
            continue;
        uint64_t ticks = sum.parts[i] < left ? sum.parts[i] : left;
        double part = (double)(int64_t)ticks * r->thread_scale;
        give(r, p->layer, p->parts[i], &(struct portion){part, part, 0, true});
        parts += part;
        left -= ticks;
    }
    double wall = in_ns(r, end.ticks - begin.ticks) - parts;
    give(r, p->layer, p->scope,
         &(struct portion){wall, (double)(int64_t)left * r->thread_scale,
                           end.allocated - begin.allocated, true});
    if (p->matrix < SCOPE_NONE)
        r->times.matrix[p->matrix] += wall;
}

/* The first arrival at a phase; after the last one: the pass's end. */
static struct cut arrival(const struct recorder *r, size_t phase)
{
    struct cut first = r->cuts[CUT_FORWARD];
    if (phase == r->n_phases)
        return first;
    for (unsigned rank = 0; rank < r->record->shape.n_threads; rank++) {
        const struct team_mark *mark = team_mark_at(&r->forward, rank, phase);
        if (is_of_step(r, mark) && mark->begin < first.ticks)
            first = (struct cut){mark->begin, mark->allocated};
    }
    return first;
}

static void fold_forward(struct recorder *r)
{
    const size_t n = r->n_phases, n_layers = r->record->shape.n_layers;
    struct cut begin = arrival(r, 0), of_layer = begin;
    for (size_t i = 0; i < n; i++) {
        const size_t layer = phase_at(r, i)->layer;
        struct cut end = arrival(r, i + 1);
        if (end.ticks < begin.ticks)
            end.ticks = begin.ticks; /* two processors' counters may be some ticks apart */
        fold_phase(r, i, begin, end);
        begin = end;
        if (i + 1 < n && phase_at(r, i + 1)->layer == layer)
            continue;
        if (r->locked && layer < n_layers)
            add_to_cell(record_cell(r->record, r->kind, layer, SCOPES),
                        &(struct portion){in_ns(r, end.ticks - of_layer.ticks), 0,
                                          end.allocated - of_layer.allocated, true});
        of_layer = end;
    }
}

/* --- the first steps in detail --- */

static uint32_t since_begin(const struct recorder *r, uint64_t ticks)
{
    double ns = ticks > r->begin.ticks ? in_ns(r, ticks - r->begin.ticks) : 0;
    return ns < (double)UINT32_MAX ? (uint32_t)(int64_t)ns : UINT32_MAX;
}

static void keep_line(struct recorder *r)
{
    struct record *record = r->record;
    const struct record_shape *shape = &record->shape;
    if (record->totals.n_lines == record->max_lines)
        return;
    struct record_line *line = &record->lines[record->totals.n_lines];
    struct record_span *spans =
        record->spans + record->totals.n_lines * shape->n_threads * shape->n_phases;
    memset(spans, 0, shape->n_threads * shape->n_phases * sizeof *spans);
    for (unsigned rank = 0; rank < shape->n_threads; rank++, spans += shape->n_phases) {
        for (size_t i = 0; i < r->n_phases; i++) {
            const struct team_mark *mark = team_mark_at(&r->forward, rank, i);
            if (is_of_step(r, mark))
                spans[r->phases[i]] =
                    (struct record_span){since_begin(r, mark->begin), since_begin(r, mark->end)};
        }
    }
    *line = (struct record_line){.begin_ns = r->begin_ns - record->totals.begin_ns,
                                 .kind = r->kind,
                                 .n_rows = r->n_rows,
                                 .n_sequences = r->n_sequences};
}

/* --- */

static void count_seen(struct recorder *r, const struct record_work *work)
{
    struct record_totals *totals = &r->record->totals;
    struct record_steps *steps = &totals->steps[r->kind];
    steps->n_seen++;
    record_work_add(&steps->seen_work, work);
    if (r->last_end_ns > totals->begin_ns)
        totals->idle_ns += (double)(r->begin_ns - r->last_end_ns);
    if (!r->recording)
        return;
    steps->n_recorded++;
    record_work_add(&steps->work, work);
    if (totals->every_min == 0 || r->n_every < totals->every_min)
        totals->every_min = r->n_every;
    if (r->n_every > totals->every_max)
        totals->every_max = r->n_every;
}

void recorder_describe(struct recorder *r, const struct recorder_step *step)
{
    r->kind = step->kind;
    r->phases = step->phases;
    r->n_phases = step->n_phases;
    r->n_rows = (uint32_t)step->work->n_rows;
    r->n_sequences = (uint32_t)step->work->n_sequences;
    pthread_mutex_lock(&r->lock);
    /* A step that began before the record did belongs to none. */
    r->locked = atomic_load_explicit(&r->on, memory_order_relaxed) &&
                r->begin_ns >= r->record->totals.begin_ns;
    if (!r->locked)
        pthread_mutex_unlock(&r->lock);
    else
        count_seen(r, step->work);
    if (!r->recording)
        return;
    uint64_t ticks = r->clock() - r->begin.ticks;
    r->scale = ticks > 0 ? (double)(ticks_monotonic() - r->begin_ns) / (double)ticks : 0;
    r->thread_scale = r->scale / r->record->shape.n_threads;
    r->times = (struct step_times){.wall = 0};
}

void recorder_fold(struct recorder *r)
{
    give_section(r, SCOPE_SCHEDULE, r->begin, arrival(r, 0), NULL);
    fold_forward(r);
    if (r->locked)
        keep_line(r);
}

static bool has_masks(const struct recorder *r)
{
    return r->cuts[CUT_MASK].ticks != 0;
}

/* When the draws began. */
static struct cut masked(const struct recorder *r)
{
    return r->cuts[has_masks(r) ? CUT_MASK : CUT_DESCRIBE];
}

const struct step_times *recorder_times(struct recorder *r)
{
    if (!r->timed) {
        if (has_masks(r))
            give_section(r, SCOPE_MASK, r->cuts[CUT_DESCRIBE], r->cuts[CUT_MASK], r->mask.marks);
        give_section(r, SCOPE_SAMPLE, masked(r), r->cuts[CUT_SAMPLE], r->sample.marks);
        give_section(r, SCOPE_TEXT, r->cuts[CUT_SAMPLE], r->cuts[CUT_TEXT], NULL);
        /* The record has the recorder's own in one, at the end. */
        r->times.total[SCOPE_RECORD] =
            in_ns(r, r->cuts[CUT_DESCRIBE].ticks - r->cuts[CUT_FORWARD].ticks);
        r->times.wall = in_ns(r, r->cuts[CUT_TEXT].ticks - r->begin.ticks);
    }
    r->timed = true;
    return &r->times;
}

/* The step's line is complete but for what only the leader did. wall: by the clock that says when
 * the next one begins, so that none reaches into another. */
static void end_line(struct recorder *r, struct cut end, double wall)
{
    struct record *record = r->record;
    if (record->totals.n_lines == record->max_lines || wall >= (double)UINT32_MAX)
        return; /* no room, or longer than a span can say: four seconds */
    struct record_line *line = &record->lines[record->totals.n_lines++];
    const uint64_t borders[RECORD_SECTIONS][2] = {
        {r->begin.ticks, arrival(r, 0).ticks},
        {r->cuts[CUT_FORWARD].ticks, r->cuts[CUT_DESCRIBE].ticks},
        {r->cuts[CUT_DESCRIBE].ticks, masked(r).ticks},
        {masked(r).ticks, r->cuts[CUT_SAMPLE].ticks},
        {r->cuts[CUT_SAMPLE].ticks, r->cuts[CUT_TEXT].ticks},
        {r->cuts[CUT_TEXT].ticks, r->cuts[CUT_RECORD].ticks},
        {r->cuts[CUT_RECORD].ticks, r->cuts[CUT_PUBLISH].ticks},
        {r->cuts[CUT_PUBLISH].ticks, end.ticks},
    };
    for (int i = 0; i < RECORD_SECTIONS; i++)
        line->sections[i] =
            (struct record_span){since_begin(r, borders[i][0]), since_begin(r, borders[i][1])};
    line->wall_ns = (uint32_t)wall;
    struct record_span *last = &line->sections[RECORD_SECTIONS - 1];
    last->end = last->end < line->wall_ns ? last->end : line->wall_ns;
}

static void add_span(struct cut *sum, struct cut begin, struct cut end)
{
    sum->ticks += end.ticks - begin.ticks;
    sum->allocated += end.allocated - begin.allocated;
}

/* The sections after the fold, and the step as a whole. */
static void end_record(struct recorder *r, uint64_t end_ns)
{
    struct record *record = r->record;
    struct record_totals *totals = &record->totals;
    struct record_steps *steps = &totals->steps[r->kind];
    double wall = (double)(end_ns - r->begin_ns);
    steps->seen_ns += wall;
    if (r->kind == RECORD_DECODE && totals->n_series < RECORD_SERIES && wall < 2e9)
        record->series[totals->n_series++] = (uint32_t)wall << 1 | (r->recording ? 1u : 0u);
    if (!r->recording)
        return;
    const struct cut end = cut_now(r), *cuts = r->cuts;
    struct cut own = {0};
    add_span(&own, cuts[CUT_FORWARD], cuts[CUT_DESCRIBE]);
    add_span(&own, cuts[CUT_TEXT], cuts[CUT_RECORD]);
    add_span(&own, cuts[CUT_PUBLISH], end);
    recorder_times(r);
    give_section(r, SCOPE_RECORD, (struct cut){0}, own, NULL);
    give_section(r, SCOPE_PUBLISH, cuts[CUT_RECORD], cuts[CUT_PUBLISH], NULL);
    struct portion step = {in_ns(r, end.ticks - r->begin.ticks), 0,
                           end.allocated - r->begin.allocated, true};
    add_to_cell(record_cell(record, r->kind, record->shape.n_layers, SCOPES), &step);
    record_histogram(record, r->kind, SCOPES)[histogram_bucket((uint64_t)step.total)]++;
    totals->allocated += step.allocated;
    totals->allocations += alloc_count() - r->begin_calls;
    end_line(r, end, wall);
}

void recorder_end(struct recorder *r)
{
    if (__builtin_expect(!r->active, true))
        return;
    uint64_t end_ns = ticks_monotonic();
    double wall = (double)(end_ns - r->begin_ns);
    r->mean_ns += r->mean_ns > 0 ? (wall - r->mean_ns) / (double)MEAN_OF : wall;
    if (r->locked) {
        end_record(r, end_ns);
        r->locked = false;
        pthread_mutex_unlock(&r->lock);
    }
    r->last_end_ns = end_ns;
}
