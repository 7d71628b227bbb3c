/* kv_internal.h - what a cache is made of, for the files that are the cache: kv.c (its memory) and
 * kv_sequences.c (what sequences hold), and no other.
 */
#pragma once

#include "base/arena.h"
#include "forward/kv.h"
#include "forward/kv_index.h"

#include <stdatomic.h>

struct kv {
    struct arena page_store, window_store, state_store; /* the bytes */
    struct arena meta;                                  /* everything below that is an array */
    enum kv_type type;
    bool prefix_cache;
    struct kv_map map;
    struct kv_place *places; /* [n_layers] */
    struct kv_division division;
    size_t table_pages, n_tables;
    size_t step_pages; /* by which it grows; 0: all of it is there */

    struct kv_pool pages, windows, states;
    struct kv_index index;
    uint32_t *window_of, *state_of;     /* [n_pages]: what belongs to a page; KV_NONE: nothing */
    uint32_t *window_page, *state_page; /* [n_windows], [n_states]: the way back */

    uint32_t *tables;      /* [n_tables][table_pages] */
    uint32_t *free_tables; /* [n_free_tables], a stack */
    size_t n_free_tables;
    size_t n_promised, n_growth; /* pages; sums over the live sequences */

    /* what kv_stats reads from other threads */
    _Atomic size_t seen_used, seen_cached, seen_there, seen_windows, seen_states, seen_kept;
    _Atomic uint64_t query_tokens, hit_tokens;
};

/* A kept page will hold something else, or nothing: what belongs to it goes with it, and nothing
 * finds it any more. */
void kv_forget_page(struct kv *kv, uint32_t page);
/* Shows other threads what has changed. */
void kv_publish(struct kv *kv);
