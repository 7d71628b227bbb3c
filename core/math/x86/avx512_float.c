/* avx512_float.c - products with F32, F16 and BF16 matrices in AVX-512: y = fma(w, x, y) in
 * ascending inputs, a row a lane, a panel a register.
 *
 * A row is one chain of dependent FMAs, so at least 8 chains run side by side: several panels for
 * few tokens, two panels for many, so that a token's broadcast serves both. The inputs go in
 * chunks, with the chains' state in y between them, so that the tokens' part of a chunk stays in
 * the first-level cache. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx512.h"

enum {
    TILE = 12,   /* tokens at most: 24 chains, 2 weights and an input in 32 registers */
    CHUNK = 512, /* inputs */
    GROUP_BYTES =
        1 << 18, /* of panels that pass the tokens' tiles together: half a second-level cache */
};

ALWAYS_INLINE size_t bytes_of(enum weight_type type)
{
    return type == WEIGHT_F32 ? sizeof(float) : sizeof(uint16_t);
}

ALWAYS_INLINE __m512 load_weights(const uint8_t *w, enum weight_type type)
{
    if (type == WEIGHT_F32)
        return _mm512_load_ps(w);
    __m256i half = _mm256_load_si256((const __m256i *)(const void *)w);
    if (type == WEIGHT_F16)
        return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* A tile's work: inputs [0, n) of panels that follow each other, for a tile's tokens. */
struct float_work {
    const uint8_t *w;
    size_t panel_bytes;
    const float *x; /* [tokens][x_stride] */
    size_t x_stride, n;
    bool first; /* else y holds the chains' state */
    float *y;   /* [tokens][y_stride] */
    size_t y_stride;
};

/* n_panels and n_tokens are constants wherever this is inlined. */
ALWAYS_INLINE void chunk(const struct float_work *c, enum weight_type type, size_t n_panels,
                         size_t n_tokens)
{
    const size_t line_bytes = PANEL_ROWS * bytes_of(type);
    __m512 acc[8][TILE];
#pragma GCC unroll 8
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 12
        for (size_t t = 0; t < n_tokens; t++)
            acc[p][t] = c->first ? _mm512_setzero_ps()
                                 : _mm512_loadu_ps(c->y + t * c->y_stride + p * PANEL_ROWS);
    }
    for (size_t k = 0; k < c->n; k++) {
        __m512 w[8];
#pragma GCC unroll 8
        for (size_t p = 0; p < n_panels; p++)
            w[p] = load_weights(c->w + p * c->panel_bytes + k * line_bytes, type);
#pragma GCC unroll 12
        for (size_t t = 0; t < n_tokens; t++) {
            const __m512 input = _mm512_set1_ps(c->x[t * c->x_stride + k]);
#pragma GCC unroll 8
            for (size_t p = 0; p < n_panels; p++)
                acc[p][t] = _mm512_fmadd_ps(w[p], input, acc[p][t]);
        }
    }
#pragma GCC unroll 8
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 12
        for (size_t t = 0; t < n_tokens; t++)
            _mm512_storeu_ps(c->y + t * c->y_stride + p * PANEL_ROWS, acc[p][t]);
    }
}

ALWAYS_INLINE void advance(struct float_work *c, size_t n_panels)
{
    c->w += n_panels * c->panel_bytes;
    c->y += n_panels * PANEL_ROWS;
}

/* One chunk of inputs for n panels: `together` of them at a time, at last half as many and half
 * again. */
ALWAYS_INLINE void panels(struct float_work c, enum weight_type type, size_t n, size_t together,
                          size_t n_tokens)
{
    for (; n >= together; n -= together, advance(&c, together))
        chunk(&c, type, together, n_tokens);
    if (together > 4 && n >= 4) {
        chunk(&c, type, 4, n_tokens);
        n -= 4;
        advance(&c, 4);
    }
    if (together > 2 && n >= 2) {
        chunk(&c, type, 2, n_tokens);
        n -= 2;
        advance(&c, 2);
    }
    if (n > 0)
        chunk(&c, type, 1, n_tokens);
}

ALWAYS_INLINE void tile(const struct float_work *c, enum weight_type type, size_t n,
                        size_t n_tokens)
{
#define CASE(tokens, together)                                                                     \
    case tokens:                                                                                   \
        panels(*c, type, n, together, tokens);                                                     \
        break;
    switch (n_tokens) {
        CASE(1, 8)
        CASE(2, 4)
        CASE(3, 4)
        CASE(4, 2)
        CASE(5, 2)
        CASE(6, 2)
        CASE(7, 2)
        CASE(8, 2)
        CASE(9, 2)
        CASE(10, 2)
        CASE(11, 2)
        CASE(12, 2)
    }
#undef CASE
}

/* Tiles as alike as can be: 13 is 7 and 6. */
ALWAYS_INLINE void matmul(const struct matrix *w, enum weight_type type, size_t p0, size_t p1,
                          const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    /* One token's inputs stay in the cache by themselves. */
    const size_t step = n_tokens == 1 ? w->n_cols : CHUNK;
    size_t group = w->panel_bytes < GROUP_BYTES ? GROUP_BYTES / w->panel_bytes : 1;
    if (n_tokens <= TILE)
        group = p1 - p0;
    for (size_t p = p0; p < p1; p += group) {
        size_t n_panels = p1 - p < group ? p1 - p : group;
        for (size_t t = 0, n; t < n_tokens; t += n) {
            size_t left = n_tokens - t, n_tiles = (left + TILE - 1) / TILE;
            n = (left + n_tiles - 1) / n_tiles;
            for (size_t k = 0; k < w->n_cols; k += step) {
                struct float_work c = {
                    .w = w->panels + p * w->panel_bytes + k * PANEL_ROWS * bytes_of(type),
                    .panel_bytes = w->panel_bytes,
                    .x = x->f32 + t * x->f32_stride + k,
                    .x_stride = x->f32_stride,
                    .n = w->n_cols - k < step ? w->n_cols - k : step,
                    .first = k == 0,
                    .y = y + t * y_stride + p * PANEL_ROWS,
                    .y_stride = y_stride,
                };
                tile(&c, type, n_panels, n);
            }
        }
    }
}

MATMUL(avx512, f32)
{
    matmul(w, WEIGHT_F32, p0, p1, x, n_tokens, y, y_stride);
}

MATMUL(avx512, f16)
{
    matmul(w, WEIGHT_F16, p0, p1, x, n_tokens, y, y_stride);
}

MATMUL(avx512, bf16)
{
    matmul(w, WEIGHT_BF16, p0, p1, x, n_tokens, y, y_stride);
}
#endif
