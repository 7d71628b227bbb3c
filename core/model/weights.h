/* weights.h - whether a file's weights are finite numbers. A NaN or an infinity in one of them
 * spoils every answer that touches it, so such a file is refused by tensor and row.
 *
 * The loader looks at each row while it packs it; this is what it says, and the same look without
 * packing, for `inspect`. Called by one thread; the whole file's check computes on a team.
 */
#pragma once

#include "base/error.h"
#include "gguf/gguf.h"

#include <stddef.h>
#include <stdint.h>

/* STATUS_FORMAT, the tensor as param: names the row of a matrix, the value of a vector. The tensor
 * is fetched. */
enum status weights_refuse(const struct gguf_tensor *tensor, size_t row, struct error *err);

/* Every row of a fetched tensor. */
enum status weights_check_tensor(const struct gguf_tensor *tensor, struct error *err);

/* The type that most values of the file's matrices are in; WEIGHT_TYPES: it has none. */
size_t weights_main_type(const struct gguf *gguf);

/* Called after each tensor; bytes of the tensors' data. */
typedef void weights_progress(void *ctx, const char *tensor, uint64_t n_done, uint64_t n_total);

/* Every tensor of the file in its order, each fetched and released. progress may be NULL.
 * STATUS_FORMAT as above, STATUS_IO, STATUS_NO_MEMORY. */
enum status weights_check(const struct gguf *gguf, unsigned n_threads, weights_progress *progress,
                          void *ctx, struct error *err);
