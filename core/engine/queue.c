/* queue.c - the line, the choice of a worker, and which jobs are let in.
 *
 * Any thread; everything under one lock but what is announced, after it. Knows of a worker what it
 * offers and how loaded it is, never its slots.
 */
#include "engine/queue.h"

#include "base/clock.h"
#include "engine/output.h"
#include "engine/waits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)

enum status queue_init(struct queue *q, struct worker *const *workers, size_t n_workers,
                       const struct engine_options *options, size_t n_context, size_t worker_pages,
                       struct progress *progress, struct error *err)
{
    q->workers = workers;
    q->n_workers = q->n_open = n_workers;
    q->n_context = n_context;
    q->worker_pages = worker_pages;
    q->max_queue = options->max_queue;
    q->max_batch = options->max_batch;
    q->max_wait_ns = options->max_wait_ms * MS_NS;
    q->progress = progress;
    atomic_store_explicit(&q->next_deadline_ns, UINT64_MAX, memory_order_relaxed);
    q->loads = calloc(n_workers, sizeof *q->loads);
    q->left_tokens = calloc(options->max_batch, sizeof *q->left_tokens);
    enum status status = STATUS_OK;
    if (!q->loads || !q->left_tokens)
        status = error_no_memory(err, n_workers * sizeof *q->loads, "the queue");
    if (status == STATUS_OK)
        status = forecast_init(&q->forecast, n_workers * options->max_batch, err);
    if (status == STATUS_OK)
        pthread_mutex_init(&q->lock, NULL);
    q->ready = status == STATUS_OK;
    return status;
}

void queue_limit(struct queue *q, size_t n)
{
    q->max_batch = n;
    for (size_t i = 0; i < q->n_workers; i++)
        worker_limit(q->workers[i], n);
}

void queue_free(struct queue *q)
{
    free(q->loads);
    free(q->left_tokens);
    forecast_free(&q->forecast);
    if (q->ready)
        pthread_mutex_destroy(&q->lock);
}

/* --- the line --- */

static void line_changed(struct queue *q)
{
    uint64_t earliest = UINT64_MAX;
    for (const struct job *job = q->head; job; job = job->next)
        if (job->deadline_ns != 0 && job->deadline_ns < earliest)
            earliest = job->deadline_ns;
    atomic_store_explicit(&q->next_deadline_ns, earliest, memory_order_relaxed);
    atomic_store_explicit(&q->n_waiting, q->n, memory_order_relaxed);
}

/* At its place in the order of arrival: a new job is the last. */
static void line_insert(struct queue *q, struct job *job)
{
    struct job *before = q->tail;
    if (before && before->ticket > job->ticket) {
        before = NULL;
        for (struct job *j = q->head; j->ticket < job->ticket; j = j->next)
            before = j;
    }
    job->next = before ? before->next : q->head;
    if (before)
        before->next = job;
    else
        q->head = job;
    if (q->tail == before)
        q->tail = job;
    q->n++;
    q->n_places += job->n_places;
    line_changed(q);
}

static void line_remove(struct queue *q, struct job *job, struct job *before)
{
    if (before)
        before->next = job->next;
    else
        q->head = job->next;
    if (q->tail == job)
        q->tail = before;
    q->n--;
    q->n_places -= job->n_places;
    line_changed(q);
}

/* --- the choice of a worker --- */

/* The worker with room that holds the most of its prompt, where one page of it outweighs one
 * sequence more to run beside; then the one with less prompt to read before it; then the first. -1:
 * none has room; *has_slot: some has a slot. */
static int choose(struct queue *q, const struct job *job, struct worker_offer *best, bool *has_slot)
{
    int chosen = -1;
    long best_score = 0;
    *has_slot = false;
    for (size_t i = 0; i < q->n_open; i++) {
        struct worker_offer offer;
        bool room = worker_look(q->workers[i], job, &offer);
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

static void place(struct queue *q, int i, struct job *job)
{
    bool placed = worker_place(q->workers[i], job);
    assert(placed); /* it offered room, and only this lock's holder places jobs */
    (void)placed;
}

static void place_waiting(struct queue *q)
{
    struct job *before = NULL, *job = q->head;
    for (size_t seen = 0; job && seen < QUEUE_WINDOW && !q->stopping;) {
        struct worker_offer offer;
        bool has_slot;
        int i = choose(q, job, &offer, &has_slot);
        struct job *next = job->next;
        if (i >= 0) {
            line_remove(q, job, before);
            place(q, i, job);
            for (struct job *j = q->head; before && j != next; j = j->next)
                j->overtaken++;
        } else {
            if (!has_slot || job->overtaken >= QUEUE_OVERTAKES)
                return;
            before = job;
            seen++;
        }
        job = next;
    }
}

void queue_open(struct queue *q, size_t n)
{
    pthread_mutex_lock(&q->lock);
    q->n_open = n;
    place_waiting(q);
    pthread_mutex_unlock(&q->lock);
}

/* --- in and out --- */

/* A single job that some worker has room for now. *placed: it was given to one. */
static enum status admit_at_once(struct queue *q, struct job *job, uint64_t now, bool *placed,
                                 uint64_t *retry_ms, struct error *err)
{
    struct worker_offer offer;
    bool has_slot;
    int i = q->n == 0 ? choose(q, job, &offer, &has_slot) : -1;
    *placed = false;
    if (i < 0)
        return STATUS_OK;
    size_t unread = offer.unread + job->n_prompt + job->n_tokens - offer.cached_pages * KV_PAGE;
    uint64_t late = waits_late_by(job, now + waits_read_ns(q, (size_t)i, unread));
    if (late > 0)
        return waits_refuse_deadline(q, now, late, retry_ms, err);
    place(q, i, job);
    *placed = true;
    return STATUS_OK;
}

/* Free slots, where no job waits for them. */
static size_t free_slots(struct queue *q)
{
    size_t n = 0;
    for (size_t i = 0; q->n == 0 && i < q->n_open; i++) {
        worker_load(q->workers[i], &q->loads[i], q->left_tokens);
        n += q->max_batch - q->loads[i].n_running;
    }
    return n;
}

/* Prompt tokens that are read before the last of a group begins its answer, from when it has its
 * place: those of its group that are given places with it. One prompt several times is read once.
 */
static size_t group_tokens(struct job *const *jobs, size_t n, size_t n_free)
{
    const struct job *last = jobs[n - 1];
    size_t sum = last->n_prompt + last->n_tokens;
    for (size_t i = 1; i < n && i < n_free; i++) {
        const struct job *job = jobs[n - 1 - i];
        bool same = job->n_prompt == last->n_prompt &&
                    memcmp(job->prompt, last->prompt, last->n_prompt * sizeof *last->prompt) == 0;
        sum += same ? 0 : job->n_prompt;
    }
    return sum;
}

/* A request's texts to embed take one place together, which the last of them holds. */
static size_t places_of(struct job *const *jobs, size_t n)
{
    return jobs[n - 1]->pooling == POOLING_NONE ? n : 1;
}

/* Whether the line takes them all, and the last of them in time. */
static enum status admit_to_line(struct queue *q, struct job *const *jobs, size_t n, uint64_t now,
                                 uint64_t *retry_ms, struct error *err)
{
    const struct job *last = jobs[n - 1];
    size_t n_free = n > 1 ? free_slots(q) : 0;
    size_t n_places = places_of(jobs, n), most = q->max_queue + n_free;
    if (q->n_places + n_places > most)
        return waits_refuse_full(q, n_places, q->n_places + n_places - most, now, retry_ms, err);
    if (q->max_wait_ns == 0 && last->deadline_ns == 0)
        return STATUS_OK;
    uint64_t wait = waits_turn_ns(q, jobs, n, n_free);
    if (q->max_wait_ns > 0 && wait > q->max_wait_ns)
        return waits_refuse_long(q, now, wait, retry_ms, err);
    uint64_t late =
        waits_late_by(last, now + wait + waits_read_ns(q, 0, group_tokens(jobs, n, n_free)));
    return late > 0 ? waits_refuse_deadline(q, now, late, retry_ms, err) : STATUS_OK;
}

static enum status admit(struct queue *q, struct job *const *jobs, size_t n, uint64_t now,
                         uint64_t *retry_ms, struct error *err)
{
    if (q->stopping)
        return error_set(err, STATUS_STOPPING, "the engine is stopping");
    for (size_t i = 0; i < n; i++) {
        jobs[i]->ticket = q->n_tickets++;
        jobs[i]->n_aborts = q->n_aborts;
    }
    enum status status = STATUS_OK;
    bool placed = false;
    if (n == 1)
        status = admit_at_once(q, jobs[0], now, &placed, retry_ms, err);
    if (status != STATUS_OK || placed)
        return status;
    status = admit_to_line(q, jobs, n, now, retry_ms, err);
    for (size_t i = 0; status == STATUS_OK && i < n; i++)
        line_insert(q, jobs[i]);
    if (status == STATUS_OK)
        place_waiting(q);
    return status;
}

/* Requests that no state of the engine could ever serve. */
static enum status check_size(const struct queue *q, const struct job *job, struct error *err)
{
    size_t n = job->n_prompt + job->max_tokens;
    if (job->n_prompt == 0)
        return error_set_param(err, STATUS_INVALID, "prompt", "the prompt has no tokens: give one");
    if (n > q->n_context)
        return error_set_param(err, STATUS_INVALID, "max_tokens",
                               "%zu prompt tokens and max_tokens %zu do not fit the context of %zu",
                               job->n_prompt, job->max_tokens, q->n_context);
    if (kv_pages_for(n - (job->max_tokens > 0)) > q->worker_pages)
        return error_set_param(err, STATUS_INVALID, "max_tokens",
                               "%zu prompt tokens and max_tokens %zu do not fit the KV memory of "
                               "%zu positions",
                               job->n_prompt, job->max_tokens, q->worker_pages * KV_PAGE);
    return STATUS_OK;
}

enum status queue_submit(struct queue *q, struct job *const *jobs, size_t n, uint64_t *retry_ms,
                         struct error *err)
{
    assert(n > 0);
    size_t most = q->max_queue + q->n_workers * q->max_batch;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n; i++)
        jobs[i]->n_places = jobs[i]->pooling == POOLING_NONE || i + 1 == n;
    if (places_of(jobs, n) > most)
        return error_set_param(err, STATUS_INVALID, "n",
                               "the request asks for %zu answers; with its queue this server holds "
                               "%zu at once",
                               n, most);
    for (size_t i = 0; status == STATUS_OK && i < n; i++)
        status = check_size(q, jobs[i], err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        if (!jobs[i]->begun)
            output_begin(jobs[i]);
    pthread_mutex_lock(&q->lock);
    status = admit(q, jobs, n, clock_now_ns(), retry_ms, err);
    pthread_mutex_unlock(&q->lock);
    return status;
}

/* --- the end of waiting jobs --- */

/* Under the lock, before its end can be seen. */
static void count_cancelled(struct queue *q, const struct job *job)
{
    int phase = atomic_load_explicit(&job->phase, memory_order_relaxed);
    atomic_fetch_add_explicit(&q->n_cancelled[phase], 1, memory_order_relaxed);
}

/* Out of the line, not under the lock: what it may have is complete. why NULL: no error, or it is
 * there. */
static void end_job(struct job *job, enum finish_reason reason, const char *why)
{
    if (reason == FINISH_ERROR && why)
        error_set(&job->error, STATUS_STOPPING, "%s", why);
    output_end(job);
    output_finish(job, reason);
}

static void end_list(struct queue *q, struct job *list, enum finish_reason reason, const char *why)
{
    if (!list)
        return;
    for (struct job *job = list, *next; job; job = next) {
        next = job->next;
        end_job(job, reason, why);
    }
    progress_announce(q->progress);
}

void queue_cancel(struct queue *q, struct job *job)
{
    struct job *before = NULL, *j;
    pthread_mutex_lock(&q->lock);
    for (j = q->head; j && j != job; j = j->next)
        before = j;
    if (j) {
        line_remove(q, job, before);
        job->next = NULL;
        count_cancelled(q, job);
        place_waiting(q); /* it may have stood in the way */
    }
    pthread_mutex_unlock(&q->lock);
    end_list(q, j, FINISH_CANCELLED, NULL);
}

static void expire(void *ctx, uint64_t now_ns)
{
    struct queue *q = ctx;
    if (now_ns < atomic_load_explicit(&q->next_deadline_ns, memory_order_relaxed))
        return;
    struct job *expired = NULL, *before = NULL, *next;
    pthread_mutex_lock(&q->lock);
    for (struct job *job = q->head; job; job = next) {
        next = job->next;
        if (job->deadline_ns == 0 || now_ns < job->deadline_ns) {
            before = job;
            continue;
        }
        line_remove(q, job, before);
        job->next = expired;
        expired = job;
    }
    if (expired)
        place_waiting(q);
    pthread_mutex_unlock(&q->lock);
    end_list(q, expired, FINISH_DEADLINE, NULL);
}

void queue_end_all(struct queue *q, const char *why)
{
    pthread_mutex_lock(&q->lock);
    struct job *list = q->head;
    q->head = q->tail = NULL;
    q->n = q->n_places = 0;
    line_changed(q);
    if (why) {
        q->n_aborts++;
        q->abort_text = why;
    } else {
        q->stopping = true;
        for (const struct job *job = list; job; job = job->next)
            count_cancelled(q, job);
    }
    pthread_mutex_unlock(&q->lock);
    end_list(q, list, why ? FINISH_ERROR : FINISH_CANCELLED, why);
}

/* --- what workers call --- */

static void has_room(void *ctx)
{
    struct queue *q = ctx;
    if (atomic_load_explicit(&q->n_waiting, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&q->lock);
    place_waiting(q);
    pthread_mutex_unlock(&q->lock);
}

/* No worker runs anything: what has no room now will never have it. */
static bool all_idle(struct queue *q, const struct job *job)
{
    for (size_t i = 0; i < q->n_open; i++) {
        struct worker_offer offer;
        if (worker_look(q->workers[i], job, &offer) || offer.n_running > 0)
            return false;
    }
    return true;
}

/* Ends the waiting jobs that the pages there cannot hold, when nothing runs whose end would give
 * back more. The first attempt that a job hears of may have begun before it came; to look at it
 * again asks for another. */
static void no_memory(void *ctx)
{
    struct queue *q = ctx;
    struct job *ended = NULL, *before = NULL, *next;
    pthread_mutex_lock(&q->lock);
    for (struct job *job = q->head; job; job = next) {
        next = job->next;
        if (!all_idle(q, job) || ++job->n_denials < 2) {
            before = job;
            continue;
        }
        line_remove(q, job, before);
        job->next = ended;
        ended = job;
    }
    place_waiting(q);
    pthread_mutex_unlock(&q->lock);
    for (struct job *job = ended; job; job = job->next)
        error_set(
            &job->error, STATUS_NO_MEMORY,
            "the system has no memory for the keys and values of %zu prompt tokens; a shorter "
            "prompt may fit",
            job->n_prompt);
    end_list(q, ended, FINISH_ERROR, NULL);
}

/* While a worker gives it back a job is in no list: what would have ended it meanwhile does so now.
 */
static enum finish_reason end_meanwhile(const struct queue *q, const struct job *job)
{
    if (q->stopping || atomic_load_explicit(&job->cancelled, memory_order_acquire))
        return FINISH_CANCELLED;
    return job->n_aborts != q->n_aborts ? FINISH_ERROR : FINISH_NONE;
}

static void take_back(void *ctx, struct job *job)
{
    struct queue *q = ctx;
    pthread_mutex_lock(&q->lock);
    enum finish_reason reason = end_meanwhile(q, job);
    const char *why = q->abort_text;
    if (reason == FINISH_CANCELLED)
        count_cancelled(q, job);
    if (reason == FINISH_NONE) {
        line_insert(q, job);
        place_waiting(q);
    }
    pthread_mutex_unlock(&q->lock);
    if (reason == FINISH_NONE)
        return;
    job->next = NULL;
    end_list(q, job, reason, why);
}

struct worker_line queue_line(struct queue *q)
{
    return (struct worker_line){.ctx = q,
                                .has_room = has_room,
                                .no_memory = no_memory,
                                .gives_back = take_back,
                                .step_begins = expire};
}
