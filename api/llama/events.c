/* events.c - a generation as llama.cpp's stream: how far the prompt is read where that was asked
 * for, one event for each token, then each choice's answer without its text. Each call writes as
 * many whole events as fit. Loop thread; allocates nothing. */
#include "api/llama/parts.h"

#include "api/json/choices.h"

enum {
    EVENT_BOUND = 384,
};

/* data: {"index","content","tokens","stop","id_slot","tokens_predicted","tokens_evaluated", left
 * open: of the token before the mark `to`, or of none. */
static void open_event(struct json_writer *w, const struct generation *g, size_t i,
                       const struct generation_mark *to)
{
    const struct choice *choice = &g->choices[i];
    const struct job *job = choice->job;
    const struct generation_mark *from = &choice->sent;
    json_name_uint(w, "data: {", "index", i);
    json_raw(w, ",\"content\":");
    json_string(w, job->text + from->n_text, to->n_text - from->n_text);
    json_raw(w, ",\"tokens\":[");
    if (to->n_tokens > from->n_tokens)
        json_int(w, job->tokens[from->n_tokens].id);
    json_raw(w, "],\"stop\":false,\"id_slot\":-1");
    json_name_uint(w, ",", "tokens_predicted", to->n_tokens);
    json_name_uint(w, ",", "tokens_evaluated", job->n_prompt);
}

static bool close_event(struct json_writer *w, struct generation *g, size_t i,
                        const struct generation_mark *to, size_t before)
{
    const struct llama_wishes *wishes = g->wishes;
    if (wishes->timings_per_token)
        llama_put_timings(w, g->choices[i].job, to);
    json_raw(w, "}\n\n");
    if (!json_keep(w, before))
        return false;
    g->choices[i].sent = *to;
    return true;
}

/* First what was there already, then how far the reading has come. */
static bool write_progress(struct json_writer *w, struct generation *g, size_t i)
{
    const struct llama_wishes *wishes = g->wishes;
    struct choice *choice = &g->choices[i];
    struct generation_mark to;
    while (generation_progress(choice, &to)) {
        size_t before = w->n;
        if (!wishes->return_progress || choice->sent.n_tokens > 0) {
            choice->sent = to;
            continue;
        }
        open_event(w, g, i, &to);
        llama_put_progress(w, choice->job, &to);
        if (!close_event(w, g, i, &to, before))
            return false;
    }
    return true;
}

static bool write_token(struct json_writer *w, struct generation *g, size_t i)
{
    const struct choice *choice = &g->choices[i];
    const struct job *job = choice->job;
    size_t before = w->n;
    struct generation_mark to = choice->sent;
    to.n_text = job->tokens[to.n_tokens++].text_end;
    open_event(w, g, i, &to);
    if (job->n_logprobs >= 0) {
        json_raw(w, ",\"completion_probabilities\":");
        llama_put_probabilities(w, g, job, choice->sent.n_tokens, to.n_tokens);
    }
    return close_event(w, g, i, &to, before);
}

static bool write_answer(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    size_t before = w->n;
    json_raw(w, "data: ");
    llama_put_answer(w, g, i, &choice->sent);
    json_raw(w, "\n\n");
    choice->sent.done = json_keep(w, before);
    return choice->sent.done;
}

/* False: no more can be written now. */
static bool write_choice(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    struct generation_ready ready = generation_ready(choice->job);
    if (choice->sent.done)
        return true;
    if (choice->job->progress && !write_progress(w, g, i))
        return false;
    while (choice->sent.n_tokens < ready.n_tokens)
        if (!write_token(w, g, i))
            return false;
    if (!ready.finished)
        return true;
    if (generation_failed(choice->job)) {
        g->complete = json_error_event(w, llama_put_error, choice->job, NULL, "data: ", "\n\n");
        return false;
    }
    return write_answer(w, g, i);
}

size_t llama_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    if (g->complete)
        return 0;
    if (json_choices(&w, g, write_choice))
        g->complete = true;
    return w.n;
}

size_t llama_event_min(const struct generation *g)
{
    size_t most = 0;
    for (size_t i = 0; i < g->n_choices; i++) {
        size_t token = llama_token_bound(g, g->choices[i].job);
        size_t bound = llama_answer_bound(g, i) + token;
        most = bound > most ? bound : most;
    }
    return EVENT_BOUND + JSON_ERROR_EVENT_BOUND + LLAMA_TIMINGS_BOUND + most;
}
