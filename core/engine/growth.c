/* growth.c - the thread that takes KV memory. See growth.h.
 *
 * It sleeps on a semaphore, and takes one step at a time. */
#include "engine/growth.h"

static size_t wanted(struct growth *g, bool some_wait)
{
    pthread_mutex_lock(g->lock);
    size_t n = kv_wants(g->kv, some_wait);
    pthread_mutex_unlock(g->lock);
    return n;
}

/* Counts bytes that are taken against a bound; false: it does not allow them. */
static bool spend(_Atomic uint64_t *bound, uint64_t n_bytes)
{
    uint64_t left = atomic_load(bound);
    do {
        if (left == UINT64_MAX)
            return true;
        if (left < n_bytes)
            return false;
    } while (!atomic_compare_exchange_weak(bound, &left, left - n_bytes));
    return true;
}

static bool may_take(struct growth *g, size_t n_bytes, bool some_wait)
{
    if (!spend(some_wait ? &g->need : &g->ahead, n_bytes))
        return false;
    (void)spend(some_wait ? &g->ahead : &g->need, n_bytes);
    return true;
}

/* Whether so many pages may be taken ahead of need. */
static bool allows(const struct growth *g, size_t n_pages)
{
    return atomic_load(&g->ahead) >= n_pages * kv_page_size(g->kv);
}

/* One step. False: none is wanted, or to be had. */
static bool grow(struct growth *g)
{
    const bool some_wait = atomic_exchange(&g->some_wait, false);
    size_t n = wanted(g, some_wait);
    if (n == 0 || (!some_wait && !allows(g, n)))
        return false;
    bool grew = may_take(g, n * kv_page_size(g->kv), some_wait) && kv_take_memory(g->kv, n);
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

/* Some MiB at a time, as the compute threads want the lock too. */
static void give_back(struct growth *g)
{
    static const uint64_t most = UINT64_C(8) << 20;
    uint64_t left = atomic_exchange(&g->back, 0), n = 1;
    while (left > 0 && n > 0 && !atomic_load(&g->stop)) {
        pthread_mutex_lock(g->lock);
        n = kv_give_back(g->kv, (size_t)(left < most ? left : most));
        pthread_mutex_unlock(g->lock);
        atomic_fetch_add(&g->given_back, n);
        left -= n < left ? n : left;
    }
}

static void *run(void *arg)
{
    struct growth *g = arg;
    while (!atomic_load(&g->stop)) {
        if (sem_wait(&g->wake) != 0)
            continue; /* a signal */
        atomic_store(&g->asked, false);
        give_back(g);
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
    atomic_store(&g->ahead, UINT64_MAX);
    atomic_store(&g->need, UINT64_MAX);
    size_t n = wanted(g, true);
    if (!kv_take_memory(kv, n))
        return error_no_memory(err, n * kv_page_size(kv), "the KV cache");
    pthread_mutex_lock(lock);
    kv_grow(kv, n);
    pthread_mutex_unlock(lock);
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

void growth_bound(struct growth *g, const struct growth_bounds *bounds)
{
    if (!g->has_thread)
        return;
    atomic_store(&g->ahead, bounds->ahead);
    atomic_store(&g->need, bounds->need);
    atomic_store(&g->back, bounds->back);
    if (bounds->back > 0)
        sem_post(&g->wake);
}

void growth_ask(struct growth *g, bool some_wait)
{
    const size_t n = g->has_thread ? kv_wants(g->kv, some_wait) : 0;
    if (n == 0 || (!some_wait && !allows(g, n)))
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
