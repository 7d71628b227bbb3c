/* kv_pool.c - a fixed number of equal places. See kv_pool.h. */
#include "forward/kv_pool.h"

#include <assert.h>

size_t pool_bytes(size_t n)
{
    return n * sizeof(struct kv_slot);
}

void pool_init(struct kv_pool *pool, struct kv_slot *slots, size_t n)
{
    *pool = (struct kv_pool){.slots = slots, .n = n, .first_away = KV_NONE};
    pool_reset(pool);
}

/* Places [begin, end) become free ones; the first of them is taken first. */
static void add_free(struct kv_pool *pool, size_t begin, size_t end)
{
    for (size_t i = end; i-- > begin;) {
        pool->slots[i] = (struct kv_slot){.newer = pool->first_free};
        pool->first_free = (uint32_t)i;
    }
    pool->n_free += end - begin;
}

void pool_reset(struct kv_pool *pool)
{
    assert(pool->n_extended == pool->n_there);
    pool->first_free = pool->oldest = pool->newest = KV_NONE;
    pool->n_free = pool->n_kept = 0;
    add_free(pool, 0, pool->n_there);
}

static void set_free(struct kv_pool *pool, uint32_t i)
{
    pool->slots[i].newer = pool->first_free;
    pool->first_free = i;
    pool->n_free++;
}

void pool_grow(struct kv_pool *pool, size_t n_there)
{
    assert(n_there >= pool->n_there && n_there <= pool->n);
    for (; pool->n_there < n_there && pool->first_away != KV_NONE; pool->n_there++) {
        const uint32_t i = pool->first_away;
        pool->first_away = pool->slots[i].newer;
        pool->slots[i].away = false;
        set_free(pool, i);
    }
    add_free(pool, pool->n_extended, pool->n_extended + n_there - pool->n_there);
    pool->n_extended += n_there - pool->n_there;
    pool->n_there = n_there;
}

void pool_put_away(struct kv_pool *pool)
{
    for (uint32_t *link = &pool->first_free, i; (i = *link) != KV_NONE;) {
        struct kv_slot *slot = &pool->slots[i];
        if (!slot->away) {
            link = &slot->newer;
            continue;
        }
        *link = slot->newer;
        slot->newer = pool->first_away;
        pool->first_away = i;
        pool->n_free--;
        pool->n_there--;
    }
}

static void keep(struct kv_pool *pool, uint32_t i)
{
    struct kv_slot *slot = &pool->slots[i];
    slot->kept = true;
    slot->older = pool->newest;
    slot->newer = KV_NONE;
    if (pool->newest == KV_NONE)
        pool->oldest = i;
    else
        pool->slots[pool->newest].newer = i;
    pool->newest = i;
    pool->n_kept++;
}

static void unkeep(struct kv_pool *pool, uint32_t i)
{
    struct kv_slot *slot = &pool->slots[i];
    slot->kept = false;
    if (slot->older == KV_NONE)
        pool->oldest = slot->newer;
    else
        pool->slots[slot->older].newer = slot->newer;
    if (slot->newer == KV_NONE)
        pool->newest = slot->older;
    else
        pool->slots[slot->newer].older = slot->older;
    pool->n_kept--;
}

uint32_t pool_take(struct kv_pool *pool, bool *given_up)
{
    uint32_t i = pool->first_free;
    *given_up = i == KV_NONE;
    if (*given_up) {
        i = pool->oldest;
        assert(i != KV_NONE); /* claims and promises never exceed what is there */
        unkeep(pool, i);
    } else {
        pool->first_free = pool->slots[i].newer;
        pool->n_free--;
    }
    pool->slots[i].n_refs = 1;
    return i;
}

void pool_hold(struct kv_pool *pool, uint32_t i)
{
    if (pool->slots[i].n_refs++ == 0)
        unkeep(pool, i);
}

void pool_release(struct kv_pool *pool, uint32_t i, bool kept)
{
    assert(pool->slots[i].n_refs > 0);
    if (--pool->slots[i].n_refs > 0)
        return;
    if (kept)
        keep(pool, i);
    else
        set_free(pool, i);
}

void pool_drop(struct kv_pool *pool, uint32_t i)
{
    assert(pool->slots[i].n_refs == 0 && pool->slots[i].kept);
    unkeep(pool, i);
    set_free(pool, i);
}
