/* step_sample.c - the samples of a step: drawn by the team, then taken into their jobs' texts.
 *
 * Drawing: any thread of the team, with its own sampler. Taking: the worker's thread.
 */
#include "engine/output.h"
#include "engine/worker_state.h"

#include <math.h>

enum { SAMPLE_ALONE = 8192 };

static void record_logprobs(struct worker *w, struct sampler *sampler, float *logits, int32_t id,
                            int n_top, struct logprob_record *out)
{
    size_t n_vocab = w->setup->model->shape.n_vocab, n = (size_t)n_top;
    out->n_top = (uint32_t)(n < n_vocab ? n : n_vocab);
    out->logprob = sampler_logprobs(sampler, logits, id, out->n_top, out->top);
}

static bool is_sample(const struct worker *w, const struct wanted *wanted)
{
    return wanted->position + 1 == w->slots[wanted->slot].n_tokens;
}

/* Nothing may come any more: an end, where the text may end there. */
static void end_without_token(struct slot *slot)
{
    struct job *job = slot->job;
    slot->finish = guide_may_end(job->guide) ? FINISH_STOP : FINISH_ERROR;
    if (slot->finish == FINISH_ERROR)
        error_set(&job->error, STATUS_INVALID,
                  "no token can go on with this text in the form that was asked for: logit_bias or "
                  "the tokens that end it ban all of them");
}

static enum status draw(struct worker *w, struct slot *slot, struct sampler *sampler, float *logits,
                        unsigned rank)
{
    struct job *job = slot->job;
    const struct sampler_ids ends[] = {{w->setup->end_ids, w->setup->n_end_ids},
                                       {job->stop_ids, job->n_stop_ids}};
    size_t n_banned = job->n_completion < job->min_tokens ? 2 : job->ignore_eos ? 1 : 0;
    if (job->grammar == NULL)
        return sampler_draw(sampler, logits, &job->sampling, slot->tokens, slot->n_tokens, ends,
                            n_banned, &slot->sample, &job->error);
    const uint64_t *mask = worker_fill_mask(w, slot, rank);
    return sampler_draw_among(sampler, logits, &job->sampling, slot->tokens, slot->n_tokens, mask,
                              &slot->sample, &job->error);
}

/* The i-th logits that are wanted; any thread of the team, with its own sampler. */
static void sample(struct worker *w, size_t i, unsigned rank)
{
    struct sampler *sampler = w->samplers[rank];
    const struct wanted *wanted = &w->wanted[i];
    struct slot *slot = &w->slots[wanted->slot];
    struct job *job = slot->job;
    float *logits = forward_logits(w->forward, i);
    if (!is_sample(w, wanted)) {
        size_t next = wanted->position + 1;
        struct error ignored;
        struct logprob_record *record = &job->prompt_logprobs[next];
        if (sampler_check(sampler, logits, &ignored) == STATUS_OK)
            record_logprobs(w, sampler, logits, slot->tokens[next], job->n_prompt_logprobs, record);
        else
            record->logprob = NAN; /* take_samples ends the sequence */
        return;
    }
    slot->sampled = false;
    if (slot->finish != FINISH_NONE || job->max_tokens == 0)
        return;
    enum status status = draw(w, slot, sampler, logits, rank);
    slot->sampled = status == STATUS_OK;
    if (status != STATUS_OK) {
        slot->finish = FINISH_ERROR;
        if (status == STATUS_INVALID && job->grammar != NULL)
            end_without_token(slot);
        return;
    }
    if (job->n_logprobs < 0 || !job->logprobs)
        return;
    struct logprob_record *record = &job->logprobs[job->n_tokens];
    if (!job->drawn_from) {
        record_logprobs(w, sampler, logits, slot->sample, job->n_logprobs, record);
        return;
    }
    size_t n_top = (size_t)job->n_logprobs;
    record->logprob = sampler_probabilities(sampler, slot->sample, &n_top, record->top);
    record->n_top = (uint32_t)n_top;
}

static void sample_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct worker *w = arg;
    (void)phase;
    sample(w, i, rank);
}

void step_sample(struct worker *w)
{
    uint32_t n = (uint32_t)w->n_wanted;
    if (n > 1 && n * w->setup->model->shape.n_vocab > SAMPLE_ALONE) {
        step_profile_wait(w);
        recorder_cut(w->recorder, CUT_DESCRIBE); /* the wait is the recorder's own */
        team_set_marks(w->team, recorder_sample_marks(w->recorder));
        team_run(w->team, &(struct team_work){sample_chunk, w, &n, 1});
        team_set_marks(w->team, NULL);
        return;
    }
    for (size_t i = 0; i < n; i++)
        sample(w, i, 0);
}

static void take_sample(struct worker *w, struct slot *slot, uint64_t now)
{
    struct job *job = slot->job;
    if (slot->finish != FINISH_NONE) {
        output_end(job);
        return;
    }
    if (job->read_ns == 0)
        job->read_ns = now;
    if (job->max_tokens == 0) { /* the prompt was all */
        slot->finish = FINISH_LENGTH;
        return;
    }
    if (job->first_token_ns == 0) {
        job->first_token_ns = now;
        atomic_store_explicit(&job->phase, JOB_DECODE, memory_order_relaxed);
    }
    job->last_token_ns = now;
    job->n_completion++;
    count(&w->counters.generated, 1);
    if (tokenizer_is_end(w->setup->tokenizer, slot->sample) || output_ends_at(job, slot->sample)) {
        if (!output_end(job)) /* else a stop string had ended it before */
            job->stop_id = slot->sample;
        slot->finish = FINISH_STOP;
        return;
    }
    slot->tokens[slot->n_tokens++] = slot->sample;
    if (job->grammar != NULL)
        guide_take(job->guide, w->setup->tokenizer, slot->sample);
    if (output_append(job, w->setup->tokenizer, slot->sample))
        slot->finish = FINISH_STOP;
    else if (job->n_tokens == job->max_tokens)
        slot->finish = output_end(job) ? FINISH_STOP : FINISH_LENGTH;
    atomic_store_explicit(&slot->left_tokens, (uint32_t)(job->max_tokens - job->n_tokens),
                          memory_order_relaxed);
}

/* All that were wanted, in the rows' order. */
void step_take_samples(struct worker *w, uint64_t now)
{
    for (size_t i = 0; i < w->n_wanted; i++) {
        struct slot *slot = &w->slots[w->wanted[i].slot];
        size_t next = w->wanted[i].position + 1;
        if (is_sample(w, &w->wanted[i]))
            take_sample(w, slot, now);
        else if (slot->finish == FINISH_NONE && isnan(slot->job->prompt_logprobs[next].logprob) &&
                 sampler_check(w->samplers[0], forward_logits(w->forward, i), &slot->job->error))
            slot->finish = FINISH_ERROR;
    }
}
