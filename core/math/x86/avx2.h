/* avx2.h - what the AVX2 kernels share: the lanes' tree, exp and friends in 8 lanes, masks
 * for the last few values.
 *
 * Each function does in 8 lanes exactly what its scalar twin in kernels_ref.c or fmath_inline.h
 * does. Private to core/math; only for files compiled with AVX2, FMA and F16C.
 */
#pragma once

#include "math/fmath_inline.h"
#include "math/kernels.h"

#include <immintrin.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* All ones in the first n of 8 lanes, n in 0..8. */
ALWAYS_INLINE __m256i first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The lanes of a sum, whatever the width of what is added to them. */
typedef __m256 vec8;

ALWAYS_INLINE vec8 vec8_zero(void)
{
    return _mm256_setzero_ps();
}

ALWAYS_INLINE vec8 vec8_mul(vec8 v, float x)
{
    return _mm256_mul_ps(v, _mm256_set1_ps(x));
}

ALWAYS_INLINE float tree8(__m256 v)
{
    __m128 four =
        _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); /* 0+4 1+5 2+6 3+7 */
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

ALWAYS_INLINE float max8(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

ALWAYS_INLINE int32_t sum8_i32(__m256i v)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0x55)));
}

ALWAYS_INLINE __m256 exp8(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(EXP_MAGIC), one = _mm256_set1_ps(1.0f);
    __m256 z = _mm256_fmadd_ps(x, _mm256_set1_ps(EXP_LOG2E), magic);
    __m256 n = _mm256_sub_ps(z, magic);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-EXP_LN2_HIGH), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-EXP_LN2_LOW), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(EXP_C6), r, _mm256_set1_ps(EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i bits =
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(z), 23));
    __m256 y = _mm256_castsi256_ps(bits);
    y = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(EXP_MIN), _CMP_LT_OQ), y);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY),
                         _mm256_cmp_ps(x, _mm256_set1_ps(EXP_MAX), _CMP_GT_OQ));
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

ALWAYS_INLINE __m256 silu8(__m256 x)
{
    __m256 e = exp8(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

ALWAYS_INLINE __m256 gelu8(__m256 x)
{
    __m256 cubic = _mm256_mul_ps(_mm256_set1_ps(GELU_CUBIC), _mm256_mul_ps(x, x));
    __m256 u = _mm256_fmadd_ps(cubic, x, x);
    __m256 e = exp8(_mm256_mul_ps(_mm256_set1_ps(GELU_MINUS_2_SQRT_2_OVER_PI), u));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/* The reference's roundings: cap * ((1 - e) / (1 + e)), with the sign of x. */
ALWAYS_INLINE __m256 softcap8(__m256 x, float cap)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    __m256 e = exp8(_mm256_mul_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(-2.0f / cap)));
    __m256 t = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
    __m256 y = _mm256_mul_ps(_mm256_set1_ps(cap), t);
    return _mm256_or_ps(_mm256_andnot_ps(sign, y), _mm256_and_ps(sign, x));
}

/* The products with quantized matrices of a table: their declarations, and their places in it. */
#define MATMUL(table, type)                                                                        \
    void table##_matmul_##type(const struct matrix *w, size_t p0, size_t p1, const struct act *x,  \
                               size_t n_tokens, float *y, size_t y_stride)
#define MATMUL_QUANT(table)                                                                        \
    MATMUL(table, q8_0);                                                                           \
    MATMUL(table, q4_0);                                                                           \
    MATMUL(table, q4_1);                                                                           \
    MATMUL(table, q5_0);                                                                           \
    MATMUL(table, q5_1);                                                                           \
    MATMUL(table, q2_k);                                                                           \
    MATMUL(table, q3_k);                                                                           \
    MATMUL(table, q4_k);                                                                           \
    MATMUL(table, q5_k);                                                                           \
    MATMUL(table, q6_k);                                                                           \
    MATMUL(table, iq4_nl);                                                                         \
    MATMUL(table, iq4_xs);                                                                         \
    MATMUL(table, mxfp4);                                                                          \
    MATMUL(table, iq1_s);                                                                          \
    MATMUL(table, iq1_m);                                                                          \
    MATMUL(table, iq2_xxs);                                                                        \
    MATMUL(table, iq2_xs);                                                                         \
    MATMUL(table, iq2_s);                                                                          \
    MATMUL(table, iq3_xxs);                                                                        \
    MATMUL(table, iq3_s);                                                                          \
    MATMUL(table, tq1_0);                                                                          \
    MATMUL(table, tq2_0);
#define MATMUL_QUANT_ENTRIES(table)                                                                \
    [WEIGHT_Q8_0] = table##_matmul_q8_0, [WEIGHT_Q4_0] = table##_matmul_q4_0,                      \
    [WEIGHT_Q4_1] = table##_matmul_q4_1, [WEIGHT_Q5_0] = table##_matmul_q5_0,                      \
    [WEIGHT_Q5_1] = table##_matmul_q5_1, [WEIGHT_Q2_K] = table##_matmul_q2_k,                      \
    [WEIGHT_Q3_K] = table##_matmul_q3_k, [WEIGHT_Q4_K] = table##_matmul_q4_k,                      \
    [WEIGHT_Q5_K] = table##_matmul_q5_k, [WEIGHT_Q6_K] = table##_matmul_q6_k,                      \
    [WEIGHT_IQ4_NL] = table##_matmul_iq4_nl, [WEIGHT_IQ4_XS] = table##_matmul_iq4_xs,              \
    [WEIGHT_MXFP4] = table##_matmul_mxfp4, [WEIGHT_IQ1_S] = table##_matmul_iq1_s,                  \
    [WEIGHT_IQ1_M] = table##_matmul_iq1_m, [WEIGHT_IQ2_XXS] = table##_matmul_iq2_xxs,              \
    [WEIGHT_IQ2_XS] = table##_matmul_iq2_xs, [WEIGHT_IQ2_S] = table##_matmul_iq2_s,                \
    [WEIGHT_IQ3_XXS] = table##_matmul_iq3_xxs, [WEIGHT_IQ3_S] = table##_matmul_iq3_s,              \
    [WEIGHT_TQ1_0] = table##_matmul_tq1_0, [WEIGHT_TQ2_0] = table##_matmul_tq2_0

/* AVX2's, which wider tables take over where they have nothing better. */
#define AVX2_MATMUL(type) MATMUL(avx2, type)
MATMUL_QUANT(avx2)
AVX2_MATMUL(f32);
AVX2_MATMUL(f16);
AVX2_MATMUL(bf16);
#define AVX2_MATMUL_FLOAT                                                                          \
    [WEIGHT_F32] = avx2_matmul_f32, [WEIGHT_F16] = avx2_matmul_f16, [WEIGHT_BF16] = avx2_matmul_bf16
void avx2_quantize_q8(const struct act *x, size_t t);
void avx2_quantize_q8k(const struct act *x, size_t t);
void avx2_kv_store_f32(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                       const float *v);
void avx2_kv_store_f16(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                       const float *v);
void avx2_kv_store_q8(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v);
void avx2_attend_f32(const struct attend *a);
void avx2_attend_f16(const struct attend *a);
void avx2_attend_q8(const struct attend *a);
void avx2_attend_merge(const float *max, const float *sum, const float *acc, const float *sinks,
                       size_t n_spans, size_t n_heads, size_t head_dim, float *out);
void avx2_rms_norm(const float *x, const float *w, size_t n, float eps, float *y);
void avx2_layer_norm(const float *x, const float *w, const float *b, size_t n, float eps, float *y);
void avx2_add(float *y, const float *x, size_t n);
void avx2_silu_mul(float *gate, const float *up, size_t n);
void avx2_gelu(float *x, size_t n);
void avx2_sigmoid_mul(float *y, const float *gate, size_t n);
void avx2_conv(const float *const *taps, size_t n_taps, const float *w, size_t w_stride,
               const float *bias, size_t n, bool silu, float *y);
void avx2_delta(const struct delta *d);
void avx2_swiglu_oai(float *gate, const float *up, size_t n);
void avx2_add_scaled(float *y, const float *x, float scale, size_t n);
void avx2_gelu_mul(float *gate, const float *up, size_t n);
void avx2_softcap(float *x, float cap, size_t n);
void avx2_rope(float *x, const float *cos, const float *sin, size_t n, size_t head_dim,
               bool interleaved, float scale);
float avx2_max(const float *x, size_t n);
size_t avx2_argmax(const float *x, size_t n);
size_t avx2_count_at_least(const float *x, size_t n, float floor);
size_t avx2_list_at_least(const float *x, size_t n, float floor, uint32_t *index);
void avx2_exp(float *x, size_t n);
float avx2_sum_exp(const float *x, size_t n, float max);
bool avx2_all_finite(const float *x, size_t n);
#define AVX2_DELTA .delta = avx2_delta
#define AVX2_ATTEND                                                                                \
    .attend = {[KV_F32] = avx2_attend_f32, [KV_F16] = avx2_attend_f16, [KV_Q8] = avx2_attend_q8}
#define AVX2_ROWS                                                                                  \
    .quantize = {[ACT_Q8] = avx2_quantize_q8, [ACT_Q8K] = avx2_quantize_q8k},                      \
    .rms_norm = avx2_rms_norm, .layer_norm = avx2_layer_norm, .add = avx2_add,                     \
    .silu_mul = avx2_silu_mul, .gelu = avx2_gelu, .rope = avx2_rope,                               \
    .sigmoid_mul = avx2_sigmoid_mul, .conv = avx2_conv, .swiglu_oai = avx2_swiglu_oai,             \
    .add_scaled = avx2_add_scaled, .gelu_mul = avx2_gelu_mul, .softcap = avx2_softcap,             \
    .kv_store =                                                                                    \
        {[KV_F32] = avx2_kv_store_f32, [KV_F16] = avx2_kv_store_f16, [KV_Q8] = avx2_kv_store_q8},  \
    .attend_merge = avx2_attend_merge, .max = avx2_max, .argmax = avx2_argmax,                     \
    .count_at_least = avx2_count_at_least, .list_at_least = avx2_list_at_least, .exp = avx2_exp,   \
    .sum_exp = avx2_sum_exp, .all_finite = avx2_all_finite
