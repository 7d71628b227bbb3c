/* test_decode.c - facts about bodies of POST /generate: what each field takes, what is refused and
 * in which words, and what the job then holds. */
#include "api/decode_test.h"

START_TEST(absent_fields_have_their_defaults)
{
    struct decoded request = accepted("{\"prompt\":\"abc\"}");
    const struct job *job = request.job;
    ck_assert_uint_eq(job->n_prompt, 3);
    ck_assert_int_eq(job->prompt[0], MINI_BOS);
    ck_assert_int_eq(job->prompt[1], MINI_SPACE);
    ck_assert_int_eq(job->prompt[2], MINI_ABC);
    ck_assert_uint_eq(job->max_tokens, 128);
    ck_assert_uint_eq(job->min_tokens, 0);
    ck_assert(!job->ignore_eos && !request.stream && !request.profile && !request.has_seed);
    ck_assert_int_eq(job->n_logprobs, -1);
    ck_assert_ptr_null(job->logprobs);
    ck_assert_float_eq(job->sampling.temperature, 0.8f);
    ck_assert_uint_eq(job->sampling.top_k, 40);
    ck_assert_float_eq(job->sampling.top_p, 0.95f);
    ck_assert_float_eq(job->sampling.min_p, 0.05f);
    ck_assert_float_eq(job->sampling.typical_p, 1);
    ck_assert_float_eq(job->sampling.repetition_penalty, 1);
    ck_assert_uint_eq(job->sampling.repetition_window, 64);
    ck_assert_float_eq(job->sampling.presence_penalty, 0);
    ck_assert_float_eq(job->sampling.frequency_penalty, 0);
    ck_assert_uint_eq(job->sampling.n_biases, 0);
    ck_assert_uint_eq(job->n_stops, 0);
    ck_assert_uint_eq(request.deadline_ms, 0);
    job_destroy(request.job);
}
END_TEST

START_TEST(given_fields_reach_the_job)
{
    struct decoded request = accepted(
        "{\"prompt\":[267,5,0],\"max_tokens\":7.0,\"min_tokens\":2,\"temperature\":0,\"top_k\":0,"
        "\"top_p\":0.5,\"min_p\":0.25,\"typical_p\":0.75,\"repetition_penalty\":1.5,"
        "\"repetition_window\":512,\"presence_penalty\":-2,\"frequency_penalty\":2,"
        "\"logit_bias\":{\"7\":1.5,\"2\":false,\"5\":-100,\"0\":100},\"seed\":42,"
        "\"stop\":[\"ab\",\"\\n\"],\"ignore_eos\":true,\"logprobs\":20,\"stream\":true,"
        "\"profile\":false,\"deadline_ms\":1500}");
    const struct job *job = request.job;
    ck_assert_uint_eq(job->n_prompt, 3);
    ck_assert_mem_eq(job->prompt, ((int32_t[]){267, 5, 0}), 12);
    ck_assert_uint_eq(job->max_tokens, 7);
    ck_assert_uint_eq(job->min_tokens, 2);
    ck_assert_float_eq(job->sampling.temperature, 0);
    ck_assert_uint_eq(job->sampling.top_k, 0);
    ck_assert_float_eq(job->sampling.top_p, 0.5f);
    ck_assert_float_eq(job->sampling.min_p, 0.25f);
    ck_assert_float_eq(job->sampling.typical_p, 0.75f);
    ck_assert_float_eq(job->sampling.repetition_penalty, 1.5f);
    ck_assert_uint_eq(job->sampling.repetition_window, 512);
    ck_assert_float_eq(job->sampling.presence_penalty, -2);
    ck_assert_float_eq(job->sampling.frequency_penalty, 2);
    ck_assert(request.has_seed);
    ck_assert_uint_eq(job->sampling.seed, 42);
    ck_assert_uint_eq(job->n_stops, 2);
    ck_assert_uint_eq(job->stops[0].n, 2);
    ck_assert_mem_eq(job->stops[0].bytes, "ab", 2);
    ck_assert_uint_eq(job->stops[1].n, 1);
    ck_assert_mem_eq(job->stops[1].bytes, "\n", 1);
    ck_assert(job->ignore_eos && request.stream);
    ck_assert_int_eq(job->n_logprobs, 20);
    ck_assert_ptr_nonnull(job->logprobs);
    ck_assert_uint_eq(request.deadline_ms, 1500);
    /* biases sorted by id; -100 and false ban */
    static const int32_t ids[] = {0, 2, 5, 7};
    static const float biases[] = {100, -INFINITY, -INFINITY, 1.5f};
    ck_assert_uint_eq(job->sampling.n_biases, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(job->sampling.biases[i].id, ids[i]);
        ck_assert(job->sampling.biases[i].bias == biases[i]);
    }
    job_destroy(request.job);
}
END_TEST

/* Each row of the table: both ends of its range taken, one step beyond either refused by name. */
START_TEST(numbers_are_held_to_their_ranges)
{
    static const struct {
        const char *name, *least, *most, *below, *above;
    } rows[] = {
        {"max_tokens", "1", "509", "0", "1e16"},
        {"temperature", "0", "5", "-0.001", "5.001"},
        {"top_k", "0", "268", "-1", "269"},
        {"top_p", "0", "1", "-0.001", "1.001"},
        {"min_p", "0.0", "1.0", "-1e-9", "1.0000001"},
        {"typical_p", "0", "1", "-1", "2"},
        {"repetition_penalty", "0.1", "10", "0.0999", "10.01"},
        {"repetition_window", "0", "512", "-1", "513"},
        {"presence_penalty", "-2", "2", "-2.001", "2.001"},
        {"frequency_penalty", "-2", "2", "-2.001", "2.001"},
        {"min_tokens", "0", "128", "-1", "129"},
        {"logprobs", "0", "20", "-1", "21"},
        {"seed", "0", "9007199254740992", "-1", "9007199254740993"},
        {"seed", "\"0\"", "\"18446744073709551615\"", "\"-1\"", "\"18446744073709551616\""},
        {"deadline_ms", "1", "1000000000", "0", "1000000001"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *good[] = {rows[i].least, rows[i].most};
        const char *bad[] = {rows[i].below, rows[i].above, "1e400", "-1e400",
                             "true",        "\"x\"",       "[1]"};
        char body[256];
        for (size_t k = 0; k < 2; k++) {
            snprintf(body, sizeof body, "{\"prompt\":\"abc\",\"%s\":%s}", rows[i].name, good[k]);
            job_destroy(accepted(body).job);
        }
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            snprintf(body, sizeof body, "{\"prompt\":\"abc\",\"%s\":%s}", rows[i].name, bad[k]);
            refused(body, STATUS_INVALID, rows[i].name, rows[i].name);
        }
    }
}
END_TEST

START_TEST(integers_may_be_written_as_one_likes_but_must_be_integral)
{
    static const char *const good[] = {"5", "5.0", "50e-1", "0.5e1"};
    static const char *const bad[] = {"5.5", "4.99999999999999999999", "5.0000000000000000001",
                                      "1e-5"};
    char body[128];
    for (size_t i = 0; i < 4; i++) {
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"max_tokens\":%s}", good[i]);
        struct decoded request = accepted(body);
        ck_assert_uint_eq(request.job->max_tokens, 5);
        job_destroy(request.job);
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"max_tokens\":%s}", bad[i]);
        refused(body, STATUS_INVALID, "max_tokens", "integer|not");
    }
}
END_TEST

START_TEST(seeds_keep_all_their_bits)
{
    static const struct {
        const char *text;
        uint64_t seed;
    } rows[] = {
        {"0", 0},
        {"9007199254740991", 9007199254740991},
        {"9007199254740992", 9007199254740992},
        {"1e15", 1000000000000000},
        {"\"9007199254740993\"", 9007199254740993},
        {"\"18446744073709551615\"", UINT64_MAX},
        {"\"007\"", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"seed\":%s}", rows[i].text);
        struct decoded request = accepted(body);
        ck_assert(request.has_seed);
        ck_assert_uint_eq(request.job->sampling.seed, rows[i].seed);
        job_destroy(request.job);
    }
    refused("{\"prompt\":\"a\",\"seed\":\"\"}", STATUS_INVALID, "seed", "seed|digits");
    refused("{\"prompt\":\"a\",\"seed\":\"0x10\"}", STATUS_INVALID, "seed", "seed|digits");
    refused("{\"prompt\":\"a\",\"seed\":\" 1\"}", STATUS_INVALID, "seed", "seed|digits");
    refused("{\"prompt\":\"a\",\"seed\":0.5}", STATUS_INVALID, "seed", "2^53|0.5");
    refused("{\"prompt\":\"a\",\"seed\":null}", STATUS_INVALID, "seed", "null");
}
END_TEST

START_TEST(wrong_types_are_named)
{
    static const struct {
        const char *name, *value, *words;
    } rows[] = {
        {"stream", "1", "true or false|a number"},
        {"stream", "\"true\"", "a string"},
        {"stream", "null", "null"},
        {"ignore_eos", "0", "true or false"},
        {"parse_special", "[]", "an array"},
        {"temperature", "\"0.5\"", "a number|a string"},
        {"temperature", "null", "null"},
        {"temperature", "false", "false"},
        {"max_tokens", "null", "an integer|null"},
        {"stop", "5", "a string or an array|a number"},
        {"stop", "null", "null"},
        {"stop", "[\"a\",1]", "a number"},
        {"stop", "{}", "an object"},
        {"logit_bias", "[]", "an object|an array"},
        {"logprobs", "true", "an integer|true"},
        {"deadline_ms", "\"5\"", "an integer"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"%s\":%s}", rows[i].name, rows[i].value);
        refused(body, STATUS_INVALID, rows[i].name, rows[i].words);
    }
    refused("{\"prompt\":5}", STATUS_INVALID, "prompt", "a string or an array|a number");
    refused("{\"prompt\":null}", STATUS_INVALID, "prompt", "null");
    refused("{\"prompt\":{}}", STATUS_INVALID, "prompt", "an object");
}
END_TEST

START_TEST(logprobs_may_be_null)
{
    struct decoded request = accepted("{\"prompt\":\"a\",\"logprobs\":null}");
    ck_assert_int_eq(request.job->n_logprobs, -1);
    job_destroy(request.job);
    request = accepted("{\"prompt\":\"a\",\"logprobs\":0}");
    ck_assert_int_eq(request.job->n_logprobs, 0);
    ck_assert_ptr_nonnull(request.job->logprobs);
    job_destroy(request.job);
}
END_TEST

START_TEST(unknown_fields_are_refused_with_the_nearest_known_one)
{
    static const struct {
        const char *name, *nearest;
    } rows[] = {
        {"max_token", "max_tokens"},
        {"maxtokens", "max_tokens"},
        {"Prompt", "prompt"},
        {"temprature", "temperature"},
        {"tempreature", "temperature"},
        {"topk", "top_k"},
        {"top-p", "top_p"},
        {"repeat_penalty", "repetition_penalty"},
        {"stops", "stop"},
        {"logit_biases", "logit_bias"},
        {"SEED", "seed"},
        {"steam", "stream"},
        {"deadline", "deadline_ms"},
        {"ignore_oes", "ignore_eos"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128], words[128];
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"%s\":1}", rows[i].name);
        snprintf(words, sizeof words, "'%s'|'%s'", rows[i].name, rows[i].nearest);
        refused(body, STATUS_INVALID, rows[i].name, words);
    }
    refused("{\"\":1}", STATUS_INVALID, "", "unknown field ''");
}
END_TEST

START_TEST(a_very_long_unknown_name_is_quoted_in_part)
{
    char body[2048];
    int n = snprintf(body, sizeof body, "{\"");
    for (int i = 0; i < 500; i++)
        n += snprintf(body + n, sizeof body - (size_t)n, "\xc3\xa9");
    snprintf(body + n, sizeof body - (size_t)n, "\":1}");
    struct decoded request;
    struct error err;
    ck_assert_int_eq(decode(body, &request, &err), STATUS_INVALID);
    ck_assert_uint_lt(strlen(err.param), sizeof err.param);
    ck_assert_ptr_nonnull(strstr(err.text, "unknown field"));
}
END_TEST

START_TEST(repeated_fields_are_refused)
{
    refused("{\"prompt\":\"a\",\"seed\":1,\"seed\":1}", STATUS_INVALID, "seed", "more than once");
    refused("{\"prompt\":\"a\",\"prompt\":\"b\"}", STATUS_INVALID, "prompt", "more than once");
    refused("{\"prompt\":\"a\",\"logprobs\":null,\"logprobs\":null}", STATUS_INVALID, "logprobs",
            "more than once");
    /* the same name, written with an escape */
    refused("{\"prompt\":\"a\",\"see\\u0064\":1,\"seed\":1}", STATUS_INVALID, "seed",
            "more than once");
}
END_TEST

START_TEST(the_nul_character_is_refused_wherever_it_stands)
{
    refused("{\"prompt\":\"a\\u0000b\"}", STATUS_INVALID, "prompt", "\\u0000");
    refused("{\"prompt\":\"a\",\"stop\":[\"x\",\"\\u0000\"]}", STATUS_INVALID, "stop", "\\u0000");
    refused("{\"prompt\":\"a\",\"seed\\u0000\":1}", STATUS_INVALID, "", "\\u0000");
    refused("{\"prompt\":\"a\",\"logit_bias\":{\"1\\u0000\":1}}", STATUS_INVALID, "logit_bias",
            "\\u0000");
    job_destroy(accepted("{\"prompt\":\"a\\\\u0000b\"}").job);
}
END_TEST

START_TEST(what_is_no_object_is_refused)
{
    refused("", STATUS_FORMAT, "", "byte 0");
    refused("hello", STATUS_FORMAT, "", "byte 0");
    refused("{\"prompt\":\"a\"", STATUS_FORMAT, "", "byte 13");
    refused("[]", STATUS_INVALID, "", "a JSON object|an array");
    refused("\"prompt\"", STATUS_INVALID, "", "a string");
    refused("null", STATUS_INVALID, "", "null");
    refused("{}", STATUS_INVALID, "prompt", "missing");
    refused("{\"max_tokens\":5}", STATUS_INVALID, "prompt", "missing");
}
END_TEST

START_TEST(depth_and_number_of_values_are_bounded)
{
    char body[40000];
    int n = snprintf(body, sizeof body, "{\"prompt\":");
    memset(body + n, '[', 5000);
    memset(body + n + 5000, ']', 5000);
    snprintf(body + n + 10000, 2, "}");
    refused(body, STATUS_FORMAT, "", "64 deep");
    n = snprintf(body, sizeof body, "{\"prompt\":[0");
    for (int i = 0; i < 10000; i++)
        n += snprintf(body + n, sizeof body - (size_t)n, ",0");
    snprintf(body + n, sizeof body - (size_t)n, "]}");
    refused(body, STATUS_TOO_LARGE, "", "10000 values");
}
END_TEST

START_TEST(special_tokens_in_a_prompt_stay_text_unless_asked)
{
    struct decoded request = accepted("{\"prompt\":\"</s>\"}");
    for (size_t i = 1; i < request.job->n_prompt; i++)
        ck_assert_int_ne(request.job->prompt[i], MINI_EOS);
    job_destroy(request.job);
    request = accepted("{\"prompt\":\"</s>\",\"parse_special\":true}");
    ck_assert_int_eq(request.job->prompt[request.job->n_prompt - 1], MINI_EOS);
    job_destroy(request.job);
}
END_TEST

START_TEST(an_empty_prompt_needs_a_token_of_the_model)
{
    struct decoded request = accepted("{\"prompt\":\"\"}");
    ck_assert_uint_eq(request.job->n_prompt, 1);
    ck_assert_int_eq(request.job->prompt[0], MINI_BOS);
    job_destroy(request.job);
    tokenizer_destroy(tokenizer);
    tokenizer = mini_tokenizer(false);
    refused("{\"prompt\":\"\"}", STATUS_INVALID, "prompt", "empty");
}
END_TEST

START_TEST(prompt_and_answer_must_fit_the_context)
{
    char body[4096];
    int n = snprintf(body, sizeof body, "{\"prompt\":[1");
    for (int i = 1; i < 500; i++)
        n += snprintf(body + n, sizeof body - (size_t)n, ",5");
    snprintf(body + n, sizeof body - (size_t)n, "]}");
    struct decoded request = accepted(body); /* absent: what the context leaves */
    ck_assert_uint_eq(request.job->max_tokens, 12);
    job_destroy(request.job);
    snprintf(body + n, sizeof body - (size_t)n, "],\"max_tokens\":12}");
    job_destroy(accepted(body).job);
    snprintf(body + n, sizeof body - (size_t)n, "],\"max_tokens\":13}");
    refused(body, STATUS_CONTEXT, "max_tokens", "500|13|512|at most 12");
    for (int i = 0; i < 12; i++)
        n += snprintf(body + n, sizeof body - (size_t)n, ",5");
    snprintf(body + n, sizeof body - (size_t)n, "]}");
    refused(body, STATUS_CONTEXT, "prompt", "512 tokens|at least one");
}
END_TEST

START_TEST(the_server_may_allow_less_than_the_context)
{
    struct api_limits less = limits;
    less.max_prompt_tokens = 4;
    less.max_output_tokens = 10;
    struct decoded request;
    struct error err;
    static const char *const bodies[] = {"{\"prompt\":[5,5,5,5]}", "{\"prompt\":[5,5,5,5,5]}",
                                         "{\"prompt\":[5],\"max_tokens\":11}"};
    ck_assert_int_eq(
        decode_body(&request, bodies[0], strlen(bodies[0]), false, tokenizer, &less, &err),
        STATUS_OK);
    ck_assert_uint_eq(request.job->max_tokens, 10);
    job_destroy(request.job);
    ck_assert_int_eq(
        decode_body(&request, bodies[1], strlen(bodies[1]), false, tokenizer, &less, &err),
        STATUS_CONTEXT);
    ck_assert_str_eq(err.param, "prompt");
    ck_assert_int_eq(
        decode_body(&request, bodies[2], strlen(bodies[2]), false, tokenizer, &less, &err),
        STATUS_INVALID);
    ck_assert_str_eq(err.param, "max_tokens");
}
END_TEST

START_TEST(min_tokens_is_at_most_max_tokens)
{
    job_destroy(accepted("{\"prompt\":\"a\",\"max_tokens\":5,\"min_tokens\":5}").job);
    refused("{\"prompt\":\"a\",\"max_tokens\":5,\"min_tokens\":6}", STATUS_INVALID, "min_tokens",
            "which is 5|6");
    refused("{\"prompt\":\"a\",\"min_tokens\":129}", STATUS_INVALID, "min_tokens",
            "128 when absent");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/decode");
    TCase *tcase = tcase_create("generate");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, absent_fields_have_their_defaults);
    tcase_add_test(tcase, given_fields_reach_the_job);
    tcase_add_test(tcase, numbers_are_held_to_their_ranges);
    tcase_add_test(tcase, integers_may_be_written_as_one_likes_but_must_be_integral);
    tcase_add_test(tcase, seeds_keep_all_their_bits);
    tcase_add_test(tcase, wrong_types_are_named);
    tcase_add_test(tcase, logprobs_may_be_null);
    tcase_add_test(tcase, unknown_fields_are_refused_with_the_nearest_known_one);
    tcase_add_test(tcase, a_very_long_unknown_name_is_quoted_in_part);
    tcase_add_test(tcase, repeated_fields_are_refused);
    tcase_add_test(tcase, the_nul_character_is_refused_wherever_it_stands);
    tcase_add_test(tcase, what_is_no_object_is_refused);
    tcase_add_test(tcase, depth_and_number_of_values_are_bounded);
    tcase_add_test(tcase, special_tokens_in_a_prompt_stay_text_unless_asked);
    tcase_add_test(tcase, an_empty_prompt_needs_a_token_of_the_model);
    tcase_add_test(tcase, prompt_and_answer_must_fit_the_context);
    tcase_add_test(tcase, the_server_may_allow_less_than_the_context);
    tcase_add_test(tcase, min_tokens_is_at_most_max_tokens);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
