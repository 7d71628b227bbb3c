/* kernels_avx2_attend.c - attention over paged keys and values with AVX2: positions in lanes for
 * the scores, the head's values in lanes for the sum.
 *
 * Up to 4 heads of a group go through a block of keys and values together, so that each is loaded
 * (and converted) once for all. Each head's chains are those of kernels_ref.c. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/kernels_avx2.h"
#include "math/kv_layout.h"

enum { HEADS = 4 }; /* at once */

/* 8 numbers from index i of a block, of KV_Q8 without their scale. */
ALWAYS_INLINE __m256 load_kv(const uint8_t *block, enum kv_type type, size_t i)
{
    if (type == KV_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(block + 2 * i)));
    if (type == KV_Q8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(block + i))));
    return _mm256_loadu_ps((const float *)(const void *)(block + 4 * i));
}

/* The scales of 8 positions from pos. */
ALWAYS_INLINE __m256 load_scales(const uint8_t *scales, size_t pos)
{
    __m128i bf16 = _mm_loadu_si128((const __m128i *)(const void *)(scales + 2 * pos));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}

void avx2_kv_store_f32(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    float *keys = (float *)(void *)block, *values = keys + kv_value_at(head_dim, slot);
    for (size_t d = 0; d < head_dim; d++)
        keys[d * KV_PAGE + slot] = k[d];
    memcpy(values, v, head_dim * sizeof *v);
    memset(values + head_dim, 0, (kv_padded(head_dim) - head_dim) * sizeof *values);
}

void avx2_kv_store_f16(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    uint16_t *keys = (uint16_t *)(void *)block, *values = keys + kv_value_at(head_dim, slot);
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
    uint16_t scale = kv_scale_of(_mm_cvtss_f32(_mm_castsi128_ps(one)));
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
    int8_t *keys = (int8_t *)block, *values = keys + kv_value_at(head_dim, slot);
    for (size_t g = 0; g < kv_groups(head_dim); g++) {
        size_t d = g * KV_GROUP, n = head_dim - d < KV_GROUP ? head_dim - d : KV_GROUP;
        uint16_t k_scale = round_group(k + d, n, keys + d * KV_PAGE + slot, KV_PAGE);
        uint16_t v_scale = round_group(v + d, n, values + d, 1);
        memcpy(block + kv_key_scales_at(head_dim, g) + 2 * slot, &k_scale, sizeof k_scale);
        memcpy(block + kv_value_scales_at(head_dim, g) + 2 * slot, &v_scale, sizeof v_scale);
    }
    memset(values + head_dim, 0, kv_padded(head_dim) - head_dim);
}

/* What a group of heads carries from block to block. */
struct heads {
    __m256 lanes[HEADS]; /* of the sum */
    float max[HEADS];
    float shrink[HEADS]; /* of this block: what the earlier sums are multiplied by; 1 when the
                            maximum stays */
    _Alignas(32) float p[HEADS][KV_PAGE];      /* scores, then exp(score - max) */
    _Alignas(32) float weight[HEADS][KV_PAGE]; /* KV_Q8: p times the values' scales of a group */
};

/* Scores of 16 positions from pos: chains over [d0, d1), added to total as they are or, of KV_Q8,
 * times the keys' scales. */
ALWAYS_INLINE void dots(const struct attend *a, enum kv_type type, const uint8_t *block, size_t pos,
                        size_t d0, size_t d1, const float *q, size_t n_heads,
                        __m256 total[HEADS][2])
{
    __m256 sum[HEADS][2];
    for (size_t h = 0; h < n_heads; h++)
        sum[h][0] = sum[h][1] = _mm256_setzero_ps();
    for (size_t d = d0; d < d1; d++) {
        __m256 k0 = load_kv(block, type, d * KV_PAGE + pos),
               k1 = load_kv(block, type, d * KV_PAGE + pos + 8);
#pragma GCC unroll 4
        for (size_t h = 0; h < n_heads; h++) {
            __m256 qd = _mm256_broadcast_ss(q + h * a->head_dim + d);
            sum[h][0] = _mm256_fmadd_ps(qd, k0, sum[h][0]);
            sum[h][1] = _mm256_fmadd_ps(qd, k1, sum[h][1]);
        }
    }
    for (size_t c = 0; c < 2; c++) {
        __m256 scale =
            type == KV_Q8
                ? load_scales(block + kv_key_scales_at(a->head_dim, d0 / KV_GROUP), pos + 8 * c)
                : _mm256_setzero_ps();
        for (size_t h = 0; h < n_heads; h++)
            total[h][c] =
                type == KV_Q8 ? _mm256_fmadd_ps(sum[h][c], scale, total[h][c]) : sum[h][c];
    }
}

ALWAYS_INLINE void scores(const struct attend *a, enum kv_type type, const uint8_t *block,
                          size_t pos, const float *q, size_t n_heads, struct heads *s)
{
    const size_t group = type == KV_Q8 ? KV_GROUP : a->head_dim;
    __m256 total[HEADS][2];
    for (size_t h = 0; h < n_heads; h++)
        total[h][0] = total[h][1] = _mm256_setzero_ps();
    for (size_t d = 0; d < a->head_dim; d += group)
        dots(a, type, block, pos, d, a->head_dim - d < group ? a->head_dim : d + group, q, n_heads,
             total);
    for (size_t h = 0; h < n_heads; h++) {
        _mm256_store_ps(s->p[h] + pos, total[h][0]);
        _mm256_store_ps(s->p[h] + pos + 8, total[h][1]);
    }
}

/* One head's scores of a block become weights. Lanes at n and beyond hold what was computed from
 * stale memory, NaN perhaps: they are cut off before the maximum and before the sum. */
ALWAYS_INLINE void softmax(struct heads *s, size_t h, size_t n)
{
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 top = lowest;
    for (size_t pos = 0; pos < n; pos += 8) {
        __m256 visible = _mm256_castsi256_ps(first_lanes(n - pos < 8 ? n - pos : 8));
        top = _mm256_max_ps(_mm256_blendv_ps(lowest, _mm256_load_ps(s->p[h] + pos), visible), top);
    }
    float old = s->max[h], new = max8(top);
    s->shrink[h] = 1.0f;
    if (new > old) {
        s->shrink[h] = fmath_exp_inline(old - new);
        s->max[h] = new;
        s->lanes[h] = _mm256_mul_ps(s->lanes[h], _mm256_set1_ps(s->shrink[h]));
    }
    __m256 max = _mm256_set1_ps(s->max[h]);
    for (size_t pos = 0; pos < n; pos += 8) {
        __m256 visible = _mm256_castsi256_ps(first_lanes(n - pos < 8 ? n - pos : 8));
        __m256 p = _mm256_and_ps(exp8(_mm256_sub_ps(_mm256_load_ps(s->p[h] + pos), max)), visible);
        s->lanes[h] = _mm256_add_ps(s->lanes[h], p);
        _mm256_store_ps(s->p[h] + pos, p);
    }
}

/* acc[h][d .. d + 8 * n_chunks) += p * v over n positions; mask: of the last chunk's 8. */
ALWAYS_INLINE void add_values(const struct attend *a, enum kv_type type, const uint8_t *block,
                              size_t n, size_t d, float *acc, size_t n_heads, size_t n_chunks,
                              __m256i mask, const struct heads *s)
{
    const size_t stride = kv_padded(a->head_dim), row = kv_value_at(a->head_dim, 0) + d;
    const __m256i all = _mm256_set1_epi32(-1);
    __m256 sum[HEADS][2];
    for (size_t h = 0; h < n_heads; h++) {
        __m256 shrink = _mm256_set1_ps(s->shrink[h]);
        for (size_t c = 0; c < n_chunks; c++) {
            __m256 old = _mm256_maskload_ps(acc + h * a->head_dim + d + 8 * c,
                                            c + 1 < n_chunks ? all : mask);
            sum[h][c] = _mm256_mul_ps(old, shrink);
        }
    }
    for (size_t pos = 0; pos < n; pos++) {
        __m256 v[2];
#pragma GCC unroll 2
        for (size_t c = 0; c < n_chunks; c++)
            v[c] = load_kv(block, type, row + pos * stride + 8 * c);
#pragma GCC unroll 4
        for (size_t h = 0; h < n_heads; h++) {
            __m256 p = _mm256_broadcast_ss((type == KV_Q8 ? s->weight[h] : s->p[h]) + pos);
#pragma GCC unroll 2
            for (size_t c = 0; c < n_chunks; c++)
                sum[h][c] = _mm256_fmadd_ps(p, v[c], sum[h][c]);
        }
    }
    for (size_t h = 0; h < n_heads; h++) {
        for (size_t c = 0; c < n_chunks; c++)
            _mm256_maskstore_ps(acc + h * a->head_dim + d + 8 * c, c + 1 < n_chunks ? all : mask,
                                sum[h][c]);
    }
}

/* The weights of the group of values that begins at d. */
ALWAYS_INLINE void scale_weights(const struct attend *a, const uint8_t *block, size_t n, size_t d,
                                 size_t n_heads, struct heads *s)
{
    const uint8_t *scales = block + kv_value_scales_at(a->head_dim, d / KV_GROUP);
    for (size_t pos = 0; pos < n; pos += 8) {
        __m256 scale = load_scales(scales, pos);
        for (size_t h = 0; h < n_heads; h++)
            _mm256_store_ps(s->weight[h] + pos,
                            _mm256_mul_ps(_mm256_load_ps(s->p[h] + pos), scale));
    }
}

/* n_heads heads from the first, a constant where this is inlined. */
ALWAYS_INLINE void attend_heads(const struct attend *a, enum kv_type type, size_t first,
                                size_t n_heads)
{
    const float *q = a->q + first * a->head_dim;
    float *acc = a->acc + first * a->head_dim;
    struct heads s;
    for (size_t h = 0; h < n_heads; h++) {
        s.lanes[h] = _mm256_setzero_ps();
        s.max[h] = -INFINITY;
    }
    memset(acc, 0, n_heads * a->head_dim * sizeof *acc);
    for (size_t begin = 0; begin < a->n_positions; begin += KV_PAGE) {
        const uint8_t *block = a->blocks[begin / KV_PAGE];
        size_t n = a->n_positions - begin < KV_PAGE ? a->n_positions - begin : KV_PAGE, d = 0;
        for (size_t pos = 0; pos < n; pos += 16)
            scores(a, type, block, pos, q, n_heads, &s);
        for (size_t h = 0; h < n_heads; h++)
            softmax(&s, h, n);
        while (d < a->head_dim) {
            size_t left = a->head_dim - d;
            if (type == KV_Q8 && d % KV_GROUP == 0)
                scale_weights(a, block, n, d, n_heads, &s);
            if (left >= 16)
                add_values(a, type, block, n, d, acc, n_heads, 2, first_lanes(8), &s);
            else
                add_values(a, type, block, n, d, acc, n_heads, 1, first_lanes(left < 8 ? left : 8),
                           &s);
            d += left >= 16 ? 16 : 8;
        }
    }
    for (size_t h = 0; h < n_heads; h++) {
        a->max[first + h] = s.max[h] + 0.0f;
        a->sum[first + h] = tree8(s.lanes[h]);
    }
}

ALWAYS_INLINE void attend(const struct attend *a, enum kv_type type)
{
    size_t h = 0;
    for (; h + 4 <= a->n_heads; h += 4)
        attend_heads(a, type, h, 4);
    switch (a->n_heads - h) {
    case 3:
        attend_heads(a, type, h, 3);
        break;
    case 2:
        attend_heads(a, type, h, 2);
        break;
    case 1:
        attend_heads(a, type, h, 1);
        break;
    }
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

void avx2_attend_merge(const float *max, const float *sum, const float *acc, size_t n_spans,
                       size_t n_heads, size_t head_dim, float *out)
{
    for (size_t h = 0; h < n_heads; h++) {
        float top = max[h], total = 0.0f, *row = out + h * head_dim;
        for (size_t i = 1; i < n_spans; i++)
            top = max[i * n_heads + h] > top ? max[i * n_heads + h] : top;
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
