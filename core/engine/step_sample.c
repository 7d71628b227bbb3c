/* step_sample.c - the samples of a step: drawn by the team, then taken into their jobs' texts.
 *
 * First the masks of those whose texts keep to a grammar, then all draws: any thread of the team,
 * with its own sampler and scratch. Taking: the worker's thread. What a grammar leaves no choice
 * about is not drawn; it comes as one token after the other, at once where no log-probabilities are
 * wanted, and its positions are computed together in the next step. Tokens that were given with a
 * request are drawn again, many in one step: in any order, but for texts that keep to a grammar,
 * which one thread follows from token to token.
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

/* The token that must come after n of the answer; GUIDE_NONE: a mask of those that may. */
static int32_t guide(struct worker *w, struct slot *slot, size_t n, unsigned rank)
{
    struct job *job = slot->job;
    const bool too_early = n < job->min_tokens;
    const int32_t forced = guide_forced(job->guide);
    if (forced == GUIDE_NONE)
        guide_mask(job->guide, w->masks.scratch[rank], too_early || job->ignore_eos, too_early,
                   worker_mask(w, slot));
    return forced;
}

static void guide_sample(struct worker *w, struct slot *slot, unsigned rank)
{
    slot->sample = guide(w, slot, slot->job->n_tokens, rank);
    slot->certain = slot->sample != GUIDE_NONE;
}

static void guide_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct worker *w = arg;
    (void)phase;
    guide_sample(w, &w->slots[w->masks.guided[i]], rank);
}

/* Whether the draws of a text depend on each other in this step: its grammar follows given tokens.
 */
static bool is_in_order(const struct job *job)
{
    return job->grammar != NULL && job_check_from(job) != SIZE_MAX;
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
        if (slot->job->grammar != NULL && !is_in_order(slot->job) && is_sample(w, &w->wanted[i]) &&
            draws(slot))
            w->masks.guided[n++] = w->wanted[i].slot;
    }
    if (n == 0)
        return;
    wait_for_fold(w);
    share_out(w, guide_chunk, n, recorder_mask_marks(w->recorder));
    recorder_cut(w->recorder, CUT_MASK);
}

/* --- the draws --- */

struct draw {        /* of a text's next token */
    size_t n_before; /* tokens of the answer */
    int32_t id;      /* the result */
    bool certain;    /* the grammar left no choice about it; set before where that is known */
    struct error *err;
};

/* Until what comes leaves room for the rest of the text; after some tries that rest, in its
 * shortest form. STATUS_INVALID: nothing may come any more, or nothing completes the text. */
static enum status draw_guided(struct worker *w, struct slot *slot, struct sampler *sampler,
                               const float *logits, struct draw *d)
{
    struct job *job = slot->job;
    const size_t n_left = job->max_tokens - d->n_before - 1;
    if (guide_is_too_ambiguous(job->guide))
        return STATUS_INVALID;
    for (int i = 0; i < DRAWS; i++) {
        enum status status =
            sampler_draw_among(sampler, logits, &job->sampling, slot->tokens,
                               job->n_prompt + d->n_before, worker_mask(w, slot), &d->id, d->err);
        if (status == STATUS_INVALID && i > 0)
            break;
        if (status != STATUS_OK || guide_is_end(job->guide, d->id) ||
            guide_fits(job->guide, d->id, n_left))
            return status;
        worker_mask(w, slot)[d->id / 64] &= ~((uint64_t)1 << d->id % 64);
    }
    if (guide_may_end(job->guide))
        return STATUS_INVALID;
    const int32_t next = guide_completion(job->guide);
    if (next == GUIDE_NONE)
        return STATUS_INVALID;
    d->id = next;
    d->certain = true;
    return STATUS_OK;
}

static enum status draw(struct worker *w, struct slot *slot, struct sampler *sampler, float *logits,
                        struct draw *d)
{
    struct job *job = slot->job;
    if (job->grammar != NULL)
        return d->certain ? sampler_check(sampler, logits, d->err)
                          : draw_guided(w, slot, sampler, logits, d);
    const struct sampler_ids ends[] = {{w->setup->end_ids, w->setup->n_end_ids},
                                       {job->stop_ids, job->n_stop_ids}};
    size_t n_banned = d->n_before < job->min_tokens ? 2 : job->ignore_eos ? 1 : 0;
    return sampler_draw(sampler, logits, &job->sampling, slot->tokens, job->n_prompt + d->n_before,
                        ends, n_banned, &d->id, d->err);
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

/* What comes at the place of a token that was given. False: another one. */
static bool check_given(struct worker *w, struct wanted *wanted, unsigned rank, float *logits)
{
    struct slot *slot = &w->slots[wanted->slot];
    struct job *job = slot->job;
    const int32_t given = slot->tokens[wanted->position + 1];
    struct error ignored;
    struct draw d = {.n_before = wanted->position + 1 - job->n_prompt, .err = &ignored};
    if (job->grammar != NULL) {
        d.id = guide(w, slot, d.n_before, rank);
        d.certain = d.id != GUIDE_NONE;
    }
    enum status status = draw(w, slot, w->samplers[rank], logits, &d);
    wanted->drawn = status == STATUS_OK ? d.id : TOKEN_NONE;
    return wanted->drawn == given && (job->grammar == NULL || guide_take(job->guide, given));
}

static void draw_sample(struct worker *w, struct slot *slot, unsigned rank, float *logits)
{
    struct job *job = slot->job;
    struct sampler *sampler = w->samplers[rank];
    slot->sampled = false;
    slot->n_followers = 0;
    if (!draws(slot))
        return;
    if (is_in_order(job))
        guide_sample(w, slot, rank);
    struct draw d = {.n_before = job->n_tokens,
                     .id = slot->sample,
                     .certain = job->grammar != NULL && slot->certain,
                     .err = &job->error};
    enum status status = draw(w, slot, sampler, logits, &d);
    slot->sample = d.id;
    slot->certain = d.certain;
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

/* What the i-th logits are wanted for. False: nothing after it can come to the same text. */
static bool use_logits(struct worker *w, size_t i, unsigned rank)
{
    struct wanted *wanted = &w->wanted[i];
    struct slot *slot = &w->slots[wanted->slot];
    float *logits = forward_logits(w->forward, i);
    if (is_sample(w, wanted))
        draw_sample(w, slot, rank, logits);
    else if (job_checks(slot->job, wanted->position))
        return check_given(w, wanted, rank, logits);
    else
        record_prompt(w, slot, wanted->position + 1, w->samplers[rank], logits);
    return true;
}

/* The i-th logits that are wanted, or all of a text whose draws depend on each other; any thread of
 * the team, with its own sampler. */
static void sample_chunk(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct worker *w = arg;
    const uint32_t slot = w->wanted[i].slot;
    const bool in_order = is_in_order(w->slots[slot].job);
    (void)phase;
    if (in_order && i > 0 && w->wanted[i - 1].slot == slot)
        return; /* with the first of them */
    while (use_logits(w, i++, rank) && in_order && i < w->n_wanted && w->wanted[i].slot == slot)
        continue;
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

/* The sample stands for the last of the tokens that the request gave. */
static bool is_given(const struct slot *slot)
{
    return slot->job->n_given > 0 && slot->job->n_tokens + 1 == slot->job->n_given;
}

static void refuse_given(struct slot *slot, size_t i, int32_t drawn)
{
    resume_refuse(slot->job, i, drawn);
    slot->finish = FINISH_ERROR;
    output_end(slot->job);
}

/* One of the tokens given before the last: the text goes on with it only where it is drawn here. */
static void take_check(struct worker *w, struct slot *slot, size_t i)
{
    struct job *job = slot->job;
    const struct wanted *wanted = &w->wanted[i];
    const size_t k = wanted->position + 1 - job->n_prompt;
    if (slot->finish != FINISH_NONE)
        return;
    if (wanted->drawn == slot->tokens[wanted->position + 1]) {
        job->n_checked = k + 1;
        return;
    }
    if (wanted->drawn == TOKEN_NONE &&
        sampler_check(w->samplers[0], forward_logits(w->forward, i), &job->error) != STATUS_OK) {
        slot->finish = FINISH_ERROR;
        output_end(job);
        return;
    }
    refuse_given(slot, k, wanted->drawn);
}

static void take_sample(struct worker *w, struct slot *slot, uint64_t now)
{
    struct job *job = slot->job;
    if (slot->finish != FINISH_NONE) {
        output_end(job);
        return;
    }
    if (is_given(slot) && slot->sample != slot->tokens[slot->n_tokens]) {
        refuse_given(slot, job->n_tokens, slot->sample);
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
        else if (next >= slot->job->n_prompt)
            take_check(w, slot, i);
        else if (slot->finish == FINISH_NONE && isnan(slot->job->prompt_logprobs[next].logprob) &&
                 sampler_check(w->samplers[0], forward_logits(w->forward, i), &slot->job->error))
            slot->finish = FINISH_ERROR;
    }
}
