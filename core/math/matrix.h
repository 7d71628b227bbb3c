/* matrix.h - a weight matrix in the layout the kernels want: panels of 16 rows, rows interleaved.
 *
 * One lane of a vector register is one output row, so the order of a row's dot product is the same
 * for 1 or 32 tokens, 1 or 64 threads, 4, 8 or 16 lanes. One layout serves one token and many, and
 * every instruction set. Rows beyond n_rows in the last panel are zero. Built once at load;
 * read-only after.
 */
#pragma once

#include "base/error.h"
#include "math/quant.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PANEL_ROWS = 16,
    TILE_TOKENS = 16, /* take a product together where there are tiles: so many cost as few */
};

struct matrix {
    enum weight_type type;
    size_t n_rows;         /* outputs */
    size_t n_cols;         /* inputs; a multiple of the type's block */
    size_t panel_bytes;    /* a multiple of 64 */
    const uint8_t *panels; /* [matrix_n_panels()][panel_bytes], 64-byte aligned; borrowed from the
                              model's arena */
};

static inline size_t matrix_n_panels(const struct matrix *m)
{
    return (m->n_rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

/* Bytes a matrix of this shape takes when packed, a multiple of 64; 0 on overflow. */
size_t matrix_packed_bytes(enum weight_type type, size_t n_rows, size_t n_cols);

/* The matrix as it lies at dst once packed there. */
struct matrix matrix_at(enum weight_type type, size_t n_rows, size_t n_cols, const uint8_t *dst);

/* Packs panels [p0, p1) of src, rows as they lie in a GGUF file, into m's zeroed memory: different
 * panels may be packed by different threads. Returns the first of these rows that holds a value
 * that is not finite; n_rows where all are. */
size_t matrix_pack_panels(const struct matrix *m, const void *src, size_t p0, size_t p1);

/* Packs src, rows as they lie in a GGUF file, into dst (matrix_packed_bytes() of zeroed memory,
 * 64-byte aligned) and fills *out. Every value is kept exactly. */
void matrix_pack(struct matrix *out, enum weight_type type, size_t n_rows, size_t n_cols,
                 const void *src, uint8_t *dst);

/* Row r as F32, exactly the file's values: the embedding look-up. out: [n_cols]. */
void matrix_row(const struct matrix *m, size_t r, float *out);
