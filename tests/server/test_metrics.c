/* test_metrics.c - facts about the counters, the histograms, the rates and the text of a scrape. */
#include "server/metrics.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const labels[] = {"/generate", "/livez", "other"};

static char text[METRICS_ROOM + 1];
static bool vllm_names;

static const char *scrape(struct metrics *m, const struct engine_stats *stats, const char *model)
{
    struct metrics_view view = {.routes = labels,
                                .n_routes = 3,
                                .queue_limit = 128,
                                .vllm_names = vllm_names,
                                .version = "1.2.3",
                                .kernels = model != NULL ? "avx2" : NULL,
                                .model = model,
                                .architecture = "llama",
                                .weights = "Q8_0",
                                .step_weight_bytes = 2924748,
                                .n_threads = 2,
                                .stats = stats};
    size_t n = metrics_write(m, &view, m->start_ns + 1000000000u, text, METRICS_ROOM);
    ck_assert_uint_gt(n, 0);
    text[n] = '\0';
    return text;
}

/* Whether the text has this very line. */
static bool has_line(const char *all, const char *line)
{
    size_t n = strlen(line);
    for (const char *at = strstr(all, line); at != NULL; at = strstr(at + 1, line))
        if ((at == all || at[-1] == '\n') && at[n] == '\n')
            return true;
    return false;
}

START_TEST(every_promised_series_exists_from_the_start)
{
    static const char *const zeros[] = {
        "smallmind_generated_tokens_total 0",
        "smallmind_prompt_tokens_total{source=\"computed\"} 0",
        "smallmind_prompt_tokens_total{source=\"cached\"} 0",
        "smallmind_generated_tokens_per_second 0",
        "smallmind_prompt_tokens_per_second 0",
        "smallmind_requests_total{route=\"/generate\",code=\"200\"} 0",
        "smallmind_requests_total{route=\"/livez\",code=\"200\"} 0",
        "smallmind_requests_total{route=\"other\",code=\"200\"} 0",
        "smallmind_requests_rejected_total{reason=\"queue_full\"} 0",
        "smallmind_requests_rejected_total{reason=\"deadline\"} 0",
        "smallmind_requests_rejected_total{reason=\"draining\"} 0",
        "smallmind_requests_rejected_total{reason=\"too_large\"} 0",
        "smallmind_requests_cancelled_total{phase=\"queued\"} 0",
        "smallmind_requests_cancelled_total{phase=\"prefill\"} 0",
        "smallmind_requests_cancelled_total{phase=\"decode\"} 0",
        "smallmind_requests_running 0",
        "smallmind_requests_queued 0",
        "smallmind_queue_limit 128",
        "smallmind_step_seconds_count 0",
        "smallmind_step_sequences_count 0",
        "smallmind_request_queue_seconds_count 0",
        "gen_ai_server_request_duration_seconds_count 0",
        "gen_ai_server_time_to_first_token_seconds_count 0",
        "gen_ai_server_time_per_output_token_seconds_count 0",
        "gen_ai_server_request_duration_seconds_bucket{le=\"5e-05\"} 0",
        "gen_ai_server_request_duration_seconds_bucket{le=\"2560\"} 0",
        "gen_ai_server_request_duration_seconds_bucket{le=\"+Inf\"} 0",
        "smallmind_kv_pages{state=\"used\"} 0",
        "smallmind_kv_pages{state=\"cached\"} 0",
        "smallmind_kv_pages{state=\"free\"} 0",
        "smallmind_kv_states{state=\"used\"} 0",
        "smallmind_kv_states{state=\"cached\"} 0",
        "smallmind_kv_states{state=\"free\"} 0",
        "smallmind_kv_usage_ratio 0",
        "smallmind_kv_pages_total 0",
        "smallmind_kv_page_positions 32",
        "smallmind_prefix_cache_hit_tokens_total 0",
        "smallmind_prefix_cache_query_tokens_total 0",
        "smallmind_engine_allocations_total 0",
        "smallmind_grammar_compiles_total 0",
        "smallmind_grammar_cache_hits_total 0",
        "smallmind_grammar_cache_bytes 0",
        "smallmind_build_info{version=\"1.2.3\",kernels=\"avx2\"} 1",
        "smallmind_model_info{model=\"m\",architecture=\"llama\",weights=\"Q8_0\"} 1",
        "smallmind_weight_bytes_per_step 2924748",
        "smallmind_threads 2",
    };
    struct metrics m;
    struct engine_stats stats = {0};
    metrics_init(&m);
    const char *all = scrape(&m, &stats, "m");
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++)
        ck_assert_msg(has_line(all, zeros[i]), "%s", zeros[i]);
    static const char *const process[] = {"\nprocess_cpu_seconds_total ",
                                          "\nprocess_resident_memory_bytes ", "\nprocess_open_fds ",
                                          "\nprocess_max_fds ", "\nprocess_start_time_seconds "};
    for (size_t i = 0; i < sizeof process / sizeof process[0]; i++)
        ck_assert_ptr_nonnull(strstr(all, process[i]));
    metrics_free(&m);
}
END_TEST

START_TEST(what_the_system_does_not_tell_is_left_out)
{
    struct metrics m;
    struct engine_stats stats = {0};
    metrics_init(&m);
    process_close(&m.process);
    const char *all = scrape(&m, &stats, "m");
    ck_assert_ptr_null(strstr(all, "process_open_fds"));
    ck_assert_ptr_null(strstr(all, "process_resident_memory_bytes"));
    ck_assert_ptr_nonnull(strstr(all, "\nprocess_max_fds "));
    metrics_free(&m);
}
END_TEST

START_TEST(the_use_of_kv_memory_is_what_live_sequences_hold)
{
    static const char *const others[] = {"vllm:num_requests_running 3",
                                         "vllm:num_requests_waiting 7",
                                         "vllm:kv_cache_usage_perc 0.25"};
    struct metrics m;
    struct engine_stats stats = {.running = 3, .queued = 7};
    stats.kv.n_pages = 64;
    stats.kv.n_used = 16;
    stats.kv.n_cached = 30;
    metrics_init(&m);
    const char *all = scrape(&m, &stats, "m");
    ck_assert(has_line(all, "smallmind_kv_usage_ratio 0.25"));
    ck_assert(has_line(all, "smallmind_kv_pages_total 64"));
    ck_assert_ptr_null(strstr(all, "vllm:"));
    vllm_names = true;
    all = scrape(&m, &stats, "m");
    vllm_names = false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(has_line(all, others[i]), "%s", others[i]);
    metrics_free(&m);
}
END_TEST

START_TEST(each_family_has_one_help_and_one_type)
{
    struct metrics m;
    struct engine_stats stats = {0};
    metrics_init(&m);
    const char *all = scrape(&m, &stats, "m");
    size_t n_help = 0, n_type = 0;
    for (const char *at = strstr(all, "# HELP "); at != NULL; at = strstr(at + 1, "# HELP ")) {
        char again[128];
        n_help++;
        snprintf(again, sizeof again, "# HELP %.*s ", (int)strcspn(at + 7, " "), at + 7);
        ck_assert_msg(strstr(at + 1, again) == NULL, "%s", again);
    }
    for (const char *at = strstr(all, "# TYPE "); at != NULL; at = strstr(at + 1, "# TYPE "))
        n_type++;
    ck_assert_uint_eq(n_help, n_type);
    ck_assert_uint_gt(n_help, 25);
    metrics_free(&m);
}
END_TEST

START_TEST(requests_count_by_route_and_code)
{
    struct metrics m;
    struct engine_stats stats = {.cancelled = {2, 3, 4}};
    metrics_init(&m);
    metrics_request(&m, 0, 200);
    metrics_request(&m, 0, CODE_CLIENT_LEFT);
    metrics_request(&m, 0, CODE_CLIENT_LEFT);
    metrics_request(&m, 2, 404);
    metrics_reject(&m, REJECT_TOO_LARGE);
    m.left_before_queue = 1;
    const char *all = scrape(&m, &stats, "m");
    ck_assert(has_line(all, "smallmind_requests_total{route=\"/generate\",code=\"200\"} 1"));
    ck_assert(has_line(all, "smallmind_requests_total{route=\"/generate\",code=\"499\"} 2"));
    ck_assert(has_line(all, "smallmind_requests_total{route=\"other\",code=\"404\"} 1"));
    ck_assert(has_line(all, "smallmind_requests_rejected_total{reason=\"too_large\"} 1"));
    ck_assert(has_line(all, "smallmind_requests_cancelled_total{phase=\"queued\"} 3"));
    ck_assert(has_line(all, "smallmind_requests_cancelled_total{phase=\"decode\"} 4"));
    metrics_free(&m);
}
END_TEST

START_TEST(a_models_name_cannot_break_its_label)
{
    struct metrics m;
    struct engine_stats stats = {0};
    metrics_init(&m);
    ck_assert(has_line(
        scrape(&m, &stats, "a\"b\\c\n}"),
        "smallmind_model_info{model=\"a\\\"b\\\\c}\",architecture=\"llama\",weights=\"Q8_0\"} 1"));
    ck_assert(has_line(/* a file's name is bytes */
                       scrape(&m, &stats, "\xff\xc3\xa9\xe2\x82 \xed\xa0\x80\x7f"),
                       "smallmind_model_info{model=\"\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd "
                       "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x7f\",architecture=\"llama\","
                       "weights=\"Q8_0\"} 1"));
    const char *loading = scrape(&m, &stats, NULL);
    ck_assert_ptr_null(strstr(loading, "model_info"));
    metrics_free(&m);
}
END_TEST

START_TEST(buckets_are_cumulative_and_end_with_the_count)
{
    struct metrics m;
    struct engine_stats stats = {0};
    metrics_init(&m);
    struct job job = {.arrived_ns = 1000,
                      .started_ns = 2000000,
                      .first_token_ns = 3000000,
                      .last_token_ns = 1003000000u,
                      .n_completion = 101};
    metrics_generation(&m, &job, 1004000000u);
    job.n_completion = 1;
    metrics_generation(&m, &job, UINT64_C(9000) * 1000000000);
    const char *all = scrape(&m, &stats, "m");
    ck_assert(has_line(all, "gen_ai_server_request_duration_seconds_count 2"));
    ck_assert(has_line(all, "gen_ai_server_request_duration_seconds_bucket{le=\"0.64\"} 0"));
    ck_assert(has_line(all, "gen_ai_server_request_duration_seconds_bucket{le=\"1.28\"} 1"));
    ck_assert(has_line(all, "gen_ai_server_request_duration_seconds_bucket{le=\"2560\"} 1"));
    ck_assert(has_line(all, "gen_ai_server_request_duration_seconds_bucket{le=\"+Inf\"} 2"));
    ck_assert(has_line(all, "smallmind_request_queue_seconds_bucket{le=\"0.0025\"} 2"));
    ck_assert(has_line(all, "gen_ai_server_time_to_first_token_seconds_bucket{le=\"0.001\"} 0"));
    ck_assert(has_line(all, "gen_ai_server_time_to_first_token_seconds_bucket{le=\"0.005\"} 2"));
    /* one second over a hundred tokens; a lone token has no time between tokens */
    ck_assert(has_line(all, "gen_ai_server_time_per_output_token_seconds_count 1"));
    ck_assert(has_line(all, "gen_ai_server_time_per_output_token_seconds_bucket{le=\"0.01\"} 1"));
    metrics_free(&m);
}
END_TEST

START_TEST(a_bound_belongs_to_its_bucket)
{
    struct histogram h = {0};
    const double values[] = {1, 2};
    const struct bounds bounds = {values, 2};
    metrics_observe(&h, &bounds, 1);
    metrics_observe(&h, &bounds, 1.5);
    metrics_observe(&h, &bounds, 2);
    metrics_observe(&h, &bounds, 3);
    ck_assert_uint_eq(h.counts[0], 1);
    ck_assert_uint_eq(h.counts[1], 2);
    ck_assert_uint_eq(h.counts[2], 1);
    ck_assert_double_eq(h.sum, 7.5);
}
END_TEST

START_TEST(bounds_ascend_from_50_us_to_2560_s)
{
    const struct bounds *const all[] = {&duration_bounds, &first_token_bounds, &per_token_bounds};
    for (size_t k = 0; k < 3; k++) {
        const struct bounds *b = all[k];
        ck_assert_double_eq(b->values[0], 0.00005);
        ck_assert_double_eq(b->values[b->n - 1], 2560);
        for (size_t i = 1; i < b->n; i++)
            ck_assert(b->values[i] > b->values[i - 1]);
    }
}
END_TEST

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance;
}

START_TEST(a_rate_looks_ten_seconds_back_and_no_scrape_resets_it)
{
    struct rate rate = {0};
    uint64_t value = 0;
    for (int i = 0; i < 3000; i++) { /* 100 a second for 30 s */
        value++;
        rate_tick(&rate, i * 0.01, value);
    }
    double first = rate_read(&rate, 30.0, value), second = rate_read(&rate, 30.0, value);
    ck_assert(near(first, 100, 1));
    ck_assert_double_eq(first, second);
    ck_assert(near(rate_read(&rate, 35.0, value), 50, 6)); /* silent since 30 */
    ck_assert_double_eq(rate_read(&rate, 41.5, value), 0);
    ck_assert_double_eq(rate_read(&rate, 4100.0, value), 0);
}
END_TEST

START_TEST(a_rate_without_scrapes_or_ticks_in_silence_is_right_too)
{
    struct rate rate = {0};
    rate_tick(&rate, 3.2, 1);
    rate_tick(&rate, 3.3, 50);
    rate_tick(&rate, 4.1, 51);
    /* All of it lies between 3 and 5, and the clock stands. */
    ck_assert(near(rate_read(&rate, 9.0, 60), 60.0 / 9, 0.01));
    ck_assert(near(rate_read(&rate, 13.5, 60), 60.0 / 10.5, 0.2));
    ck_assert_double_eq(rate_read(&rate, 16.0, 60), 0);
}
END_TEST

START_TEST(a_young_rate_counts_from_the_start)
{
    struct rate rate = {0};
    rate_tick(&rate, 0.1, 5);
    ck_assert_double_eq(rate_read(&rate, 0.5, 5), 5); /* never over less than a second */
    ck_assert_double_eq(rate_read(&rate, 5, 5), 1);
}
END_TEST

START_TEST(too_little_room_is_reported)
{
    struct metrics m;
    struct engine_stats stats = {0};
    char small[100];
    metrics_init(&m);
    struct metrics_view view = {.routes = labels, .n_routes = 3, .version = "1", .stats = &stats};
    ck_assert_uint_eq(metrics_write(&m, &view, m.start_ns, small, sizeof small), 0);
    metrics_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");
    tcase_add_test(tcase, every_promised_series_exists_from_the_start);
    tcase_add_test(tcase, each_family_has_one_help_and_one_type);
    tcase_add_test(tcase, requests_count_by_route_and_code);
    tcase_add_test(tcase, a_models_name_cannot_break_its_label);
    tcase_add_test(tcase, buckets_are_cumulative_and_end_with_the_count);
    tcase_add_test(tcase, a_bound_belongs_to_its_bucket);
    tcase_add_test(tcase, bounds_ascend_from_50_us_to_2560_s);
    tcase_add_test(tcase, a_rate_looks_ten_seconds_back_and_no_scrape_resets_it);
    tcase_add_test(tcase, a_rate_without_scrapes_or_ticks_in_silence_is_right_too);
    tcase_add_test(tcase, a_young_rate_counts_from_the_start);
    tcase_add_test(tcase, too_little_room_is_reported);
    tcase_add_test(tcase, what_the_system_does_not_tell_is_left_out);
    tcase_add_test(tcase, the_use_of_kv_memory_is_what_live_sequences_hold);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
