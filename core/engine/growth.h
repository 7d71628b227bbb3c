/* growth.h - a worker's KV memory grows ahead of need, on a thread of its own.
 *
 * The thread that takes pages asks (growth_ask); this one then takes and faults in the next step's
 * memory, for which a compute thread waits only when no page is left (growth_wait), and hands the
 * pages over under the worker's lock.
 * The same thread gives memory back when it is asked to (growth_bound). Where the system has no
 * more, the cache stays as it is, which is told, and the next question tries again. Knows nothing
 * of jobs.
 */
#pragma once

#include "base/error.h"
#include "forward/kv.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* What a worker may take of the system's memory, and should give back to it. */
struct growth_bounds {
    uint64_t ahead; /* bytes that it may take before they are needed; UINT64_MAX: no bound */
    uint64_t need;  /* and for jobs that wait */
    uint64_t back;  /* bytes to give back, as far as no sequence holds them */
};

struct growth { /* the caller's storage, zeroed */
    struct kv *kv;
    pthread_mutex_t *lock;   /* guards kv; borrowed */
    pthread_cond_t *changed; /* broadcast after each attempt; borrowed */
    /* Called without the lock, after each attempt: there are more pages, or there is no memory. */
    void (*tried)(void *ctx, bool grew);
    void *ctx;
    pthread_t thread;
    bool has_thread;
    sem_t wake;
    _Atomic bool asked, some_wait, stop;
    _Atomic uint64_t ahead, need, back; /* growth_bounds; what is taken counts against them */
    _Atomic uint64_t given_back;        /* bytes, since the start */
    uint64_t n_tries;                   /* under the lock */
    bool grew;                          /* in the last of them, likewise */
};

/* Takes the first step's memory at once and starts the thread for what may follow.
 * STATUS_NO_MEMORY, STATUS_IO. */
enum status growth_start(struct growth *g, struct kv *kv, pthread_mutex_t *lock,
                         pthread_cond_t *changed, void (*tried)(void *ctx, bool grew), void *ctx,
                         struct error *err);
void growth_stop(struct growth *g); /* joins the thread; takes a zeroed one */

/* Until the next call. Any thread, without the lock; one at a time. */
void growth_bound(struct growth *g, const struct growth_bounds *bounds);

/* Under the lock, after pages were taken, or when a job finds too few (some_wait): any thread.
 * Costs a comparison, and a signal where memory is wanted. */
void growth_ask(struct growth *g, bool some_wait);

/* Under the lock, which is given up meanwhile: asks, and waits for the attempt. For a sequence that
 * lacks a page, which happens only where memory is slower to get than tokens to make. False: all of
 * the budget is there, or the system has no more. */
bool growth_wait(struct growth *g);
