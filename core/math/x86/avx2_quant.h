/* avx2_quant.h - what the products with quantized matrices share: loads, chains, and the
 * loops over tiles.
 *
 * A tile of up to 8 tokens passes a panel together. For each 32 inputs, 8 rows' quants are unpacked
 * once into 8 registers (a 32-bit lane holds a row's 4 consecutive inputs as bytes) and each
 * token's 4 bytes of the same inputs are broadcast to all lanes. The tokens' activations are first
 * laid out as the loop reads them: a record for each (block, token), a chunk of blocks at a time,
 * so that they stay in the first-level cache; between chunks the rows' chains rest in y.
 *
 * vpmaddubsw (u8 x s8, two products added to 16 bits) saturates and 16-bit additions wrap; each use
 * says why neither can happen. Activations lie in -127..127 (kernels.h). Private to core/math; only
 * for files compiled with AVX2, FMA and F16C.
 */
#pragma once

#include "math/panel.h"
#include "math/x86/avx2.h"

enum {
    TILE = 8, /* tokens */
    /* Bytes of records: with the panel's lines they fit a 32 KiB first-level cache. */
    CHUNK_BYTES = 24 << 10,
    /* Bytes of panels that pass the tokens' tiles together: half a second-level cache. */
    GROUP_BYTES = 1 << 18,
    GROUPS = 8, /* of 4 inputs in 32 */
    /* How far ahead of the loops weights are asked for: the processor's own prefetching stops at
     * pages and half fills the memory's queue. */
    AHEAD = 4096,
};

ALWAYS_INLINE __m256i load32(const void *p)
{
    return _mm256_load_si256((const __m256i *)p);
}

/* Asks for n lines of weights AHEAD of p, whatever lies there. */
ALWAYS_INLINE void prefetch(const uint8_t *p, size_t n)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++)
        _mm_prefetch((const char *)p + AHEAD + i * LINE, _MM_HINT_T0);
}

ALWAYS_INLINE __m256i broadcast4(const void *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

ALWAYS_INLINE __m256 load_f16x8(const void *p)
{
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p));
}

/* Signed bytes at p to 16-bit pairs: lane r becomes (p[r], p[r]) for 8 rows. */
ALWAYS_INLINE __m256i scale_pairs(const uint8_t *p)
{
    int64_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    __m256i high = _mm256_shuffle_epi8(_mm256_set1_epi64x(bytes),
                                       _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2,
                                                        -1, 3, -1, 3, -1, 4, -1, 4, -1, 5, -1, 5,
                                                        -1, 6, -1, 6, -1, 7, -1, 7));
    return _mm256_srai_epi16(high, 8);
}

/* start + sum over n groups of maddubs(w, the token's 4 bytes), in 16 bits. */
ALWAYS_INLINE __m256i chain16(__m256i start, const __m256i *w, const int8_t *q, size_t n)
{
#pragma GCC unroll 8
    for (size_t g = 0; g < n; g++)
        start = _mm256_add_epi16(start, _mm256_maddubs_epi16(w[g], broadcast4(q + 4 * g)));
    return start;
}

/* The chains of a panel's two halves: zero at the first chunk, else where the last one left them.
 */
ALWAYS_INLINE void load_chains(__m256 acc[2][TILE], size_t n_tokens, bool first, const float *y,
                               size_t y_stride)
{
    for (size_t t = 0; t < n_tokens; t++) {
        acc[0][t] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + t * y_stride);
        acc[1][t] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + t * y_stride + 8);
    }
}

ALWAYS_INLINE void store_chains(__m256 acc[2][TILE], size_t n_tokens, float *y, size_t y_stride)
{
    for (size_t t = 0; t < n_tokens; t++) {
        _mm256_storeu_ps(y + t * y_stride, acc[0][t]);
        _mm256_storeu_ps(y + t * y_stride + 8, acc[1][t]);
    }
}

typedef void tile_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                           size_t t0, size_t n_tokens, float *y, size_t y_stride);

/* Groups of panels that stay in the second-level cache, tiles of tokens inside, as alike as can be:
 * 9 is 5 and 4. */
ALWAYS_INLINE void matmul(tile_function *single, tile_function *several, const struct matrix *w,
                          size_t p0, size_t p1, const struct act *x, size_t n_tokens, float *y,
                          size_t y_stride)
{
    size_t group = w->panel_bytes < GROUP_BYTES ? GROUP_BYTES / w->panel_bytes : 1;
    if (n_tokens <= TILE)
        group = p1 - p0;
    for (size_t p = p0; p < p1; p += group) {
        size_t end = p1 - p < group ? p1 : p + group;
        for (size_t t = 0, n; t < n_tokens; t += n) {
            size_t left = n_tokens - t, n_tiles = (left + TILE - 1) / TILE;
            n = (left + n_tiles - 1) / n_tiles;
            (n == 1 ? single : several)(w, p, end, x, t, n, y + t * y_stride, y_stride);
        }
    }
}

/* Panels [p0, p1) for one tile of tokens: chunks of blocks outside, panels inside. One token
 * and two, whose chains then stay in registers, are compiled by themselves. */
#define DEFINE_TILE(name, record, lay, panel_function, block_values)                               \
    static void tile_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,     \
                            size_t t0, size_t n_tokens, float *y, size_t y_stride)                 \
    {                                                                                              \
        struct record records[CHUNK_BYTES / sizeof(struct record)];                                \
        size_t n_blocks = w->n_cols / (block_values);                                              \
        size_t step = sizeof records / sizeof records[0] / n_tokens;                               \
        for (size_t b = 0; b < n_blocks; b += step) {                                              \
            size_t n_now = n_blocks - b < step ? n_blocks - b : step;                              \
            for (size_t i = 0; i < n_now; i++) {                                                   \
                for (size_t t = 0; t < n_tokens; t++)                                              \
                    lay(x, t0 + t, b + i, &records[i * n_tokens + t]);                             \
            }                                                                                      \
            for (size_t p = p0; p < p1; p++) {                                                     \
                const uint8_t *panel = w->panels + p * w->panel_bytes;                             \
                float *rows = y + p * PANEL_ROWS;                                                  \
                if (n_tokens == 1)                                                                 \
                    panel_function(panel, b, n_now, records, 1, b == 0, rows, y_stride);           \
                else if (n_tokens == 2)                                                            \
                    panel_function(panel, b, n_now, records, 2, b == 0, rows, y_stride);           \
                else                                                                               \
                    panel_function(panel, b, n_now, records, n_tokens, b == 0, rows, y_stride);    \
            }                                                                                      \
        }                                                                                          \
    }
