/* kernels_avx2_attend.c - attention over paged keys and values with AVX2: positions in lanes for
 * the scores, the head's values in lanes for the sum.
 *
 * Up to 4 heads of a group go through a block of keys and values together, so that each is loaded
 * (and converted) once for all. Each head's chains are those of kernels_ref.c. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/kernels_avx2.h"

enum { HEADS = 4 }; /* at once */

ALWAYS_INLINE size_t padded(size_t head_dim)
{
    return (head_dim + 7) / 8 * 8;
}

ALWAYS_INLINE size_t value_bytes(enum kv_type type)
{
    return type == KV_F16 ? sizeof(uint16_t) : sizeof(float);
}

/* 8 values from index i of a block. */
ALWAYS_INLINE __m256 load_kv(const uint8_t *block, enum kv_type type, size_t i)
{
    const uint8_t *p = block + i * value_bytes(type);
    if (type == KV_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_loadu_ps((const float *)(const void *)p);
}

void avx2_kv_store_f32(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    float *keys = (float *)(void *)block,
          *values = keys + KV_PAGE * head_dim + slot * padded(head_dim);
    for (size_t d = 0; d < head_dim; d++)
        keys[d * KV_PAGE + slot] = k[d];
    memcpy(values, v, head_dim * sizeof *v);
    memset(values + head_dim, 0, (padded(head_dim) - head_dim) * sizeof *values);
}

void avx2_kv_store_f16(uint8_t *block, size_t slot, size_t head_dim, const float *k, const float *v)
{
    uint16_t *keys = (uint16_t *)(void *)block,
             *values = keys + KV_PAGE * head_dim + slot * padded(head_dim);
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

/* What a group of heads carries from block to block. */
struct heads {
    __m256 lanes[HEADS]; /* of the sum */
    float max[HEADS];
    float shrink[HEADS]; /* of this block: what the earlier sums are multiplied by; 1 when the
                            maximum stays */
    _Alignas(32) float p[HEADS][KV_PAGE]; /* scores, then exp(score - max) */
};

/* Scores of 16 positions from pos. */
ALWAYS_INLINE void scores(const struct attend *a, enum kv_type type, const uint8_t *block,
                          size_t pos, const float *q, size_t n_heads, struct heads *s)
{
    __m256 low[HEADS], high[HEADS];
    for (size_t h = 0; h < n_heads; h++)
        low[h] = high[h] = _mm256_setzero_ps();
    for (size_t d = 0; d < a->head_dim; d++) {
        __m256 k0 = load_kv(block, type, d * KV_PAGE + pos),
               k1 = load_kv(block, type, d * KV_PAGE + pos + 8);
#pragma GCC unroll 4
        for (size_t h = 0; h < n_heads; h++) {
            __m256 qd = _mm256_broadcast_ss(q + h * a->head_dim + d);
            low[h] = _mm256_fmadd_ps(qd, k0, low[h]);
            high[h] = _mm256_fmadd_ps(qd, k1, high[h]);
        }
    }
    for (size_t h = 0; h < n_heads; h++) {
        _mm256_store_ps(s->p[h] + pos, low[h]);
        _mm256_store_ps(s->p[h] + pos + 8, high[h]);
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
    const size_t stride = padded(a->head_dim), row = KV_PAGE * a->head_dim + d;
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
            __m256 p = _mm256_broadcast_ss(s->p[h] + pos);
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
        for (; d + 16 <= a->head_dim; d += 16)
            add_values(a, type, block, n, d, acc, n_heads, 2, first_lanes(8), &s);
        for (; d < a->head_dim; d += 8) {
            size_t left = a->head_dim - d;
            add_values(a, type, block, n, d, acc, n_heads, 1, first_lanes(left < 8 ? left : 8), &s);
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
