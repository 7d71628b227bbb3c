/* avx512_vec.h - 16 floats at once, in the words that attend.h and delta.h are written in. For one
 * source that is compiled for this instruction set. Private to core/math. */
#pragma once

#include "math/x86/avx512.h"

#define LANES 16
typedef __m512 vec;

ALWAYS_INLINE __mmask16 mask_of(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

ALWAYS_INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

ALWAYS_INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}

ALWAYS_INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

ALWAYS_INLINE void vec_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

ALWAYS_INLINE vec vec_load_some(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(mask_of(n), p);
}

ALWAYS_INLINE void vec_store_some(float *p, size_t n, vec v)
{
    _mm512_mask_storeu_ps(p, mask_of(n), v);
}

ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
