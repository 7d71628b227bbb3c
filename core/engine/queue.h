/* queue.h - the bounded line of waiting jobs, and the choice of a worker for each.
 *
 * First come, first served: the line stands in the order of arrival, jobs that a worker gave back
 * (its KV memory ran out) at their old place; a later job goes first only when those before it do
 * not fit the KV memory now, and each is overtaken at most QUEUE_OVERTAKES times. A job is placed
 * as soon as a worker has room for it, by the thread that made the room; nothing is polled. One
 * lock; workers' locks are taken inside it, never the other way round. While a job waits some
 * worker runs, as an idle one has room for any job that was let in: so workers look after the
 * deadlines of the line, between their steps.
 */
#pragma once

#include "engine/forecast.h"
#include "engine/worker.h"

#include <pthread.h>

enum {
    QUEUE_OVERTAKES = 8, /* times a waiting job may be overtaken */
    QUEUE_WINDOW = 16,   /* waiting jobs looked at when the first does not fit */
};

struct queue {
    pthread_mutex_t lock;
    struct worker *const *workers; /* [n_workers], borrowed */
    size_t n_workers, n_open;      /* jobs are placed with the first n_open */
    size_t n_context, worker_pages, max_queue, max_batch;
    uint64_t max_wait_ns; /* 0: no bound */
    struct progress *progress;
    struct job *head, *tail;
    size_t n, n_places; /* jobs, and what they take of max_queue */
    uint64_t n_tickets;
    unsigned n_aborts;
    const char *abort_text; /* of the last of them, borrowed */
    bool ready, stopping;
    struct forecast forecast;
    struct worker_load *loads; /* [n_workers], of the prediction being made; owned */
    uint32_t *left_tokens;     /* [max_batch], likewise */
    /* read without the lock */
    _Atomic size_t n_waiting;
    _Atomic uint64_t next_deadline_ns; /* of the line; UINT64_MAX: none */
    _Atomic uint64_t n_cancelled[3];   /* while waiting; by enum job_phase */
};

enum status queue_init(struct queue *q, struct worker *const *workers, size_t n_workers,
                       const struct engine_options *options, size_t n_context, size_t worker_pages,
                       struct progress *progress, struct error *err);
/* Before the first job: each worker runs n sequences at once, of the options' max_batch at most. */
void queue_limit(struct queue *q, size_t n);
void queue_free(struct queue *q); /* takes a zeroed one */

/* From now on only the first n workers get jobs; what the others run they finish. n >= 1. */
void queue_open(struct queue *q, size_t n);

/* engine_submit_all's contract. */
enum status queue_submit(struct queue *q, struct job *const *jobs, size_t n, uint64_t *retry_ms,
                         struct error *err);
void queue_cancel(struct queue *q, struct job *job); /* when it waits */
/* Ends every waiting job: FINISH_CANCELLED, and no new one comes in; or FINISH_ERROR with a text
 * (borrowed), which is also the end of jobs that came in before and are given back later. */
void queue_end_all(struct queue *q, const char *why);
/* For workers to call: gives waiting jobs to workers with room, takes back those that had to make
 * room, and ends those whose deadline has passed. */
struct worker_line queue_line(struct queue *q);
