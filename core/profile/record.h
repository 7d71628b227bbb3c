/* record.h - where the steps of one worker have spent their time: what a recorder has gathered.
 *
 * Time is that of the whole team: a scope's busy time is its threads' time divided by their number,
 * its total adds the time in which threads had nothing to do while others worked on it. So the
 * totals of all scopes add up to the steps' wall time, on any number of threads. A step's
 * kind is what it did: decoding, reading prompts, or both at once. Plain data; one owner. Knows
 * nothing of models.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "profile/histogram.h"
#include "profile/scope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_kind { RECORD_DECODE, RECORD_PREFILL, RECORD_MIXED, RECORD_KINDS };
extern const char *const record_kind_names[RECORD_KINDS]; /* "decode", "prefill", "mixed" */

/* The work that steps had to do: sums, from which bytes and operations follow by the model's
 * shapes. */
struct record_work {
    double n_steps, n_rows, n_wanted;
    double n_steps_wanted; /* steps in which a row wanted logits */
    double n_positions;    /* over rows: the positions that each sees */
    double n_kv_blocks;    /* over sequences: blocks of KV_PAGE positions that its last row sees */
    double n_positions_wanted, n_kv_blocks_wanted; /* the same of the rows that want logits */
    /* The same four of layers with a window. */
    double n_window_positions, n_window_blocks, n_window_positions_wanted, n_window_blocks_wanted;
    double n_sampled;
    double n_sequences; /* with a row */
    double n_experts;   /* over steps: to how many rows went, the mean of the layers with some */
    double n_experts_wanted; /* the same of the last layer */
};

/* The cost of that in one scope. Bytes count each operand once a step, as the kernels keep it;
 * operations count a multiply-add as two. */
struct record_cost {
    double weight_bytes; /* of matrices */
    double kv_bytes;     /* of the cache, read and written */
    double other_bytes;  /* activations, norms, logits */
    double ops;
};

static inline double record_cost_bytes(const struct record_cost *cost)
{
    return cost->weight_bytes + cost->kv_bytes + cost->other_bytes;
}

static inline void record_cost_add(struct record_cost *to, const struct record_cost *from)
{
    to->weight_bytes += from->weight_bytes;
    to->kv_bytes += from->kv_bytes;
    to->other_bytes += from->other_bytes;
    to->ops += from->ops;
}

struct record_cell { /* one scope of one layer in one kind of step; ns */
    uint64_t n;      /* times that it ran */
    double total, busy;
    double min, max;    /* of one total */
    uint64_t allocated; /* bytes asked of the heap meanwhile, by any compute thread */
};

struct record_steps { /* of one kind */
    uint64_t n_seen;  /* steps; n_recorded of them are recorded */
    uint64_t n_recorded;
    double seen_ns;
    struct record_work work, seen_work; /* of the recorded ones; of all */
};

/* --- the first steps in detail --- */

struct record_span { /* ns since the step's begin; end 0: never */
    uint32_t begin, end;
};

enum { RECORD_SECTIONS = 8 }; /* the leader's, in their order: see record_sections */

struct record_line {   /* one step */
    uint64_t begin_ns; /* since the record's begin */
    uint32_t wall_ns;
    uint32_t n_rows, n_sequences;
    enum record_kind kind;
    struct record_span sections[RECORD_SECTIONS];
};
extern const enum scope record_sections[RECORD_SECTIONS];

struct record_shape {
    const struct scope_phase *phases; /* [n_phases] */
    size_t n_phases, n_layers;
    unsigned n_threads;
};

/* Steps shorter than this are recorded one in so many that the recorder's share stays as small as
 * it is for longer ones. */
enum { RECORD_SHORT_NS = 200000 };

enum { RECORD_SERIES = 4096 }; /* steps whose wall time is kept one by one */

struct record_totals {
    uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC: what it covers */
    struct record_steps steps[RECORD_KINDS];
    double idle_ns;                  /* between steps */
    uint64_t every_min, every_max;   /* one step in so many was recorded; 0: none was */
    uint64_t allocated, allocations; /* bytes and calls in recorded steps */
    size_t n_lines, n_series;
};

struct record {
    struct record_shape shape;
    struct scope_phase *phases; /* of shape, owned */
    struct record_totals totals;
    struct record_cell *cells; /* [RECORD_KINDS][n_layers + 1][SCOPES + 1]: see record_cell */
    uint32_t *histograms;      /* [RECORD_KINDS][SCOPES + 1][HISTOGRAM_BUCKETS] */
    uint32_t *series;          /* [RECORD_SERIES]: ns of decoding steps, shifted left by one, the
                                  lowest bit says whether it was recorded */
    struct record_line *lines; /* [max_lines] */
    struct record_span *spans; /* [max_lines][n_threads][n_phases] */
    size_t max_lines;
    struct arena arena; /* owns all arrays */
    size_t n_sums;      /* bytes at its begin: what a reset clears */
};

/* line_bytes: for the steps in detail, at most. Memory is not touched before record_touch, or
 * its use.
 * STATUS_NO_MEMORY. */
enum status record_create(struct record **out, const struct record_shape *shape, size_t line_bytes,
                          struct error *err);
void record_destroy(struct record *record); /* takes NULL */
/* Takes the memory's pages now: in a step they would be a part of its time. */
void record_touch(struct record *record);
void record_reset(struct record *record, uint64_t begin_ns);
/* A copy, with no room for more lines than there are. STATUS_NO_MEMORY. */
enum status record_copy(struct record **out, const struct record *record, struct error *err);
/* Adds what another one gathered, of the same shape or of one that differs in threads; lines and
 * series stay. */
void record_add(struct record *to, const struct record *from);

/* Where only some steps were recorded: the sums of each kind become those of all its steps, by
 * their number and wall time; its smallest and largest values and histograms stay. Done twice it
 * changes nothing. */
void record_extrapolate(struct record *record);

/* layer n_layers: what belongs to none. scope SCOPES: the layer as a whole; of no layer: the step.
 */
static inline struct record_cell *record_cell(const struct record *r, enum record_kind kind,
                                              size_t layer, size_t scope)
{
    return r->cells + ((size_t)kind * (r->shape.n_layers + 1) + layer) * (SCOPES + 1) + scope;
}

static inline uint32_t *record_histogram(const struct record *r, enum record_kind kind,
                                         size_t scope)
{
    return r->histograms + ((size_t)kind * (SCOPES + 1) + scope) * HISTOGRAM_BUCKETS;
}

void record_cell_add(struct record_cell *to, const struct record_cell *from);
void record_work_add(struct record_work *to, const struct record_work *from);
