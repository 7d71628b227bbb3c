/* avx2_delta.c - what recurrent layers compute in AVX2: gates, the short convolution, and the gated
 * delta rule, delta.h in 8 lanes. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"

#define LANES    8
#define TOGETHER 2
typedef __m256 vec;

ALWAYS_INLINE vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

ALWAYS_INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}

ALWAYS_INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

ALWAYS_INLINE void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

ALWAYS_INLINE vec vec_load_some(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

ALWAYS_INLINE void vec_store_some(float *p, size_t n, vec v)
{
    _mm256_maskstore_ps(p, first_lanes(n), v);
}

ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

#include "math/x86/delta.h"

void avx2_delta(const struct delta *d)
{
    delta_run(d);
}

void avx2_sigmoid_mul(float *y, const float *gate, size_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += 8) {
        const __m256i mask = first_lanes(n - i < 8 ? n - i : 8);
        __m256 e = exp8(_mm256_xor_ps(_mm256_maskload_ps(gate + i, mask), sign));
        __m256 v = _mm256_div_ps(_mm256_maskload_ps(y + i, mask), _mm256_add_ps(one, e));
        _mm256_maskstore_ps(y + i, mask, v);
    }
}

void avx2_conv(const float *const *taps, size_t n_taps, const float *w, size_t w_stride,
               const float *bias, size_t n, bool silu, float *y)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m256i mask = first_lanes(n - i < 8 ? n - i : 8);
        __m256 acc = bias != NULL ? _mm256_maskload_ps(bias + i, mask) : _mm256_setzero_ps();
        for (size_t j = 0; j < n_taps; j++)
            acc = _mm256_fmadd_ps(_mm256_maskload_ps(taps[j] + i, mask),
                                  _mm256_maskload_ps(w + j * w_stride + i, mask), acc);
        _mm256_maskstore_ps(y + i, mask, silu ? silu8(acc) : acc);
    }
}
#endif
