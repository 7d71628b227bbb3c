/* avx2_vec.h - 8 floats at once, in the words that attend.h and delta.h are written in. For one
 * source that is compiled for this instruction set. Private to core/math. */
#pragma once

#include "math/x86/avx2.h"

#define LANES 8
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
