/* test_rope.c - facts about the rotary tables: they agree with a plain double-precision rendering
 * of ggml's rope, whatever the scaling, and have no other input. */
#include "model/rope.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { N_POSITIONS = 600, MAX_PAIRS = 64 };

static struct rotation plain_rotation(size_t dim)
{
    return (struct rotation){
        .dim = dim,
        .base = 10000.0f,
        .scaling = ROPE_SCALING_NONE,
        .factor = 1,
        .original_context = 256,
        .attn_factor = 1,
        .beta_fast = 32,
        .beta_slow = 1,
    };
}

/* As ggml computes one entry (ggml_rope_yarn_corr_dims, rope_yarn), with the C library in double
 * precision. */
static void expected(const struct rotation *s, const float *factors, size_t p, size_t i,
                     double *cos_out, double *sin_out)
{
    double scale = s->scaling == ROPE_SCALING_NONE ? 1 : 1 / (double)s->factor;
    double extrapolated = (double)p * pow((double)s->base, -2.0 * (double)i / (double)s->dim);
    if (factors != NULL)
        extrapolated /= (double)factors[i];
    double theta = scale * extrapolated, magnitude = (double)s->attn_factor;
    if (s->scaling == ROPE_SCALING_YARN) {
        double n = (double)s->dim, context = (double)s->original_context,
               log_base = log((double)s->base);
        double low = floor(n * log(context / ((double)s->beta_fast * 2 * M_PI)) / (2 * log_base));
        double high = ceil(n * log(context / ((double)s->beta_slow * 2 * M_PI)) / (2 * log_base));
        low = fmax(0, low);
        high = fmin(n - 1, high);
        double y = ((double)i - low) / fmax(0.001, high - low);
        double mix = (1 - fmin(1, fmax(0, y))) * (double)s->ext_factor;
        theta = theta * (1 - mix) + extrapolated * mix;
        magnitude *= 1 + 0.1 * log(1 / scale);
    }
    *cos_out = cos(theta) * magnitude;
    *sin_out = sin(theta) * magnitude;
}

static void agrees(const struct rotation *s, const float *factors)
{
    static float c[N_POSITIONS * MAX_PAIRS], d[N_POSITIONS * MAX_PAIRS];
    size_t n_pairs = s->dim / 2;
    rope_tables(s, factors, N_POSITIONS, c, d);
    for (size_t p = 0; p < N_POSITIONS; p++) {
        for (size_t i = 0; i < n_pairs; i++) {
            double cos_want, sin_want;
            expected(s, factors, p, i, &cos_want, &sin_want);
            double e = fmax(fabs((double)c[p * n_pairs + i] - cos_want),
                            fabs((double)d[p * n_pairs + i] - sin_want));
            if (!(e < 2e-7))
                ck_abort_msg("position %zu pair %zu: off by %g", p, i, e);
        }
    }
}

START_TEST(plain_tables_agree)
{
    static const size_t dims[] = {2, 8, 32, 64, 128};
    static const float bases[] = {10000, 100000, 1000000, 500000};
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 4; k++) {
            struct rotation s = plain_rotation(dims[i]);
            s.base = bases[k];
            agrees(&s, NULL);
        }
    }
}
END_TEST

START_TEST(linear_scaling_agrees)
{
    struct rotation s = plain_rotation(64);
    s.scaling = ROPE_SCALING_LINEAR;
    s.factor = 4;
    agrees(&s, NULL);
    s.factor = 2.5f;
    agrees(&s, NULL);
}
END_TEST

START_TEST(yarn_agrees)
{
    static const float factors[] = {1, 2, 4, 40};
    static const size_t contexts[] = {32, 256, 4096, 32768};
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            struct rotation s = plain_rotation(k % 2 == 0 ? 64 : 128);
            s.scaling = ROPE_SCALING_YARN;
            s.factor = factors[i];
            s.original_context = contexts[k];
            s.base = k < 2 ? 10000 : 1000000;
            s.ext_factor = i == 1 ? 0.5f : 1;
            s.attn_factor = i == 2 ? 0.8f : 1;
            agrees(&s, NULL);
        }
    }
}
END_TEST

START_TEST(yarn_with_no_width_agrees)
{
    struct rotation s = plain_rotation(64);
    s.scaling = ROPE_SCALING_YARN;
    s.factor = 8;
    s.ext_factor = 1;
    s.beta_fast = s.beta_slow = 1e6f; /* both corrections below the first pair */
    agrees(&s, NULL);
}
END_TEST

START_TEST(frequency_factors_agree)
{
    float factors[32];
    for (size_t i = 0; i < 32; i++)
        factors[i] = 1.0f + (float)i / 4;
    struct rotation s = plain_rotation(64);
    agrees(&s, factors);
    s.scaling = ROPE_SCALING_YARN;
    s.factor = 4;
    s.ext_factor = 1;
    agrees(&s, factors);
}
END_TEST

START_TEST(position_0_is_not_rotated)
{
    struct rotation s = plain_rotation(64);
    float c[32], d[32];
    rope_tables(&s, NULL, 1, c, d);
    for (size_t i = 0; i < 32; i++)
        ck_assert(c[i] == 1 && d[i] == 0);
}
END_TEST

START_TEST(a_shorter_table_is_the_beginning_of_a_longer_one)
{
    static float c[2][N_POSITIONS * 16], d[2][N_POSITIONS * 16];
    struct rotation s = plain_rotation(32);
    rope_tables(&s, NULL, N_POSITIONS, c[0], d[0]);
    rope_tables(&s, NULL, 100, c[1], d[1]);
    ck_assert_mem_eq(c[0], c[1], sizeof(float) * 100 * 16);
    ck_assert_mem_eq(d[0], d[1], sizeof(float) * 100 * 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rope");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, plain_tables_agree);
    tcase_add_test(tc, linear_scaling_agrees);
    tcase_add_test(tc, yarn_agrees);
    tcase_add_test(tc, yarn_with_no_width_agrees);
    tcase_add_test(tc, frequency_factors_agree);
    tcase_add_test(tc, position_0_is_not_rotated);
    tcase_add_test(tc, a_shorter_table_is_the_beginning_of_a_longer_one);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
