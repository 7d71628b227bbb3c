/* test_routes.c - facts about what stands around a generation: the Accept header, the bodies of
 * /tokenize and /detokenize and their answers, /info and /health. */
#include "api/native/info.h"
#include "api/native/native.h"
#include "mini_vocab.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static struct tokenizer *tokenizer;
static const struct api_limits limits = {
    .n_context = 512, .max_json_depth = 64, .max_json_nodes = 10000};

static void setup(void)
{
    tokenizer = mini_tokenizer(true);
}

static void teardown(void)
{
    tokenizer_destroy(tokenizer);
}

START_TEST(the_preferred_form_is_found)
{
    static const struct {
        const char *accept;
        enum answer_form form;
    } rows[] = {
        {"", ANSWER_JSON},
        {"*/*", ANSWER_JSON},
        {"application/json", ANSWER_JSON},
        {"text/plain", ANSWER_TEXT},
        {"TEXT/Plain", ANSWER_TEXT},
        {"text/event-stream", ANSWER_SSE},
        {"text/plain; charset=utf-8", ANSWER_TEXT},
        {" text/event-stream ; q=1.0 ", ANSWER_SSE},
        /* a list with JSON first means JSON, and so does one that JSON matches as well */
        {"application/json, text/event-stream", ANSWER_JSON},
        {"application/json, text/plain, */*", ANSWER_JSON},
        {"*/*, text/plain", ANSWER_JSON},
        {"text/html, application/xhtml+xml, */*;q=0.8", ANSWER_JSON},
        /* equal weights: the order decides */
        {"text/event-stream, application/json", ANSWER_SSE},
        {"text/plain, text/event-stream", ANSWER_TEXT},
        {"text/event-stream, text/plain, application/json", ANSWER_SSE},
        {"text/plain, */*", ANSWER_TEXT},
        /* weights decide before order */
        {"application/json;q=0.5, text/plain", ANSWER_TEXT},
        {"text/plain;q=0.5, application/json", ANSWER_JSON},
        {"text/event-stream;q=0.9, text/plain;q=0.8, */*;q=0.1", ANSWER_SSE},
        {"application/json;q=0.2, text/event-stream;q=0.201", ANSWER_SSE},
        {"*/*;q=0.5, text/plain;q=0.4", ANSWER_JSON},
        /* the most specific range decides a type's weight */
        {"text/*, text/plain;q=0.1", ANSWER_SSE},
        {"text/*", ANSWER_TEXT},
        {"*/*, application/json;q=0.1", ANSWER_TEXT},
        {"application/*, text/plain;q=0.9", ANSWER_JSON},
        /* 0 is never; what nothing matches is JSON */
        {"text/plain;q=0", ANSWER_JSON},
        {"text/plain;q=0, text/event-stream;q=0.000", ANSWER_JSON},
        {"image/png", ANSWER_JSON},
        {"application/json;q=0, */*", ANSWER_TEXT},
        /* malformed elements are no reason to fail */
        {",,;;,text/plain", ANSWER_TEXT},
        {"text/plain;q=2", ANSWER_JSON},
        {"text/plain;q=0.1234", ANSWER_JSON},
        {"text/plain;q=", ANSWER_JSON},
        {"text", ANSWER_JSON},
        {"text/", ANSWER_JSON},
        {"*", ANSWER_JSON},
        {"text/plain;a=\"x,text/event-stream\"", ANSWER_TEXT},
        {"text/plain;a=\"x\\\",y", ANSWER_TEXT},
        {"text/plain;Q=0.5, application/json;q=0.4", ANSWER_TEXT},
        {"a/b;\"", ANSWER_JSON},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(accept_form(false, rows[i].accept) == rows[i].form, "%s", rows[i].accept);
        ck_assert_int_eq(accept_form(true, rows[i].accept), ANSWER_SSE);
    }
    ck_assert_int_eq(accept_form(false, NULL), ANSWER_JSON);
    ck_assert_int_eq(accept_form(true, NULL), ANSWER_SSE);
}
END_TEST

/* The answer to a body of /tokenize, or the message that refuses it; static. */
static const char *tokenized(const char *body)
{
    static char out[1024];
    int32_t *ids;
    size_t n;
    bool pieces;
    struct error err;
    if (native_tokenize(body, strlen(body), tokenizer, &limits, &ids, &n, &pieces, &err) !=
        STATUS_OK) {
        snprintf(out, sizeof out, "%s: %s", err.param, err.text);
        return out;
    }
    size_t bound = pieces ? native_pieces_bound(tokenizer, ids, n) : native_tokens_bound(n);
    ck_assert_uint_lt(bound, sizeof out);
    size_t length =
        pieces ? native_pieces(tokenizer, ids, n, out, bound) : native_tokens(ids, n, out, bound);
    ck_assert_uint_gt(length, 0);
    out[length] = '\0';
    free(ids);
    return out;
}

static const char *detokenized(const char *body)
{
    static char out[1024];
    char *text;
    size_t n;
    struct error err;
    if (native_detokenize(body, strlen(body), tokenizer, &limits, &text, &n, &err) != STATUS_OK) {
        snprintf(out, sizeof out, "%s: %s", err.param, err.text);
        return out;
    }
    size_t length = native_text(text, n, out, sizeof out - 1);
    ck_assert_uint_le(length, native_text_bound(n));
    out[length] = '\0';
    free(text);
    return out;
}

START_TEST(texts_become_ids)
{
    ck_assert_str_eq(tokenized("{\"text\":\"abc\"}"), "{\"tokens\":[259,264]}\n");
    ck_assert_str_eq(tokenized("{\"content\":\"abc\"}"), "{\"tokens\":[259,264]}\n");
    ck_assert_str_eq(tokenized("{\"text\":\"abc\",\"add_special\":true}"),
                     "{\"tokens\":[1,259,264]}\n");
    ck_assert_str_eq(tokenized("{\"text\":\"\"}"), "{\"tokens\":[]}\n");
    ck_assert_str_eq(tokenized("{\"text\":\"\",\"add_special\":true}"), "{\"tokens\":[1]}\n");
    ck_assert_ptr_nonnull(strstr(tokenized("{\"text\":\"</s>\",\"parse_special\":true}"), "[2]"));
    ck_assert_str_eq(tokenized("{\"content\":\"ab\\u00e9\",\"with_pieces\":true}"),
                     "{\"tokens\":[{\"id\":259,\"piece\":\" \"},{\"id\":263,\"piece\":\"ab\"},"
                     "{\"id\":198,\"piece\":[195]},{\"id\":172,\"piece\":[169]}]}\n");
    ck_assert_ptr_null(strstr(tokenized("{\"text\":\"</s>\"}"), "[2]"));
}
END_TEST

START_TEST(bodies_of_tokenize_are_checked)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"{}", "text: text is missing"},
        {"{\"text\":\"a\",\"content\":\"a\"}", "content: "},
        {"{\"text\":5}", "text: text must be a string, not a number"},
        {"{\"content\":null}", "content: content must be a string, not null"},
        {"{\"text\":\"a\",\"add_specials\":true}", "'add_special'"},
        {"{\"text\":\"a\\u0000\"}", "text: text holds"},
        {"{\"text\":\"a\",\"add_special\":1}", "add_special: "},
        {"{\"text\":\"a\",\"normalize\":null}", "normalize: "},
        {"[]", "a JSON object"},
        {"x", "byte 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(strstr(tokenized(rows[i].body), rows[i].message) != NULL, "%s: %s",
                      rows[i].body, tokenized(rows[i].body));
}
END_TEST

START_TEST(ids_become_text)
{
    ck_assert_str_eq(detokenized("{\"tokens\":[259,264]}\n"),
                     "{\"text\":\"abc\",\"content\":\"abc\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[]}"), "{\"text\":\"\",\"content\":\"\"}\n");
    /* control tokens by name; bytes that are no character; a character of three bytes; NUL */
    ck_assert_str_eq(detokenized("{\"tokens\":[260,2]}"),
                     "{\"text\":\"a</s>\",\"content\":\"a</s>\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[260,258,260]}"), "{\"text\":\"a\xef\xbf\xbd"
                                                                "a\",\"content\":\"a\xef\xbf\xbd"
                                                                "a\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[229,133,175]}"),
                     "{\"text\":\"\xe2\x82\xac\",\"content\":\"\xe2\x82\xac\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[229,133]}"),
                     "{\"text\":\"\xef\xbf\xbd\",\"content\":\"\xef\xbf\xbd\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[3]}"),
                     "{\"text\":\"\\u0000\",\"content\":\"\\u0000\"}\n");
    ck_assert_str_eq(detokenized("{\"tokens\":[267,267]}") + 9 + 128,
                     "\",\"content\":\""
                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n");
}
END_TEST

START_TEST(bodies_of_detokenize_are_checked)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"{}", "tokens: tokens is missing"},
        {"{\"tokens\":\"a\"}", "must be an array of token ids, not a string"},
        {"{\"tokens\":[268]}", "tokens[0]"},
        {"{\"tokens\":[1,-1]}", "tokens[1]"},
        {"{\"token\":[1]}", "'tokens'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(strstr(detokenized(rows[i].body), rows[i].message) != NULL, "%s: %s",
                      rows[i].body, detokenized(rows[i].body));
}
END_TEST

START_TEST(short_room_writes_nothing)
{
    static const int32_t ids[] = {1, 22, 267};
    char out[128], text[128];
    size_t n_ids = native_tokens(ids, 3, out, sizeof out),
           n_text = native_text("a\n\xc3\xa9", 4, text, sizeof text);
    for (size_t room = 0; room < n_ids; room++)
        ck_assert_uint_eq(native_tokens(ids, 3, out, room), 0);
    ck_assert_uint_eq(native_tokens(ids, 3, out, n_ids), n_ids);
    for (size_t room = 0; room < n_text; room++)
        ck_assert_uint_eq(native_text("a\n\xc3\xa9", 4, text, room), 0);
    ck_assert_uint_eq(native_text("a\n\xc3\xa9", 4, text, n_text), n_text);
}
END_TEST

/* What the machine gives besides. */
static void allow(struct info *info)
{
    static const struct cgroup none;
    info->n_threads = info->plan->n_threads;
    info->threads_why = info->plan->threads_why;
    info->allowed = info->cpu;
    info->group = &none;
    info->model_print = "";
    info->arithmetic_print = "ab";
}

START_TEST(info_says_what_was_loaded_and_chosen)
{
    static const struct cpu cpu = {.name = "A \"CPU\""};
    struct model model = {.shape = {.arch = "llama",
                                    .n_vocab = 268,
                                    .n_embd = 192,
                                    .n_layers = 6,
                                    .n_heads = 6,
                                    .n_kv_heads = 2,
                                    .head_dim = 32,
                                    .n_ff = 512,
                                    .n_context_train = 2048},
                          .name = "tiny",
                          .n_context = 512,
                          .n_params = 2760000,
                          .file_bytes = 3000000,
                          .bytes_per_token = 2900000,
                          .weights = "Q8_0"};
    struct engine_plan plan = {.n_threads = 4,
                               .n_workers = 2,
                               .kv_bytes = 1 << 20,
                               .kv_pages = 64,
                               .page_bytes = 16384,
                               .sequence_pages = 16,
                               .measured = {.alone_ns = 81000, .team_ns = 70000, .n_rounds = 9},
                               .threads_why = "two caches",
                               .batch_why = "as asked",
                               .kv_why = "32 sequences"};
    static const char *const names[] = {"tiny", "alias"};
    struct info info = {.names = names,
                        .n_names = 2,
                        .version = "0.1.0",
                        .kernels = "avx2",
                        .kv_type = "f16",
                        .prefix_cache = true,
                        .cpu = &cpu,
                        .model = &model,
                        .tokenizer = tokenizer,
                        .plan = &plan,
                        .limits = {.max_queue = 128, .max_body_bytes = 1 << 20}};
    char out[INFO_ROOM];
    allow(&info);
    size_t n = info_write(&info, out, sizeof out);
    ck_assert_int_eq(json_check(out, n, 8, 1000, NULL), STATUS_OK);
    cJSON *tree = cJSON_ParseWithLength(out, n);
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(tree, "model");
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(part, "architecture")->valuestring, "llama");
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(part, "weights")->valuestring, "Q8_0");
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(part, "tokenizer")->valuestring, "llama");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "parameters")->valueint, 2760000);
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "context_train")->valueint, 2048);
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(tree, "context")->valueint, 512);
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(tree, "vocabulary")->valueint, 268);
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(tree, "cpu")->valuestring, "A \"CPU\"");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(tree, "workers")->valueint, 2);
    part = cJSON_GetObjectItemCaseSensitive(tree, "calibration");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "alone_ns")->valueint, 81000);
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "team_ns")->valueint, 70000);
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "rounds")->valueint, 9);
    part = cJSON_GetObjectItemCaseSensitive(tree, "limits");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "max_queue")->valueint, 128);
    ck_assert(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(part, "max_output_tokens")));
    part = cJSON_GetObjectItemCaseSensitive(tree, "kv");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(part, "page_positions")->valueint, 32);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(part, "prefix_cache")));
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(part, "why")->valuestring, "32 sequences");
    cJSON_Delete(tree);
    for (size_t room = 0; room < n; room++)
        ck_assert_uint_eq(info_write(&info, out, room), 0);
}
END_TEST

/* Every string at its longest and all of it escaped, every number at its largest. */
START_TEST(the_longest_info_fits_its_room)
{
    struct cpu cpu = {.n_usable = 1};
    struct model model = {.shape = {.arch = "llama"}};
    struct engine_plan plan = {.n_threads = UINT32_MAX};
    memset(cpu.name, '\1', sizeof cpu.name - 1);
    memset(model.name, '\1', sizeof model.name - 1);
    memset(model.weights, '\1', sizeof model.weights - 1);
    memset(plan.threads_why, '\1', sizeof plan.threads_why - 1);
    memset(plan.batch_why, '\1', sizeof plan.batch_why - 1);
    memset(plan.kv_why, '\1', sizeof plan.kv_why - 1);
    model.n_params = model.file_bytes = model.bytes_per_token = model.n_context = SIZE_MAX;
    plan.kv_bytes = plan.kv_pages = plan.page_bytes = plan.sequence_pages = SIZE_MAX;
    plan.kv_windows = plan.window_bytes = plan.kv_states = plan.state_bytes = SIZE_MAX;
    plan.sequence_bytes = SIZE_MAX;
    plan.measured = (struct calibration){.alone_ns = UINT64_MAX,
                                         .team_ns = UINT64_MAX,
                                         .n_rounds = UINT32_MAX,
                                         .n_unchanged = UINT32_MAX};
    static const char *const names[] = {"a name"};
    struct info info = {.names = names,
                        .n_names = 1,
                        .version = "0.1.0",
                        .kernels = "avx512",
                        .kv_type = "f16",
                        .cpu = &cpu,
                        .model = &model,
                        .tokenizer = tokenizer,
                        .plan = &plan};
    memset(&info.limits, 0xff, sizeof info.limits);
    char out[INFO_ROOM];
    allow(&info);
    size_t n = info_write(&info, out, sizeof out);
    ck_assert_uint_gt(n, 0);
    ck_assert_int_eq(json_check(out, n, 8, 1000, NULL), STATUS_OK);
}
END_TEST

START_TEST(health_says_its_state)
{
    struct health_report report = {HEALTH_DRAINING, 3, 5, 128, 12.3456};
    char out[INFO_ROOM];
    size_t n = health_write(&report, out, sizeof out);
    static const char right[] = "{\"status\":\"draining\",\"running\":3,\"queued\":5,\"queue_"
                                "limit\":128,\"uptime_seconds\":12.346}\n";
    ck_assert_uint_eq(n, sizeof right - 1);
    ck_assert_mem_eq(out, right, n);
    static const char *const names[] = {"ok", "loading", "draining", "draining", "stalled"};
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(health_name((enum health)i), names[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/routes");
    TCase *tcase = tcase_create("routes");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_preferred_form_is_found);
    tcase_add_test(tcase, texts_become_ids);
    tcase_add_test(tcase, bodies_of_tokenize_are_checked);
    tcase_add_test(tcase, ids_become_text);
    tcase_add_test(tcase, bodies_of_detokenize_are_checked);
    tcase_add_test(tcase, short_room_writes_nothing);
    tcase_add_test(tcase, info_says_what_was_loaded_and_chosen);
    tcase_add_test(tcase, the_longest_info_fits_its_room);
    tcase_add_test(tcase, health_says_its_state);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
