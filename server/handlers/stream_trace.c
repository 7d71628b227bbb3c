/* stream_trace.c - what the spans of a generation are made of, from the times that its jobs have
 * anyway. Loop thread. */
#include "base/clock.h"
#include "server/handlers/stream.h"
#include "server/trace/record.h"

#include <stdio.h>
#include <string.h>

static bool ended_by_itself(const struct job *job)
{
    return job->finish == FINISH_STOP || job->finish == FINISH_LENGTH;
}

static void note_choice(struct trace_choice *out, const struct stream *s, size_t i)
{
    const struct generation *g = &s->generation;
    const struct job *job = g->choices[i].job;
    const uint64_t last_ns = job->last_token_ns != 0 ? job->last_token_ns : job->read_ns;
    const bool calls = job->finish == FINISH_STOP && generation_n_calls(g, &g->choices[i]) > 0;
    *out = (struct trace_choice){
        .arrived_ns = job->arrived_ns,
        .started_ns = job->started_ns,
        .read_ns = job->read_ns,
        .ended_ns = ended_by_itself(job) && last_ns != 0 ? last_ns : s->readers[i].ended_ns,
        .decodes = job->first_token_ns != 0,
        .n_prompt = job->n_prompt,
        .n_cached = job->n_cached,
        .n_completion = job->n_completion,
        .finish = calls ? "tool_call" : generation_finish_name(job->finish),
    };
    if (out->ended_ns < out->arrived_ns)
        out->ended_ns = out->arrived_ns;
}

/* Texts that become vectors are read together, and may be thousands: one queue, one prefill. */
static void note_vectors(struct trace_choice *out, const struct stream *s,
                         const struct generation_usage *usage)
{
    struct trace_choice one;
    note_choice(out, s, 0);
    for (size_t i = 1; i < s->generation.n_choices; i++) {
        note_choice(&one, s, i);
        if (one.started_ns != 0 && (out->started_ns == 0 || one.started_ns < out->started_ns))
            out->started_ns = one.started_ns;
        out->read_ns = one.read_ns > out->read_ns ? one.read_ns : out->read_ns;
        out->ended_ns = one.ended_ns > out->ended_ns ? one.ended_ns : out->ended_ns;
    }
    out->n_prompt = usage->prompt;
    out->n_cached = usage->cached;
}

static void note_jobs(struct stream *s)
{
    const struct generation *g = &s->generation;
    const struct generation_usage usage = generation_usage(g);
    size_t n = g->dialect->vectors                ? 1
               : g->n_choices < TRACE_CHOICES_MAX ? g->n_choices
                                                  : TRACE_CHOICES_MAX;
    if (!trace_record_reserve(&s->task.spans, n))
        return;
    struct trace_record *record = s->task.spans;
    record->n_prompt = usage.prompt;
    record->n_cached = usage.cached;
    record->n_completion = usage.completion;
    if (g->dialect->vectors)
        note_vectors(&record->choices[0], s, &usage);
    for (size_t i = 0; i < n && !g->dialect->vectors; i++)
        note_choice(&record->choices[i], s, i);
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct job *job = g->choices[i].job;
        if (job->finish != FINISH_ERROR && job->finish != FINISH_CANCELLED)
            continue;
        if (job->finish == FINISH_ERROR && !record->failed) {
            record->failed = true;
            if (record->reason[0] == '\0')
                snprintf(record->reason, sizeof record->reason, "%.255s", job->error.text);
        }
        if (record->error == NULL)
            record->error = job->finish == FINISH_CANCELLED ? "cancelled" : errors_of_job(job).code;
    }
}

static void note_sampling(struct trace_record *record, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    const struct sampling *sampling = &job->sampling;
    record->has_sampling = true;
    record->stream = g->stream;
    record->n_asked = g->n_choices;
    record->max_tokens = job->max_tokens;
    record->has_seed = g->has_seed;
    record->seed = sampling->seed;
    record->temperature = (double)sampling->temperature;
    record->top_p = (double)sampling->top_p;
    record->top_k = sampling->top_k;
    record->presence_penalty = (double)sampling->presence_penalty;
    record->frequency_penalty = (double)sampling->frequency_penalty;
    if (g->form != ANSWER_JSON && job->first_token_ns > record->begun_ns)
        record->first_token_s = (double)(job->first_token_ns - record->begun_ns) * 1e-9;
}

void stream_trace(struct stream *s)
{
    const struct generation *g = &s->generation;
    const struct service *service = s->task.service;
    struct trace_record *record = s->task.spans;
    if (g->n_choices == 0) /* it was refused as it was decoded, or asked for nothing */
        return;
    const bool ranks = service->limits.pooling == POOLING_RANK;
    record->operation = g->dialect->vectors ? ranks ? "rerank" : "embeddings"
                        : g->chat           ? "chat"
                                            : "text_completion";
    snprintf(record->asked_model, sizeof record->asked_model, "%s", g->asked_model);
    snprintf(record->model, sizeof record->model, "%.127s", g->model);
    if (!g->dialect->vectors)
        note_sampling(record, g);
    if (s->state >= STREAM_WAITING)
        note_jobs(s);
}
