/* step.c - one step of a worker: which sequences take part, the forward pass, and what becomes of
 * them. The samples are drawn in step_sample.c.
 *
 * The worker's thread. Order matters at the end of a step: tokens are counted, pages given back and
 * waiting jobs placed before anything is published, so that a client that has seen a result finds
 * it counted and its place free. How work is cut into steps never changes a bit of an answer.
 */
#include "base/clock.h"
#include "engine/output.h"
#include "engine/worker_state.h"
#include "model/cost.h"

#include <assert.h>
#include <stdlib.h>

enum { WARM_UP_TOKENS = 32, WARM_UP_NS = 400000000 };

static bool is_decoding(const struct slot *slot)
{
    return slot->n_tokens > slot->n_given;
}

/* --- the end of sequences --- */

/* Why a running sequence must stop early: cancel, abort or deadline. */
static enum finish_reason cut_short(struct worker *w, struct slot *slot, uint64_t now)
{
    struct job *job = slot->job;
    if (atomic_load_explicit(&job->cancelled, memory_order_acquire))
        return FINISH_CANCELLED;
    if (atomic_load_explicit(&slot->aborted, memory_order_acquire)) {
        error_set(&job->error, STATUS_STOPPING, "%s", w->setup->abort_text);
        return FINISH_ERROR;
    }
    return job->deadline_ns != 0 && now >= job->deadline_ns ? FINISH_DEADLINE : FINISH_NONE;
}

/* Under the lock: gives back a finished sequence's pages and slot. */
static void release(struct worker *w, struct slot *slot)
{
    kv_end(w->kv, &slot->kv);
    atomic_store_explicit(&slot->left_prompt, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->left_tokens, 0, memory_order_relaxed);
    w->free_slots[w->n_free_slots++] = (uint32_t)(slot - w->slots);
}

static void count_finished(struct worker *w, const struct job *job)
{
    if (job->finish == FINISH_CANCELLED)
        count(&w->counters.cancelled[atomic_load_explicit(&job->phase, memory_order_relaxed)], 1);
    else if ((job->finish == FINISH_STOP || job->finish == FINISH_LENGTH) && job->max_tokens > 0)
        rates_finished(&w->rates, job->n_completion, job->max_tokens);
}

/* How far the prompt is read, for a job that is watched. True: it has moved. */
static bool tell_progress(struct slot *slot)
{
    struct job *job = slot->job;
    size_t n = slot->kv.n_positions < job->n_prompt ? slot->kv.n_positions : job->n_prompt;
    if (!job->progress || n <= atomic_load_explicit(&job->n_read, memory_order_relaxed))
        return false;
    atomic_store_explicit(&job->n_found, (uint32_t)job->n_cached, memory_order_relaxed);
    atomic_store_explicit(&job->n_read, (uint32_t)n, memory_order_release);
    return true;
}

/* Commits what the step computed and takes out the sequences that have ended; then publishes
 * results and wakes waiters. */
static void settle(struct worker *w)
{
    size_t n = 0;
    bool news = false, eases = false;
    w->n_done = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        eases |= slot->kv.n_states > 1; /* a state that others wait for may be let go of */
        if (slot->n_rows > 0 && slot->finish != FINISH_ERROR) /* no other may find what is wrong */
            kv_commit(w->kv, &slot->kv, slot->tokens, slot->kv.n_positions + slot->n_rows);
        slot->n_rows = 0;
        news |= tell_progress(slot);
        if (slot->finish == FINISH_NONE) {
            w->order[n++] = w->order[i];
            continue;
        }
        slot->job->finish = slot->finish;
        w->done[w->n_done++] = slot->job;
        release(w, slot);
    }
    w->n_active = n;
    atomic_fetch_sub_explicit(&w->n_running, w->n_done, memory_order_relaxed);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_done; i++)
        count_finished(w, w->done[i]);
    if (w->n_done > 0 || eases)
        w->setup->line.has_room(w->setup->line.ctx);

    news |= w->n_done > 0;
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        if (!slot->sampled)
            continue;
        struct job *job = slot->job;
        uint32_t before = atomic_load_explicit(&job->n_ready, memory_order_relaxed);
        uint32_t ready = output_n_ready(job);
        slot->sampled = false;
        if (ready == before)
            continue;
        atomic_store_explicit(&job->n_ready, ready, memory_order_release);
        news = true;
    }
    for (size_t i = 0; i < w->n_done; i++)
        output_finish(w->done[i], w->done[i]->finish);
    if (news)
        progress_announce(w->setup->progress);
}

void worker_end_all(struct worker *w, enum finish_reason reason)
{
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        output_end(slot->job);
        slot->finish = reason;
    }
    if (w->n_active > 0)
        settle(w);
}

/* --- the batch --- */

struct step_tokens { /* of one step */
    size_t n_decode; /* sequences, one token each */
    size_t n_read;   /* of prompts, and of what preempted sequences had */
    size_t n_again;  /* of n_read: read before */
    size_t n_forced; /* besides the one of each decoding sequence: what grammars go on with */
};

/* The positions are there already. The logits that are asked for: to draw the next token, or a
 * given one again, and of the prompt from n_known on, whose next tokens' log-probabilities are
 * wanted; likewise vectors. */
static void add_rows(struct worker *w, struct slot *slot, size_t n, size_t n_known)
{
    const size_t first = slot->kv.n_positions;
    const uint32_t number = (uint32_t)(slot - w->slots);
    const bool vector = slot->job->pooling != POOLING_NONE;
    const bool encoder = w->setup->model->shape.encoder;
    slot->n_rows = n;
    for (size_t i = first; i < first + n; i++) {
        bool wants = i + 1 == slot->n_tokens || job_checks(slot->job, i) ||
                     (i >= n_known && i + 1 < slot->job->n_prompt);
        struct row row = {.token = slot->tokens[i],
                          .position = (uint32_t)i,
                          .length = encoder ? (uint32_t)slot->n_tokens : 0,
                          .seq = &slot->kv,
                          .wants_logits = wants && !vector,
                          .wants_vector = vector && i >= n_known && step_wants_vector(w, slot, i)};
        w->rows[w->n_rows++] = row;
        if (row.wants_logits)
            w->wanted[w->n_wanted++] = (struct wanted){number, (uint32_t)i, TOKEN_NONE};
        if (row.wants_vector)
            w->pooled[w->n_pooled++] = (struct pooled){number};
    }
}

/* How many rows of sequence i may want logits: those after it keep one each. */
static size_t logits_left(struct worker *w, size_t i)
{
    size_t n_later = 0;
    for (size_t k = i + 1; k < w->n_active; k++)
        n_later += !is_decoding(worker_active(w, k));
    return w->n_logits - w->n_wanted - n_later;
}

/* Under the lock: the youngest sequence gives its slot and pages back. Its tokens stay with the
 * job, and are read again when it is placed again. */
static void preempt_youngest(struct worker *w)
{
    struct slot *slot = worker_active(w, --w->n_active);
    w->preempted[w->n_preempted++] = slot->job;
    release(w, slot);
    atomic_fetch_sub_explicit(&w->n_running, 1, memory_order_relaxed);
    count(&w->counters.preemptions, 1);
}

/* Alone, it has all pages that there are; the rest of the budget cannot be had. */
static void end_without_memory(struct worker *w, struct slot *slot)
{
    struct kv_stats kv;
    kv_stats(w->kv, &kv);
    assert(kv.n_there < kv.n_pages); /* what never fits the budget was refused */
    error_set(&slot->job->error, STATUS_NO_MEMORY,
              "the system has memory for %zu positions of keys and values, not for the %zu that "
              "--kv-memory allows",
              kv.n_there * KV_PAGE, kv.n_pages * KV_PAGE);
    slot->finish = FINISH_ERROR;
    output_end(slot->job);
}

/* Room for one more position of sequence i, which younger ones make where there is none. False: it
 * was the youngest itself. The oldest always goes on: alone, it has all pages. */
static bool grow(struct worker *w, size_t i)
{
    while (!kv_extend(w->kv, &worker_active(w, i)->kv, 1)) {
        bool itself = w->n_active == i + 1;
        if (growth_wait(&w->growth))
            continue;
        if (w->n_active == 1) {
            end_without_memory(w, worker_active(w, i));
            return false;
        }
        preempt_youngest(w);
        if (itself)
            return false;
    }
    return true;
}

/* The prompt tokens among the first n_positions that no counter has seen: what a preempted sequence
 * reads again is not counted again. */
static size_t count_new(struct job *job, size_t n_positions)
{
    size_t n = n_positions < job->n_prompt ? n_positions : job->n_prompt;
    size_t n_new = n > job->n_counted ? n - job->n_counted : 0;
    job->n_counted += n_new;
    return n_new;
}

/* The first position from which on a job wants the logits of every row that it reads; SIZE_MAX:
 * only the last one's. */
static size_t logits_from(const struct job *job)
{
    const size_t score_from = job_wants_prompt_logprobs(job) ? job->n_counted : SIZE_MAX;
    const size_t check_from = job_check_from(job);
    return score_from < check_from ? score_from : check_from;
}

/* The next of the tokens that sequence i was placed with, at most so many; returns how many, for
 * the counters. */
static struct step_tokens read_given(struct worker *w, size_t i, size_t most, uint64_t now)
{
    struct slot *slot = worker_active(w, i);
    struct job *job = slot->job;
    if (job->started_ns == 0)
        job->started_ns = now;
    /* Others may have computed the same prefix meanwhile. */
    kv_share(w->kv, &slot->kv, slot->tokens, slot->n_given);
    size_t n_found = count_new(job, slot->kv.n_positions);
    count(&w->counters.prompt_cached, n_found);
    job->n_cached += n_found;
    size_t left = slot->n_given - slot->kv.n_positions, n = left < most ? left : most;
    const bool scores = job_wants_prompt_logprobs(job) || job->pooling != POOLING_NONE;
    const size_t n_known = scores ? job->n_counted : job->n_prompt, first = logits_from(job);
    if (first != SIZE_MAX) {
        size_t n_before = first > slot->kv.n_positions ? first - slot->kv.n_positions : 0;
        size_t n_most = n_before + logits_left(w, i);
        n = n < n_most ? n : n_most;
    }
    n = kv_room(w->kv, &slot->kv, n);
    size_t n_new = count_new(job, slot->kv.n_positions + n);
    bool extended = kv_extend(w->kv, &slot->kv, n);
    assert(extended); /* promised */
    (void)extended;
    add_rows(w, slot, n, n_known);
    atomic_store_explicit(&slot->left_prompt, (uint32_t)(left - n), memory_order_relaxed);
    return (struct step_tokens){.n_read = n, .n_again = n - n_new};
}

/* A decoding sequence's next token, and what its grammar had it go on with; returns how many more
 * than one. */
static size_t read_decoding(struct worker *w, struct slot *slot, size_t most)
{
    const size_t left = slot->n_tokens - slot->kv.n_positions;
    size_t n = left < most + 1 ? left : most + 1;
    if (n > 1)
        n = kv_room(w->kv, &slot->kv, n);
    if (n > 1 && !kv_extend(w->kv, &slot->kv, n))
        n = 1; /* there is room for it */
    add_rows(w, slot, n, SIZE_MAX);
    return n - 1;
}

/* Prompt tokens that fit beside them. */
static size_t prompt_budget(const struct worker *w, const struct step_tokens *sum)
{
    const size_t cap = w->setup->options->step_tokens - sum->n_forced;
    if (cap == 0)
        return 0;
    const size_t n = rates_prompt_budget(&w->rates, sum->n_decode, cap);
    return n > sum->n_forced ? n - sum->n_forced : 1;
}

/* Every decoding sequence's row first, the oldest first, then prompts in the same order, as far as
 * the step's time goes. */
static struct step_tokens build_rows(struct worker *w, uint64_t now)
{
    struct step_tokens sum = {0};
    const size_t step_tokens = w->setup->options->step_tokens;
    w->n_rows = w->n_wanted = w->n_pooled = w->n_preempted = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n_active; i++) {
        if (!is_decoding(worker_active(w, i)) || !grow(w, i))
            continue;
        sum.n_forced += read_decoding(w, worker_active(w, i), step_tokens - sum.n_forced);
        sum.n_decode++;
    }
    size_t budget = prompt_budget(w, &sum);
    for (size_t i = 0; i < w->n_active && sum.n_read < budget; i++) {
        if (is_decoding(worker_active(w, i)))
            continue;
        size_t most = budget - sum.n_read, whole = worker_active(w, i)->n_given;
        if (w->setup->model->shape.encoder) { /* all of a text, or nothing of it */
            if (sum.n_read > 0 && whole > most)
                break;
            most = whole;
        }
        struct step_tokens one = read_given(w, i, most, now);
        sum.n_read += one.n_read;
        sum.n_again += one.n_again;
    }
    growth_ask(&w->growth, false);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_preempted; i++)
        w->setup->line.gives_back(w->setup->line.ctx, w->preempted[i]);
    return sum;
}

/* Ends the sequences whose keys or values the cache could not hold, and those alone. */
static void end_out_of_range(struct worker *w)
{
    if (__builtin_expect(forward_n_out_of_range(w->forward) == 0, true))
        return;
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        for (size_t t = 0; t < w->n_rows; t++) {
            if (w->rows[t].seq != &slot->kv || !forward_is_out_of_range(w->forward, t))
                continue;
            error_set(
                &slot->job->error, STATUS_INTERNAL,
                "this model's keys or values are beyond 65504, which a KV cache in F16 cannot "
                "hold: start the service with --kv-type f32");
            slot->finish = FINISH_ERROR;
        }
    }
}

/* --- the step --- */

static void count_step(struct worker *w, size_t n_sequences, const struct step_tokens *tokens,
                       uint64_t ns)
{
    struct worker_counters *c = &w->counters;
    size_t i = 0, j = 0;
    while (i < ENGINE_STEP_BUCKETS && (double)ns * 1e-9 > engine_step_bounds[i])
        i++;
    while (j < ENGINE_SIZE_BUCKETS && (double)n_sequences > engine_size_bounds[j])
        j++;
    count(&c->seconds_bucket[i], 1);
    count(&c->sequences_bucket[j], 1);
    count(&c->n_steps, 1);
    count(&c->step_ns, ns);
    count(&c->step_sequences, n_sequences);
    count(&c->prompt_computed, tokens->n_read - tokens->n_again);
    count(&c->recomputed, tokens->n_again);
}

static size_t n_with_rows(struct worker *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_active; i++)
        n += worker_active(w, i)->n_rows > 0;
    return n;
}

static void follow_machine(struct worker *w)
{
    const unsigned n = atomic_load_explicit(&w->n_working, memory_order_relaxed);
    if (n != team_active(w->team))
        team_set_active(w->team, n);
}

void worker_step(struct worker *w)
{
    uint64_t begin = clock_now_ns();
    bool ended = false;
    follow_machine(w);
    recorder_begin(w->recorder, step_profile_wish(w));
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        slot->finish = cut_short(w, slot, begin);
        if (slot->finish == FINISH_NONE)
            continue;
        output_end(slot->job);
        ended = true;
    }
    if (ended)
        settle(w);
    w->setup->line.step_begins(w->setup->line.ctx, begin);
    if (w->n_active == 0)
        return;

    struct step_tokens tokens = build_rows(w, begin);
    if (w->n_rows == 0) { /* the only sequence lacked memory */
        settle(w);
        return;
    }
    forward_set_marks(w->forward, recorder_forward_marks(w->recorder));
    recorder_cut(w->recorder, CUT_SCHEDULE);
    forward_run(w->forward, w->rows, w->n_rows);
    recorder_cut(w->recorder, CUT_FORWARD);
    end_out_of_range(w);
    step_profile_fold(w, tokens.n_decode, tokens.n_read);
    step_mask(w);
    step_sample(w);
    recorder_cut(w->recorder, CUT_SAMPLE);
    uint64_t now = clock_now_ns();
    step_take_samples(w, now);
    step_take_vectors(w, now);
    recorder_cut(w->recorder, CUT_TEXT);
    count_step(w, n_with_rows(w), &tokens, now - begin);
    rates_step(&w->rates, tokens.n_decode, tokens.n_read + tokens.n_forced, now - begin);
    atomic_store_explicit(&w->last_step_ns, now, memory_order_relaxed);
    step_profile_share(w, now - begin);
    settle(w);
    step_profile_end(w);
}

/* --- warm-up --- */

/* One step of n tokens of a sequence that is forgotten at once; ns. */
static uint64_t trial(struct worker *w, const int32_t *tokens, size_t n)
{
    const bool encoder = w->setup->model->shape.encoder;
    struct kv_seq seq = {0};
    size_t n_cached;
    pthread_mutex_lock(&w->lock); /* the thread that takes memory looks in */
    bool fits =
        kv_begin(w->kv, &seq, 0, SIZE_MAX, tokens, n, n, &n_cached) && kv_extend(w->kv, &seq, n);
    pthread_mutex_unlock(&w->lock);
    if (!fits)
        return 0; /* the worker does not start */
    uint64_t begin = clock_now_ns();
    for (size_t i = 0; i < n; i++)
        w->rows[i] = (struct row){.token = tokens[i],
                                  .position = (uint32_t)i,
                                  .length = encoder ? (uint32_t)n : 0,
                                  .seq = &seq,
                                  .wants_logits = !encoder && i + 1 == n,
                                  .wants_vector = encoder};
    forward_run(w->forward, w->rows, n);
    w->out_of_range |= forward_n_out_of_range(w->forward) > 0;
    struct sampling greedy = {.top_p = 1, .typical_p = 1, .repetition_penalty = 1};
    int32_t id;
    struct error ignored;
    uint64_t ns = clock_now_ns() - begin;
    for (unsigned t = 0; t < w->n_threads && !encoder; t++) {
        sampler_draw(w->samplers[t], forward_logits(w->forward, 0), &greedy, tokens, n, NULL, 0,
                     &id, &ignored);
        if (t == 0)
            ns = clock_now_ns() - begin;
    }
    pthread_mutex_lock(&w->lock);
    kv_end(w->kv, &seq);
    pthread_mutex_unlock(&w->lock);
    return ns;
}

enum status worker_warm_up(struct worker *w, struct error *err)
{
    const struct model *model = w->setup->model;
    size_t most = WARM_UP_TOKENS;
    size_t limits[] = {w->setup->options->step_tokens, model->n_context,
                       kv_n_pages(w->kv) * KV_PAGE};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        most = limits[i] < most ? limits[i] : most;
    int32_t tokens[WARM_UP_TOKENS];
    for (size_t i = 0; i < most; i++)
        tokens[i] = (int32_t)(i * 7919 % model->shape.n_vocab);
    int32_t bos = tokenizer_bos(w->setup->tokenizer); /* the most extreme numbers are often its */
    tokens[0] = bos != TOKEN_NONE ? bos : 0;

    trial(w, tokens, 1); /* faults everything in */
    uint64_t decode = trial(w, tokens, 1);
    size_t n = decode > 0 ? WARM_UP_NS / decode : 1;
    n = n < most ? n : most;
    n = n > 0 ? n : 1;
    uint64_t prompt = trial(w, tokens, n);
    if (decode == 0 || prompt == 0)
        return error_set(err, STATUS_INTERNAL, "the warm-up found no room in the KV cache");
    pthread_mutex_lock(&w->lock);
    kv_clear(w->kv);
    pthread_mutex_unlock(&w->lock);
    double growth[RATE_CLASSES];
    cost_growth(growth, RATE_CLASSES, model);
    rates_seed(&w->rates, decode, n, prompt, growth);
    return STATUS_OK;
}
