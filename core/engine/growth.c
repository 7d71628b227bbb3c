/* growth.c - the thread that takes KV memory. See growth.h.
 *
 * It sleeps on a semaphore, takes one step at a time, and ends when all of the budget is there. */
#include "engine/growth.h"

static size_t wanted(struct growth *g, bool some_wait)
{
    pthread_mutex_lock(g->lock);
    size_t n = kv_wants(g->kv, some_wait);
    pthread_mutex_unlock(g->lock);
    return n;
}

/* One step. False: none is wanted, or to be had. */
static bool grow(struct growth *g)
{
    size_t n = wanted(g, atomic_exchange(&g->some_wait, false));
    if (n == 0)
        return false;
    bool grew = kv_take_memory(g->kv, n);
    pthread_mutex_lock(g->lock);
    if (grew)
        kv_grow(g->kv, n);
    g->grew = grew;
    g->n_tries++;
    pthread_cond_broadcast(g->changed);
    pthread_mutex_unlock(g->lock);
    g->tried(g->ctx, grew);
    return grew;
}

static void *run(void *arg)
{
    struct growth *g = arg;
    while (!atomic_load(&g->stop) && wanted(g, true) > 0) {
        if (sem_wait(&g->wake) != 0)
            continue; /* a signal */
        atomic_store(&g->asked, false);
        while (!atomic_load(&g->stop) && grow(g))
            ;
    }
    return NULL;
}

enum status growth_start(struct growth *g, struct kv *kv, pthread_mutex_t *lock,
                         pthread_cond_t *changed, void (*tried)(void *ctx, bool grew), void *ctx,
                         struct error *err)
{
    g->kv = kv;
    g->lock = lock;
    g->changed = changed;
    g->tried = tried;
    g->ctx = ctx;
    size_t n = wanted(g, true);
    if (!kv_take_memory(kv, n))
        return error_no_memory(err, n * kv_page_size(kv), "the KV cache");
    pthread_mutex_lock(lock);
    kv_grow(kv, n);
    pthread_mutex_unlock(lock);
    if (wanted(g, true) == 0)
        return STATUS_OK; /* that was all of it */
    sem_init(&g->wake, 0, 0);
    int number = pthread_create(&g->thread, NULL, run, g);
    if (number != 0) {
        sem_destroy(&g->wake);
        return error_errno(err, number, "cannot start a thread for the KV memory");
    }
    pthread_setname_np(g->thread, "sm-memory");
    g->has_thread = true;
    return STATUS_OK;
}

void growth_stop(struct growth *g)
{
    if (!g->has_thread)
        return;
    atomic_store(&g->stop, true);
    sem_post(&g->wake);
    pthread_join(g->thread, NULL);
    sem_destroy(&g->wake);
    g->has_thread = false;
}

void growth_ask(struct growth *g, bool some_wait)
{
    if (!g->has_thread || kv_wants(g->kv, some_wait) == 0)
        return;
    if (some_wait)
        atomic_store(&g->some_wait, true);
    if (!atomic_exchange(&g->asked, true))
        sem_post(&g->wake);
}

bool growth_wait(struct growth *g)
{
    if (!g->has_thread || kv_wants(g->kv, true) == 0)
        return false;
    uint64_t n_tries = g->n_tries;
    growth_ask(g, true);
    while (g->n_tries == n_tries)
        pthread_cond_wait(g->changed, g->lock);
    return g->grew;
}
