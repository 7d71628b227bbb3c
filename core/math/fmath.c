/* fmath.c - the elementary functions, each one polynomial in a written order. Pure; any thread.
 *
 * Largest errors, measured against glibc's double (or long double) results in
 * tests/core/math/test_fmath.c. */
#include "math/fmath.h"

#include "math/fmath_inline.h"

#define LN2_HIGH  0x1.62e42fefa39efp-1
#define LN2_LOW   0x1.abc9e3b39803fp-56
#define PI_2_HIGH 0x1.921fb54442d18p+0
#define PI_2_LOW  0x1.1a62633145c07p-54

/* 0.9 ulp. */
float fmath_exp(float x)
{
    return fmath_exp_inline(x);
}

/* 2.6 ulp down to -87, where it ends in -0. */
float fmath_silu(float x)
{
    return fmath_silu_inline(x);
}

/* 3e-7 of max(|x|, 1): the relative error grows in the far negative tail, as the exponent's
 * rounding does. */
float fmath_gelu(float x)
{
    return fmath_gelu_inline(x);
}

/* 0.51 ulp: computed in double, rounded once. */
float fmath_log(float x)
{
    if (!(x > 0.0f))
        return x == 0.0f ? -INFINITY : NAN; /* NaN falls here too */
    if (x == INFINITY)
        return x;
    return (float)fmath_log_d((double)x);
}

/* 0.51 ulp: computed in double, rounded once. Where |x| is small, 1 - e would cancel: the series'
 * first terms are exact enough below 2^-7 (the next is 17/315 x^7 < 2^-45 x). */
float fmath_tanh(float x)
{
    double a = fabs((double)x), y;
    if (a < 0x1p-7) {
        double z = a * a;
        y = a * fma(z, fma(z, 2.0 / 15, -1.0 / 3), 1.0);
    } else if (a > 20.0) {
        y = 1.0;
    } else {
        double e = fmath_exp_d(-2.0 * a);
        y = (1.0 - e) / (1.0 + e);
    }
    if (x != x)
        return x;
    return (float)(x < 0.0f ? -y : y);
}

/* 0.51 ulp down to -87, where it ends in 0: computed in double, rounded once. Where e is small, the
 * rounding of 1 + e is taken back (Kahan). */
float fmath_softplus(float x)
{
    if (!(x < 20.0f)) /* NaN falls here too */
        return x;
    double e = fmath_exp_d((double)x), u = 1.0 + e;
    return (float)(u == 1.0 ? e : fmath_log_d(u) * (e / (u - 1.0)));
}

/* Taylor's series to the 13th degree on |r| <= 0.3466: 4e-18 of truncation; about 1 ulp in all. */
double fmath_exp_d(double x)
{
    static const double inverse_factorials[] = {
        1.0 / 6227020800,
        1.0 / 479001600,
        1.0 / 39916800,
        1.0 / 3628800,
        1.0 / 362880,
        1.0 / 40320,
        1.0 / 5040,
        1.0 / 720,
        1.0 / 120,
        1.0 / 24,
        1.0 / 6,
        1.0 / 2,
        1.0,
        1.0,
    };
    if (x != x)
        return x;
    if (x > 709.7)
        return INFINITY;
    if (x < -708.0)
        return 0.0;
    double n = rint(x * 0x1.71547652b82fep+0);
    double r = fma(n, -LN2_HIGH, x);
    r = fma(n, -LN2_LOW, r);
    double p = inverse_factorials[0];
    for (unsigned i = 1; i < sizeof inverse_factorials / sizeof inverse_factorials[0]; i++)
        p = fma(p, r, inverse_factorials[i]);
    /* 2^n in two factors: 2^1024 is beyond a double. */
    int64_t half = (int64_t)n / 2, rest = (int64_t)n - half;
    uint64_t bits[2] = {(uint64_t)(half + 1023) << 52, (uint64_t)(rest + 1023) << 52};
    double scales[2];
    memcpy(scales, bits, sizeof scales);
    return p * scales[0] * scales[1];
}

/* x = 2^n * m, m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716;
 * its series to s^21: 1e-18 of truncation. About 1 ulp. */
double fmath_log_d(double x)
{
    uint64_t bits;
    int64_t n = 0;
    if (x < 0x1p-1022) { /* subnormal */
        x *= 0x1p54;
        n = -54;
    }
    memcpy(&bits, &x, sizeof bits);
    n += (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        n++;
    }
    double f = m - 1.0, s = f / (m + 1.0), z = s * s, p = 0.0;
    for (int k = 21; k >= 3; k -= 2)
        p = fma(p, z, 1.0 / k);
    p *= z; /* atanh(s) / s - 1 */
    /* 2s + 2sp = f - s (f - 2p): f is exact, the rest small. */
    double log_m = f - s * (f - 2.0 * p);
    return fma((double)n, LN2_HIGH, fma((double)n, LN2_LOW, log_m));
}

/* The logarithm's error is multiplied by |e log base| / 1: below 1e-14 for |e log base| <= 20. */
double fmath_pow_d(double base, double e)
{
    return fmath_exp_d(e * fmath_log_d(base));
}

/* x - n pi/2 with pi/2 in two parts (106 bits); Taylor's series on |r| <= 0.7854: 1e-17 absolute.
 */
void fmath_sincos_d(double x, double *sin, double *cos)
{
    double n = rint(x * 0x1.45f306dc9c883p-1);
    double r = fma(n, -PI_2_HIGH, x);
    r = fma(n, -PI_2_LOW, r);
    double z = r * r, s = 0.0, c = 0.0;
    for (int k = 18; k >= 2; k -= 2) {
        s = (1.0 - s) * z / (k * (k + 1)); /* of 1 - sin(r) / r */
        c = (1.0 - c) * z / (k * (k - 1)); /* of 1 - cos(r) */
    }
    s = fma(-s, r, r);
    c = 1.0 - c;
    int64_t quadrant = (int64_t)n & 3;
    double a = quadrant % 2 == 0 ? s : c, b = quadrant % 2 == 0 ? c : s;
    *sin = quadrant >= 2 ? -a : a;
    *cos = quadrant == 1 || quadrant == 2 ? -b : b;
}
