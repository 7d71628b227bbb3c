/* events.c - a generation as OpenAI's stream of chunks: roles first, then what is ready of each
 * choice, their endings, the usage, [DONE]. Each call writes as many whole chunks as fit. Loop
 * thread; allocates nothing. */
#include "api/openai/parts.h"

#include "api/json/choices.h"

#include <string.h>

enum { CHUNK_BOUND = 256, DONE_BOUND = 32 };
enum { CHOICE_NEW, CHOICE_BEGUN }; /* a choice's stage: its role, or its prompt, is out */
enum { STREAM_TEXT, STREAM_USAGE, STREAM_END }; /* a generation's stage */

static void close_choice(struct json_writer *w, const struct generation *g, const char *finish)
{
    openai_put_finish(w, g, finish);
    json_raw(w, "}\n\n");
}

static bool write_beginning(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    size_t before = w->n;
    if (choice->stage == CHOICE_NEW && g->chat) {
        openai_open_choice(w, g, i);
        const struct openai_more *more = g->wishes;
        json_raw(w, ",\"delta\":{\"role\":\"assistant\",\"content\":");
        /* Where calls may come, clients expect none, as in a call's own deltas. */
        json_raw(w, g->tools != NULL || (more != NULL && more->null_content) ? "null" : "\"\"");
        json_raw(w, "},\"logprobs\":null");
        close_choice(w, g, NULL);
    }
    if (!json_keep(w, before))
        return false;
    if (g->chat || choice->n_echo == 0)
        choice->stage = CHOICE_BEGUN;
    return true;
}

static void put_part(struct json_writer *w, const char *before, const char *name, const char *text,
                     size_t begin, size_t end)
{
    json_name(w, before, name);
    json_string(w, text + begin, end - begin);
}

/* ,"delta":{...}: what the reasoning and the answer have grown by. */
static void put_delta(struct json_writer *w, const struct job *job, struct reasoning *r)
{
    const char *before = "{";
    json_raw(w, ",\"delta\":");
    if (r->thought[1] > r->sent_thought) {
        put_part(w, before, "reasoning_content", job->text, r->sent_thought, r->thought[1]);
        before = ",";
    }
    if (r->answer[1] > r->sent_answer)
        put_part(w, before, "content", job->text, r->sent_answer, r->answer[1]);
    else if (before[0] == '{')
        json_raw(w, "{");
    json_raw(w, "}");
    r->sent_thought = r->thought[1];
    r->sent_answer = r->answer[1];
}

/* ,"text":...: the echoed prompt before the first. */
static void put_text(struct json_writer *w, const struct choice *choice,
                     const struct generation_mark *to)
{
    const struct job *job = choice->job;
    json_raw(w, ",\"text\":");
    json_string2(w, choice->echo, choice->stage == CHOICE_NEW ? choice->n_echo : 0,
                 job->text + choice->sent.n_text, to->n_text - choice->sent.n_text);
}

/* One chunk of what is between the marks. Says whether it fitted. */
static bool write_chunk(struct json_writer *w, struct generation *g, size_t i,
                        const struct generation_mark *to, bool finished)
{
    struct choice *choice = &g->choices[i];
    struct reasoning reasoning = choice->reasoning;
    size_t before = w->n;
    reasoning_advance(&reasoning, choice->job->text, to->n_text, finished);
    openai_open_choice(w, g, i);
    if (g->chat)
        put_delta(w, choice->job, &reasoning);
    else
        put_text(w, choice, to);
    openai_put_logprobs(w, g, choice, choice->sent.n_tokens, to->n_tokens);
    openai_put_finish(w, g, NULL);
    openai_put_more(w, g, i, to);
    json_raw(w, "}\n\n");
    if (!json_keep(w, before))
        return false;
    choice->sent = *to;
    choice->reasoning = reasoning;
    choice->stage = CHOICE_BEGUN;
    return true;
}

/* The ready part of a choice, in one chunk or in several where room is short. */
static bool write_ready(struct json_writer *w, struct generation *g, size_t i,
                        const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[i];
    const struct token_record *tokens = choice->job->tokens;
    for (size_t n = ready->n_tokens - choice->sent.n_tokens; n > 0; n /= 2) {
        struct generation_mark to = choice->sent;
        to.n_tokens += (uint32_t)n;
        to.n_text = tokens[to.n_tokens - 1].text_end;
        bool all = to.n_tokens == ready->n_tokens;
        if (all)
            to.n_text = (uint32_t)ready->n_text;
        if (write_chunk(w, g, i, &to, all && ready->finished))
            return all || write_ready(w, g, i, ready);
        w->full = false;
    }
    return false;
}

static bool write_finish(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    size_t before = w->n;
    openai_open_choice(w, g, i);
    json_raw(w, g->chat ? ",\"delta\":{}" : ",\"text\":\"\"");
    json_raw(w, ",\"logprobs\":null");
    openai_put_finish(w, g, openai_finish(g, choice));
    if (!g->include_usage)
        openai_put_more(w, g, i, NULL);
    json_raw(w, "}\n\n");
    choice->sent.done = json_keep(w, before);
    return choice->sent.done;
}

/* Chunks of how far the prompt is read, without text. */
static bool write_progress(struct json_writer *w, struct generation *g, size_t i)
{
    const struct openai_more *more = g->wishes;
    struct choice *choice = &g->choices[i];
    struct generation_mark to;
    while (generation_progress(choice, &to)) {
        size_t before = w->n;
        if (more->tells_progress && choice->sent.n_tokens == 0) {
            openai_open_choice(w, g, i);
            json_raw(w, ",\"delta\":{},\"logprobs\":null");
            openai_put_finish(w, g, NULL);
            openai_put_more(w, g, i, &to);
            json_raw(w, "}\n\n");
        }
        if (!json_keep(w, before))
            return false;
        choice->sent = to;
    }
    return true;
}

/* Whether what its echo says of the prompt is known: another job may read that. */
static bool is_scored(const struct choice *choice)
{
    struct generation_ready ready = generation_ready(choice->scored);
    return choice->scored->n_prompt_logprobs < 0 || ready.n_tokens > 0 || ready.finished;
}

/* False: no more can be written now. */
static bool write_choice(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    struct generation_ready ready = generation_ready(choice->job);
    if (choice->sent.done)
        return true;
    if (choice->stage == CHOICE_NEW && !write_beginning(w, g, i))
        return false;
    if (choice->job->progress && choice->stage == CHOICE_BEGUN && !write_progress(w, g, i))
        return false;
    if (g->tools != NULL && !openai_write_told(w, g, i, &ready))
        return false;
    bool more = ready.n_tokens > choice->sent.n_tokens;
    if (choice->stage == CHOICE_NEW && (more || ready.finished)) { /* the echo, by itself */
        if (!is_scored(choice))
            return true;
        if (!write_chunk(w, g, i, &choice->sent, false))
            return false;
    }
    if (more && !write_ready(w, g, i, &ready))
        return false;
    if (!ready.finished)
        return true;
    if (generation_failed(choice->job)) {
        g->complete = json_error_event(w, json_error_put, choice->job, NULL, "data: ", "\n\n");
        return false;
    }
    if (g->tools != NULL)
        return write_finish(w, g, i);
    const struct generation_mark end = {.n_tokens = (uint32_t)ready.n_tokens,
                                        .n_text = (uint32_t)ready.n_text};
    struct reasoning last = choice->reasoning;
    reasoning_advance(&last, choice->job->text, ready.n_text, true);
    bool held = last.answer[1] > last.sent_answer || last.thought[1] > last.sent_thought;
    if ((end.n_text > choice->sent.n_text || (g->chat && held)) &&
        !write_chunk(w, g, i, &end, true))
        return false;
    return write_finish(w, g, i);
}

static void write_end(struct json_writer *w, struct generation *g)
{
    size_t before = w->n;
    if (g->stage == STREAM_TEXT && g->include_usage) {
        openai_open_chunk(w, g);
        json_raw(w, ",\"choices\":[]");
        openai_put_usage(w, g);
        openai_put_more(w, g, 0, NULL);
        json_raw(w, "}\n\n");
    }
    if (!json_keep(w, before))
        return;
    g->stage = STREAM_END;
    before = w->n;
    json_raw(w, "data: [DONE]\n\n");
    g->complete = json_keep(w, before);
}

size_t openai_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    if (g->complete)
        return 0;
    if (json_choices(&w, g, write_choice))
        write_end(&w, g);
    return w.n;
}

size_t openai_event_min(const struct generation *g)
{
    size_t most = 0;
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct choice *choice = &g->choices[i];
        size_t bound = openai_token_bound(g, choice->job) + openai_echo_bound(g, choice);
        most = bound > most ? bound : most;
    }
    return CHUNK_BOUND + JSON_ERROR_EVENT_BOUND + DONE_BOUND + OPENAI_USAGE_BOUND +
           openai_head_bound(g) + openai_more_bound(g) + openai_call_min(g) + most;
}
