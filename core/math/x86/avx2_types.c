/* avx2_types.c - products with the less common quantized types in AVX2: Q4_1, Q5_0, Q5_1,
 * IQ4_NL, MXFP4, Q2_K, Q3_K, Q5_K, TQ1_0, TQ2_0 and IQ1_S to IQ4_XS.
 *
 * Two shapes serve them all, one for blocks of 32 and one for blocks of 256; only the unpacking
 * differs by type, a constant wherever these are inlined. Types with minimums have quants 0..31:
 * four products share a 16-bit lane. The others have signed quants: |w| * (q with w's sign), one
 * product pair a lane. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2_quant.h"

/* What makes MXFP4's values unsigned, 0..24, which are added as quants with minimums are. */
enum { MXFP4_OFFSET = 12 };

struct act_paired {
    int8_t q[32];
    float scale;
    float sum;    /* of q */
    int32_t bias; /* -MXFP4_OFFSET * sum */
};

struct act_super {
    int8_t q[256];
    int16_t sum[16]; /* of each 16 inputs, or of each 32 for the types with 8 scales */
    float scale;
};

static void lay_paired(const struct act *x, size_t t, size_t b, struct act_paired *out)
{
    memcpy(out->q, x->q8 + t * x->q_stride + b * 32, 32);
    out->scale = x->q8_scale[t * x->b_stride + b];
    out->sum = (float)x->q8_sum[t * x->b_stride + b];
    out->bias = -MXFP4_OFFSET * x->q8_sum[t * x->b_stride + b];
}

static void lay_super_16(const struct act *x, size_t t, size_t b, struct act_super *out)
{
    memcpy(out->q, x->q8k + t * x->q_stride + b * 256, 256);
    memcpy(out->sum, x->q8k_sum + t * 2 * x->b_stride + b * 16, sizeof out->sum);
    out->scale = x->q8k_scale[t * x->b_stride + b];
}

static void lay_super_8(const struct act *x, size_t t, size_t b, struct act_super *out)
{
    lay_super_16(x, t, b, out);
    for (size_t j = 0; j < 8; j++)
        out->sum[j] = (int16_t)(out->sum[2 * j] + out->sum[2 * j + 1]);
}

ALWAYS_INLINE bool is_signed(enum weight_type type)
{
    return !quant_has_min(type) && type != WEIGHT_MXFP4;
}

/* The codes' values, plus the offset of a type that is unsigned. */
ALWAYS_INLINE __m256i codebook(enum weight_type type)
{
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)quant_codebooks[type]);
    return _mm256_broadcastsi128_si256(
        _mm_add_epi8(values, _mm_set1_epi8(type == WEIGHT_MXFP4 ? MXFP4_OFFSET : 0)));
}

/* value where a bit of v that mask names is set, byte by byte. */
ALWAYS_INLINE __m256i where_set(__m256i v, __m256i mask, int8_t value)
{
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, mask), mask),
                            _mm256_set1_epi8(value));
}

/* 8 rows by 32 inputs of 16 bytes a row: nibbles. */
ALWAYS_INLINE void unpack_nibbles(const uint8_t *lines, __m256i w[GROUPS])
{
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
        __m256i bytes = load32(lines + g * LINE);
        w[g] = _mm256_and_si256(bytes, low);
        w[g + 4] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
    }
}

/* The fifth bits of group g are bits 4g..4g+3 of the lane: its byte g / 2 four times, one bit of
 * each. */
ALWAYS_INLINE __m256i fifth_bits(__m256i lanes, size_t g)
{
    const int8_t b = (int8_t)(g / 2);
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        b, b, b, b, (int8_t)(b + 4), (int8_t)(b + 4), (int8_t)(b + 4), (int8_t)(b + 4),
        (int8_t)(b + 8), (int8_t)(b + 8), (int8_t)(b + 8), (int8_t)(b + 8), (int8_t)(b + 12),
        (int8_t)(b + 12), (int8_t)(b + 12), (int8_t)(b + 12)));
    const __m256i bits = _mm256_set1_epi32(g % 2 == 0 ? 0x08040201 : (int)0x80402010u);
    return where_set(_mm256_shuffle_epi8(lanes, order), bits, 16);
}

ALWAYS_INLINE void unpack_paired(enum weight_type type, const uint8_t *lines, __m256i w[GROUPS])
{
    unpack_nibbles(lines, w);
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        if (type == WEIGHT_Q5_0 || type == WEIGHT_Q5_1)
            w[g] = _mm256_or_si256(w[g], fifth_bits(load32(lines + 4 * LINE), g));
        if (type == WEIGHT_Q5_0)
            w[g] = _mm256_sub_epi8(w[g], _mm256_set1_epi8(16));
        if (quant_has_codebook(type))
            w[g] = _mm256_shuffle_epi8(codebook(type), w[g]);
    }
}

/* The 32 inputs at 32 j of a block of 256. */
ALWAYS_INLINE void unpack_super(enum weight_type type, const uint8_t *low, const uint8_t *high,
                                size_t j, __m256i w[GROUPS])
{
    const __m128i shift2 = _mm_cvtsi32_si128((int)(j % 4 * 2)),
                  shift4 = _mm_cvtsi32_si128((int)(j % 2 * 4));
    const __m256i bit = _mm256_set1_epi8((int8_t)(1u << j));
    const bool coded = quant_has_codebook(type);
    if (coded && quant_code_bits(type) == 4)
        unpack_nibbles(low + j * 4 * LINE, w);
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        if (type == WEIGHT_Q2_K || type == WEIGHT_Q3_K || (coded && quant_code_bits(type) < 4)) {
            __m256i bytes = _mm256_srl_epi16(load32(low + (j / 4 * 8 + g) * LINE), shift2);
            w[g] = _mm256_and_si256(bytes, _mm256_set1_epi8(3));
        }
        if (type == WEIGHT_Q5_K) {
            __m256i bytes = _mm256_srl_epi16(load32(low + (j / 2 * 8 + g) * LINE), shift4);
            w[g] = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
            w[g] = _mm256_or_si256(w[g], where_set(load32(high + g * LINE), bit, 16));
        }
        if (type == WEIGHT_Q3_K || (coded && quant_code_bits(type) == 3))
            w[g] = _mm256_or_si256(w[g], where_set(load32(high + g * LINE), bit, 4));
        if (type == WEIGHT_Q3_K)
            w[g] = _mm256_sub_epi8(w[g], _mm256_set1_epi8(4));
        if (coded)
            w[g] = _mm256_shuffle_epi8(codebook(type), w[g]);
    }
}

/* Half of 8 powers of two: quant_scale's. */
ALWAYS_INLINE __m256 load_e8m0x8(const uint8_t *p)
{
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i bits = _mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(0x400000));
    return _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0.5f));
}

/* The sum over 32 inputs of w * q, times s0 for the first 16 and s1 for the others (16-bit pairs).
 * Unsigned w <= 31: 8 products in a lane are at most 8 * 31 * 127 = 31496. Signed |w| <= 127: 2 *
 * 127 * 127 = 32258. */
ALWAYS_INLINE __m256i dot32(bool signs, const __m256i w[GROUPS], const int8_t *q, __m256i s0,
                            __m256i s1)
{
    if (!signs) {
        __m256i first = chain16(_mm256_setzero_si256(), w, q, 4);
        __m256i second = chain16(_mm256_setzero_si256(), w + 4, q + 16, 4);
        return _mm256_add_epi32(_mm256_madd_epi16(first, s0), _mm256_madd_epi16(second, s1));
    }
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w[g]),
                                             _mm256_sign_epi8(broadcast4(q + 4 * g), w[g]));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, g < 4 ? s0 : s1));
    }
    return sum;
}

ALWAYS_INLINE void panel_paired(enum weight_type type, const uint8_t *panel, size_t b0, size_t n,
                                const struct act_paired *a, size_t n_tokens, bool first, float *y,
                                size_t y_stride)
{
    __m256 acc[2][TILE];
    const __m256i ones = _mm256_set1_epi16(1);
    load_chains(acc, n_tokens, first, y, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a += n_tokens) {
        const uint8_t *scales = panel + paired_scales(type, b),
                      *lines = panel + paired_quants(type, b);
        prefetch(lines, panel_quants_bytes(type) / LINE + 1);
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i w[GROUPS];
            unpack_paired(type, lines + 32 * half, w);
            __m256 d = type == WEIGHT_MXFP4 ? load_e8m0x8(scales + 8 * half)
                                            : load_f16x8(scales + 16 * half);
            for (size_t t = 0; t < n_tokens; t++) {
                const __m256 scale = _mm256_set1_ps(a[t].scale);
                __m256i isum = dot32(is_signed(type), w, a[t].q, ones, ones);
                if (type == WEIGHT_MXFP4)
                    isum = _mm256_add_epi32(isum, _mm256_set1_epi32(a[t].bias));
                __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum), _mm256_mul_ps(d, scale),
                                           acc[half][t]);
                if (quant_has_min(type)) {
                    __m256 m = load_f16x8(scales + LINE + 16 * half);
                    v = _mm256_fmadd_ps(_mm256_set1_ps(a[t].sum), _mm256_mul_ps(m, scale), v);
                }
                acc[half][t] = v;
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

/* The minimums of one block for 8 rows: the sum of min * (sum of q). */
ALWAYS_INLINE __m256i sum_mins(const uint8_t *mins, size_t n_pairs, const int16_t *sum)
{
    __m256i total = _mm256_setzero_si256();
    for (size_t i = 0; i < n_pairs; i++) {
        __m128i bytes = _mm_load_si128((const __m128i *)(const void *)(mins + i * 2 * PANEL_ROWS));
        total = _mm256_add_epi32(
            total, _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), broadcast4(sum + 2 * i)));
    }
    return total;
}

ALWAYS_INLINE void panel_super(enum weight_type type, const uint8_t *panel, size_t b0, size_t n,
                               const struct act_super *a, size_t n_tokens, bool first, float *y,
                               size_t y_stride)
{
    __m256 acc[2][TILE];
    const bool by_32 = super_n_scales(type) == 8;
    load_chains(acc, n_tokens, first, y, y_stride);
    const uint8_t *block = panel + b0 * super_bytes(type);
    for (size_t b = 0; b < n; b++, a += n_tokens, block += super_bytes(type)) {
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i isum[TILE];
            for (size_t t = 0; t < n_tokens; t++)
                isum[t] = _mm256_setzero_si256();
            for (size_t j = 0; j < 8; j++) {
                const uint8_t *scales =
                    block + SUPER_SCALES + (by_32 ? j : 2 * j) * PANEL_ROWS + 8 * half;
                __m256i w[GROUPS], s0 = scale_pairs(scales),
                                   s1 = by_32 ? s0 : scale_pairs(scales + PANEL_ROWS);
                const size_t share = super_bytes(type) / LINE / 8;
                if (half == 0)
                    prefetch(block + j * share * LINE, share + 1);
                unpack_super(type, block + super_low(type) + 32 * half,
                             block + super_high(type) + 32 * half, j, w);
                for (size_t t = 0; t < n_tokens; t++) {
                    __m256i sum = dot32(is_signed(type), w, a[t].q + 32 * j, s0, s1);
                    isum[t] = _mm256_add_epi32(isum[t], sum);
                }
            }
            __m256 d = load_f16x8(block + SUPER_D + 16 * half),
                   dmin = load_f16x8(block + SUPER_DMIN + 16 * half);
            if (quant_unit(type) != 1.0f)
                d = _mm256_mul_ps(d, _mm256_set1_ps(quant_unit(type)));
            for (size_t t = 0; t < n_tokens; t++) {
                const __m256 scale = _mm256_set1_ps(a[t].scale);
                __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), _mm256_mul_ps(d, scale),
                                           acc[half][t]);
                if (quant_has_min(type)) {
                    __m256i mins = sum_mins(block + super_mins(type) + 16 * half,
                                            super_n_scales(type) / 2, a[t].sum);
                    v = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(mins), _mm256_mul_ps(dmin, scale), v);
                }
                acc[half][t] = v;
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

#define DEFINE_TYPE(name, type, shape, lay, block_values)                                          \
    ALWAYS_INLINE void panel_##name(const uint8_t *panel, size_t b0, size_t n,                     \
                                    const struct act_##shape *a, size_t n_tokens, bool first,      \
                                    float *y, size_t y_stride)                                     \
    {                                                                                              \
        panel_##shape(type, panel, b0, n, a, n_tokens, first, y, y_stride);                        \
    }                                                                                              \
    DEFINE_TILE(name, act_##shape, lay, panel_##name, block_values)                                \
    AVX2_MATMUL(name)                                                                              \
    {                                                                                              \
        matmul(tile_##name, tile_##name, w, p0, p1, x, n_tokens, y, y_stride);                     \
    }

DEFINE_TYPE(q4_1, WEIGHT_Q4_1, paired, lay_paired, 32)
DEFINE_TYPE(q5_0, WEIGHT_Q5_0, paired, lay_paired, 32)
DEFINE_TYPE(q5_1, WEIGHT_Q5_1, paired, lay_paired, 32)
DEFINE_TYPE(iq4_nl, WEIGHT_IQ4_NL, paired, lay_paired, 32)
DEFINE_TYPE(mxfp4, WEIGHT_MXFP4, paired, lay_paired, 32)
DEFINE_TYPE(q2_k, WEIGHT_Q2_K, super, lay_super_16, 256)
DEFINE_TYPE(q3_k, WEIGHT_Q3_K, super, lay_super_16, 256)
DEFINE_TYPE(q5_k, WEIGHT_Q5_K, super, lay_super_8, 256)
DEFINE_TYPE(iq4_xs, WEIGHT_IQ4_XS, super, lay_super_8, 256)
DEFINE_TYPE(iq1_s, WEIGHT_IQ1_S, super, lay_super_8, 256)
DEFINE_TYPE(iq1_m, WEIGHT_IQ1_M, super, lay_super_16, 256)
DEFINE_TYPE(iq2_xxs, WEIGHT_IQ2_XXS, super, lay_super_8, 256)
DEFINE_TYPE(iq2_xs, WEIGHT_IQ2_XS, super, lay_super_16, 256)
DEFINE_TYPE(iq2_s, WEIGHT_IQ2_S, super, lay_super_16, 256)
DEFINE_TYPE(iq3_xxs, WEIGHT_IQ3_XXS, super, lay_super_8, 256)
DEFINE_TYPE(iq3_s, WEIGHT_IQ3_S, super, lay_super_8, 256)
DEFINE_TYPE(tq1_0, WEIGHT_TQ1_0, super, lay_super_8, 256)
DEFINE_TYPE(tq2_0, WEIGHT_TQ2_0, super, lay_super_8, 256)
#endif
