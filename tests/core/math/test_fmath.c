/* test_fmath.c - the elementary functions against libm in double: the errors that fmath.c states.
 */
#include "math/fmath.h"

#include "math_test.h"

#include <float.h>

/* |found - truth| in units of found's last place. */
static double ulps(float found, double truth)
{
    int exponent;
    frexp(truth, &exponent);
    if (exponent < -125)
        exponent = -125;
    return fabs((double)found - truth) / ldexp(1.0, exponent - 24);
}

/* The largest error over x from low to high in n steps and at random points between. */
static double largest(float (*f)(float), double (*truth)(double), double low, double high, size_t n)
{
    struct rng r = {1};
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        float x =
            (float)(low + (high - low) * ((double)i + (double)(rng_next(&r) >> 11) * 0x1p-53) /
                              (double)n);
        double error = ulps(f(x), truth((double)x));
        worst = error > worst ? error : worst;
    }
    return worst;
}

static double true_softplus(double x)
{
    return log1p(exp(x));
}

static double true_silu(double x)
{
    return x / (1 + exp(-x));
}

static double true_gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

START_TEST(exp_is_within_one_ulp)
{
    ck_assert_double_le(largest(fmath_exp, exp, -87.29, 88.72, 200000), 0.9);
    ck_assert_double_le(largest(fmath_exp, exp, -1, 1, 200000), 0.9);
}
END_TEST

START_TEST(exp_at_its_ends)
{
    ck_assert(fmath_exp(0.0f) == 1.0f && fmath_exp(-0.0f) == 1.0f);
    ck_assert(fmath_exp(-INFINITY) == 0.0f && fmath_exp(INFINITY) == INFINITY &&
              isnan(fmath_exp(NAN)));
    ck_assert(fmath_exp(-87.31f) == 0.0f && fmath_exp(-87.3f) >= FLT_MIN);
    ck_assert(fmath_exp(88.73f) == INFINITY && isfinite(fmath_exp(88.7228f)));
    ck_assert(fmath_exp(-FLT_MAX) == 0.0f && fmath_exp(FLT_MAX) == INFINITY);
    uint32_t payload = 0x7fc00123u; /* a NaN's payload must not become an exponent */
    float nan;
    memcpy(&nan, &payload, sizeof nan);
    ck_assert(isnan(fmath_exp(nan)));
}
END_TEST

START_TEST(exp_is_monotonic_where_softmax_uses_it)
{
    float last = 0.0f;
    for (int i = -400000; i <= 0; i++) {
        float y = fmath_exp((float)i * 1e-4f);
        ck_assert(y >= last);
        last = y;
    }
}
END_TEST

START_TEST(log_and_tanh_are_within_half_an_ulp)
{
    ck_assert_double_le(largest(fmath_log, log, 1e-30, 1e-3, 100000), 0.51);
    ck_assert_double_le(largest(fmath_log, log, 0.001, 3, 100000), 0.51);
    ck_assert_double_le(largest(fmath_log, log, 3, 3e38, 100000), 0.51);
    ck_assert_double_le(largest(fmath_tanh, tanh, -10, 10, 100000), 0.51);
    ck_assert_double_le(largest(fmath_tanh, tanh, -0.01, 0.01, 100000), 0.51);
    ck_assert(fmath_log(1.0f) == 0.0f && fmath_log(0.0f) == -INFINITY && isnan(fmath_log(-1.0f)));
    ck_assert(isnan(fmath_log(NAN)) && fmath_log(INFINITY) == INFINITY && isnan(fmath_tanh(NAN)));
    ck_assert_double_le(ulps(fmath_log(1e-45f), log((double)1e-45f)), 0.51);
    ck_assert(fmath_tanh(INFINITY) == 1.0f && fmath_tanh(-INFINITY) == -1.0f &&
              fmath_tanh(1e-30f) == 1e-30f);
}
END_TEST

START_TEST(softplus_silu_and_gelu_are_close)
{
    ck_assert_double_le(largest(fmath_softplus, true_softplus, -87, 19.9, 200000), 0.6);
    ck_assert_double_le(largest(fmath_silu, true_silu, -87, 100, 200000), 2.6);
    struct rng r = {2};
    for (size_t i = 0; i < 200000; i++) {
        float x = (float)((double)(rng_next(&r) >> 11) * 0x1p-53 * 24 - 12);
        double scale = fabs((double)x) > 1 ? fabs((double)x) : 1;
        ck_assert_double_le(fabs((double)fmath_gelu(x) - true_gelu((double)x)), 3e-7 * scale);
    }
    ck_assert(fmath_silu(200.0f) == 200.0f && fmath_silu(-200.0f) == 0.0f &&
              isnan(fmath_silu(NAN)));
    ck_assert(fmath_gelu(1e20f) == 1e20f && fmath_gelu(-1e20f) == 0.0f && isnan(fmath_gelu(NAN)));
    ck_assert(fmath_softplus(50.0f) == 50.0f && fmath_softplus(-800.0f) == 0.0f &&
              isnan(fmath_softplus(NAN)));
    ck_assert(fmath_gelu(0.0f) == 0.0f && fmath_silu(0.0f) == 0.0f);
}
END_TEST

START_TEST(double_functions_are_close)
{
    struct rng r = {3};
    for (size_t i = 0; i < 60000; i++) {
        double u = (double)(rng_next(&r) >> 11) * 0x1p-53;
        double x = u * 1400 - 700, e = exp(x);
        ck_assert_double_le(fabs(fmath_exp_d(x) - e), 4e-16 * e);
        double l = log(e);
        ck_assert_double_le(fabs(fmath_log_d(e) - l), 2.5e-16 * (fabs(l) > 1 ? fabs(l) : 1));
        double base = 1 + u * 1e6, power = -(double)i / 60000, p = pow(base, power);
        ck_assert_double_le(fabs(fmath_pow_d(base, power) - p), 1e-14 * p);
        double angle = i % 2 == 0 ? u * 100 - 50 : u * 4e9 - 2e9, s, c;
        fmath_sincos_d(angle, &s, &c);
        ck_assert_double_le(fabs(s - sin(angle)), 3e-16);
        ck_assert_double_le(fabs(c - cos(angle)), 3e-16);
    }
    ck_assert(fmath_exp_d(0.0) == 1.0 && fmath_exp_d(-INFINITY) == 0.0 &&
              fmath_exp_d(INFINITY) == INFINITY);
    ck_assert(isnan(fmath_exp_d(NAN)) && fmath_log_d(1.0) == 0.0);
    double s, c;
    fmath_sincos_d(0.0, &s, &c);
    ck_assert(s == 0.0 && c == 1.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fmath");
    TCase *c = tcase_create("fmath");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, exp_is_within_one_ulp);
    tcase_add_test(c, exp_at_its_ends);
    tcase_add_test(c, exp_is_monotonic_where_softmax_uses_it);
    tcase_add_test(c, log_and_tanh_are_within_half_an_ulp);
    tcase_add_test(c, softplus_silu_and_gelu_are_close);
    tcase_add_test(c, double_functions_are_close);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
