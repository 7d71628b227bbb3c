/* test_anthropic.c - facts about the Messages API: bodies become conversations or are refused by
 * name, and a text becomes blocks, in one piece and in events alike. */
#include "api/anthropic/parts.h"
#include "texts.h"

static struct json_span span(const char *text)
{
    return (struct json_span){text, text != NULL ? strlen(text) : 0};
}

START_TEST(messages_become_openais)
{
    static const struct {
        const char *system, *messages, *right;
        bool continues;
    } rows[] = {
        {NULL, "[{\"role\":\"user\",\"content\":\"a\"}]", "[{\"role\":\"user\",\"content\":\"a\"}]",
         false},
        {"\"be\\u0020brief\"", "[ {\"content\" : \"\\\"\", \"role\":\"user\"} ]",
         "[{\"role\":\"system\",\"content\":\"be\\u0020brief\"},"
         "{\"role\":\"user\",\"content\":\"\\\"\"}]",
         false},
        {"[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},"
         "{\"text\":\"b\",\"type\":\"text\"}]",
         "[{\"role\":\"user\",\"content\":[]}]",
         "[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
         "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"user\",\"content\":\"\"}]",
         false},
        /* turns of one role become one; the assistant's last goes on */
        {NULL,
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":"
         "\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"c\"}]",
         "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
         "\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"c\"}]",
         true},
        /* earlier thoughts; what is redacted cannot be read */
        {NULL,
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":["
         "{\"type\":\"thinking\",\"thinking\":\"x\\n\",\"signature\":\"s\"},"
         "{\"type\":\"redacted_thinking\",\"data\":\"zzz\"},"
         "{\"type\":\"thinking\",\"thinking\":\"y\",\"signature\":\"s\"},"
         "{\"type\":\"text\",\"text\":\"c\"}]},{\"role\":\"user\",\"content\":\"d\"}]",
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"c\","
         "\"reasoning_content\":\"x\\ny\"},{\"role\":\"user\",\"content\":\"d\"}]",
         false},
        /* calls of tools and their results; numbers keep their spelling */
        {NULL,
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":["
         "{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\","
         "\"input\":{\"x\":1.0}},{\"type\":\"tool_use\",\"id\":\"2\",\"name\":\"g\",\"input\":{}}]}"
         ","
         "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"1\","
         "\"content\":\"r\"},{\"type\":\"tool_result\",\"tool_use_id\":\"2\",\"is_error\":true},"
         "{\"type\":\"text\",\"text\":\"c\"}]}]",
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\","
         "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
         "\"arguments\":{\"x\":1.0}}},{\"id\":\"2\",\"type\":\"function\",\"function\":{\"name\":"
         "\"g\",\"arguments\":{}}}]},{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"1\"},"
         "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"2\"},"
         "{\"role\":\"user\",\"content\":\"c\"}]",
         false},
        {NULL, "[{\"role\":\"system\",\"content\":\"a\"}]",
         "[{\"role\":\"system\",\"content\":\"a\"}]", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct turns turns = {.memory = NULL};
        struct error err = {.text = ""};
        bool continues;
        enum status status = anthropic_conversation(span(rows[i].system), span(rows[i].messages),
                                                    &turns, &continues, &err);
        ck_assert_msg(status == STATUS_OK, "%zu: %s", i, err.text);
        struct json_span found = turns_end(&turns);
        ck_assert_msg(found.n == strlen(rows[i].right) &&
                          memcmp(found.at, rows[i].right, found.n) == 0,
                      "%zu: %.*s", i, (int)found.n, found.at);
        ck_assert(continues == rows[i].continues);
        turns_free(&turns);
    }
}
END_TEST

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define WITH(content)                                                                              \
    "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"

START_TEST(what_cannot_be_honoured_is_refused_by_name)
{
    static const struct {
        const char *body;
        enum status status;
        const char *param, *words;
    } rows[] = {
        {"{" USER "}", STATUS_INVALID, "max_tokens", "max_tokens is missing"},
        {"{\"max_tokens\":-1," USER "}", STATUS_INVALID, "max_tokens", "from 0"},
        {"{\"max_tokens\":\"5\"," USER "}", STATUS_INVALID, "max_tokens", "an integer"},
        {"{\"max_tokens\":1}", STATUS_INVALID, "messages", "missing"},
        {"{\"max_tokens\":1,\"messages\":[]}", STATUS_INVALID, "messages", "at least one"},
        {"{\"max_tokens\":1,\"messages\":{}}", STATUS_INVALID, "messages", "an array"},
        {"{\"max_tokens\":1,\"messages\":[5]}", STATUS_INVALID, "messages.0.role", "\"user\""},
        {"{\"max_tokens\":1,\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}", STATUS_INVALID,
         "messages.0.role", "\"assistant\""},
        {"{\"max_tokens\":1,\"messages\":[{\"role\":\"user\"}]}", STATUS_INVALID,
         "messages.0.content", "string"},
        {WITH("[{\"type\":\"text\"}]"), STATUS_INVALID, "messages.0.content.0", "its text"},
        {WITH("[\"a\"]"), STATUS_INVALID, "messages.0.content.0", "an object"},
        {WITH("[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"image\",\"source\":{}}]"),
         STATUS_UNSUPPORTED, "messages.0.content.1", "image"},
        {WITH("[{\"type\":\"document\",\"source\":{}}]"), STATUS_UNSUPPORTED,
         "messages.0.content.0", "document"},
        {WITH("[{\"type\":\"tool_result\"}]"), STATUS_INVALID, "messages.0.content.0",
         "its tool_use_id"},
        {WITH("[{\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"content\":[{\"type\":\"image\"}]}"
              "]"),
         STATUS_UNSUPPORTED, "messages.0.content.0.0", "image"},
        {WITH("[{\"type\":\"tool_use\",\"id\":\"x\",\"name\":\"f\",\"input\":{}}]"), STATUS_INVALID,
         "messages.0.content.0", "a text or tool_result block"},
        {WITH("[{\"type\":\"thinking\",\"thinking\":\"x\"}]"), STATUS_INVALID,
         "messages.0.content.0", "a text or tool_result block"},
        {WITH("\"a\\u0000\""), STATUS_INVALID, "messages", "\\u0000"},
        {"{\"max_tokens\":1,\"system\":5," USER "}", STATUS_INVALID, "system", "a string"},
        {"{\"max_tokens\":1,\"temperature\":1.5," USER "}", STATUS_INVALID, "temperature",
         "from 0 to 1"},
        {"{\"max_tokens\":1,\"tools\":[{\"type\":\"web_search_20250305\"}]," USER "}",
         STATUS_UNSUPPORTED, "tools.0", "\"custom\""},
        {"{\"max_tokens\":1,\"tool_choice\":{\"type\":\"any\"}," USER "}", STATUS_INVALID,
         "tool_choice", "needs tools"},
        {"{\"max_tokens\":1,\"tools\":[{\"name\":\"x\"}],\"tool_choice\":{\"type\":\"tool\","
         "\"name\":"
         "\"y\"}," USER "}",
         STATUS_INVALID, "tool_choice.name", "no tool \"y\""},
        {"{\"max_tokens\":1,\"thinking\":{\"type\":\"perhaps\"}," USER "}", STATUS_INVALID,
         "thinking.type", "\"enabled\""},
        {"{\"max_tokens\":1,\"thinking\":true," USER "}", STATUS_INVALID, "thinking", "an object"},
        {"{\"max_tokens\":1,\"output_config\":{\"format\":{\"type\":\"json_schema\"}}," USER "}",
         STATUS_INVALID, "output_config.format", "output_config.format.schema is missing"},
        {"{\"max_tokens\":1,\"output_config\":{\"effort\":\"a\\\"b\"}," USER "}", STATUS_INVALID,
         "output_config.effort", "a word"},
        {"{\"max_tokens\":1,\"stop_sequences\":[\"\"]," USER "}", STATUS_INVALID, "stop_sequences",
         "stop_sequences"},
        {"{\"max_tokens\":1,\"container\":\"x\"," USER "}", STATUS_UNSUPPORTED, "container",
         "runs no code"},
        {"{\"max_tokens\":1,\"grammar\":5," USER "}", STATUS_INVALID, "grammar", ""},
        /* what changes nothing is let be, and so is what is not known: the template is missing */
        {"{\"max_tokens\":1,\"tools\":[],\"tool_choice\":{\"type\":\"none\"},\"metadata\":{"
         "\"user_id\":\"x\"},\"service_tier\":\"auto\",\"cache_control\":{},\"thinking\":{\"type\":"
         "\"enabled\",\"budget_tokens\":1024},\"output_config\":{\"effort\":\"low\"},\"new\":"
         "1," USER "}",
         STATUS_UNABLE, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(&anthropic_messages, rows[i].body, rows[i].status, rows[i].param, rows[i].words);
    refused(&anthropic_count, "{" USER "}", STATUS_UNABLE, "", "");
    refused(&anthropic_count, "{}", STATUS_INVALID, "messages", "missing");
}
END_TEST

/* --- answers --- */

struct client { /* what the official one keeps of a stream */
    bool begun, stopped, failed;
    int n_blocks, n_ended;
    char types[4][16], texts[4][512], signature[64], reason[40], sequence[16];
    double output_tokens, input_tokens, thinking_tokens;
};

static void take(void *cls, const char *name, const cJSON *data)
{
    struct client *c = cls;
    ck_assert(!c->stopped && !c->failed);
    if (strcmp(name, "ping") == 0)
        return;
    if (strcmp(name, "error") == 0) {
        get_text(get(data, "error"), "message");
        c->failed = true;
        return;
    }
    if (strcmp(name, "message_start") == 0) {
        ck_assert(!c->begun);
        c->begun = true;
        const cJSON *message = get(data, "message");
        ck_assert_int_eq(cJSON_GetArraySize(get(message, "content")), 0);
        ck_assert(cJSON_IsNull(get(message, "stop_reason")));
        ck_assert(get(get(message, "usage"), "input_tokens")->valuedouble == 3);
        return;
    }
    ck_assert(c->begun);
    if (strcmp(name, "message_delta") == 0) {
        const cJSON *usage = get(data, "usage"), *delta = get(data, "delta");
        snprintf(c->reason, sizeof c->reason, "%s", get_text(delta, "stop_reason"));
        if (!cJSON_IsNull(get(delta, "stop_sequence")))
            snprintf(c->sequence, sizeof c->sequence, "%s", get_text(delta, "stop_sequence"));
        c->output_tokens = get(usage, "output_tokens")->valuedouble;
        c->thinking_tokens =
            get(get(usage, "output_tokens_details"), "thinking_tokens")->valuedouble;
        return;
    }
    if (strcmp(name, "message_stop") == 0) {
        ck_assert_int_eq(c->n_blocks, c->n_ended);
        ck_assert_str_ne(c->reason, "");
        c->stopped = true;
        return;
    }
    int index = get(data, "index")->valueint;
    if (strcmp(name, "content_block_start") == 0) {
        ck_assert_int_eq(index, c->n_blocks);
        ck_assert_int_eq(c->n_ended, c->n_blocks);
        snprintf(c->types[index], sizeof c->types[0], "%s",
                 get_text(get(data, "content_block"), "type"));
        c->n_blocks++;
        return;
    }
    ck_assert_int_eq(index, c->n_blocks - 1);
    ck_assert_int_eq(index, c->n_ended);
    if (strcmp(name, "content_block_stop") == 0) {
        c->n_ended++;
        return;
    }
    ck_assert_str_eq(name, "content_block_delta");
    const cJSON *delta = get(data, "delta");
    const char *type = get_text(delta, "type");
    if (strcmp(type, "signature_delta") == 0) {
        snprintf(c->signature, sizeof c->signature, "%s", get_text(delta, "signature"));
        return;
    }
    bool thought = strcmp(type, "thinking_delta") == 0;
    ck_assert_str_eq(c->types[index], thought ? "thinking" : "text");
    const char *text = get_text(delta, thought ? "thinking" : "text");
    ck_assert_uint_gt(strlen(text), 0);
    ck_assert_uint_lt(strlen(c->texts[index]) + strlen(text), sizeof c->texts[0]);
    strcat(c->texts[index], text);
}

/* The whole answer, and that it says what the events said. */
static void check_whole(const struct generation *g, const struct client *c)
{
    size_t bound = g->dialect->whole_bound(g);
    char *out = malloc(bound);
    size_t n = g->dialect->whole(g, out, bound);
    ck_assert_uint_gt(n, 0);
    cJSON *tree = parse(out, n);
    ck_assert_str_eq(get_text(tree, "id"), "msg_req-1");
    ck_assert_str_eq(get_text(tree, "type"), "message");
    ck_assert_str_eq(get_text(tree, "role"), "assistant");
    ck_assert_str_eq(get_text(tree, "model"), "tiny \"one\"");
    ck_assert_str_eq(get_text(tree, "stop_reason"), c->reason);
    const cJSON *block, *usage = get(tree, "usage");
    int i = 0;
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "content")), c->n_blocks);
    cJSON_ArrayForEach(block, get(tree, "content"))
    {
        bool thought = strcmp(c->types[i], "thinking") == 0;
        ck_assert_str_eq(get_text(block, "type"), c->types[i]);
        ck_assert_str_eq(get_text(block, thought ? "thinking" : "text"), c->texts[i]);
        if (thought)
            ck_assert_str_eq(get_text(block, "signature"), c->signature);
        i++;
    }
    ck_assert(get(usage, "output_tokens")->valuedouble == c->output_tokens);
    ck_assert(get(usage, "input_tokens")->valuedouble == 3);
    cJSON_Delete(tree);
    free(out);
}

struct answered {
    const char *text, *stop;
    const struct reasoning_tags *tags;
    enum finish_reason finish;
    const char *blocks; /* TYPE:TEXT, separated by '|' */
    const char *reason;
    uint64_t max_tokens;
    size_t n_context;
    bool hides;
};

static void check_answer(const struct answered *row, unsigned polls, size_t room)
{
    struct message_wishes wishes = {
        .max_tokens = row->max_tokens, .n_context = row->n_context, .hides_thoughts = row->hides};
    struct choice choice = {.job = mini_job(tokenizer, 64, -1, row->stop)};
    struct generation g = {.choices = &choice,
                           .n_choices = 1,
                           .n_prompts = 1,
                           .stream = true,
                           .chat = true,
                           .wishes = &wishes,
                           .dialect = &anthropic_messages,
                           .form = ANSWER_SSE,
                           .id = "req-1",
                           .model = "tiny \"one\"",
                           .tokenizer = tokenizer};
    static struct client c;
    c = (struct client){.begun = false};
    reasoning_begin(&choice.reasoning, row->tags, "", 0);
    stream_text(&g, row->text, row->finish, polls, room, take, &c);
    char blocks[1024] = "";
    for (int i = 0; i < c.n_blocks; i++) {
        size_t n = strlen(blocks);
        snprintf(blocks + n, sizeof blocks - n, "%s%s:%s", i > 0 ? "|" : "", c.types[i],
                 c.texts[i]);
    }
    if (row->finish == FINISH_ERROR) {
        ck_assert(c.failed);
    } else {
        ck_assert(c.stopped);
        ck_assert_str_eq(blocks, row->blocks);
        ck_assert_str_eq(c.reason, row->reason);
        ck_assert_str_eq(c.sequence, strcmp(row->reason, "stop_sequence") == 0 ? row->stop : "");
        ck_assert(c.output_tokens == (double)choice.job->n_completion);
        ck_assert(c.thinking_tokens <= c.output_tokens);
        check_whole(&g, &c);
    }
    job_destroy(choice.job);
}

START_TEST(texts_become_blocks)
{
    static const struct answered rows[] = {
        {"ab c", NULL, NULL, FINISH_STOP, "text:ab c", "end_turn", 64, 512, false},
        {"", NULL, NULL, FINISH_STOP, "text:", "end_turn", 64, 512, false},
        {"ab", NULL, NULL, FINISH_LENGTH, "text:ab", "max_tokens", 64, 512, false},
        {"ab", NULL, NULL, FINISH_LENGTH, "text:ab", "model_context_window_exceeded", 65, 67,
         false},
        {"ab", NULL, NULL, FINISH_LENGTH, "text:ab", "max_tokens", 65, 512, false},
        {"ab", NULL, NULL, FINISH_DEADLINE, "text:ab", "pause_turn", 64, 512, false},
        {"ab!cd", "!c", NULL, FINISH_STOP, "text:ab", "stop_sequence", 64, 512, false},
        {"\xe2\x82\xac\"\n\xf0\x9f\x98\x80", NULL, NULL, FINISH_STOP,
         "text:\xe2\x82\xac\"\n\xf0\x9f\x98\x80", "end_turn", 64, 512, false},
        {"<think>a b</think>\n\nc", NULL, &think, FINISH_STOP, "thinking:a b|text:c", "end_turn",
         64, 512, false},
        {"<think>\na\n\n\n\n\n\n\nb\n</think>", NULL, &think, FINISH_STOP,
         "thinking:a\n\n\n\n\n\n\nb", "end_turn", 64, 512, false},
        {"<think>a <", NULL, &think, FINISH_LENGTH, "thinking:a <", "max_tokens", 64, 512, false},
        {"<think></think>a", NULL, &think, FINISH_STOP, "text:a", "end_turn", 64, 512, false},
        {"<thin", NULL, &think, FINISH_STOP, "text:<thin", "end_turn", 64, 512, false},
        {"<think>a</think>b", NULL, &think, FINISH_STOP, "thinking:|text:b", "end_turn", 64, 512,
         true},
        {"<think>a</think>b", NULL, NULL, FINISH_STOP, "text:<think>a</think>b", "end_turn", 64,
         512, false},
        {"", NULL, NULL, FINISH_LENGTH, "", "max_tokens", 0, 512, false},
        {"ab", NULL, NULL, FINISH_ERROR, "", "", 64, 512, false},
    };
    static const unsigned polls[] = {0, ~0U, 0x55555555, 0x11111111, 0x0f0f0f0f, 1U << 7};
    static const size_t rooms[] = {0, 8000, 100000};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t p = 0; p < sizeof polls / sizeof polls[0]; p++)
            for (size_t r = 0; r < sizeof rooms / sizeof rooms[0]; r++)
                check_answer(&rows[i], polls[p], rooms[r]);
}
END_TEST

/* Room for a few characters is enough, and none is ever cut in two. */
START_TEST(short_room_takes_part_of_a_text)
{
    static const char text[] =
        "a\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x82\xac\xe2\x82\xac\xc3\xa9zz\xe2\x82\xac\n";
    for (size_t room = 186; room < 260; room++) {
        struct message_wishes wishes = {.max_tokens = 64, .n_context = 512};
        struct choice choice = {.job = mini_job(tokenizer, 64, -1, NULL)};
        struct generation g = {.choices = &choice,
                               .n_choices = 1,
                               .n_prompts = 1,
                               .wishes = &wishes,
                               .dialect = &anthropic_messages,
                               .form = ANSWER_SSE,
                               .id = "req-1",
                               .model = "tiny",
                               .tokenizer = tokenizer};
        static struct client c;
        c = (struct client){.begun = false};
        drain(&g, 0, take, &c);
        for (const char *at = text; *at != '\0'; at++)
            step_byte(choice.job, *at);
        size_t n;
        do {
            char *out = malloc(room);
            n = anthropic_event(&g, out, room);
            take_events(out, n, take, &c);
            free(out);
        } while (n > 0);
        ck_assert_str_eq(c.texts[0], text);
        job_destroy(choice.job);
    }
}
END_TEST

START_TEST(errors_have_the_types_of_the_api)
{
    static const struct {
        enum status status;
        const char *type, *code;
    } rows[] = {
        {STATUS_INVALID, "invalid_request_error", "invalid_value"},
        {STATUS_CONTEXT, "invalid_request_error", "context_length_exceeded"},
        {STATUS_TOO_LARGE, "request_too_large", "body_too_large"},
        {STATUS_FULL, "rate_limit_error", "queue_full"},
        {STATUS_STOPPING, "overloaded_error", "draining"},
        {STATUS_INTERNAL, "api_error", "internal_error"},
        {STATUS_UNABLE, "api_error", "not_supported_by_model"},
    };
    char out[1024];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct api_error what = errors_of_status(rows[i].status);
        what.id = "abc";
        size_t n = anthropic_messages.error(&what, "wrong \"x\"", "top_p", out, sizeof out);
        cJSON *tree = parse(out, n);
        ck_assert_str_eq(get_text(tree, "type"), "error");
        ck_assert_str_eq(get_text(tree, "request_id"), "abc");
        const cJSON *error = get(tree, "error");
        ck_assert_str_eq(get_text(error, "type"), rows[i].type);
        ck_assert_str_eq(get_text(error, "message"), "wrong \"x\"");
        ck_assert_str_eq(get_text(get(error, "details"), "error_code"), rows[i].code);
        cJSON_Delete(tree);
    }
    struct api_error key = errors_of_refusal(REFUSAL_NO_KEY);
    char long_message[4096];
    memset(long_message, '"', sizeof long_message - 1);
    long_message[sizeof long_message - 1] = '\0';
    size_t n = anthropic_messages.error(&key, long_message, NULL, out, sizeof out);
    cJSON *tree = parse(out, n);
    ck_assert_str_eq(get_text(get(tree, "error"), "type"), "authentication_error");
    ck_assert(cJSON_IsNull(get(tree, "request_id")));
    cJSON_Delete(tree);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/anthropic");
    TCase *tcase = tcase_create("messages");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, messages_become_openais);
    tcase_add_test(tcase, what_cannot_be_honoured_is_refused_by_name);
    tcase_add_test(tcase, texts_become_blocks);
    tcase_add_test(tcase, short_room_takes_part_of_a_text);
    tcase_add_test(tcase, errors_have_the_types_of_the_api);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
