/* growth.h - a worker's KV memory grows ahead of need, on a thread of its own.
 *
 * Whoever takes pages asks (growth_ask); the thread then takes and faults in the next step's
 * memory, which no compute thread ever waits for, and hands the pages over under the worker's lock.
 * Where the system has no more, the cache stays as it is and the next question tries again. Knows
 * nothing of jobs.
 */
#pragma once

#include "base/error.h"
#include "forward/kv.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct growth { /* the caller's storage, zeroed */
    struct kv *kv;
    pthread_mutex_t *lock;    /* guards kv; borrowed */
    void (*grown)(void *ctx); /* called without the lock: there are more pages */
    void *ctx;
    pthread_t thread;
    bool has_thread;
    sem_t wake;
    _Atomic bool asked, some_wait, stop;
};

/* Takes the first step's memory at once and starts the thread for what may follow.
 * STATUS_NO_MEMORY, STATUS_IO. */
enum status growth_start(struct growth *g, struct kv *kv, pthread_mutex_t *lock,
                         void (*grown)(void *ctx), void *ctx, struct error *err);
void growth_stop(struct growth *g); /* joins the thread; takes a zeroed one */

/* Under the lock, after pages were taken, or when a job finds too few (some_wait): any thread.
 * Costs a comparison, and a signal where memory is wanted. */
void growth_ask(struct growth *g, bool some_wait);
