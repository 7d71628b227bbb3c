/* items.c - the output of a response with tools as items: what the model thought, its text and its
 * calls, in the order in which the reader tells of them. Loop thread; allocates nothing. */
#include "api/responses/items.h"

#include <string.h>

enum response_item responses_item_of(const struct tool_event *e)
{
    return e->kind == TOOL_THOUGHT ? ITEM_THOUGHT : e->kind == TOOL_TEXT ? ITEM_TEXT : ITEM_CALL;
}

bool responses_item_begins(const struct tool_event *e, enum response_item open)
{
    return e->kind == TOOL_CALL || responses_item_of(e) != open;
}

void responses_put_item_id(struct json_writer *w, const struct generation *g,
                           enum response_item kind, size_t i)
{
    static const char *const prefixes[] = {
        [ITEM_NONE] = "", [ITEM_THOUGHT] = "rs_", [ITEM_TEXT] = "msg_", [ITEM_CALL] = "fc_"};
    json_raw(w, "\"");
    json_raw(w, prefixes[kind]);
    json_raw(w, g->id);
    if (i > 0) {
        json_raw(w, "_");
        json_uint(w, i);
    }
    json_raw(w, "\"");
}

void responses_put_told(struct json_writer *w, const struct generation *g, size_t i, size_t n_text,
                        bool finished)
{
    const struct choice *choice = &g->choices[0];
    enum response_item open = ITEM_NONE;
    struct tool_reader r;
    struct tool_event e;
    size_t n = 0;
    tool_reader_begin(&r, g->tools, &choice->reasoning);
    while (n <= i + 1 && tool_reader_next(&r, choice->job->text, n_text, finished, &e)) {
        if (responses_item_begins(&e, open))
            n++;
        open = responses_item_of(&e);
        if (n == i + 1 && e.kind != TOOL_CALL && e.kind != TOOL_CALL_END)
            json_inside(w, e.bytes, e.n);
    }
}

/* Tokens from *begin on whose text ends after `from` and not after `to`; the last of them adds to
 * the text. */
static size_t tokens_until(const struct job *job, size_t n_tokens, size_t from, size_t to,
                           size_t *begin)
{
    size_t at = 0, end;
    while (at < n_tokens && job->tokens[at].text_end <= from)
        at++;
    *begin = end = at;
    for (size_t last = from; at < n_tokens && job->tokens[at].text_end <= to; at++) {
        end = job->tokens[at].text_end > last ? at + 1 : end;
        last = job->tokens[at].text_end;
    }
    return end;
}

void responses_put_told_logprobs(struct json_writer *w, const struct generation *g,
                                 const struct response_place *p)
{
    const struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    enum response_item open = ITEM_NONE;
    struct tool_reader r;
    struct tool_event e;
    size_t n = 0, from = SIZE_MAX, to = 0, begin = 0, end = 0;
    tool_reader_begin(&r, g->tools, &choice->reasoning);
    while (p->whole && responses_wishes(g)->logprobs && n <= p->i + 1 &&
           tool_reader_next(&r, job->text, p->n_text, p->finished, &e)) {
        n += responses_item_begins(&e, open) ? 1 : 0;
        open = responses_item_of(&e);
        if (n != p->i + 1 || e.kind != TOOL_TEXT)
            continue;
        from = from == SIZE_MAX ? (size_t)(e.bytes - job->text) : from;
        to = (size_t)(e.bytes - job->text) + e.n;
    }
    if (from != SIZE_MAX)
        end = tokens_until(job, generation_ready(job).n_tokens, from, to, &begin);
    responses_put_logprobs(w, g, begin, end);
}

/* The item: text NULL: it begins. */
void responses_put_kind(struct json_writer *w, const struct generation *g,
                        const struct response_place *p, const char *status)
{
    char id[TOOL_ID_MAX];
    json_raw(w, "{\"id\":");
    responses_put_item_id(w, g, p->kind, p->i);
    json_name_text(w, ",", "status", status);
    if (p->kind == ITEM_CALL) {
        tool_call_id(g->tools, "call_", g->id, 0, p->call, id);
        json_name_text(w, ",\"type\":\"function_call\",", "call_id", id);
        json_name_text(w, ",", "name", p->tool->name);
        json_raw(w, ",\"arguments\":\"");
        if (p->whole)
            responses_put_told(w, g, p->i, p->n_text, p->finished);
        json_raw(w, "\"}");
        return;
    }
    json_raw(w, p->kind == ITEM_THOUGHT ? ",\"type\":\"reasoning\",\"summary\":[],\"content\":["
                                        : ",\"type\":\"message\",\"role\":\"assistant\","
                                          "\"content\":[");
    if (p->whole)
        responses_put_content(w, g, p);
    json_raw(w, "]}");
}

void responses_put_content(struct json_writer *w, const struct generation *g,
                           const struct response_place *p)
{
    json_raw(w, p->kind == ITEM_THOUGHT ? "{\"type\":\"reasoning_text\""
                                        : "{\"type\":\"output_text\",\"annotations\":[]");
    if (p->kind == ITEM_TEXT)
        responses_put_told_logprobs(w, g, p);
    json_raw(w, ",\"text\":\"");
    if (p->whole)
        responses_put_told(w, g, p->i, p->n_text, p->finished);
    json_raw(w, "\"}");
}

void responses_put_items(struct json_writer *w, const struct generation *g, const char *status)
{
    const struct choice *choice = &g->choices[0];
    const size_t n_text = choice->job->n_text;
    enum response_item open = ITEM_NONE;
    struct tool_reader r;
    struct tool_event e;
    size_t n = 0;
    tool_reader_begin(&r, g->tools, &choice->reasoning);
    while (tool_reader_next(&r, choice->job->text, n_text, true, &e)) {
        if (responses_item_begins(&e, open)) {
            struct tool_reader after = r; /* is there more than this item? */
            struct tool_event next;
            enum response_item kind = responses_item_of(&e);
            bool complete = false;
            while (!complete && tool_reader_next(&after, choice->job->text, n_text, true, &next))
                complete = next.kind == TOOL_CALL_END || responses_item_begins(&next, kind);
            const struct response_place p = {kind, n, e.index, e.tool, n_text, true, true};
            json_raw(w, n++ > 0 ? "," : "");
            responses_put_kind(w, g, &p, complete ? "completed" : status);
        }
        open = responses_item_of(&e);
    }
    if (n == 0) {
        const struct response_place p = {ITEM_TEXT, 0, 0, NULL, n_text, true, true};
        responses_put_kind(w, g, &p, status);
    }
}

size_t responses_items_bound(const struct generation *g, size_t n_text, bool finished)
{
    enum { ITEM_BOUND = 6 * TOOL_NAME_MAX + TOOL_ID_MAX + 256 };
    const struct choice *choice = &g->choices[0];
    enum response_item open = ITEM_NONE;
    struct tool_reader r;
    struct tool_event e;
    size_t bound = ITEM_BOUND + strlen(g->id);
    tool_reader_begin(&r, g->tools, &choice->reasoning);
    while (tool_reader_next(&r, choice->job->text, n_text, finished, &e)) {
        if (responses_item_begins(&e, open))
            bound += ITEM_BOUND + strlen(g->id);
        open = responses_item_of(&e);
        bound += json_string_bound(e.n);
    }
    if (responses_wishes(g)->logprobs)
        bound +=
            generation_ready(choice->job).n_tokens * json_logprob_bound(g->tokenizer, choice->job);
    return bound;
}
