/* test_encode.c - facts about rounding weights: every block's bytes come back from its parts,
 * values that a type can hold are kept, and the error stays below what the type's width allows.
 */
#include "math/encode/blocks.h"
#include "math/encode/encode.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 256 * 64 };

static uint32_t state;

static uint32_t next(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static bool is_plain(enum weight_type type)
{
    return weight_infos[type].block_values == 1;
}

START_TEST(bytes_come_back_from_a_blocks_parts)
{
    enum weight_type type = (enum weight_type)_i;
    uint8_t bytes[256], again[256];
    state = 1;
    if (is_plain(type) || !weight_can_encode(type))
        return;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)next();
        for (size_t i = 1; type == WEIGHT_MXFP4 && i < 17; i++) { /* -0 comes back as 0 */
            bytes[i] &= bytes[i] % 16 == 8 ? 0xf7 : 0xff;
            bytes[i] &= bytes[i] / 16 == 8 ? 0x7f : 0xff;
        }
        if (weight_infos[type].block_values == 32) {
            struct block32 b;
            block32_decode(type, bytes, &b);
            block32_encode(type, &b, again);
        } else {
            struct block256 b;
            block256_decode(type, bytes, &b);
            block256_encode(type, &b, again);
        }
        ck_assert_mem_eq(bytes, again, weight_infos[type].block_bytes);
    }
}
END_TEST

/* A sum of uniform numbers: near enough to a normal distribution. */
static void fill(float *x)
{
    state = 7;
    for (size_t i = 0; i < N; i++) {
        float sum = 0;
        for (int k = 0; k < 12; k++)
            sum += (float)next() * 0x1p-24f;
        x[i] = (sum - 6.0f) * 0.05f;
    }
}

static double relative_error(const float *x, const float *y)
{
    double error = 0, square = 0;
    for (size_t i = 0; i < N; i++) {
        error += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        square += (double)x[i] * x[i];
    }
    return sqrt(error / square);
}

START_TEST(the_error_is_what_the_width_allows)
{
    static const double most[WEIGHT_TYPES] = {
        [WEIGHT_F32] = 0,      [WEIGHT_F16] = 0.0003,   [WEIGHT_BF16] = 0.002,
        [WEIGHT_Q8_0] = 0.006, [WEIGHT_Q4_0] = 0.09,    [WEIGHT_Q4_1] = 0.08,
        [WEIGHT_Q5_0] = 0.043, [WEIGHT_Q5_1] = 0.039,   [WEIGHT_Q2_K] = 0.27,
        [WEIGHT_Q3_K] = 0.147, [WEIGHT_Q4_K] = 0.070,   [WEIGHT_Q5_K] = 0.035,
        [WEIGHT_Q6_K] = 0.017, [WEIGHT_IQ4_NL] = 0.074, [WEIGHT_IQ4_XS] = 0.075,
        [WEIGHT_MXFP4] = 0.12,
    };
    static float x[N], y[N];
    static uint8_t bytes[N * 4];
    if (!weight_can_encode((enum weight_type)_i))
        return;
    fill(x);
    weight_from_f32((enum weight_type)_i, x, N, bytes);
    weight_to_f32((enum weight_type)_i, bytes, N, y);
    ck_assert_msg(relative_error(x, y) <= most[_i], "%s: %f", weight_infos[_i].name,
                  relative_error(x, y));
}
END_TEST

/* What is easy to hold, and was once held badly: every type's squared error is below these. */
static float easy_value(int kind, size_t i)
{
    switch (kind) {
    case 0: /* far from zero on one side */
        return -3.0f - (float)next() * 0x1p-24f;
    case 1: /* of three values */
        return (float)((int)(next() % 3) - 1) * 0.03f;
    case 2: /* of few steps */
        return (float)((int)(next() % 7) - 3) * 0.1f;
    case 3: /* one in a block */
        return i % 256 == 7 ? 1.0f : 0.0f;
    default: /* nearly the same everywhere in a sub-block */
        return (float)i * (2.0f / (float)N) - 1.0f;
    }
}

START_TEST(what_is_easy_leaves_little_error)
{
    static const struct {
        enum weight_type type;
        double most[5]; /* relative error of each kind */
    } wanted[] = {
        {WEIGHT_Q2_K, {0.022, 0.001, 0.23, 0.0004, 0.0105}},
        {WEIGHT_Q3_K, {0.073, 0.0002, 0.008, 1e-7, 0.0092}},
        {WEIGHT_Q4_K, {0.0053, 0.001, 0.0005, 0.0005, 0.0035}},
        {WEIGHT_Q5_K, {0.0027, 0.002, 0.0015, 0.0005, 0.0035}},
        {WEIGHT_Q6_K, {0.0092, 1e-5, 1e-5, 1e-7, 0.0025}},
    };
    static float x[N], y[N];
    static uint8_t bytes[N];
    for (size_t t = 0; t < sizeof wanted / sizeof *wanted; t++) {
        for (int kind = 0; kind < 5; kind++) {
            state = 3;
            for (size_t i = 0; i < N; i++)
                x[i] = easy_value(kind, i);
            weight_from_f32(wanted[t].type, x, N, bytes);
            weight_to_f32(wanted[t].type, bytes, N, y);
            ck_assert_msg(relative_error(x, y) <= wanted[t].most[kind], "%s, kind %d: %.7f",
                          weight_infos[wanted[t].type].name, kind, relative_error(x, y));
        }
    }
}
END_TEST

/* Blocks at the ends of what floats can be: no more than that nothing breaks. */
START_TEST(values_of_any_size_do_no_harm)
{
    static const float sizes[] = {1e-45f, 1e-39f, 1e-30f, 1e-20f, 1e20f, 1e30f, 3e38f};
    static float x[256], y[256];
    static uint8_t bytes[1024];
    if (!weight_can_encode((enum weight_type)_i))
        return;
    state = 9;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (size_t i = 0; i < 256; i++)
            x[i] = ((float)next() * 0x1p-23f - 1.0f) * sizes[k];
        weight_from_f32((enum weight_type)_i, x, 256, bytes);
        weight_to_f32((enum weight_type)_i, bytes, 256, y);
        for (size_t i = 0; i < 256; i++)
            ck_assert(sizes[k] > 1 || fabsf(y[i]) < 1e-6f);
    }
}
END_TEST

START_TEST(zeros_stay_zeros)
{
    static const float x[256];
    static float y[256];
    static uint8_t bytes[1024];
    if (!weight_can_encode((enum weight_type)_i))
        return;
    weight_from_f32((enum weight_type)_i, x, 256, bytes);
    weight_to_f32((enum weight_type)_i, bytes, 256, y);
    for (size_t i = 0; i < 256; i++)
        ck_assert(y[i] == 0.0f);
}
END_TEST

START_TEST(known_blocks_have_known_bytes)
{
    float x[32];
    uint8_t bytes[34];
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i - 16); /* -16 is largest: Q4_0's d is 2, its codes (i - 16) / 2 + 8.5 cut,
                                   15 at most */
    weight_from_f32(WEIGHT_Q4_0, x, 32, bytes);
    ck_assert_int_eq(bytes[0] | bytes[1] << 8, 0x4000);
    for (int i = 0; i < 16; i++) {
        ck_assert_int_eq(bytes[2 + i] & 15, (int)((float)(i - 16) / 2 + 8.5f));
        ck_assert_int_eq(bytes[2 + i] >> 4, i == 15 ? 15 : (int)((float)i / 2 + 8.5f));
    }
    for (int i = 0; i < 32; i++)
        x[i] = (float)(4 * i) + 3; /* the largest is 127: d is 1 */
    weight_from_f32(WEIGHT_Q8_0, x, 32, bytes);
    ck_assert_int_eq(bytes[0] | bytes[1] << 8, 0x3c00);
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(bytes[2 + i], 4 * i + 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encode");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 60);
    tcase_add_loop_test(facts, bytes_come_back_from_a_blocks_parts, 0, WEIGHT_TYPES);
    tcase_add_loop_test(facts, the_error_is_what_the_width_allows, 0, WEIGHT_TYPES);
    tcase_add_loop_test(facts, zeros_stay_zeros, 0, WEIGHT_TYPES);
    tcase_add_test(facts, what_is_easy_leaves_little_error);
    tcase_add_loop_test(facts, values_of_any_size_do_no_harm, 0, WEIGHT_TYPES);
    tcase_add_test(facts, known_blocks_have_known_bytes);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
