/* cache.c - a table by hash, a list by use, one lock. See cache.h. */
#include "grammar/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256 };

struct cache_entry {
    struct cache_entry *same;          /* of the bucket */
    struct cache_entry *newer, *older; /* by use; of those that are made */
    struct grammar *grammar;           /* NULL: it is being made */
    uint64_t hash;
    size_t n_key;
    char key[];
};

struct grammar_cache {
    pthread_mutex_t lock;
    pthread_cond_t made; /* something is no longer being made */
    struct cache_entry *buckets[BUCKETS];
    struct cache_entry *newest, *oldest;
    size_t n_bytes_most;
    struct grammar_cache_stats stats;
};

/* FNV-1a (Fowler, Noll, Vo); keys are compared whole. */
static uint64_t hash_key(const char *key, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001b3u;
    return h;
}

/* --- with the lock held --- */

static struct cache_entry *lookup(struct grammar_cache *cache, const char *key, size_t n,
                                  uint64_t hash)
{
    for (struct cache_entry *e = cache->buckets[hash % BUCKETS]; e != NULL; e = e->same)
        if (e->hash == hash && e->n_key == n && memcmp(e->key, key, n) == 0)
            return e;
    return NULL;
}

static void unlist(struct grammar_cache *cache, struct cache_entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &cache->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &cache->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void list_newest(struct grammar_cache *cache, struct cache_entry *e)
{
    e->older = cache->newest;
    *(e->older != NULL ? &e->older->newer : &cache->oldest) = e;
    cache->newest = e;
}

/* Out of the table; the entry is freed. */
static void drop(struct grammar_cache *cache, struct cache_entry *e)
{
    struct cache_entry **at = &cache->buckets[e->hash % BUCKETS];
    while (*at != e)
        at = &(*at)->same;
    *at = e->same;
    grammar_release(e->grammar);
    free(e);
}

static size_t entry_bytes(const struct cache_entry *e)
{
    return sizeof *e + e->n_key + grammar_bytes(e->grammar);
}

/* Masks have been kept since the last time: all are measured again, and the oldest go until the
 * others fit. */
static void trim(struct grammar_cache *cache)
{
    size_t total = 0;
    for (const struct cache_entry *e = cache->newest; e != NULL; e = e->older)
        total += entry_bytes(e);
    while (total > cache->n_bytes_most && cache->oldest != NULL) {
        struct cache_entry *e = cache->oldest;
        total -= entry_bytes(e);
        unlist(cache, e);
        drop(cache, e);
    }
    cache->stats.n_bytes = total;
}

static struct grammar *use(struct grammar_cache *cache, struct cache_entry *e)
{
    unlist(cache, e);
    list_newest(cache, e);
    cache->stats.hits++;
    return grammar_retain(e->grammar);
}

/* --- from outside --- */

struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t n_key)
{
    const uint64_t hash = hash_key(key, n_key);
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *e = lookup(cache, key, n_key, hash);
    struct grammar *found = e != NULL && e->grammar != NULL ? use(cache, e) : NULL;
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* A place for what this caller is to make, *found NULL; or what is there by then. NULL: there is no
 * memory. */
static struct cache_entry *claim(struct grammar_cache *cache, const char *key, size_t n_key,
                                 struct grammar **found)
{
    const uint64_t hash = hash_key(key, n_key);
    struct cache_entry *e;
    while ((e = lookup(cache, key, n_key, hash)) != NULL && e->grammar == NULL)
        pthread_cond_wait(&cache->made, &cache->lock);
    if (e != NULL) {
        *found = use(cache, e);
        return e;
    }
    e = calloc(1, sizeof *e + n_key);
    if (e == NULL)
        return NULL;
    e->hash = hash;
    e->n_key = n_key;
    memcpy(e->key, key, n_key);
    e->same = cache->buckets[hash % BUCKETS];
    cache->buckets[hash % BUCKETS] = e;
    return e;
}

enum status grammar_cache_get(struct grammar_cache *cache, const char *key, size_t n_key,
                              grammar_make_fn *make, void *ctx, struct grammar **out,
                              struct error *err)
{
    struct grammar *found = NULL;
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *e = claim(cache, key, n_key, &found);
    pthread_mutex_unlock(&cache->lock);
    if (e == NULL)
        return error_no_memory(err, sizeof *e + n_key, "a grammar's text");
    if (found != NULL) {
        *out = found;
        return STATUS_OK;
    }
    enum status status = make(ctx, &found, err);
    pthread_mutex_lock(&cache->lock);
    if (status == STATUS_OK) {
        *out = grammar_retain(found);
        e->grammar = found; /* the cache's reference */
        list_newest(cache, e);
        cache->stats.compiles++;
        trim(cache);
    } else {
        drop(cache, e);
    }
    pthread_cond_broadcast(&cache->made);
    pthread_mutex_unlock(&cache->lock);
    return status;
}

void grammar_cache_stats(struct grammar_cache *cache, struct grammar_cache_stats *out)
{
    pthread_mutex_lock(&cache->lock);
    *out = cache->stats;
    pthread_mutex_unlock(&cache->lock);
}

/* --- its life --- */

enum status grammar_cache_create(struct grammar_cache **out, size_t n_bytes, struct error *err)
{
    struct grammar_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_no_memory(err, sizeof *cache, "the cache of grammars");
    cache->n_bytes_most = n_bytes;
    if (pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache);
        return error_no_memory(err, sizeof *cache, "the cache of grammars");
    }
    if (pthread_cond_init(&cache->made, NULL) != 0) {
        pthread_mutex_destroy(&cache->lock);
        free(cache);
        return error_no_memory(err, sizeof *cache, "the cache of grammars");
    }
    *out = cache;
    return STATUS_OK;
}

void grammar_cache_destroy(struct grammar_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct cache_entry *e = cache->buckets[i], *next; e != NULL; e = next) {
            next = e->same;
            grammar_release(e->grammar);
            free(e);
        }
    }
    pthread_cond_destroy(&cache->made);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}
