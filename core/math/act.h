/* act.h - the memory of activations (struct act): one place that knows how their rows are padded.
 *
 * Pure but for the arena, which is the caller's.
 */
#pragma once

#include "base/arena.h"
#include "math/kernels.h"

/* Room for n_rows rows of n_cols in every format, from an arena; from one without memory it only
 * measures (arena_carve). */
void act_carve(struct act *act, struct arena *arena, size_t n_rows, size_t n_cols);

/* The rows from t on. */
struct act act_from(const struct act *act, size_t t);

/* Row t of src in one format becomes row i of dst, which is as wide. */
void act_copy_row(const struct act *dst, size_t i, const struct act *src, size_t t,
                  enum act_format format);
