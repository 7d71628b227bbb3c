/* test_bench_report.c - a bench report as JSON and back. */
#include "report/bench_report.h"

#include "api/json/json.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct bench_result results[] = {
    {BENCH_PREFILL, BENCH_TOKENS, "prefill 128", "", 128, 1, 0, 2, 1234.5, 2469, 1200.5,
     BOUND_ARITHMETIC},
    {BENCH_DECODE, BENCH_TOKENS, "decode at 512", "", 96, 1, 512, 2, 100, 400, 99, BOUND_BANDWIDTH},
    {BENCH_BATCH, BENCH_TOKENS, "batch 8", "", 640, 8, 0, 2, 800, 1600, 0, BOUND_UNSAID},
    {BENCH_KERNEL, BENCH_GMAC, "matmul Q4_0", "576x1536x8", 8, 8, 0, 1, 40, 80, 0,
     BOUND_ARITHMETIC},
    {BENCH_KERNEL, BENCH_GB, "softmax", "512", 1, 1, 0, 1, 5, 50, 0, BOUND_BANDWIDTH},
};

static const struct bench_report report = {
    .version = "1.2.3",
    .cpu = "a \"quoted\" CPU",
    .kernels = "avx2",
    .threads = 2,
    .workers = 1,
    .dram_gb_s = 28.6,
    .cache_gb_s = 126,
    .fma_gflop_s = 184,
    .int8_gmac_s = 161,
    .int6_gmac_s = 200,
    .int4_gmac_s = 210,
    .model = "a model",
    .weights = "Q4_0",
    .model_bytes = 91000000,
    .load_average = 0.25,
    .others_percent = 0.5,
    .steal_percent = 0.125,
    .results = results,
    .n_results = sizeof results / sizeof *results,
};

/* The report as text, NUL-terminated; the caller frees it. */
static char *written(const struct bench_report *r)
{
    size_t room = bench_report_room(r);
    char *text = malloc(room);
    ck_assert_ptr_nonnull(text);
    size_t n = bench_report_write(r, text, room);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_lt(n, room);
    text[n] = '\0';
    return text;
}

START_TEST(what_is_written_is_json_with_the_promised_names)
{
    static const char *const names[] = {"\"version\"",
                                        "\"machine\"",
                                        "\"cpu\"",
                                        "\"threads\"",
                                        "\"kernels\"",
                                        "\"dram_gb_s\"",
                                        "\"cache_gb_s\"",
                                        "\"fma_gflop_s\"",
                                        "\"int8_gmac_s\"",
                                        "\"model\"",
                                        "\"name\"",
                                        "\"weights\"",
                                        "\"bytes\"",
                                        "\"results\"",
                                        "\"kind\"",
                                        "\"tokens\"",
                                        "\"batch\"",
                                        "\"context\"",
                                        "\"tokens_per_second\"",
                                        "\"limit_tokens_per_second\"",
                                        "\"median_tokens_per_second\":1200.5000",
                                        "\"fraction\":0.5000",
                                        "\"bound\":\"bandwidth\"",
                                        "\"bound\":\"arithmetic\"",
                                        "\"shape\":\"576x1536x8\"",
                                        "\"gmac_s\":40.0000",
                                        "\"gb_s\":5.0000"};
    char *text = written(&report);
    ck_assert_int_eq(json_check(text, strlen(text), 8, 1000, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(strstr(text, names[i]) != NULL, "%s is missing in %s", names[i], text);
    free(text);
}
END_TEST

START_TEST(a_report_comes_back_as_it_was)
{
    char *text = written(&report);
    struct bench_report back = {0};
    struct error err;
    ck_assert_msg(bench_report_read(&back, text, strlen(text), &err) == STATUS_OK, "%s", err.text);
    ck_assert_str_eq(back.cpu, report.cpu);
    ck_assert_str_eq(back.weights, report.weights);
    ck_assert_uint_eq(back.model_bytes, report.model_bytes);
    ck_assert_uint_eq(back.threads, 2);
    ck_assert(fabs(back.dram_gb_s - 28.6) < 1e-3);
    ck_assert_uint_eq(back.n_results, report.n_results);
    for (size_t i = 0; i < back.n_results; i++) {
        const struct bench_result *a = &results[i], *b = &back.results[i];
        ck_assert_int_eq(a->kind, b->kind);
        ck_assert_int_eq(a->unit, b->unit);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_str_eq(a->shape, b->shape);
        ck_assert_uint_eq(a->tokens, b->tokens);
        ck_assert_uint_eq(a->batch, b->batch);
        ck_assert_uint_eq(a->context, b->context);
        ck_assert_uint_eq(a->threads, b->threads);
        ck_assert_int_eq(a->bound, b->bound);
        ck_assert(fabs(a->rate - b->rate) < 1e-3 && fabs(a->limit - b->limit) < 1e-3);
        ck_assert(fabs(a->median - b->median) < 1e-3);
    }
    free(back.results);
    free(text);
}
END_TEST

START_TEST(one_without_results_is_a_report_too)
{
    struct bench_report empty = report, back = {0};
    empty.n_results = 0;
    char *text = written(&empty);
    ck_assert_int_eq(bench_report_read(&back, text, strlen(text), NULL), STATUS_OK);
    ck_assert_uint_eq(back.n_results, 0);
    free(back.results);
    free(text);
}
END_TEST

START_TEST(what_does_not_fit_is_not_written)
{
    char text[64];
    ck_assert_uint_eq(bench_report_write(&report, text, sizeof text), 0);
}
END_TEST

START_TEST(other_texts_are_refused)
{
    static const char *const texts[] = {
        "",
        "no JSON",
        "[]",
        "{}",
        "{\"version\":1}",
        "{\"version\":\"1\",\"machine\":{\"cpu\":\"c\"},\"model\":{\"name\":\"m\"}}",
        "{\"version\":\"1\",\"machine\":{},\"model\":{\"name\":\"m\"},\"results\":[]}",
        "{\"version\":\"1\",\"machine\":{\"cpu\":\"c\"},\"model\":{\"name\":\"m\"},\"results\":[1]"
        "}",
        "{\"version\":\"1\",\"machine\":{\"cpu\":\"c\"},\"model\":{\"name\":\"m\"},"
        "\"results\":[{\"kind\":\"decode\"}]}",
        "{\"version\":\"1\",\"machine\":{\"cpu\":\"c\"},\"model\":{\"name\":\"m\"},"
        "\"results\":[{\"kind\":\"other\",\"name\":\"n\",\"gb_s\":1}]}",
        "{\"version\":\"1\",\"machine\":{\"cpu\":\"c\"},\"model\":{\"name\":\"m\"},"
        "\"results\":[{\"kind\":\"decode\",\"name\":\"n\",\"per_hour\":1}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bench_report back = {.threads = 7};
        struct error err = {0};
        ck_assert_int_eq(bench_report_read(&back, texts[i], strlen(texts[i]), &err), STATUS_FORMAT);
        ck_assert_str_ne(err.text, "");
        ck_assert_uint_eq(back.threads, 7);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_report");
    TCase *tcase = tcase_create("bench_report");
    tcase_add_test(tcase, what_is_written_is_json_with_the_promised_names);
    tcase_add_test(tcase, a_report_comes_back_as_it_was);
    tcase_add_test(tcase, one_without_results_is_a_report_too);
    tcase_add_test(tcase, what_does_not_fit_is_not_written);
    tcase_add_test(tcase, other_texts_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
