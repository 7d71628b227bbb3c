/* decode.c - the bodies of POST /api/generate and POST /api/chat: the tables of their fields, and
 * the rows of the dialect table. Any thread; holds nothing between calls. */
#include "api/ollama/parts.h"

#include "api/asked/calling.h"
#include "api/ollama/messages.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }

/* clang-format off */
/* Members of `options`. */
static const struct field option_rows[] = {
    {"num_predict", FIELD_UINT, .min = 1, .max = ASKED_EXACT, .below_absent = true,
     .nullable = true, ASKED(max_tokens)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = 0.8, .nullable = true, ASKED(temperature)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .initial = 40, .minus_one_most = true,
     .nullable = true, ASKED(top_k)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 0.9, .nullable = true, ASKED(top_p)},
    {"min_p", FIELD_NUMBER, .max = 1, .nullable = true, ASKED(min_p)},
    {"typical_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(typical_p)},
    {"seed", FIELD_SEED, .below_absent = true, .nullable = true, ASKED(seed)},
    {"stop", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"repeat_penalty", FIELD_NUMBER, .min = 0.1, .max = 10, .initial = 1, .nullable = true,
     ASKED(repetition_penalty)},
    {"repeat_last_n", FIELD_UINT, BOUND_CONTEXT, .initial = 64, .minus_one_most = true,
     .nullable = true, ASKED(repetition_window)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(frequency_penalty)},
    {"num_ctx", FIELD_UINT, BOUND_CONTEXT, .nullable = true, ASKED(context)},
    {"parse_special", FIELD_BOOL, .nullable = true, ASKED(parse_special)},
    {"mirostat", FIELD_NONE, .refused = "only plain sampling is supported"},
    IGNORED("mirostat_tau"), IGNORED("mirostat_eta"), IGNORED("tfs_z"),
    IGNORED("penalize_newline"), IGNORED("num_keep"), IGNORED("num_batch"), IGNORED("num_gpu"),
    IGNORED("main_gpu"), IGNORED("num_thread"), IGNORED("numa"), IGNORED("low_vram"),
    IGNORED("f16_kv"), IGNORED("logits_all"), IGNORED("vocab_only"), IGNORED("use_mmap"),
    IGNORED("use_mlock"), IGNORED("embedding_only"), IGNORED("draft_num_predict"),
};
static const struct field_table options = {.fields = option_rows,
                                           .n_fields = sizeof option_rows / sizeof option_rows[0],
                                           .inside = "options"};

/* Fields that both have. */
static const struct field shared_rows[] = {
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"stream", FIELD_BOOL, .initial = true, .nullable = true, ASKED(stream)},
    {"think", FIELD_ANY, .nullable = true, ASKED(reasoning)},
    {"logprobs", FIELD_BOOL, .nullable = true, ASKED(chat_logprobs)},
    {"top_logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(top_logprobs)},
    {"format", FIELD_ANY, .nullable = true, ASKED(format)},
    IGNORED("keep_alive"), IGNORED("truncate"), IGNORED("shift"),
};
static const struct field_table shared = {.fields = shared_rows,
                                          .n_fields = sizeof shared_rows / sizeof shared_rows[0],
                                          .more = &options};

static const struct field generate_rows[] = {
    {"prompt", FIELD_ANY, .nullable = true, ASKED(prompt)},
    {"system", FIELD_RAW, .nullable = true, ASKED(system)},
    {"raw", FIELD_BOOL, .nullable = true, ASKED(raw)},
    {"suffix", FIELD_NONE, .refused = "filling in between two texts is not supported"},
    {"images", FIELD_NONE, .refused = "this model reads text only"},
    {"template", FIELD_ANY, .nullable = true, ASKED(chat_template)},
    {"context", FIELD_NONE,
     .refused = "earlier answers cannot be gone on with by their tokens; send the conversation to "
                "/api/chat"},
    IGNORED("width"), IGNORED("height"), IGNORED("steps"),
};
const struct field_table ollama_generate_fields = {
    .fields = generate_rows,
    .n_fields = sizeof generate_rows / sizeof generate_rows[0],
    .more = &shared,
    .lenient = true};

static const struct field chat_rows[] = {
    {"messages", FIELD_RAW, .nullable = true, ASKED(messages)},
    {"tools", FIELD_RAW, .nullable = true, ASKED(tools)},
};
const struct field_table ollama_chat_fields = {.fields = chat_rows,
                                               .n_fields = sizeof chat_rows / sizeof chat_rows[0],
                                               .more = &shared,
                                               .lenient = true};
/* clang-format on */

/* --- from the values on --- */

/* The word that templates use for it; "": nothing was asked for. */
static enum status read_think(const struct asking *a, struct json_span *kwargs, struct error *err)
{
    static const struct {
        const char *level, *kwargs;
    } levels[] = {
        {"low", "{\"enable_thinking\":true,\"thinking\":true,\"reasoning_effort\":\"low\"}"},
        {"medium", "{\"enable_thinking\":true,\"thinking\":true,\"reasoning_effort\":\"medium\"}"},
        {"high", "{\"enable_thinking\":true,\"thinking\":true,\"reasoning_effort\":\"high\"}"},
    };
    const struct cJSON *think = a->values.reasoning;
    const char *text = NULL, *source = chat_template_source(a->source->chat);
    if (think == NULL || values_is_text(think, ""))
        return STATUS_OK;
    if (cJSON_IsBool(think))
        text = cJSON_IsTrue(think) ? "{\"enable_thinking\":true,\"thinking\":true}"
                                   : "{\"enable_thinking\":false,\"thinking\":false}";
    for (size_t i = 0; text == NULL && i < sizeof levels / sizeof levels[0]; i++)
        text = values_is_text(think, levels[i].level) ? levels[i].kwargs : NULL;
    if (text == NULL)
        return error_set_param(err, STATUS_INVALID, "think",
                               "think must be true, false, \"low\", \"medium\" or \"high\"");
    if (!cJSON_IsFalse(think) && (source == NULL || reasoning_find(source) == NULL))
        return error_set_param(err, STATUS_UNSUPPORTED, "think",
                               "think: this model does not support thinking");
    *kwargs = (struct json_span){text, strlen(text)};
    return STATUS_OK;
}

/* "json", or a schema; clients say "" for none. */
static enum status read_format(struct asking *a, struct error *err)
{
    const struct cJSON *format = a->values.format;
    const struct shape_reading reading = asking_shape(a, offsetof(struct asked, format));
    if (format == NULL || values_is_text(format, ""))
        return STATUS_OK;
    if (values_is_text(format, "json"))
        return shape_set(&reading, SHAPE_OBJECT, "", format, err);
    if (!cJSON_IsObject(format))
        return error_set_param(
            err, STATUS_INVALID, reading.field, "format must be \"json\" or a JSON Schema, not %s",
            cJSON_IsString(format) ? "another string" : fields_type_name(format));
    return shape_set(&reading, SHAPE_SCHEMA, "", format, err);
}

static enum status read_body(struct asking *a, const struct field_table *table,
                             const struct generation_source *source, struct json_span *kwargs,
                             struct error *err)
{
    const struct asked *v = &a->values;
    enum status status = asking_read(a, table, source, err);
    if (status == STATUS_OK && v->top_logprobs > 0 && !v->chat_logprobs)
        status = error_set_param(err, STATUS_INVALID, "top_logprobs",
                                 "top_logprobs needs logprobs: true");
    if (status == STATUS_OK)
        status = read_format(a, err);
    if (status == STATUS_OK)
        status = read_think(a, kwargs, err);
    a->builder.default_tokens = SIZE_MAX; /* as many as the context leaves */
    a->builder.n_logprobs = v->chat_logprobs ? (int)v->top_logprobs : -1;
    return status;
}

/* A prompt without a template around it. */
static enum status add_raw(struct asking *a, struct generation *g, struct error *err)
{
    if (a->values.chat_template != NULL)
        return error_set_param(err, STATUS_INVALID, "template",
                               "template: a raw prompt has no template around it");
    if (a->values.system.n > 2) /* more than its quotes */
        return error_set_param(err, STATUS_INVALID, "system",
                               a->values.raw ? "system: a raw prompt has no template to put it into"
                                             : "system: this model has no template to put it into");
    return asking_add(a, g, a->values.prompt, err);
}

/* The prompt as the first message. */
static enum status add_message(struct asking *a, struct generation *g, struct json_span kwargs,
                               struct error *err)
{
    struct ollama_messages messages = {.text = NULL};
    enum status status =
        ollama_messages_of_prompt(&messages, a->values.system, a->values.prompt->valuestring, err);
    const struct chat_request request = {
        .messages = messages.span, .kwargs = kwargs, .add_generation_prompt = true};
    if (status == STATUS_OK)
        status = asking_add_chat(a, g, &request, "prompt", err);
    ollama_messages_free(&messages);
    return status;
}

static enum status decode_generate(struct generation *g, const struct generation_source *source,
                                   struct error *err)
{
    struct asking a = {.source = NULL};
    const struct asked *v = &a.values;
    struct json_span kwargs = {NULL, 0};
    enum status status = read_body(&a, &ollama_generate_fields, source, &kwargs, err);
    if (status == STATUS_OK && v->prompt != NULL && !cJSON_IsString(v->prompt))
        status = error_set_param(err, STATUS_INVALID, "prompt", "prompt must be a string, not %s",
                                 fields_type_name(v->prompt));
    if (status == STATUS_OK && v->system.n > 0 && v->system.at[0] != '"')
        status = error_set_param(err, STATUS_INVALID, "system", "system must be a string");
    if (values_is_text(v->chat_template, "")) /* as clients say that they have none */
        a.values.chat_template = NULL;
    bool plain = v->raw || (v->chat_template == NULL && chat_template_absent(source->chat));
    bool asks = status == STATUS_OK && v->prompt != NULL && v->prompt->valuestring[0] != '\0';
    if (asks)
        status = plain ? add_raw(&a, g, err) : add_message(&a, g, kwargs, err);
    g->chat = false; /* it is answered as a text, whatever its prompt was */
    asking_end(&a, g, status);
    return status;
}

static enum status read_tools(struct asking *a, struct error *err)
{
    const struct cJSON *tools = values_member(a->found.root, "tools"), *tool;
    struct tool_set *set = NULL;
    size_t i = 0;
    if (tools != NULL && !cJSON_IsArray(tools))
        return error_set_param(err, STATUS_INVALID, "tools", "tools must be an array");
    enum status status = asking_tools(a, true, &set, err);
    cJSON_ArrayForEach(tool, tools)
    {
        char path[48];
        const struct cJSON *function = values_member(tool, "function");
        snprintf(path, sizeof path, "tools[%zu].function", i++);
        if (status == STATUS_OK && !cJSON_IsObject(function))
            status = error_set_param(err, STATUS_INVALID, path,
                                     "%s must be an object with a name and parameters", path);
        if (status == STATUS_OK)
            status = tool_check_description(path, values_member(function, "description"), err);
        if (status == STATUS_OK)
            status = tool_set_add(set, path, values_member(function, "name"),
                                  values_member(function, "parameters"), err);
    }
    a->tells_calls = true;
    return status;
}

static enum status decode_chat(struct generation *g, const struct generation_source *source,
                               struct error *err)
{
    struct asking a = {.source = NULL};
    struct ollama_messages messages = {.text = NULL};
    struct json_span kwargs = {NULL, 0};
    enum status status = read_body(&a, &ollama_chat_fields, source, &kwargs, err);
    if (status == STATUS_OK && a.values.messages.n > 0)
        status = ollama_messages_of_chat(&messages, a.values.messages, err);
    if (status == STATUS_OK)
        status = read_tools(&a, err);
    if (status == STATUS_OK && messages.n > 0) {
        const struct chat_request request = {.messages = messages.span,
                                             .tools = a.values.tools,
                                             .kwargs = kwargs,
                                             .add_generation_prompt = true,
                                             .join_parts = true};
        status = asking_add_chat(&a, g, &request, "messages", err);
    }
    ollama_messages_free(&messages);
    g->chat = status == STATUS_OK;
    asking_end(&a, g, status);
    return status;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    (void)accept;
    return g->stream && g->n_choices > 0 ? ANSWER_LINES : ANSWER_JSON;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return json_error_fit(ollama_put_error, what, message, param, out, room);
}

#define WRITERS                                                                                    \
    .types = {[ANSWER_JSON] = "application/json", [ANSWER_LINES] = "application/x-ndjson"},        \
    .on_pool = true, .form = form, .whole_bound = ollama_whole_bound, .whole = ollama_whole,       \
    .event_min = ollama_event_min, .event = ollama_event, .error = write_error

const struct dialect ollama_generate = {.name = "ollama generate",
                                        .fields = &ollama_generate_fields,
                                        .decode = decode_generate,
                                        WRITERS};
const struct dialect ollama_chat = {
    .name = "ollama chat", .fields = &ollama_chat_fields, .decode = decode_chat, WRITERS};
