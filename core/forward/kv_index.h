/* kv_index.h - which page holds which tokens: full pages, named by the page before them, a salt and
 * their tokens.
 *
 * The hash finds a candidate; everything is then compared. A page that gets new content gets a new
 * generation, so that a chain over it ends there. Under the cache's owner's lock. Knows nothing of
 * who holds a page, nor of what else belongs to it.
 */
#pragma once

#include "forward/kv_pool.h"
#include "math/kernels.h"

#define KV_ROOT_HASH UINT64_C(0x9e3779b97f4a7c15) /* of the chain before the first page */

struct kv_page {
    int32_t tokens[KV_PAGE]; /* when indexed */
    uint64_t hash;           /* of the chain up to and including it, when indexed */
    uint64_t salt;
    uint32_t parent; /* the page before it, KV_NONE for the first */
    uint32_t parent_generation;
    uint32_t generation;  /* raised each time the page gets new content */
    uint32_t bucket_next; /* when indexed */
    bool indexed;
};

struct kv_index {
    struct kv_page *pages; /* [n_pages] */
    uint32_t *buckets;     /* [bucket_mask + 1] */
    size_t bucket_mask;
};

size_t index_n_buckets(size_t n_pages);
void index_clear(struct kv_index *index, size_t n_pages);

/* The chain's hash with a page's tokens after it. */
uint64_t index_hash(uint64_t parent, uint64_t salt, const int32_t *tokens);
/* KV_NONE: there is none. */
uint32_t index_find(const struct kv_index *index, uint32_t parent, uint64_t hash, uint64_t salt,
                    const int32_t *tokens);
void index_insert(struct kv_index *index, uint32_t i, uint32_t parent, uint64_t hash, uint64_t salt,
                  const int32_t *tokens);
void index_remove(struct kv_index *index, uint32_t i);
