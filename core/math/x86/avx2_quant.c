/* avx2_quant.c - products with Q8_0, Q4_0, Q4_K and Q6_K matrices in AVX2, each in its own
 * shape: exact integer sums of a block, then one fma a block. The other types are in
 * avx2_types.c. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2_quant.h"

/* The part of one token and block that the inner loops read. */
struct act_q4_0 {
    int8_t q[32];
    int32_t bias; /* in both 16-bit halves: -4 * sum of q */
    float scale;
};

struct act_q8_0 {
    int8_t q[32];
    float scale;
};

struct act_q8_0_wide {
    int16_t even[16]; /* inputs 0 2, 4 6, ...: a pair for each group of 4 */
    int16_t odd[16];  /* inputs 1 3, 5 7, ... */
    float scale;
};

struct act_q4_k {
    int8_t q[256];
    int16_t sum[8]; /* of 32 */
    float scale;
};

struct act_q6_k {
    int8_t q[256];
    int32_t bias[16]; /* of each 16 inputs: -32 * their sum, inputs 4i and 4i+1 in the low half,
                         4i+2 and 4i+3 in the high */
    float scale;
};

/* ---- Q4_0 ---- */

static void lay_q4_0(const struct act *x, size_t t, size_t b, struct act_q4_0 *out)
{
    memcpy(out->q, x->q8 + t * x->q_stride + b * 32, 32);
    uint32_t half = (uint16_t)(-4 * x->q8_sum[t * x->b_stride + b]);
    out->bias = (int32_t)(half | half << 16);
    out->scale = x->q8_scale[t * x->b_stride + b];
}

/* 8 rows by 32 inputs: nibbles, 0..15. */
ALWAYS_INLINE void unpack_q4_0(const uint8_t *lines, __m256i w[GROUPS])
{
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
        __m256i bytes = load32(lines + g * LINE);
        w[g] = _mm256_and_si256(bytes, low);
        w[g + 4] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
    }
}

/* A 16-bit lane starts at the bias, -4 times the sum of all 32 inputs, and adds 16 of them with
 * weights u = 0..15 (a product pair: 2 * 15 * 127 = 3810). At every step its own inputs count -4 to
 * 11 times, the other lane's -4 times: within 16 * 11 * 127 + 16 * 4 * 127 = 30480. Both lanes
 * together are the sum of (u - 8) * q. */
ALWAYS_INLINE void panel_q4_0(const uint8_t *panel, size_t b0, size_t n, const struct act_q4_0 *a,
                              size_t n_tokens, bool first, float *y, size_t y_stride)
{
    __m256 acc[2][TILE];
    const __m256i ones = _mm256_set1_epi16(1);
    load_chains(acc, n_tokens, first, y, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a += n_tokens) {
        const uint8_t *scales = panel + paired_scales(WEIGHT_Q4_0, b);
        const uint8_t *lines = panel + paired_quants(WEIGHT_Q4_0, b);
        prefetch(lines, panel_quants_bytes(WEIGHT_Q4_0) / LINE + 1);
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i w[GROUPS];
            unpack_q4_0(lines + 32 * half, w);
            __m256 d = load_f16x8(scales + 16 * half);
            for (size_t t = 0; t < n_tokens; t++) {
                __m256i sum = chain16(_mm256_set1_epi32(a[t].bias), w, a[t].q, GROUPS);
                __m256 isum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, ones));
                acc[half][t] = _mm256_fmadd_ps(isum, _mm256_mul_ps(d, _mm256_set1_ps(a[t].scale)),
                                               acc[half][t]);
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

/* ---- Q8_0 ---- */

static void lay_q8_0(const struct act *x, size_t t, size_t b, struct act_q8_0 *out)
{
    memcpy(out->q, x->q8 + t * x->q_stride + b * 32, 32);
    out->scale = x->q8_scale[t * x->b_stride + b];
}

/* One token: |w| * (q with w's sign). |w| <= 128, so a pair of products is at most 2 * 128 * 127 =
 * 32512. */
ALWAYS_INLINE void panel_q8_0(const uint8_t *panel, size_t b0, size_t n, const struct act_q8_0 *a,
                              size_t n_tokens, bool first, float *y, size_t y_stride)
{
    __m256 acc[2][TILE];
    const __m256i ones = _mm256_set1_epi16(1);
    load_chains(acc, n_tokens, first, y, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a++) {
        const uint8_t *scales = panel + paired_scales(WEIGHT_Q8_0, b);
        const uint8_t *lines = panel + paired_quants(WEIGHT_Q8_0, b);
        prefetch(lines, panel_quants_bytes(WEIGHT_Q8_0) / LINE + 1);
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i isum = _mm256_setzero_si256();
#pragma GCC unroll 8
            for (size_t g = 0; g < GROUPS; g++) {
                __m256i w = load32(lines + g * LINE + 32 * half);
                __m256i q = _mm256_sign_epi8(broadcast4(a->q + 4 * g), w);
                __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), q);
                isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, ones));
            }
            __m256 scale = _mm256_mul_ps(load_f16x8(scales + 16 * half), _mm256_set1_ps(a->scale));
            acc[half][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum), scale, acc[half][0]);
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

static void lay_q8_0_wide(const struct act *x, size_t t, size_t b, struct act_q8_0_wide *out)
{
    __m256i q =
        _mm256_loadu_si256((const __m256i *)(const void *)(x->q8 + t * x->q_stride + b * 32));
    _mm256_storeu_si256((__m256i *)(void *)out->even,
                        _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8));
    _mm256_storeu_si256((__m256i *)(void *)out->odd, _mm256_srai_epi16(q, 8));
    out->scale = x->q8_scale[t * x->b_stride + b];
}

/* More tokens: both sides as 16 bits, so that a group costs 2 products and 2 additions and no sign.
 * 16 inputs at a time. */
ALWAYS_INLINE void panel_q8_0_wide(const uint8_t *panel, size_t b0, size_t n,
                                   const struct act_q8_0_wide *a, size_t n_tokens, bool first,
                                   float *y, size_t y_stride)
{
    __m256 acc[2][TILE];
    load_chains(acc, n_tokens, first, y, y_stride);
    for (size_t b = b0; b < b0 + n; b++, a += n_tokens) {
        const uint8_t *scales = panel + paired_scales(WEIGHT_Q8_0, b);
        const uint8_t *lines = panel + paired_quants(WEIGHT_Q8_0, b);
        prefetch(lines, panel_quants_bytes(WEIGHT_Q8_0) / LINE + 1);
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i isum[TILE];
            __m256 d = load_f16x8(scales + 16 * half);
#pragma GCC unroll 2
            for (size_t part = 0; part < 2; part++) {
                __m256i even[4], odd[4];
#pragma GCC unroll 4
                for (size_t g = 0; g < 4; g++) {
                    __m256i w = load32(lines + (4 * part + g) * LINE + 32 * half);
                    even[g] = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
                    odd[g] = _mm256_srai_epi16(w, 8);
                }
                for (size_t t = 0; t < n_tokens; t++) {
                    __m256i sum = part == 0 ? _mm256_setzero_si256() : isum[t];
#pragma GCC unroll 4
                    for (size_t g = 0; g < 4; g++) {
                        __m256i e =
                            _mm256_madd_epi16(even[g], broadcast4(a[t].even + 2 * (4 * part + g)));
                        __m256i o =
                            _mm256_madd_epi16(odd[g], broadcast4(a[t].odd + 2 * (4 * part + g)));
                        sum = _mm256_add_epi32(sum, _mm256_add_epi32(e, o));
                    }
                    if (part == 0) {
                        isum[t] = sum;
                    } else {
                        __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(a[t].scale));
                        acc[half][t] =
                            _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, acc[half][t]);
                    }
                }
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

/* ---- Q4_K ---- */

static void lay_q4_k(const struct act *x, size_t t, size_t b, struct act_q4_k *out)
{
    const int16_t *sum = x->q8k_sum + t * 2 * x->b_stride + b * 16;
    memcpy(out->q, x->q8k + t * x->q_stride + b * 256, 256);
    for (size_t j = 0; j < 8; j++)
        out->sum[j] = (int16_t)(sum[2 * j] + sum[2 * j + 1]);
    out->scale = x->q8k_scale[t * x->b_stride + b];
}

/* A 16-bit lane sums 16 inputs of a 32 with weights 0..15: at most 16 * 15 * 127 = 30480. Times the
 * scale (<= 63) and added in pairs it is 32 bits wide; see kernels_ref.c for the block's sum. */
ALWAYS_INLINE void panel_q4_k(const uint8_t *panel, size_t b0, size_t n, const struct act_q4_k *a,
                              size_t n_tokens, bool first, float *y, size_t y_stride)
{
    __m256 acc[2][TILE];
    const __m256i low = _mm256_set1_epi8(15);
    load_chains(acc, n_tokens, first, y, y_stride);
    const uint8_t *block = panel + b0 * super_bytes(WEIGHT_Q4_K);
    for (size_t b = 0; b < n; b++, a += n_tokens, block += super_bytes(WEIGHT_Q4_K)) {
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i isum[TILE];
            for (size_t t = 0; t < n_tokens; t++)
                isum[t] = _mm256_setzero_si256();
            for (size_t pair = 0; pair < 4; pair++) {
                const uint8_t *lines = block + super_low(WEIGHT_Q4_K) + pair * 8 * LINE + 32 * half;
                if (half == 0)
                    prefetch(lines, 9);
#pragma GCC unroll 2
                for (size_t j = 2 * pair; j < 2 * pair + 2; j++) {
                    const uint8_t *scales = block + SUPER_SCALES + j * PANEL_ROWS + 8 * half;
                    __m256i w[GROUPS], scale = scale_pairs(scales);
#pragma GCC unroll 8
                    for (size_t g = 0; g < GROUPS; g++) {
                        __m256i bytes = load32(lines + g * LINE);
                        w[g] =
                            _mm256_and_si256(j % 2 == 0 ? bytes : _mm256_srli_epi16(bytes, 4), low);
                    }
                    for (size_t t = 0; t < n_tokens; t++) {
                        __m256i sum = chain16(_mm256_setzero_si256(), w, a[t].q + 32 * j, GROUPS);
                        isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(sum, scale));
                    }
                }
            }
            __m256i m[4];
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const uint8_t *mins =
                    block + super_mins(WEIGHT_Q4_K) + (j * PANEL_ROWS + 8 * half) * 2;
                m[j] = _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(const void *)mins));
            }
            __m256 d = load_f16x8(block + SUPER_D + 16 * half),
                   dmin = load_f16x8(block + SUPER_DMIN + 16 * half);
            for (size_t t = 0; t < n_tokens; t++) {
                __m256i mins = _mm256_madd_epi16(m[0], broadcast4(a[t].sum));
#pragma GCC unroll 4
                for (size_t j = 1; j < 4; j++)
                    mins = _mm256_add_epi32(mins,
                                            _mm256_madd_epi16(m[j], broadcast4(a[t].sum + 2 * j)));
                __m256 scale = _mm256_set1_ps(a[t].scale);
                __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), _mm256_mul_ps(d, scale),
                                           acc[half][t]);
                acc[half][t] =
                    _mm256_fnmadd_ps(_mm256_cvtepi32_ps(mins), _mm256_mul_ps(dmin, scale), v);
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

/* ---- Q6_K ---- */

static void lay_q6_k(const struct act *x, size_t t, size_t b, struct act_q6_k *out)
{
    const int8_t *q = x->q8k + t * x->q_stride + b * 256;
    memcpy(out->q, q, 256);
    for (size_t j = 0; j < 8; j++) {
        /* 32 * the sum of a pair: at most 8128; of 4 pairs: 32512. */
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(q + 32 * j));
        v = _mm256_maddubs_epi16(_mm256_set1_epi8(32), v);
        v = _mm256_add_epi16(v, _mm256_shuffle_epi32(v, 0x4e));
        v = _mm256_add_epi16(v, _mm256_shuffle_epi32(v, 0xb1));
        v = _mm256_sub_epi16(_mm256_setzero_si256(), v);
        out->bias[2 * j] = _mm256_extract_epi32(v, 0);
        out->bias[2 * j + 1] = _mm256_extract_epi32(v, 4);
    }
    out->scale = x->q8k_scale[t * x->b_stride + b];
}

/* 8 rows by 32 inputs, one quarter of a half block: 6 bits, 0..63. Quarters 0 and 2 share lines of
 * low bits, 1 and 3 the next ones; quarter i has bits 2i and 2i + 1 of the high lines. */
ALWAYS_INLINE void unpack_q6_k(const uint8_t *low_lines, const uint8_t *high_lines, size_t quarter,
                               __m256i w[GROUPS])
{
    const __m256i low4 = _mm256_set1_epi8(15), high2 = _mm256_set1_epi8(0x30);
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        __m256i low = load32(low_lines + (quarter % 2 * 8 + g) * LINE);
        __m256i high = load32(high_lines + g * LINE);
        if (quarter >= 2)
            low = _mm256_srli_epi16(low, 4);
        high = quarter == 0   ? _mm256_slli_epi16(high, 4)
               : quarter == 1 ? _mm256_slli_epi16(high, 2)
               : quarter == 2 ? high
                              : _mm256_srli_epi16(high, 2);
        w[g] = _mm256_or_si256(_mm256_and_si256(low, low4), _mm256_and_si256(high, high2));
    }
}

/* A 16-bit lane starts at the bias, -32 times the sum of 8 inputs of a 16, and adds them with
 * weights u = 0..63 (a product pair: 2 * 63 * 127 = 16002). At every step each counts -32 to 31
 * times: within 8 * 32 * 127 = 32512. */
ALWAYS_INLINE void panel_q6_k(const uint8_t *panel, size_t b0, size_t n, const struct act_q6_k *a,
                              size_t n_tokens, bool first, float *y, size_t y_stride)
{
    __m256 acc[2][TILE];
    load_chains(acc, n_tokens, first, y, y_stride);
    const uint8_t *block = panel + b0 * super_bytes(WEIGHT_Q6_K);
    for (size_t b = 0; b < n; b++, a += n_tokens, block += super_bytes(WEIGHT_Q6_K)) {
#pragma GCC unroll 1
        for (size_t half = 0; half < 2; half++) {
            __m256i isum[TILE];
            for (size_t t = 0; t < n_tokens; t++)
                isum[t] = _mm256_setzero_si256();
            for (size_t i = 0; i < 2; i++) {
                const uint8_t *low_lines =
                    block + super_low(WEIGHT_Q6_K) + i * 16 * LINE + 32 * half;
                const uint8_t *high_lines =
                    block + super_high(WEIGHT_Q6_K) + i * 8 * LINE + 32 * half;
                if (half == 0) {
                    prefetch(low_lines, 16);
                    prefetch(high_lines, 8);
                }
#pragma GCC unroll 4
                for (size_t quarter = 0; quarter < 4; quarter++) {
                    size_t j = 8 * i + 2 * quarter;
                    const uint8_t *scales = block + SUPER_SCALES + j * PANEL_ROWS + 8 * half;
                    __m256i w[GROUPS], s0 = scale_pairs(scales),
                                       s1 = scale_pairs(scales + PANEL_ROWS);
                    unpack_q6_k(low_lines, high_lines, quarter, w);
                    for (size_t t = 0; t < n_tokens; t++) {
                        __m256i v0 =
                            chain16(_mm256_set1_epi32(a[t].bias[j]), w, a[t].q + 16 * j, 4);
                        __m256i v1 = chain16(_mm256_set1_epi32(a[t].bias[j + 1]), w + 4,
                                             a[t].q + 16 * j + 16, 4);
                        __m256i sum =
                            _mm256_add_epi32(_mm256_madd_epi16(v0, s0), _mm256_madd_epi16(v1, s1));
                        isum[t] = _mm256_add_epi32(isum[t], sum);
                    }
                }
            }
            __m256 d = load_f16x8(block + SUPER_D + 16 * half);
            for (size_t t = 0; t < n_tokens; t++) {
                __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(a[t].scale));
                acc[half][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), scale, acc[half][t]);
            }
        }
    }
    store_chains(acc, n_tokens, y, y_stride);
}

DEFINE_TILE(q4_0, act_q4_0, lay_q4_0, panel_q4_0, 32)
DEFINE_TILE(q8_0, act_q8_0, lay_q8_0, panel_q8_0, 32)
DEFINE_TILE(q8_0_wide, act_q8_0_wide, lay_q8_0_wide, panel_q8_0_wide, 32)
DEFINE_TILE(q4_k, act_q4_k, lay_q4_k, panel_q4_k, 256)
DEFINE_TILE(q6_k, act_q6_k, lay_q6_k, panel_q6_k, 256)

AVX2_MATMUL(q8_0)
{
    matmul(tile_q8_0, tile_q8_0_wide, w, p0, p1, x, n_tokens, y, y_stride);
}

AVX2_MATMUL(q4_0)
{
    matmul(tile_q4_0, tile_q4_0, w, p0, p1, x, n_tokens, y, y_stride);
}

AVX2_MATMUL(q4_k)
{
    matmul(tile_q4_k, tile_q4_k, w, p0, p1, x, n_tokens, y, y_stride);
}

AVX2_MATMUL(q6_k)
{
    matmul(tile_q6_k, tile_q6_k, w, p0, p1, x, n_tokens, y, y_stride);
}
#endif
