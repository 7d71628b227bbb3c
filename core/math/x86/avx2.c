/* avx2.c - the AVX2 table, and its operations on rows: norms, activations, RoPE, the
 * vocabulary.
 *
 * The same bits as kernels_ref.c: lane i of a register is lane i there, and the last few values
 * come through masks that add +0 to a sum that is never -0. Pure; any thread. Compiles to nothing
 * elsewhere than on x86-64. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"

/* n values, 8 at a time; the last time some may be masked. */
#define FOR_EACH_8(i, n)                                                                           \
    for (size_t i = 0; i < (n); i += 8) /* NOLINT(bugprone-macro-parentheses): i is a name */

ALWAYS_INLINE __m256 load_masked(const float *p, size_t left)
{
    return left >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(left));
}

ALWAYS_INLINE void store_masked(float *p, size_t left, __m256 v)
{
    if (left >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, first_lanes(left), v);
}

void avx2_rms_norm(const float *x, const float *w, size_t n, float eps, float *y)
{
    __m256 lanes = _mm256_setzero_ps();
    FOR_EACH_8(i, n)
    {
        __m256 v = load_masked(x + i, n - i);
        lanes = _mm256_fmadd_ps(v, v, lanes);
    }
    __m256 scale = _mm256_set1_ps(1.0f / sqrtf(tree8(lanes) / (float)n + eps));
    FOR_EACH_8(i, n)
    {
        __m256 v = _mm256_mul_ps(load_masked(x + i, n - i), scale);
        store_masked(y + i, n - i, _mm256_mul_ps(v, load_masked(w + i, n - i)));
    }
}

void avx2_layer_norm(const float *x, const float *w, const float *b, size_t n, float eps, float *y)
{
    __m256 lanes = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
    FOR_EACH_8(i, n)
    lanes = _mm256_add_ps(lanes, load_masked(x + i, n - i));
    __m256 mean = _mm256_set1_ps(tree8(lanes) / (float)n);
    FOR_EACH_8(i, n)
    {
        __m256 d = _mm256_sub_ps(load_masked(x + i, n - i), mean);
        if (n - i < 8)
            d = _mm256_and_ps(d, _mm256_castsi256_ps(first_lanes(n - i)));
        squares = _mm256_fmadd_ps(d, d, squares);
    }
    __m256 scale = _mm256_set1_ps(1.0f / sqrtf(tree8(squares) / (float)n + eps));
    FOR_EACH_8(i, n)
    {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(load_masked(x + i, n - i), mean), scale);
        __m256 weight = load_masked(w + i, n - i), bias = load_masked(b + i, n - i);
        store_masked(y + i, n - i, _mm256_fmadd_ps(d, weight, bias));
    }
}

void avx2_add(float *y, const float *x, size_t n)
{
    FOR_EACH_8(i, n)
    store_masked(y + i, n - i, _mm256_add_ps(load_masked(y + i, n - i), load_masked(x + i, n - i)));
}

void avx2_silu_mul(float *gate, const float *up, size_t n)
{
    FOR_EACH_8(i, n)
    {
        __m256 v = silu8(load_masked(gate + i, n - i));
        store_masked(gate + i, n - i, _mm256_mul_ps(v, load_masked(up + i, n - i)));
    }
}

void avx2_gelu(float *x, size_t n)
{
    FOR_EACH_8(i, n)
    store_masked(x + i, n - i, gelu8(load_masked(x + i, n - i)));
}

/* minps and maxps return their second operand where either is NaN. */
void avx2_swiglu_oai(float *gate, const float *up, size_t n)
{
    const __m256 limit = _mm256_set1_ps(SWIGLU_OAI_LIMIT), one = _mm256_set1_ps(1.0f);
    FOR_EACH_8(i, n)
    {
        __m256 g = _mm256_min_ps(limit, load_masked(gate + i, n - i));
        __m256 u = _mm256_min_ps(limit, load_masked(up + i, n - i));
        u = _mm256_max_ps(_mm256_set1_ps(-SWIGLU_OAI_LIMIT), u);
        __m256 e = exp8(_mm256_mul_ps(_mm256_set1_ps(-SWIGLU_OAI_ALPHA), g));
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(one, e));
        store_masked(gate + i, n - i, _mm256_mul_ps(v, _mm256_add_ps(u, one)));
    }
}

void avx2_add_scaled(float *y, const float *x, float scale, size_t n)
{
    const __m256 factor = _mm256_set1_ps(scale);
    FOR_EACH_8(i, n)
    {
        __m256 v = _mm256_fmadd_ps(factor, load_masked(x + i, n - i), load_masked(y + i, n - i));
        store_masked(y + i, n - i, v);
    }
}

void avx2_gelu_mul(float *gate, const float *up, size_t n)
{
    FOR_EACH_8(i, n)
    {
        __m256 v = gelu8(load_masked(gate + i, n - i));
        store_masked(gate + i, n - i, _mm256_mul_ps(v, load_masked(up + i, n - i)));
    }
}

void avx2_softcap(float *x, float cap, size_t n)
{
    FOR_EACH_8(i, n)
    store_masked(x + i, n - i, softcap8(load_masked(x + i, n - i), cap));
}

/* Even lanes: a cos - (b sin); odd lanes: a sin + (b cos). */
static void rope_interleaved(float *x, const float *cos, const float *sin, size_t n, __m256 scale)
{
    size_t i = 0;
    for (; i + 4 <= n / 2; i += 4) {
        __m256 v = _mm256_loadu_ps(x + 2 * i);
        __m128 c = _mm_loadu_ps(cos + i), s = _mm_loadu_ps(sin + i);
        __m256 cs = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));
        __m256 sc = _mm256_permute_ps(cs, 0xb1);
        __m256 y =
            _mm256_fmaddsub_ps(_mm256_moveldup_ps(v), cs, _mm256_mul_ps(_mm256_movehdup_ps(v), sc));
        _mm256_storeu_ps(x + 2 * i, _mm256_mul_ps(y, scale));
    }
    for (; i < n / 2; i++) {
        float a = x[2 * i], b = x[2 * i + 1], factor = _mm256_cvtss_f32(scale);
        x[2 * i] = fmaf(a, cos[i], -(b * sin[i])) * factor;
        x[2 * i + 1] = fmaf(a, sin[i], b * cos[i]) * factor;
    }
}

void avx2_rope(float *x, const float *cos, const float *sin, size_t n, size_t head_dim,
               bool interleaved, float scale)
{
    __m256 factor = _mm256_set1_ps(scale);
    size_t half = n / 2;
    if (interleaved) {
        rope_interleaved(x, cos, sin, n, factor);
    } else {
        FOR_EACH_8(i, half)
        {
            size_t left = half - i;
            __m256 a = load_masked(x + i, left), b = load_masked(x + half + i, left);
            __m256 c = load_masked(cos + i, left), s = load_masked(sin + i, left);
            __m256 first = _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s));
            __m256 second = _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c));
            store_masked(x + i, left, _mm256_mul_ps(first, factor));
            store_masked(x + half + i, left, _mm256_mul_ps(second, factor));
        }
    }
    FOR_EACH_8(i, head_dim - n)
    store_masked(x + n + i, head_dim - n - i,
                 _mm256_mul_ps(load_masked(x + n + i, head_dim - n - i), factor));
}

/* The running maximum is the second operand: it stays when the other is NaN. */
float avx2_max(const float *x, size_t n)
{
    __m256 m[4];
    for (size_t j = 0; j < 4; j++)
        m[j] = _mm256_set1_ps(x[0]);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        for (size_t j = 0; j < 4; j++)
            m[j] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * j), m[j]);
    }
    float max = max8(_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max + 0.0f;
}

size_t avx2_argmax(const float *x, size_t n)
{
    float max = avx2_max(x, n);
    __m256 wanted = _mm256_set1_ps(max);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int equal = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), wanted, _CMP_EQ_OQ));
        if (equal != 0)
            return i + (size_t)__builtin_ctz((unsigned)equal);
    }
    for (; i < n; i++) {
        if (x[i] == max)
            return i;
    }
    return 0; /* NaN: unspecified, but an index */
}

size_t avx2_count_at_least(const float *x, size_t n, float floor)
{
    const __m256 least = _mm256_set1_ps(floor);
    __m256i counts = _mm256_setzero_si256(); /* each lane: minus its count */
    size_t i = 0, count = 0;
    for (; i + 8 <= n; i += 8)
        counts = _mm256_add_epi32(
            counts, _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(x + i), least, _CMP_GE_OQ)));
    for (; i < n; i++)
        count += x[i] >= floor;
    return count - (size_t)(ptrdiff_t)sum8_i32(counts);
}

size_t avx2_list_at_least(const float *x, size_t n, float floor, uint32_t *index)
{
    const __m256 least = _mm256_set1_ps(floor);
    size_t i = 0, count = 0;
    for (; i + 8 <= n; i += 8) {
        unsigned found =
            (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), least, _CMP_GE_OQ));
        for (; found != 0; found &= found - 1)
            index[count++] = (uint32_t)i + (uint32_t)__builtin_ctz(found);
    }
    for (; i < n; i++) {
        if (x[i] >= floor)
            index[count++] = (uint32_t)i;
    }
    return count;
}

void avx2_exp(float *x, size_t n)
{
    FOR_EACH_8(i, n)
    store_masked(x + i, n - i, exp8(load_masked(x + i, n - i)));
}

float avx2_sum_exp(const float *x, size_t n, float max)
{
    __m256 lanes = _mm256_setzero_ps(), top = _mm256_set1_ps(max);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        lanes = _mm256_add_ps(lanes, exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), top)));
    if (i < n) {
        __m256i mask = first_lanes(n - i);
        __m256 e = exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), top));
        lanes = _mm256_add_ps(lanes, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
    }
    return tree8(lanes);
}

bool avx2_all_finite(const float *x, size_t n)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i bad = _mm256_setzero_si256();
    FOR_EACH_8(i, n)
    {
        __m256i bits = _mm256_and_si256(_mm256_castps_si256(load_masked(x + i, n - i)), exponent);
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(bits, exponent));
    }
    return _mm256_testz_si256(bad, bad) != 0;
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
    .matmul = {AVX2_MATMUL_FLOAT, MATMUL_QUANT_ENTRIES(avx2)},
    AVX2_ATTEND,
    AVX2_DELTA,
    AVX2_ROWS,
};
#endif
