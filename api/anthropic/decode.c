/* decode.c - the bodies of POST /v1/messages and /v1/messages/count_tokens: the tables of their
 * fields, and the rows of the dialect table. Any thread; holds nothing between calls. */
#include "api/anthropic/parts.h"

#include "api/asked/asked.h"
#include "api/json/error_body.h"
#include "base/append.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }

/* clang-format off */
/* Fields that both have. */
static const struct field shared_rows[] = {
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"messages", FIELD_RAW, ASKED(messages)},
    {"system", FIELD_RAW, .nullable = true, ASKED(system)},
    {"thinking", FIELD_ANY, .nullable = true, ASKED(reasoning)},
    {"output_config", FIELD_ANY, .nullable = true, ASKED(response_format)},
    {"output_format", FIELD_ANY, .nullable = true, ASKED(format)},
    {"tool_choice", FIELD_ANY, .nullable = true, ASKED(tool_choice)},
    {"chat_template_kwargs", FIELD_RAW, .nullable = true, ASKED(template_kwargs)},
    {"tools", FIELD_RAW, .nullable = true, ASKED(tools)},
    {"mcp_servers", FIELD_NONE, .refused = "this server calls no others"},
    {"container", FIELD_NONE, .refused = "this server runs no code"},
    {"context_management", FIELD_NONE, .refused = "the conversation is read as it is sent"},
    IGNORED("cache_control"), IGNORED("speed"), IGNORED("user_profile_id"),
    IGNORED("workspace_id"), IGNORED("betas"), IGNORED("anthropic_version"),
    IGNORED("anthropic_beta"),
};
static const struct field_table shared = {.fields = shared_rows,
                                          .n_fields = sizeof shared_rows / sizeof shared_rows[0],
                                          .more = &asked_extras};

static const struct field message_rows[] = {
    {"max_tokens", FIELD_UINT, .max = ASKED_EXACT, ASKED(max_tokens)},
    {"stream", FIELD_BOOL, .nullable = true, ASKED(stream)},
    {"stop_sequences", FIELD_ANY, .nullable = true, ASKED(stop)},
    {"temperature", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(temperature)},
    {"top_p", FIELD_NUMBER, .max = 1, .initial = 1, .nullable = true, ASKED(top_p)},
    {"top_k", FIELD_UINT, BOUND_VOCABULARY, .minus_one = true, .nullable = true, ASKED(top_k)},
    IGNORED("metadata"), IGNORED("service_tier"), IGNORED("inference_geo"),
    IGNORED("diagnostics"),
};
const struct field_table anthropic_message_fields = {
    .fields = message_rows,
    .n_fields = sizeof message_rows / sizeof message_rows[0],
    .more = &shared,
    .lenient = true};
const struct field_table anthropic_count_fields = {
    .fields = shared_rows,
    .n_fields = sizeof shared_rows / sizeof shared_rows[0],
    .more = &asked_extras,
    .lenient = true};
/* clang-format on */

/* --- from the values on --- */

/* Fields that can ask for more than plain text, and the values that ask for nothing more. */
static enum status check_shape(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct shape_reading config = {&a->shape, a->source->limits, "output_config.format"};
    const struct shape_reading beta = {&a->shape, a->source->limits, "output_format"};
    enum status status = values_check_object(v->response_format, "output_config", err);
    if (status == STATUS_OK)
        status = values_check_object(v->tool_choice, "tool_choice", err);
    if (status == STATUS_OK)
        status = shape_read_format(&config, values_member(v->response_format, "format"), err);
    if (status == STATUS_OK)
        status = shape_read_format(&beta, v->format, err);
    if (status != STATUS_OK)
        return status;
    return STATUS_OK;
}

enum { VARIABLES_ROOM = 128 };

/* The template's variables that "thinking" stands for; the budget is let be. */
static enum status read_thinking(const struct asked *v, struct message_wishes *wishes,
                                 char out[VARIABLES_ROOM], struct error *err)
{
    const struct cJSON *type = values_member(v->reasoning, "type");
    const struct cJSON *display = values_member(v->reasoning, "display");
    enum status status = values_check_object(v->reasoning, "thinking", err);
    if (status != STATUS_OK || v->reasoning == NULL)
        return status;
    bool thinks = values_is_text(type, "enabled") || values_is_text(type, "adaptive");
    if (!thinks && !values_is_text(type, "disabled"))
        return error_set_param(err, STATUS_INVALID, "thinking.type",
                               "thinking.type must be \"enabled\", \"adaptive\" or \"disabled\"");
    if (display != NULL && !values_is_text(display, "summarized") &&
        !values_is_text(display, "omitted"))
        return error_set_param(err, STATUS_INVALID, "thinking.display",
                               "thinking.display must be \"summarized\" or \"omitted\"");
    wishes->hides_thoughts = values_is_text(display, "omitted");
    snprintf(out, VARIABLES_ROOM, "\"enable_thinking\":%s,", thinks ? "true" : "false");
    return STATUS_OK;
}

static enum status read_effort(const struct asked *v, char out[VARIABLES_ROOM], struct error *err)
{
    const struct cJSON *effort = values_member(v->response_format, "effort");
    if (effort == NULL)
        return STATUS_OK;
    size_t n = cJSON_IsString(effort) ? strlen(effort->valuestring) : 0;
    if (n == 0 || n > 16 || strspn(effort->valuestring, "abcdefghijklmnopqrstuvwxyz") != n)
        return error_set_param(err, STATUS_INVALID, "output_config.effort",
                               "output_config.effort must be a word such as \"low\" or \"high\"");
    size_t used = strlen(out);
    append_text(out, VARIABLES_ROOM, &used, "\"reasoning_effort\":\"%s\",", effort->valuestring);
    return STATUS_OK;
}

static enum status add_messages(struct asking *a, struct generation *g, const char *variables,
                                struct error *err)
{
    const struct asked *v = &a->values;
    struct turns turns = {.memory = NULL};
    struct tool_list tools = {.memory = NULL};
    char *joined = NULL;
    struct chat_request request = {.join_parts = true};
    enum status status = anthropic_conversation(v->system, v->messages, &turns,
                                                &request.continue_final_message, err);
    if (status == STATUS_OK)
        status = anthropic_read_tools(a, &tools, err);
    if (status == STATUS_OK)
        status = asking_join_kwargs(a, variables, &joined, &request.kwargs, err);
    if (status == STATUS_OK) {
        request.messages = turns_end(&turns);
        request.tools = tool_list_end(&tools);
        request.add_generation_prompt = !request.continue_final_message;
        status = asking_add_chat(a, g, &request, "messages", err);
    }
    free(joined);
    turns_free(&turns);
    tool_list_free(&tools);
    return status;
}

static enum status decode_shared(struct asking *a, struct generation *g, struct error *err)
{
    char variables[VARIABLES_ROOM] = "";
    struct message_wishes *wishes = calloc(1, sizeof *wishes);
    if (wishes == NULL)
        return error_no_memory(err, sizeof *wishes, "a request");
    g->wishes = wishes;
    wishes->max_tokens = a->values.max_tokens;
    wishes->n_context = a->source->limits->n_context;
    enum status status = check_shape(a, err);
    if (status == STATUS_OK)
        status = read_thinking(&a->values, wishes, variables, err);
    if (status == STATUS_OK)
        status = read_effort(&a->values, variables, err);
    a->builder.answer_only = true;
    a->builder.no_cache = !a->values.cache_prompt;
    if (status == STATUS_OK)
        status = add_messages(a, g, variables, err);
    return status;
}

static enum status decode_message(struct generation *g, const struct generation_source *source,
                                  struct error *err)
{
    struct asking a = {.source = NULL};
    enum status status = asking_read(&a, &anthropic_message_fields, source, err);
    if (status == STATUS_OK && !asking_has(&a, offsetof(struct asked, max_tokens)))
        status = error_set_param(err, STATUS_INVALID, "max_tokens",
                                 "max_tokens is missing: say how long the answer may become");
    /* More than the context leaves is no error in this API: the answer says that it was met. */
    a.builder.has_max_tokens = false;
    a.builder.default_tokens = a.values.max_tokens;
    if (status == STATUS_OK)
        status = decode_shared(&a, g, err);
    asking_end(&a, g, status);
    return status;
}

/* A prompt may be counted that is longer than the context. */
static enum status decode_count(struct generation *g, const struct generation_source *source,
                                struct error *err)
{
    struct asking a = {.source = NULL};
    enum status status = asking_read(&a, &anthropic_count_fields, source, err);
    struct api_limits limits = *source->limits;
    struct generation_source boundless = *source;
    limits.n_context = UINT32_MAX;
    limits.max_prompt_tokens = 0;
    boundless.limits = &limits;
    a.source = &boundless;
    a.builder.default_tokens = 1;
    if (status == STATUS_OK)
        status = decode_shared(&a, g, err);
    asking_end(&a, g, status);
    return status;
}

static enum answer_form form(const struct generation *g, const char *accept)
{
    (void)accept; /* clients of this API say application/json and read events all the same */
    return g->stream ? ANSWER_SSE : ANSWER_JSON;
}

static enum answer_form form_of_count(const struct generation *g, const char *accept)
{
    (void)g;
    (void)accept;
    return ANSWER_JSON;
}

static size_t count_bound(const struct generation *g)
{
    (void)g;
    return 64;
}

static size_t count(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_uint(&w, "{", "input_tokens", g->choices[0].job->n_prompt);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

static size_t error(const struct api_error *what, const char *message, const char *param, char *out,
                    size_t room)
{
    return json_error_fit(anthropic_put_error, what, message, param, out, room);
}

static const char id_header[] = "request-id"; /* as the official clients look for it */
static const char ping[] = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

const struct dialect anthropic_messages = {
    .name = "anthropic",
    .fields = &anthropic_message_fields,
    .types =
        {[ANSWER_JSON] = "application/json", [ANSWER_SSE] = "text/event-stream; charset=utf-8"},
    .on_pool = true,
    .keep_alive = ping,
    .id_header = id_header,
    .decode = decode_message,
    .form = form,
    .whole_bound = anthropic_whole_bound,
    .whole = anthropic_whole,
    .event_min = anthropic_event_min,
    .event = anthropic_event,
    .error = error,
};

const struct dialect anthropic_count = {
    .name = "anthropic count",
    .fields = &anthropic_count_fields,
    .types = {[ANSWER_JSON] = "application/json"},
    .on_pool = true,
    .id_header = id_header,
    .decode = decode_count,
    .form = form_of_count,
    .whole_bound = count_bound,
    .whole = count,
    .error = error,
};
