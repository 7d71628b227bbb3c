/* whole.c - a finished response as one JSON object, and the parts that events write like it. Loop
 * thread; allocates nothing. */
#include "api/llama/llama.h"
#include "api/responses/items.h"

#include <string.h>

static const char *status_name(enum response_status status)
{
    static const char *const names[] = {[RESPONSE_RUNNING] = "in_progress",
                                        [RESPONSE_COMPLETED] = "completed",
                                        [RESPONSE_INCOMPLETE] = "incomplete",
                                        [RESPONSE_FAILED] = "failed"};
    return names[status];
}

enum response_status responses_status(const struct job *job)
{
    if (generation_failed(job))
        return RESPONSE_FAILED;
    return job->finish == FINISH_STOP ? RESPONSE_COMPLETED : RESPONSE_INCOMPLETE;
}

void responses_put_id(struct json_writer *w, const struct generation *g, const char *prefix)
{
    json_raw(w, "\"");
    json_raw(w, prefix);
    json_raw(w, "_");
    json_raw(w, g->id);
    json_raw(w, "\"");
}

/* --- what the model wrote --- */

struct response_part responses_thought(const struct generation *g, const struct reasoning *r)
{
    return (struct response_part){.item = "rs",
                                  .thought = true,
                                  .text = g->choices[0].job->text + r->thought[0],
                                  .n_text = r->thought[1] - r->thought[0]};
}

struct response_part responses_answer(const struct generation *g, const struct reasoning *r)
{
    const struct job *job = g->choices[0].job;
    struct response_part part = {.item = "msg",
                                 .text = job->text + r->answer[0],
                                 .n_text = r->answer[1] - r->answer[0],
                                 .end = job->n_tokens};
    while (r->answer[0] > 0 && part.begin < part.end &&
           job->tokens[part.begin].text_end <= r->answer[0])
        part.begin++;
    return part;
}

void responses_put_part(struct json_writer *w, const struct generation *g,
                        const struct response_part *part)
{
    if (part->thought) {
        json_raw(w, "{\"type\":\"reasoning_text\"");
    } else {
        json_raw(w, "{\"type\":\"output_text\",\"annotations\":[]");
        responses_put_logprobs(w, g, part->begin, part->end);
    }
    json_raw(w, ",\"text\":");
    json_string(w, part->text, part->n_text);
    json_raw(w, "}");
}

void responses_put_item(struct json_writer *w, const struct generation *g,
                        const struct response_part *part, enum response_status status, bool whole)
{
    json_raw(w, "{\"id\":");
    responses_put_id(w, g, part->item);
    json_name_text(w, ",", "status", status_name(status));
    json_raw(w, part->thought ? ",\"type\":\"reasoning\",\"summary\":[]"
                              : ",\"type\":\"message\",\"role\":\"assistant\"");
    json_raw(w, ",\"content\":[");
    if (whole)
        responses_put_part(w, g, part);
    json_raw(w, "]}");
}

static void put_output(struct json_writer *w, const struct generation *g,
                       enum response_status status, const struct reasoning *r)
{
    bool thought = r->thought[1] > r->thought[0], answered = r->answer[1] > r->answer[0];
    if (g->tools != NULL) {
        responses_put_items(w, g, status_name(status));
        return;
    }
    if (thought) {
        struct response_part part = responses_thought(g, r);
        responses_put_item(w, g, &part, r->stage == REASONING_OVER ? RESPONSE_COMPLETED : status,
                           true);
    }
    if (answered || !thought) {
        struct response_part part = responses_answer(g, r);
        json_raw(w, thought ? "," : "");
        responses_put_item(w, g, &part, status, true);
    }
}

/* --- the object --- */

static void put_value(struct json_writer *w, struct json_span span, const char *absent)
{
    if (span.n == 0)
        json_raw(w, absent);
    else if (w->room - w->n < span.n)
        w->full = true;
    else {
        memcpy(w->out + w->n, span.at, span.n);
        w->n += span.n;
    }
}

static void put_span(struct json_writer *w, const char *name, struct json_span span,
                     const char *absent)
{
    json_name(w, ",", name);
    put_value(w, span, absent);
}

/* The body's settings, or the defaults. */
static void put_wishes(struct json_writer *w, const struct response_wishes *wishes)
{
    put_span(w, "instructions", wishes->instructions, "null");
    json_name(w, ",", "max_output_tokens");
    if (wishes->max_output_tokens > 0)
        json_uint(w, wishes->max_output_tokens);
    else
        json_raw(w, "null");
    put_span(w, "metadata", wishes->metadata, "{}");
    json_name(w, ",", "reasoning");
    json_name(w, "{", "effort");
    if (wishes->effort[0] != '\0')
        json_string(w, wishes->effort, strlen(wishes->effort));
    else
        json_raw(w, "null");
    json_raw(w, ",\"summary\":null}");
    json_name(w, ",", "temperature");
    json_float(w, (float)wishes->temperature);
    json_name(w, ",", "top_p");
    json_float(w, (float)wishes->top_p);
    json_name_uint(w, ",", "top_logprobs", wishes->top_logprobs);
    put_span(w, "tools", wishes->tools, "[]");
    put_span(w, "tool_choice", wishes->tool_choice, "\"auto\"");
    json_name_bool(w, ",", "parallel_tool_calls", wishes->parallel_calls);
    json_raw(w, ",\"background\":false,\"previous_response_id\":null,"
                "\"service_tier\":\"default\",\"store\":false,\"text\":{\"format\":");
    put_value(w, wishes->format, "{\"type\":\"text\"}");
    json_raw(w, "},\"truncation\":\"disabled\",\"user\":null");
}

static void put_usage(struct json_writer *w, const struct generation *g)
{
    struct generation_usage usage = generation_usage(g);
    json_name_uint(w, ",\"usage\":{", "input_tokens", usage.prompt);
    json_name_uint(w, ",\"input_tokens_details\":{", "cached_tokens", usage.cached);
    json_name_uint(w, ",", "cache_write_tokens", 0);
    json_name_uint(w, "},", "output_tokens", usage.completion);
    json_name_uint(w, ",\"output_tokens_details\":{", "reasoning_tokens",
                   generation_thought_tokens(&g->choices[0]));
    json_name_uint(w, "},", "total_tokens", usage.prompt + usage.completion);
    json_raw(w, "}");
}

static void put_error(struct json_writer *w, const struct job *job)
{
    const char *text = job->error.text[0] != '\0' ? job->error.text : "the request was cancelled";
    json_raw(w, ",\"error\":{\"code\":\"server_error\",\"message\":");
    json_string(w, text, strlen(text));
    json_raw(w, "}");
}

static void put_completed_at(struct json_writer *w, const struct generation *g,
                             enum response_status status)
{
    const struct job *job = g->choices[0].job;
    if (status != RESPONSE_COMPLETED) {
        json_raw(w, ",\"completed_at\":null");
        return;
    }
    uint64_t end_ns = job->last_token_ns > job->read_ns ? job->last_token_ns : job->read_ns;
    uint64_t took_ns = end_ns > job->arrived_ns ? end_ns - job->arrived_ns : 0;
    json_name_uint(w, ",", "completed_at", g->created + took_ns / 1000000000u);
}

void responses_put(struct json_writer *w, const struct generation *g, enum response_status status,
                   const struct reasoning *r)
{
    json_raw(w, "{\"id\":");
    responses_put_id(w, g, "resp");
    json_name_text(w, ",", "object", "response");
    json_name_uint(w, ",", "created_at", g->created);
    put_completed_at(w, g, status);
    json_name_text(w, ",", "status", status_name(status));
    json_name_text(w, ",", "model", g->model);
    if (status == RESPONSE_FAILED)
        put_error(w, g->choices[0].job);
    else
        json_raw(w, ",\"error\":null");
    json_raw(w, status == RESPONSE_INCOMPLETE
                    ? ",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"
                    : ",\"incomplete_details\":null");
    json_raw(w, ",\"output\":[");
    if (r != NULL)
        put_output(w, g, status, r);
    json_raw(w, "]");
    put_wishes(w, responses_wishes(g));
    if (status == RESPONSE_COMPLETED || status == RESPONSE_INCOMPLETE)
        put_usage(w, g);
    else
        json_raw(w, ",\"usage\":null");
    json_raw(w, "}");
}

void responses_put_timings(struct json_writer *w, const struct generation *g, bool finished)
{
    const struct job *job = g->choices[0].job;
    if (!responses_wishes(g)->tells_timings)
        return;
    if (finished) {
        llama_put_final_timings(w, job);
    } else {
        const struct generation_ready ready = generation_ready(job);
        const struct generation_mark now = {.n_read = (uint32_t)job->n_prompt,
                                            .n_tokens = (uint32_t)ready.n_tokens};
        llama_put_timings(w, job, &now);
    }
}

size_t responses_bound(const struct generation *g)
{
    enum { OBJECT = 1536, MESSAGE = 2560 /* of an error */ };
    const struct response_wishes *wishes = responses_wishes(g);
    return OBJECT + MESSAGE + strlen(g->id) + json_string_bound(strlen(g->model)) +
           wishes->instructions.n + wishes->metadata.n + wishes->tools.n + wishes->tool_choice.n +
           wishes->format.n;
}

size_t responses_output_bound(const struct generation *g, size_t n_text, size_t n_tokens)
{
    enum { ITEMS = 1024 };
    size_t each =
        responses_wishes(g)->logprobs ? json_logprob_bound(g->tokenizer, g->choices[0].job) : 0;
    return ITEMS + 4 * strlen(g->id) + json_string_bound(n_text) + n_tokens * each;
}

size_t responses_whole_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    if (g->tools != NULL)
        return responses_bound(g) + responses_items_bound(g, job->n_text, true);
    return responses_bound(g) + responses_output_bound(g, job->n_text, job->n_tokens);
}

size_t responses_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    const struct job *job = g->choices[0].job;
    struct reasoning r = g->choices[0].reasoning;
    reasoning_advance(&r, job->text, job->n_text, true);
    responses_put(&w, g, responses_status(job), &r);
    json_raw(&w, "\n");
    return w.full ? 0 : w.n;
}
