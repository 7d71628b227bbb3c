/* kv.c - the paged key/value cache: page tables, the index of shared pages, the list of those given
 * up first, and promises.
 *
 * Owned by one worker; its lock is held by the caller. Three facts keep it simple. A page in the
 * index is named by (page before it, salt, its tokens), and pages before it are always held or
 * given up later than it, so a chain never dangles. Promises never exceed free + cached pages; what
 * a sequence takes besides leaves them untouched. And a sequence's pages are always the indexed
 * ones where the index has their like. Knows nothing of jobs, threads or arithmetic.
 */
#include "forward/kv.h"

#include "base/arena.h"
#include "base/checked.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Tests make hashes collide by setting fewer bits. */
#ifndef KV_HASH_MASK
#define KV_HASH_MASK UINT64_MAX
#endif

#define NONE      UINT32_MAX
#define MIB       ((size_t)1 << 20)
#define ROOT_HASH UINT64_C(0x9e3779b97f4a7c15)

enum { STEP_MIB_MIN = 2, STEP_MIB_MAX = 64 }; /* of growth */
enum { RESERVE_SHARE = 4 }; /* growth_reserve: a quarter of what a sequence has to compute */

struct page {
    int32_t tokens[KV_PAGE]; /* when indexed */
    uint64_t hash;           /* of the chain up to and including it, when indexed */
    uint64_t salt;
    uint32_t parent; /* the page before it, NONE for the first */
    uint32_t parent_generation;
    uint32_t generation;   /* raised each time the page gets new content */
    uint32_t n_refs;       /* sequences that hold it */
    uint32_t bucket_next;  /* when indexed */
    uint32_t newer, older; /* when cached; a free page's next is `newer` */
    bool indexed;
};

struct kv {
    struct arena store; /* the pages' bytes */
    struct arena meta;  /* everything below that is an array */
    enum kv_type type;
    bool prefix_cache;
    size_t n_kv_heads, block_bytes, page_bytes;
    size_t n_pages, table_pages, n_tables;
    size_t n_there;    /* pages [0, n_there) have memory */
    size_t step_pages; /* by which it grows; 0: all of it is there */

    struct page *pages; /* [n_pages] */
    uint32_t *buckets;  /* [bucket_mask + 1] */
    size_t bucket_mask;
    uint32_t *tables;      /* [n_tables][table_pages] */
    uint32_t *free_tables; /* [n_free_tables], a stack */
    size_t n_free_tables;
    uint32_t first_free;
    uint32_t oldest, newest; /* of the cached pages */
    size_t n_free, n_cached;
    size_t n_promised, n_growth; /* sums over the live sequences */

    /* what kv_stats reads from other threads */
    _Atomic size_t seen_used, seen_cached, seen_there;
    _Atomic uint64_t query_tokens, hit_tokens;
};

/* --- start and end --- */

/* Pages [begin, end) become free ones; the first of them is taken first. */
static void add_free(struct kv *kv, size_t begin, size_t end)
{
    for (size_t i = end; i-- > begin;) {
        kv->pages[i].indexed = false;
        kv->pages[i].n_refs = 0;
        kv->pages[i].newer = kv->first_free;
        kv->first_free = (uint32_t)i;
    }
    kv->n_free += end - begin;
}

static void reset_pages(struct kv *kv)
{
    for (size_t i = 0; i <= kv->bucket_mask; i++)
        kv->buckets[i] = NONE;
    kv->first_free = NONE;
    kv->oldest = kv->newest = NONE;
    kv->n_free = kv->n_cached = 0;
    add_free(kv, 0, kv->n_there);
}

static enum status carve(struct kv *kv, size_t budget_bytes, struct error *err)
{
    size_t n_buckets = 16;
    while (n_buckets < 2 * kv->n_pages)
        n_buckets *= 2;
    size_t table_entries, bytes;
    if (!checked_mul(kv->n_tables, kv->table_pages + 1, &table_entries) ||
        !checked_mul(table_entries, sizeof(uint32_t), &bytes) ||
        !checked_add(bytes, n_buckets * sizeof(uint32_t) + kv->n_pages * sizeof(struct page),
                     &bytes) ||
        !checked_add(bytes, (size_t)8 * ARENA_ALIGN, &bytes))
        return error_no_memory(err, budget_bytes, "the KV cache's tables");
    enum status status = arena_init(&kv->meta, bytes, "the KV cache's tables", err);
    const size_t n_bytes = kv->n_pages * kv->page_bytes;
    if (status == STATUS_OK)
        status = kv->step_pages > 0 ? arena_reserve(&kv->store, n_bytes, "the KV cache", err)
                                    : arena_init(&kv->store, n_bytes, "the KV cache", err);
    if (status != STATUS_OK)
        return status;
    kv->pages = arena_alloc(&kv->meta, kv->n_pages, sizeof(struct page));
    kv->buckets = arena_alloc(&kv->meta, n_buckets, sizeof(uint32_t));
    kv->tables = arena_alloc(&kv->meta, kv->n_tables * kv->table_pages, sizeof(uint32_t));
    kv->free_tables = arena_alloc(&kv->meta, kv->n_tables, sizeof(uint32_t));
    assert(kv->pages && kv->buckets && kv->tables && kv->free_tables);
    kv->bucket_mask = n_buckets - 1;
    arena_touch(&kv->meta, 1);
    return STATUS_OK;
}

/* A whole context, where that is neither very little nor very much memory at once. */
static size_t step_pages(size_t asked_bytes, size_t context_pages, size_t page_bytes)
{
    if (asked_bytes > 0)
        return (asked_bytes + page_bytes - 1) / page_bytes;
    const size_t least = (STEP_MIB_MIN * MIB + page_bytes - 1) / page_bytes;
    const size_t most = STEP_MIB_MAX * MIB / page_bytes;
    return context_pages > most ? most : context_pages > least ? context_pages : least;
}

static enum status create(struct kv **out, const struct model *model, enum kv_type type,
                          size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                          bool growing, size_t step_bytes, struct error *err)
{
    const struct shape *shape = &model->shape;
    size_t page_bytes = kv_page_bytes(shape, type);
    if (budget_bytes < page_bytes)
        return error_set(err, STATUS_INVALID,
                         "%zu bytes do not hold one page of the KV cache: it takes %zu",
                         budget_bytes, page_bytes);
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return error_no_memory(err, sizeof *kv, "the KV cache");
    kv->type = type;
    kv->prefix_cache = prefix_cache;
    kv->n_kv_heads = shape->n_kv_heads;
    kv->block_bytes = page_head_bytes(type, shape->head_dim);
    kv->page_bytes = page_bytes;
    kv->n_pages = budget_bytes / page_bytes;
    kv->n_pages = kv->n_pages < NONE ? kv->n_pages : NONE - 1;
    kv->n_tables = max_sequences;
    kv->table_pages = kv_pages_for(model->n_context);
    kv->n_there = growing ? 0 : kv->n_pages;
    kv->step_pages = growing ? step_pages(step_bytes, kv->table_pages, page_bytes) : 0;
    enum status status = carve(kv, budget_bytes, err);
    if (status != STATUS_OK) {
        kv_destroy(kv);
        return status;
    }
    kv->n_free_tables = kv->n_tables;
    for (size_t i = 0; i < kv->n_tables; i++)
        kv->free_tables[i] = (uint32_t)(kv->n_tables - 1 - i);
    reset_pages(kv);
    *out = kv;
    return STATUS_OK;
}

enum status kv_create(struct kv **out, const struct model *model, enum kv_type type,
                      size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                      struct error *err)
{
    return create(out, model, type, budget_bytes, max_sequences, prefix_cache, false, 0, err);
}

enum status kv_create_growing(struct kv **out, const struct model *model, enum kv_type type,
                              size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                              size_t step_bytes, struct error *err)
{
    return create(out, model, type, budget_bytes, max_sequences, prefix_cache, true, step_bytes,
                  err);
}

void kv_destroy(struct kv *kv)
{
    if (kv) {
        arena_free(&kv->store);
        arena_free(&kv->meta);
    }
    free(kv);
}

/* --- what other threads read --- */

static void publish(struct kv *kv)
{
    atomic_store_explicit(&kv->seen_there, kv->n_there, memory_order_relaxed);
    atomic_store_explicit(&kv->seen_used, kv->n_there - kv->n_free - kv->n_cached,
                          memory_order_relaxed);
    atomic_store_explicit(&kv->seen_cached, kv->n_cached, memory_order_relaxed);
}

static void count_query(struct kv *kv, size_t n_query, size_t n_hit)
{
    if (!kv->prefix_cache)
        return;
    atomic_fetch_add_explicit(&kv->query_tokens, n_query, memory_order_relaxed);
    atomic_fetch_add_explicit(&kv->hit_tokens, n_hit, memory_order_relaxed);
}

void kv_stats(const struct kv *kv, struct kv_stats *out)
{
    out->n_pages = kv->n_pages;
    out->n_there = atomic_load_explicit(&kv->seen_there, memory_order_relaxed);
    out->n_used = atomic_load_explicit(&kv->seen_used, memory_order_relaxed);
    out->n_cached = atomic_load_explicit(&kv->seen_cached, memory_order_relaxed);
    out->query_tokens = atomic_load_explicit(&kv->query_tokens, memory_order_relaxed);
    out->hit_tokens = atomic_load_explicit(&kv->hit_tokens, memory_order_relaxed);
}

void kv_clear(struct kv *kv)
{
    assert(kv->n_free + kv->n_cached == kv->n_there && kv->n_promised == 0 && kv->n_growth == 0);
    reset_pages(kv);
    publish(kv);
    atomic_store_explicit(&kv->query_tokens, 0, memory_order_relaxed);
    atomic_store_explicit(&kv->hit_tokens, 0, memory_order_relaxed);
}

/* --- growth --- */

size_t kv_wants(const struct kv *kv, bool some_wait)
{
    const size_t left = kv->n_pages - kv->n_there;
    const size_t spare = kv->n_free > kv->n_promised ? kv->n_free - kv->n_promised : 0;
    if (!some_wait && spare >= kv->step_pages)
        return 0;
    return left < kv->step_pages ? left : kv->step_pages;
}

bool kv_take_memory(struct kv *kv, size_t n_pages)
{
    return arena_extend(&kv->store, (kv->n_there + n_pages) * kv->page_bytes);
}

void kv_grow(struct kv *kv, size_t n_pages)
{
    assert(n_pages <= kv->n_pages - kv->n_there);
    add_free(kv, kv->n_there, kv->n_there + n_pages);
    kv->n_there += n_pages;
    publish(kv);
}

/* --- the cached pages, least recently used first --- */

static void cache_push(struct kv *kv, uint32_t i)
{
    struct page *page = &kv->pages[i];
    page->older = kv->newest;
    page->newer = NONE;
    if (kv->newest == NONE)
        kv->oldest = i;
    else
        kv->pages[kv->newest].newer = i;
    kv->newest = i;
    kv->n_cached++;
}

static void cache_remove(struct kv *kv, uint32_t i)
{
    struct page *page = &kv->pages[i];
    if (page->older == NONE)
        kv->oldest = page->newer;
    else
        kv->pages[page->older].newer = page->newer;
    if (page->newer == NONE)
        kv->newest = page->older;
    else
        kv->pages[page->newer].older = page->older;
    kv->n_cached--;
}

/* --- the index of shareable pages --- */

static uint64_t chain_hash(uint64_t parent, uint64_t salt, const int32_t *tokens)
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

static uint32_t generation_of(const struct kv *kv, uint32_t i)
{
    return i == NONE ? 0 : kv->pages[i].generation;
}

static uint32_t index_find(const struct kv *kv, uint32_t parent, uint64_t hash, uint64_t salt,
                           const int32_t *tokens)
{
    uint32_t generation = generation_of(kv, parent);
    for (uint32_t i = kv->buckets[hash & kv->bucket_mask]; i != NONE;
         i = kv->pages[i].bucket_next) {
        const struct page *page = &kv->pages[i];
        if (page->hash == hash && page->salt == salt && page->parent == parent &&
            page->parent_generation == generation &&
            memcmp(page->tokens, tokens, sizeof page->tokens) == 0)
            return i;
    }
    return NONE;
}

static void index_insert(struct kv *kv, uint32_t i, uint32_t parent, uint64_t hash, uint64_t salt,
                         const int32_t *tokens)
{
    struct page *page = &kv->pages[i];
    memcpy(page->tokens, tokens, sizeof page->tokens);
    page->hash = hash;
    page->salt = salt;
    page->parent = parent;
    page->parent_generation = generation_of(kv, parent);
    page->indexed = true;
    uint32_t *bucket = &kv->buckets[hash & kv->bucket_mask];
    page->bucket_next = *bucket;
    *bucket = i;
}

static void index_remove(struct kv *kv, uint32_t i)
{
    uint32_t *link = &kv->buckets[kv->pages[i].hash & kv->bucket_mask];
    while (*link != i)
        link = &kv->pages[*link].bucket_next;
    *link = kv->pages[i].bucket_next;
    kv->pages[i].indexed = false;
}

/* --- pages in and out of use --- */

static void page_hold(struct kv *kv, uint32_t i)
{
    if (kv->pages[i].n_refs++ == 0)
        cache_remove(kv, i);
}

static void page_release(struct kv *kv, uint32_t i)
{
    struct page *page = &kv->pages[i];
    assert(page->n_refs > 0);
    if (--page->n_refs > 0)
        return;
    if (page->indexed) {
        cache_push(kv, i);
    } else {
        page->newer = kv->first_free;
        kv->first_free = i;
        kv->n_free++;
    }
}

/* A page for new content: a free one, else the one whose last use is longest ago. */
static uint32_t page_take(struct kv *kv)
{
    uint32_t i = kv->first_free;
    if (i != NONE) {
        kv->first_free = kv->pages[i].newer;
        kv->n_free--;
    } else {
        i = kv->oldest;
        assert(i != NONE); /* promises never exceed what is there */
        cache_remove(kv, i);
        index_remove(kv, i);
    }
    kv->pages[i].generation++;
    kv->pages[i].n_refs = 1;
    return i;
}

/* --- sequences --- */

/* Full pages that may come from the cache: the last token must be computed for its logits. */
static size_t shareable_pages(const struct kv *kv, size_t n_tokens, size_t n_shared_max)
{
    size_t n = kv->prefix_cache && n_tokens > 0 ? n_tokens - 1 : 0;
    return (n < n_shared_max ? n : n_shared_max) / KV_PAGE;
}

struct match { /* of a prompt with the index */
    size_t n_pages;
    size_t n_revived; /* of them, pages that no sequence holds */
    uint64_t hash;
};

/* limit: pages at most; pages: filled with those found, or NULL. */
static struct match find_prefix(const struct kv *kv, uint64_t salt, size_t limit,
                                const int32_t *tokens, uint32_t *pages)
{
    struct match m = {.hash = ROOT_HASH};
    for (uint32_t page = NONE; m.n_pages < limit; m.n_pages++) {
        const int32_t *part = tokens + m.n_pages * KV_PAGE;
        uint64_t hash = chain_hash(m.hash, salt, part);
        page = index_find(kv, page, hash, salt, part);
        if (page == NONE)
            break;
        if (pages)
            pages[m.n_pages] = page;
        m.n_revived += kv->pages[page].n_refs == 0;
        m.hash = hash;
    }
    return m;
}

struct need { /* of a sequence that would begin, in pages */
    size_t n_now, n_most;
};

/* False: no table, or never. */
static bool need_of(const struct kv *kv, size_t n_tokens, size_t n_positions_max, struct need *out)
{
    *out = (struct need){kv_pages_for(n_tokens), kv_pages_for(n_positions_max)};
    return kv->n_free_tables > 0 && n_positions_max >= n_tokens && out->n_most <= kv->table_pages &&
           out->n_most <= kv->n_pages;
}

/* Pages that must be left for growth when a sequence begins that has n_new to compute: one for each
 * sequence, and more of them the more work would be thrown away if the new one had to give way
 * soon; but never more than all can come to need. */
static size_t growth_reserve(const struct kv *kv, size_t n_new, size_t n_growth)
{
    size_t n_live = kv->n_tables - kv->n_free_tables, most = kv->n_growth + n_growth;
    size_t wanted = n_live == 0 ? 0 : (n_live + 1) * (1 + n_new / RESERVE_SHARE);
    return wanted < most ? wanted : most;
}

/* Whether the pages of its tokens can be promised besides those promised already. */
static bool can_begin(const struct kv *kv, const struct match *m, struct need need)
{
    size_t n_new = need.n_now - m->n_pages;
    size_t reserve = growth_reserve(kv, n_new, need.n_most - need.n_now);
    return kv->n_promised + n_new + reserve <= kv->n_free + kv->n_cached - m->n_revived;
}

bool kv_fits(const struct kv *kv, uint64_t salt, size_t n_shared_max, const int32_t *tokens,
             size_t n_tokens, size_t n_positions_max, size_t *n_cached)
{
    struct need need;
    if (!need_of(kv, n_tokens, n_positions_max, &need))
        return false;
    size_t limit = shareable_pages(kv, n_tokens, n_shared_max);
    struct match m = find_prefix(kv, salt, limit, tokens, NULL);
    *n_cached = m.n_pages * KV_PAGE;
    return can_begin(kv, &m, need);
}

bool kv_begin(struct kv *kv, struct kv_seq *seq, uint64_t salt, size_t n_shared_max,
              const int32_t *tokens, size_t n_tokens, size_t n_positions_max, size_t *n_cached)
{
    struct need need;
    if (!need_of(kv, n_tokens, n_positions_max, &need))
        return false;
    uint32_t table = kv->free_tables[kv->n_free_tables - 1];
    uint32_t *pages = kv->tables + table * kv->table_pages;
    size_t limit = shareable_pages(kv, n_tokens, n_shared_max);
    struct match m = find_prefix(kv, salt, limit, tokens, pages);
    if (!can_begin(kv, &m, need))
        return false;
    for (size_t i = 0; i < m.n_pages; i++)
        page_hold(kv, pages[i]);
    kv->n_free_tables--;
    kv->n_promised += need.n_now - m.n_pages;
    kv->n_growth += need.n_most - need.n_now;
    *seq = (struct kv_seq){.pages = pages,
                           .n_pages = m.n_pages,
                           .n_positions = m.n_pages * KV_PAGE,
                           .n_promised = need.n_now - m.n_pages,
                           .n_growth = need.n_most - need.n_now,
                           .salt = salt,
                           .n_shared_max = n_shared_max,
                           .hash = m.hash,
                           .n_hashed = m.n_pages,
                           .table = table};
    *n_cached = m.n_pages * KV_PAGE;
    count_query(kv, n_shared_max > 0 ? n_tokens : 0, *n_cached);
    publish(kv);
    return true;
}

size_t kv_share(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_tokens)
{
    size_t limit = shareable_pages(kv, n_tokens, seq->n_shared_max), before = seq->n_pages;
    if (seq->n_positions != seq->n_pages * KV_PAGE || seq->n_hashed != seq->n_pages)
        return 0;
    while (seq->n_pages < limit && seq->n_promised > 0) {
        size_t n = seq->n_pages;
        const int32_t *part = tokens + n * KV_PAGE;
        uint64_t hash = chain_hash(seq->hash, seq->salt, part);
        uint32_t found = index_find(kv, n == 0 ? NONE : seq->pages[n - 1], hash, seq->salt, part);
        if (found == NONE)
            break;
        page_hold(kv, found);
        seq->pages[n] = found;
        seq->n_pages = seq->n_hashed = n + 1;
        seq->n_positions += KV_PAGE;
        seq->n_promised--;
        kv->n_promised--;
        seq->hash = hash;
    }
    size_t gained = (seq->n_pages - before) * KV_PAGE;
    if (gained > 0) {
        count_query(kv, 0, gained);
        publish(kv);
    }
    return gained;
}

bool kv_extend(struct kv *kv, struct kv_seq *seq, size_t n)
{
    size_t n_pages = kv_pages_for(seq->n_positions + n);
    if (n_pages <= seq->n_pages)
        return true;
    size_t n_new = n_pages - seq->n_pages;
    size_t n_kept = n_new < seq->n_promised ? n_new : seq->n_promised, n_more = n_new - n_kept;
    assert(n_more <= seq->n_growth);
    if (n_more > kv->n_free + kv->n_cached - kv->n_promised)
        return false;
    seq->n_promised -= n_kept;
    kv->n_promised -= n_kept;
    seq->n_growth -= n_more;
    kv->n_growth -= n_more;
    while (seq->n_pages < n_pages)
        seq->pages[seq->n_pages++] = page_take(kv);
    publish(kv);
    return true;
}

void kv_commit(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_positions)
{
    assert(n_positions <= seq->n_pages * KV_PAGE);
    seq->n_positions = n_positions;
    if (!kv->prefix_cache || (seq->n_hashed + 1) * KV_PAGE > n_positions)
        return;
    for (; (seq->n_hashed + 1) * KV_PAGE <= n_positions; seq->n_hashed++) {
        size_t n = seq->n_hashed;
        const int32_t *part = tokens + n * KV_PAGE;
        uint32_t parent = n == 0 ? NONE : seq->pages[n - 1];
        uint64_t hash = chain_hash(seq->hash, seq->salt, part);
        uint32_t found = index_find(kv, parent, hash, seq->salt, part);
        if (found == NONE) {
            index_insert(kv, seq->pages[n], parent, hash, seq->salt, part);
        } else {
            page_hold(kv, found);
            page_release(kv, seq->pages[n]);
            seq->pages[n] = found;
        }
        seq->hash = hash;
    }
    publish(kv);
}

void kv_end(struct kv *kv, struct kv_seq *seq)
{
    /* The last page first: a page is then always given up before the one it follows. */
    for (size_t i = seq->n_pages; i-- > 0;)
        page_release(kv, seq->pages[i]);
    kv->n_promised -= seq->n_promised;
    kv->n_growth -= seq->n_growth;
    kv->free_tables[kv->n_free_tables++] = seq->table;
    *seq = (struct kv_seq){0};
    publish(kv);
}

/* --- where the bytes are --- */

uint8_t *kv_block(const struct kv *kv, uint32_t page, size_t layer, size_t kv_head)
{
    return kv->store.base + page * kv->page_bytes +
           (layer * kv->n_kv_heads + kv_head) * kv->block_bytes;
}

enum kv_type kv_type(const struct kv *kv)
{
    return kv->type;
}

size_t kv_n_pages(const struct kv *kv)
{
    return kv->n_pages;
}

size_t kv_page_size(const struct kv *kv)
{
    return kv->page_bytes;
}
