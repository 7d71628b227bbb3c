/* progress.h - how the engine says that jobs have gone on: the owner's callback, and waiters
 * without an event loop.
 *
 * One per engine; any thread. Announced once per step, after what it announces has been published
 * in the jobs.
 */
#pragma once

#include "engine/job.h"

#include <pthread.h>

struct progress {
    void (*wake)(void *ctx); /* NULL: none */
    void *wake_ctx;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void progress_init(struct progress *progress, void (*wake)(void *ctx), void *wake_ctx);
void progress_free(struct progress *progress);
void progress_announce(struct progress *progress);
/* Until the job is finished or more than n_seen of its tokens are ready. */
void progress_wait(struct progress *progress, const struct job *job, uint32_t n_seen);
