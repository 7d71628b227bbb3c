/* test_stats.c - facts about the statistics: known answers, and what too few numbers cannot say. */
#include "profile/histogram.h"
#include "profile/stats.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static void near(double value, double expected, double by)
{
    ck_assert_msg(fabs(value - expected) <= by, "%.9g is not %.9g", value, expected);
}

START_TEST(means_and_medians_are_known)
{
    double x[] = {4, 1, 3, 2, 10};
    near(stats_mean(x, 5), 4, 1e-12);
    near(stats_median(x, 5), 3, 0);
    near(x[4], 10, 0); /* sorted now */
    near(stats_median(x, 4), 2.5, 0);
    near(stats_mean(x, 0) + stats_median(x, 0), 0, 0);
}
END_TEST

/* One of the 20 orders of 3 and 3 numbers has all of a below b, one the reverse. */
START_TEST(the_rank_test_counts_orders)
{
    const double a[] = {1, 2, 3}, b[] = {4, 5, 6}, c[] = {1.5, 2.5, 3.5}, d[] = {2, 2, 2};
    near(stats_rank_test(a, 3, b, 3), 0.1, 1e-12);
    near(stats_rank_test(b, 3, a, 3), 0.1, 1e-12);
    near(stats_rank_test(a, 3, c, 3), 14.0 / 20, 1e-12); /* U = 3: 1 + 1 + 2 + 3 = 7 of 20 */
    near(stats_rank_test(d, 3, d, 3), 1, 0);
    near(stats_rank_test(a, 3, b, 0), 1, 0);
}
END_TEST

START_TEST(exact_ranks_and_their_approximation_agree)
{
    double a[20], b[20], more_a[21], more_b[21];
    for (size_t i = 0; i < 20; i++) {
        a[i] = more_a[i] = (double)i;
        b[i] = more_b[i] = (double)i + 4.5;
    }
    more_a[20] = 20;
    more_b[20] = 24.5;
    near(stats_rank_test(a, 20, b, 20), 0.030411256, 1e-8);           /* by counting */
    near(stats_rank_test(more_a, 21, more_b, 21), 0.034593735, 1e-8); /* counting: 0.03359 */
}
END_TEST

START_TEST(resampling_finds_a_change_and_no_change)
{
    double a[12], b[12], same[12];
    for (size_t i = 0; i < 12; i++) {
        a[i] = 100 + (double)(i % 5);
        b[i] = 110 + (double)(i * 7 % 5);
        same[i] = 100 + (double)(i * 3 % 5);
    }
    struct interval changed = stats_bootstrap_ratio(a, 12, b, 12);
    struct interval unchanged = stats_bootstrap_ratio(a, 12, same, 12);
    ck_assert(changed.low > 1.05 && changed.high < 1.15);
    ck_assert(unchanged.low < 1 && unchanged.high > 1);
    struct interval again = stats_bootstrap_ratio(a, 12, b, 12);
    ck_assert(again.low == changed.low && again.high == changed.high);
    struct interval nothing = stats_bootstrap_ratio(a, 1, b, 12);
    ck_assert(nothing.low == 0 && isinf(nothing.high));
    struct interval median = stats_bootstrap_median(a, 12);
    ck_assert(median.low >= 100 && median.high <= 104 && median.low <= median.high);
}
END_TEST

START_TEST(the_least_of_ranks_is_reached)
{
    const double a[] = {1, 2, 3, 4, 5}, b[] = {6, 7, 8, 9, 10};
    near(stats_rank_least(3, 3), 0.1, 1e-12);
    near(stats_rank_least(4, 5), 2.0 / 126, 1e-12);
    near(stats_rank_least(4, 5), stats_rank_test(a, 4, b, 5), 1e-12);
    near(stats_rank_least(1, 1), 1, 0);
    near(stats_rank_least(0, 5), 1, 0);
}
END_TEST

/* The example of the paper, section 3.2, and the least by hand. */
/* Against SciPy's ttest_ind(log a, log b, equal_var=False). */
START_TEST(means_of_logarithms_are_tested)
{
    const double a[] = {1, 1.02, 0.99}, b[] = {1.2, 1.25, 1.21};
    const double few[] = {3, 4}, more[] = {5, 9};
    const double c[] = {10, 10.1, 9.9, 10.2, 9.8, 10}, d[] = {10.05, 10.3, 9.7};
    const double e[] = {1, 2, 3, 4}, f[] = {2, 3, 4, 6, 9};
    near(stats_welch_test(a, 3, b, 3), 0.00039588334832, 1e-9);
    near(stats_welch_test(few, 2, more, 2), 0.226556795147, 1e-6);
    near(stats_welch_test(c, 6, d, 3), 0.943183624016, 1e-6);
    near(stats_welch_test(f, 5, e, 4), 0.156584434305, 1e-6);
    near(stats_welch_test((const double[]){1, 0, 2}, 3, b, 3), 1, 0);
    near(stats_welch_test(a, 1, b, 3), 1, 0);
    const double same[] = {2, 2, 2}, other[] = {3, 3, 3};
    near(stats_welch_test(same, 3, same, 3), 1, 0);
    near(stats_welch_test(same, 3, other, 3), 0, 0);
}
END_TEST

START_TEST(many_tests_are_adjusted)
{
    const double paper[15] = {0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                              0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000};
    double out[15];
    stats_adjust(paper, 15, out);
    for (size_t i = 0; i < 15; i++)
        ck_assert_msg((out[i] <= 0.05) == (i < 4), "%zu: %g", i, out[i]);
    near(out[0], 0.0015, 1e-12);
    near(out[3], 0.0095 * 15 / 4, 1e-12);
    near(out[5], 0.0298 * 15 / 7, 1e-12); /* the seventh is less than the sixth itself */
    near(out[14], 1, 0);

    const double mixed[4] = {0.04, 0.01, 0.04, 0.03};
    stats_adjust(mixed, 4, out);
    near(out[1], 0.04, 1e-12);
    for (size_t i = 0; i < 4; i++)
        near(out[i], 0.04, 1e-12);
    const double one[1] = {0.03};
    stats_adjust(one, 1, out);
    near(out[0], 0.03, 0);
    stats_adjust(one, 0, out);
}
END_TEST

START_TEST(a_histogram_keeps_every_duration_within_a_thirtieth)
{
    for (uint64_t ns = 1; ns < UINT64_C(1) << 42; ns += ns / 7 + 1) {
        double middle = histogram_middle(histogram_bucket(ns));
        ck_assert_msg(fabs(middle - (double)ns) <= (double)ns / 31 + 0.5, "%llu: %f",
                      (unsigned long long)ns, middle);
    }
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(quantiles_are_those_of_what_was_counted)
{
    uint32_t counts[HISTOGRAM_BUCKETS] = {0};
    near(histogram_quantile(counts, 0.5), 0, 0);
    for (uint64_t i = 1; i <= 100; i++)
        counts[histogram_bucket(i * 1000)]++;
    near(histogram_quantile(counts, 0.5), 50000, 50000.0 / 30);
    near(histogram_quantile(counts, 0.95), 95000, 95000.0 / 30);
    near(histogram_quantile(counts, 1), 100000, 100000.0 / 30);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, means_and_medians_are_known);
    tcase_add_test(facts, the_rank_test_counts_orders);
    tcase_add_test(facts, exact_ranks_and_their_approximation_agree);
    tcase_add_test(facts, resampling_finds_a_change_and_no_change);
    tcase_add_test(facts, the_least_of_ranks_is_reached);
    tcase_add_test(facts, means_of_logarithms_are_tested);
    tcase_add_test(facts, many_tests_are_adjusted);
    tcase_add_test(facts, a_histogram_keeps_every_duration_within_a_thirtieth);
    tcase_add_test(facts, quantiles_are_those_of_what_was_counted);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
