/* fmath_inline.h - exp, SiLU and GELU in F32 as every kernel computes them: the scalar form of the
 * one definition.
 *
 * Inline, because the reference kernels are compiled once with and once without the FMA instruction
 * and each wants its own copy; the SIMD kernels write the same operations out in lanes. Private to
 * core/math.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x = 2^n * e^r with n = round(x / ln 2), |r| <= 0.3466. ln 2 is split so that n * high is exact.
 * e^r is a minimax polynomial of degree 6, 3.1e-9 relative, with its first two coefficients exactly
 * 1 (so exp(0) is 1). */
#define EXP_LOG2E    0x1.715476p+0f
#define EXP_MAGIC    0x1.8p+23f /* adding it rounds to an integer, left in the low bits */
#define EXP_LN2_HIGH 0x1.62e4p-1f
#define EXP_LN2_LOW  0x1.7f7d1cp-20f
#define EXP_C2       0x1.fffffcp-2f
#define EXP_C3       0x1.555492p-3f
#define EXP_C4       0x1.5558f2p-5f
#define EXP_C5       0x1.1239fp-7f
#define EXP_C6       0x1.6a241ap-10f
#define EXP_MIN      (-87.3f) /* below: 0. Above it, the result is a normal number. */
#define EXP_MAX                                                                                    \
    88.7228f /* above: infinity. Below it, n = 128 comes with e^r < 1, so that the exponents' sum  \
                fits. */

/* tanh form of GELU: x * sigmoid(2u), u = sqrt(2/pi) * (x + 0.044715 x^3). */
#define GELU_CUBIC                  0.044715f
#define GELU_MINUS_2_SQRT_2_OVER_PI (-0x1.988454p+0f)

#define SWIGLU_OAI_ALPHA 1.702f
#define SWIGLU_OAI_LIMIT 7.0f

static inline float fmath_exp_inline(float x)
{
    float z = fmaf(x, EXP_LOG2E, EXP_MAGIC);
    float n = z - EXP_MAGIC;
    float r = fmaf(n, -EXP_LN2_HIGH, x);
    r = fmaf(n, -EXP_LN2_LOW, r);
    float p = fmaf(EXP_C6, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    uint32_t shift, bits;
    memcpy(&shift, &z, sizeof shift);
    memcpy(&bits, &p, sizeof bits);
    bits += shift << 23;
    float y;
    memcpy(&y, &bits, sizeof y);
    y = x < EXP_MIN ? 0.0f : y;
    y = x > EXP_MAX ? INFINITY : y;
    return x != x ? x : y;
}

/* cap * tanh(x / cap); minus_2_over_cap: -2 / cap. */
static inline float fmath_softcap_inline(float x, float cap, float minus_2_over_cap)
{
    float e = fmath_exp_inline(fabsf(x) * minus_2_over_cap);
    return copysignf(cap * ((1.0f - e) / (1.0f + e)), x);
}

static inline float fmath_silu_inline(float x)
{
    return x / (1.0f + fmath_exp_inline(-x));
}

static inline float fmath_gelu_inline(float x)
{
    float u = fmaf(GELU_CUBIC * (x * x), x, x);
    return x / (1.0f + fmath_exp_inline(GELU_MINUS_2_SQRT_2_OVER_PI * u));
}

/* gpt-oss: the gate clamped from above, up from both sides; NaN goes through. */
static inline float fmath_swiglu_oai_inline(float gate, float up)
{
    float g = SWIGLU_OAI_LIMIT < gate ? SWIGLU_OAI_LIMIT : gate;
    float u = SWIGLU_OAI_LIMIT < up ? SWIGLU_OAI_LIMIT : up;
    u = -SWIGLU_OAI_LIMIT > u ? -SWIGLU_OAI_LIMIT : u;
    return g / (1.0f + fmath_exp_inline(-SWIGLU_OAI_ALPHA * g)) * (u + 1.0f);
}
