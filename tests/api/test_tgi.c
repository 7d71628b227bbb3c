/* test_tgi.c - facts about Text Generation Inference's dialect: who speaks it, what is greedy, one
 * token an event in the least room. */
#include "api/json/json.h"
#include "api/native/native.h"
#include "api/tgi/tgi.h"
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

START_TEST(inputs_without_a_prompt_are_this_dialect)
{
    static const struct {
        const char *body;
        bool speaks;
    } rows[] = {
        {"{\"inputs\":\"a\"}", true},
        {"{\"parameters\":{\"prompt\":1},\"inputs\":3}", true},
        {"{\"inputs\":\"a\",\"prompt\":\"b\"}", false},
        {"{\"prompt\":\"\\\"inputs\\\"\"}", false},
        {"{\"prompt\":\"inputs\"}", false},
        {"{\"x\":{\"inputs\":1}}", false},
        {"{\"inputs\":\"a\"", false},
        {"[\"inputs\"]", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(tgi_speaks(rows[i].body, strlen(rows[i].body), &limits) == rows[i].speaks,
                      "%s", rows[i].body);
}
END_TEST

START_TEST(the_native_route_hands_such_bodies_over)
{
    static const char *const bodies[] = {"{\"inputs\":\"abc\"}", "{\"inputs\":3}"};
    for (size_t i = 0; i < 2; i++) {
        struct generation g = {.dialect = &native_dialect};
        struct error err;
        const struct generation_source source = {.body = bodies[i],
                                                 .n_body = strlen(bodies[i]),
                                                 .tokenizer = tokenizer,
                                                 .limits = &limits};
        enum status status = native_dialect.decode(&g, &source, &err);
        ck_assert_int_eq(status, i == 0 ? STATUS_OK : STATUS_INVALID);
        ck_assert_ptr_eq(g.dialect, &tgi_generate); /* of the error, too */
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(draws_are_asked_for_in_several_ways)
{
    static const struct {
        const char *parameters;
        float temperature;
    } rows[] = {
        {"", 0},
        {"\"seed\":1", 0},
        {"\"do_sample\":false", 0},
        {"\"do_sample\":false,\"temperature\":2", 0},
        {"\"do_sample\":true", 1},
        {"\"temperature\":2", 2},
        {"\"temperature\":null", 0},
        {"\"top_k\":3", 1},
        {"\"top_p\":0.5", 1},
        {"\"typical_p\":0.5,\"do_sample\":null", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        struct generation g = {.dialect = &tgi_generate};
        struct error err;
        snprintf(body, sizeof body, "{\"inputs\":\"abc\",\"parameters\":{%s}}", rows[i].parameters);
        const struct generation_source source = {
            .body = body, .n_body = strlen(body), .tokenizer = tokenizer, .limits = &limits};
        ck_assert_msg(tgi_generate.decode(&g, &source, &err) == STATUS_OK, "%s", err.text);
        const struct job *job = g.choices[0].job;
        ck_assert_msg(job->sampling.temperature == rows[i].temperature, "%s", body);
        ck_assert(job->keep_stop);
        ck_assert_uint_eq(job->max_tokens, 100);
        ck_assert_uint_eq(job->sampling.repetition_window, limits.n_context);
        generation_free(&g, true);
    }
}
END_TEST

/* A generation of the stream's dialect around a job of every piece but NUL. */
static void begin(struct generation *g, int top_n, enum finish_reason finish)
{
    char body[128];
    struct error err;
    snprintf(body, sizeof body,
             "{\"inputs\":\"abc\",\"parameters\":{\"details\":true,\"top_n_tokens\":%d}}", top_n);
    const struct generation_source source = {
        .body = body, .n_body = strlen(body), .tokenizer = tokenizer, .limits = &limits};
    *g = (struct generation){.dialect = &tgi_stream};
    ck_assert_int_eq(tgi_stream.decode(g, &source, &err), STATUS_OK);
    job_destroy(g->choices[0].job);
    struct job *job = mini_job(tokenizer, MINI_VOCAB, top_n, NULL);
    for (int32_t id = MINI_BYTE + 1; id < MINI_VOCAB; id++)
        mini_step(job, tokenizer, id);
    job->stop_index = -1;
    job->stop_id = -1;
    mini_finish(job, false, finish);
    g->choices[0].job = job;
    g->tokenizer = tokenizer;
    g->model = "m";
}

START_TEST(one_token_an_event_in_the_least_room)
{
    for (int top_n = 0; top_n <= JOB_LOGPROBS_MAX; top_n += 10) {
        struct generation g;
        begin(&g, top_n, FINISH_LENGTH);
        const struct job *job = g.choices[0].job;
        size_t n_events = 0, n_text = 0;
        while (!g.complete) {
            size_t room = tgi_stream.event_min(&g);
            char *out = malloc(room + 1);
            size_t n = tgi_stream.event(&g, out, room);
            ck_assert_uint_gt(n, 0);
            out[n] = '\0';
            for (char *event = out, *end; *event != '\0'; event = end + 2) {
                end = strstr(event, "\n\n");
                ck_assert_ptr_nonnull(end);
                cJSON *tree = cJSON_ParseWithLength(event + 5, (size_t)(end - event) - 5);
                ck_assert_ptr_nonnull(tree);
                const cJSON *token = cJSON_GetObjectItem(tree, "token");
                ck_assert_int_eq(cJSON_GetObjectItem(token, "id")->valueint,
                                 job->tokens[n_events++].id);
                n_text += strlen(cJSON_GetObjectItem(token, "text")->valuestring);
                ck_assert(cJSON_IsNull(cJSON_GetObjectItem(tree, "details")) ==
                          (n_events < job->n_tokens));
                cJSON_Delete(tree);
            }
            free(out);
        }
        ck_assert_uint_eq(n_events, job->n_tokens);
        ck_assert_uint_eq(n_text, job->n_text);
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(the_bound_of_a_whole_answer_holds)
{
    for (int top_n = 0; top_n <= JOB_LOGPROBS_MAX; top_n += 10) {
        struct generation g;
        begin(&g, top_n, FINISH_STOP);
        size_t room = tgi_generate.whole_bound(&g);
        char *out = malloc(room);
        size_t n = tgi_generate.whole(&g, out, room);
        ck_assert_uint_gt(n, 0);
        cJSON *tree = cJSON_ParseWithLength(out, n);
        ck_assert_ptr_nonnull(tree);
        cJSON_Delete(tree);
        free(out);
        generation_free(&g, true);
    }
}
END_TEST

START_TEST(errors_have_that_servers_types)
{
    static const struct {
        unsigned http;
        const char *type;
    } rows[] = {{400, "validation"}, {413, "validation"}, {401, NULL},        {404, NULL},
                {429, "overloaded"}, {503, "overloaded"}, {500, "generation"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[1024], right[128];
        const struct api_error what = {.http = rows[i].http};
        tgi_root.error(&what, "no", NULL, out, sizeof out);
        snprintf(right, sizeof right, "{\"error\":\"no\",\"error_type\":\"%s\"}\n",
                 rows[i].type != NULL ? rows[i].type : "");
        if (rows[i].type == NULL)
            snprintf(right, sizeof right, "{\"error\":\"no\"}\n");
        ck_assert_str_eq(out, right);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/tgi");
    TCase *tcase = tcase_create("tgi");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, inputs_without_a_prompt_are_this_dialect);
    tcase_add_test(tcase, the_native_route_hands_such_bodies_over);
    tcase_add_test(tcase, draws_are_asked_for_in_several_ways);
    tcase_add_test(tcase, one_token_an_event_in_the_least_room);
    tcase_add_test(tcase, the_bound_of_a_whole_answer_holds);
    tcase_add_test(tcase, errors_have_that_servers_types);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
