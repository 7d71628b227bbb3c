/* kv.c - the memory of the paged cache: its making, its growth, and where the bytes of a page and a
 * state lie.
 *
 * Owned by one worker; its lock is held by the caller. What sequences hold: kv_sequences.c. Knows
 * nothing of jobs, threads or arithmetic.
 */
#include "forward/kv.h"

#include "base/checked.h"
#include "forward/kv_internal.h"

#include <assert.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

enum { STEP_MIB_MIN = 2, STEP_MIB_MAX = 64 }; /* of growth */

/* --- start and end --- */

static void forget(uint32_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++)
        places[i] = KV_NONE;
}

static void reset(struct kv *kv)
{
    const struct kv_division *d = &kv->division;
    index_clear(&kv->index, d->n_pages);
    pool_reset(&kv->pages);
    pool_reset(&kv->windows);
    pool_reset(&kv->states);
    forget(kv->window_of, d->n_pages);
    forget(kv->state_of, d->n_pages);
    forget(kv->window_page, d->n_windows);
    forget(kv->state_page, d->n_states);
}

/* So many pages are there, and what belongs to them. */
static void grow_to(struct kv *kv, size_t n_pages)
{
    const size_t windows = kv_windows_at(&kv->map, &kv->division, n_pages);
    const size_t states = kv_states_at(&kv->division, n_pages);
    pool_grow(&kv->pages, n_pages);
    if (windows > kv->windows.n_there) /* fewer where they were not given back with pages */
        pool_grow(&kv->windows, windows);
    if (states > kv->states.n_there)
        pool_grow(&kv->states, states);
}

static void carve_pool(struct kv *kv, struct kv_pool *pool, size_t n)
{
    pool_init(pool, arena_carve(&kv->meta, n, sizeof(struct kv_slot)), n);
}

/* Twice: with an arena that only measures, and with its memory. */
static void carve_all(struct kv *kv, size_t n_layers)
{
    const struct kv_division *d = &kv->division;
    struct arena *arena = &kv->meta;
    const size_t n_buckets = index_n_buckets(d->n_pages);
    kv->places = arena_carve(arena, n_layers, sizeof *kv->places);
    kv->index.pages = arena_carve(arena, d->n_pages, sizeof *kv->index.pages);
    kv->index.buckets = arena_carve(arena, n_buckets, sizeof *kv->index.buckets);
    kv->index.bucket_mask = n_buckets - 1;
    carve_pool(kv, &kv->pages, d->n_pages);
    carve_pool(kv, &kv->windows, d->n_windows);
    carve_pool(kv, &kv->states, d->n_states);
    kv->window_of = arena_carve(arena, d->n_pages, sizeof *kv->window_of);
    kv->state_of = arena_carve(arena, d->n_pages, sizeof *kv->state_of);
    kv->window_page = arena_carve(arena, d->n_windows, sizeof *kv->window_page);
    kv->state_page = arena_carve(arena, d->n_states, sizeof *kv->state_page);
    kv->tables = arena_carve(arena, kv->n_tables, kv->table_pages * sizeof *kv->tables);
    kv->free_tables = arena_carve(arena, kv->n_tables, sizeof *kv->free_tables);
}

static enum status make_meta(struct kv *kv, size_t n_layers, struct error *err)
{
    size_t table_bytes;
    if (!checked_mul(kv->table_pages, sizeof *kv->tables, &table_bytes))
        return error_no_memory(err, SIZE_MAX, "the KV cache's tables");
    carve_all(kv, n_layers); /* measures */
    const size_t n_bytes = kv->meta.n_used;
    kv->meta = (struct arena){0};
    enum status status = arena_init(&kv->meta, n_bytes, "the KV cache's tables", err);
    if (status == STATUS_OK) {
        carve_all(kv, n_layers);
        arena_touch(&kv->meta, 1);
    }
    return status;
}

static enum status make_store(struct kv *kv, struct arena *store, size_t n, size_t bytes,
                              struct error *err)
{
    size_t n_bytes;
    if (!checked_mul(n, bytes, &n_bytes))
        return error_no_memory(err, SIZE_MAX, "the KV cache");
    if (n_bytes == 0)
        return STATUS_OK;
    return kv->step_pages > 0 ? arena_reserve(store, n_bytes, "the KV cache", err)
                              : arena_init(store, n_bytes, "the KV cache", err);
}

static enum status make_stores(struct kv *kv, struct error *err)
{
    const struct kv_division *d = &kv->division;
    enum status status = make_store(kv, &kv->page_store, d->n_pages, kv->map.page_bytes, err);
    if (status == STATUS_OK)
        status = make_store(kv, &kv->window_store, d->n_windows, kv->map.window_bytes, err);
    if (status == STATUS_OK)
        status = make_store(kv, &kv->state_store, d->n_states, kv->map.state_bytes, err);
    return status;
}

/* A whole context, where that is neither very little nor very much memory at once. */
static size_t step_pages(size_t asked_bytes, size_t context_pages, size_t page_bytes)
{
    if (asked_bytes > 0)
        return (asked_bytes + page_bytes - 1) / page_bytes;
    const size_t least = (STEP_MIB_MIN * MIB + page_bytes - 1) / page_bytes;
    const size_t most = STEP_MIB_MAX * MIB / page_bytes;
    size_t n = context_pages > most ? most : context_pages > least ? context_pages : least;
    return n > 0 ? n : 1;
}

static enum status create(struct kv **out, const struct model *model, enum kv_type type,
                          size_t budget_bytes, size_t max_sequences, bool prefix_cache,
                          bool growing, size_t step_bytes, struct error *err)
{
    struct kv_map map;
    struct kv_division division;
    kv_map_of(&map, NULL, &model->shape, type, model->n_context);
    kv_divide(&division, &map, model->n_context, budget_bytes);
    if (division.n_pages == 0)
        return error_set(err, STATUS_INVALID,
                         "%zu bytes do not hold one page of the KV cache: it takes %zu",
                         budget_bytes, kv_bytes_for(&model->shape, type, KV_PAGE, 1));
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return error_no_memory(err, sizeof *kv, "the KV cache");
    kv->type = type;
    kv->prefix_cache = prefix_cache;
    kv->map = map;
    kv->division = division;
    kv->n_tables = max_sequences;
    kv->table_pages = kv_pages_for(model->n_context);
    if (growing)
        kv->step_pages = step_pages(step_bytes, kv->table_pages, kv_page_size(kv));
    enum status status = make_meta(kv, model->shape.n_layers, err);
    if (status == STATUS_OK)
        status = make_stores(kv, err);
    if (status != STATUS_OK) {
        kv_destroy(kv);
        return status;
    }
    kv_map_of(&map, kv->places, &model->shape, type, model->n_context);
    kv->n_free_tables = kv->n_tables;
    for (size_t i = 0; i < kv->n_tables; i++)
        kv->free_tables[i] = (uint32_t)(kv->n_tables - 1 - i);
    reset(kv);
    if (!growing)
        grow_to(kv, division.n_pages);
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
        arena_free(&kv->page_store);
        arena_free(&kv->window_store);
        arena_free(&kv->state_store);
        arena_free(&kv->meta);
    }
    free(kv);
}

/* --- what other threads read --- */

static void show(_Atomic size_t *seen, size_t n)
{
    atomic_store_explicit(seen, n, memory_order_relaxed);
}

static size_t look(const _Atomic size_t *seen)
{
    return atomic_load_explicit(seen, memory_order_relaxed);
}

void kv_publish(struct kv *kv)
{
    show(&kv->seen_there, kv->pages.n_there);
    show(&kv->seen_used, kv->pages.n_there - pool_spare(&kv->pages));
    show(&kv->seen_cached, kv->pages.n_kept);
    show(&kv->seen_windows, kv->windows.n_there - pool_spare(&kv->windows));
    show(&kv->seen_states, kv->states.n_there - pool_spare(&kv->states));
    show(&kv->seen_kept, kv->states.n_kept);
}

void kv_stats(const struct kv *kv, struct kv_stats *out)
{
    *out = (struct kv_stats){
        .n_there = look(&kv->seen_there),
        .n_pages = kv->division.n_pages,
        .n_used = look(&kv->seen_used),
        .n_cached = look(&kv->seen_cached),
        .query_tokens = atomic_load_explicit(&kv->query_tokens, memory_order_relaxed),
        .hit_tokens = atomic_load_explicit(&kv->hit_tokens, memory_order_relaxed),
        .n_windows = kv->division.n_windows,
        .n_windows_used = look(&kv->seen_windows),
        .n_states = kv->division.n_states,
        .n_states_used = look(&kv->seen_states),
        .n_states_kept = look(&kv->seen_kept),
    };
}

void kv_clear(struct kv *kv)
{
    assert(pool_spare(&kv->pages) == kv->pages.n_there && kv->n_promised == 0 && kv->n_growth == 0);
    assert(kv->windows.n_claimed == 0 && kv->states.n_claimed == 0);
    reset(kv);
    kv_publish(kv);
    atomic_store_explicit(&kv->query_tokens, 0, memory_order_relaxed);
    atomic_store_explicit(&kv->hit_tokens, 0, memory_order_relaxed);
}

/* --- growth --- */

/* Room for one more sequence, of each kind of memory that the model has. */
static bool has_spare(const struct kv *kv)
{
    const size_t n_free = kv->pages.n_free;
    const size_t spare = n_free > kv->n_promised ? n_free - kv->n_promised : 0;
    return spare >= kv->step_pages && pool_unclaimed(&kv->windows) >= kv->map.window_pages &&
           (kv->map.state_bytes == 0 || pool_unclaimed(&kv->states) > 0);
}

size_t kv_wants(const struct kv *kv, bool some_wait)
{
    const size_t left = kv->division.n_pages - kv->pages.n_there;
    if (!some_wait && has_spare(kv))
        return 0;
    return left < kv->step_pages ? left : kv->step_pages;
}

/* Memory for places until n of them are there: of those that are away first, as pool_grow takes
 * them. */
static bool take(const struct kv_pool *pool, struct arena *store, size_t bytes, size_t n)
{
    if (bytes == 0 || n <= pool->n_there)
        return true;
    size_t n_left = n - pool->n_there;
    for (uint32_t i = pool->first_away; i != KV_NONE && n_left > 0; i = pool->slots[i].newer) {
        if (!arena_refill(store, i * bytes, bytes))
            return false;
        n_left--;
    }
    return arena_extend(store, (pool->n_extended + n_left) * bytes);
}

bool kv_take_memory(struct kv *kv, size_t n_pages)
{
    const size_t n = kv->pages.n_there + n_pages;
    const size_t windows = kv_windows_at(&kv->map, &kv->division, n);
    const size_t states = kv_states_at(&kv->division, n);
    return take(&kv->pages, &kv->page_store, kv->map.page_bytes, n) &&
           take(&kv->windows, &kv->window_store, kv->map.window_bytes, windows) &&
           take(&kv->states, &kv->state_store, kv->map.state_bytes, states);
}

void kv_grow(struct kv *kv, size_t n_pages)
{
    assert(n_pages <= kv->division.n_pages - kv->pages.n_there);
    grow_to(kv, kv->pages.n_there + n_pages);
    kv_publish(kv);
}

/* --- where the bytes are --- */

uint8_t *kv_block(const struct kv *kv, uint32_t page, size_t layer, size_t kv_head)
{
    const struct kv_place *place = &kv->places[layer];
    uint8_t *base = kv->page_store.base + page * kv->map.page_bytes;
    if (place->windowed) { /* out of view: any address, for it is not read */
        const uint32_t window = kv->window_of[page] != KV_NONE ? kv->window_of[page] : 0;
        base = kv->window_store.base + window * kv->map.window_bytes;
    }
    return base + place->offset + kv_head * place->block_bytes;
}

static float *state_at(const struct kv *kv, uint32_t state, size_t layer)
{
    return (float *)(void *)(kv->state_store.base + state * kv->map.state_bytes) +
           kv->places[layer].state;
}

float *kv_state(const struct kv *kv, const struct kv_seq *seq, size_t layer)
{
    return state_at(kv, seq->state, layer);
}

const float *kv_state_from(const struct kv *kv, const struct kv_seq *seq, size_t layer,
                           size_t position)
{
    if (position == 0)
        return NULL;
    const bool elsewhere = seq->from != KV_NONE && position == seq->from_at;
    return state_at(kv, elsewhere ? seq->from : seq->state, layer);
}

enum kv_type kv_type(const struct kv *kv)
{
    return kv->type;
}

size_t kv_n_pages(const struct kv *kv)
{
    return kv->division.n_pages;
}

size_t kv_page_size(const struct kv *kv)
{
    return (kv->division.bytes + kv->division.n_pages - 1) / kv->division.n_pages;
}

size_t kv_page_bytes(const struct shape *shape, enum kv_type type)
{
    struct kv_map map;
    kv_map_of(&map, NULL, shape, type, SIZE_MAX);
    return map.page_bytes;
}
