/* experts.h - the feed-forward part of layers with experts: each row goes through a few of many.
 *
 * In phases: the rows are routed; (row, expert) pairs are sorted by expert; gate and up make each
 * pair's hidden values, down takes them back. Only the matrices of experts that have rows are read,
 * each once for all its rows. What a row gets is the sum over its experts in ascending order of
 * their numbers, whoever else is in the step; experts that every row goes through (shared ones)
 * come last. Few rows need no phases to be routed, sorted and rounded: each thread does it by
 * itself. Part of a worker's forward pass; its team's threads do items side by side. Knows nothing
 * of norms, residuals or phases' lists.
 */
#pragma once

#include "base/error.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct experts;

/* max_rows: of one step; few: up to so many rows are routed and rounded by each thread. Model and
 * kernels are borrowed. *out: NULL where no layer of the model has experts. STATUS_NO_MEMORY. */
enum status experts_create(struct experts **out, const struct model *model,
                           const struct kernels *kernels, unsigned n_threads, size_t max_rows,
                           size_t few, struct error *err);
void experts_destroy(struct experts *experts);       /* takes NULL */
size_t experts_bytes(const struct experts *experts); /* takes NULL */

void experts_begin(struct experts *experts); /* before a step; takes NULL */

/* After a step: how many experts each layer's rows went to, [n_layers]; shared ones are not
 * counted. */
const uint32_t *experts_read(const struct experts *experts);

/* What a phase of one layer works on. */
struct experts_call {
    size_t layer;
    size_t n_rows;
    const struct act *x; /* [n_rows]: normed, and rounded to what router, gate and up read; only
                            routing and expanding look at it */
};

/* Items of each phase; 0: the step goes without it. */
size_t experts_route_items(const struct experts *e, const struct experts_call *c);
size_t experts_sort_items(const struct experts *e, const struct experts_call *c);
size_t experts_expand_items(const struct experts *e, const struct experts_call *c);
size_t experts_round_items(const struct experts *e, const struct experts_call *c);
size_t experts_project_items(const struct experts *e, const struct experts_call *c);

/* Items [begin, end) of each phase; rank: the thread's. Routing's items are panels of the router
 * where rows are few, else rows, of which x needs no others. */
void experts_route(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                   unsigned rank);
void experts_sort(struct experts *e, const struct experts_call *c);
void experts_expand(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                    unsigned rank);
void experts_round(struct experts *e, const struct experts_call *c, size_t begin, size_t end);
/* Few rows' hidden values are rounded by each thread, before it projects; false: they were. */
bool experts_round_own(struct experts *e, const struct experts_call *c, unsigned rank);
/* Items are panels of n_embd: y [n_rows][y_stride] is overwritten in their columns. */
void experts_project(struct experts *e, const struct experts_call *c, size_t begin, size_t end,
                     unsigned rank, float *y, size_t y_stride);
