/* avx2_delta.c - what recurrent layers compute in AVX2: gates, the short convolution, and the gated
 * delta rule, delta.h in 8 lanes. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"
#include "math/x86/avx2_vec.h"

#define TOGETHER 2

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
