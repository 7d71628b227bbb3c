/* step_sample.c - the samples of a step: drawn by the team, then taken into their jobs' texts.
 *
 * First the masks of those whose texts keep to a grammar, then all draws: any thread of the team,
 * with its own sampler and scratch. Taking: the worker's thread. What a grammar leaves no choice
 * about is not drawn; it comes as one token after the other, at once where no log-probabilities are
 * wanted, and its positions are computed together in the next step.
 */
#include "engine/output.h"
#include "engine/resume.h"
#include "engine/worker_state.h"

#include <math.h>

enum {
    SAMPLE_ALONE = 8192, /* logits */
    DRAWS = 4,           /* of a token, where too little room is left after it */
    FOLLOWERS = 256      /* tokens that need no choice, in one step */
};

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

static bool draws(const struct slot *slot)
{
    return slot->finish == FINISH_NONE && slot->job->max_tokens > 0;
}

static bool wants_logprobs(const struct job *job)
{
    return job->n_logprobs >= 0 && job->logprobs != NULL;
}

/* --- masks --- */

/* The token that must come, or a mask of those that may. */
static void guide(struct worker *w, struct slot *slot, unsigned rank)
{
    struct job *job = slot->job;
    const bool too_early = job->n_completion < job->min_tokens;
    slot->sample = guide_forced(job->guide);
    slot->certain = slot->sample != GUIDE_NONE;
    if (!slot->certain)
        guide_mask(job->guide, w->masks.scratch[rank], too_early || job->ignore_eos, too_early,
                   worker_mask(w, slot));
}

static void guide_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct worker *w = arg;
    (void)phase;
    guide(w, &w->slots[w->masks.guided[i]], rank);
}

/* The wait is the recorder's own. */
static void wait_for_fold(struct worker *w)
{
    if (!w->folding)
        return;
    step_profile_wait(w);
    recorder_cut(w->recorder, CUT_DESCRIBE);
}

/* n chunks, by the team where they are worth its barrier. */
static void share_out(struct worker *w, team_fn *chunk, size_t n, const struct team_marks *marks)
{
    const uint32_t n_chunks = (uint32_t)n;
    if (n <= 1 || n * w->setup->model->shape.n_vocab <= SAMPLE_ALONE) {
        for (size_t i = 0; i < n; i++)
            chunk(w, 0, i, 0);
        return;
    }
    wait_for_fold(w);
    team_set_marks(w->team, marks);
    team_run(w->team, &(struct team_work){chunk, w, &n_chunks, 1});
    team_set_marks(w->team, NULL);
}

void step_mask(struct worker *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_wanted; i++) {
        struct slot *slot = &w->slots[w->wanted[i].slot];
        if (slot->job->grammar != NULL && is_sample(w, &w->wanted[i]) && draws(slot))
            w->masks.guided[n++] = w->wanted[i].slot;
    }
    if (n == 0)
        return;
    wait_for_fold(w);
    share_out(w, guide_chunk, n, recorder_mask_marks(w->recorder));
    recorder_cut(w->recorder, CUT_MASK);
}

/* --- the draws --- */

/* Until what comes leaves room for the rest of the text; after some tries that rest, in its
 * shortest form. STATUS_INVALID: nothing may come any more, or nothing completes the text. */
static enum status draw_guided(struct worker *w, struct slot *slot, struct sampler *sampler,
                               const float *logits)
{
    struct job *job = slot->job;
    const size_t n_left = job->max_tokens - job->n_tokens - 1;
    if (guide_is_too_ambiguous(job->guide))
        return STATUS_INVALID;
    for (int i = 0; i < DRAWS; i++) {
        int32_t *id = &slot->sample;
        enum status status =
            sampler_draw_among(sampler, logits, &job->sampling, slot->tokens, slot->n_tokens,
                               worker_mask(w, slot), id, &job->error);
        if (status == STATUS_INVALID && i > 0)
            break;
        if (status != STATUS_OK || guide_is_end(job->guide, *id) ||
            guide_fits(job->guide, *id, n_left))
            return status;
        worker_mask(w, slot)[*id / 64] &= ~((uint64_t)1 << *id % 64);
    }
    if (guide_may_end(job->guide))
        return STATUS_INVALID;
    const int32_t next = guide_completion(job->guide);
    if (next == GUIDE_NONE)
        return STATUS_INVALID;
    slot->sample = next;
    slot->certain = true;
    return STATUS_OK;
}

static enum status draw(struct worker *w, struct slot *slot, struct sampler *sampler, float *logits)
{
    struct job *job = slot->job;
    if (job->grammar != NULL)
        return slot->certain ? sampler_check(sampler, logits, &job->error)
                             : draw_guided(w, slot, sampler, logits);
    const struct sampler_ids ends[] = {{w->setup->end_ids, w->setup->n_end_ids},
                                       {job->stop_ids, job->n_stop_ids}};
    size_t n_banned = job->n_completion < job->min_tokens ? 2 : job->ignore_eos ? 1 : 0;
    return sampler_draw(sampler, logits, &job->sampling, slot->tokens, slot->n_tokens, ends,
                        n_banned, &slot->sample, &job->error);
}

/* Nothing may come any more: the end, where the text may end there. */
static void end_without_token(struct slot *slot)
{
    struct job *job = slot->job;
    slot->finish = guide_may_end(job->guide) && !guide_is_too_ambiguous(job->guide) ? FINISH_STOP
                                                                                    : FINISH_ERROR;
    if (slot->finish == FINISH_STOP)
        return;
    if (guide_is_too_ambiguous(job->guide))
        error_set(&job->error, STATUS_INVALID,
                  "the grammar is too ambiguous: this text goes along it in so many ways that the "
                  "tokens that may come next cannot be found in time");
    else if (guide_is_too_deep(job->guide))
        error_set(&job->error, STATUS_INVALID,
                  "no token can go on with this text in the form that was asked for: it is nested "
                  "as deep as it may be (%d rules inside rules), and logit_bias or the tokens that "
                  "end it ban what would close it",
                  STACK_DEPTH);
    else
        error_set(&job->error, STATUS_INVALID,
                  "no token can go on with this text in the form that was asked for: logit_bias or "
                  "the tokens that end it ban all of them, or the vocabulary lacks one");
}

/* The sample is the text's; and so is what must come after it. */
static void follow(struct slot *slot)
{
    struct job *job = slot->job;
    if (guide_is_end(job->guide, slot->sample))
        return;
    if (!guide_take(job->guide, slot->sample)) {
        slot->sampled = false;
        end_without_token(slot);
        return;
    }
    if (wants_logprobs(job)) /* each has its own step */
        return;
    const size_t n_left = job->max_tokens - job->n_tokens - 1;
    const size_t n_most = n_left < FOLLOWERS ? n_left : FOLLOWERS;
    int32_t *next = slot->tokens + slot->n_tokens + 1;
    for (; slot->n_followers < n_most; slot->n_followers++) {
        const int32_t id = guide_forced(job->guide);
        if (id == GUIDE_NONE || !guide_take(job->guide, id))
            return;
        next[slot->n_followers] = id;
    }
}

static void record_sample(struct worker *w, struct slot *slot, struct sampler *sampler,
                          float *logits)
{
    struct job *job = slot->job;
    struct logprob_record *record = &job->logprobs[job->n_tokens];
    if (!job->drawn_from) {
        record_logprobs(w, sampler, logits, slot->sample, job->n_logprobs, record);
        return;
    }
    size_t n_top = (size_t)job->n_logprobs;
    if (slot->certain) {
        record->logprob = 1;
        record->n_top = n_top > 0;
        record->top[0] = (struct logprob){slot->sample, 1};
        return;
    }
    record->logprob = sampler_probabilities(sampler, slot->sample, &n_top, record->top);
    record->n_top = (uint32_t)n_top;
}

/* The log-probability of the prompt's token after a position. */
static void record_prompt(struct worker *w, struct slot *slot, size_t next, struct sampler *sampler,
                          float *logits)
{
    struct job *job = slot->job;
    struct error ignored;
    struct logprob_record *record = &job->prompt_logprobs[next];
    if (sampler_check(sampler, logits, &ignored) == STATUS_OK)
        record_logprobs(w, sampler, logits, slot->tokens[next], job->n_prompt_logprobs, record);
    else
        record->logprob = NAN; /* step_take_samples ends the sequence */
}

/* The i-th logits that are wanted; any thread of the team, with its own sampler. */
static void sample_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct worker *w = arg;
    struct sampler *sampler = w->samplers[rank];
    const struct wanted *wanted = &w->wanted[i];
    struct slot *slot = &w->slots[wanted->slot];
    struct job *job = slot->job;
    float *logits = forward_logits(w->forward, i);
    (void)phase;
    if (!is_sample(w, wanted)) {
        record_prompt(w, slot, wanted->position + 1, sampler, logits);
        return;
    }
    slot->sampled = false;
    slot->n_followers = 0;
    if (!draws(slot))
        return;
    enum status status = draw(w, slot, sampler, logits);
    slot->sampled = status == STATUS_OK;
    if (status != STATUS_OK) {
        slot->finish = FINISH_ERROR;
        if (status == STATUS_INVALID && job->grammar != NULL)
            end_without_token(slot);
        return;
    }
    if (wants_logprobs(job))
        record_sample(w, slot, sampler, logits);
    if (job->grammar != NULL)
        follow(slot);
}

void step_sample(struct worker *w)
{
    share_out(w, sample_chunk, w->n_wanted, recorder_sample_marks(w->recorder));
}

/* --- what becomes of them --- */

/* At its last token: whether the text is whole all the same. */
static bool is_whole(struct job *job)
{
    return job->grammar != NULL && (job->guide->closed || guide_must_end(job->guide));
}

static void take_token(struct worker *w, struct slot *slot, int32_t id)
{
    struct job *job = slot->job;
    slot->tokens[slot->n_tokens++] = id;
    if (output_append(job, w->setup->tokenizer, id))
        slot->finish = FINISH_STOP;
    else if (job->n_tokens == job->max_tokens)
        slot->finish = output_end(job) || is_whole(job) ? FINISH_STOP : FINISH_LENGTH;
}

/* The sample, and what a grammar leaves no choice about after it. */
static void take_tokens(struct worker *w, struct slot *slot)
{
    struct job *job = slot->job;
    size_t n = 0;
    take_token(w, slot, slot->sample);
    for (; n < slot->n_followers && slot->finish == FINISH_NONE; n++)
        take_token(w, slot, slot->tokens[slot->n_tokens]);
    job->n_completion += n;
    count(&w->counters.generated, n);
    count(&w->counters.forced, n + (job->grammar != NULL && slot->certain));
    if (slot->finish == FINISH_NONE && job->grammar != NULL && guide_must_end(job->guide)) {
        output_end(job);
        slot->finish = FINISH_STOP;
    }
    atomic_store_explicit(&slot->left_tokens, (uint32_t)(job->max_tokens - job->n_tokens),
                          memory_order_relaxed);
}

/* Whether the sample is one that the request gave, as another run had made it. */
static bool is_given(const struct slot *slot)
{
    return slot->job->n_given > 0 && slot->job->n_tokens + 1 == slot->job->n_given;
}

static void take_sample(struct worker *w, struct slot *slot, uint64_t now)
{
    struct job *job = slot->job;
    if (slot->finish != FINISH_NONE) {
        output_end(job);
        return;
    }
    if (is_given(slot) && slot->sample != slot->tokens[slot->n_tokens]) {
        resume_refuse_last(job, slot->sample);
        slot->finish = FINISH_ERROR;
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
    take_tokens(w, slot);
}

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
