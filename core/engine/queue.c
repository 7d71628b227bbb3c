/* queue.c - the line, the choice of a worker, and who is refused.
 *
 * Any thread; everything under one lock but what is announced, after it. Waits are predicted from
 * the workers' measured rates by a small simulation (forecast.h), only when somebody has to wait.
 */
#include "engine/queue.h"

#include "base/clock.h"
#include "engine/output.h"

#include <stdlib.h>

#define MS_NS UINT64_C(1000000)

enum status batcher_init(struct batcher *b, struct worker *workers, size_t n_workers,
                         const struct engine_options *options, size_t n_context,
                         size_t worker_pages, struct progress *progress, struct error *err)
{
    b->workers = workers;
    b->n_workers = n_workers;
    b->n_context = n_context;
    b->worker_pages = worker_pages;
    b->max_queue = options->max_queue;
    b->max_batch = options->max_batch;
    b->max_wait_ns = options->max_wait_ms * MS_NS;
    b->progress = progress;
    atomic_store_explicit(&b->next_deadline_ns, UINT64_MAX, memory_order_relaxed);
    enum status status = forecast_init(&b->forecast, n_workers * options->max_batch, err);
    if (status == STATUS_OK)
        pthread_mutex_init(&b->lock, NULL);
    return status;
}

void batcher_free(struct batcher *b)
{
    if (!b->forecast.free_at)
        return;
    forecast_free(&b->forecast);
    pthread_mutex_destroy(&b->lock);
}

/* --- the line --- */

static void line_changed(struct batcher *b)
{
    uint64_t earliest = UINT64_MAX;
    for (const struct job *job = b->head; job; job = job->next)
        if (job->deadline_ns != 0 && job->deadline_ns < earliest)
            earliest = job->deadline_ns;
    atomic_store_explicit(&b->next_deadline_ns, earliest, memory_order_relaxed);
    atomic_store_explicit(&b->n_waiting, b->n, memory_order_relaxed);
}

static void line_append(struct batcher *b, struct job *job)
{
    job->next = NULL;
    if (b->tail)
        b->tail->next = job;
    else
        b->head = job;
    b->tail = job;
    b->n++;
    line_changed(b);
}

static void line_remove(struct batcher *b, struct job *job, struct job *before)
{
    if (before)
        before->next = job->next;
    else
        b->head = job->next;
    if (b->tail == job)
        b->tail = before;
    b->n--;
    line_changed(b);
}

/* --- the choice of a worker --- */

/* The worker with room that holds the most of its prompt, where one page of it outweighs one
 * sequence more to run beside; then the one with less prompt to read before it; then the first. -1:
 * none has room; *has_slot: some has a slot. */
static int choose(struct batcher *b, const struct job *job, struct worker_offer *best,
                  bool *has_slot)
{
    int chosen = -1;
    long best_score = 0;
    *has_slot = false;
    for (size_t i = 0; i < b->n_workers; i++) {
        struct worker_offer offer;
        bool room = worker_look(&b->workers[i], job, &offer);
        *has_slot |= offer.has_slot;
        if (!room)
            continue;
        long score = (long)offer.cached_pages - (long)offer.n_running;
        if (chosen >= 0 &&
            (score < best_score || (score == best_score && offer.unread >= best->unread)))
            continue;
        chosen = (int)i;
        best_score = score;
        *best = offer;
    }
    return chosen;
}

static void place_waiting(struct batcher *b)
{
    struct job *before = NULL, *job = b->head;
    for (size_t seen = 0; job && seen < BATCHER_WINDOW && !b->stopping;) {
        struct worker_offer offer;
        bool has_slot;
        int i = choose(b, job, &offer, &has_slot);
        struct job *next = job->next;
        if (i >= 0) {
            line_remove(b, job, before);
            if (!worker_place(&b->workers[i], job)) { /* cannot be: nobody else places */
                line_append(b, job);
                return;
            }
            for (struct job *j = b->head; before && j != next; j = j->next)
                j->overtaken++;
        } else {
            if (!has_slot || job->overtaken >= BATCHER_OVERTAKES)
                return;
            before = job;
            seen++;
        }
        job = next;
    }
}

void batcher_place(struct batcher *b)
{
    if (atomic_load_explicit(&b->n_waiting, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&b->lock);
    place_waiting(b);
    pthread_mutex_unlock(&b->lock);
}

/* --- waits --- */

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* A prompt token's time on a worker; beside decoding sequences half of each step is theirs. */
static uint64_t prompt_token_ns(const struct worker *w)
{
    uint64_t alone = get(&w->rates.alone_ns), beside = 2 * get(&w->rates.beside_ns);
    bool busy = atomic_load_explicit(&w->n_running, memory_order_relaxed) > 1;
    return busy && beside > alone ? beside : alone;
}

/* From its first step to its end, in a batch as full as now: its own tokens, and as many prompts as
 * there are places. */
static uint64_t job_ns(const struct batcher *b, const struct job *job)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->n_workers; i++) {
        const struct worker *w = &b->workers[i];
        size_t n_batch = atomic_load_explicit(&w->n_running, memory_order_relaxed);
        n_batch = n_batch > 0 ? n_batch : 1;
        sum += rates_decode_all(&w->rates, job->max_tokens, n_batch) +
               job->n_prompt * n_batch * get(&w->rates.alone_ns);
    }
    return b->n_workers > 0 ? sum / b->n_workers : 0;
}

/* Fills the forecast with the running sequences. */
static void forecast_running(struct batcher *b)
{
    forecast_clear(&b->forecast);
    for (size_t i = 0; i < b->n_workers; i++) {
        const struct worker *w = &b->workers[i];
        size_t n_batch = atomic_load_explicit(&w->n_running, memory_order_relaxed);
        uint64_t unread = 0;
        for (size_t s = 0; s < b->max_batch; s++)
            unread += atomic_load_explicit(&w->slots[s].left_prompt, memory_order_relaxed);
        for (size_t s = 0; s < b->max_batch; s++) {
            uint32_t left = atomic_load_explicit(&w->slots[s].left_tokens, memory_order_relaxed);
            if (left > 0)
                forecast_add_place(&b->forecast, unread * get(&w->rates.alone_ns) +
                                                     rates_decode_all(&w->rates, left, n_batch));
        }
    }
}

/* When the place that is n-th in the line comes to its turn (0: the first that waits), refused
 * clients that were told to come back standing behind the line. */
static uint64_t turn_ns(struct batcher *b, size_t n)
{
    forecast_running(b);
    uint64_t sum = 0;
    size_t i = 0;
    for (const struct job *job = b->head; job && i < n; job = job->next, i++) {
        uint64_t ns = job_ns(b, job);
        forecast_take(&b->forecast, ns);
        sum += ns;
    }
    uint64_t beyond = 0;
    if (n > i && i > 0 && b->forecast.n_places > 0)
        beyond = (n - i) * (sum / i) / b->forecast.n_places;
    return forecast_next(&b->forecast) + beyond;
}

/* Says when to come back: after wait_ns at the earliest, and half of it more. A client that comes
 * too early is refused anew, one that comes late loses little; and a crowd that arrives at once is
 * judged by rates that were measured without it. */
static void tell(struct batcher *b, uint64_t now, uint64_t wait_ns, uint64_t *retry_ms)
{
    size_t per_second = b->max_queue > 0 ? b->max_queue : 1;
    *retry_ms = 1000 * forecast_tell(&b->forecast, now, wait_ns + wait_ns / 2, per_second);
}

static enum status refuse_full(struct batcher *b, uint64_t now, uint64_t *retry_ms,
                               struct error *err)
{
    /* The first one told may come when the first that waits has been placed, the second with the
     * second, ... */
    tell(b, now, turn_ns(b, forecast_told(&b->forecast, now)), retry_ms);
    return error_set(err, STATUS_FULL, "the queue is full: %zu requests wait", b->n);
}

static enum status refuse_wait(struct batcher *b, uint64_t now, uint64_t wait, uint64_t *retry_ms,
                               struct error *err)
{
    uint64_t turn = turn_ns(b, b->n + forecast_told(&b->forecast, now));
    tell(b, now, turn > b->max_wait_ns ? turn - b->max_wait_ns : 0, retry_ms);
    return error_set(err, STATUS_TOO_LATE,
                     "the predicted wait of %llu ms is longer than the %llu ms that are allowed",
                     (unsigned long long)(wait / MS_NS),
                     (unsigned long long)(b->max_wait_ns / MS_NS));
}

static enum status refuse_deadline(struct batcher *b, uint64_t now, uint64_t late_ns,
                                   uint64_t *retry_ms, struct error *err)
{
    tell(b, now, late_ns, retry_ms);
    return error_set_param(
        err, STATUS_TOO_LATE, "deadline_ms",
        "the deadline cannot be met: the first token would come %llu ms after it",
        (unsigned long long)(late_ns / MS_NS + (late_ns % MS_NS != 0)));
}

/* How much later than its deadline its first token is predicted; 0: in time. */
static uint64_t late_by(const struct job *job, uint64_t first_token)
{
    return job->deadline_ns != 0 && first_token >= job->deadline_ns
               ? first_token - job->deadline_ns + 1
               : 0;
}

/* --- in and out --- */

static enum status take_in(struct batcher *b, struct job *job, uint64_t now, uint64_t *retry_ms,
                           struct error *err)
{
    if (b->stopping)
        return error_set(err, STATUS_STOPPING, "the engine is stopping");
    struct worker_offer offer;
    bool has_slot;
    int i = b->n == 0 ? choose(b, job, &offer, &has_slot) : -1;
    if (i >= 0) {
        const struct worker *w = &b->workers[i];
        size_t unread = offer.unread + job->n_prompt - offer.cached_pages * KV_PAGE;
        uint64_t late = late_by(job, now + unread * prompt_token_ns(w));
        if (late > 0)
            return refuse_deadline(b, now, late, retry_ms, err);
        if (worker_place(&b->workers[i], job))
            return STATUS_OK;
    }
    if (b->n >= b->max_queue)
        return refuse_full(b, now, retry_ms, err);
    if (b->max_wait_ns > 0 || job->deadline_ns != 0) {
        uint64_t wait = turn_ns(b, b->n);
        if (b->max_wait_ns > 0 && wait > b->max_wait_ns)
            return refuse_wait(b, now, wait, retry_ms, err);
        uint64_t read = job->n_prompt * prompt_token_ns(&b->workers[0]);
        uint64_t late = late_by(job, now + wait + read);
        if (late > 0)
            return refuse_deadline(b, now, late, retry_ms, err);
    }
    line_append(b, job);
    place_waiting(b);
    return STATUS_OK;
}

enum status batcher_submit(struct batcher *b, struct job *job, uint64_t *retry_ms,
                           struct error *err)
{
    size_t n = job->n_prompt + job->max_tokens;
    if (job->n_prompt == 0)
        return error_set_param(err, STATUS_INVALID, "prompt", "the prompt has no tokens: give one");
    if (job->max_tokens == 0 || n > b->n_context)
        return error_set_param(err, STATUS_INVALID, "max_tokens",
                               "%zu prompt tokens and max_tokens %zu do not fit the context of %zu",
                               job->n_prompt, job->max_tokens, b->n_context);
    if (kv_pages_for(n - 1) > b->worker_pages)
        return error_set_param(err, STATUS_INVALID, "max_tokens",
                               "%zu prompt tokens and max_tokens %zu do not fit the KV memory of "
                               "%zu positions",
                               job->n_prompt, job->max_tokens, b->worker_pages * KV_PAGE);
    output_begin(job);
    pthread_mutex_lock(&b->lock);
    enum status status = take_in(b, job, clock_now_ns(), retry_ms, err);
    pthread_mutex_unlock(&b->lock);
    return status;
}

void batcher_cancel(struct batcher *b, struct job *job)
{
    struct job *before = NULL, *j;
    pthread_mutex_lock(&b->lock);
    for (j = b->head; j && j != job; j = j->next)
        before = j;
    if (j) {
        line_remove(b, job, before);
        atomic_fetch_add_explicit(&b->n_cancelled, 1, memory_order_relaxed);
        place_waiting(b); /* it may have stood in the way */
    }
    pthread_mutex_unlock(&b->lock);
    if (!j)
        return;
    output_finish(job, FINISH_CANCELLED);
    progress_announce(b->progress);
}

void batcher_expire(struct batcher *b, uint64_t now_ns)
{
    struct job *expired = NULL, *before = NULL, *next;
    pthread_mutex_lock(&b->lock);
    for (struct job *job = b->head; job; job = next) {
        next = job->next;
        if (job->deadline_ns == 0 || now_ns < job->deadline_ns) {
            before = job;
            continue;
        }
        line_remove(b, job, before);
        job->next = expired;
        expired = job;
    }
    if (expired)
        place_waiting(b);
    pthread_mutex_unlock(&b->lock);
    if (!expired)
        return;
    for (; expired; expired = next) {
        next = expired->next;
        output_finish(expired, FINISH_DEADLINE);
    }
    progress_announce(b->progress);
}

void batcher_end_all(struct batcher *b, const char *why)
{
    pthread_mutex_lock(&b->lock);
    struct job *job = b->head, *next;
    size_t n = b->n;
    b->head = b->tail = NULL;
    b->n = 0;
    line_changed(b);
    b->stopping |= why == NULL;
    pthread_mutex_unlock(&b->lock);
    for (; job; job = next) {
        next = job->next;
        if (why)
            error_set(&job->error, STATUS_STOPPING, "%s", why);
        output_finish(job, why ? FINISH_ERROR : FINISH_CANCELLED);
    }
    if (!why)
        atomic_fetch_add_explicit(&b->n_cancelled, n, memory_order_relaxed);
    if (n > 0)
        progress_announce(b->progress);
}
