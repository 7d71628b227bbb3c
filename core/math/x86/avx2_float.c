/* avx2_float.c - products with F32, F16 and BF16 matrices in AVX2: y = fma(w, x, y) in
 * ascending inputs, a row a lane.
 *
 * A row is one chain of dependent FMAs, so at least 8 chains run side by side: several panels for
 * few tokens, several tokens for one panel. The inputs go in chunks, with the chains' state in y
 * between them, so that the tokens' part of a chunk stays in the first-level cache. Pure; any
 * thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"

enum {
    TILE = 6,          /* tokens at most: 12 chains, 2 weights and an input fill the 16 registers */
    CHUNK = 512,       /* inputs */
    WIDEN_CHUNK = 256, /* inputs of a 16-bit panel held as F32: 16 KiB */
    WIDEN_TOKENS = 12, /* from so many tokens on, widening a 16-bit panel once pays */
    GROUP_BYTES =
        1 << 18, /* of panels that pass the tokens' tiles together: half a second-level cache */
};

ALWAYS_INLINE size_t bytes_of(enum weight_type type)
{
    return type == WEIGHT_F32 ? sizeof(float) : sizeof(uint16_t);
}

ALWAYS_INLINE __m256 load_weights(const uint8_t *w, enum weight_type type)
{
    if (type == WEIGHT_F16)
        return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)w));
    if (type == WEIGHT_BF16) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)(const void *)w));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    return _mm256_load_ps((const float *)(const void *)w);
}

/* Inputs [0, n) of w, x for n_panels panels and n_tokens tokens, both constants where this is
 * inlined. y holds the chains' state unless this is the first chunk. */
ALWAYS_INLINE void chunk(const uint8_t *w, size_t panel_bytes, enum weight_type type,
                         const float *x, size_t x_stride, size_t n, size_t n_panels,
                         size_t n_tokens, bool first, float *y, size_t y_stride)
{
    const size_t value_bytes = bytes_of(type);
    __m256 acc[4][TILE][2];
#pragma GCC unroll 4
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 6
        for (size_t t = 0; t < n_tokens; t++) {
            const float *row = y + t * y_stride + p * PANEL_ROWS;
            acc[p][t][0] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(row);
            acc[p][t][1] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(row + 8);
        }
    }
    for (size_t k = 0; k < n; k++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < n_panels; p++) {
            const uint8_t *line = w + p * panel_bytes + k * PANEL_ROWS * value_bytes;
            __m256 w0 = load_weights(line, type), w1 = load_weights(line + 8 * value_bytes, type);
#pragma GCC unroll 6
            for (size_t t = 0; t < n_tokens; t++) {
                __m256 input = _mm256_broadcast_ss(x + t * x_stride + k);
                acc[p][t][0] = _mm256_fmadd_ps(w0, input, acc[p][t][0]);
                acc[p][t][1] = _mm256_fmadd_ps(w1, input, acc[p][t][1]);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 6
        for (size_t t = 0; t < n_tokens; t++) {
            float *row = y + t * y_stride + p * PANEL_ROWS;
            _mm256_storeu_ps(row, acc[p][t][0]);
            _mm256_storeu_ps(row + 8, acc[p][t][1]);
        }
    }
}

/* One panel, 1 to TILE tokens. */
ALWAYS_INLINE void chunk_of_tokens(const uint8_t *w, enum weight_type type, const float *x,
                                   size_t x_stride, size_t n, size_t n_tokens, bool first, float *y,
                                   size_t y_stride)
{
    switch (n_tokens) {
    case 1:
        chunk(w, 0, type, x, x_stride, n, 1, 1, first, y, y_stride);
        break;
    case 2:
        chunk(w, 0, type, x, x_stride, n, 1, 2, first, y, y_stride);
        break;
    case 3:
        chunk(w, 0, type, x, x_stride, n, 1, 3, first, y, y_stride);
        break;
    case 4:
        chunk(w, 0, type, x, x_stride, n, 1, 4, first, y, y_stride);
        break;
    case 5:
        chunk(w, 0, type, x, x_stride, n, 1, 5, first, y, y_stride);
        break;
    case 6:
        chunk(w, 0, type, x, x_stride, n, 1, 6, first, y, y_stride);
        break;
    }
}

/* One chunk of inputs for panels [p0, p1) and up to TILE tokens. y: row 0 of the matrix. */
ALWAYS_INLINE void panels(const struct matrix *w, enum weight_type type, size_t p0, size_t p1,
                          const float *x, size_t x_stride, size_t k0, size_t n, size_t n_tokens,
                          float *y, size_t y_stride)
{
    const size_t line_bytes = PANEL_ROWS * bytes_of(type);
    const uint8_t *panel = w->panels + p0 * w->panel_bytes + k0 * line_bytes;
    const bool first = k0 == 0;
    size_t p = p0;
    y += p0 * PANEL_ROWS;
    if (n_tokens == 1) {
        for (; p + 4 <= p1; p += 4, panel += 4 * w->panel_bytes, y += 4 * PANEL_ROWS)
            chunk(panel, w->panel_bytes, type, x + k0, x_stride, n, 4, 1, first, y, y_stride);
        for (; p + 2 <= p1; p += 2, panel += 2 * w->panel_bytes, y += 2 * PANEL_ROWS)
            chunk(panel, w->panel_bytes, type, x + k0, x_stride, n, 2, 1, first, y, y_stride);
    } else if (n_tokens == 2) {
        for (; p + 2 <= p1; p += 2, panel += 2 * w->panel_bytes, y += 2 * PANEL_ROWS)
            chunk(panel, w->panel_bytes, type, x + k0, x_stride, n, 2, 2, first, y, y_stride);
    }
    for (; p < p1; p++, panel += w->panel_bytes, y += PANEL_ROWS)
        chunk_of_tokens(panel, type, x + k0, x_stride, n, n_tokens, first, y, y_stride);
}

/* Tokens of the next tile, such that the tiles are alike: 7 is 4 and 3, not 6 and 1. */
ALWAYS_INLINE size_t tile_of(size_t left)
{
    size_t n_tiles = (left + TILE - 1) / TILE;
    return (left + n_tiles - 1) / n_tiles;
}

ALWAYS_INLINE void matmul(const struct matrix *w, enum weight_type type, size_t p0, size_t p1,
                          const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    /* One token's inputs stay in the cache by themselves. */
    const size_t n = w->n_cols, step = n_tokens == 1 ? n : CHUNK;
    size_t group = w->panel_bytes < GROUP_BYTES ? GROUP_BYTES / w->panel_bytes : 1;
    if (n_tokens <= TILE)
        group = p1 - p0;
    for (size_t p = p0; p < p1; p += group) {
        size_t end = p1 - p < group ? p1 : p + group;
        for (size_t t = 0, tile; t < n_tokens; t += tile) {
            tile = tile_of(n_tokens - t);
            for (size_t k = 0; k < n; k += step)
                panels(w, type, p, end, x->f32 + t * x->f32_stride, x->f32_stride, k,
                       n - k < step ? n - k : step, tile, y + t * y_stride, y_stride);
        }
    }
}

/* 16-bit weights. Many tokens: a chunk of a panel becomes F32 once for all of them. */
ALWAYS_INLINE void matmul_16(const struct matrix *w, enum weight_type type, size_t p0, size_t p1,
                             const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    _Alignas(64) float wide[WIDEN_CHUNK * PANEL_ROWS];
    if (n_tokens < WIDEN_TOKENS) {
        matmul(w, type, p0, p1, x, n_tokens, y, y_stride);
        return;
    }
    for (size_t p = p0; p < p1; p++) {
        const uint8_t *panel = w->panels + p * w->panel_bytes;
        for (size_t k = 0; k < w->n_cols; k += WIDEN_CHUNK) {
            size_t n = w->n_cols - k < WIDEN_CHUNK ? w->n_cols - k : WIDEN_CHUNK;
            for (size_t i = 0; i < 2 * n; i++)
                _mm256_store_ps(wide + 8 * i, load_weights(panel + (k * 2 + i) * 16, type));
            for (size_t t = 0, tile; t < n_tokens; t += tile) {
                tile = tile_of(n_tokens - t);
                chunk_of_tokens((const uint8_t *)wide, WEIGHT_F32, x->f32 + t * x->f32_stride + k,
                                x->f32_stride, n, tile, k == 0, y + t * y_stride + p * PANEL_ROWS,
                                y_stride);
            }
        }
    }
}

AVX2_MATMUL(f32)
{
    matmul(w, WEIGHT_F32, p0, p1, x, n_tokens, y, y_stride);
}

AVX2_MATMUL(f16)
{
    matmul_16(w, WEIGHT_F16, p0, p1, x, n_tokens, y, y_stride);
}

AVX2_MATMUL(bf16)
{
    matmul_16(w, WEIGHT_BF16, p0, p1, x, n_tokens, y, y_stride);
}
#endif
