/* test_rows.c - norms, activations, RoPE and what runs over the vocabulary: every table against the
 * definition, bit for bit, for every length; the definition against double precision. */
#include "math_test.h"

static const size_t lengths[] = {1,  2,  3,  4,  5,   6,   7,   8,    9,   15, 16,
                                 17, 20, 23, 24, 31,  32,  33,  39,   40,  41, 63,
                                 64, 65, 96, 97, 576, 768, 769, 1000, 1001};
#define N(array) (sizeof(array) / sizeof((array)[0]))

/* A copy of x with room after it, so that a write beyond n is seen by the sanitizer or in the
 * comparison. */
static float *copy_of(const float *x, size_t n)
{
    float *copy = buffer((n + 8) * sizeof *copy);
    memcpy(copy, x, n * sizeof *x);
    for (size_t i = n; i < n + 8; i++)
        copy[i] = 777.0f;
    return copy;
}

struct inputs {
    size_t n;
    float *x, *w, *b;
};

typedef void operation(const struct kernels *k, const struct inputs *in, float *y);

/* Runs an operation in both tables, out of place into y where it has one, for every length and kind
 * of values. */
static void compare(operation *op)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {1};
    for (size_t i = 0; i < n_pairs * N(lengths) * VALUES_KINDS; i++) {
        const struct table_pair *pair = &pairs[i % n_pairs];
        size_t n = lengths[i / n_pairs % N(lengths)];
        enum values kind = (enum values)(i / n_pairs / N(lengths));
        struct inputs in = {n, random_floats(&r, n, kind), random_floats(&r, n, VALUES_NORMAL),
                            random_floats(&r, n, VALUES_NORMAL)};
        float *wanted = copy_of(in.x, n), *found = copy_of(in.x, n);
        op(pair->wanted, &in, wanted);
        op(pair->tested, &in, found);
        ck_same_floats(wanted, found, n + 8);
        free(wanted);
        free(found);
        free(in.x);
        free(in.w);
        free(in.b);
    }
}

static void op_rms_norm(const struct kernels *k, const struct inputs *in, float *y)
{
    k->rms_norm(in->x, in->w, in->n, 1e-5f, y);
}

static void op_rms_norm_in_place(const struct kernels *k, const struct inputs *in, float *y)
{
    k->rms_norm(y, in->w, in->n, 1e-5f, y);
}

static void op_layer_norm(const struct kernels *k, const struct inputs *in, float *y)
{
    k->layer_norm(in->x, in->w, in->b, in->n, 1e-5f, y);
}

static void op_layer_norm_in_place(const struct kernels *k, const struct inputs *in, float *y)
{
    k->layer_norm(y, in->w, in->b, in->n, 1e-5f, y);
}

static void op_add(const struct kernels *k, const struct inputs *in, float *y)
{
    k->add(y, in->w, in->n);
}

static void op_silu_mul(const struct kernels *k, const struct inputs *in, float *y)
{
    k->silu_mul(y, in->w, in->n);
}

static void op_swiglu_oai(const struct kernels *k, const struct inputs *in, float *y)
{
    k->swiglu_oai(y, in->w, in->n); /* gates of every kind */
    k->swiglu_oai(y, in->x, in->n); /* and ups */
}

static void op_add_scaled(const struct kernels *k, const struct inputs *in, float *y)
{
    k->add_scaled(y, in->w, 0.37f, in->n);
}

static void op_gelu_mul(const struct kernels *k, const struct inputs *in, float *y)
{
    k->gelu_mul(y, in->w, in->n);
}

static void op_softcap(const struct kernels *k, const struct inputs *in, float *y)
{
    k->softcap(y, 3.0f, in->n);
}

static void op_gelu(const struct kernels *k, const struct inputs *in, float *y)
{
    k->gelu(y, in->n);
}

/* Of the first even number of values a part is rotated; all are scaled. */
static void rotate(const struct kernels *k, const struct inputs *in, float *y, size_t n,
                   bool interleaved)
{
    k->rope(y, in->w, in->b, n, in->n / 2 * 2, interleaved, 0.3f);
}

static void op_rope_interleaved(const struct kernels *k, const struct inputs *in, float *y)
{
    rotate(k, in, y, in->n / 2 * 2, true);
}

static void op_rope_halves(const struct kernels *k, const struct inputs *in, float *y)
{
    rotate(k, in, y, in->n / 2 * 2, false);
}

static void op_rope_part(const struct kernels *k, const struct inputs *in, float *y)
{
    rotate(k, in, y, in->n / 4 * 2, in->n % 2 == 0);
}

static void op_sum_exp(const struct kernels *k, const struct inputs *in, float *y)
{
    y[0] = k->sum_exp(in->x, in->n, 1.0f);
}

static void op_all_finite(const struct kernels *k, const struct inputs *in, float *y)
{
    y[0] = k->all_finite(in->x, in->n) ? 1.0f : 0.0f;
}

static void op_exp(const struct kernels *k, const struct inputs *in, float *y)
{
    k->exp(y, in->n);
}

static void op_count_at_least(const struct kernels *k, const struct inputs *in, float *y)
{
    y[0] = (float)k->count_at_least(in->x, in->n, in->w[0]);
}

/* The values themselves, in the order in which they are listed. */
static void op_list_at_least(const struct kernels *k, const struct inputs *in, float *y)
{
    uint32_t *index = buffer(in->n * sizeof *index);
    size_t n = k->list_at_least(in->x, in->n, in->w[0], index);
    for (size_t i = 0; i < in->n; i++)
        y[i] = i < n ? in->x[index[i]] : (float)n;
    free(index);
}

static operation *const operations[] = {
    op_rms_norm,    op_rms_norm_in_place, op_layer_norm,    op_layer_norm_in_place,
    op_add,         op_silu_mul,          op_gelu,          op_rope_interleaved,
    op_rope_halves, op_rope_part,         op_sum_exp,       op_all_finite,
    op_exp,         op_count_at_least,    op_list_at_least, op_swiglu_oai,
    op_add_scaled,  op_gelu_mul,          op_softcap,
};

START_TEST(rows_have_the_definitions_bits)
{
    compare(operations[_i]);
}
END_TEST

START_TEST(max_and_argmax_agree_and_take_the_first)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {2};
    for (size_t i = 0; i < n_pairs * 2000; i++) {
        const struct table_pair *pair = &pairs[i % n_pairs];
        size_t n = 1 + rng_below(&r, 130);
        float *x = random_floats(&r, n, i % 3 == 0 ? VALUES_ZERO : VALUES_NORMAL);
        for (size_t j = 0; i % 3 == 1 && j < n; j++)
            x[j] = rintf(x[j]); /* many equals */
        if (i % 16 == 0)
            x[rng_below(&r, n)] = INFINITY;
        if (i % 64 == 0) {
            for (size_t j = 0; j < n; j++)
                x[j] = -INFINITY;
        }
        float wanted = pair->wanted->max(x, n), found = pair->tested->max(x, n);
        ck_same_floats(&wanted, &found, 1);
        size_t at = pair->tested->argmax(x, n);
        ck_assert_uint_eq(at, pair->wanted->argmax(x, n));
        ck_assert(x[at] == wanted);
        for (size_t j = 0; j < at; j++)
            ck_assert(x[j] < wanted);
        x[rng_below(&r, n)] = NAN;
        ck_assert_uint_lt(pair->tested->argmax(x, n), n);
        free(x);
    }
}
END_TEST

START_TEST(all_finite_finds_one_bad_value_anywhere)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < n_pairs; i++) {
        for (size_t n = 1; n < 70; n++) {
            float *x = buffer(n * sizeof *x);
            ck_assert(pairs[i].tested->all_finite(x, n));
            x[n / 2] = 3.4e38f;
            ck_assert(pairs[i].tested->all_finite(x, n));
            for (size_t at = 0; at < n; at++) {
                float old = x[at];
                x[at] = bad[at % 3];
                ck_assert(!pairs[i].tested->all_finite(x, n));
                x[at] = old;
            }
            free(x);
        }
    }
}
END_TEST

START_TEST(norms_are_close_to_the_truth)
{
    struct rng r = {3};
    for (size_t i = 0; i < N(lengths); i++) {
        size_t n = lengths[i];
        float *x = random_floats(&r, n, VALUES_NORMAL), *w = random_floats(&r, n, VALUES_NORMAL);
        float *b = random_floats(&r, n, VALUES_NORMAL), *y = buffer(n * sizeof *y);
        double squares = 0, sum = 0, variance = 0;
        for (size_t j = 0; j < n; j++) {
            squares += (double)x[j] * (double)x[j];
            sum += (double)x[j];
        }
        double mean = sum / (double)n;
        for (size_t j = 0; j < n; j++)
            variance += ((double)x[j] - mean) * ((double)x[j] - mean) / (double)n;
        kernels_ref.rms_norm(x, w, n, 1e-5f, y);
        for (size_t j = 0; j < n; j++) {
            double truth = (double)x[j] / sqrt(squares / (double)n + 1e-5) * (double)w[j];
            ck_assert_double_le(fabs((double)y[j] - truth), 1e-6 * fabs(truth) + 1e-9);
        }
        kernels_ref.layer_norm(x, w, b, n, 1e-5f, y);
        for (size_t j = 0; j < n; j++) {
            double truth =
                ((double)x[j] - mean) / sqrt(variance + 1e-5) * (double)w[j] + (double)b[j];
            ck_assert_double_le(fabs((double)y[j] - truth), n == 1 ? 1e-4 : 1e-5);
        }
        free(x);
        free(w);
        free(b);
        free(y);
    }
}
END_TEST

START_TEST(rope_rotates_pairs_and_scales_the_rest)
{
    float cosines[2] = {0.0f, 1.0f}, sines[2] = {1.0f, 0.0f};
    float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 2, 3, 4, 5, 6};
    const float wanted_a[6] = {-4, 2, 6, 8, 10, 12}, wanted_b[6] = {-6, 4, 2, 8, 10, 12};
    kernels_ref.rope(a, cosines, sines, 4, 6, true, 2.0f);
    kernels_ref.rope(b, cosines, sines, 4, 6, false, 2.0f);
    ck_same_floats(wanted_a, a, 6);
    ck_same_floats(wanted_b, b, 6);
}
END_TEST

START_TEST(a_level_is_chosen_or_refused_by_name)
{
    struct cpu cpu = {0};
    const struct kernels *kernels = NULL;
    struct error err = {0};
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
    ck_assert_str_eq(kernels->name, "ref");
    const struct kernels *before = kernels;
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AVX2, &cpu, &err), STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "avx2"));
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AVX512, &cpu, &err), STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "avx512"));
    ck_assert_ptr_eq(kernels, before);
    cpu_detect(&cpu);
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_REF, &cpu, &err), STATUS_OK);
    ck_assert_str_eq(kernels->name, "ref");
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
    ck_assert_str_eq(kernels->name, cpu.amx       ? "amx"
                                    : cpu.avx512  ? "avx512"
                                    : cpu.avxvnni ? "avxvnni"
                                    : cpu.avx2    ? "avx2"
                                                  : "ref");
}
END_TEST

START_TEST(supported_types_have_kernels_in_every_table)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        for (int type = 0; type < WEIGHT_TYPES; type++) {
            ck_assert((pairs[i].wanted->matmul[type] != NULL) ==
                      (weight_infos[type].supported != 0));
            ck_assert((pairs[i].tested->matmul[type] != NULL) ==
                      (weight_infos[type].supported != 0));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows");
    TCase *c = tcase_create("rows");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, rows_have_the_definitions_bits, 0, (int)N(operations));
    tcase_add_test(c, max_and_argmax_agree_and_take_the_first);
    tcase_add_test(c, all_finite_finds_one_bad_value_anywhere);
    tcase_add_test(c, norms_are_close_to_the_truth);
    tcase_add_test(c, rope_rotates_pairs_and_scales_the_rest);
    tcase_add_test(c, a_level_is_chosen_or_refused_by_name);
    tcase_add_test(c, supported_types_have_kernels_in_every_table);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
