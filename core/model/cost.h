/* cost.h - what each part of a step must move and compute, by the model's shapes.
 *
 * Packed weights, the cache's type, rounded activations: what a step cannot do without, wherever it
 * is read from. Pure functions of the model and of sums over steps; any thread.
 */
#pragma once

#include "math/kernels.h"
#include "model/model.h"
#include "profile/record.h"

/* One scope of one layer (n_layers: of none), for all the steps that work sums up; nothing where
 * the scope does not belong there. */
void cost_of(struct record_cost *out, const struct model *model, enum kv_type kv, enum scope scope,
             size_t layer, const struct record_work *work);

/* How many experts of a layer n_rows rows go to, taken to go to any with the same likelihood. */
double cost_experts_met(const struct routing *routing, size_t n_rows);

/* What a step of 1, 2, 4, ... rows reads, of what one row's reads: rows go to experts of their own.
 * out: [n_classes]; all 1 without experts. */
void cost_growth(double *out, size_t n_classes, const struct model *model);

/* The weight type that a scope multiplies by in that layer: SCOPE_MIXED: several; SCOPE_NONE: it is
 * not a product, or not there. */
unsigned cost_matrix_type(const struct model *model, enum scope scope, size_t layer);

/* Both for a whole record: costs [RECORD_KINDS][n_layers + 1][SCOPES] of its recorded work,
 * matrices [n_layers + 1][SCOPES]. */
void cost_of_record(const struct model *model, enum kv_type kv, const struct record *record,
                    struct record_cost *costs, unsigned *matrices);
