/* test_quant.c - the weight types' table, half precision, the exact value of every weight, and
 * packing without loss. */
#include "math_test.h"

#include <float.h>

START_TEST(the_table_and_its_ids_agree)
{
    static const uint32_t known[] = {0,  1,  30, 8,  2,  3,  6,  7,  10, 11, 12, 13, 14,
                                     20, 23, 39, 19, 29, 16, 17, 22, 18, 21, 34, 35};
    for (int type = 0; type < WEIGHT_TYPES; type++) {
        const struct weight_info *info = &weight_infos[type];
        ck_assert_uint_eq(info->ggml_id, known[type]);
        ck_assert_int_eq(weight_type_of_ggml(info->ggml_id), type);
        ck_assert_str_eq(ggml_type_name(info->ggml_id), info->name);
        ck_assert_uint_eq(weight_bytes((enum weight_type)type, 512),
                          512 / info->block_values * info->block_bytes);
    }
    ck_assert_int_eq(weight_type_of_ggml(24), WEIGHT_TYPES);
    ck_assert_str_eq(ggml_type_name(24), "I8");
    ck_assert_str_eq(ggml_type_name(39), "MXFP4");
    ck_assert_ptr_null(ggml_type_name(99));
    ck_assert_ptr_null(ggml_type_name(UINT32_MAX));
}
END_TEST

START_TEST(every_half_survives_the_way_to_f32_and_back)
{
    for (uint32_t h = 0; h <= 0xffff; h++) {
        float f = f16_to_f32((uint16_t)h);
        bool is_nan = (h & 0x7fff) > 0x7c00;
        ck_assert(isnan(f) == is_nan);
        ck_assert_uint_eq(f32_to_f16(f), is_nan ? h | 0x200 : h); /* a NaN comes back quiet */
        uint32_t exponent = h >> 10 & 31, fraction = h & 0x3ff;
        double truth =
            exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, (int)exponent - 25);
        if (exponent < 31)
            ck_assert(fabsf(f) == (float)truth && (signbit(f) != 0) == (h >= 0x8000));
    }
}
END_TEST

START_TEST(f32_rounds_to_the_nearest_half_ties_to_even)
{
    /* Between each two neighbours: the middle goes to the even one, a hair off it to the nearer
     * one. */
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = f16_to_f32((uint16_t)h), high = f16_to_f32((uint16_t)(h + 1)),
              middle = low + (high - low) / 2;
        ck_assert_uint_eq(f32_to_f16(middle), h % 2 == 0 ? h : h + 1);
        ck_assert_uint_eq(f32_to_f16(nextafterf(middle, 0)), h);
        ck_assert_uint_eq(f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        ck_assert_uint_eq(f32_to_f16(-middle), 0x8000u | (h % 2 == 0 ? h : h + 1));
    }
    ck_assert_uint_eq(f32_to_f16(65519.996f), 0x7bff);
    ck_assert_uint_eq(f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(f32_to_f16(-INFINITY), 0xfc00);
    ck_assert_uint_eq(f32_to_f16(1e-45f), 0);
    ck_assert_uint_eq(f32_to_f16(-0.0f), 0x8000);
}
END_TEST

static bool has_two_scales(enum weight_type type)
{
    return type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1 || type == WEIGHT_Q2_K ||
           type == WEIGHT_Q4_K || type == WEIGHT_Q5_K;
}

/* Sums of the bits of 2048 values of each type, from blocks of seeded random bytes, as the gguf
 * Python package 0.19 (github.com/ggml-org/llama.cpp, MIT) dequantizes them: FNV-1a over the F32
 * values in little endian. */
START_TEST(dequantized_values_are_ggmls)
{
    static const uint64_t sums[WEIGHT_TYPES] = {
        [WEIGHT_F32] = 0x85fc3eba1fc91d15u,     [WEIGHT_F16] = 0xb4a945d98a1050b3u,
        [WEIGHT_BF16] = 0xae3f122cf53c452eu,    [WEIGHT_Q8_0] = 0x224d7b9e0037ae6fu,
        [WEIGHT_Q4_0] = 0x0aab5d5f2493137bu,    [WEIGHT_Q4_1] = 0x222d1b7e9f9bb361u,
        [WEIGHT_Q5_0] = 0x9874f960778decb0u,    [WEIGHT_Q5_1] = 0x5edebcd7ee50db6cu,
        [WEIGHT_Q2_K] = 0x9f6ce871b6eaa164u,    [WEIGHT_Q3_K] = 0x988d7f94583d01fdu,
        [WEIGHT_Q4_K] = 0x8fb427a8211590dbu,    [WEIGHT_Q5_K] = 0xea17319b8c55d28cu,
        [WEIGHT_Q6_K] = 0xdeb2906c829c32ceu,    [WEIGHT_IQ4_NL] = 0xa420530269c6aba5u,
        [WEIGHT_IQ4_XS] = 0x6cb452ebe5d75261u,  [WEIGHT_MXFP4] = 0x7614293bf5b961a1u,
        [WEIGHT_IQ1_S] = 0x0ebbda8aa7b54fc9u,   [WEIGHT_IQ1_M] = 0x01b51a00245b6bf1u,
        [WEIGHT_IQ2_XXS] = 0xc6ee6d0e68c2c89bu, [WEIGHT_IQ2_XS] = 0x7a818fd7e01764b4u,
        [WEIGHT_IQ2_S] = 0xe370ee0d9c831c68u,   [WEIGHT_IQ3_XXS] = 0x6ffbe6256ded311du,
        [WEIGHT_IQ3_S] = 0x3c748a6532f42e43u,   [WEIGHT_TQ1_0] = 0x5520393c811ff9a3u,
        [WEIGHT_TQ2_0] = 0xb10260dda6295aedu,
    };
    enum { VALUES = 2048 };
    enum weight_type type = (enum weight_type)_i;
    const size_t n_bytes = weight_bytes(type, VALUES), block = weight_infos[type].block_bytes;
    struct rng scales = {1000 + (uint64_t)_i}, quants = {2000 + (uint64_t)_i};
    uint8_t src[VALUES * 4];
    float out[VALUES];
    size_t d_at = scale_at(type);
    for (size_t i = 0; i < n_bytes; i++) /* F16 bits that are no end of its range */
        src[i] = (uint8_t)(rng_next(&scales) & 0x3f);
    for (size_t i = 0; weight_infos[type].block_values > 1 && i < n_bytes; i++) {
        uint8_t byte = (uint8_t)rng_next(&quants);
        size_t at = i % block;
        size_t n_scales = type == WEIGHT_MXFP4 ? 1 : has_two_scales(type) ? 4 : 2;
        bool is_scale =
            type == WEIGHT_IQ1_M ? at >= 48 && at % 2 == 1 : at >= d_at && at < d_at + n_scales;
        if (!is_scale)
            src[i] = byte;
    }
    weight_to_f32(type, src, VALUES, out);
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof out; i++)
        sum = (sum ^ ((const uint8_t *)out)[i]) * 0x100000001b3u;
    ck_assert_msg(sum == sums[type], "%s: 0x%016llx", weight_infos[type].name,
                  (unsigned long long)sum);
}
END_TEST

/* Any bytes, any number of rows: what comes out of a panel are the file's values. */
START_TEST(packing_keeps_every_value)
{
    static const size_t rows[] = {1, 15, 16, 17, 40}, cols[] = {1, 20, 32, 96, 256, 768};
    enum weight_type type = (enum weight_type)_i;
    if (!weight_infos[type].supported)
        return;
    struct rng r = {1 + (uint64_t)_i};
    for (size_t i = 0; i < 30; i++) {
        size_t n_rows = rows[i % 5], n_cols = cols[i / 5];
        if (n_cols % weight_infos[type].block_values != 0)
            continue;
        uint8_t *src =
            random_weights(&r, type, n_rows * n_cols, i % 2 == 0 ? WEIGHTS_ANY : WEIGHTS_RANDOM);
        float *wanted = buffer(n_rows * n_cols * sizeof *wanted),
              *row = buffer(n_cols * sizeof *row);
        weight_to_f32(type, src, n_rows * n_cols, wanted);
        struct matrix m = matrix_create(type, n_rows, n_cols, src);
        ck_assert_uint_eq(m.panel_bytes % 64, 0);
        ck_assert_uint_eq(m.panel_bytes * matrix_n_panels(&m),
                          matrix_packed_bytes(type, n_rows, n_cols));
        for (size_t j = 0; j < n_rows; j++) {
            matrix_row(&m, j, row);
            ck_same_floats(wanted + j * n_cols, row, n_cols);
        }
        matrix_destroy(&m);
        free(src);
        free(wanted);
        free(row);
    }
}
END_TEST

START_TEST(sizes_beyond_memory_are_zero)
{
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_F32, SIZE_MAX / 2, 64), 0);
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_F32, 16, SIZE_MAX / 32), 0);
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_Q4_K, SIZE_MAX, 256), 0);
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_Q8_0, SIZE_MAX / 512, 4096), 0);
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_F32, 17, 3), 2 * 16 * 3 * 4);
    ck_assert_uint_eq(matrix_packed_bytes(WEIGHT_Q8_0, 16, 96), 3 * 512 + 2 * 64);
}
END_TEST

/* A run of zeros with one bad scale or value anywhere is seen, and its values are not finite. */
START_TEST(a_value_that_is_not_finite_is_seen_wherever_it_is)
{
    enum { N = 1024 + 256 };
    static const uint16_t bad_halves[] = {0x7c00, 0xfc00, 0x7e00, 0xfdff}, largest = 0xfbff;
    static float values[N];
    enum weight_type type = (enum weight_type)_i;
    const struct weight_info *info = &weight_infos[type];
    if (type == WEIGHT_MXFP4 || type == WEIGHT_IQ1_M)
        return; /* the tests after this one */
    const size_t n_bytes = weight_bytes(type, N), unit = type == WEIGHT_F32 ? 4 : 2;
    uint8_t *bytes = calloc(1, n_bytes);
    ck_assert_ptr_nonnull(bytes);
    size_t n_bad = 0;
    ck_assert(weight_all_finite(type, bytes, N));
    for (size_t at = 0; at + unit <= n_bytes; at += unit) {
        for (size_t k = 0; k < sizeof bad_halves / sizeof *bad_halves; k++) {
            uint16_t half = bad_halves[k];
            if (type == WEIGHT_F32 || type == WEIGHT_BF16)
                half = (uint16_t)((half & 0x8000) | 0x7f80 | (half & 0x200 ? 0x40 : 0));
            memset(bytes, type == WEIGHT_BF16 ? 0x11 : 0, n_bytes);
            memcpy(bytes + at + unit - 2, &half, 2);
            weight_to_f32(type, bytes, N, values);
            bool finite = true;
            for (size_t i = 0; i < N; i++)
                finite = finite && isfinite(values[i]);
            ck_assert_int_eq(weight_all_finite(type, bytes, N), finite);
            n_bad += !finite;
        }
    }
    ck_assert_uint_ge(n_bad, 4 * N / info->block_values);
    memset(bytes, 0, n_bytes);
    memcpy(bytes + (type == WEIGHT_F32 ? 2 : 0), &largest,
           2); /* F16's; finite as F32 and BF16 too */
    ck_assert(weight_all_finite(type, bytes, N));
    free(bytes);
}
END_TEST

/* Every power of two with every code: the values by their definition, in double precision. */
START_TEST(mxfp4_is_e2m1_times_e8m0)
{
    static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    for (int e = 0; e < 256; e++) {
        for (unsigned code = 0; code < 16; code++) {
            uint8_t block[17] = {(uint8_t)e};
            float values[32];
            memset(block + 1, 0, 16);
            block[1 + 7] = (uint8_t)(code << 4); /* value 16 + 7 */
            weight_to_f32(WEIGHT_MXFP4, block, 32, values);
            double truth = ldexp(code < 8 ? e2m1[code] : -e2m1[code - 8], e - 127);
            bool finite = e < 255 && fabs(truth) <= (double)FLT_MAX;
            ck_assert_int_eq(weight_all_finite(WEIGHT_MXFP4, block, 32), finite);
            ck_assert_int_eq(isfinite(values[23]) != 0, finite);
            if (finite)
                ck_assert(values[23] == (float)truth && (double)values[23] == truth);
            if (e < 255)
                ck_assert(values[0] == 0 && values[22] == 0 && values[24] == 0);
        }
    }
}
END_TEST

/* IQ1_M's scale is in four parts. */
START_TEST(a_scale_in_parts_is_seen)
{
    uint8_t blocks[3 * 56] = {0};
    for (uint32_t d = 0; d <= 0xffff; d++) {
        float values[256];
        set_scales(WEIGHT_IQ1_M, blocks + 56, (uint16_t)d, 0);
        bool finite = (d & 0x7c00) != 0x7c00;
        ck_assert_int_eq(weight_all_finite(WEIGHT_IQ1_M, blocks, 3 * 256), finite);
        if (d % 64 != 0)
            continue;
        weight_to_f32(WEIGHT_IQ1_M, blocks + 56, 256, values);
        ck_assert_int_eq(isfinite(values[0]) != 0, finite);
        if (finite) /* entry 0 is -1 everywhere; moved up an eighth */
            ck_assert(values[255] == f16_to_f32((uint16_t)d) * -0.875f);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quant");
    TCase *c = tcase_create("quant");
    tcase_add_test(c, the_table_and_its_ids_agree);
    tcase_add_test(c, every_half_survives_the_way_to_f32_and_back);
    tcase_add_test(c, f32_rounds_to_the_nearest_half_ties_to_even);
    tcase_add_loop_test(c, dequantized_values_are_ggmls, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, packing_keeps_every_value, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, a_value_that_is_not_finite_is_seen_wherever_it_is, 0, WEIGHT_TYPES);
    tcase_add_test(c, mxfp4_is_e2m1_times_e8m0);
    tcase_add_test(c, a_scale_in_parts_is_seen);
    tcase_add_test(c, sizes_beyond_memory_are_zero);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
