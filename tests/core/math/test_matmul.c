/* test_matmul.c - matrix products and the rounding of activations: every table against the
 * definition, bit for bit; the definition against double precision. */
#include "math_test.h"

static bool supported(enum weight_type type)
{
    return weight_infos[type].supported != 0;
}

/* Products of one matrix over panels [p0, p1) by both tables, into buffers full of a pattern that
 * must survive elsewhere. */
static void compare_matmul(const struct table_pair *pair, const struct matrix *w,
                           const struct act *x, size_t n_tokens, size_t p0, size_t p1)
{
    size_t stride = matrix_n_panels(w) * PANEL_ROWS + 5, n = n_tokens * stride;
    if (stride == 0)
        return; /* never: an analyzer cannot know */
    float *wanted = buffer(n * sizeof *wanted), *found = buffer(n * sizeof *found);
    for (size_t i = 0; i < n; i++)
        wanted[i] = found[i] = 12345.0f + (float)i;
    pair->wanted->matmul[w->type](w, p0, p1, x, n_tokens, wanted, stride);
    pair->tested->matmul[w->type](w, p0, p1, x, n_tokens, found, stride);
    size_t at = first_difference(wanted, found, n);
    ck_assert_msg(
        at == n,
        "%s %s: rows %zu cols %zu tokens %zu panels %zu..%zu: row %zu of token %zu is %a, not %a",
        pair->tested->name, weight_infos[w->type].name, w->n_rows, w->n_cols, n_tokens, p0, p1,
        at % stride, at / stride, (double)found[at < n ? at : 0], (double)wanted[at < n ? at : 0]);
    for (size_t t = 0; t < n_tokens; t++) {
        for (size_t r = 0; r < stride; r++) {
            if (r < p0 * PANEL_ROWS || r >= p1 * PANEL_ROWS)
                ck_assert(found[t * stride + r] == 12345.0f + (float)(t * stride + r));
        }
    }
    free(wanted);
    free(found);
}

static void compare_shapes(const struct table_pair *pair, enum weight_type type, struct rng *r,
                           size_t n_rows, size_t n_cols, enum weights weights, enum values values,
                           const size_t *tokens, size_t n_tokens)
{
    uint8_t *src = random_weights(r, type, n_rows * n_cols, weights);
    struct matrix w = matrix_create(type, n_rows, n_cols, src);
    size_t n_panels = matrix_n_panels(&w);
    /* Two builds of the reference treat each token alike: a few numbers of them tell all. */
    if (strcmp(pair->tested->name, "ref") == 0 && n_tokens > 2)
        n_tokens = 2;
    for (size_t i = 0; i < n_tokens; i++) {
        struct act x;
        act_create(&x, r, tokens[i], n_cols, values, pair->wanted);
        compare_matmul(pair, &w, &x, tokens[i], 0, n_panels);
        if (n_panels > 2) {
            compare_matmul(pair, &w, &x, tokens[i], 1, n_panels - 1);
            compare_matmul(pair, &w, &x, tokens[i], n_panels - 1, n_panels);
            compare_matmul(pair, &w, &x, tokens[i], 1, 1);
        }
        act_destroy(&x);
    }
    matrix_destroy(&w);
    free(src);
}

/* A sanitizer makes the reference many times slower: it looks at addresses, not at every number. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const size_t all_tokens[] = {1, 8, 13, 21};
static const size_t few_tokens[] = {1, 3};
static const size_t two_tiles[] = {12};
static const size_t many_tokens[] = {29};
enum { VALUES_STEP = 3 };
#else
enum { VALUES_STEP = 1 };
static const size_t all_tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 19, 24, 33};
static const size_t few_tokens[] = {1, 2, 3, 8, 12, 21};
/* A tile, and one and a rest: in blocks of 256 these pass long rows by parts. */
static const size_t two_tiles[] = {12, 21};
/* A tile and a rest; more than pass together. */
static const size_t many_tokens[] = {29, 146};
#endif
#define N(array) (sizeof(array) / sizeof((array)[0]))

START_TEST(matmul_has_the_definitions_bits_for_every_number_of_tokens)
{
    enum weight_type type = (enum weight_type)_i;
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {100 + (uint64_t)_i};
    for (size_t i = 0; supported(type) && i < n_pairs; i++) {
        compare_shapes(&pairs[i], type, &r, 7 * 16, 256, WEIGHTS_RANDOM, VALUES_NORMAL, all_tokens,
                       N(all_tokens));
        compare_shapes(&pairs[i], type, &r, 17, 512, WEIGHTS_RANDOM, VALUES_WIDE, all_tokens,
                       N(all_tokens));
    }
}
END_TEST

/* Longer than one chunk of the tiled kernels, and 3 blocks. */
START_TEST(matmul_has_the_definitions_bits_for_long_rows)
{
    enum weight_type type = (enum weight_type)_i;
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {200 + (uint64_t)_i};
    for (size_t i = 0; supported(type) && i < n_pairs; i++) {
        compare_shapes(&pairs[i], type, &r, 20, 256 * 23, WEIGHTS_RANDOM, VALUES_NORMAL, few_tokens,
                       N(few_tokens));
        compare_shapes(&pairs[i], type, &r, 1, 256 * 90, WEIGHTS_RANDOM, VALUES_NORMAL, few_tokens,
                       1);
        compare_shapes(&pairs[i], type, &r, 17, 256 * 35, WEIGHTS_RANDOM, VALUES_NORMAL, two_tiles,
                       N(two_tiles));
        compare_shapes(&pairs[i], type, &r, 17, 256 * 5, WEIGHTS_RANDOM, VALUES_NORMAL, many_tokens,
                       N(many_tokens));
    }
}
END_TEST

START_TEST(matmul_has_the_definitions_bits_for_odd_widths)
{
    enum weight_type type = (enum weight_type)_i;
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {300 + (uint64_t)_i};
    static const size_t plain[] = {1, 2, 7, 20, 172, 513}, blocks[] = {32, 64, 96, 192, 288},
                        long_rows = 32 * 33; /* two chunks of tiles, not alike */
    bool is_plain = weight_infos[type].block_values == 1;
    for (size_t i = 0; supported(type) && i < n_pairs; i++) {
        for (size_t j = 0; is_plain && j < N(plain); j++)
            compare_shapes(&pairs[i], type, &r, 34, plain[j], WEIGHTS_RANDOM, VALUES_NORMAL,
                           all_tokens, N(all_tokens));
        for (size_t j = 0; weight_infos[type].block_values == 32 && j < N(blocks); j++)
            compare_shapes(&pairs[i], type, &r, 34, blocks[j], WEIGHTS_RANDOM, VALUES_NORMAL,
                           all_tokens, N(all_tokens));
        if (weight_infos[type].block_values == 32)
            compare_shapes(&pairs[i], type, &r, 17, long_rows, WEIGHTS_RANDOM, VALUES_NORMAL,
                           many_tokens, 1);
    }
}
END_TEST

START_TEST(matmul_has_the_definitions_bits_at_the_extremes)
{
    enum weight_type type = (enum weight_type)(_i / WEIGHTS_KINDS);
    enum weights weights = (enum weights)(_i % WEIGHTS_KINDS);
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {400 + (uint64_t)_i};
    for (size_t i = 0; supported(type) && i < n_pairs; i++) {
        for (int values = 0; values < VALUES_KINDS; values += VALUES_STEP)
            compare_shapes(&pairs[i], type, &r, 17, 512, weights, (enum values)values, few_tokens,
                           N(few_tokens));
    }
}
END_TEST

/* Every product of the same sign and largest size: where an intermediate sum would saturate, it
 * does here. */
START_TEST(integer_sums_never_saturate)
{
    enum weight_type type = (enum weight_type)_i;
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    if (!supported(type) || weight_infos[type].activation == ACT_F32)
        return;
    static const uint8_t bytes[] = {0x00, 0x80, 0xff, 0x0f, 0xf0, 0x7f, 0x81};
    for (size_t i = 0; i < n_pairs; i++) {
        for (size_t j = 0; j < N(bytes) * 4; j++) {
            const size_t n_rows = 16, n_cols = 512, n_tokens = 12;
            size_t n_bytes = weight_bytes(type, n_rows * n_cols),
                   block = weight_infos[type].block_bytes;
            uint8_t *src = buffer(n_bytes);
            for (size_t b = 0; b < n_bytes; b++)
                src[b] = bytes[j / 4];
            for (size_t b = 0; b < n_bytes; b += block)
                set_scales(type, src + b, 0x3c00, 0x3c00);
            struct matrix w = matrix_create(type, n_rows, n_cols, src);
            struct act x;
            struct rng r = {1};
            act_create(&x, &r, n_tokens, n_cols, VALUES_ZERO, pairs[i].wanted);
            for (size_t k = 0; k < n_tokens * x.f32_stride; k++) {
                bool negative = j % 4 == 0   ? false
                                : j % 4 == 1 ? true
                                : j % 4 == 2 ? k % 2 != 0
                                             : k % 4 < 2;
                x.f32[k] = negative ? -1.0f : 1.0f;
            }
            for (size_t t = 0; t < n_tokens; t++) {
                pairs[i].wanted->quantize[ACT_Q8](&x, t);
                pairs[i].wanted->quantize[ACT_Q8K](&x, t);
            }
            compare_matmul(&pairs[i], &w, &x, 1, 0, 1);
            compare_matmul(&pairs[i], &w, &x, 8, 0, 1);
            compare_matmul(&pairs[i], &w, &x, n_tokens, 0, 1);
            act_destroy(&x);
            matrix_destroy(&w);
            free(src);
        }
    }
}
END_TEST

/* The product of dequantized weights and of the activations as rounded, in double: what the
 * formulas mean. */
START_TEST(definition_is_close_to_the_truth)
{
    enum weight_type type = (enum weight_type)_i;
    if (!supported(type))
        return;
    const size_t n_rows = 40, n_cols = 1024, n_tokens = 3;
    struct rng r = {500 + (uint64_t)_i};
    uint8_t *src = random_weights(&r, type, n_rows * n_cols, WEIGHTS_RANDOM);
    struct matrix w = matrix_create(type, n_rows, n_cols, src);
    float *values = buffer(n_rows * n_cols * sizeof *values);
    weight_to_f32(type, src, n_rows * n_cols, values);
    struct act x;
    act_create(&x, &r, n_tokens, n_cols, VALUES_NORMAL, &kernels_ref);
    size_t stride = matrix_n_panels(&w) * PANEL_ROWS;
    float *y = buffer(n_tokens * stride * sizeof *y);
    kernels_ref.matmul[type](&w, 0, matrix_n_panels(&w), &x, n_tokens, y, stride);
    for (size_t t = 0; t < n_tokens; t++) {
        for (size_t row = 0; row < stride; row++) {
            double truth = 0, magnitude = 0;
            for (size_t k = 0; row < n_rows && k < n_cols; k++) {
                double a = (double)x.f32[t * x.f32_stride + k];
                if (weight_infos[type].activation == ACT_Q8)
                    a = (double)x.q8_scale[t * x.b_stride + k / 32] * x.q8[t * x.q_stride + k];
                else if (weight_infos[type].activation == ACT_Q8K)
                    a = (double)x.q8k_scale[t * x.b_stride + k / 256] * x.q8k[t * x.q_stride + k];
                truth += a * (double)values[row * n_cols + k];
                magnitude += fabs(a * (double)values[row * n_cols + k]);
            }
            ck_assert_msg(fabs((double)y[t * stride + row] - truth) <= 2e-6 * magnitude,
                          "%s: %g, not %g", weight_infos[type].name, (double)y[t * stride + row],
                          truth);
        }
    }
    free(y);
    free(values);
    act_destroy(&x);
    matrix_destroy(&w);
    free(src);
}
END_TEST

static void compare_quantize(const struct table_pair *pair, size_t n_cols, enum values values,
                             uint64_t seed)
{
    struct rng a = {seed}, b = {seed};
    struct act wanted, found;
    act_create(&wanted, &a, 3, n_cols, values, pair->wanted);
    act_create(&found, &b, 3, n_cols, values, pair->tested);
    ck_assert_mem_eq(wanted.q8, found.q8, 3 * wanted.q_stride);
    ck_assert_mem_eq(wanted.q8k, found.q8k, 3 * wanted.q_stride);
    ck_assert_mem_eq(wanted.q8_sum, found.q8_sum, 3 * wanted.b_stride * sizeof(int16_t));
    ck_assert_mem_eq(wanted.q8k_sum, found.q8k_sum, 6 * wanted.b_stride * sizeof(int16_t));
    ck_same_floats(wanted.q8_scale, found.q8_scale, 3 * wanted.b_stride);
    ck_same_floats(wanted.q8k_scale, found.q8k_scale, 3 * wanted.b_stride);
    act_destroy(&wanted);
    act_destroy(&found);
}

START_TEST(activations_round_to_the_definitions_bits)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            compare_quantize(&pairs[i], 1024, (enum values)_i, 600 + seed);
            compare_quantize(&pairs[i], 96, (enum values)_i, 700 + seed);
        }
    }
}
END_TEST

/* Values half way between two quants: the last bit of the inverse decides. */
START_TEST(activations_between_two_quants_round_alike)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    for (size_t i = 0; i < n_pairs * 100; i++) {
        struct rng r = {1000 + i};
        struct act a, b;
        act_create(&a, &r, 1, 1024, VALUES_NORMAL, pairs[i % n_pairs].wanted);
        act_create(&b, &r, 1, 1024, VALUES_NORMAL, pairs[i % n_pairs].wanted);
        float max = 1.0f + fabsf(rng_normal(&r));
        for (size_t k = 0; k < 1024; k++) {
            float half_way = ((float)rng_below(&r, 253) - 126.0f + 0.5f) * (max / 127.0f);
            a.f32[k] = b.f32[k] = k % 32 == 0 ? max : half_way;
        }
        for (int format = ACT_Q8; format < ACT_FORMATS; format++) {
            pairs[i % n_pairs].wanted->quantize[format](&a, 0);
            pairs[i % n_pairs].tested->quantize[format](&b, 0);
        }
        ck_assert_mem_eq(a.q8, b.q8, 1024);
        ck_assert_mem_eq(a.q8k, b.q8k, 1024);
        act_destroy(&a);
        act_destroy(&b);
    }
}
END_TEST

START_TEST(activations_round_to_nearest_even_within_their_range)
{
    struct rng r = {7};
    struct act x;
    act_create(&x, &r, 1, 256, VALUES_ZERO, &kernels_ref);
    x.f32[0] = 127.0f; /* scale 1 in F16: a value is its own quotient */
    x.f32[1] = 2.5f;
    x.f32[2] = 3.5f;
    x.f32[3] = -126.5f;
    x.f32[4] = -127.0f;
    x.f32[32] = INFINITY;
    x.f32[64] = NAN;
    x.f32[96] = 1e9f; /* beyond F16 as a scale, not as an F32 one */
    x.f32[128] = 1e-30f;
    kernels_ref.quantize[ACT_Q8](&x, 0);
    ck_assert_float_eq(x.q8_scale[0], 1.0f);
    ck_assert_int_eq(x.q8[0], 127);
    ck_assert_int_eq(x.q8[1], 2);
    ck_assert_int_eq(x.q8[2], 4);
    ck_assert_int_eq(x.q8[3], -126);
    ck_assert_int_eq(x.q8[4], -127);
    ck_assert_int_eq(x.q8_sum[0], 127 + 2 + 4 - 126 - 127);
    ck_assert(isinf(x.q8_scale[1]) && isnan(x.q8_scale[2]) && isinf(x.q8_scale[3]));
    ck_assert(x.q8_scale[4] == 0.0f && x.q8[128] == 0); /* its scale is 0 in F16 */
    x.f32[32] = x.f32[64] = 0.0f;
    kernels_ref.quantize[ACT_Q8K](&x, 0);
    ck_assert(isfinite(x.q8k_scale[0]) && x.q8k[96] == 127);
    act_destroy(&x);
}
END_TEST

/* An infinity or a NaN anywhere in the input leaves no finite output. */
START_TEST(what_is_not_finite_spreads)
{
    enum weight_type type = (enum weight_type)_i;
    if (!supported(type))
        return;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 9; i++) {
        struct rng r = {800 + i};
        uint8_t *src = random_weights(&r, type, 16 * 256, WEIGHTS_RANDOM);
        struct matrix w = matrix_create(type, 16, 256, src);
        struct act x;
        act_create(&x, &r, 1, 256, VALUES_NORMAL, &kernels_ref);
        x.f32[rng_below(&r, 256)] = bad[i % 3];
        kernels_ref.quantize[ACT_Q8](&x, 0);
        kernels_ref.quantize[ACT_Q8K](&x, 0);
        float y[PANEL_ROWS];
        kernels_ref.matmul[type](&w, 0, 1, &x, 1, y, PANEL_ROWS);
        for (size_t row = 0; row < PANEL_ROWS; row++)
            ck_assert_msg(!isfinite(y[row]), "%s: row %zu", weight_infos[type].name, row);
        act_destroy(&x);
        matrix_destroy(&w);
        free(src);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matmul");
    TCase *c = tcase_create("matmul");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, matmul_has_the_definitions_bits_for_every_number_of_tokens, 0,
                        WEIGHT_TYPES);
    tcase_add_loop_test(c, matmul_has_the_definitions_bits_for_long_rows, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, matmul_has_the_definitions_bits_for_odd_widths, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, matmul_has_the_definitions_bits_at_the_extremes, 0,
                        (int)WEIGHT_TYPES * (int)WEIGHTS_KINDS);
    tcase_add_loop_test(c, integer_sums_never_saturate, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, definition_is_close_to_the_truth, 0, WEIGHT_TYPES);
    tcase_add_loop_test(c, activations_round_to_the_definitions_bits, 0, VALUES_KINDS);
    tcase_add_test(c, activations_between_two_quants_round_alike);
    tcase_add_test(c, activations_round_to_nearest_even_within_their_range);
    tcase_add_loop_test(c, what_is_not_finite_spreads, 0, WEIGHT_TYPES);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
