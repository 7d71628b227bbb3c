/* vnni.h - products with quantized matrices where the processor has VNNI: one source for 8
 * lanes (AVX-VNNI) and 16 (AVX-512).
 *
 * Included once by a file that defines VNNI_LANES and VNNI_NAME(name), and is compiled with the
 * instructions. vpdpbusd adds four products of unsigned and signed bytes to 32 bits without
 * saturation, so every integer sum is exact whatever its order; weights whose quants are signed are
 * moved up by their type's offset, and a token's record begins the sum with what that adds too
 * much. The order of the floating-point operations is kernels_ref.c's.
 *
 * Two vectors of rows pass the tokens together where registers allow, so that a token's broadcast
 * serves both. Private to core/math.
 */
#include "math/x86/lanes.h"

enum {
    VECTORS = PANEL_ROWS / LANES,   /* of a panel */
    TOGETHER = LANES == 16 ? 2 : 1, /* vectors that pass the tokens at once */
    TILE = 16,                      /* tokens */
    /* Bytes of records: with a panel's lines they fit a 32 KiB first-level cache. */
    CHUNK_BYTES = 24 << 10,
    /* Bytes of panels that pass the tokens' tiles together: half a second-level cache. */
    GROUP_BYTES = 1 << 18,
};

/* --- what a token's inputs look like to the loops: a record for each (block, token) --- */

struct vnni_act_paired {
    int8_t q[32];
    int32_t bias; /* -offset * sum of q */
    float scale;
    float sum; /* of q: for minimums */
};

struct vnni_act_super {
    int8_t q[256];
    int32_t bias[16]; /* -offset * sum, one each 16 inputs or each 32 */
    int16_t sum[16];  /* the same sums: for minimums */
    float scale;
};

ALWAYS_INLINE void lay_paired(enum weight_type type, const struct act *x, size_t t, size_t b,
                              struct vnni_act_paired *out)
{
    int32_t sum = x->q8_sum[t * x->b_stride + b];
    memcpy(out->q, x->q8 + t * x->q_stride + b * 32, 32);
    out->bias = -offset_of(type) * sum;
    out->scale = x->q8_scale[t * x->b_stride + b];
    out->sum = (float)sum;
}

ALWAYS_INLINE void lay_super(enum weight_type type, const struct act *x, size_t t, size_t b,
                             struct vnni_act_super *out)
{
    memcpy(out->q, x->q8k + t * x->q_stride + b * 256, 256);
    join_sums(type, x->q8k_sum + t * 2 * x->b_stride + b * 16, out->sum);
    for (size_t j = 0; j < super_n_scales(type); j++)
        out->bias[j] = -offset_of(type) * out->sum[j];
    out->scale = x->q8k_scale[t * x->b_stride + b];
}

/* --- products --- */

/* start + the sum over n groups of 4 inputs. */
ALWAYS_INLINE vec_i dot(vec_i start, const vec_i *w, const int8_t *q, size_t n)
{
#pragma GCC unroll 8
    for (size_t g = 0; g < n; g++)
        start = V_DPBUSD(start, w[g], broadcast4(q + 4 * g));
    return start;
}

/* Vectors of rows that pass the tokens together: their panels, and where their results go. Weights
 * are asked for as far ahead as AHEAD says, in the order in which they will be read: from block
 * `turn` on that is the next vectors'. */
struct rows {
    const uint8_t *panel[TOGETHER];
    size_t lane[TOGETHER]; /* the first, 0 or 8 */
    float *y[TOGETHER];    /* of the tile's first token */
    size_t turn;
    ptrdiff_t ahead, jump; /* bytes from a block to the one that is asked for, before and after */
};

ALWAYS_INLINE ptrdiff_t ahead_of(const struct rows *rows, size_t b)
{
    return b < rows->turn ? rows->ahead : rows->jump;
}

ALWAYS_INLINE void load_chains(vec_f acc[TOGETHER][TILE], const struct rows *rows, size_t n_vectors,
                               size_t n_tokens, bool first, size_t y_stride)
{
#pragma GCC unroll 2
    for (size_t v = 0; v < n_vectors; v++) {
        for (size_t t = 0; t < n_tokens; t++)
            acc[v][t] = first ? V(setzero_ps)() : V(loadu_ps)(rows->y[v] + t * y_stride);
    }
}

ALWAYS_INLINE void store_chains(vec_f acc[TOGETHER][TILE], const struct rows *rows,
                                size_t n_vectors, size_t n_tokens, size_t y_stride)
{
#pragma GCC unroll 2
    for (size_t v = 0; v < n_vectors; v++) {
        for (size_t t = 0; t < n_tokens; t++)
            V(storeu_ps)(rows->y[v] + t * y_stride, acc[v][t]);
    }
}

ALWAYS_INLINE void rows_paired(enum weight_type type, const struct rows *rows, size_t n_vectors,
                               size_t b0, size_t n, const struct vnni_act_paired *a,
                               size_t n_tokens, bool first, size_t y_stride)
{
    vec_f acc[TOGETHER][TILE];
    load_chains(acc, rows, n_vectors, n_tokens, first, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a += n_tokens) {
        vec_i w[TOGETHER][GROUPS];
        vec_f d[TOGETHER], m[TOGETHER];
#pragma GCC unroll 2
        for (size_t v = 0; v < n_vectors; v++) {
            const uint8_t *scales =
                rows->panel[v] + paired_scales(type, b) + quant_scale_bytes(type) * rows->lane[v];
            const uint8_t *lines = rows->panel[v] + paired_quants(type, b) + 4 * rows->lane[v];
            if (rows->lane[v] == 0)
                prefetch(lines + ahead_of(rows, b), panel_quants_bytes(type) / LINE + 1);
            unpack_paired(type, lines, w[v]);
            d[v] = load_block_scales(type, scales);
            if (quant_has_min(type))
                m[v] = load_f16(scales + LINE);
        }
        for (size_t t = 0; t < n_tokens; t++) {
            const vec_f scale = V(set1_ps)(a[t].scale);
#pragma GCC unroll 2
            for (size_t v = 0; v < n_vectors; v++) {
                vec_i isum = dot(V(set1_epi32)(a[t].bias), w[v], a[t].q, GROUPS);
                vec_f y = V(fmadd_ps)(V(cvtepi32_ps)(isum), V(mul_ps)(d[v], scale), acc[v][t]);
                if (quant_has_min(type))
                    y = V(fmadd_ps)(V(set1_ps)(a[t].sum), V(mul_ps)(m[v], scale), y);
                acc[v][t] = y;
            }
        }
    }
    store_chains(acc, rows, n_vectors, n_tokens, y_stride);
}

/* A block of 256's part of the rows' chains, once its integer sums are there. */
ALWAYS_INLINE void end_super(enum weight_type type, const uint8_t *block, size_t lane,
                             const vec_i *isum, const struct vnni_act_super *a, size_t n_tokens,
                             vec_f *acc)
{
    const vec_f d = load_unit_f16(type, block + SUPER_D + 2 * lane),
                dmin = load_f16(block + SUPER_DMIN + 2 * lane);
    const size_t n_pairs = quant_has_min(type) ? super_n_scales(type) / 2 : 0;
    vec_i min_pairs[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_pairs; i++)
        min_pairs[i] = load_min_pairs(block + super_mins(type) + i * 2 * PANEL_ROWS + 2 * lane);
    for (size_t t = 0; t < n_tokens; t++) {
        const vec_f scale = V(set1_ps)(a[t].scale);
        acc[t] = V(fmadd_ps)(V(cvtepi32_ps)(isum[t]), V(mul_ps)(d, scale), acc[t]);
        if (quant_has_min(type)) {
            vec_i mins = V_ZERO();
#pragma GCC unroll 8
            for (size_t i = 0; i < n_pairs; i++)
                mins = V_DPWSSD(mins, min_pairs[i], broadcast4(a[t].sum + 2 * i));
            acc[t] = V(fnmadd_ps)(V(cvtepi32_ps)(mins), V(mul_ps)(dmin, scale), acc[t]);
        }
    }
}

ALWAYS_INLINE void rows_super(enum weight_type type, const struct rows *rows, size_t n_vectors,
                              size_t b0, size_t n, const struct vnni_act_super *a, size_t n_tokens,
                              bool first, size_t y_stride)
{
    vec_f acc[TOGETHER][TILE];
    const bool by_32 = super_n_scales(type) == 8, is_signed = !quant_has_min(type);
    load_chains(acc, rows, n_vectors, n_tokens, first, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a += n_tokens) {
        vec_i isum[TOGETHER][TILE];
        for (size_t j = 0; j < 8; j++) {
            vec_i w[TOGETHER][GROUPS], s0[TOGETHER], s1[TOGETHER];
            const size_t i = by_32 ? j : 2 * j;
#pragma GCC unroll 2
            for (size_t v = 0; v < n_vectors; v++) {
                const uint8_t *block = rows->panel[v] + b * super_bytes(type);
                const uint8_t *scales = block + SUPER_SCALES + i * PANEL_ROWS + rows->lane[v];
                const size_t share = super_bytes(type) / LINE / 8;
                if (rows->lane[v] == 0)
                    prefetch(block + ahead_of(rows, b) + j * share * LINE, share + 1);
                unpack_super(type, block + super_low(type) + 4 * rows->lane[v],
                             block + super_high(type) + 4 * rows->lane[v], j, w[v]);
                s0[v] = load_scales(scales, is_signed);
                s1[v] = by_32 ? s0[v] : load_scales(scales + PANEL_ROWS, is_signed);
            }
            for (size_t t = 0; t < n_tokens; t++) {
                const int8_t *q = a[t].q + 32 * j;
#pragma GCC unroll 2
                for (size_t v = 0; v < n_vectors; v++) {
                    vec_i start = offset_of(type) == 0 ? V_ZERO() : V(set1_epi32)(a[t].bias[i]);
                    vec_i sum = V(mullo_epi32)(dot(start, w[v], q, by_32 ? 8 : 4), s0[v]);
                    if (!by_32) {
                        start = offset_of(type) == 0 ? V_ZERO() : V(set1_epi32)(a[t].bias[i + 1]);
                        sum = V(add_epi32)(sum,
                                           V(mullo_epi32)(dot(start, w[v] + 4, q + 16, 4), s1[v]));
                    }
                    isum[v][t] = j == 0 ? sum : V(add_epi32)(isum[v][t], sum);
                }
            }
        }
#pragma GCC unroll 2
        for (size_t v = 0; v < n_vectors; v++)
            end_super(type, rows->panel[v] + b * super_bytes(type), rows->lane[v], isum[v], a,
                      n_tokens, acc[v]);
    }
    store_chains(acc, rows, n_vectors, n_tokens, y_stride);
}

/* --- loops --- */

/* Where block b lies in a panel. */
ALWAYS_INLINE ptrdiff_t place_paired(enum weight_type type, size_t b)
{
    return (ptrdiff_t)paired_quants(type, b);
}

ALWAYS_INLINE ptrdiff_t place_super(enum weight_type type, size_t b)
{
    return (ptrdiff_t)(b * super_bytes(type));
}

/* Blocks that n_bytes take at least; even, as pairs of them may share a head. */
ALWAYS_INLINE size_t blocks_of(size_t n_bytes, ptrdiff_t pair_bytes)
{
    return (n_bytes + (size_t)pair_bytes - 1) / (size_t)pair_bytes * 2;
}

/* Panels [p0, p1) as a tile goes through them: for a chunk of blocks, vector by vector. */
struct panel_walk {
    const struct matrix *w;
    size_t p0, p1;
    size_t b, n_blocks; /* the chunk */
    bool is_last;       /* chunk */
    size_t ahead;       /* bytes */
};

/* Vectors [v, v + n) of rows, counted over all panels. After them come the next ones, then the
 * first ones' next chunk, then what another call begins with. */
#define DEFINE_ROWS_AT(shape)                                                                      \
    ALWAYS_INLINE struct rows rows_at_##shape(                                                     \
        enum weight_type type, const struct panel_walk *walk, size_t v, size_t n, float *y)        \
    {                                                                                              \
        const size_t bytes = walk->w->panel_bytes, end = walk->b + walk->n_blocks;                 \
        const size_t whole =                                                                       \
            blocks_of(walk->ahead, place_##shape(type, 2) - place_##shape(type, 0));               \
        const size_t distance = whole < walk->n_blocks ? whole : walk->n_blocks;                   \
        const bool on = v + n < walk->p1 * VECTORS;                                                \
        const size_t next = on || walk->is_last ? (v + n) / VECTORS : walk->p0;                    \
        const size_t next_b = on ? walk->b : walk->is_last ? 0 : end;                              \
        struct rows rows = {.turn = end - distance};                                               \
        rows.ahead = place_##shape(type, distance) - place_##shape(type, 0);                       \
        rows.jump = ((ptrdiff_t)next - (ptrdiff_t)(v / VECTORS)) * (ptrdiff_t)bytes +              \
                    place_##shape(type, next_b) - place_##shape(type, rows.turn);                  \
        for (size_t i = 0; i < n; i++) {                                                           \
            rows.panel[i] = walk->w->panels + (v + i) / VECTORS * bytes;                           \
            rows.lane[i] = (v + i) % VECTORS * LANES;                                              \
            rows.y[i] = y + (v + i) * LANES;                                                       \
        }                                                                                          \
        return rows;                                                                               \
    }

DEFINE_ROWS_AT(paired)
DEFINE_ROWS_AT(super)

/* Panels [p0, p1) for tokens [t0, t0 + n_tokens): chunks of blocks outside, rows inside. One token,
 * whose chains then stay in registers, is compiled by itself. */
#define DEFINE_TILE(shape, block_values)                                                           \
    ALWAYS_INLINE void tile_##shape(enum weight_type type, const struct matrix *w, size_t p0,      \
                                    size_t p1, const struct act *x, size_t t0, size_t n_tokens,    \
                                    float *y, size_t y_stride)                                     \
    {                                                                                              \
        struct vnni_act_##shape records[CHUNK_BYTES / sizeof(struct vnni_act_##shape)];            \
        const size_t n_blocks = w->n_cols / (block_values), end = p1 * VECTORS;                    \
        const size_t step = sizeof records / sizeof records[0] / n_tokens;                         \
        for (size_t b = 0; b < n_blocks; b += step) {                                              \
            const size_t n = n_blocks - b < step ? n_blocks - b : step;                            \
            const struct panel_walk walk = {                                                       \
                w, p0, p1, b, n, b + n == n_blocks, n_tokens > 1 ? 2 * AHEAD : AHEAD};             \
            for (size_t i = 0; i < n; i++) {                                                       \
                for (size_t t = 0; t < n_tokens; t++)                                              \
                    lay_##shape(type, x, t0 + t, b + i, &records[i * n_tokens + t]);               \
            }                                                                                      \
            size_t v = p0 * VECTORS;                                                               \
            for (; n_tokens > 1 && v + TOGETHER <= end; v += TOGETHER) {                           \
                struct rows rows = rows_at_##shape(type, &walk, v, TOGETHER, y);                   \
                rows_##shape(type, &rows, TOGETHER, b, n, records, n_tokens, b == 0, y_stride);    \
            }                                                                                      \
            for (; v < end; v++) {                                                                 \
                struct rows rows = rows_at_##shape(type, &walk, v, 1, y);                          \
                rows_##shape(type, &rows, 1, b, n, records, n_tokens, b == 0, y_stride);           \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_TILE(paired, 32)
DEFINE_TILE(super, 256)

typedef void tile_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                           size_t t0, size_t n_tokens, float *y, size_t y_stride);

/* Groups of panels that stay in the second-level cache, tiles of tokens inside, as alike as can be:
 * 17 is 9 and 8. */
static void matmul(tile_function *single, tile_function *several, const struct matrix *w, size_t p0,
                   size_t p1, const struct act *x, size_t n_tokens, float *y, size_t y_stride)
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

#define DEFINE_MATMUL(name, type, shape)                                                           \
    static void single_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,   \
                              size_t t0, size_t n_tokens, float *y, size_t y_stride)               \
    {                                                                                              \
        (void)n_tokens;                                                                            \
        tile_##shape(type, w, p0, p1, x, t0, 1, y, y_stride);                                      \
    }                                                                                              \
    static void several_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,  \
                               size_t t0, size_t n_tokens, float *y, size_t y_stride)              \
    {                                                                                              \
        tile_##shape(type, w, p0, p1, x, t0, n_tokens, y, y_stride);                               \
    }                                                                                              \
    void VNNI_NAME(name)(const struct matrix *w, size_t p0, size_t p1, const struct act *x,        \
                         size_t n_tokens, float *y, size_t y_stride)                               \
    {                                                                                              \
        matmul(single_##name, several_##name, w, p0, p1, x, n_tokens, y, y_stride);                \
    }

DEFINE_MATMUL(q8_0, WEIGHT_Q8_0, paired)
DEFINE_MATMUL(q4_0, WEIGHT_Q4_0, paired)
DEFINE_MATMUL(q4_1, WEIGHT_Q4_1, paired)
DEFINE_MATMUL(q5_0, WEIGHT_Q5_0, paired)
DEFINE_MATMUL(q5_1, WEIGHT_Q5_1, paired)
DEFINE_MATMUL(iq4_nl, WEIGHT_IQ4_NL, paired)
DEFINE_MATMUL(mxfp4, WEIGHT_MXFP4, paired)
DEFINE_MATMUL(q2_k, WEIGHT_Q2_K, super)
DEFINE_MATMUL(q3_k, WEIGHT_Q3_K, super)
DEFINE_MATMUL(q4_k, WEIGHT_Q4_K, super)
DEFINE_MATMUL(q5_k, WEIGHT_Q5_K, super)
DEFINE_MATMUL(q6_k, WEIGHT_Q6_K, super)
DEFINE_MATMUL(iq4_xs, WEIGHT_IQ4_XS, super)
DEFINE_MATMUL(iq1_s, WEIGHT_IQ1_S, super)
DEFINE_MATMUL(iq1_m, WEIGHT_IQ1_M, super)
DEFINE_MATMUL(iq2_xxs, WEIGHT_IQ2_XXS, super)
DEFINE_MATMUL(iq2_xs, WEIGHT_IQ2_XS, super)
DEFINE_MATMUL(iq2_s, WEIGHT_IQ2_S, super)
DEFINE_MATMUL(iq3_xxs, WEIGHT_IQ3_XXS, super)
DEFINE_MATMUL(iq3_s, WEIGHT_IQ3_S, super)
DEFINE_MATMUL(tq1_0, WEIGHT_TQ1_0, super)
DEFINE_MATMUL(tq2_0, WEIGHT_TQ2_0, super)
