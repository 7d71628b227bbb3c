/* avx512_attend.c - attention in AVX-512: attend.h in 16 lanes. The sum of weights
 * keeps its 8 lanes. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx512.h"
#include "math/x86/avx512_vec.h"

#define TILE_LARGEST 12
#define TILES                                                                                      \
    {                                                                                              \
        0, 1, 2, 3, 4, 3, 6, 4, 8, 6, 6, 8, 12                                                     \
    }
#define SCORE_CHUNKS(n) 2
#define VALUE_CHUNKS(n) ((n) <= 6 ? 4 : 2)

ALWAYS_INLINE vec vec_visible(const float *p, size_t n, vec other)
{
    return _mm512_mask_loadu_ps(other, mask_of(n), p);
}

ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

ALWAYS_INLINE bool vec_above(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0;
}

ALWAYS_INLINE float vec_top(vec v)
{
    return _mm512_reduce_max_ps(v);
}

/* exp8 without what x <= 0 does not need; p * 2^n is exact, as the exponents' sum is there. */
ALWAYS_INLINE vec vec_exp(vec x, size_t n)
{
    const vec magic = vec_set(EXP_MAGIC), one = vec_set(1.0f);
    vec power = vec_sub(vec_fma(x, vec_set(EXP_LOG2E), magic), magic);
    vec r = vec_fma(power, vec_set(-EXP_LN2_HIGH), x);
    r = vec_fma(power, vec_set(-EXP_LN2_LOW), r);
    vec p = vec_fma(vec_set(EXP_C6), r, vec_set(EXP_C5));
    p = vec_fma(p, r, vec_set(EXP_C4));
    p = vec_fma(p, r, vec_set(EXP_C3));
    p = vec_fma(p, r, vec_set(EXP_C2));
    p = vec_fma(p, r, one);
    p = vec_fma(p, r, one);
    __mmask16 kept = _mm512_mask_cmp_ps_mask(mask_of(n), x, vec_set(EXP_MIN), _CMP_NLT_UQ);
    return _mm512_maskz_scalef_ps(kept, p, power);
}

ALWAYS_INLINE vec vec_softcap(vec x, float cap)
{
    const vec one = vec_set(1.0f), sign = vec_set(-0.0f);
    vec e = vec_exp(vec_mul(_mm512_andnot_ps(sign, x), vec_set(-2.0f / cap)), LANES);
    vec y = vec_mul(vec_set(cap), _mm512_div_ps(vec_sub(one, e), _mm512_add_ps(one, e)));
    return _mm512_or_ps(_mm512_andnot_ps(sign, y), _mm512_and_ps(sign, x));
}

ALWAYS_INLINE vec8 vec_sum(vec8 sum, vec v)
{
    sum = _mm256_add_ps(sum, _mm512_castps512_ps256(v));
    return _mm256_add_ps(sum, _mm512_extractf32x8_ps(v, 1));
}

ALWAYS_INLINE vec vec_kv(const uint8_t *p, enum kv_type type)
{
    if (type == KV_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
    if (type == KV_Q8)
        return _mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
    return _mm512_loadu_ps(p);
}

ALWAYS_INLINE vec vec_kv_some(const uint8_t *p, enum kv_type type, size_t n)
{
    if (type == KV_F16)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask_of(n), p));
    if (type == KV_Q8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask_of(n), p)));
    return _mm512_maskz_loadu_ps(mask_of(n), p);
}

ALWAYS_INLINE vec vec_scales(const uint8_t *p)
{
    __m256i bf16 = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

#include "math/x86/attend.h"

void avx512_attend_f32(const struct attend *a)
{
    attend(a, KV_F32);
}

void avx512_attend_f16(const struct attend *a)
{
    attend(a, KV_F16);
}

void avx512_attend_q8(const struct attend *a)
{
    attend(a, KV_Q8);
}
#endif
