/* test_decode_lists.c - facts about bodies of POST /generate: lists of ids, stop strings and
 * biases, bodies that are the prompt itself, and damaged ones. */
#include "api/decode_test.h"

START_TEST(ids_are_used_as_given_and_held_to_the_vocabulary)
{
    struct decoded request = accepted("{\"prompt\":[2, 1.0, 3e0]}");
    ck_assert_uint_eq(request.job->n_prompt, 3);
    ck_assert_mem_eq(request.job->prompt, ((int32_t[]){2, 1, 3}), 12);
    job_destroy(request.job);
    refused("{\"prompt\":[]}", STATUS_INVALID, "prompt", "at least one");
    refused("{\"prompt\":[1,268]}", STATUS_INVALID, "prompt", "prompt[1]|0 to 267|268");
    refused("{\"prompt\":[-1]}", STATUS_INVALID, "prompt", "prompt[0]|-1");
    refused("{\"prompt\":[1.5]}", STATUS_INVALID, "prompt", "prompt[0]|1.5");
    refused("{\"prompt\":[1e400]}", STATUS_INVALID, "prompt", "prompt[0]|inf");
    refused("{\"prompt\":[4294967296]}", STATUS_INVALID, "prompt", "prompt[0]");
    refused("{\"prompt\":[1,\"a\"]}", STATUS_INVALID, "prompt", "prompt[1]|a string");
    refused("{\"prompt\":[[1]]}", STATUS_INVALID, "prompt", "prompt[0]|an array");
}
END_TEST

START_TEST(stop_is_a_string_or_up_to_sixteen)
{
    struct decoded request = accepted("{\"prompt\":\"a\",\"stop\":\"\xe2\x82\xac\"}");
    ck_assert_uint_eq(request.job->n_stops, 1);
    ck_assert_uint_eq(request.job->stops[0].n, 3);
    job_destroy(request.job);
    request = accepted("{\"prompt\":\"a\",\"stop\":[]}");
    ck_assert_uint_eq(request.job->n_stops, 0);
    job_destroy(request.job);
    char body[256];
    int n = snprintf(body, sizeof body, "{\"prompt\":\"a\",\"stop\":[\"0\"");
    for (int i = 1; i < 16; i++)
        n += snprintf(body + n, sizeof body - (size_t)n, ",\"%d\"", i);
    snprintf(body + n, sizeof body - (size_t)n, "]}");
    request = accepted(body);
    ck_assert_uint_eq(request.job->n_stops, 16);
    ck_assert_mem_eq(request.job->stops[15].bytes, "15", 2);
    job_destroy(request.job);
    snprintf(body + n, sizeof body - (size_t)n, ",\"x\"]}");
    refused(body, STATUS_INVALID, "stop", "more than 16");
    refused("{\"prompt\":\"a\",\"stop\":\"\"}", STATUS_INVALID, "stop", "empty");
    refused("{\"prompt\":\"a\",\"stop\":[\"a\",\"\"]}", STATUS_INVALID, "stop", "empty");
}
END_TEST

START_TEST(biases_name_tokens_once_within_their_range)
{
    static const struct {
        const char *value, *words;
    } rows[] = {
        {"{\"268\":1}", "268|0\" to \"267"},
        {"{\"-1\":1}", "-1"},
        {"{\"x\":1}", "'x'"},
        {"{\"\":1}", "''"},
        {"{\"01\":1}", "01"},
        {"{\"1.0\":1}", "1.0"},
        {"{\"1\":101}", "of 1|-100 to 100"},
        {"{\"1\":-100.5}", "-100 to 100"},
        {"{\"1\":true}", "false"},
        {"{\"1\":null}", "false"},
        {"{\"1\":\"5\"}", "number"},
        {"{\"1\":1e400}", "-100 to 100"},
        {"{\"1\":1,\"2\":1,\"1\":2}", "1 appears more than once"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"logit_bias\":%s}", rows[i].value);
        refused(body, STATUS_INVALID, "logit_bias", rows[i].words);
    }
    struct decoded request = accepted("{\"prompt\":\"a\",\"logit_bias\":{}}");
    ck_assert_uint_eq(request.job->sampling.n_biases, 0);
    job_destroy(request.job);
}
END_TEST

START_TEST(biases_that_ban_everything_are_refused)
{
    static char body[8192];
    int n = snprintf(body, sizeof body, "{\"prompt\":\"a\",\"logit_bias\":{\"0\":false");
    for (int id = 1; id < MINI_VOCAB; id++)
        if (id != MINI_EOS)
            n += snprintf(body + n, sizeof body - (size_t)n, ",\"%d\":-100", id);
    snprintf(body + n, sizeof body - (size_t)n, "}}");
    job_destroy(accepted(body).job); /* the end is left */
    snprintf(body + n, sizeof body - (size_t)n, "},\"ignore_eos\":true}");
    refused(body, STATUS_INVALID, "logit_bias", "every token");
    snprintf(body + n, sizeof body - (size_t)n, "},\"min_tokens\":1}");
    refused(body, STATUS_INVALID, "logit_bias", "every token");
    snprintf(body + n, sizeof body - (size_t)n, ",\"%d\":false}}", MINI_EOS);
    refused(body, STATUS_INVALID, "logit_bias", "every token");
}
END_TEST

START_TEST(a_breakdown_of_one_request_is_refused_by_name)
{
}
END_TEST

START_TEST(a_plain_body_is_the_prompt)
{
    struct decoded request;
    struct error err;
    ck_assert_int_eq(decode_body(&request, "abc", 3, true, tokenizer, &limits, &err), STATUS_OK);
    ck_assert_uint_eq(request.job->n_prompt, 3);
    ck_assert_int_eq(request.job->prompt[2], MINI_ABC);
    ck_assert_float_eq(request.job->sampling.temperature, 0.8f);
    ck_assert_uint_eq(request.job->max_tokens, 128);
    job_destroy(request.job);
    static const char json[] = "{\"prompt\":\"abc\",\"max_tokens\":3}";
    ck_assert_int_eq(decode_body(&request, json, sizeof json - 1, true, tokenizer, &limits, &err),
                     STATUS_OK);
    ck_assert_uint_eq(request.job->max_tokens, 3);
    job_destroy(request.job);
    ck_assert_int_eq(decode_body(&request, "a\xff", 2, true, tokenizer, &limits, &err),
                     STATUS_INVALID);
    ck_assert_str_eq(err.param, "prompt");
    ck_assert_int_eq(decode_body(&request, "a\0b", 3, true, tokenizer, &limits, &err),
                     STATUS_INVALID);
    ck_assert_int_eq(decode_body(&request, "", 0, true, tokenizer, &limits, &err), STATUS_OK);
    ck_assert_uint_eq(request.job->n_prompt, 1);
    job_destroy(request.job);
    ck_assert_int_eq(decode_body(&request, NULL, 0, true, tokenizer, &limits, &err), STATUS_OK);
    job_destroy(request.job);
    ck_assert_int_eq(decode_body(&request, NULL, 0, false, tokenizer, &limits, &err),
                     STATUS_FORMAT);
}
END_TEST

START_TEST(no_prefix_of_a_body_and_no_changed_byte_does_harm)
{
    static const char body[] =
        "{\"prompt\":\"ab\\u00e9\",\"stop\":[\"a\"],\"logit_bias\":{\"7\":-1},\"seed\":\"12\","
        "\"max_tokens\":3,\"logprobs\":2,\"top_p\":0.5}";
    for (size_t n = 0; n < sizeof body - 1; n++) {
        struct decoded request;
        struct error err;
        char *copy = malloc(n + 1);
        memcpy(copy, body, n);
        ck_assert_int_ne(decode_body(&request, copy, n, false, tokenizer, &limits, &err),
                         STATUS_OK);
        free(copy);
        for (int c = 0; c < 256; c++) {
            copy = malloc(sizeof body);
            memcpy(copy, body, sizeof body - 1);
            copy[n] = (char)c;
            if (decode_body(&request, copy, sizeof body - 1, false, tokenizer, &limits, &err) ==
                STATUS_OK)
                job_destroy(request.job);
            free(copy);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/decode_lists");
    TCase *tcase = tcase_create("generate");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, ids_are_used_as_given_and_held_to_the_vocabulary);
    tcase_add_test(tcase, stop_is_a_string_or_up_to_sixteen);
    tcase_add_test(tcase, biases_name_tokens_once_within_their_range);
    tcase_add_test(tcase, biases_that_ban_everything_are_refused);
    tcase_add_test(tcase, a_breakdown_of_one_request_is_refused_by_name);
    tcase_add_test(tcase, a_plain_body_is_the_prompt);
    tcase_add_test(tcase, no_prefix_of_a_body_and_no_changed_byte_does_harm);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
