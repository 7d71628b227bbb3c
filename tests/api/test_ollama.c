/* test_ollama.c - facts about Ollama's dialect: what bodies ask for, messages in OpenAI's shape,
 * lines that fit whatever the room. */
#include "api/json/json.h"
#include "api/ollama/messages.h"
#include "api/ollama/ollama.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
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
    *g = (struct generation){.dialect = &ollama_generate};
    memset(err, 0, sizeof *err);
    return ollama_generate.decode(g, &source, err);
}

static struct job *accepted(const char *body)
{
    struct generation g;
    struct error err;
    ck_assert_msg(decode(body, &g, &err) == STATUS_OK, "%s: %s", body, err.text);
    ck_assert_uint_eq(g.n_choices, 1);
    struct job *job = g.choices[0].job;
    generation_free(&g, false);
    return job;
}

START_TEST(options_are_read_inside_their_object)
{
    struct job *job = accepted("{\"options\":{\"top_k\":3,\"num_predict\":7,\"stop\":[\"x\"]},"
                               "\"model\":\"m\",\"prompt\":\"abc\",\"top_k\":99}");
    ck_assert_uint_eq(job->sampling.top_k, 3); /* outside it is not known, and let be */
    ck_assert_uint_eq(job->max_tokens, 7);
    ck_assert_uint_eq(job->n_stops, 1);
    job_destroy(job);
    job = accepted("{\"prompt\":\"abc\",\"options\":{\"prompt\":\"no\",\"model\":[1]}}");
    ck_assert_uint_eq(job->n_prompt, 3); /* BOS, a space, abc */
    ck_assert_uint_eq(job->max_tokens, limits.n_context - 3);
    ck_assert_uint_eq(job->sampling.top_k, 40);
    ck_assert_uint_eq(job->sampling.penalties_from, 0);
    job_destroy(job);
}
END_TEST

START_TEST(numbers_that_stand_for_others)
{
    static const struct {
        const char *options;
        size_t max_tokens;
        uint32_t top_k, window;
    } rows[] = {
        {"\"num_predict\":-1", 509, 40, 64},     {"\"num_predict\":-2", 509, 40, 64},
        {"\"num_predict\":0", 509, 40, 64},      {"\"num_predict\":1", 1, 40, 64},
        {"\"num_predict\":null", 509, 40, 64},   {"\"top_k\":-1", 509, MINI_VOCAB, 64},
        {"\"repeat_last_n\":-1", 509, 40, 512},  {"\"repeat_last_n\":0", 509, 40, 0},
        {"\"seed\":-3,\"top_k\":0", 509, 0, 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"abc\",\"options\":{%s}}", rows[i].options);
        struct job *job = accepted(body);
        ck_assert_uint_eq(job->max_tokens, rows[i].max_tokens);
        ck_assert_uint_eq(job->sampling.top_k, rows[i].top_k);
        ck_assert_uint_eq(job->sampling.repetition_window, rows[i].window);
        job_destroy(job);
    }
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *body, *param;
        enum status status;
    } rows[] = {
        {"{\"prompt\":\"a\",\"options\":[]}", "options", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{},\"options\":{}}", "options", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"top_k\":1,\"top_k\":1}}", "top_k", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"top_k\":-2}}", "top_k", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"num_predict\":0.5}}", "num_predict", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"seed\":-1.5}}", "seed", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"num_ctx\":513}}", "num_ctx", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"options\":{\"num_predict\":600}}", "num_predict", STATUS_CONTEXT},
        {"{\"prompt\":\"a\",\"options\":{\"stop\":\"\\u0000\"}}", "stop", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"format\":\"yaml\"}", "format", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"think\":true}", "think", STATUS_UNSUPPORTED},
        {"{\"prompt\":\"a\",\"think\":\"so\"}", "think", STATUS_INVALID},
        {"{\"prompt\":\"a\",\"system\":\"b\"}", "system", STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct generation g;
        struct error err;
        enum status found = decode(rows[i].body, &g, &err);
        ck_assert_msg(found == rows[i].status, "%s: %d %s", rows[i].body, found, err.text);
        ck_assert_msg(strcmp(err.param, rows[i].param) == 0, "%s: %s", rows[i].body, err.param);
        ck_assert_ptr_null(g.choices);
    }
}
END_TEST

START_TEST(without_a_prompt_there_is_no_job)
{
    static const char *const bodies[] = {"{}", "{\"prompt\":\"\"}", "{\"prompt\":null}"};
    for (size_t i = 0; i < 3; i++) {
        struct generation g;
        struct error err;
        char out[512];
        ck_assert_int_eq(decode(bodies[i], &g, &err), STATUS_OK);
        ck_assert_uint_eq(g.n_choices, 0);
        g.model = "m";
        ck_assert_int_eq(ollama_generate.form(&g, NULL), ANSWER_JSON);
        size_t n = ollama_generate.whole(&g, out, ollama_generate.whole_bound(&g));
        out[n] = '\0';
        ck_assert_ptr_nonnull(strstr(out, "\"done\":true,\"done_reason\":\"load\"}\n"));
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(messages_keep_every_value_as_it_stands)
{
    static const struct {
        const char *given, *right;
    } rows[] = {
        {"[ ]", "[]"},
        {"[{}]", "[{}]"},
        {"[ {\"role\" : \"user\", \"content\" : \"a\\u00e9\"} ]",
         "[{\"role\":\"user\",\"content\":\"a\\u00e9\"}]"},
        {"[{\"role\":\"assistant\",\"thinking\":\"hm\",\"images\":[],\"content\":\"\","
         "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1.0,\"y\":1e3}}}]},"
         "{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"3\",\"images\":null}]",
         "[{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":\"\","
         "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1.0,\"y\":1e3}}}]},"
         "{\"role\":\"tool\",\"name\":\"f\",\"content\":\"3\"}]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ollama_messages m = {.text = NULL};
        struct error err;
        const struct json_span given = {rows[i].given, strlen(rows[i].given)};
        ck_assert_int_eq(ollama_messages_of_chat(&m, given, &err), STATUS_OK);
        ck_assert_uint_eq(m.span.n, strlen(rows[i].right));
        ck_assert_mem_eq(m.span.at, rows[i].right, m.span.n);
        ollama_messages_free(&m);
    }
}
END_TEST

START_TEST(messages_that_are_none_are_refused)
{
    static const char *const rows[] = {"{}", "\"hi\"", "[1]", "[{},\"a\"]",
                                       "[{\"images\":[\"aGk=\"]}]"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ollama_messages m = {.text = NULL};
        struct error err;
        const struct json_span given = {rows[i], strlen(rows[i])};
        ck_assert_int_ne(ollama_messages_of_chat(&m, given, &err), STATUS_OK);
        ck_assert_str_eq(err.param, "messages");
        ollama_messages_free(&m);
    }
}
END_TEST

/* Every piece of the vocabulary in turn, in the least room: what the lines say is the text. */
START_TEST(lines_advance_in_the_least_room)
{
    for (int n_logprobs = -1; n_logprobs <= JOB_LOGPROBS_MAX; n_logprobs += 7) {
        struct job *job = mini_job(tokenizer, MINI_VOCAB, n_logprobs, NULL);
        for (int32_t id = MINI_BYTE + 1; id < MINI_VOCAB; id++) /* without NUL */
            mini_step(job, tokenizer, id);
        mini_finish(job, false, FINISH_LENGTH);
        struct choice choice = {.job = job};
        struct generation g = {.choices = &choice,
                               .n_choices = 1,
                               .n_prompts = 1,
                               .dialect = &ollama_generate,
                               .tokenizer = tokenizer,
                               .model = "m\"\n"};
        size_t room = ollama_generate.event_min(&g), n_text = 0;
        char *out = malloc(room + 1);
        while (!g.complete) {
            size_t n = ollama_generate.event(&g, out, room);
            ck_assert_uint_gt(n, 0);
            out[n] = '\0';
            for (char *line = out, *end; *line != '\0'; line = end + 1) {
                end = strchr(line, '\n');
                ck_assert_ptr_nonnull(end);
                cJSON *tree = cJSON_ParseWithLength(line, (size_t)(end - line));
                ck_assert_ptr_nonnull(tree);
                const char *text = cJSON_GetObjectItemCaseSensitive(tree, "response")->valuestring;
                ck_assert_mem_eq(job->text + n_text, text, strlen(text));
                n_text += strlen(text);
                cJSON_Delete(tree);
            }
        }
        ck_assert_uint_eq(n_text, job->n_text);
        ck_assert_uint_eq(ollama_generate.event(&g, out, room), 0);
        free(out);
        job_destroy(job);
    }
}
END_TEST

START_TEST(an_error_is_one_sentence)
{
    char out[1024];
    struct api_error what = errors_of_refusal(REFUSAL_MODEL);
    ollama_chat.error(&what, "no \"m\" here", "model", out, sizeof out);
    ck_assert_str_eq(out, "{\"error\":\"no \\\"m\\\" here\"}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/ollama");
    TCase *tcase = tcase_create("ollama");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, options_are_read_inside_their_object);
    tcase_add_test(tcase, numbers_that_stand_for_others);
    tcase_add_test(tcase, what_is_wrong_is_named);
    tcase_add_test(tcase, without_a_prompt_there_is_no_job);
    tcase_add_test(tcase, messages_keep_every_value_as_it_stands);
    tcase_add_test(tcase, messages_that_are_none_are_refused);
    tcase_add_test(tcase, lines_advance_in_the_least_room);
    tcase_add_test(tcase, an_error_is_one_sentence);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
