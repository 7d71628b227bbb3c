/* amx_quant.c - products of many tokens with quantized matrices in AMX tiles. Pure; any
 * thread.
 *
 * One instruction multiplies 16 tokens by 16 rows over 32 or 64 inputs and adds in 32 bits,
 * exactly; a panel's lines are the form it wants, and so are rows of activations. The sums of a
 * block come back as a vector of rows for each token, and go on in the order of kernels_ref.c.
 * Tokens that fill no tile have a lower one; very few take the way without tiles. (Intel SDM volume
 * 1, chapter 18.)
 */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "base/tiles.h"
#include "math/x86/amx.h"

#define VNNI_LANES 16
#include "math/x86/lanes.h"

enum {
    TOKENS = 16,        /* of a tile */
    LEAST_ALONE = 9,    /* tokens that are worth a tile: storing few sums takes as long as many */
    LEAST_REST = 3,     /* beside whole tiles, which have unpacked the weights */
    MOST_TOKENS = 128,  /* that share an unpacked chunk of weights */
    CHUNK_INPUTS = 512, /* of a panel and of those tokens, in the form of tiles at a time */
    CHUNK_BLOCKS = CHUNK_INPUTS / 32,
    GROUP_BYTES = 1 << 18, /* of panels, beside them in a second-level cache */
};

/* --- tiles: 0 tokens, 1 the rest of them, 2 and 3 weights, 4 and 5 sums, 6 and 7 the rest's --- */

/* For products over n_inputs of 16 tokens, and of n_rest (0: there is none). */
static void configure(size_t n_inputs, size_t n_rest)
{
    struct tile_config config = {.palette = 1};
    const uint8_t rest = (uint8_t)(n_rest > 0 ? n_rest : TOKENS);
    const uint8_t rows[8] = {
        TOKENS, rest, (uint8_t)(n_inputs / 4), (uint8_t)(n_inputs / 4), TOKENS, TOKENS, rest, rest};
    for (size_t i = 0; i < 8; i++) {
        config.n_rows[i] = rows[i];
        config.row_bytes[i] = (uint16_t)(i < 2 ? n_inputs : LINE);
    }
    tiles_configure(&config);
}

/* Stores before a tile load must have reached memory: compilers do not see the load. */
ALWAYS_INLINE void compiler_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Tokens [t0, t1) of rows of bytes: their inputs [k0, k0 + n_inputs) as tiles of
 * `width` inputs, one after the other. */
ALWAYS_INLINE void lay_tiles(const int8_t *q, size_t q_stride, size_t t0, size_t t1, size_t k0,
                             size_t n_inputs, size_t width,
                             int8_t tiles[MOST_TOKENS / TOKENS][TOKENS * CHUNK_INPUTS])
{
    for (size_t t = t0; t < t1; t++) {
        const int8_t *from = q + t * q_stride + k0;
        int8_t *to = tiles[(t - t0) / TOKENS] + (t - t0) % TOKENS * width;
        for (size_t k = 0; k < n_inputs; k += width, to += TOKENS * width)
            memcpy(to, from + k, width);
    }
}

/* Bytes from the last panel's chunk at `at` to what comes after it: the first panel's next chunk,
 * or after the last chunk what the next call is likely to begin with. */
ALWAYS_INLINE ptrdiff_t next_chunk(const struct matrix *w, size_t p0, size_t p1, bool is_last,
                                   ptrdiff_t at, ptrdiff_t next_at)
{
    if (is_last)
        return (ptrdiff_t)w->panel_bytes - at;
    return next_at - at - (ptrdiff_t)((p1 - 1 - p0) * w->panel_bytes);
}

/* --- blocks of 32 --- */

struct chunk_paired {
    _Alignas(LINE) uint8_t unpacked[CHUNK_BLOCKS][GROUPS * LINE];
    const uint8_t *lines[CHUNK_BLOCKS];  /* signed bytes: unpacked, or the panel itself */
    const uint8_t *scales[CHUNK_BLOCKS]; /* minimums LINE bytes later */
};

ALWAYS_INLINE void unpack_chunk(enum weight_type type, const uint8_t *panel, size_t b0, size_t n,
                                struct chunk_paired *out)
{
    for (size_t b = 0; b < n; b++) {
        const uint8_t *lines = panel + paired_quants(type, b0 + b);
        out->scales[b] = panel + paired_scales(type, b0 + b);
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

ALWAYS_INLINE void product_32(const int8_t *q, const uint8_t *lines, bool rest)
{
    _tile_loadd(2, lines, LINE);
    if (rest) {
        _tile_loadd(1, q, 32);
        _tile_zero(6);
        _tile_dpbssd(6, 1, 2);
    } else {
        _tile_loadd(0, q, 32);
        _tile_zero(4);
        _tile_dpbssd(4, 0, 2);
    }
}

ALWAYS_INLINE void add_paired(enum weight_type type, const uint8_t *scales, const struct act *x,
                              size_t t, size_t b, const int32_t *sums, __m512 *acc)
{
    const __m512 scale = _mm512_set1_ps(x->q8_scale[t * x->b_stride + b]);
    __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)),
                               _mm512_mul_ps(load_block_scales(type, scales), scale), *acc);
    if (quant_has_min(type)) {
        const __m512i sum = _mm512_set1_epi32(x->q8_sum[t * x->b_stride + b]);
        y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(load_f16(scales + LINE), scale),
                            y);
    }
    *acc = y;
}

/* n tokens from t0 on, in tiles q, by a panel's blocks [b0, b0 + n_blocks): TOKENS, a constant, or
 * the rest. What lies at next is asked for meanwhile. */
ALWAYS_INLINE void tokens_paired(enum weight_type type, const struct chunk_paired *w, size_t b0,
                                 size_t n_blocks, const struct act *x, size_t t0, size_t n,
                                 const int8_t *q, const uint8_t *next, float *y, size_t y_stride)
{
    _Alignas(LINE) int32_t sums[TOKENS][PANEL_ROWS];
    __m512 acc[TOKENS];
    const bool rest = n < TOKENS;
#pragma GCC unroll 16
    for (size_t t = 0; t < TOKENS; t++)
        acc[t] = b0 == 0 || t >= n ? _mm512_setzero_ps() : _mm512_loadu_ps(y + t * y_stride);
    product_32(q, w->lines[0], rest);
    for (size_t b = 0; b < n_blocks; b++) {
        prefetch(next + paired_quants(type, b), panel_quants_bytes(type) / LINE + 1);
        if (rest)
            _tile_stored(6, sums, LINE);
        else
            _tile_stored(4, sums, LINE);
        if (b + 1 < n_blocks) /* while the sums are used */
            product_32(q + (b + 1) * TOKENS * 32, w->lines[b + 1], rest);
#pragma GCC unroll 16
        for (size_t t = 0; t < n; t++)
            add_paired(type, w->scales[b], x, t0 + t, b0 + b, sums[t], &acc[t]);
    }
#pragma GCC unroll 16
    for (size_t t = 0; t < n; t++)
        _mm512_storeu_ps(y + t * y_stride, acc[t]);
}

/* Panels [p0, p1), tokens [t0, t1): whole tiles, then what is left. */
ALWAYS_INLINE void panels_paired(enum weight_type type, const struct matrix *w, size_t p0,
                                 size_t p1, const struct act *x, size_t t0, size_t t1, float *y,
                                 size_t y_stride)
{
    struct chunk_paired chunk;
    _Alignas(LINE) int8_t tiles[MOST_TOKENS / TOKENS][TOKENS * CHUNK_INPUTS];
    const size_t n_blocks = w->n_cols / 32;
    configure(32, (t1 - t0) % TOKENS);
    for (size_t b = 0; b < n_blocks; b += CHUNK_BLOCKS) {
        const size_t n_now = n_blocks - b < CHUNK_BLOCKS ? n_blocks - b : CHUNK_BLOCKS;
        lay_tiles(x->q8, x->q_stride, t0, t1, b * 32, n_now * 32, 32, tiles);
        compiler_barrier();
        const ptrdiff_t on =
            next_chunk(w, p0, p1, b + n_now == n_blocks, (ptrdiff_t)paired_quants(type, b),
                       (ptrdiff_t)paired_quants(type, b + n_now));
        for (size_t p = p0; p < p1; p++) {
            const uint8_t *panel = w->panels + p * w->panel_bytes;
            unpack_chunk(type, panel, b, n_now, &chunk);
            compiler_barrier();
            const uint8_t *here = panel + paired_quants(type, b) - paired_quants(type, 0);
            const uint8_t *next = here + (p + 1 < p1 ? (ptrdiff_t)w->panel_bytes : on);
            for (size_t t = t0; t < t1; t += TOKENS) {
                const int8_t *q = tiles[(t - t0) / TOKENS];
                float *to = y + t * y_stride + p * PANEL_ROWS;
                if (t1 - t >= TOKENS)
                    tokens_paired(type, &chunk, b, n_now, x, t, TOKENS, q, next, to, y_stride);
                else
                    tokens_paired(type, &chunk, b, n_now, x, t, t1 - t, q, next, to, y_stride);
                next = here; /* once is enough */
            }
        }
    }
}

/* --- blocks of 256 with a scale for every 32 inputs ---
 *
 * A scale's six bits are two digits of three: a quant times a digit is a byte, so that the tiles
 * add all of a block, once for each digit. */

struct chunk_super {
    _Alignas(LINE) uint8_t digits[2][64][LINE]; /* of weight 1 and 8; lines of the whole block */
    _Alignas(LINE) uint8_t mins[8][LINE];       /* each twice as 16 bits */
    const uint8_t *block;
};

ALWAYS_INLINE __m512i twice(__m512i v)
{
    return _mm512_or_si512(v, _mm512_slli_epi32(v, 16));
}

ALWAYS_INLINE void unpack_block(enum weight_type type, const uint8_t *block, ptrdiff_t next,
                                struct chunk_super *out)
{
    const size_t share = super_bytes(type) / LINE / 8;
    out->block = block;
    for (size_t j = 0; j < 8; j++) {
        prefetch(block + next + j * share * LINE, share + 1);
        __m512i w[GROUPS], s = load_scales(block + SUPER_SCALES + j * PANEL_ROWS, false);
        const __m512i low = twice(_mm512_and_si512(s, _mm512_set1_epi32(7))),
                      high = twice(_mm512_srli_epi32(s, 3));
        unpack_super(type, block + super_low(type), block + super_high(type), j, w);
#pragma GCC unroll 8
        for (size_t g = 0; g < GROUPS; g++) { /* two bytes at once: 31 * 7 < 256, no carry */
            _mm512_store_si512(out->digits[0][8 * j + g], _mm512_mullo_epi16(w[g], low));
            _mm512_store_si512(out->digits[1][8 * j + g], _mm512_mullo_epi16(w[g], high));
        }
    }
    const __m512i first = _mm512_set1_epi32(0xffff);
    for (size_t i = 0; i < 4; i++) {
        __m512i pair = load_min_pairs(block + super_mins(type) + i * 2 * PANEL_ROWS);
        _mm512_store_si512(out->mins[2 * i], twice(_mm512_and_si512(pair, first)));
        _mm512_store_si512(out->mins[2 * i + 1], twice(_mm512_srli_epi32(pair, 16)));
    }
}

ALWAYS_INLINE void product_256(const int8_t *q, const struct chunk_super *w)
{
    _tile_zero(4);
    _tile_zero(5);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        _tile_loadd(0, q + TOKENS * 64 * i, 64);
        _tile_loadd(2, w->digits[0][16 * i], LINE);
        _tile_loadd(3, w->digits[1][16 * i], LINE);
        _tile_dpbsud(4, 0, 2);
        _tile_dpbsud(5, 0, 3);
    }
}

/* The same for the tokens that fill no tile. */
ALWAYS_INLINE void product_256_rest(const int8_t *q, const struct chunk_super *w)
{
    _tile_zero(6);
    _tile_zero(7);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        _tile_loadd(1, q + TOKENS * 64 * i, 64);
        _tile_loadd(2, w->digits[0][16 * i], LINE);
        _tile_loadd(3, w->digits[1][16 * i], LINE);
        _tile_dpbsud(6, 1, 2);
        _tile_dpbsud(7, 1, 3);
    }
}

/* A token's chain through block b. */
ALWAYS_INLINE void add_super(const struct chunk_super *w, const struct act *x, size_t t, size_t b,
                             const int32_t *low, const int32_t *high, float *y)
{
    const int16_t *sum = x->q8k_sum + t * 2 * x->b_stride + b * 16;
    const __m512 scale = _mm512_set1_ps(x->q8k_scale[t * x->b_stride + b]);
    const __m512 d = load_f16(w->block + SUPER_D), dmin = load_f16(w->block + SUPER_DMIN);
    __m512 acc = b == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(y);
    __m512i isum =
        _mm512_add_epi32(_mm512_load_si512(low), _mm512_slli_epi32(_mm512_load_si512(high), 3));
    __m512i mins = _mm512_setzero_si512();
    acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, scale), acc);
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++)
        mins = _mm512_dpwssd_epi32(mins, _mm512_load_si512(w->mins[j]), broadcast4(sum + 2 * j));
    acc = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mins), _mm512_mul_ps(dmin, scale), acc);
    _mm512_storeu_ps(y, acc);
}

/* Tokens [t0, t1) by block b, which is the chunk's i-th. */
ALWAYS_INLINE void tokens_super(const struct chunk_super *w, size_t b, size_t i,
                                const struct act *x, size_t t0, size_t t1,
                                int8_t tiles[MOST_TOKENS / TOKENS][TOKENS * CHUNK_INPUTS], float *y,
                                size_t y_stride)
{
    _Alignas(LINE) int32_t low[TOKENS][PANEL_ROWS], high[TOKENS][PANEL_ROWS];
    const size_t whole = t0 + (t1 - t0) / TOKENS * TOKENS;
    if (whole > t0)
        product_256(tiles[0] + i * TOKENS * 256, w);
    for (size_t t = t0; t < t1; t += TOKENS) {
        if (t < whole) {
            _tile_stored(4, low, LINE);
            _tile_stored(5, high, LINE);
        } else {
            product_256_rest(tiles[(t - t0) / TOKENS] + i * TOKENS * 256, w);
            _tile_stored(6, low, LINE);
            _tile_stored(7, high, LINE);
        }
        if (t + TOKENS < whole)
            product_256(tiles[(t - t0) / TOKENS + 1] + i * TOKENS * 256, w);
        const size_t n = t1 - t < TOKENS ? t1 - t : TOKENS;
        for (size_t j = 0; j < n; j++)
            add_super(w, x, t + j, b, low[j], high[j], y + (t + j) * y_stride);
    }
}

ALWAYS_INLINE void panels_super(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                                const struct act *x, size_t t0, size_t t1, float *y,
                                size_t y_stride)
{
    struct chunk_super chunk;
    _Alignas(LINE) int8_t tiles[MOST_TOKENS / TOKENS][TOKENS * CHUNK_INPUTS];
    const size_t n_blocks = w->n_cols / 256, step = CHUNK_INPUTS / 256;
    configure(64, (t1 - t0) % TOKENS);
    for (size_t b0 = 0; b0 < n_blocks; b0 += step) {
        const size_t end = n_blocks - b0 < step ? n_blocks : b0 + step;
        lay_tiles(x->q8k, x->q_stride, t0, t1, b0 * 256, (end - b0) * 256, 64, tiles);
        const ptrdiff_t on =
            next_chunk(w, p0, p1, end == n_blocks, (ptrdiff_t)(b0 * super_bytes(type)),
                       (ptrdiff_t)(end * super_bytes(type)));
        for (size_t p = p0; p < p1; p++) {
            for (size_t b = b0; b < end; b++) {
                unpack_block(type, w->panels + p * w->panel_bytes + b * super_bytes(type),
                             p + 1 < p1 ? (ptrdiff_t)w->panel_bytes : on, &chunk);
                compiler_barrier();
                tokens_super(&chunk, b, b - b0, x, t0, t1, tiles, y + p * PANEL_ROWS, y_stride);
            }
        }
    }
}

/* --- loops --- */

typedef void panels_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                             size_t t0, size_t t1, float *y, size_t y_stride);
typedef void matmul_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                             size_t n_tokens, float *y, size_t y_stride);

static struct act from_token(enum weight_type type, const struct act *x, size_t t)
{
    struct act rest = *x;
    if (weight_infos[type].activation == ACT_Q8) {
        rest.q8 += t * x->q_stride;
        rest.q8_scale += t * x->b_stride;
        rest.q8_sum += t * x->b_stride;
    } else {
        rest.q8k += t * x->q_stride;
        rest.q8k_scale += t * x->b_stride;
        rest.q8k_sum += t * 2 * x->b_stride;
    }
    return rest;
}

/* Tiles, and what few tokens are left without; groups of panels stay in the second-level cache
 * between them. */
static void matmul(panels_function *tiles, matmul_function *few, const struct matrix *w, size_t p0,
                   size_t p1, const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    const size_t group = w->panel_bytes < GROUP_BYTES ? GROUP_BYTES / w->panel_bytes : 1;
    for (size_t t = 0, n; t < n_tokens; t += n) {
        n = n_tokens - t < MOST_TOKENS ? n_tokens - t : MOST_TOKENS;
        const size_t rest = n % TOKENS < LEAST_REST ? n % TOKENS : 0, whole = t + n - rest;
        const struct act x_rest = from_token(w->type, x, whole);
        for (size_t p = p0; p < p1; p += group) {
            const size_t end = p1 - p < group ? p1 : p + group;
            if (whole > t)
                tiles(w, p, end, x, t, whole, y, y_stride);
            if (rest > 0)
                few(w, p, end, &x_rest, rest, y + whole * y_stride, y_stride);
        }
    }
    _tile_release();
}

#define DEFINE_MATMUL(name, type, shape)                                                           \
    static void tiles_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,    \
                             size_t t0, size_t t1, float *y, size_t y_stride)                      \
    {                                                                                              \
        panels_##shape(type, w, p0, p1, x, t0, t1, y, y_stride);                                   \
    }                                                                                              \
    void amx_matmul_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,      \
                           size_t n_tokens, float *y, size_t y_stride)                             \
    {                                                                                              \
        if (n_tokens < LEAST_ALONE)                                                                \
            avx512_matmul_##name(w, p0, p1, x, n_tokens, y, y_stride);                             \
        else                                                                                       \
            matmul(tiles_##name, avx512_matmul_##name, w, p0, p1, x, n_tokens, y, y_stride);       \
    }

DEFINE_MATMUL(q8_0, WEIGHT_Q8_0, paired)
DEFINE_MATMUL(q4_0, WEIGHT_Q4_0, paired)
DEFINE_MATMUL(q4_1, WEIGHT_Q4_1, paired)
DEFINE_MATMUL(q5_0, WEIGHT_Q5_0, paired)
DEFINE_MATMUL(q5_1, WEIGHT_Q5_1, paired)
DEFINE_MATMUL(iq4_nl, WEIGHT_IQ4_NL, paired)
DEFINE_MATMUL(mxfp4, WEIGHT_MXFP4, paired)
DEFINE_MATMUL(q4_k, WEIGHT_Q4_K, super)
DEFINE_MATMUL(q5_k, WEIGHT_Q5_K, super)
#endif
