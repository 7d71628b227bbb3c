/* decode.c - the bodies of POST /v1/completions and POST /v1/chat/completions: the tables of their
 * fields, and the rows of the dialect table. Any thread; holds nothing between calls. */
#include "api/openai/parts.h"

#include "api/asked/asked.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLETION_TOKENS = 16 }; /* OpenAI's default of max_tokens */

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }

/* clang-format off */
/* Fields that both have; those of vLLM and llama.cpp's server come after them. */
static const struct field shared_rows[] = {
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"stream", FIELD_BOOL, .nullable = true, ASKED(stream)},
    {"stream_options", FIELD_ANY, .nullable = true, ASKED(stream_options)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = 1, .nullable = true, ASKED(temperature)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(top_p)},
    {"n", FIELD_UINT, .min = 1, .max = 1024, .initial = 1, .nullable = true, ASKED(n)},
    {"stop", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(frequency_penalty)},
    {"logit_bias", FIELD_ANY, .nullable = true, ASKED(logit_bias)},
    IGNORED("user"), IGNORED("metadata"), IGNORED("store"), IGNORED("service_tier"),
    IGNORED("safety_identifier"), IGNORED("prompt_cache_key"), IGNORED("prompt_cache_retention"),
};
static const struct field_table shared = {.fields = shared_rows,
                                          .n_fields = sizeof shared_rows / sizeof shared_rows[0],
                                          .more = &asked_extras};

static const struct field completion_rows[] = {
    {"prompt", FIELD_ANY, ASKED(prompt)},
    {"max_tokens", FIELD_UINT, .max = ASKED_EXACT, .minus_one = true, .nullable = true,
     ASKED(max_tokens)},
    {"echo", FIELD_BOOL, .nullable = true, ASKED(echo)},
    {"logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(logprobs)},
    {"best_of", FIELD_UINT, .min = 1, .max = 1024, .nullable = true, ASKED(best_of)},
    {"add_special_tokens", FIELD_BOOL, .initial = true, .nullable = true, ASKED(add_special)},
    {"suffix", FIELD_NONE, .refused = "filling in between two texts is not supported"},
    {"response_format", FIELD_ANY, .nullable = true, ASKED(response_format)},
};
const struct field_table openai_completion_fields = {
    .fields = completion_rows,
    .n_fields = sizeof completion_rows / sizeof completion_rows[0],
    .more = &shared,
    .lenient = true};

static const struct field chat_rows[] = {
    {"messages", FIELD_RAW, ASKED(messages)},
    {"max_completion_tokens", FIELD_UINT, .max = ASKED_EXACT, .minus_one = true, .nullable = true,
     ASKED(max_tokens)},
    {"max_tokens", FIELD_UINT, .max = ASKED_EXACT, .minus_one = true, .nullable = true,
     ASKED(max_tokens)},
    {"logprobs", FIELD_BOOL, .nullable = true, ASKED(chat_logprobs)},
    {"top_logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(top_logprobs)},
    {"add_generation_prompt", FIELD_BOOL, .initial = true, .nullable = true,
     ASKED(add_generation_prompt)},
    {"continue_final_message", FIELD_BOOL, .nullable = true, ASKED(continue_final)},
    {"chat_template_kwargs", FIELD_RAW, .nullable = true, ASKED(template_kwargs)},
    {"documents", FIELD_RAW, .nullable = true, ASKED(documents)},
    {"reasoning_effort", FIELD_RAW, .nullable = true, ASKED(reasoning_effort)},
    {"response_format", FIELD_ANY, .nullable = true, ASKED(response_format)},
    {"chat_template", FIELD_ANY, .nullable = true, ASKED(chat_template)},
    {"tools", FIELD_RAW, .nullable = true, ASKED(tools)},
    {"functions", FIELD_NONE, .refused = "tools have taken their place"},
    {"tool_choice", FIELD_ANY, .nullable = true, ASKED(tool_choice)},
    {"function_call", FIELD_NONE, .refused = "tool_choice has taken its place"},
    {"modalities", FIELD_ANY, .nullable = true, ASKED(modalities)},
    {"audio", FIELD_NONE, .refused = "this server answers with text only"},
    {"prediction", FIELD_NONE, .no_effect = true},
    {"verbosity", FIELD_NONE, .no_effect = true},
    {"parallel_tool_calls", FIELD_BOOL, .initial = true, .nullable = true, ASKED(parallel_calls)},
    {"web_search_options", FIELD_NONE, .refused = "this server searches nothing"},
    {"echo", FIELD_NONE, .refused = "a chat's prompt is not echoed"},
};
const struct field_table openai_chat_fields = {.fields = chat_rows,
                                               .n_fields = sizeof chat_rows / sizeof chat_rows[0],
                                               .more = &shared,
                                               .lenient = true};
/* clang-format on */

/* --- from the values on --- */

/* Fields that can ask for more than plain text, and the values that ask for nothing more. */
static enum status check_shape(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct shape_reading format = asking_shape(a, offsetof(struct asked, response_format));
    enum status status = shape_read_format(&format, v->response_format, err);
    if (status != STATUS_OK)
        return status;
    if (v->modalities != NULL &&
        (cJSON_GetArraySize(v->modalities) != 1 || !values_is_text(v->modalities->child, "text")))
        return error_set_param(err, STATUS_UNSUPPORTED, "modalities",
                               "modalities: this server answers with text only");
    return STATUS_OK;
}

static enum status read_usage(const struct asked *v, struct generation *g, struct error *err)
{
    if (v->stream_options == NULL)
        return STATUS_OK;
    if (!cJSON_IsObject(v->stream_options))
        return error_set_param(err, STATUS_INVALID, "stream_options",
                               "stream_options must be an object, not %s",
                               fields_type_name(v->stream_options));
    if (!v->stream)
        return error_set_param(err, STATUS_INVALID, "stream_options",
                               "stream_options: only a stream has them (stream: true)");
    const struct cJSON *usage = values_member(v->stream_options, "include_usage");
    if (usage != NULL && !cJSON_IsBool(usage))
        return error_set_param(err, STATUS_INVALID, "stream_options",
                               "stream_options.include_usage must be true or false, not %s",
                               fields_type_name(usage));
    g->include_usage = cJSON_IsTrue(usage);
    return STATUS_OK;
}

static enum status read_shared(struct asking *a, const struct field_table *table,
                               struct generation *g, const struct generation_source *source,
                               struct error *err)
{
    enum status status = asking_read(a, table, source, err);
    if (status == STATUS_OK)
        status = check_shape(a, err);
    if (status == STATUS_OK)
        status = read_usage(&a->values, g, err);
    a->builder.no_cache = !a->values.cache_prompt;
    a->builder.answer_only = true;
    return status;
}

/* A string, ids, or a list of either. */
static enum status add_prompts(struct asking *a, struct generation *g, struct error *err)
{
    const struct cJSON *prompt = a->values.prompt, *first;
    bool list = cJSON_IsArray(prompt) && (first = prompt->child) != NULL && !cJSON_IsNumber(first);
    if (!list)
        return asking_add(a, g, prompt, err);
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(prompt, a->values.prompt)
    {
        status = asking_add(a, g, prompt, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

static enum status decode_completion(struct generation *g, const struct generation_source *source,
                                     struct error *err)
{
    struct asking a = {.source = NULL};
    const struct asked *v = &a.values;
    enum status status = read_shared(&a, &openai_completion_fields, g, source, err);
    if (status == STATUS_OK && asking_has(&a, offsetof(struct asked, best_of)) &&
        v->best_of != v->n)
        status = error_set_param(err, STATUS_UNSUPPORTED, "best_of",
                                 "best_of must equal n: no further answers are made");
    a.builder.default_tokens = COMPLETION_TOKENS;
    if (v->echo && a.builder.n_logprobs >= 0)
        a.builder.n_prompt_logprobs = a.builder.n_logprobs;
    if (status == STATUS_OK)
        status = add_prompts(&a, g, err);
    asking_end(&a, g, status);
    return status;
}

enum status openai_add_messages(struct asking *a, struct generation *g, struct error *err)
{
    const struct asked *v = &a->values;
    char *joined = NULL;
    struct chat_request request = {
        .messages = v->messages,
        .tools = v->tools,
        .documents = v->documents,
        .add_generation_prompt = v->add_generation_prompt && !v->continue_final,
        .continue_final_message = v->continue_final,
        .join_parts = true,
    };
    if (v->messages.n == 0)
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages is missing: give an array of messages");
    size_t at = 0;
    struct json_span first;
    if (v->messages.at[0] == '[' && !json_next_element(v->messages.at, v->messages.n, &at, &first))
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages must hold at least one message");
    if (v->continue_final && v->add_generation_prompt &&
        asking_has(a, offsetof(struct asked, add_generation_prompt)))
        return error_set_param(err, STATUS_INVALID, "continue_final_message",
                               "continue_final_message goes on with the last message, and "
                               "add_generation_prompt begins another: only one can be true");
    enum status status = asking_join_kwargs(a, "", &joined, &request.kwargs, err);
    if (status == STATUS_OK)
        status = asking_add_chat(a, g, &request, "messages", err);
    free(joined);
    return status;
}

enum status openai_read_chat(struct asking *a, const struct field_table *table,
                             struct generation *g, const struct generation_source *source,
                             struct error *err)
{
    const struct asked *v = &a->values;
    enum status status = read_shared(a, table, g, source, err);
    bool has_top = asking_has(a, offsetof(struct asked, top_logprobs));
    if (status == STATUS_OK && has_top && v->top_logprobs > 0 && !v->chat_logprobs)
        status = error_set_param(err, STATUS_INVALID, "top_logprobs",
                                 "top_logprobs needs logprobs: true");
    a->tells_calls = true;
    if (status == STATUS_OK)
        status = openai_read_tools(a, err);
    a->builder.default_tokens = SIZE_MAX;
    a->builder.n_logprobs = v->chat_logprobs ? (int)v->top_logprobs : -1;
    return status;
}

static enum status decode_chat(struct generation *g, const struct generation_source *source,
                               struct error *err)
{
    struct asking a = {.source = NULL};
    enum status status = openai_read_chat(&a, &openai_chat_fields, g, source, err);
    if (status == STATUS_OK)
        status = openai_add_messages(&a, g, err);
    asking_end(&a, g, status);
    return status;
}

enum answer_form openai_form(const struct generation *g, const char *accept)
{
    (void)accept; /* clients of this API say application/json and read events all the same */
    return g->stream ? ANSWER_SSE : ANSWER_JSON;
}

#define WRITERS                                                                                    \
    .types =                                                                                       \
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},   \
    .keep_alive = ": keep-alive\n\n", .form = openai_form, .whole_bound = openai_whole_bound,      \
    .whole = openai_whole, .event_min = openai_event_min, .event = openai_event,                   \
    .error = json_error

const struct dialect openai_completions = {.name = "openai completions",
                                           .fields = &openai_completion_fields,
                                           .decode = decode_completion,
                                           WRITERS};
const struct dialect openai_chat = {.name = "openai chat",
                                    .fields = &openai_chat_fields,
                                    .on_pool = true,
                                    .decode = decode_chat,
                                    WRITERS};
