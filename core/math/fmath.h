/* fmath.h - our own elementary functions: one polynomial each, the same bits on every machine.
 *
 * libm's exp, log, sin, cos, pow and tanh choose variants by CPU, so none of them may reach an
 * output. These use only
 * + - * / fma, rint and sqrt in a written order. Each says its largest error in its comment in
 * fmath.c. The SIMD kernels compute the f32 ones lane by lane with the same operations. Pure; any
 * thread.
 */
#pragma once

float fmath_exp(float x); /* below -87.3: 0 (no subnormal result); above 88.7: +inf; NaN: NaN */
float fmath_log(float x); /* x > 0; 0: -inf; below: NaN */
float fmath_tanh(float x);
float fmath_softplus(float x); /* ln(1 + exp(x)) */
float fmath_silu(float x);     /* x / (1 + exp(-x)) */
float fmath_gelu(float x);     /* tanh form: Hendrycks and Gimpel, 2016, as GPT-2 uses it */

/* Double precision, for tables made at load time (RoPE). */
double fmath_exp_d(double x);
double fmath_log_d(double x);                            /* x > 0 */
double fmath_pow_d(double base, double e);               /* base > 0 */
void fmath_sincos_d(double x, double *sin, double *cos); /* |x| < 2^31 */
