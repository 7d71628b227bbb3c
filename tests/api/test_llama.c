/* test_llama.c - facts about the dialect of llama.cpp's server: prompts, biases and samplers in all
 * their forms, one token an event whatever the room, the members that a request chooses. */
#include "api/json/json.h"
#include "api/llama/llama.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

static struct tokenizer *tokenizer;
static const struct api_limits limits = {
    .n_context = 512, .max_json_depth = 64, .max_json_nodes = 10000, .max_choices = 64};

static void setup(void)
{
    tokenizer = mini_tokenizer(true);
}

static void teardown(void)
{
    tokenizer_destroy(tokenizer);
}

static enum status decode(const char *body, struct generation *g, struct error *err)
{
    const struct generation_source source = {
        .body = body, .n_body = strlen(body), .tokenizer = tokenizer, .limits = &limits};
    *g = (struct generation){.dialect = &llama_completion, .tokenizer = tokenizer, .model = "m"};
    memset(err, 0, sizeof *err);
    return llama_completion.decode(g, &source, err);
}

static struct generation accepted(const char *body)
{
    struct generation g;
    struct error err;
    ck_assert_msg(decode(body, &g, &err) == STATUS_OK, "%s: %s", body, err.text);
    return g;
}

static void check_ids(const struct job *job, const int32_t *ids, size_t n)
{
    ck_assert_uint_eq(job->n_prompt, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(job->prompt[i], ids[i]);
}

START_TEST(prompts_come_as_text_as_ids_and_mixed)
{
    static const int32_t text[] = {MINI_BOS, MINI_SPACE, MINI_ABC};
    static const int32_t given[] = {MINI_ABC, MINI_A};
    static const int32_t mixed[] = {MINI_A, MINI_SPACE, MINI_ABC, MINI_B};
    static const int32_t begun[] = {MINI_BOS, MINI_SPACE, MINI_A, MINI_ABC};
    char body[256];
    struct generation g = accepted("{\"prompt\":\"abc\"}");
    ck_assert_uint_eq(g.n_choices, 1);
    check_ids(g.choices[0].job, text, 3);
    ck_assert_uint_eq(g.choices[0].n_echo, 7);
    ck_assert_mem_eq(g.choices[0].echo, "<s> abc", 7);
    generation_free(&g, true);

    snprintf(body, sizeof body,
             "{\"prompt\":[[%d,%d],{\"prompt_string\":\"abc\"},[%d,\"abc\",%d],[\"a\",%d]]}",
             MINI_ABC, MINI_A, MINI_A, MINI_B, MINI_ABC);
    g = accepted(body);
    ck_assert_uint_eq(g.n_choices, 4);
    ck_assert_uint_eq(g.n_prompts, 4);
    check_ids(g.choices[0].job, given, 2);
    check_ids(g.choices[1].job, text, 3);
    check_ids(g.choices[2].job, mixed, 4);
    check_ids(g.choices[3].job, begun, 4);
    generation_free(&g, true);

    g = accepted("{\"prompt\":[\"abc\",\"abc\"],\"n_cmpl\":2}");
    ck_assert_uint_eq(g.n_choices, 4);
    ck_assert_uint_eq(g.n_prompts, 2);
    generation_free(&g, true);
}
END_TEST

START_TEST(special_tokens_in_a_prompt_are_text)
{
    struct generation g = accepted("{\"prompt\":\"</s>\"}");
    for (size_t i = 1; i < g.choices[0].job->n_prompt; i++)
        ck_assert(!tokenizer_is_control(tokenizer, g.choices[0].job->prompt[i]));
    generation_free(&g, true);
}
END_TEST

START_TEST(biases_come_in_three_forms)
{
    char bodies[3][128];
    snprintf(bodies[0], sizeof bodies[0],
             "{\"prompt\":\"a\",\"logit_bias\":[[%d,1.5],[%d,false],[%d,0.5]]}", MINI_A, MINI_B,
             MINI_A);
    snprintf(bodies[1], sizeof bodies[1],
             "{\"prompt\":\"a\",\"logit_bias\":[[\"a\",1.5],[\"b\",false],[\"a\",0.5]]}");
    snprintf(bodies[2], sizeof bodies[2],
             "{\"prompt\":\"a\",\"logit_bias\":{\"%d\":2,\"b\":false}}", MINI_A);
    for (size_t i = 0; i < 3; i++) {
        const char *body = bodies[i];
        struct generation g = accepted(body);
        const struct sampling *s = &g.choices[0].job->sampling;
        size_t n_found = 0;
        for (size_t k = 0; k < s->n_biases; k++) {
            ck_assert(k == 0 || s->biases[k].id > s->biases[k - 1].id);
            if (s->biases[k].id == MINI_A)
                n_found += s->biases[k].bias == 2.0f;
            if (s->biases[k].id == MINI_B)
                n_found += isinf(s->biases[k].bias) && s->biases[k].bias < 0;
        }
        ck_assert_msg(n_found == 2, "%s", body);
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(samplers_that_are_not_named_are_off)
{
    static const char *const forms[] = {"[\"top_k\",\"temperature\"]", "\"kt\"",
                                        "[\"top-k\",\"xtc\",\"temp\"]"};
    char body[256];
    for (size_t i = 0; i < 3; i++) {
        snprintf(body, sizeof body,
                 "{\"prompt\":\"a\",\"top_k\":7,\"temperature\":0.5,\"top_p\":0.3,\"min_p\":0.2,"
                 "\"repeat_penalty\":1.5,\"samplers\":%s}",
                 forms[i]);
        struct generation g = accepted(body);
        const struct sampling *s = &g.choices[0].job->sampling;
        ck_assert_uint_eq(s->top_k, 7);
        ck_assert(s->temperature == 0.5f && s->top_p == 1 && s->min_p == 0);
        ck_assert(s->repetition_penalty == 1);
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(numbers_that_stand_for_others)
{
    struct generation g = accepted(
        "{\"prompt\":\"abc\",\"n_predict\":-1,\"seed\":-1,\"top_k\":-1,\"repeat_last_n\":-1,"
        "\"top_n_sigma\":-1,\"adaptive_target\":-1.0,\"t_max_predict_ms\":-1,\"grammar\":\"\","
        "\"mirostat\":0,\"lora\":[],\"n_keep\":5,\"id_slot\":-1,\"unheard_of\":1}");
    const struct job *job = g.choices[0].job;
    ck_assert_uint_eq(job->max_tokens, limits.n_context - 3);
    ck_assert(!g.has_seed && g.deadline_ms == 0);
    ck_assert_uint_eq(job->sampling.top_k, MINI_VOCAB);
    ck_assert_uint_eq(job->sampling.repetition_window, limits.n_context);
    ck_assert_uint_eq(job->sampling.penalties_from, 0);
    ck_assert_int_eq(job->n_logprobs, -1);
    ck_assert_str_eq(g.ignored, "unheard_of");
    generation_free(&g, true);
    g = accepted("{\"prompt\":\"abc\",\"n_predict\":0,\"n_probs\":3,\"cache_prompt\":false}");
    ck_assert_uint_eq(g.choices[0].job->max_tokens, 0);
    ck_assert_int_eq(g.choices[0].job->n_logprobs, 3);
    ck_assert(g.choices[0].job->no_cache);
    generation_free(&g, true);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *body, *param;
        enum status status;
    } rows[] = {
        {"{}", "prompt", STATUS_INVALID},
        {"{\"prompt\":[]}", "prompt", STATUS_INVALID},
        {"{\"prompt\":[\"a\",[]]}", "prompt", STATUS_INVALID},
        {"{\"prompt\":[1,99999]}", "prompt", STATUS_INVALID},
        {"{\"prompt\":[1,null]}", "prompt", STATUS_INVALID},
        {"{\"prompt\":7}", "prompt", STATUS_INVALID},
        {"{\"prompt\":{\"prompt_string\":\"a\",\"multimodal_data\":[\"x\"]}}", "prompt",
         STATUS_UNSUPPORTED},
        {"{\"prompt\":{}}", "prompt", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"n_predict\":1000}", "n_predict", STATUS_CONTEXT},
        {"{\"prompt\":\"a\",\"grammar\":5}", "grammar", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"top_n_sigma\":1}", "top_n_sigma", STATUS_UNSUPPORTED},
        {"{\"prompt\":\"a\",\"samplers\":[\"temperature\",\"top_k\"]}", "samplers",
         STATUS_UNSUPPORTED},
        {"{\"prompt\":\"a\",\"samplers\":[\"magic\"]}", "samplers", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"logit_bias\":[[99999,1]]}", "logit_bias", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"logit_bias\":[[1,true]]}", "logit_bias", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"logit_bias\":[[1]]}", "logit_bias", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"logit_bias\":7}", "logit_bias", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"response_fields\":[\"x\",\"x\"]}", "response_fields", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"response_fields\":[1]}", "response_fields", STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct generation g;
        struct error err;
        enum status status = decode(rows[i].body, &g, &err);
        ck_assert_msg(status == rows[i].status, "%s: %d %s", rows[i].body, status, err.text);
        ck_assert_msg(strcmp(err.param, rows[i].param) == 0, "%s: %s", rows[i].body, err.param);
        ck_assert_ptr_null(g.choices);
        ck_assert_ptr_null(g.wishes);
    }
}
END_TEST

static const cJSON *get(const cJSON *tree, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, name);
    ck_assert_msg(item != NULL, "no %s", name);
    return item;
}

/* A decoded body whose job's answer is every piece of the vocabulary in turn. */
static struct generation answered(const char *body, int n_logprobs)
{
    struct generation g = accepted(body);
    struct job *job = mini_job(tokenizer, MINI_VOCAB, n_logprobs, NULL);
    for (int32_t id = MINI_BYTE + 1; id < MINI_VOCAB; id++) /* without NUL */
        mini_step(job, tokenizer, id);
    mini_finish(job, false, FINISH_LENGTH);
    job_destroy(g.choices[0].job);
    g.choices[0].job = job;
    return g;
}

START_TEST(an_event_carries_one_token_in_the_least_room)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        struct generation g = answered(
            "{\"prompt\":\"\\u20ac\\\"\",\"stream\":true,\"timings_per_token\":true}", n_logprobs);
        const struct job *job = g.choices[0].job;
        size_t room = llama_completion.event_min(&g), n_text = 0, n_tokens = 0, n_ends = 0;
        char *out = malloc(room + 1);
        while (!g.complete) {
            size_t n = llama_completion.event(&g, out, room);
            ck_assert_uint_gt(n, 0);
            out[n] = '\0';
            for (char *event = out, *end; *event != '\0'; event = end + 2) {
                end = strstr(event, "\n\n");
                ck_assert_ptr_nonnull(end);
                ck_assert_mem_eq(event, "data: ", 6);
                cJSON *tree = cJSON_ParseWithLength(event + 6, (size_t)(end - event) - 6);
                ck_assert_ptr_nonnull(tree);
                const char *text = get(tree, "content")->valuestring;
                ck_assert_mem_eq(job->text + n_text, text, strlen(text));
                n_text += strlen(text);
                get(get(tree, "timings"), "prompt_ms");
                if (cJSON_IsTrue(get(tree, "stop"))) {
                    n_ends++;
                    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "tokens")), 0);
                    ck_assert_str_eq(get(tree, "stop_type")->valuestring, "limit");
                } else {
                    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "tokens")), 1);
                    ck_assert_int_eq(get(tree, "tokens")->child->valueint,
                                     job->tokens[n_tokens++].id);
                    ck_assert_int_eq(get(tree, "tokens_predicted")->valueint, (int)n_tokens);
                    if (n_logprobs >= 0)
                        ck_assert_int_eq(cJSON_GetArraySize(get(tree, "completion_probabilities")),
                                         1);
                }
                cJSON_Delete(tree);
            }
        }
        ck_assert_uint_eq(n_ends, 1);
        ck_assert_uint_eq(n_text, job->n_text);
        ck_assert_uint_eq(n_tokens, job->n_tokens);
        ck_assert_uint_eq(llama_completion.event(&g, out, room), 0);
        free(out);
        generation_free(&g, true);
    }
}
END_TEST

static cJSON *whole(const struct generation *g)
{
    size_t room = llama_completion.whole_bound(g);
    char *out = malloc(room);
    size_t n = llama_completion.whole(g, out, room);
    ck_assert_uint_gt(n, 0);
    cJSON *tree = cJSON_ParseWithLength(out, n);
    ck_assert_ptr_nonnull(tree);
    free(out);
    return tree;
}

START_TEST(the_whole_answer_fits_its_bound)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        struct generation g = answered("{\"prompt\":\"abc\",\"return_tokens\":true}", n_logprobs);
        cJSON *tree = whole(&g);
        int n = (int)g.choices[0].job->n_tokens;
        ck_assert_int_eq(cJSON_GetArraySize(get(tree, "tokens")), n);
        ck_assert_str_eq(get(tree, "prompt")->valuestring, "<s> abc");
        ck_assert(cJSON_IsTrue(get(tree, "has_new_line")));
        if (n_logprobs >= 0)
            ck_assert_int_eq(cJSON_GetArraySize(get(tree, "completion_probabilities")), n);
        cJSON_Delete(tree);
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(a_request_chooses_members)
{
    struct generation g = answered(
        "{\"prompt\":\"abc\",\"n_predict\":9,\"response_fields\":[\"timings/prompt_n\",\"stop\","
        "\"generation_settings/n_predict\",\"none\",\"stop/x\",\"timings\"]}",
        -1);
    cJSON *tree = whole(&g);
    ck_assert_int_eq(cJSON_GetArraySize(tree), 4);
    ck_assert_int_eq(get(tree, "timings/prompt_n")->valueint, 3);
    ck_assert_int_eq(get(tree, "generation_settings/n_predict")->valueint, 9);
    ck_assert(cJSON_IsTrue(get(tree, "stop")));
    ck_assert(cJSON_IsObject(get(tree, "timings")));
    cJSON_Delete(tree);
    generation_free(&g, true);
}
END_TEST

START_TEST(an_error_has_a_number_for_its_code)
{
    char out[1024];
    struct api_error what = errors_of_status(STATUS_UNABLE);
    llama_completion.error(&what, "no \"m\" here", "", out, sizeof out);
    ck_assert_str_eq(out, "{\"error\":{\"code\":501,\"message\":\"no \\\"m\\\" here\","
                          "\"type\":\"not_supported_error\"}}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/llama");
    TCase *tcase = tcase_create("llama");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, prompts_come_as_text_as_ids_and_mixed);
    tcase_add_test(tcase, special_tokens_in_a_prompt_are_text);
    tcase_add_test(tcase, biases_come_in_three_forms);
    tcase_add_test(tcase, samplers_that_are_not_named_are_off);
    tcase_add_test(tcase, numbers_that_stand_for_others);
    tcase_add_test(tcase, what_is_wrong_is_named);
    tcase_add_test(tcase, an_event_carries_one_token_in_the_least_room);
    tcase_add_test(tcase, the_whole_answer_fits_its_bound);
    tcase_add_test(tcase, a_request_chooses_members);
    tcase_add_test(tcase, an_error_has_a_number_for_its_code);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
