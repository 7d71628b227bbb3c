/* decode.c - the body of POST /v1/responses: the table of its fields, and the row of the dialect
 * table. Any thread; holds nothing between calls. */
#include "api/responses/parts.h"

#include "api/asked/asked.h"
#include "api/json/error_body.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }
static const char keeps_nothing[] =
    "this server keeps no conversations; send the whole of it in input";

/* clang-format off */
static const struct field rows[] = {
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"input", FIELD_RAW, .nullable = true, ASKED(messages)},
    {"instructions", FIELD_RAW, .nullable = true, ASKED(system)},
    {"max_output_tokens", FIELD_UINT, .min = 1, .max = ASKED_EXACT, .nullable = true,
     ASKED(max_tokens)},
    {"stream", FIELD_BOOL, .nullable = true, ASKED(stream)},
    {"temperature", FIELD_NUMBER, .max = 5, .initial = 1, .nullable = true, ASKED(temperature)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(top_p)},
    {"top_logprobs", FIELD_UINT, .max = JOB_LOGPROBS_MAX, .nullable = true, ASKED(top_logprobs)},
    {"include", FIELD_ANY, .nullable = true, ASKED(include)},
    {"reasoning", FIELD_ANY, .nullable = true, ASKED(reasoning)},
    {"text", FIELD_ANY, .nullable = true, ASKED(response_format)},
    {"tool_choice", FIELD_ANY, .nullable = true, ASKED(tool_choice)},
    {"metadata", FIELD_RAW, .nullable = true, ASKED(metadata)},
    {"chat_template_kwargs", FIELD_RAW, .nullable = true, ASKED(template_kwargs)},
    {"stop", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"presence_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(presence_penalty)},
    {"frequency_penalty", FIELD_NUMBER, .min = -2, .max = 2, .nullable = true,
     ASKED(frequency_penalty)},
    {"logit_bias", FIELD_ANY, .nullable = true, ASKED(logit_bias)},
    {"timings_per_token", FIELD_BOOL, .nullable = true, ASKED(timings_per_token)},
    {"return_progress", FIELD_BOOL, .nullable = true, ASKED(return_progress)},
    {"previous_response_id", FIELD_NONE, .refused = keeps_nothing},
    {"conversation", FIELD_NONE, .refused = keeps_nothing},
    {"background", FIELD_NONE, .refused = "answers are made while the client waits"},
    {"prompt", FIELD_NONE, .refused = "this server keeps no prompts; send the text in input"},
    {"context_management", FIELD_NONE, .refused = "the conversation is read as it is sent"},
    {"moderation", FIELD_NONE, .refused = "this server moderates nothing"},
    {"tools", FIELD_RAW, .nullable = true, ASKED(tools)},
    {"parallel_tool_calls", FIELD_BOOL, .initial = true, .nullable = true, ASKED(parallel_calls)},
    IGNORED("store"), IGNORED("stream_options"), IGNORED("truncation"), IGNORED("user"),
    IGNORED("service_tier"), IGNORED("safety_identifier"), IGNORED("prompt_cache_key"),
    IGNORED("prompt_cache_retention"), IGNORED("prompt_cache_options"),
    IGNORED("max_tool_calls"), IGNORED("background_options"),
    IGNORED("access_programs"), IGNORED("image"),
};
const struct field_table openai_response_fields = {.fields = rows,
                                                   .n_fields = sizeof rows / sizeof rows[0],
                                                   .more = &asked_extras,
                                                   .lenient = true};
/* clang-format on */

/* --- from the values on --- */

/* Fields that can ask for more than plain text, and the values that ask for nothing more. */
static enum status check_shape(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct shape_reading format = {&a->shape, a->source->limits, "text.format"};
    enum status status = values_check_object(v->response_format, "text", err);
    if (status == STATUS_OK)
        status = values_check_object(v->reasoning, "reasoning", err);
    if (status == STATUS_OK)
        status = shape_read_format(&format, values_member(v->response_format, "format"), err);
    if (status != STATUS_OK)
        return status;
    if (v->metadata.n > 0 && v->metadata.at[0] != '{')
        return error_set_param(err, STATUS_INVALID, "metadata", "metadata must be an object");
    return STATUS_OK;
}

/* Which log-probabilities an answer lists. What cannot be included is there for none of the items
 * that this server makes. */
static enum status read_include(struct asking *a, struct response_wishes *wishes, struct error *err)
{
    const struct cJSON *include = a->values.include, *item;
    if (include != NULL && !cJSON_IsArray(include))
        return error_set_param(err, STATUS_INVALID, "include", "include must be an array, not %s",
                               fields_type_name(include));
    cJSON_ArrayForEach(item, include)
    {
        if (!cJSON_IsString(item))
            return error_set_param(err, STATUS_INVALID, "include",
                                   "include must hold strings, not %s", fields_type_name(item));
        wishes->logprobs |= values_is_text(item, "message.output_text.logprobs");
    }
    wishes->top_logprobs = a->values.top_logprobs;
    wishes->logprobs |= wishes->top_logprobs > 0;
    a->builder.n_logprobs = wishes->logprobs ? (int)wishes->top_logprobs : -1;
    return STATUS_OK;
}

static enum status read_effort(const struct asked *v, struct response_wishes *wishes,
                               struct error *err)
{
    const struct cJSON *effort = values_member(v->reasoning, "effort");
    if (effort == NULL)
        return STATUS_OK;
    size_t n = cJSON_IsString(effort) ? strlen(effort->valuestring) : 0;
    if (n == 0 || n > RESPONSES_EFFORT_MAX ||
        strspn(effort->valuestring, "abcdefghijklmnopqrstuvwxyz") != n)
        return error_set_param(err, STATUS_INVALID, "reasoning.effort",
                               "reasoning.effort must be a word such as \"low\" or \"high\"");
    memcpy(wishes->effort, effort->valuestring, n + 1);
    return STATUS_OK;
}

/* The parts of the body that answers repeat, in one piece of memory. */
static enum status keep_wishes(const struct asking *a, struct generation *g, struct error *err)
{
    const struct asked *v = &a->values;
    const struct cJSON *shape = values_member(v->response_format, "format");
    char *choice = v->tool_choice != NULL ? cJSON_PrintUnformatted(v->tool_choice) : NULL;
    char *format = shape != NULL ? cJSON_PrintUnformatted(shape) : NULL;
    const struct json_span parts[] = {v->system,
                                      v->metadata,
                                      v->tools,
                                      {choice, choice != NULL ? strlen(choice) : 0},
                                      {format, format != NULL ? strlen(format) : 0}};
    size_t bytes = sizeof(struct response_wishes);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        bytes += parts[i].n;
    struct response_wishes *wishes = malloc(bytes);
    if (wishes == NULL || (v->tool_choice != NULL && choice == NULL) ||
        (shape != NULL && format == NULL)) {
        cJSON_free(choice);
        cJSON_free(format);
        free(wishes);
        return error_no_memory(err, bytes, "a request");
    }
    *wishes = (struct response_wishes){
        .parallel_calls = v->parallel_calls,
        .temperature = v->temperature,
        .top_p = v->top_p,
        .max_output_tokens = v->max_tokens,
        .tells_timings = v->timings_per_token,
        .tells_progress = v->return_progress,
    };
    struct json_span *const kept[] = {&wishes->instructions, &wishes->metadata, &wishes->tools,
                                      &wishes->tool_choice, &wishes->format};
    char *text = (char *)(wishes + 1);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *kept[i] = (struct json_span){text, parts[i].n};
        if (parts[i].n > 0)
            memcpy(text, parts[i].at, parts[i].n);
        text += parts[i].n;
    }
    cJSON_free(choice);
    cJSON_free(format);
    g->wishes = wishes;
    return STATUS_OK;
}

static enum status add_input(struct asking *a, struct generation *g, struct error *err)
{
    const struct asked *v = &a->values;
    struct turns turns = {.memory = NULL};
    struct tool_list tools = {.memory = NULL};
    char *joined = NULL, effort[RESPONSES_EFFORT_MAX + 32] = "";
    const struct response_wishes *wishes = responses_wishes(g);
    struct chat_request request = {.add_generation_prompt = true, .join_parts = true};
    if (wishes->effort[0] != '\0')
        snprintf(effort, sizeof effort, "\"reasoning_effort\":\"%s\",", wishes->effort);
    enum status status = responses_conversation(v->system, v->messages, &turns, err);
    if (status == STATUS_OK)
        status = responses_read_tools(a, &tools, err);
    if (status == STATUS_OK)
        status = asking_join_kwargs(a, effort, &joined, &request.kwargs, err);
    if (status == STATUS_OK) {
        request.messages = turns_end(&turns);
        request.tools = tool_list_end(&tools);
        status = asking_add_chat(a, g, &request, "input", err);
    }
    free(joined);
    turns_free(&turns);
    tool_list_free(&tools);
    return status;
}

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct asking a = {.source = NULL};
    enum status status = asking_read(&a, &openai_response_fields, source, err);
    if (status == STATUS_OK)
        status = check_shape(&a, err);
    if (status == STATUS_OK)
        status = keep_wishes(&a, g, err);
    if (status == STATUS_OK)
        status = read_include(&a, responses_wishes(g), err);
    if (status == STATUS_OK)
        status = read_effort(&a.values, responses_wishes(g), err);
    a.builder.default_tokens = SIZE_MAX;
    a.builder.answer_only = true;
    a.builder.no_cache = !a.values.cache_prompt;
    a.builder.progress =
        a.values.stream && (a.values.return_progress || a.values.timings_per_token);
    if (status == STATUS_OK)
        status = add_input(&a, g, err);
    asking_end(&a, g, status);
    return status;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    (void)accept; /* clients of this API say application/json and read events all the same */
    return g->stream ? ANSWER_SSE : ANSWER_JSON;
}

/* --- the count of an input's tokens --- */

static size_t count_bound(const struct generation *g)
{
    (void)g;
    return 96;
}

static size_t count(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_text(&w, "{", "object", "response.input_tokens");
    json_name_uint(&w, ",", "input_tokens", g->choices[0].job->n_prompt);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

const struct dialect openai_responses_count = {
    .name = "openai responses count",
    .fields = &openai_response_fields,
    .on_pool = true,
    .decode = decode,
    .whole_bound = count_bound,
    .whole = count,
    .error = json_error,
};

const struct dialect openai_responses = {
    .name = "openai responses",
    .fields = &openai_response_fields,
    .types =
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},
    .on_pool = true,
    .keep_alive = ": keep-alive\n\n",
    .decode = decode,
    .form = form,
    .whole_bound = responses_whole_bound,
    .whole = responses_whole,
    .event_min = responses_event_min,
    .event = responses_event,
    .error = json_error,
};
