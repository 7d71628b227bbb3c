/* progress.c - one condition variable and one callback. Any thread; never called with another lock
 * held. */
#include "engine/progress.h"

void progress_init(struct progress *progress, void (*wake)(void *ctx), void *wake_ctx)
{
    progress->wake = wake;
    progress->wake_ctx = wake_ctx;
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->changed, NULL);
}

void progress_free(struct progress *progress)
{
    pthread_cond_destroy(&progress->changed);
    pthread_mutex_destroy(&progress->lock);
}

void progress_announce(struct progress *progress)
{
    /* Taking the lock orders this after a waiter's look at the job: it sees the news, or is woken.
     */
    pthread_mutex_lock(&progress->lock);
    pthread_cond_broadcast(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
    if (progress->wake)
        progress->wake(progress->wake_ctx);
}

void progress_wait(struct progress *progress, const struct job *job, uint32_t n_seen)
{
    pthread_mutex_lock(&progress->lock);
    while (!atomic_load_explicit(&job->finished, memory_order_acquire) &&
           atomic_load_explicit(&job->n_ready, memory_order_acquire) <= n_seen)
        pthread_cond_wait(&progress->changed, &progress->lock);
    pthread_mutex_unlock(&progress->lock);
}
