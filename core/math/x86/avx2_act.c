/* avx2_act.c - the rounding of activations in AVX2. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"

/* max|x| of n values (a multiple of 32) as the largest bit pattern, so that a NaN wins. */
ALWAYS_INLINE float max_abs(const float *x, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i max = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 8) {
        __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        max = _mm256_max_epi32(max, _mm256_and_si256(bits, magnitude));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    __m128i one = _mm_max_epi32(two, _mm_shuffle_epi32(two, 0x55));
    return _mm_cvtss_f32(_mm_castsi128_ps(one));
}

/* 8 values; min and max return their second operand for a NaN: 127. */
ALWAYS_INLINE __m256i round8(const float *x, __m256 inverse)
{
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
    v = _mm256_min_ps(v, _mm256_set1_ps(127.0f));
    v = _mm256_max_ps(v, _mm256_set1_ps(-127.0f));
    return _mm256_cvtps_epi32(v);
}

/* Rounds 32 values; sums[0], sums[1]: of the first and second 16. */
ALWAYS_INLINE void round32(const float *x, __m256 inverse, int8_t *q, int32_t sums[2])
{
    __m256i a = round8(x, inverse), b = round8(x + 8, inverse);
    __m256i c = round8(x + 16, inverse), d = round8(x + 24, inverse);
    sums[0] = sum8_i32(_mm256_add_epi32(a, b));
    sums[1] = sum8_i32(_mm256_add_epi32(c, d));
    /* Both packs work within 128-bit halves: the permutation puts the dwords a0 b0 c0 d0 a1 b1 c1
     * d1 in order. */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)q, bytes);
}

void avx2_quantize_q8(const struct act *x, size_t t)
{
    const float *a = x->f32 + t * x->f32_stride;
    int8_t *q = x->q8 + t * x->q_stride;
    for (size_t b = 0; b < x->n_cols / 32; b++, a += 32, q += 32) {
        float max = max_abs(a, 32);
        float scale = _cvtsh_ss(_cvtss_sh(max / 127.0f, _MM_FROUND_TO_NEAREST_INT));
        int32_t sums[2];
        round32(a, _mm256_set1_ps(scale == 0.0f ? 0.0f : 127.0f / max), q, sums);
        x->q8_scale[t * x->b_stride + b] = scale;
        x->q8_sum[t * x->b_stride + b] = (int16_t)(sums[0] + sums[1]);
    }
}

void avx2_quantize_q8k(const struct act *x, size_t t)
{
    const float *a = x->f32 + t * x->f32_stride;
    int8_t *q = x->q8k + t * x->q_stride;
    int16_t *sums = x->q8k_sum + t * 2 * x->b_stride;
    for (size_t b = 0; b < x->n_cols / 256; b++, a += 256, q += 256, sums += 16) {
        float max = max_abs(a, 256);
        float scale = max < ACT_Q8K_TINY ? 0.0f : max / 127.0f;
        __m256 inverse = _mm256_set1_ps(scale == 0.0f ? 0.0f : 127.0f / max);
        for (size_t i = 0; i < 8; i++) {
            int32_t pair[2];
            round32(a + 32 * i, inverse, q + 32 * i, pair);
            sums[2 * i] = (int16_t)pair[0];
            sums[2 * i + 1] = (int16_t)pair[1];
        }
        x->q8k_scale[t * x->b_stride + b] = scale;
    }
}
#endif
