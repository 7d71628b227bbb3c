/* whole.c - a finished message as one JSON object, what events write like it, and errors. Loop
 * thread; allocates nothing. */
#include "api/anthropic/parts.h"

#include "api/json/error_body.h"

#include <string.h>

enum { BLOCKS_BOUND = 512 };

static const struct message_wishes *wishes_of(const struct generation *g)
{
    return g->wishes;
}

const char *anthropic_stop_reason(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    const struct message_wishes *wishes = wishes_of(g);
    if (job->finish == FINISH_STOP && generation_n_calls(g, &g->choices[0]) > 0)
        return "tool_use";
    if (job->finish == FINISH_STOP)
        return job->stop_index >= 0 ? "stop_sequence" : "end_turn";
    if (job->finish == FINISH_DEADLINE) /* sent back, the answer goes on */
        return "pause_turn";
    bool filled = job->n_prompt + job->max_tokens >= wishes->n_context;
    return filled && wishes->max_tokens > job->max_tokens ? "model_context_window_exceeded"
                                                          : "max_tokens";
}

void anthropic_put_stop(struct json_writer *w, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    json_name_text(w, "", "stop_reason", anthropic_stop_reason(g));
    json_raw(w, ",\"stop_sequence\":");
    if (job->finish == FINISH_STOP && job->stop_index >= 0)
        json_string(w, job->stops[job->stop_index].bytes, job->stops[job->stop_index].n);
    else
        json_raw(w, "null");
}

void anthropic_put_usage(struct json_writer *w, const struct generation *g)
{
    struct generation_usage usage = generation_usage(g);
    json_name_uint(w, ",\"usage\":{", "input_tokens", usage.prompt - usage.cached);
    json_name_uint(w, ",", "cache_creation_input_tokens", 0);
    json_name_uint(w, ",", "cache_read_input_tokens", usage.cached);
    json_name_uint(w, ",", "output_tokens", usage.completion);
    json_name_uint(w, ",\"output_tokens_details\":{", "thinking_tokens",
                   generation_thought_tokens(&g->choices[0]));
    json_raw(w, "}}");
}

void anthropic_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                         size_t n_message, const char *param)
{
    static const struct {
        unsigned http;
        const char *type;
    } rows[] = {
        {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"},
        {413, "request_too_large"},    {429, "rate_limit_error"}, {503, "overloaded_error"},
    };
    const char *type = what->http >= 500 ? "api_error" : "invalid_request_error";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].http == what->http)
            type = rows[i].type;
    json_raw(w, "{\"type\":\"error\",\"error\":{");
    json_name_text(w, "", "type", type);
    json_raw(w, ",\"message\":");
    json_string(w, message, n_message);
    json_name_text(w, ",\"details\":{", "error_code", what->code);
    if (param != NULL && param[0] != '\0')
        json_name_text(w, ",", "param", param);
    json_raw(w, "}},\"request_id\":");
    if (what->id != NULL)
        json_string(w, what->id, strlen(what->id));
    else
        json_raw(w, "null");
    json_raw(w, "}");
}

/* --- the whole answer --- */

static void put_content(struct json_writer *w, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    struct reasoning r = g->choices[0].reasoning;
    reasoning_advance(&r, job->text, job->n_text, true);
    bool thought = r.thought[1] > r.thought[0], answered = r.answer[1] > r.answer[0];
    json_raw(w, ",\"content\":[");
    if (thought) {
        size_t n = wishes_of(g)->hides_thoughts ? 0 : r.thought[1] - r.thought[0];
        json_raw(w, "{\"type\":\"thinking\",\"thinking\":");
        json_string(w, job->text + r.thought[0], n);
        json_raw(w, ",\"signature\":");
        anthropic_put_signature(w, g);
        json_raw(w, "}");
    }
    if (answered || (!thought && anthropic_empty_block(g))) {
        json_raw(w, thought ? ",{\"type\":\"text\",\"text\":" : "{\"type\":\"text\",\"text\":");
        json_string(w, job->text + r.answer[0], r.answer[1] - r.answer[0]);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static size_t stop_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    size_t most = 0;
    for (size_t i = 0; i < job->n_stops; i++)
        most = job->stops[i].n > most ? job->stops[i].n : most;
    return 96 + json_string_bound(most);
}

size_t anthropic_whole_bound(const struct generation *g)
{
    return anthropic_head_bound(g) + BLOCKS_BOUND + strlen(g->id) + stop_bound(g) +
           json_string_bound(g->choices[0].job->n_text) + ANTHROPIC_USAGE_BOUND +
           2 * anthropic_told_bound(g);
}

size_t anthropic_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    anthropic_put_head(&w, g);
    if (g->tools != NULL) {
        json_raw(&w, ",\"content\":[");
        anthropic_put_told(&w, g);
        json_raw(&w, "]");
    } else {
        put_content(&w, g);
    }
    json_raw(&w, ",");
    anthropic_put_stop(&w, g);
    anthropic_put_usage(&w, g);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

size_t anthropic_event_min(const struct generation *g)
{
    enum { ENVELOPE = 512 };
    return anthropic_head_bound(g) + stop_bound(g) + ANTHROPIC_USAGE_BOUND + ENVELOPE +
           JSON_ERROR_EVENT_BOUND + anthropic_call_min(g);
}
