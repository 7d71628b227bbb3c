/* calls.c - the events of a response with tools: each item added, filled and done. Loop thread;
 * allocates nothing. */
#include "api/responses/calls.h"

#include "api/llama/llama.h"
#include "api/responses/items.h"

#include <string.h>

enum { ENVELOPE = 384 + LLAMA_TIMINGS_BOUND };

static bool keep(struct json_writer *w, const struct generation *g, size_t before, size_t n_events)
{
    bool kept = json_keep(w, before);
    responses_wishes(g)->sequence -= kept ? 0 : n_events;
    return kept;
}

/* Up to what differs between events of an item; takes the next number. */
static void open_event(struct json_writer *w, const struct generation *g, const char *type,
                       const struct response_place *p, bool in_part)
{
    json_raw(w, "event: ");
    json_raw(w, type);
    json_raw(w, "\ndata: {");
    json_name_text(w, "", "type", type);
    json_name_uint(w, ",", "sequence_number", responses_wishes(g)->sequence++);
    json_name_uint(w, ",", "output_index", p->i);
    if (in_part || p->kind == ITEM_CALL) {
        json_raw(w, ",\"item_id\":");
        responses_put_item_id(w, g, p->kind, p->i);
    }
    if (in_part)
        json_raw(w, ",\"content_index\":0");
}

static struct response_place place_of(const struct generation *g, size_t n_text, bool finished)
{
    const struct response_wishes *wishes = responses_wishes(g);
    const struct choice *choice = &g->choices[0];
    return (struct response_place){.kind = (enum response_item)wishes->open,
                                   .i = wishes->n_items - 1,
                                   .call = choice->reader.n_calls - 1,
                                   .tool = choice->reader.tool,
                                   .n_text = n_text,
                                   .finished = finished};
}

static bool begin_item(struct json_writer *w, struct generation *g, enum response_item kind)
{
    struct response_wishes *wishes = responses_wishes(g);
    const unsigned open = wishes->open;
    size_t before = w->n, first = wishes->sequence;
    wishes->open = kind;
    wishes->n_items++;
    const struct response_place p = place_of(g, 0, false);
    open_event(w, g, "response.output_item.added", &p, false);
    json_raw(w, ",\"item\":");
    responses_put_kind(w, g, &p, "in_progress");
    json_raw(w, "}\n\n");
    if (kind != ITEM_CALL) {
        open_event(w, g, "response.content_part.added", &p, true);
        json_raw(w, ",\"part\":");
        responses_put_content(w, g, &p);
        json_raw(w, "}\n\n");
    }
    if (keep(w, g, before, wishes->sequence - first))
        return true;
    wishes->open = open;
    wishes->n_items--;
    return false;
}

/* The events that end the open item, with all that it has; true also where none is open. */
static bool end_item(struct json_writer *w, struct generation *g, size_t n_text, bool finished,
                     const char *status)
{
    struct response_wishes *wishes = responses_wishes(g);
    size_t before = w->n, first = wishes->sequence;
    if (wishes->open == ITEM_NONE)
        return true;
    struct response_place p = place_of(g, n_text, finished);
    p.whole = true;
    const bool call = p.kind == ITEM_CALL;
    open_event(w, g,
               call                     ? "response.function_call_arguments.done"
               : p.kind == ITEM_THOUGHT ? "response.reasoning_text.done"
                                        : "response.output_text.done",
               &p, !call);
    if (call)
        json_name_text(w, ",", "name", p.tool->name);
    if (p.kind == ITEM_TEXT)
        responses_put_told_logprobs(w, g, &p);
    json_raw(w, call ? ",\"arguments\":\"" : ",\"text\":\"");
    responses_put_told(w, g, p.i, n_text, finished);
    json_raw(w, "\"}\n\n");
    if (!call) {
        open_event(w, g, "response.content_part.done", &p, true);
        json_raw(w, ",\"part\":");
        responses_put_content(w, g, &p);
        json_raw(w, "}\n\n");
    }
    open_event(w, g, "response.output_item.done", &p, false);
    json_raw(w, ",\"item\":");
    responses_put_kind(w, g, &p, status);
    json_raw(w, "}\n\n");
    if (!keep(w, g, before, wishes->sequence - first))
        return false;
    wishes->open = ITEM_NONE;
    return true;
}

/* Tokens from the next one on whose text ends in the event's first bytes, if there are
 * log-probabilities of them; *n: so many bytes, up to the end of one that adds to the text. */
static size_t tokens_of(const struct generation *g, const struct tool_event *e, size_t n_tokens,
                        size_t *n)
{
    const struct response_wishes *wishes = responses_wishes(g);
    const struct job *job = g->choices[0].job;
    if (!wishes->logprobs || e->kind != TOOL_TEXT)
        return 0;
    const size_t from = (size_t)(e->bytes - job->text);
    size_t at = wishes->next_token;
    while (at < n_tokens && job->tokens[at].text_end <= from)
        at++;
    if (at == n_tokens || job->tokens[at].text_end > from + *n)
        return 0;
    *n = job->tokens[at].text_end - from;
    return at + 1 - wishes->next_token;
}

/* As much of the event's bytes as fits, in whole characters, or with log-probabilities a token's;
 * the rest is told again. */
static bool write_delta(struct json_writer *w, struct generation *g, const struct tool_event *e,
                        size_t n_tokens)
{
    struct response_wishes *wishes = responses_wishes(g);
    const struct response_place p = place_of(g, 0, false);
    const size_t envelope = ENVELOPE + strlen(g->id);
    size_t room = w->room - w->n, before = w->n, n = e->n;
    if (room < envelope + json_string_bound(4)) {
        w->full = true;
        return false;
    }
    if (n > (room - envelope) / 6) {
        n = (room - envelope) / 6;
        while (n > 0 && ((unsigned char)e->bytes[n] & 0xc0) == 0x80)
            n--;
    }
    open_event(w, g,
               p.kind == ITEM_CALL      ? "response.function_call_arguments.delta"
               : p.kind == ITEM_THOUGHT ? "response.reasoning_text.delta"
                                        : "response.output_text.delta",
               &p, p.kind != ITEM_CALL);
    const size_t n_told = tokens_of(g, e, n_tokens, &n);
    if (p.kind == ITEM_TEXT)
        responses_put_logprobs(w, g, wishes->next_token, wishes->next_token + n_told);
    json_raw(w, ",\"delta\":");
    json_string(w, e->bytes, n);
    responses_put_timings(w, g, false);
    json_raw(w, "}\n\n");
    if (!keep(w, g, before, 1))
        return false;
    wishes->next_token += n_told;
    if (n < e->n) {
        struct tool_event rest = *e;
        rest.bytes += n;
        rest.n -= n;
        tool_reader_put_back(&g->choices[0].reader, &rest);
    }
    return true;
}

static bool write_event(struct json_writer *w, struct generation *g, const struct tool_event *e,
                        const struct tool_reader *before, const struct generation_ready *ready,
                        bool finished)
{
    struct response_wishes *wishes = responses_wishes(g);
    const struct job *job = g->choices[0].job;
    const size_t n_text = ready->n_text;
    if (e->kind == TOOL_CALL_END)
        return end_item(w, g, n_text, finished, "completed");
    if (responses_item_begins(e, (enum response_item)wishes->open)) {
        struct tool_reader now = g->choices[0].reader;
        g->choices[0].reader = *before; /* the item that ends is before the event */
        bool ended = end_item(w, g, n_text, finished, "completed");
        g->choices[0].reader = now;
        if (!ended || !begin_item(w, g, responses_item_of(e)))
            return false;
        while (e->kind == TOOL_TEXT && wishes->next_token < ready->n_tokens &&
               job->tokens[wishes->next_token].text_end <= (size_t)(e->bytes - job->text))
            wishes->next_token++;
    }
    return e->kind == TOOL_CALL || write_delta(w, g, e, ready->n_tokens);
}

bool responses_write_told(struct json_writer *w, struct generation *g,
                          const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    const bool finished = ready->finished && !generation_failed(choice->job);
    struct tool_reader before = choice->reader;
    struct tool_event e;
    while (tool_reader_next(&choice->reader, choice->job->text, ready->n_text, finished, &e)) {
        if (!write_event(w, g, &e, &before, ready, finished)) {
            choice->reader = before;
            return false;
        }
        before = choice->reader;
    }
    choice->sent.n_tokens = (uint32_t)ready->n_tokens;
    if (!finished)
        return true;
    const char *status = choice->job->finish == FINISH_STOP ? "completed" : "incomplete";
    if (responses_wishes(g)->n_items == 0 && !begin_item(w, g, ITEM_TEXT))
        return false;
    return end_item(w, g, ready->n_text, true, status);
}

size_t responses_call_min(const struct generation *g)
{
    enum { EVENTS = 4 * ENVELOPE + 4 * 6 * TOOL_NAME_MAX };
    const struct choice *choice = &g->choices[0];
    struct generation_ready ready = generation_ready(choice->job);
    const bool finished = ready.finished && !generation_failed(choice->job);
    struct tool_reader reader = choice->reader;
    struct tool_event e;
    bool goes_on = tool_reader_next(&reader, choice->job->text, ready.n_text, finished, &e) &&
                   e.kind != TOOL_CALL_END &&
                   !responses_item_begins(&e, (enum response_item)responses_wishes(g)->open);
    size_t bound = EVENTS + 8 * strlen(g->id);
    if (responses_wishes(g)->logprobs)
        bound += ready.n_tokens * json_logprob_bound(g->tokenizer, choice->job);
    if (!goes_on) /* an item ends, and is told again three times */
        bound += 4 * responses_items_bound(g, ready.n_text, finished);
    return bound;
}
