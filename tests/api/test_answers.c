/* test_answers.c - facts about answers: errors and the JSON form. */
#include "api/answers.h"

START_TEST(each_status_is_one_kind_of_http)
{
    static const struct {
        enum status status;
        unsigned http;
        const char *code, *type;
    } rows[] = {
        {STATUS_FORMAT, 400, "invalid_json", "invalid_request_error"},
        {STATUS_INVALID, 400, "invalid_value", "invalid_request_error"},
        {STATUS_UNSUPPORTED, 400, "unsupported_value", "invalid_request_error"},
        {STATUS_CONTEXT, 400, "context_length_exceeded", "invalid_request_error"},
        {STATUS_TOO_LARGE, 413, "body_too_large", "invalid_request_error"},
        {STATUS_FULL, 429, "queue_full", "overloaded_error"},
        {STATUS_TOO_LATE, 429, "deadline_unmeetable", "overloaded_error"},
        {STATUS_NO_MEMORY, 503, "out_of_memory", "overloaded_error"},
        {STATUS_STOPPING, 503, "draining", "overloaded_error"},
        {STATUS_CANCELLED, 503, "draining", "overloaded_error"},
        {STATUS_INTERNAL, 500, "internal_error", "server_error"},
        {STATUS_IO, 500, "internal_error", "server_error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_error found = errors_of_status(rows[i].status);
        ck_assert_uint_eq(found.http, rows[i].http);
        ck_assert_str_eq(found.code, rows[i].code);
        ck_assert_str_eq(found.type, rows[i].type);
    }
}
END_TEST

START_TEST(each_refusal_has_a_code_and_a_type)
{
    for (int i = 0; i < REFUSAL_COUNT; i++) {
        struct api_error what = errors_of_refusal((enum refusal)i);
        ck_assert_uint_ge(what.http, 400);
        ck_assert_uint_le(what.http, 505);
        ck_assert_ptr_nonnull(what.code);
        ck_assert_ptr_nonnull(what.type);
    }
    ck_assert_uint_eq(errors_of_refusal(REFUSAL_COUNT).http, 500);
}
END_TEST

START_TEST(an_error_is_one_object)
{
    char out[1024];
    struct api_error what = {.http = 400, .code = "invalid_value", .type = "invalid_request_error"};
    size_t n = native_dialect.error(&what, "top_p is \"2\"\n", "top_p", out, sizeof out);
    ck_assert_str_eq(out,
                     "{\"error\":{\"code\":\"invalid_value\",\"type\":\"invalid_request_error\","
                     "\"message\":\"top_p is \\\"2\\\"\\n\",\"param\":\"top_p\"}}\n");
    ck_assert_uint_eq(n, strlen(out));
    native_dialect.error(&what, "x", "", out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "\"param\":null"));
    native_dialect.error(&what, "x", NULL, out, sizeof out);
    ck_assert_ptr_nonnull(strstr(out, "\"param\":null"));
}
END_TEST

START_TEST(an_error_that_does_not_fit_is_cut_and_still_json)
{
    char message[4000], out[2048];
    struct api_error what = errors_of_refusal(REFUSAL_HEADERS);
    for (size_t i = 0; i + 3 < sizeof message; i += 3)
        memcpy(message + i, "\xe2\x82\xac", 3);
    message[3996] = '\0';
    char param[64];
    memset(param, '\1', sizeof param - 1);
    param[63] = '\0';
    for (size_t room = 1024; room <= sizeof out; room += 7) {
        memset(out, '#', sizeof out);
        size_t n = native_dialect.error(&what, message, param, out, room);
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_lt(n, room);
        ck_assert_int_eq(out[n], '\0');
        ck_assert_ptr_null(strstr(out, "\xef\xbf\xbd")); /* cut between characters */
        cJSON_Delete(parse(out, n));
    }
    ck_assert_uint_eq(native_dialect.error(&what, message, param, out, 20), 0);
    ck_assert_str_eq(out, "");
    ck_assert_uint_eq(native_dialect.error(&what, message, param, out, 0), 0);
}
END_TEST

START_TEST(a_whole_answer_says_everything)
{
    struct job *job = mini_job(tokenizer, 8, -1, NULL);
    mini_step(job, tokenizer, MINI_SPACE);
    mini_step(job, tokenizer, MINI_ABC);
    mini_finish(job, false, FINISH_STOP);
    job->n_completion = 3; /* with the end of sequence */
    job->n_cached = 2;
    job->sampling.seed = 42;
    job->arrived_ns = 1000000000;
    job->started_ns = job->arrived_ns + 1234567;
    job->read_ns = job->first_token_ns = job->started_ns + 10000000;
    job->last_token_ns = job->first_token_ns + 4000000;
    char out[2048];
    size_t n = whole(job, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_str_eq(
        out,
        "{\"id\":\"req-1\",\"model\":\"tiny \\\"one\\\"\",\"created\":1700000000,\"text\":\" abc\","
        "\"tokens\":[259,264],\"finish_reason\":\"stop\",\"seed\":42,"
        "\"usage\":{\"prompt_tokens\":3,\"cached_tokens\":2,\"completion_tokens\":3,"
        "\"total_tokens\":6},\"timings\":{\"queue_ms\":1.235,\"prefill_ms\":10.000,"
        "\"decode_ms\":4.000,\"first_token_ms\":11.235,\"tokens_per_second\":500.000}}\n");
    ck_assert_uint_le(n, whole_bound(job));
    job_destroy(job);
}
END_TEST

START_TEST(a_seed_beyond_doubles_is_a_string)
{
    static const struct {
        uint64_t seed;
        const char *text;
    } rows[] = {{0, "\"seed\":0,"},
                {UINT64_C(1) << 53, "\"seed\":9007199254740992,"},
                {(UINT64_C(1) << 53) + 1, "\"seed\":\"9007199254740993\","},
                {UINT64_MAX, "\"seed\":\"18446744073709551615\","}};
    for (size_t i = 0; i < 4; i++) {
        struct job *job = hard_job(-1, NULL, 3);
        job->sampling.seed = rows[i].seed;
        char out[2048];
        size_t n = whole(job, out, sizeof out - 1);
        cJSON_Delete(parse(out, n));
        out[n] = '\0';
        ck_assert_ptr_nonnull(strstr(out, rows[i].text));
        job_destroy(job);
    }
}
END_TEST

START_TEST(times_are_zero_where_nothing_happened)
{
    struct job *job = mini_job(tokenizer, 4, -1, NULL);
    struct generation_times times;
    job->arrived_ns = 5000000;
    job->deadline_ns = 8000000; /* passed while it waited */
    mini_finish(job, false, FINISH_DEADLINE);
    generation_times(job, &times);
    ck_assert_double_eq(times.queue, 3);
    ck_assert_double_eq(times.prefill, 0);
    ck_assert_double_eq(times.first_token, 0);
    ck_assert_double_eq(times.tokens_per_second, 0);
    job->started_ns = 6000000; /* passed during prefill */
    generation_times(job, &times);
    ck_assert_double_eq(times.queue, 1);
    ck_assert_double_eq(times.prefill, 0);
    job->read_ns = job->first_token_ns = job->last_token_ns = 7000000; /* one token has no rate */
    job->n_completion = 1;
    generation_times(job, &times);
    ck_assert_double_eq(times.prefill, 1);
    ck_assert_double_eq(times.decode, 0);
    ck_assert_double_eq(times.first_token, 2);
    ck_assert_double_eq(times.tokens_per_second, 0);
    job_destroy(job);
}
END_TEST

START_TEST(the_bound_of_an_answer_holds)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        for (int32_t id = 0; id < MINI_VOCAB; id += id < MINI_PIECE ? 7 : 1) {
            struct job *job = mini_job(tokenizer, 50, n_logprobs, NULL);
            for (int i = 0; i < 50; i++)
                mini_step(job, tokenizer, id);
            mini_finish(job, false, FINISH_LENGTH);
            job->sampling.seed = UINT64_MAX;
            size_t bound = whole_bound(job);
            char *out = malloc(bound);
            size_t n = whole(job, out, bound);
            ck_assert_uint_gt(n, 0);
            if (id % 5 == 0)
                cJSON_Delete(parse(out, n));
            free(out);
            job_destroy(job);
        }
    }
}
END_TEST

START_TEST(logprobs_come_one_for_each_token)
{
    static char out[200000];
    for (int n_logprobs = 0; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 5) {
        struct job *job = hard_job(n_logprobs, NULL, N_HARD);
        cJSON *tree = parse(out, whole(job, out, sizeof out));
        check_logprobs(get(tree, "logprobs"), job, 0, N_HARD);
        cJSON_Delete(tree);
        job_destroy(job);
    }
    struct job *job = hard_job(-1, NULL, N_HARD);
    size_t n = whole(job, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert_ptr_null(strstr(out, "logprobs"));
    job_destroy(job);
}
END_TEST

START_TEST(a_logprob_that_is_no_number_is_null)
{
    struct job *job = hard_job(0, NULL, 2);
    job->logprobs[1].logprob = -INFINITY;
    char out[4096];
    size_t n = whole(job, out, sizeof out);
    cJSON_Delete(parse(out, n));
    out[n] = '\0';
    ck_assert_ptr_nonnull(strstr(out, "\"logprob\":null"));
    job_destroy(job);
}
END_TEST

START_TEST(reasons_have_names)
{
    static const char *const names[] = {"none", "stop", "length", "deadline", "cancelled", "error"};
    for (int i = FINISH_NONE; i <= FINISH_ERROR; i++)
        ck_assert_str_eq(generation_finish_name((enum finish_reason)i), names[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/answers");
    TCase *errors = tcase_create("errors"), *answers = tcase_create("answers");
    tcase_add_test(errors, each_status_is_one_kind_of_http);
    tcase_add_test(errors, each_refusal_has_a_code_and_a_type);
    tcase_add_test(errors, an_error_is_one_object);
    tcase_add_test(errors, an_error_that_does_not_fit_is_cut_and_still_json);
    tcase_add_checked_fixture(answers, setup, teardown);
    tcase_add_test(answers, a_whole_answer_says_everything);
    tcase_add_test(answers, a_seed_beyond_doubles_is_a_string);
    tcase_add_test(answers, times_are_zero_where_nothing_happened);
    tcase_add_test(answers, the_bound_of_an_answer_holds);
    tcase_add_test(answers, logprobs_come_one_for_each_token);
    tcase_add_test(answers, a_logprob_that_is_no_number_is_null);
    tcase_add_test(answers, reasons_have_names);
    tcase_set_timeout(answers, 120);
    suite_add_tcase(suite, errors);
    suite_add_tcase(suite, answers);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
