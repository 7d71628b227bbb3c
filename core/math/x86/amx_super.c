/* amx_super.c - products of tokens with matrices in blocks of 256, in AMX tiles. Pure; any
 * thread.
 *
 * A quant times its scale has up to 13 bits: two bytes of it, so that the tiles add all of a block,
 * once for each.
 */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/amx_tiles.h"

/* Unsigned quants and scales: the scale's digits of three bits instead, of which a quant's product
 * is a byte that needs no taking apart. */
ALWAYS_INLINE bool has_digits(enum weight_type type)
{
    return quant_has_min(type);
}

enum { PAIRS = 8 }; /* of minimums, at most */

/* A panel's block. */
struct super_chunk {
    _Alignas(LINE) uint8_t parts[2][64][LINE]; /* lower and higher; lines of the whole block */
    const uint8_t *block, *next;               /* what is read after it: asked for meanwhile */
};

/* The tokens' part of it. */
struct super_tokens {
    size_t n;
    const int8_t *q; /* of the first */
    size_t q_stride;
    _Alignas(
        LINE) int8_t rest[TOKENS * 256]; /* those that fill no tile; beyond: whatever is there */
    int16_t sum[MOST_TOKENS][2 * PAIRS]; /* of the inputs that share a scale */
    float scale[MOST_TOKENS];
};

/* Four bytes of a lane by a scale; s: in both halves of each lane. */
ALWAYS_INLINE void split_digits(__m512i w, __m512i s, uint8_t *low, uint8_t *high)
{ /* two bytes at once: 31 * 7 < 256, no carry */
    const __m512i three = _mm512_set1_epi16(7);
    _mm512_store_si512(low, _mm512_mullo_epi16(w, _mm512_and_si512(s, three)));
    _mm512_store_si512(high, _mm512_mullo_epi16(w, _mm512_srli_epi16(s, 3)));
}

ALWAYS_INLINE void split_bytes(__m512i w, __m512i s, int32_t offset, uint8_t *low, uint8_t *high)
{
    const __m512i moved = _mm512_set1_epi16((int16_t)offset);
    const __m512i first = _mm512_and_si512(w, _mm512_set1_epi16(0xff));
    const __m512i even = _mm512_mullo_epi16(_mm512_sub_epi16(first, moved), s);
    const __m512i odd = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(w, 8), moved), s);
    const __mmask64 odd_bytes = 0xaaaaaaaaaaaaaaaa;
    _mm512_store_si512(low, _mm512_mask_blend_epi8(odd_bytes, even, _mm512_slli_epi16(odd, 8)));
    _mm512_store_si512(high, _mm512_mask_blend_epi8(odd_bytes, _mm512_srli_epi16(even, 8), odd));
}

/* The 32 inputs at 32 j. */
ALWAYS_INLINE void unpack_part(enum weight_type type, const uint8_t *block, size_t j,
                               struct super_chunk *out)
{
    const bool by_32 = super_n_scales(type) == 8;
    const uint8_t *scales = block + SUPER_SCALES + (by_32 ? j : 2 * j) * PANEL_ROWS;
    __m512i w[GROUPS], s[2];
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++) {
        s[i] = load_scales(by_32 ? scales : scales + i * PANEL_ROWS, !quant_has_min(type));
        s[i] = _mm512_or_si512(_mm512_and_si512(s[i], _mm512_set1_epi32(0xffff)),
                               _mm512_slli_epi32(s[i], 16));
    }
    unpack_super(type, block + super_low(type), block + super_high(type), j, w);
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        uint8_t *low = out->parts[0][8 * j + g], *high = out->parts[1][8 * j + g];
        if (has_digits(type))
            split_digits(w[g], s[g / 4], low, high);
        else
            split_bytes(w[g], s[g / 4], offset_of(type), low, high);
    }
}

/* Tokens [t0, t1), block b. */
ALWAYS_INLINE void lay_tokens(enum weight_type type, const struct act *x, size_t t0, size_t t1,
                              size_t b, struct super_tokens *out)
{
    const size_t whole = (t1 - t0) / TOKENS * TOKENS;
    out->n = t1 - t0;
    out->q = x->q8k + t0 * x->q_stride + b * 256;
    out->q_stride = x->q_stride;
    for (size_t i = 0; i < out->n; i++) {
        if (quant_has_min(type))
            join_sums(type, x->q8k_sum + (t0 + i) * 2 * x->b_stride + b * 16, out->sum[i]);
        out->scale[i] = x->q8k_scale[(t0 + i) * x->b_stride + b];
    }
    for (size_t i = whole; i < out->n; i++)
        memcpy(out->rest + (i - whole) * 256, out->q + i * out->q_stride, 256);
}

/* Sixteen tokens from t on: where they lie. */
ALWAYS_INLINE const int8_t *tile_of(const struct super_tokens *x, size_t t, size_t *stride)
{
    const bool whole = x->n - t >= TOKENS;
    *stride = whole ? x->q_stride : 256;
    return whole ? x->q + t * x->q_stride : x->rest;
}

/* 64 inputs: tokens from q on into tiles 4 and 5, those from q2 on, where there are some, into 6
 * and 7. */
ALWAYS_INLINE void multiply_quarter(enum weight_type type, const struct super_chunk *w, size_t i,
                                    const int8_t *q, size_t stride, const int8_t *q2,
                                    size_t stride2)
{
    _tile_loadd(2, w->parts[0][16 * i], LINE);
    _tile_loadd(3, w->parts[1][16 * i], LINE);
    _tile_loadd(0, q + 64 * i, stride);
    _tile_dpbsud(4, 0, 2);
    if (has_digits(type))
        _tile_dpbsud(5, 0, 3);
    else
        _tile_dpbssd(5, 0, 3);
    if (q2 == NULL)
        return;
    _tile_loadd(1, q2 + 64 * i, stride2);
    _tile_dpbsud(6, 1, 2);
    if (has_digits(type))
        _tile_dpbsud(7, 1, 3);
    else
        _tile_dpbssd(7, 1, 3);
}

ALWAYS_INLINE void zero_sums(void)
{
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

/* Of one tile of tokens, or of two. */
struct super_sums {
    _Alignas(LINE) int32_t low[2 * TOKENS][PANEL_ROWS];
    _Alignas(LINE) int32_t high[2 * TOKENS][PANEL_ROWS];
};

ALWAYS_INLINE void store_sums(struct super_sums *sums, bool two)
{
    _tile_stored(4, sums->low, LINE);
    _tile_stored(5, sums->high, LINE);
    if (!two)
        return;
    _tile_stored(6, sums->low + TOKENS, LINE);
    _tile_stored(7, sums->high + TOKENS, LINE);
}

/* The tile at t, and the one after it where there is one. */
ALWAYS_INLINE void product(enum weight_type type, const struct super_chunk *w,
                           const struct super_tokens *x, size_t t)
{
    const bool two = x->n - t > TOKENS;
    size_t stride, stride2 = 0;
    const int8_t *q = tile_of(x, t, &stride), *q2 = two ? tile_of(x, t + TOKENS, &stride2) : NULL;
    zero_sums();
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        multiply_quarter(type, w, i, q, stride, q2, stride2);
}

/* What tokens' chains through a block need of its rows, in registers. */
struct super_rows {
    __m512 scale, min_scale;
    __m512i mins[PAIRS];
};

ALWAYS_INLINE size_t n_pairs(enum weight_type type)
{
    return quant_has_min(type) ? super_n_scales(type) / 2 : 0;
}

ALWAYS_INLINE void load_rows(enum weight_type type, const uint8_t *block, struct super_rows *out)
{
    out->scale = load_unit_f16(type, block + SUPER_D);
    out->min_scale = load_f16(block + SUPER_DMIN);
#pragma GCC unroll 8
    for (size_t i = 0; i < n_pairs(type); i++)
        out->mins[i] = load_min_pairs(block + super_mins(type) + i * 2 * PANEL_ROWS);
}

ALWAYS_INLINE __m512i join(enum weight_type type, const int32_t *low, const int32_t *high)
{
    __m512i v = _mm512_load_si512(high);
    if (!has_digits(type))
        return _mm512_add_epi32(_mm512_load_si512(low), _mm512_slli_epi32(v, 8));
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) /* by 8: see to_floats */
        v = _mm512_add_epi32(v, v);
    return _mm512_add_epi32(_mm512_load_si512(low), v);
}

/* A token's chain through a block. */
ALWAYS_INLINE __m512 add_block(enum weight_type type, const struct super_rows *w, float scale,
                               const int16_t *sum, const int32_t *low, const int32_t *high,
                               __m512 acc)
{
    const __m512 s = _mm512_set1_ps(scale);
    acc =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(join(type, low, high)), _mm512_mul_ps(w->scale, s), acc);
    if (!quant_has_min(type))
        return acc;
    __m512i mins = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (size_t i = 0; i < n_pairs(type); i++)
        mins = _mm512_dpwssd_epi32(mins, w->mins[i], broadcast4(sum + 2 * i));
    return _mm512_fnmadd_ps(to_floats(mins), _mm512_mul_ps(w->min_scale, s), acc);
}

/* n tokens' chains through a block, whose sums are there; sum: 2 * PAIRS of each. is_first: of the
 * row. */
ALWAYS_INLINE void add_tokens(enum weight_type type, const struct super_rows *w, size_t n,
                              const float *scale, const int16_t *sum, const struct super_sums *sums,
                              bool is_first, float *y, size_t y_stride)
{
    for (size_t t = 0; t < n; t++, y += y_stride) {
        const __m512 acc = is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(y);
        _mm512_storeu_ps(
            y, add_block(type, w, scale[t], sum + t * 2 * PAIRS, sums->low[t], sums->high[t], acc));
    }
}

/* Tokens by a block; is_first: of the row. */
ALWAYS_INLINE void pass_tokens(enum weight_type type, const struct super_chunk *w,
                               const struct super_tokens *x, bool is_first, float *y,
                               size_t y_stride)
{
    enum { PAIR = 2 * TOKENS };
    struct super_sums sums;
    struct super_rows rows;
    const size_t n_lines = super_bytes(type) / LINE + 1;
    load_rows(type, w->block, &rows);
    product(type, w, x, 0);
    for (size_t t = 0; t < x->n; t += PAIR) {
        const size_t n = x->n - t < PAIR ? x->n - t : PAIR;
        const size_t line = share_of(n_lines, t, x->n), end = share_of(n_lines, t + n, x->n);
        store_sums(&sums, n > TOKENS);
        if (t + PAIR < x->n) /* while the sums are used */
            product(type, w, x, t + PAIR);
        prefetch(w->next + line * LINE, end - line);
        add_tokens(type, &rows, n, x->scale + t, x->sum[t], &sums, is_first, y + t * y_stride,
                   y_stride);
    }
}

/* Panels [p0, p1), tokens [t0, t1), block by block. */
ALWAYS_INLINE void panels(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                          const struct act *x, size_t t0, size_t t1, float *y, size_t y_stride)
{
    struct super_chunk chunk;
    struct super_tokens tokens;
    const size_t n_blocks = w->n_cols / 256, bytes = super_bytes(type);
    configure(64, TOKENS, TOKENS);
    for (size_t b = 0; b < n_blocks; b++) {
        lay_tokens(type, x, t0, t1, b, &tokens);
        const ptrdiff_t on = next_chunk(w, p0, p1, b + 1 == n_blocks, (ptrdiff_t)(b * bytes),
                                        (ptrdiff_t)((b + 1) * bytes));
        for (size_t p = p0; p < p1; p++) {
            chunk.block = w->panels + p * w->panel_bytes + b * bytes;
            chunk.next = chunk.block + (p + 1 < p1 ? (ptrdiff_t)w->panel_bytes : on);
            for (size_t j = 0; j < 8; j++)
                unpack_part(type, chunk.block, j, &chunk);
            compiler_barrier();
            pass_tokens(type, &chunk, &tokens, b == 0, y + t0 * y_stride + p * PANEL_ROWS,
                        y_stride);
        }
    }
}

/* --- one tile of tokens, or two: a block's products while the next one is unpacked and later ones
 * are asked for --- */

enum {
    FEW_INPUTS = 256, /* n_cols are multiples of it */
    FEW_BLOCKS = 32,  /* of a row, at a time */
    FEW_TOKENS = 2 * TOKENS,
};

/* Of the tokens, by blocks: sums of the inputs that share a scale, and scales. */
struct super_scales {
    int16_t sum[FEW_BLOCKS][FEW_TOKENS][2 * PAIRS];
    float scale[FEW_BLOCKS][FEW_TOKENS];
};

/* A block in panels one after the other, n blocks of each. */
struct super_place {
    const uint8_t *block;
    size_t i, n;
};

ALWAYS_INLINE void few_step(const struct matrix *w, size_t block_bytes, struct super_place *place)
{
    place->block += block_bytes;
    if (++place->i < place->n)
        return;
    place->i = 0;
    place->block += w->panel_bytes - place->n * block_bytes;
}

ALWAYS_INLINE void few_lay(enum weight_type type, const struct act *x, size_t n_tokens, size_t b0,
                           size_t n_blocks, struct super_scales *out)
{
    for (size_t t = 0; t < n_tokens; t++) {
        for (size_t i = 0; i < n_blocks; i++) {
            const size_t b = b0 + i;
            if (quant_has_min(type))
                join_sums(type, x->q8k_sum + t * 2 * x->b_stride + b * 16, out->sum[i][t]);
            out->scale[i][t] = x->q8k_scale[t * x->b_stride + b];
        }
    }
}

/* The sums of block `now`, while `next` is unpacked. */
ALWAYS_INLINE void few_multiply(enum weight_type type, const struct super_chunk *now,
                                const int8_t *q, const int8_t *q2, size_t q_stride,
                                struct super_chunk *next, struct super_sums *sums)
{
    const size_t lines = super_bytes(type) / LINE / 8 + 1; /* of an eighth */
    zero_sums();
    compiler_barrier();
    for (size_t i = 0; i < 4; i++) {
        multiply_quarter(type, now, i, q, q_stride, q2, q_stride);
        for (size_t j = 2 * i; j < 2 * i + 2; j++) {
            prefetch(next->next + j * lines * LINE, lines);
            unpack_part(type, next->block, j, next);
        }
    }
    store_sums(sums, q2 != NULL);
}

/* Blocks [b0, b0 + n) of panels [p0, p1). */
ALWAYS_INLINE void few_pass(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                            const struct act *x, size_t n_tokens, size_t b0, size_t n, float *y,
                            size_t y_stride)
{
    const size_t bytes = super_bytes(type);
    struct super_sums sums;
    struct super_chunk ring[2];
    struct super_scales tokens;
    struct super_place unpacked = {w->panels + p0 * w->panel_bytes + b0 * bytes, 0, n};
    struct super_place asked = unpacked;
    few_lay(type, x, n_tokens, b0, n, &tokens);
    for (size_t i = 0; i < AHEAD / bytes + 1; i++)
        few_step(w, bytes, &asked);
    ring[0].block = unpacked.block;
    for (size_t j = 0; j < 8; j++)
        unpack_part(type, ring[0].block, j, &ring[0]);
    for (size_t p = p0, k = 0; p < p1; p++) {
        for (size_t i = 0; i < n; i++, k++) {
            const struct super_chunk *now = &ring[k % 2];
            struct super_chunk *next = &ring[(k + 1) % 2];
            const bool is_last = p + 1 == p1 && i + 1 == n;
            struct super_rows rows;
            few_step(w, bytes, &unpacked);
            few_step(w, bytes, &asked);
            next->block = is_last ? now->block : unpacked.block; /* again: thrown away */
            next->next = asked.block;
            load_rows(type, now->block, &rows);
            const int8_t *q = x->q8k + (b0 + i) * 256;
            const int8_t *q2 = n_tokens > TOKENS ? q + TOKENS * x->q_stride : NULL;
            few_multiply(type, now, q, q2, x->q_stride, next, &sums);
            add_tokens(type, &rows, n_tokens, tokens.scale[i], tokens.sum[i][0], &sums, b0 + i == 0,
                       y + p * PANEL_ROWS, y_stride);
        }
    }
}

/* Panels [p0, p1), at least one, by up to FEW_TOKENS tokens. */
ALWAYS_INLINE void few(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                       const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    const size_t n_blocks = w->n_cols / 256;
    if (n_tokens > TOKENS)
        configure(64, TOKENS, n_tokens - TOKENS);
    else
        configure(64, n_tokens, TOKENS);
    for (size_t b = 0; b < n_blocks; b += FEW_BLOCKS)
        few_pass(type, w, p0, p1, x, n_tokens, b,
                 n_blocks - b < FEW_BLOCKS ? n_blocks - b : FEW_BLOCKS, y, y_stride);
    _tile_release();
}

/* Few tokens are worth a tile, but where two bytes of a weight take longer to make. */
#define DEFINE_SUPER(name, type)                                                                   \
    DEFINE_MATMUL(name, type, has_digits(type) ? 5 : HALF + 1, FEW_TOKENS, FEW_TOKENS + 1)

DEFINE_SUPER(q2_k, WEIGHT_Q2_K)
DEFINE_SUPER(q3_k, WEIGHT_Q3_K)
DEFINE_SUPER(q4_k, WEIGHT_Q4_K)
DEFINE_SUPER(q5_k, WEIGHT_Q5_K)
DEFINE_SUPER(q6_k, WEIGHT_Q6_K)
DEFINE_SUPER(iq4_xs, WEIGHT_IQ4_XS)
DEFINE_SUPER(iq1_s, WEIGHT_IQ1_S)
DEFINE_SUPER(iq1_m, WEIGHT_IQ1_M)
DEFINE_SUPER(iq2_xxs, WEIGHT_IQ2_XXS)
DEFINE_SUPER(iq2_xs, WEIGHT_IQ2_XS)
DEFINE_SUPER(iq2_s, WEIGHT_IQ2_S)
DEFINE_SUPER(iq3_xxs, WEIGHT_IQ3_XXS)
DEFINE_SUPER(iq3_s, WEIGHT_IQ3_S)
DEFINE_SUPER(tq1_0, WEIGHT_TQ1_0)
DEFINE_SUPER(tq2_0, WEIGHT_TQ2_0)
#endif
