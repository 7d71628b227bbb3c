/* generation.c - choices, and what every dialect says of a job. */
#include "api/generation.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

enum status generation_add(struct generation *g, struct job *job, struct error *err)
{
    struct choice *choices = realloc(g->choices, (g->n_choices + 1) * sizeof *choices);
    if (choices == NULL)
        return error_no_memory(err, (g->n_choices + 1) * sizeof *choices, "choices");
    choices[g->n_choices] = (struct choice){.job = job, .scored = job};
    g->choices = choices;
    g->n_choices++;
    return STATUS_OK;
}

enum status generation_echo(struct choice *choice, const char *text, size_t n, struct error *err)
{
    struct utf8_stream stream = {.n_held = 0};
    choice->echo = malloc(3 * n + 4);
    if (choice->echo == NULL)
        return error_no_memory(err, 3 * n + 4, "the prompt's text");
    choice->n_echo = utf8_stream_push(&stream, text, n, choice->echo);
    choice->n_echo += utf8_stream_end(&stream, choice->echo + choice->n_echo);
    return STATUS_OK;
}

void generation_free(struct generation *g, bool with_jobs)
{
    for (size_t i = 0; with_jobs && i < g->n_choices; i++)
        job_destroy(g->choices[i].job);
    for (size_t i = 0; i < g->n_choices; i++)
        free(g->choices[i].echo);
    free(g->choices);
    if (g->tools != NULL)
        tool_set_free(g->tools);
    free(g->tools);
    free(g->wishes);
    g->tools = NULL;
    g->wishes = NULL;
    g->choices = NULL;
    g->n_choices = 0;
}

bool generation_failed(const struct job *job)
{
    return job->finish == FINISH_ERROR || job->finish == FINISH_CANCELLED;
}

struct generation_ready generation_ready(const struct job *job)
{
    struct generation_ready ready = {
        .finished = atomic_load_explicit(&job->finished, memory_order_acquire)};
    /* A job that failed keeps what was ready; its held back text is given up. */
    if (ready.finished && !generation_failed(job)) {
        ready.n_tokens = job->n_tokens;
        ready.n_text = job->n_text;
        return ready;
    }
    ready.n_tokens = atomic_load_explicit(&job->n_ready, memory_order_acquire);
    ready.n_text = ready.n_tokens > 0 ? job->tokens[ready.n_tokens - 1].text_end : 0;
    return ready;
}

bool generation_finished(const struct generation *g)
{
    for (size_t i = 0; i < g->n_choices; i++)
        if (!atomic_load_explicit(&g->choices[i].job->finished, memory_order_acquire))
            return false;
    return true;
}

bool generation_has_news(const struct choice *choice)
{
    struct generation_mark to;
    return atomic_load_explicit(&choice->job->n_ready, memory_order_acquire) >
               choice->sent.n_tokens ||
           generation_progress(choice, &to);
}

bool generation_reach(struct generation *g)
{
    struct choice *choice = &g->choices[0];
    if (!g->resumes || choice->sent.n_tokens >= g->resume_at)
        return true;
    struct generation_ready ready = generation_ready(choice->job);
    if (ready.n_tokens < g->resume_at)
        return false;
    choice->sent.n_tokens = g->resume_at;
    choice->sent.n_text = choice->job->tokens[g->resume_at - 1].text_end;
    return true;
}

enum status generation_unreached(const struct generation *g, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, "Last-Event-ID",
                           "Last-Event-ID is %" PRIu32 ", beyond this answer's end: it has %zu "
                           "tokens",
                           g->resume_at, g->choices[0].job->n_tokens);
}

bool generation_progress(const struct choice *choice, struct generation_mark *to)
{
    const struct job *job = choice->job;
    size_t n_read = atomic_load_explicit(&job->n_read, memory_order_acquire);
    size_t n_found = atomic_load_explicit(&job->n_found, memory_order_relaxed);
    size_t next =
        choice->progress_tokens > 0 ? choice->sent.n_read + choice->progress_tokens : n_read;
    *to = choice->sent;
    if (n_read <= choice->sent.n_read)
        return false;
    if (!choice->sent.begun)
        next = n_found;
    if (next > job->n_prompt)
        next = job->n_prompt;
    if (next > n_read)
        return false;
    to->n_read = (uint32_t)next;
    to->begun = true;
    return true;
}

struct generation_usage generation_usage(const struct generation *g)
{
    struct generation_usage usage = {0, 0, 0};
    size_t n_each = g->n_choices / g->n_prompts;
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct job *job = g->choices[i].job;
        usage.completion += job->n_completion;
        if (i % n_each != 0) /* the same prompt again */
            continue;
        usage.prompt += job->n_prompt;
        usage.cached += job->n_cached;
    }
    return usage;
}

size_t generation_thought_tokens(const struct choice *choice)
{
    const struct job *job = choice->job;
    struct reasoning r = choice->reasoning;
    size_t n = 0;
    reasoning_advance(&r, job->text, job->n_text, true);
    if (r.thought[1] == r.thought[0])
        return 0;
    if (r.stage != REASONING_OVER)
        return job->n_completion;
    while (n < job->n_tokens && job->tokens[n].text_end <= r.answer[0])
        n++;
    return n;
}

/* ms from one reading of the clock to a later one; 0 where one of them was never taken. */
static double span_ms(uint64_t begin_ns, uint64_t end_ns)
{
    return begin_ns == 0 || end_ns <= begin_ns ? 0 : (double)(end_ns - begin_ns) / 1e6;
}

size_t generation_n_calls(const struct generation *g, const struct choice *choice)
{
    struct tool_reader reader = choice->reader;
    struct tool_event e;
    if (g->tools == NULL)
        return 0;
    while (tool_reader_next(&reader, choice->job->text, choice->job->n_text, true, &e))
        continue;
    return reader.n_calls;
}

void generation_times(const struct job *job, struct generation_times *out)
{
    /* A job that no step ever took waited until its deadline. */
    uint64_t taken_ns = job->started_ns != 0 ? job->started_ns : job->deadline_ns;
    out->queue = span_ms(job->arrived_ns, taken_ns);
    out->prefill = span_ms(job->started_ns, job->read_ns);
    out->decode = span_ms(job->first_token_ns, job->last_token_ns);
    out->first_token = job->first_token_ns != 0 ? out->queue + out->prefill : 0;
    const size_t n_made = job->n_completion - job_n_resumed(job);
    out->tokens_per_second =
        n_made > 1 && out->decode > 0 ? (double)(n_made - 1) / (out->decode / 1e3) : 0;
}

const char *generation_finish_name(enum finish_reason reason)
{
    switch (reason) {
    case FINISH_STOP:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_DEADLINE:
        return "deadline";
    case FINISH_CANCELLED:
        return "cancelled";
    case FINISH_ERROR:
        return "error";
    case FINISH_NONE:
        break;
    }
    return "none";
}
