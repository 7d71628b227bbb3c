/* quantize.h - a GGUF file in another weight type.
 *
 * Metadata is taken over byte for byte, the alignment too (but for general.file_type and
 * general.quantization_version), matrices are rounded with encode.h to the types that
 * mix.h chooses, vectors and learned positions stay as they are. Called by one thread;
 * computes on a team of its own. Never prints.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called after each tensor; bytes of the source. */
typedef void quantize_progress(void *ctx, const char *tensor, uint64_t n_done, uint64_t n_total);

struct quantize_job {
    const char *in, *out;
    const char *type; /* "Q4_0", "Q4_K_M", ... */
    unsigned n_threads;
    bool force;                  /* overwrite out; it must not be in's file */
    quantize_progress *progress; /* may be NULL */
    void *ctx;
};

struct quantize_result {
    uint64_t in_bytes, out_bytes;
    size_t n_quantized, n_kept,
        n_fallback; /* tensors; fallback: too narrow for the type asked for */
};

/* The new file gets its name when it is whole. STATUS_INVALID: an unknown type (param "TYPE"; names
 * those there are), out exists; STATUS_IO, STATUS_FORMAT, STATUS_NO_MEMORY. */
enum status quantize_file(const struct quantize_job *job, struct quantize_result *out,
                          struct error *err);
