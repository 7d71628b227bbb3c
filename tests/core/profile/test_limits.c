/* test_limits.c - what the machine can do at most: numbers that can be compared with, whatever the
 * machine. No speed is asserted. */
#include "profile/limits.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cpu cpu;
static struct limits *limits;
static struct error err;

static void create_for(enum kernel_level level)
{
    const struct kernels *kernels;
    ck_assert_int_eq(kernels_select(&kernels, level, &cpu, &err), STATUS_OK);
    ck_assert_int_eq(limits_create(&limits, &cpu, kernels, &err), STATUS_OK);
}

static void setup(void)
{
    cpu_detect(&cpu);
    create_for(KERNELS_AUTO);
}

static void teardown(void)
{
    limits_destroy(limits);
    limits = NULL;
}

static double chain_rate(enum limit_chain chain, unsigned n_threads)
{
    double rate = -1;
    ck_assert_int_eq(limits_chain(limits, chain, n_threads, &rate, &err), STATUS_OK);
    return rate;
}

START_TEST(chains_have_finite_positive_rates)
{
    for (unsigned n_threads = 1; n_threads <= 2; n_threads++) {
        for (int chain = 0; chain < LIMIT_CHAINS; chain++) {
            double rate = chain_rate((enum limit_chain)chain, n_threads);
            ck_assert(isfinite(rate) && rate > 0);
        }
    }
}
END_TEST

/* Each table's loops run on a machine that has the table. */
START_TEST(every_level_of_this_machine_is_measured)
{
    for (int level = KERNELS_AUTO; level < KERNEL_LEVELS; level++) {
        const struct kernels *kernels;
        if (kernels_select(&kernels, (enum kernel_level)level, &cpu, NULL) != STATUS_OK)
            continue;
        teardown();
        create_for((enum kernel_level)level);
        ck_assert(chain_rate(LIMIT_INT8, 1) > 0);
        double rate = 0;
        ck_assert_int_eq(limits_read(limits, NULL, 1 << 16, 1, 1, &rate, &err), STATUS_OK);
        ck_assert(isfinite(rate) && rate > 0);
    }
}
END_TEST

START_TEST(reading_is_measured_on_own_memory_and_on_the_callers)
{
    static const size_t sizes[] = {1 << 14, 1 << 22, 1 << 18};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double rate = -1;
        ck_assert_int_eq(limits_read(limits, NULL, sizes[i], 2, 1, &rate, &err), STATUS_OK);
        ck_assert(isfinite(rate) && rate > 0);
    }
    /* 64-byte aligned; an odd length is read but for its end. */
    size_t n_bytes = 3 * 5000 + 17;
    uint8_t *memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 1, n_bytes);
    double rate = -1;
    ck_assert_int_eq(limits_read(limits, memory, n_bytes, 3, 1, &rate, &err), STATUS_OK);
    ck_assert(isfinite(rate) && rate > 0);
    free(memory);
}
END_TEST

START_TEST(too_few_bytes_and_senseless_threads_are_refused)
{
    double rate = 42;
    ck_assert_int_eq(limits_read(limits, NULL, 4095, 1, 1, &rate, &err), STATUS_INVALID);
    ck_assert_int_eq(limits_read(limits, NULL, 8191, 2, 1, &rate, &err), STATUS_INVALID);
    ck_assert_int_eq(limits_read(limits, NULL, 1 << 20, 0, 1, &rate, &err), STATUS_INVALID);
    ck_assert_int_eq(limits_chain(limits, LIMIT_FMA, 0, &rate, &err), STATUS_INVALID);
    ck_assert_int_eq(limits_chain(limits, LIMIT_FMA, 1000000, &rate, &err), STATUS_INVALID);
    ck_assert(rate == 42);
    limits_destroy(NULL);
}
END_TEST

START_TEST(every_weight_type_has_its_chain)
{
    static const enum limit_chain expected[WEIGHT_TYPES] = {
        [WEIGHT_F32] = LIMIT_FMA,     [WEIGHT_F16] = LIMIT_FMA,     [WEIGHT_BF16] = LIMIT_FMA,
        [WEIGHT_Q8_0] = LIMIT_INT8,   [WEIGHT_IQ4_NL] = LIMIT_INT8, [WEIGHT_IQ4_XS] = LIMIT_INT8,
        [WEIGHT_IQ1_S] = LIMIT_INT8,  [WEIGHT_IQ1_M] = LIMIT_INT8,  [WEIGHT_IQ2_XXS] = LIMIT_INT8,
        [WEIGHT_IQ2_XS] = LIMIT_INT8, [WEIGHT_IQ2_S] = LIMIT_INT8,  [WEIGHT_IQ3_XXS] = LIMIT_INT8,
        [WEIGHT_IQ3_S] = LIMIT_INT8,  [WEIGHT_TQ1_0] = LIMIT_INT8,  [WEIGHT_TQ2_0] = LIMIT_INT8,
        [WEIGHT_MXFP4] = LIMIT_INT6,  [WEIGHT_Q5_0] = LIMIT_INT6,   [WEIGHT_Q5_1] = LIMIT_INT6,
        [WEIGHT_Q5_K] = LIMIT_INT6,   [WEIGHT_Q6_K] = LIMIT_INT6,   [WEIGHT_Q2_K] = LIMIT_INT6,
        [WEIGHT_Q3_K] = LIMIT_INT6,   [WEIGHT_Q4_0] = LIMIT_INT4,   [WEIGHT_Q4_1] = LIMIT_INT4,
        [WEIGHT_Q4_K] = LIMIT_INT4,
    };
    for (int type = 0; type < WEIGHT_TYPES; type++) {
        enum limit_chain chain = limits_chain_of((enum weight_type)type);
        ck_assert_int_eq(chain, expected[type]);
        /* Floats are multiplied as floats, everything else in integers. */
        ck_assert_int_eq(chain == LIMIT_FMA, weight_infos[type].activation == ACT_F32);
    }
    for (int chain = 0; chain < LIMIT_CHAINS; chain++)
        ck_assert_str_ne(limits_chain_name((enum limit_chain)chain), "unknown");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tcase = tcase_create("limits");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, chains_have_finite_positive_rates);
    tcase_add_test(tcase, every_level_of_this_machine_is_measured);
    tcase_add_test(tcase, reading_is_measured_on_own_memory_and_on_the_callers);
    tcase_add_test(tcase, too_few_bytes_and_senseless_threads_are_refused);
    tcase_add_test(tcase, every_weight_type_has_its_chain);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
