/* avx2_attend.c - attention and the cache's rounding in AVX2: attend.h in 8 lanes.
 * Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/kv_layout.h"
#include "math/x86/avx2.h"
#include "math/x86/avx2_vec.h"

#define TILE_LARGEST 6
#define TILES                                                                                      \
    {                                                                                              \
        0, 1, 2, 3, 4, 3, 6, 4, 4, 6, 6, 6, 6                                                      \
    }
#define SCORE_CHUNKS(n) ((n) <= 2 ? 4 : 2)
#define VALUE_CHUNKS(n) ((n) <= 3 ? 4 : 2)

ALWAYS_INLINE vec vec_visible(const float *p, size_t n, vec other)
{
    return _mm256_blendv_ps(other, _mm256_loadu_ps(p), _mm256_castsi256_ps(first_lanes(n)));
}

ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

ALWAYS_INLINE bool vec_above(vec a, vec b)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
}

ALWAYS_INLINE float vec_top(vec v)
{
    return max8(v);
}

ALWAYS_INLINE vec vec_exp(vec x, size_t n)
{
    return _mm256_and_ps(exp8(x), _mm256_castsi256_ps(first_lanes(n)));
}

ALWAYS_INLINE vec vec_softcap(vec x, float cap)
{
    return softcap8(x, cap);
}

ALWAYS_INLINE vec8 vec_sum(vec8 sum, vec v)
{
    return _mm256_add_ps(sum, v);
}

ALWAYS_INLINE vec vec_kv(const uint8_t *p, enum kv_type type)
{
    if (type == KV_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
    if (type == KV_Q8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
    return _mm256_loadu_ps((const float *)(const void *)p);
}

/* A row of values is padded to 8. */
ALWAYS_INLINE vec vec_kv_some(const uint8_t *p, enum kv_type type, size_t n)
{
    (void)n;
    return vec_kv(p, type);
}

ALWAYS_INLINE vec vec_scales(const uint8_t *p)
{
    __m128i bf16 = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}

#include "math/x86/attend.h"

void avx2_kv_store_f32(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    float *keys = (float *)(void *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t d = 0; d < head_dim; d++)
        keys[d * KV_PAGE + slot] = k[d];
    memcpy(values, v, head_dim * sizeof *v);
    memset(values + head_dim, 0, (page_padded(head_dim) - head_dim) * sizeof *values);
}

void avx2_kv_store_f16(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    uint16_t *keys = (uint16_t *)(void *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t d = 0; d < head_dim; d += 8) {
        __m256i mask = first_lanes(head_dim - d < 8 ? head_dim - d : 8);
        __m128i k8 = _mm256_cvtps_ph(_mm256_maskload_ps(k + d, mask), _MM_FROUND_TO_NEAREST_INT);
        __m128i v8 = _mm256_cvtps_ph(_mm256_maskload_ps(v + d, mask), _MM_FROUND_TO_NEAREST_INT);
        uint16_t column[8];
        _mm_storeu_si128((__m128i *)(void *)column, k8);
        _mm_storeu_si128((__m128i *)(void *)(values + d), v8);
        for (size_t i = 0; i < 8 && d + i < head_dim; i++)
            keys[(d + i) * KV_PAGE + slot] = column[i];
    }
}

/* Rounds up to KV_GROUP values to int8, `step` bytes apart; returns their scale. */
ALWAYS_INLINE uint16_t round_group(const float *x, size_t n, int8_t *out, size_t step)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256 part[KV_GROUP / 8];
    __m256i top = _mm256_setzero_si256();
    for (size_t i = 0; 8 * i < n; i++) {
        part[i] = _mm256_maskload_ps(x + 8 * i, first_lanes(n - 8 * i < 8 ? n - 8 * i : 8));
        top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(part[i]), magnitude));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    __m128i one = _mm_max_epi32(two, _mm_shuffle_epi32(two, 0x55));
    uint16_t scale = page_scale_of(_mm_cvtss_f32(_mm_castsi128_ps(one)));
    __m256 inverse = _mm256_set1_ps(kv_scale_inverse(scale));
    for (size_t i = 0; 8 * i < n; i++) {
        _Alignas(32) int32_t q[8];
        __m256 v = _mm256_mul_ps(part[i], inverse);
        v = _mm256_min_ps(v, _mm256_set1_ps(127.0f)); /* NaN: 127 */
        v = _mm256_max_ps(v, _mm256_set1_ps(-127.0f));
        _mm256_store_si256((__m256i *)(void *)q, _mm256_cvtps_epi32(v));
        for (size_t j = 0; j < 8 && 8 * i + j < n; j++)
            out[(8 * i + j) * step] = (int8_t)q[j];
    }
    return scale;
}

void avx2_kv_store_q8(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    int8_t *keys = (int8_t *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t g = 0; g < page_groups(head_dim); g++) {
        size_t d = g * KV_GROUP, n = head_dim - d < KV_GROUP ? head_dim - d : KV_GROUP;
        uint16_t k_scale = round_group(k + d, n, keys + d * KV_PAGE + slot, KV_PAGE);
        uint16_t v_scale = round_group(v + d, n, values + d, 1);
        memcpy(block + page_key_scales_at(head_dim, g) + 2 * slot, &k_scale, sizeof k_scale);
        memcpy(block + page_value_scales_at(head_dim, g) + 2 * slot, &v_scale, sizeof v_scale);
    }
    memset(values + head_dim, 0, page_padded(head_dim) - head_dim);
}

void avx2_attend_f32(const struct attend *a)
{
    attend(a, KV_F32);
}

void avx2_attend_f16(const struct attend *a)
{
    attend(a, KV_F16);
}

void avx2_attend_q8(const struct attend *a)
{
    attend(a, KV_Q8);
}

void avx2_attend_merge(const float *max, const float *sum, const float *acc, const float *sinks,
                       size_t n_spans, size_t n_heads, size_t head_dim, float *out)
{
    for (size_t h = 0; h < n_heads; h++) {
        float top = sinks != NULL ? sinks[h] : max[h], *row = out + h * head_dim;
        for (size_t i = 0; i < n_spans; i++)
            top = max[i * n_heads + h] > top ? max[i * n_heads + h] : top;
        float total = sinks != NULL ? fmath_exp_inline(sinks[h] - top) : 0.0f;
        for (size_t i = 0; i < n_spans; i++) {
            const float *part = acc + (i * n_heads + h) * head_dim;
            float weight = fmath_exp_inline(max[i * n_heads + h] - top);
            total = fmaf(weight, sum[i * n_heads + h], total);
            for (size_t d = 0; d < head_dim; d += 8) {
                __m256i mask = first_lanes(head_dim - d < 8 ? head_dim - d : 8);
                __m256 old = i == 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(row + d, mask);
                __m256 v = _mm256_fmadd_ps(_mm256_set1_ps(weight),
                                           _mm256_maskload_ps(part + d, mask), old);
                _mm256_maskstore_ps(row + d, mask, v);
            }
        }
        for (size_t d = 0; d < head_dim; d += 8) {
            __m256i mask = first_lanes(head_dim - d < 8 ? head_dim - d : 8);
            __m256 v = _mm256_div_ps(_mm256_maskload_ps(row + d, mask), _mm256_set1_ps(total));
            _mm256_maskstore_ps(row + d, mask, v);
        }
    }
}
#endif
