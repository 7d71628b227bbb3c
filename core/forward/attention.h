/* attention.h - which rows attend to what in a step, and their attention.
 *
 * Tasks are (tile, KV head) pairs; a tile is a row, or several rows that follow each other in one
 * sequence and then share every read of its keys and values. Where tasks are too few to occupy the
 * team, their spans of positions are shared out as well and merged in a phase of their own: the
 * same numbers merged in the same order. Part of a worker's forward pass; its team's threads run
 * tasks side by side, each writing only its own rows and its own scratch memory. Knows nothing of
 * projections or phases.
 */
#pragma once

#include "base/error.h"
#include "forward/batch.h"
#include "forward/kv.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

struct attention;

/* max_rows: of one step. Model, kernels and kv are borrowed. STATUS_NO_MEMORY. */
enum status attention_create(struct attention **out, const struct model *model,
                             const struct kernels *kernels, const struct kv *kv, unsigned n_threads,
                             size_t max_rows, struct error *err);
void attention_destroy(struct attention *attention); /* takes NULL */
size_t attention_bytes(const struct attention *attention);

/* Before a step. wanted: the rows that go on after the last layer's keys and values, ascending.
 * Both are borrowed until the next plan. */
void attention_plan(struct attention *attention, const struct row *rows, size_t n_rows,
                    const uint32_t *wanted, size_t n_wanted);

/* Items of the two phases; last: of the last layer, whose rows are the wanted ones. */
size_t attention_items(const struct attention *attention, bool last);
size_t attention_merge_items(const struct attention *attention, bool last);

/* Whether an item is a row with one of its KV heads, and no other item of the step needs that key
 * and value: then the thread that does the item may store them just before. And that item's row. */
bool attention_is_by_row(const struct attention *attention);
size_t attention_item_row(const struct attention *attention, size_t item, size_t *kv_head);

/* One layer's queries and where its attended values go. */
struct attention_layer {
    size_t layer;
    bool last;
    const float *q; /* [T][q_stride]: of all rows, rotated and scaled */
    size_t q_stride;
    const float *sinks; /* [H]: scores that only join the sum; NULL: none */
    const float *gate; /* [T][gate_stride]: values are multiplied by its sigmoid; NULL: they stay */
    size_t gate_stride;
    float *out; /* [rows that go on][out_stride] */
    size_t out_stride;
};

/* Items [begin, end) of each phase; rank: the thread's. */
void attention_run(struct attention *attention, const struct attention_layer *l, size_t begin,
                   size_t end, unsigned rank);
void attention_merge(const struct attention *attention, const struct attention_layer *l,
                     size_t begin, size_t end);
