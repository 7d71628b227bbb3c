/* events.c - a generation as Text Generation Inference's stream: one event for each token, the last
 * of which has the whole text. A token that may be the last waits until that is known. Each call
 * writes as many whole events as fit. Loop thread; allocates nothing. */
#include "api/tgi/parts.h"

enum {
    EVENT_BOUND = 384,
};

static void put_last(struct json_writer *w, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    json_raw(w, ",\"generated_text\":");
    tgi_put_text(w, &g->choices[0]);
    json_raw(w, ",\"details\":");
    if (!tgi_wishes_of(g)->details) {
        json_raw(w, "null");
        return;
    }
    tgi_put_details(w, job);
    json_name_uint(w, ",", "input_length", job->n_prompt);
    json_raw(w, "}");
}

static void close_event(struct json_writer *w, const struct generation *g, bool last)
{
    if (last)
        put_last(w, g);
    else
        json_raw(w, ",\"generated_text\":null,\"details\":null");
    json_raw(w, "}\n\n");
}

/* The next token's event. Says whether it fitted. */
static bool write_token(struct json_writer *w, struct generation *g, size_t text_end, bool last)
{
    struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    size_t i = choice->sent.n_tokens, begin = choice->sent.n_text, before = w->n;
    json_name_uint(w, "data:{", "index", i + 1);
    json_raw(w, ",\"token\":");
    tgi_put_token(w, g, job->tokens[i].id, job->text + begin, text_end - begin,
                  &job->logprobs[i].logprob);
    if (tgi_wishes_of(g)->top_tokens) {
        json_raw(w, ",\"top_tokens\":");
        tgi_put_top(w, g, &job->logprobs[i]);
    }
    close_event(w, g, last);
    if (!json_keep(w, before))
        return false;
    choice->sent.n_tokens++;
    choice->sent.n_text = (uint32_t)text_end;
    return true;
}

/* The end that is a token without text, or text without a token. */
static bool write_end(struct json_writer *w, struct generation *g)
{
    const struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    size_t before = w->n;
    int32_t id = job->stop_id;
    if (id < 0)
        id = job->n_tokens > 0 ? job->tokens[job->n_tokens - 1].id : job->prompt[job->n_prompt - 1];
    struct gguf_string piece = tokenizer_piece(g->tokenizer, id, true);
    json_name_uint(w, "data:{", "index", choice->sent.n_tokens + 1);
    json_raw(w, ",\"token\":");
    if (job->stop_id >= 0)
        tgi_put_token(w, g, id, piece.bytes, piece.n, tgi_end_logprob(job));
    else
        tgi_put_token(w, g, id, job->text + choice->sent.n_text, job->n_text - choice->sent.n_text,
                      NULL);
    close_event(w, g, true);
    return json_keep(w, before);
}

size_t tgi_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    if (g->complete)
        return 0;
    struct generation_ready ready = generation_ready(job);
    bool failed = ready.finished && generation_failed(job), last = false;
    while (choice->sent.n_tokens < ready.n_tokens) {
        size_t i = choice->sent.n_tokens, end = job->tokens[i].text_end;
        bool at_end = i + 1 == ready.n_tokens;
        if (at_end && !ready.finished && i + 1 == job->max_tokens)
            return w.n; /* the last one there can be: its event says how it ended */
        last = at_end && ready.finished && !failed && job->stop_id < 0;
        if (at_end && ready.finished && !failed)
            end = ready.n_text;
        if (!write_token(&w, g, end, last))
            return w.n;
    }
    if (!ready.finished)
        return w.n;
    if (failed)
        g->complete = json_error_event(&w, tgi_put_error, job, NULL, "data:", "\n\n");
    else
        g->complete = last || write_end(&w, g);
    choice->sent.done = g->complete;
    return w.n;
}

/* The last event has all the text that there will be, once it is known. */
size_t tgi_event_min(const struct generation *g)
{
    const struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    struct generation_ready ready = generation_ready(job);
    size_t bound = EVENT_BOUND + JSON_ERROR_EVENT_BOUND + tgi_token_bound(g, job);
    size_t unsent = ready.n_text > choice->sent.n_text ? ready.n_text - choice->sent.n_text : 0;
    bound += json_string_bound(unsent); /* of tokens that were held back, one may have it all */
    if (ready.finished)
        bound += tgi_text_bound(choice, ready.n_text);
    return bound;
}
