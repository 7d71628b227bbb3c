/* test_recurrent.c - what recurrent layers compute: every table against the definition, bit for
 * bit; the definition against double precision; and that a state goes on where it was left. */
#include "math_test.h"

static const size_t sizes[] = {2, 8, 15, 16, 17, 24, 32, 40, 64, 80, 128};
/* A sanitizer makes the reference many times slower: it looks at addresses, not at every number. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const size_t counts[] = {1, 3, 65};
#else
static const size_t counts[] = {1, 2, 3, 7, 63, 64, 65, 130};
#endif
enum { MOST = 130, GATES = 3 };
#define N(array) (sizeof(array) / sizeof((array)[0]))

struct case_of { /* one head's inputs; the strides leave gaps */
    size_t size, stride;
    float *q, *k, *v, *decay, *beta, *from;
};

static void fill_unit(struct rng *r, float *x, size_t n)
{
    float sum = 1e-6f;
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_normal(r);
        sum += x[i] * x[i];
    }
    for (size_t i = 0; i < n; i++)
        x[i] /= sqrtf(sum);
}

static struct case_of case_create(struct rng *r, size_t size, enum values kind)
{
    struct case_of c = {.size = size, .stride = size + 3};
    c.q = buffer(MOST * c.stride * sizeof(float));
    c.k = buffer(MOST * c.stride * sizeof(float));
    for (size_t t = 0; t < MOST; t++) {
        fill_unit(r, c.q + t * c.stride, size);
        fill_unit(r, c.k + t * c.stride, size);
    }
    c.v = random_floats(r, MOST * c.stride, kind);
    c.decay = buffer(MOST * GATES * sizeof(float));
    c.beta = buffer(MOST * GATES * sizeof(float));
    for (size_t i = 0; i < MOST * GATES; i++) {
        c.decay[i] = 1.0f - 0.3f * (float)rng_below(r, 1000) * 1e-3f;
        c.beta[i] = (float)rng_below(r, 1000) * 1e-3f;
    }
    c.from = buffer(delta_state_floats(size) * sizeof(float));
    for (size_t i = 0; i < size * size; i++)
        c.from[i / size / PANEL_ROWS * PANEL_ROWS * size + i % size * PANEL_ROWS +
               i / size % PANEL_ROWS] = rng_normal(r);
    return c;
}

static void case_destroy(struct case_of *c)
{
    float *all[] = {c->q, c->k, c->v, c->decay, c->beta, c->from};
    for (size_t i = 0; i < N(all); i++)
        free(all[i]);
}

static struct delta part_of(const struct case_of *c, size_t first, size_t n, float *v, float *state)
{
    return (struct delta){.size = c->size,
                          .n_positions = n,
                          .q = c->q + first * c->stride,
                          .k = c->k + first * c->stride,
                          .qk_stride = c->stride,
                          .v = v + first * c->stride,
                          .v_stride = c->stride,
                          .decay = c->decay + first * GATES,
                          .beta = c->beta + first * GATES,
                          .gate_stride = GATES,
                          .from = state,
                          .state = state};
}

static float *copy_of(const float *x, size_t n)
{
    float *copy = buffer(n * sizeof *copy);
    memcpy(copy, x, n * sizeof *x);
    return copy;
}

/* how: 0: in place, 1: from another state, which stays; 2: from nothing. */
static void check_delta(const struct table_pair *pair, const struct case_of *c, size_t n, int how)
{
    const size_t n_values = MOST * c->stride, n_state = delta_state_floats(c->size);
    float *v[2], *state[2], *from = copy_of(c->from, n_state);
    for (int i = 0; i < 2; i++) {
        v[i] = copy_of(c->v, n_values);
        state[i] = copy_of(c->from, n_state);
        struct delta d = part_of(c, 0, n, v[i], state[i]);
        if (how > 0)
            memset(state[i], 0x7f, n_state * sizeof(float));
        d.from = how == 0 ? state[i] : how == 1 ? from : NULL;
        (i == 0 ? pair->wanted : pair->tested)->delta(&d);
    }
    ck_same_floats(v[0], v[1], n_values);
    ck_same_floats(state[0], state[1], n_state);
    ck_same_floats(c->from, from, n_state);
    for (int i = 0; i < 2; i++) {
        free(v[i]);
        free(state[i]);
    }
    free(from);
}

START_TEST(the_delta_rule_has_the_definitions_bits)
{
    static const enum values kinds[] = {VALUES_NORMAL, VALUES_WIDE, VALUES_SPECIAL};
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs), size = sizes[_i];
    struct rng r = {7};
    for (size_t k = 0; k < N(kinds); k++) {
        struct case_of c = case_create(&r, size, kinds[k]);
        for (size_t i = 0; i < n_pairs * N(counts); i++)
            for (int how = 0; how < 3; how++)
                check_delta(&pairs[i % n_pairs], &c, counts[i / n_pairs], how);
        case_destroy(&c);
    }
}
END_TEST

/* Cut anywhere, the positions give the same. */
START_TEST(a_state_goes_on_where_it_was_left)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {11};
    struct case_of c = case_create(&r, sizes[_i], VALUES_NORMAL);
    const size_t n_values = MOST * c.stride, n_state = delta_state_floats(c.size);
    for (size_t p = 0; p < n_pairs; p++) {
        float *whole = copy_of(c.v, n_values), *cut = copy_of(c.v, n_values);
        float *s0 = copy_of(c.from, n_state), *s1 = copy_of(c.from, n_state);
        struct delta d = part_of(&c, 0, MOST, whole, s0);
        pairs[p].tested->delta(&d);
        for (size_t first = 0, n; first < MOST; first += n) {
            n = 1 + rng_below(&r, 40);
            n = n < MOST - first ? n : MOST - first;
            d = part_of(&c, first, n, cut, s1);
            pairs[p].tested->delta(&d);
        }
        ck_same_floats(whole, cut, n_values);
        ck_same_floats(s0, s1, n_state);
        free(whole);
        free(cut);
        free(s0);
        free(s1);
    }
    case_destroy(&c);
}
END_TEST

/* As the formula stands in the paper, in double precision. */
static double worst_of_delta(const struct case_of *c, const float *found)
{
    const size_t n = c->size;
    double *s = calloc(n * n, sizeof *s), worst = 0;
    ck_assert_ptr_nonnull(s);
    for (size_t t = 0; t < MOST; t++) {
        const float *q = c->q + t * c->stride, *k = c->k + t * c->stride;
        for (size_t i = 0; i < n; i++) {
            double *row = s + i * n, answer = 0, out = 0;
            for (size_t j = 0; j < n; j++) {
                row[j] *= (double)c->decay[t * GATES];
                answer += row[j] * (double)k[j];
            }
            double change = (double)c->beta[t * GATES] * ((double)c->v[t * c->stride + i] - answer);
            for (size_t j = 0; j < n; j++) {
                row[j] += change * (double)k[j];
                out += row[j] * (double)q[j];
            }
            double off = fabs(out - (double)found[t * c->stride + i]);
            worst = off > worst ? off : worst;
        }
    }
    free(s);
    return worst;
}

START_TEST(the_delta_rule_is_close_to_the_truth)
{
    struct rng r = {13};
    struct case_of c = case_create(&r, sizes[_i], VALUES_NORMAL);
    float *v = copy_of(c.v, MOST * c.stride);
    float *state = buffer(delta_state_floats(c.size) * sizeof(float));
    struct delta d = part_of(&c, 0, MOST, v, state);
    d.from = NULL;
    kernels_ref.delta(&d);
    double worst = worst_of_delta(&c, v);
    ck_assert_msg(worst < 1e-5, "off by %g", worst);
    free(v);
    free(state);
    case_destroy(&c);
}
END_TEST

START_TEST(the_convolution_has_the_definitions_bits)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {17};
    for (size_t i = 0; i < n_pairs * 3 * 40; i++) {
        const struct table_pair *pair = &pairs[i % n_pairs];
        const size_t n = 1 + i / n_pairs % 40, n_taps = 2 + i / n_pairs / 40;
        const enum values kind = i % 5 == 0 ? VALUES_SPECIAL : VALUES_NORMAL;
        float *x = random_floats(&r, n_taps * n, kind), *w = random_floats(&r, n_taps * 48, kind);
        float *bias = i % 2 ? random_floats(&r, n, kind) : NULL, *y[2];
        for (int k = 0; k < 2; k++) {
            const float *taps[4];
            y[k] = copy_of(x + (n_taps - 1) * n, n);
            for (size_t j = 0; j < n_taps; j++)
                taps[j] = j + 1 < n_taps ? x + j * n : y[k];
            (k == 0 ? pair->wanted : pair->tested)
                ->conv(taps, n_taps, w, 48, bias, n, i % 3 > 0, y[k]);
        }
        ck_same_floats(y[0], y[1], n);
        free(x);
        free(w);
        free(bias);
        free(y[0]);
        free(y[1]);
    }
}
END_TEST

START_TEST(the_sigmoid_gate_has_the_definitions_bits)
{
    struct table_pair pairs[MAX_PAIRS];
    const size_t n_pairs = table_pairs(pairs);
    struct rng r = {19};
    for (size_t i = 0; i < n_pairs * 40 * VALUES_KINDS; i++) {
        const size_t n = 1 + i / n_pairs % 40;
        float *gate = random_floats(&r, n, (enum values)(i / n_pairs / 40));
        float *y = random_floats(&r, n, VALUES_NORMAL), *again = copy_of(y, n);
        pairs[i % n_pairs].wanted->sigmoid_mul(y, gate, n);
        pairs[i % n_pairs].tested->sigmoid_mul(again, gate, n);
        ck_same_floats(y, again, n);
        free(gate);
        free(y);
        free(again);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recurrent");
    TCase *c = tcase_create("recurrent");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, the_delta_rule_has_the_definitions_bits, 0, (int)N(sizes));
    tcase_add_loop_test(c, a_state_goes_on_where_it_was_left, 0, (int)N(sizes));
    tcase_add_loop_test(c, the_delta_rule_is_close_to_the_truth, 0, (int)N(sizes));
    tcase_add_test(c, the_convolution_has_the_definitions_bits);
    tcase_add_test(c, the_sigmoid_gate_has_the_definitions_bits);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
