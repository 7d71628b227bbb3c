/* events.c - a generation as Ollama's stream: a line of JSON for what is ready at a time, then one
 * with the ending. Each call writes as many whole lines as fit. Loop thread; allocates nothing. */
#include "api/ollama/parts.h"

enum {
    LINE_BOUND = 128,
};

/* One line of what is between the marks; none where that has no text, and no log-probabilities.
 * Says whether it fitted. */
static bool write_line(struct json_writer *w, struct generation *g,
                       const struct generation_mark *to, bool finished)
{
    struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    struct reasoning r = choice->reasoning;
    size_t before = w->n;
    reasoning_advance(&r, job->text, to->n_text, finished);
    const struct ollama_text text = {.bytes = job->text,
                                     .thought = {r.sent_thought, r.thought[1]},
                                     .answer = {r.sent_answer, r.answer[1]}};
    bool thinks = r.thought[1] > r.sent_thought, answers = r.answer[1] > r.sent_answer;
    bool tells = job->n_logprobs >= 0 && to->n_tokens > choice->sent.n_tokens;
    if (thinks || answers || tells) {
        ollama_put_head(w, g);
        ollama_put_text(w, g, &text);
        ollama_put_logprobs(w, g, job, choice->sent.n_tokens, to->n_tokens);
        json_raw(w, ",\"done\":false}\n");
    }
    if (!json_keep(w, before))
        return false;
    if (thinks)
        r.sent_thought = r.thought[1];
    if (answers)
        r.sent_answer = r.answer[1];
    choice->reasoning = r;
    choice->sent = *to;
    return true;
}

/* The text that is ready, in one line or in several where room is short. */
static bool write_ready(struct json_writer *w, struct generation *g,
                        const struct generation_ready *ready)
{
    const struct choice *choice = &g->choices[0];
    while (choice->sent.n_tokens < ready->n_tokens) {
        bool written = false;
        for (size_t n = ready->n_tokens - choice->sent.n_tokens; n > 0 && !written; n /= 2) {
            struct generation_mark to = choice->sent;
            to.n_tokens += (uint32_t)n;
            bool all = to.n_tokens == ready->n_tokens;
            to.n_text =
                all ? (uint32_t)ready->n_text : choice->job->tokens[to.n_tokens - 1].text_end;
            w->full = false;
            written = write_line(w, g, &to, all && ready->finished);
        }
        if (!written)
            return false;
    }
    return true;
}

static void write_end(struct json_writer *w, struct generation *g, const struct job *job)
{
    size_t before = w->n;
    ollama_put_head(w, g);
    ollama_put_text(w, g, &(struct ollama_text){.bytes = NULL});
    ollama_put_ending(w, g, job);
    json_raw(w, "}\n");
    g->complete = g->choices[0].sent.done = json_keep(w, before);
}

size_t ollama_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    if (g->complete)
        return 0;
    struct generation_ready ready = generation_ready(job);
    if (g->tools != NULL ? !ollama_write_told(&w, g, &ready) : !write_ready(&w, g, &ready))
        return w.n;
    if (!ready.finished)
        return w.n;
    if (generation_failed(job)) {
        g->complete = json_error_event(&w, ollama_put_error, job, NULL, "", "\n");
        choice->sent.done = g->complete;
        return w.n;
    }
    if (g->tools != NULL) {
        write_end(&w, g, job);
        return w.n;
    }
    /* Text of no token of its own, and what was held back as a possible tag. */
    const struct generation_mark end = {.n_tokens = (uint32_t)ready.n_tokens,
                                        .n_text = (uint32_t)ready.n_text};
    if (write_line(&w, g, &end, true))
        write_end(&w, g, job);
    return w.n;
}

size_t ollama_event_min(const struct generation *g)
{
    return LINE_BOUND + JSON_ERROR_EVENT_BOUND + OLLAMA_ENDING_BOUND + ollama_head_bound(g) +
           2 * ollama_token_bound(g, g->choices[0].job) + ollama_call_min(g);
}
