/* test_responses.c - facts about the Responses API: bodies become conversations or are refused by
 * name, and a text becomes items, in one piece and in typed events alike. */
#include "api/responses/parts.h"
#include "texts.h"

static struct json_span span(const char *text)
{
    return (struct json_span){text, text != NULL ? strlen(text) : 0};
}

START_TEST(inputs_become_messages)
{
    static const struct {
        const char *instructions, *input, *right;
    } rows[] = {
        {NULL, "\"a\\n\"", "[{\"role\":\"user\",\"content\":\"a\\n\"}]"},
        {"\"be brief\"", "\"a\"",
         "[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"a\"}]"},
        {NULL,
         "[{\"role\":\"developer\",\"content\":\"x\"},{\"type\":\"message\",\"role\":\"user\","
         "\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]},{\"type\":\"reasoning\",\"id\":"
         "\"rs_1\",\"summary\":[]},{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\","
         "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],"
         "\"text\":\"b\"},{\"type\":\"refusal\",\"refusal\":\"c\"}]},{\"role\":\"user\","
         "\"content\":\"d\"},{\"role\":\"user\",\"content\":\"e\"}]",
         "[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":"
         "\"text\",\"text\":\"c\"}]},{\"role\":\"user\",\"content\":\"d\"},{\"role\":\"user\","
         "\"content\":\"e\"}]"},
        {NULL,
         "[{\"role\":\"assistant\",\"content\":\"b\"},{\"type\":\"function_call\",\"call_id\":"
         "\"1\","
         "\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":"
         "\"1\","
         "\"output\":\"r\"}]",
         "[{\"role\":\"assistant\",\"content\":\"b\",\"tool_calls\":[{\"id\":\"1\",\"type\":"
         "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
         "{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"1\"}]"},
        {"\"x\"", "[{\"role\":\"system\",\"content\":\"y\"}]",
         "[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\","
         "\"text\":\"y\"}]}]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct turns turns = {.memory = NULL};
        struct error err = {.text = ""};
        enum status status =
            responses_conversation(span(rows[i].instructions), span(rows[i].input), &turns, &err);
        ck_assert_msg(status == STATUS_OK, "%zu: %s", i, err.text);
        struct json_span found = turns_end(&turns);
        ck_assert_msg(found.n == strlen(rows[i].right) &&
                          memcmp(found.at, rows[i].right, found.n) == 0,
                      "%zu: %.*s", i, (int)found.n, found.at);
        turns_free(&turns);
    }
}
END_TEST

#define ITEM(item) "{\"input\":[" item "]}"

START_TEST(what_cannot_be_honoured_is_refused_by_name)
{
    static const struct {
        const char *body;
        enum status status;
        const char *param, *words;
    } rows[] = {
        {"{}", STATUS_INVALID, "input", "missing"},
        {"{\"input\":5}", STATUS_INVALID, "input", "a string or an array"},
        {"{\"input\":[]}", STATUS_INVALID, "input", "at least one message"},
        {ITEM("{\"role\":\"tool\",\"content\":\"a\"}"), STATUS_INVALID, "input[0].role",
         "\"user\""},
        {ITEM("{\"role\":\"user\"}"), STATUS_INVALID, "input[0].content", "string"},
        {ITEM("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}"), STATUS_UNSUPPORTED,
         "input[0].content[0]", "text only"},
        {ITEM("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":5}]}"),
         STATUS_INVALID, "input[0].content[0]", "its text"},
        {ITEM("{\"type\":\"function_call\",\"name\":\"f\"}"), STATUS_INVALID, "input[0]",
         "call_id"},
        {ITEM("{\"type\":\"web_search_call\"}"), STATUS_UNSUPPORTED, "input[0]", "web_search_call"},
        {ITEM("{\"type\":\"item_reference\",\"id\":\"x\"}"), STATUS_UNSUPPORTED, "input[0]",
         "keeps none"},
        {ITEM("7"), STATUS_INVALID, "input[0]", "an object"},
        {"{\"input\":\"a\",\"instructions\":[]}", STATUS_INVALID, "instructions", "a string"},
        {"{\"input\":\"a\",\"previous_response_id\":\"resp_1\"}", STATUS_UNSUPPORTED,
         "previous_response_id", "keeps no conversations"},
        {"{\"input\":\"a\",\"conversation\":{\"id\":\"x\"}}", STATUS_UNSUPPORTED, "conversation",
         "keeps no conversations"},
        {"{\"input\":\"a\",\"background\":true}", STATUS_UNSUPPORTED, "background", ""},
        {"{\"input\":\"a\",\"prompt\":{\"id\":\"x\"}}", STATUS_UNSUPPORTED, "prompt", ""},
        {"{\"input\":\"a\",\"tools\":[{\"type\":\"web_search\"}]}", STATUS_UNSUPPORTED, "tools[0]",
         "\"function\""},
        {"{\"input\":\"a\",\"tool_choice\":\"required\"}", STATUS_INVALID, "tool_choice", "tools"},
        {"{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"xml\"}}}", STATUS_UNSUPPORTED,
         "text.format", "text.format.type must be"},
        {"{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\"}}}", STATUS_INVALID,
         "text.format", "text.format.schema is missing"},
        {"{\"input\":\"a\",\"max_output_tokens\":0}", STATUS_INVALID, "max_output_tokens",
         "from 1"},
        {"{\"input\":\"a\",\"include\":\"x\"}", STATUS_INVALID, "include", "an array"},
        {"{\"input\":\"a\",\"include\":[5]}", STATUS_INVALID, "include", "strings"},
        {"{\"input\":\"a\",\"reasoning\":{\"effort\":5}}", STATUS_INVALID, "reasoning.effort",
         "a word"},
        {"{\"input\":\"a\",\"metadata\":[1]}", STATUS_INVALID, "metadata", "an object"},
        {"{\"input\":\"a\\u0000\"}", STATUS_INVALID, "input", "\\u0000"},
        /* what changes nothing is let be, and so is what is not known: the template is missing */
        {"{\"input\":\"a\",\"store\":true,\"background\":false,\"previous_response_id\":null,"
         "\"tools\":[],\"tool_choice\":\"auto\",\"text\":{\"format\":{\"type\":\"text\"}},"
         "\"include\":[\"reasoning.encrypted_content\"],\"truncation\":\"disabled\",\"user\":\"x\","
         "\"metadata\":{\"a\":\"b\"},\"reasoning\":{\"effort\":\"low\"},\"new\":1}",
         STATUS_UNABLE, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(&openai_responses, rows[i].body, rows[i].status, rows[i].param, rows[i].words);
}
END_TEST

/* --- answers --- */

struct client { /* what the official one keeps of a stream */
    const struct generation *g;
    double next_number;
    int n_items, n_done, n_parts, n_parts_done, n_texts_done, n_logprobs;
    char types[2][16], texts[2][512];
    char last[40]; /* the event that ended it */
    cJSON *response;
};

static void check_response(const struct client *c, const cJSON *response)
{
    static const char *const names[] = {
        "id",           "object", "created_at", "status", "error",       "incomplete_details",
        "instructions", "model",  "output",     "usage",  "temperature", "parallel_tool_calls",
        "tool_choice",  "tools",  "top_p",      "text",   "metadata",    "max_output_tokens"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        get(response, names[i]);
    ck_assert_str_eq(get_text(response, "id"), "resp_req-1");
    ck_assert_str_eq(get_text(response, "object"), "response");
    ck_assert_str_eq(get_text(response, "model"), "tiny \"one\"");
    ck_assert_str_eq(get_text(response, "instructions"), "be \"brief\"");
    ck_assert_str_eq(get_text(get(response, "metadata"), "a"), "b");
    ck_assert(get(response, "temperature")->valuedouble == 0.5);
    (void)c;
}

static void check_item(struct client *c, int index, const cJSON *item, bool whole)
{
    bool thought = strcmp(c->types[index], "reasoning") == 0;
    const cJSON *content = get(item, "content");
    ck_assert_str_eq(get_text(item, "id"), thought ? "rs_req-1" : "msg_req-1");
    ck_assert_str_eq(get_text(item, "type"), c->types[index]);
    ck_assert_int_eq(cJSON_GetArraySize(content), whole ? 1 : 0);
    if (thought)
        ck_assert_int_eq(cJSON_GetArraySize(get(item, "summary")), 0);
    else
        ck_assert_str_eq(get_text(item, "role"), "assistant");
    if (!whole)
        return;
    ck_assert_str_eq(get_text(content->child, "text"), c->texts[index]);
    ck_assert_str_eq(get_text(content->child, "type"), thought ? "reasoning_text" : "output_text");
    if (!thought) {
        ck_assert_int_eq(cJSON_GetArraySize(get(content->child, "annotations")), 0);
        ck_assert_int_eq(cJSON_GetArraySize(get(content->child, "logprobs")), c->n_logprobs);
    }
}

static void take_response(struct client *c, const char *name, const cJSON *data)
{
    const cJSON *response = get(data, "response");
    check_response(c, response);
    if (c->next_number <= 2) {
        ck_assert_str_eq(name, c->next_number == 1 ? "response.created" : "response.in_progress");
        ck_assert_int_eq(cJSON_GetArraySize(get(response, "output")), 0);
        ck_assert_str_eq(get_text(response, "status"), "in_progress");
        return;
    }
    snprintf(c->last, sizeof c->last, "%s", name + strlen("response."));
    ck_assert_str_eq(get_text(response, "status"), c->last);
    c->response = cJSON_Duplicate(response, true);
}

static void take(void *cls, const char *name, const cJSON *data)
{
    struct client *c = cls;
    ck_assert_str_eq(c->last, "");
    ck_assert(get(data, "sequence_number")->valuedouble == c->next_number);
    c->next_number++;
    if (cJSON_HasObjectItem(data, "response")) {
        take_response(c, name, data);
        return;
    }
    int index = get(data, "output_index")->valueint;
    if (strcmp(name, "response.output_item.added") == 0) {
        ck_assert_int_eq(index, c->n_items);
        ck_assert_int_eq(c->n_done, c->n_items);
        snprintf(c->types[index], sizeof c->types[0], "%s", get_text(get(data, "item"), "type"));
        check_item(c, index, get(data, "item"), false);
        c->n_items++;
        return;
    }
    ck_assert_int_eq(index, c->n_items - 1);
    if (strcmp(name, "response.output_item.done") == 0) {
        ck_assert_int_eq(c->n_parts_done, c->n_items);
        check_item(c, index, get(data, "item"), true);
        c->n_done++;
        return;
    }
    bool thought = strcmp(c->types[index], "reasoning") == 0;
    ck_assert_str_eq(get_text(data, "item_id"), thought ? "rs_req-1" : "msg_req-1");
    ck_assert_int_eq(get(data, "content_index")->valueint, 0);
    if (strcmp(name, "response.content_part.added") == 0) {
        ck_assert_str_eq(get_text(get(data, "part"), "text"), "");
        c->n_parts++;
    } else if (strcmp(name, "response.content_part.done") == 0) {
        ck_assert_int_eq(c->n_texts_done, c->n_items);
        ck_assert_str_eq(get_text(get(data, "part"), "text"), c->texts[index]);
        c->n_parts_done++;
    } else if (strcmp(name, thought ? "response.reasoning_text.done"
                                    : "response.output_text.done") == 0) {
        ck_assert_str_eq(get_text(data, "text"), c->texts[index]);
        if (!thought)
            ck_assert_int_eq(cJSON_GetArraySize(get(data, "logprobs")), c->n_logprobs);
        c->n_texts_done++;
    } else {
        ck_assert_str_eq(name,
                         thought ? "response.reasoning_text.delta" : "response.output_text.delta");
        ck_assert_int_eq(c->n_parts, c->n_items);
        ck_assert_int_eq(c->n_texts_done, c->n_items - 1);
        strcat(c->texts[index], get_text(data, "delta"));
        if (!thought)
            c->n_logprobs += cJSON_GetArraySize(get(data, "logprobs"));
    }
}

struct answered {
    const char *text, *stop;
    const struct reasoning_tags *tags;
    enum finish_reason finish;
    const char *items; /* TYPE:TEXT, separated by '|' */
    const char *status;
};

static void check_last(const struct answered *row, const struct generation *g,
                       const struct client *c)
{
    ck_assert_str_eq(get_text(c->response, "status"), row->status);
    if (row->finish == FINISH_ERROR) {
        ck_assert_str_eq(get_text(get(c->response, "error"), "code"), "server_error");
        return;
    }
    size_t bound = g->dialect->whole_bound(g);
    char *out = malloc(bound);
    size_t n = g->dialect->whole(g, out, bound);
    ck_assert_uint_gt(n, 0);
    cJSON *tree = parse(out, n);
    ck_assert(cJSON_Compare(tree, c->response, true));
    check_response(c, tree);
    ck_assert_int_eq(cJSON_GetArraySize(get(tree, "output")), c->n_items);
    const cJSON *usage = get(tree, "usage");
    ck_assert(get(usage, "output_tokens")->valuedouble == (double)g->choices[0].job->n_completion);
    ck_assert(get(get(usage, "input_tokens_details"), "cached_tokens")->valuedouble == 0);
    double thoughts = get(get(usage, "output_tokens_details"), "reasoning_tokens")->valuedouble;
    ck_assert((thoughts > 0) == (strstr(row->items, "reasoning") != NULL));
    if (strcmp(row->status, "incomplete") == 0)
        ck_assert_str_eq(get_text(get(tree, "incomplete_details"), "reason"), "max_output_tokens");
    cJSON_Delete(tree);
    free(out);
}

static void check_answer(const struct answered *row, int n_logprobs, unsigned polls, size_t room)
{
    struct response_wishes wishes = {.instructions = span("\"be \\\"brief\\\"\""),
                                     .metadata = span("{\"a\":\"b\"}"),
                                     .temperature = 0.5,
                                     .top_p = 1,
                                     .logprobs = n_logprobs >= 0,
                                     .top_logprobs = n_logprobs > 0 ? (uint64_t)n_logprobs : 0};
    struct choice choice = {.job = mini_job(tokenizer, 64, n_logprobs, row->stop)};
    struct generation g = {.choices = &choice,
                           .n_choices = 1,
                           .n_prompts = 1,
                           .stream = true,
                           .chat = true,
                           .wishes = &wishes,
                           .dialect = &openai_responses,
                           .form = ANSWER_SSE,
                           .id = "req-1",
                           .model = "tiny \"one\"",
                           .tokenizer = tokenizer};
    static struct client c;
    c = (struct client){.g = &g};
    reasoning_begin(&choice.reasoning, row->tags, "", 0);
    stream_text(&g, row->text, row->finish, polls, room, take, &c);
    if (row->finish != FINISH_ERROR) {
        char items[1200] = "";
        for (int i = 0; i < c.n_items; i++) {
            size_t n = strlen(items);
            snprintf(items + n, sizeof items - n, "%s%s:%s", i > 0 ? "|" : "", c.types[i],
                     c.texts[i]);
        }
        ck_assert_str_eq(items, row->items);
        ck_assert_int_eq(c.n_done, c.n_items);
        if (n_logprobs < 0)
            ck_assert_int_eq(c.n_logprobs, 0);
        else if (row->tags == NULL)
            ck_assert_int_eq(c.n_logprobs, (int)choice.job->n_tokens);
    }
    check_last(row, &g, &c);
    cJSON_Delete(c.response);
    job_destroy(choice.job);
}

START_TEST(texts_become_items)
{
    static const struct answered rows[] = {
        {"ab c", NULL, NULL, FINISH_STOP, "message:ab c", "completed"},
        {"", NULL, NULL, FINISH_STOP, "message:", "completed"},
        {"ab", NULL, NULL, FINISH_LENGTH, "message:ab", "incomplete"},
        {"ab!cd", "!c", NULL, FINISH_STOP, "message:ab", "completed"},
        {"ab!d", "!c", NULL, FINISH_STOP, "message:ab!d", "completed"},
        {"\xe2\x82\xac\"\n\xf0\x9f\x98\x80", NULL, NULL, FINISH_STOP,
         "message:\xe2\x82\xac\"\n\xf0\x9f\x98\x80", "completed"},
        {"<think>a b</think>\n\nc", NULL, &think, FINISH_STOP, "reasoning:a b|message:c",
         "completed"},
        {"<think>\na\n\n\n\n\n\n\nb\n</think>", NULL, &think, FINISH_STOP,
         "reasoning:a\n\n\n\n\n\n\nb", "completed"},
        {"<think>a <", NULL, &think, FINISH_LENGTH, "reasoning:a <", "incomplete"},
        {"<think></think>a", NULL, &think, FINISH_STOP, "message:a", "completed"},
        {"<thin", NULL, &think, FINISH_STOP, "message:<thin", "completed"},
        {"ab", NULL, NULL, FINISH_ERROR, "", "failed"},
        {"<think>ab", NULL, &think, FINISH_ERROR, "", "failed"},
    };
    static const unsigned polls[] = {0, ~0U, 0x55555555, 0x11111111, 0x0f0f0f0f, 1U << 7};
    static const size_t rooms[] = {0, 12000, 200000};
    static const int logprobs[] = {-1, 0, 2};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t p = 0; p < sizeof polls / sizeof polls[0]; p++)
            for (size_t r = 0; r < sizeof rooms / sizeof rooms[0]; r++)
                for (size_t l = 0; l < sizeof logprobs / sizeof logprobs[0]; l++)
                    check_answer(&rows[i], logprobs[l], polls[p], rooms[r]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/responses");
    TCase *tcase = tcase_create("responses");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, inputs_become_messages);
    tcase_add_test(tcase, what_cannot_be_honoured_is_refused_by_name);
    tcase_add_test(tcase, texts_become_items);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
