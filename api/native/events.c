/* events.c - a growing job as server-sent events or as plain text. Reads what the worker has
 * released and nothing else; each call writes whole events, as many tokens as are ready and fit.
 * Loop thread; allocates nothing. */
#include "api/native/parts.h"

#include <string.h>

/* An event's frame, and the ending of the last one with [DONE] after it, or an error of 384 bytes
 * that are all escaped. */
enum stage { STAGE_SEED, STAGE_TOKENS }; /* the first event is to come, or is sent */
enum { EVENT_BOUND = 128, LAST_BOUND = 4352 };

/* id: N, then data: {"text":...,"tokens":...,"logprobs":... of tokens [from, to) and the text
 * between the marks, left open. N tokens' text has been sent then: where a client can go on. */
static void put_event(struct json_writer *w, const struct generation *g,
                      const struct generation_mark *from, const struct generation_mark *to)
{
    const struct job *job = g->choices[0].job;
    json_raw(w, "id: ");
    json_uint(w, to->n_tokens);
    json_raw(w, "\ndata: {\"text\":");
    json_string(w, job->text + from->n_text, to->n_text - from->n_text);
    native_put_tokens(w, job, g->tokenizer, from->n_tokens, to->n_tokens);
}

/* The next n tokens up to the last one at whose end no character is cut, so that an
 * event's text is that of its tokens; all n where that would be none of them. */
static size_t whole_tokens(const struct choice *choice, size_t n)
{
    const struct token_record *tokens = choice->job->tokens + choice->sent.n_tokens;
    size_t n_whole = n;
    while (n_whole > 0 && !tokens[n_whole - 1].whole)
        n_whole--;
    return n_whole > 0 ? n_whole : n;
}

/* Writes one ordinary event of at most n_tokens, fewer when room is short. */
static size_t write_tokens(struct generation *g, size_t n_tokens, char *out, size_t room)
{
    struct choice *choice = &g->choices[0];
    /* Halving until it fits writes at most twice what one perfect guess would. */
    for (size_t n = n_tokens; n > 0; n /= 2) {
        struct json_writer w = {.out = out, .room = room};
        struct generation_mark next = choice->sent;
        next.n_tokens += (uint32_t)whole_tokens(choice, n);
        next.n_text = choice->job->tokens[next.n_tokens - 1].text_end;
        put_event(&w, g, &choice->sent, &next);
        if (g->stage == STAGE_SEED && !g->has_seed) /* without it nothing could go on */
            json_name_uint(&w, ",", "seed", choice->job->sampling.seed);
        json_raw(&w, "}\n\n");
        if (!w.full) {
            g->stage = STAGE_TOKENS;
            choice->sent = next;
            return w.n;
        }
    }
    return 0;
}

/* The text that is ready, as it is, cut between characters when room is short (room >= 4). */
static size_t write_text(struct choice *choice, char *out, size_t room)
{
    struct generation_ready ready = generation_ready(choice->job);
    struct generation_mark *sent = &choice->sent;
    const char *text = choice->job->text + sent->n_text;
    size_t n = ready.n_text > sent->n_text ? ready.n_text - sent->n_text : 0;
    if (n > room) {
        n = room;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    if (n > 0)
        memcpy(out, text, n);
    sent->n_text += (uint32_t)n;
    if (ready.finished && sent->n_text == ready.n_text)
        sent->done = true;
    return n;
}

size_t native_event_min(const struct generation *g)
{
    if (g->form == ANSWER_TEXT)
        return 4;
    return EVENT_BOUND + LAST_BOUND +
           native_token_bound(tokenizer_max_piece(g->tokenizer), g->choices[0].job->n_logprobs);
}

static size_t write_failure(struct choice *choice, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    choice->sent.done = json_error_event(&w, json_error_put, choice->job, NULL, "data: ", "\n\n");
    return w.n;
}

/* The rest of a finished job: its last event, or its error. */
static size_t write_ending(struct generation *g, const struct generation_ready *ready, char *out,
                           size_t room)
{
    struct choice *choice = &g->choices[0];
    size_t n_left = ready->n_tokens - choice->sent.n_tokens;
    struct json_writer w = {.out = out, .room = room};
    if (generation_failed(choice->job)) {
        if (n_left > 0)
            return write_tokens(g, n_left, out, room);
        return write_failure(choice, out, room);
    }
    struct generation_mark end = {
        .n_tokens = (uint32_t)ready->n_tokens, .n_text = (uint32_t)ready->n_text, .done = true};
    put_event(&w, g, &choice->sent, &end);
    native_put_ending(&w, choice->job, g);
    json_raw(&w, "}\n\ndata: [DONE]\n\n");
    if (w.full)
        return write_tokens(g, n_left, out, room);
    choice->sent = end;
    return w.n;
}

/* The end of a stream whose client was never reached. */
static size_t write_unreached(struct generation *g, char *out, size_t room)
{
    struct choice *choice = &g->choices[0];
    struct json_writer w = {.out = out, .room = room};
    struct error err;
    const struct api_error what = errors_of_status(generation_unreached(g, &err));
    json_raw(&w, "data: ");
    json_error_put(&w, &what, err.text, strlen(err.text), err.param);
    json_raw(&w, "\n\n");
    choice->sent.done = !w.full;
    return w.full ? 0 : w.n;
}

size_t native_event(struct generation *g, char *out, size_t room)
{
    struct choice *choice = &g->choices[0];
    struct generation_ready ready = generation_ready(choice->job);
    size_t n = 0;
    if (choice->sent.done)
        n = 0;
    else if (!generation_reach(g)) /* looked at after ready: what is finished has all it will */
        n = !ready.finished                  ? 0
            : generation_failed(choice->job) ? write_failure(choice, out, room)
                                             : write_unreached(g, out, room);
    else if (g->form == ANSWER_TEXT)
        n = write_text(choice, out, room);
    else if (ready.finished)
        n = write_ending(g, &ready, out, room);
    else if (ready.n_tokens > choice->sent.n_tokens)
        n = write_tokens(g, ready.n_tokens - choice->sent.n_tokens, out, room);
    g->complete = choice->sent.done;
    return n;
}
