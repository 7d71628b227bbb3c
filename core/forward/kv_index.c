/* kv_index.c - which page holds which tokens. See kv_index.h. */
#include "forward/kv_index.h"

#include <string.h>

/* Tests make hashes collide by setting fewer bits. */
#ifndef KV_HASH_MASK
#define KV_HASH_MASK UINT64_MAX
#endif

size_t index_n_buckets(size_t n_pages)
{
    size_t n = 16;
    while (n < 2 * n_pages)
        n *= 2;
    return n;
}

void index_clear(struct kv_index *index, size_t n_pages)
{
    for (size_t i = 0; i <= index->bucket_mask; i++)
        index->buckets[i] = KV_NONE;
    for (size_t i = 0; i < n_pages; i++)
        index->pages[i].indexed = false;
}

uint64_t index_hash(uint64_t parent, uint64_t salt, const int32_t *tokens)
{
    uint64_t h = parent ^ (salt * UINT64_C(0xd6e8feb86659fd93));
    for (size_t i = 0; i < KV_PAGE; i += 2) {
        uint64_t word = (uint64_t)(uint32_t)tokens[i] | (uint64_t)(uint32_t)tokens[i + 1] << 32;
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (h ^ h >> 29) & KV_HASH_MASK;
}

static uint32_t generation_of(const struct kv_index *index, uint32_t i)
{
    return i == KV_NONE ? 0 : index->pages[i].generation;
}

uint32_t index_find(const struct kv_index *index, uint32_t parent, uint64_t hash, uint64_t salt,
                    const int32_t *tokens)
{
    uint32_t generation = generation_of(index, parent);
    for (uint32_t i = index->buckets[hash & index->bucket_mask]; i != KV_NONE;
         i = index->pages[i].bucket_next) {
        const struct kv_page *page = &index->pages[i];
        if (page->hash == hash && page->salt == salt && page->parent == parent &&
            page->parent_generation == generation &&
            memcmp(page->tokens, tokens, sizeof page->tokens) == 0)
            return i;
    }
    return KV_NONE;
}

void index_insert(struct kv_index *index, uint32_t i, uint32_t parent, uint64_t hash, uint64_t salt,
                  const int32_t *tokens)
{
    struct kv_page *page = &index->pages[i];
    memcpy(page->tokens, tokens, sizeof page->tokens);
    page->hash = hash;
    page->salt = salt;
    page->parent = parent;
    page->parent_generation = generation_of(index, parent);
    page->indexed = true;
    uint32_t *bucket = &index->buckets[hash & index->bucket_mask];
    page->bucket_next = *bucket;
    *bucket = i;
}

void index_remove(struct kv_index *index, uint32_t i)
{
    uint32_t *link = &index->buckets[index->pages[i].hash & index->bucket_mask];
    while (*link != i)
        link = &index->pages[*link].bucket_next;
    *link = index->pages[i].bucket_next;
    index->pages[i].indexed = false;
}
