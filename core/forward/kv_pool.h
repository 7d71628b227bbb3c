/* kv_pool.h - a fixed number of equal places: which are free, which are held, and which are kept
 * although none holds them, the least recently used given up first.
 *
 * Pages, windows of pages and recurrent states are handed out by one each. Holders count, so that
 * several may hold a place. Besides, sequences have claims: places that each is sure to get,
 * whatever the others hold. What one holds beyond its claim is only there while all claims together
 * leave it. Under its owner's lock; knows nothing of what lies in a place.
 */
#pragma once

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_NONE UINT32_MAX /* no place */

struct kv_slot {
    uint32_t n_refs;
    uint32_t newer, older; /* when kept; a free one's next is `newer`, and of one that is away */
    uint32_t age;          /* of a kept one: for those that choose whose memory goes */
    bool kept, away;
};

struct kv_pool {
    struct kv_slot *slots; /* [n] */
    size_t n, n_there;     /* of n places, so many have memory */
    size_t n_extended;     /* those below it have memory, or had some and are away */
    uint32_t first_free, first_away;
    uint32_t oldest, newest; /* of the kept ones */
    size_t n_free, n_kept;
    size_t n_claimed; /* sum of all claims */
    size_t n_beyond;  /* sum of what is held beyond them */
};

/* Bytes of its slots, and the pool over them; it has none there yet. */
size_t pool_bytes(size_t n);
void pool_init(struct kv_pool *pool, struct kv_slot *slots, size_t n);
/* All there are become free. Claims stay. */
void pool_reset(struct kv_pool *pool);
/* More of them are there: those that are away first (pool_away), then new ones. */
void pool_grow(struct kv_pool *pool, size_t n_there);
/* Free places that were marked as away are there no more. */
void pool_put_away(struct kv_pool *pool);

/* A free place, else the kept one whose last use is longest ago: *given_up. There must be one. */
uint32_t pool_take(struct kv_pool *pool, bool *given_up);
void pool_hold(struct kv_pool *pool, uint32_t i);
/* The last holder's leaving: it stays as a kept one, or is free. */
void pool_release(struct kv_pool *pool, uint32_t i, bool keep);
void pool_drop(struct kv_pool *pool, uint32_t i); /* a kept one becomes free */

static inline bool pool_is_held(const struct kv_pool *pool, uint32_t i)
{
    return pool->slots[i].n_refs > 0;
}
static inline size_t pool_spare(const struct kv_pool *pool) /* that none holds */
{
    return pool->n_free + pool->n_kept;
}
/* Places that no claim and nothing held beyond claims stands against. */
static inline size_t pool_unclaimed(const struct kv_pool *pool)
{
    const size_t n = pool->n_claimed + pool->n_beyond;
    return n < pool->n_there ? pool->n_there - n : 0;
}
/* Of a sequence that holds n places against a claim. */
static inline size_t pool_beyond(size_t n, size_t claim)
{
    return n > claim ? n - claim : 0;
}
