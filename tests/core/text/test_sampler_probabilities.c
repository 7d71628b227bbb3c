/* test_sampler_probabilities.c - what a draw was made from, against softmax in plain double
 * precision. */
#include "base/cpu.h"
#include "text/sampler.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { N = 300, MOST = 20 };

static struct sampler *open_sampler(void)
{
    static struct cpu cpu;
    const struct kernels *kernels;
    struct sampler *s;
    struct error err;
    cpu_detect(&cpu);
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
    ck_assert_int_eq(sampler_create(&s, N, kernels, &err), STATUS_OK);
    return s;
}

struct entry {
    double logit;
    int id;
};

static int by_logit(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->logit < y->logit) - (x->logit > y->logit);
}

static const struct row {
    uint32_t top_k;
    float min_p, temperature;
} rows[] = {{5, 0, 2}, {0, 0.5f, 0.7f}, {0, 0, 0.5f}, {0, 0, 0}, {200, 0.01f, 1}};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* How many of the sorted entries a row leaves. */
static size_t count_left(const struct row *row, const struct entry *entries)
{
    size_t n = row->temperature <= 0 ? 1 : row->top_k > 0 ? row->top_k : N;
    while (row->min_p > 0 && entries[n - 1].logit < entries[0].logit + log((double)row->min_p))
        n--;
    return n;
}

/* The top k, what min_p leaves in ascending id, everything, the highest, two filters. */
START_TEST(probabilities_are_those_that_were_drawn_from)
{
    const struct row *row = &rows[_i];
    const struct sampling p = {.temperature = row->temperature,
                               .top_k = row->top_k,
                               .min_p = row->min_p,
                               .top_p = 1,
                               .typical_p = 1,
                               .repetition_penalty = 1,
                               .seed = 9};
    struct sampler *s = open_sampler();
    float logits[N];
    struct entry entries[N];
    struct logprob top[MOST];
    struct error err;
    int32_t id;
    for (size_t i = 0; i < N; i++) {
        logits[i] = (float)(i * 7919 % N) / 50;
        entries[i] = (struct entry){(double)logits[i], (int)i};
    }
    qsort(entries, N, sizeof *entries, by_logit);
    ck_assert_int_eq(sampler_draw(s, logits, &p, NULL, 0, NULL, 0, &id, &err), STATUS_OK);
    double sum = 0, t = p.temperature > 0 ? (double)p.temperature : 1;
    size_t n_left = count_left(row, entries), n_top = MOST;
    for (size_t i = 0; i < n_left; i++)
        sum += exp((entries[i].logit - entries[0].logit) / t);
    float own = sampler_probabilities(s, id, &n_top, top);
    ck_assert_uint_eq(n_top, n_left < MOST ? n_left : MOST);
    for (size_t i = 0; i < n_top; i++) {
        double right = exp((entries[i].logit - entries[0].logit) / t) / sum;
        ck_assert_int_eq(top[i].id, entries[i].id);
        ck_assert(fabs((double)top[i].logprob - right) < 1e-5);
    }
    double right = exp(((double)logits[id] - entries[0].logit) / t) / sum;
    ck_assert(fabs((double)own - right) < 1e-5);
    n_top = 0;
    sampler_probabilities(s, id, &n_top, NULL);
    ck_assert_uint_eq(n_top, 0);
    sampler_destroy(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampler probabilities");
    TCase *tc = tcase_create("probabilities");
    tcase_add_loop_test(tc, probabilities_are_those_that_were_drawn_from, 0, N_ROWS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
