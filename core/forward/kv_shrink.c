/* kv_shrink.c - gives memory of the cache back to the system, of places that none holds.
 *
 * Owned by one worker; its lock is held by the caller. What is given up are runs of places as long
 * as the system's large pages, which it could not get back in parts; those first that hold nothing,
 * then those whose last use is longest ago. A page that is given up leaves pages after it in the
 * index that nothing finds any more: its generation tells. Knows nothing of jobs, threads or why.
 */
#include "forward/kv_internal.h"

enum { AGES = 4 }; /* steps from the runs that hold nothing to those used last */

struct shed { /* one kind of memory, and how much of it may go */
    struct kv *kv;
    struct kv_pool *pool;
    struct arena *store;
    size_t bytes;    /* of one place */
    size_t n_run;    /* places */
    size_t n_left;   /* that shall go */
    bool may_forget; /* kept ones too */
    uint32_t oldest; /* kept ones are given up whose age is at least this */
};

/* Each kept place's age: 1 is the youngest. Ages of others are 0. */
static void count_ages(struct kv_pool *pool)
{
    uint32_t age = 0;
    for (uint32_t i = pool->newest; i != KV_NONE; i = pool->slots[i].older)
        pool->slots[i].age = ++age;
}

static bool may_go(const struct shed *s, uint32_t i)
{
    const struct kv_slot *slot = &s->pool->slots[i];
    if (slot->n_refs > 0)
        return false;
    return !slot->kept || (s->may_forget && slot->age >= s->oldest);
}

/* Those of a run that are there go away together, or none. */
static size_t shed_run(struct shed *s, uint32_t begin, uint32_t end)
{
    size_t n = 0;
    for (uint32_t i = begin; i < end; i++) {
        if (s->pool->slots[i].away)
            continue;
        if (!may_go(s, i))
            return 0;
        n++;
    }
    if (n == 0 || n > s->n_left)
        return 0;
    for (uint32_t i = begin; i < end; i++) {
        if (s->pool->slots[i].kept) {
            kv_forget_page(s->kv, i);
            pool_drop(s->pool, i);
        }
        s->pool->slots[i].away = true;
    }
    arena_discard(s->store, begin * s->bytes, (end - begin) * s->bytes);
    return n;
}

static void shed_runs(struct shed *s)
{
    const size_t n = s->pool->n_extended;
    for (size_t end = n - n % s->n_run; end > 0 && s->n_left > 0; end -= s->n_run)
        s->n_left -= shed_run(s, (uint32_t)(end - s->n_run), (uint32_t)end);
}

/* Returns how many places went. */
static size_t shed(struct shed *s, size_t n)
{
    const size_t unit = s->store->unit, n_there = s->pool->n_there;
    if (n == 0 || s->bytes == 0)
        return 0;
    s->n_left = n;
    count_ages(s->pool);
    const uint32_t n_kept = (uint32_t)s->pool->n_kept;
    const size_t runs[] = {s->bytes < unit ? 2 * unit / s->bytes : 1, 1};
    for (size_t r = 0; r < 2 && s->n_left > 0; r++) {
        s->n_run = runs[r];
        for (uint32_t a = 0; a <= (s->may_forget ? AGES : 0) && s->n_left > 0; a++) {
            s->oldest = n_kept + 1 - (uint32_t)((uint64_t)n_kept * a / AGES);
            shed_runs(s);
        }
    }
    pool_put_away(s->pool);
    return n_there - s->pool->n_there;
}

static size_t excess(size_t n, size_t least)
{
    return n > least ? n - least : 0;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Free places that neither claims nor the pages that are there need. */
static size_t surplus(const struct kv_pool *pool, size_t n_wanted)
{
    return least_of(least_of(excess(pool->n_there, n_wanted), pool->n_free), pool_unclaimed(pool));
}

size_t kv_give_back(struct kv *kv, size_t n_bytes)
{
    const size_t page = kv_page_size(kv), n_spare = pool_spare(&kv->pages);
    const size_t n_wanted = n_bytes / page + (n_bytes % page != 0);
    const size_t n_may =
        least_of(excess(n_spare, kv->n_promised), excess(kv->pages.n_there, kv->step_pages));
    struct shed pages = {.kv = kv,
                         .pool = &kv->pages,
                         .store = &kv->page_store,
                         .bytes = kv->map.page_bytes,
                         .may_forget = true};
    struct shed windows = {
        .kv = kv, .pool = &kv->windows, .store = &kv->window_store, .bytes = kv->map.window_bytes};
    struct shed states = {
        .kv = kv, .pool = &kv->states, .store = &kv->state_store, .bytes = kv->map.state_bytes};
    if (kv->step_pages == 0)
        return 0;
    size_t sum = shed(&pages, least_of(n_wanted, n_may)) * pages.bytes;
    const size_t n = kv->pages.n_there;
    sum += shed(&windows, surplus(&kv->windows, kv_windows_at(&kv->map, &kv->division, n))) *
           windows.bytes;
    sum += shed(&states, surplus(&kv->states, kv_states_at(&kv->division, n))) * states.bytes;
    kv_publish(kv);
    return sum;
}
