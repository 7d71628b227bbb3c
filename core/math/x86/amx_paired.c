/* amx_paired.c - products of tokens with matrices in blocks of 32, in AMX tiles. Pure; any
 * thread.
 */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/amx_few.h"

enum { CHUNK_BLOCKS = 32 }; /* of a panel, in the form of tiles at a time */

/* A panel's part of a chunk. */
struct paired_chunk {
    _Alignas(LINE) uint8_t unpacked[CHUNK_BLOCKS][GROUPS * LINE];
    _Alignas(LINE) float scale[CHUNK_BLOCKS][PANEL_ROWS];
    _Alignas(LINE) float min[CHUNK_BLOCKS][PANEL_ROWS];
    const uint8_t *lines[CHUNK_BLOCKS]; /* signed bytes: unpacked, or the panel itself */
};

/* The tokens' part of it: scales and sums of each tile of them, one after the other, n_blocks of
 * each; and the quants of those that fill no tile. */
struct paired_tokens {
    _Alignas(
        LINE) int8_t rest[CHUNK_BLOCKS * TOKENS * 32]; /* rows beyond them: whatever is there */
    _Alignas(LINE) float scale[MOST_TOKENS * CHUNK_BLOCKS];
    _Alignas(LINE) float sum[MOST_TOKENS * CHUNK_BLOCKS];
};

ALWAYS_INLINE void unpack_chunk(enum weight_type type, const uint8_t *panel, size_t b0, size_t n,
                                struct paired_chunk *out)
{
    for (size_t b = 0; b < n; b++) {
        const uint8_t *lines = panel + paired_quants(type, b0 + b);
        const uint8_t *scales = panel + paired_scales(type, b0 + b);
        _mm512_store_ps(out->scale[b], load_block_scales(type, scales));
        if (quant_has_min(type))
            _mm512_store_ps(out->min[b], load_f16(scales + LINE));
        out->lines[b] = type == WEIGHT_Q8_0 ? lines : out->unpacked[b];
        if (type == WEIGHT_Q8_0)
            continue;
        __m512i w[GROUPS];
        unpack_paired(type, lines, w);
#pragma GCC unroll 8
        for (size_t g = 0; g < GROUPS; g++)
            _mm512_store_si512(out->unpacked[b] + g * LINE,
                               _mm512_sub_epi8(w[g], _mm512_set1_epi8((int8_t)offset_of(type))));
    }
}

/* Tokens [t0, t1), blocks [b0, b0 + n_blocks). */
ALWAYS_INLINE void lay_paired(enum weight_type type, const struct act *x, size_t t0, size_t t1,
                              size_t b0, size_t n_blocks, struct paired_tokens *out)
{
    for (size_t t = t0; t < t1; t++) {
        const float *scale = x->q8_scale + t * x->b_stride + b0;
        const int16_t *sum = x->q8_sum + t * x->b_stride + b0;
        size_t to = (t - t0) / TOKENS * n_blocks * TOKENS + (t - t0) % TOKENS;
        for (size_t b = 0; b < n_blocks; b++, to += TOKENS) {
            out->scale[to] = scale[b];
            if (quant_has_min(type))
                out->sum[to] = sum[b];
        }
    }
    for (size_t t = t0 + (t1 - t0) / TOKENS * TOKENS, i = 0; t < t1; t++, i++)
        for (size_t b = 0; b < n_blocks; b++)
            memcpy(out->rest + (b * TOKENS + i) * 32, x->q8 + t * x->q_stride + (b0 + b) * 32, 32);
}

/* A product of a run, in the odd or the even one of two tiles. */
ALWAYS_INLINE void product_32(const int8_t *q, size_t q_stride, const uint8_t *lines, bool odd)
{
    _tile_loadd(0, q, q_stride);
    _tile_loadd(2, lines, LINE);
    if (odd) {
        _tile_zero(5);
        _tile_dpbssd(5, 0, 2);
    } else {
        _tile_zero(4);
        _tile_dpbssd(4, 0, 2);
    }
}

ALWAYS_INLINE void store_32(int32_t sums[TOKENS][PANEL_ROWS], bool odd)
{
    if (odd)
        _tile_stored(5, sums, LINE);
    else
        _tile_stored(4, sums, LINE);
}

/* n tokens' chains through a block. */
ALWAYS_INLINE void add_paired(enum weight_type type, const struct paired_chunk *w, size_t b,
                              const float *scale, const float *sum, size_t n,
                              int32_t sums[TOKENS][PANEL_ROWS], __m512 acc[TOKENS])
{
    const __m512 d = _mm512_load_ps(w->scale[b]);
#pragma GCC unroll 16
    for (size_t t = 0; t < n; t++) {
        const __m512 s = _mm512_set1_ps(scale[t]);
        const __m512i isum = _mm512_load_si512(sums[t]);
        const __m512 f = t % 4 == 0 ? _mm512_cvtepi32_ps(isum) : to_floats(isum);
        acc[t] = _mm512_fmadd_ps(f, _mm512_mul_ps(d, s), acc[t]);
        if (quant_has_min(type))
            acc[t] = _mm512_fmadd_ps(_mm512_set1_ps(sum[t]),
                                     _mm512_mul_ps(_mm512_load_ps(w->min[b]), s), acc[t]);
    }
}

/* Tiles of n tokens each (TOKENS, a constant, or the rest) by a panel's part of a chunk: a run of
 * products, of which two are under way while the sums of the one before are used. */
struct tile_run {
    const int8_t *q; /* of the first product; the next block's and the next tile's: */
    size_t q_stride, q_block, q_tile;
    const float *scale, *sum;
    size_t n_tiles;
    const uint8_t *next; /* is asked for meanwhile, by each tile a part of it; or NULL */
    bool is_first;       /* chunk of the row */
    float *y;
    size_t y_stride;
};

/* Which product of a run is the next to begin. */
struct ahead {
    const int8_t *q;
    size_t block, n_left;
};

ALWAYS_INLINE void begin_product(const struct tile_run *run, const struct paired_chunk *w,
                                 size_t n_blocks, bool odd, struct ahead *ahead)
{
    if (ahead->n_left == 0)
        return;
    product_32(ahead->q, run->q_stride, w->lines[ahead->block], odd);
    ahead->q += run->q_block;
    ahead->n_left--;
    if (++ahead->block == n_blocks) {
        ahead->block = 0;
        ahead->q += run->q_tile - n_blocks * run->q_block;
    }
}

ALWAYS_INLINE void run_paired(enum weight_type type, const struct paired_chunk *w, size_t n_blocks,
                              const struct tile_run *run, size_t n)
{
    _Alignas(LINE) int32_t sums[2][TOKENS][PANEL_ROWS];
    const size_t n_lines = run->next != NULL ? panel_quants_bytes(type) / LINE + 1 : 0;
    const float *scale = run->scale, *sum = run->sum;
    struct ahead ahead = {.q = run->q, .n_left = run->n_tiles * n_blocks};
    begin_product(run, w, n_blocks, false, &ahead);
    begin_product(run, w, n_blocks, true, &ahead);
    for (size_t tile = 0, i = 0; tile < run->n_tiles; tile++) {
        __m512 acc[TOKENS];
        float *to = run->y + tile * TOKENS * run->y_stride;
        const size_t line = share_of(n_lines, tile, run->n_tiles);
        const size_t lines = share_of(n_lines, tile + 1, run->n_tiles) - line;
#pragma GCC unroll 16
        for (size_t t = 0; t < TOKENS; t++)
            acc[t] = run->is_first || t >= n ? _mm512_setzero_ps()
                                             : _mm512_loadu_ps(to + t * run->y_stride);
        for (size_t b = 0; b < n_blocks; b++, i++) {
            if (lines > 0)
                prefetch(run->next + paired_quants(type, b) + line * LINE, lines);
            store_32(sums[i % 2], i % 2 != 0);
            begin_product(run, w, n_blocks, i % 2 != 0, &ahead);
            if (b > 0) {
                add_paired(type, w, b - 1, scale, sum, n, sums[(i + 1) % 2], acc);
                scale += TOKENS;
                sum += TOKENS;
            }
        }
        add_paired(type, w, n_blocks - 1, scale, sum, n, sums[(i + 1) % 2], acc);
        scale += TOKENS;
        sum += TOKENS;
#pragma GCC unroll 16
        for (size_t t = 0; t < n; t++)
            _mm512_storeu_ps(to + t * run->y_stride, acc[t]);
    }
}

/* Panels [p0, p1), tokens [t0, t1): whole tiles, then what is left. */
ALWAYS_INLINE void panels(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                          const struct act *x, size_t t0, size_t t1, float *y, size_t y_stride)
{
    struct paired_chunk chunk;
    struct paired_tokens tokens;
    const size_t n_blocks = w->n_cols / 32;
    const size_t n_chunks = (n_blocks + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
    const size_t share = (n_blocks + n_chunks - 1) / n_chunks; /* of each: alike */
    const size_t whole = (t1 - t0) / TOKENS, rest = (t1 - t0) % TOKENS;
    configure(32, TOKENS, TOKENS);
    for (size_t b = 0; b < n_blocks; b += share) {
        const size_t n_now = n_blocks - b < share ? n_blocks - b : share;
        lay_paired(type, x, t0, t1, b, n_now, &tokens);
        const ptrdiff_t on =
            next_chunk(w, p0, p1, b + n_now == n_blocks, (ptrdiff_t)paired_quants(type, b),
                       (ptrdiff_t)paired_quants(type, b + n_now));
        for (size_t p = p0; p < p1; p++) {
            const uint8_t *panel = w->panels + p * w->panel_bytes;
            unpack_chunk(type, panel, b, n_now, &chunk);
            compiler_barrier();
            const uint8_t *here = panel + paired_quants(type, b) - paired_quants(type, 0);
            const uint8_t *next = here + (p + 1 < p1 ? (ptrdiff_t)w->panel_bytes : on);
            struct tile_run run = {.q = x->q8 + t0 * x->q_stride + b * 32,
                                   .q_stride = x->q_stride,
                                   .q_block = 32,
                                   .q_tile = TOKENS * x->q_stride,
                                   .scale = tokens.scale,
                                   .sum = tokens.sum,
                                   .n_tiles = whole,
                                   .next = next,
                                   .is_first = b == 0,
                                   .y = y + t0 * y_stride + p * PANEL_ROWS,
                                   .y_stride = y_stride};
            run_paired(type, &chunk, n_now, &run, TOKENS);
            if (rest == 0)
                continue;
            run.q = tokens.rest;
            run.q_stride = 32;
            run.q_block = 32 * TOKENS;
            run.scale += whole * n_now * TOKENS;
            run.sum += whole * n_now * TOKENS;
            run.n_tiles = 1;
            run.next = whole == 0 ? next : NULL;
            run.y += whole * TOKENS * y_stride;
            run_paired(type, &chunk, n_now, &run, rest);
        }
    }
}

/* A half tile is worth it from 7 tokens on, measured in all types. */
#define DEFINE_PAIRED(name, type) DEFINE_MATMUL(name, type, 7, HALF, HALF + 1)

DEFINE_PAIRED(q8_0, WEIGHT_Q8_0)
DEFINE_PAIRED(q4_0, WEIGHT_Q4_0)
DEFINE_PAIRED(q4_1, WEIGHT_Q4_1)
DEFINE_PAIRED(q5_0, WEIGHT_Q5_0)
DEFINE_PAIRED(q5_1, WEIGHT_Q5_1)
DEFINE_PAIRED(iq4_nl, WEIGHT_IQ4_NL)
DEFINE_PAIRED(mxfp4, WEIGHT_MXFP4)
#endif
