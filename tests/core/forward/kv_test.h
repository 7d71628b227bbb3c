/* kv_test.h - what the tests of the KV cache share: a cache with a hash of its own, sequences, an
 * audit. */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function" /* each file uses some */
#pragma GCC diagnostic ignored "-Wunused-variable"

static unsigned long long hash_mask;
#define KV_HASH_MASK hash_mask
/* NOLINTBEGIN(bugprone-suspicious-include): with a hash of its own, and their books open */
#include "forward/kv.c"
#include "forward/kv_index.c"
#include "forward/kv_sequences.c"
#include "forward/kv_shrink.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include <check.h>

enum { LAYERS = 2, KV_HEADS = 2, HEAD_DIM = 16, CONTEXT = 512, MAX_SEQUENCES = 12 };
enum { WINDOW = 70, STATE_SIZE = 4 };

/* What a model's layers need: pages, or windows or states as well. */
enum kind { PLAIN, WINDOWS, STATES, KINDS };

static struct model model;
static struct kv *kv;

static void make_model(enum kind kind)
{
    const struct layer_shape full = {
        .n_heads = KV_HEADS, .n_kv_heads = KV_HEADS, .head_dim = HEAD_DIM};
    model = (struct model){.n_context = CONTEXT};
    model.shape.n_layers = LAYERS;
    for (size_t i = 0; i < LAYERS; i++)
        model.shape.layers[i] = full;
    if (kind == PLAIN)
        return;
    struct layer_shape *other = &model.shape.layers[model.shape.n_layers++];
    if (kind == WINDOWS) {
        *other =
            (struct layer_shape){.n_heads = 1, .n_kv_heads = 1, .head_dim = 32, .window = WINDOW};
        return;
    }
    *other = (struct layer_shape){.mixer = MIXER_DELTA};
    model.shape.delta = (struct delta_shape){STATE_SIZE, 1, 2, 3};
}

static void open_kind(enum kind kind, size_t budget_bytes, bool prefix_cache)
{
    struct error err;
    make_model(kind);
    ck_assert_int_eq(
        kv_create(&kv, &model, KV_F16, budget_bytes, MAX_SEQUENCES, prefix_cache, &err), STATUS_OK);
}

static void open_pages(size_t n_pages, bool prefix_cache)
{
    make_model(PLAIN);
    size_t page = kv_page_bytes(&model.shape, KV_F16);
    open_kind(PLAIN, n_pages * page + page / 2, prefix_cache);
    ck_assert_uint_eq(kv_n_pages(kv), n_pages);
}

static void setup(void)
{
    hash_mask = UINT64_MAX;
    kv = NULL;
}

static void teardown(void)
{
    kv_destroy(kv);
}

/* Tokens of the longest cached prefix. */
static size_t kv_match(const struct kv *cache, uint64_t salt, const int32_t *tokens, size_t n)
{
    size_t limit = shareable_pages(cache, n, SIZE_MAX);
    return find_prefix(cache, salt, limit, tokens, NULL).n_pages * KV_PAGE;
}

static void fill(int32_t *tokens, size_t n, int32_t first)
{
    for (size_t i = 0; i < n; i++)
        tokens[i] = first + (int32_t)i;
}

/* A whole sequence: its prompt is computed and it ends. Returns the tokens found in the cache. */
static size_t run_sequence(uint64_t salt, const int32_t *tokens, size_t n)
{
    struct kv_seq seq = {0};
    size_t n_cached;
    ck_assert(kv_begin(kv, &seq, salt, SIZE_MAX, tokens, n, n, &n_cached));
    ck_assert_uint_eq(seq.n_positions, n_cached);
    while (seq.n_positions < n) {
        size_t room = kv_room(kv, &seq, n - seq.n_positions);
        ck_assert(kv_extend(kv, &seq, room));
        kv_commit(kv, &seq, tokens, seq.n_positions + room);
    }
    kv_end(kv, &seq);
    return n_cached;
}

static struct kv_stats stats_now(void)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s;
}

/* --- any load: audited against what was really written --- */

struct live {
    struct kv_seq seq;
    int32_t tokens[CONTEXT];
    uint64_t names[CONTEXT]; /* of each position: of its whole prefix and salt */
    uint64_t salt;
    size_t n_prompt, n_max, n_cached;
    int begun; /* the round */
    bool on;
};

enum { MOST_PAGES = 64 };

/* What each page's positions hold, and each window's; and after which position each state is. */
static uint64_t written[MOST_PAGES][KV_PAGE], written_windows[MOST_PAGES][KV_PAGE];
static uint64_t written_states[MOST_PAGES];
static size_t n_preempted;

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static void name_positions(struct live *l, size_t n)
{
    uint64_t name = l->salt * 31 + 17;
    for (size_t i = 0; i < n; i++) {
        name = (name ^ (uint64_t)(uint32_t)l->tokens[i]) * 0x9fb21c651e98df25u;
        name ^= name >> 29;
        l->names[i] = name;
    }
}

/* All that the row at position n reads. */
static void check_content(const struct live *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t page = l->seq.pages[i / KV_PAGE];
        ck_assert_uint_eq(written[page][i % KV_PAGE], l->names[i]);
        if (kv->map.window_bytes > 0 && i + WINDOW > n)
            ck_assert_uint_eq(written_windows[kv->window_of[page]][i % KV_PAGE], l->names[i]);
    }
    if (kv->map.state_bytes == 0 || n == 0)
        return;
    const bool elsewhere = l->seq.from != KV_NONE && n == l->seq.from_at;
    ck_assert_uint_eq(written_states[elsewhere ? l->seq.from : l->seq.state], l->names[n - 1]);
}

/* A pool's books against who really holds its places. */
static void audit_pool(const struct kv_pool *pool, const size_t *n_refs)
{
    size_t n_free = 0, n_kept = 0, n_held = 0, n_away = 0;
    for (uint32_t i = pool->first_free; i != KV_NONE; i = pool->slots[i].newer, n_free++)
        ck_assert(pool->slots[i].n_refs == 0 && !pool->slots[i].kept && !pool->slots[i].away);
    for (uint32_t i = pool->first_away; i != KV_NONE; i = pool->slots[i].newer, n_away++)
        ck_assert(pool->slots[i].n_refs == 0 && !pool->slots[i].kept && pool->slots[i].away);
    for (uint32_t i = pool->oldest; i != KV_NONE; i = pool->slots[i].newer, n_kept++)
        ck_assert(pool->slots[i].n_refs == 0 && pool->slots[i].kept);
    for (size_t i = 0; i < pool->n_extended; i++) {
        ck_assert_uint_eq(pool->slots[i].n_refs, n_refs[i]);
        n_held += n_refs[i] > 0;
    }
    ck_assert_uint_eq(n_free, pool->n_free);
    ck_assert_uint_eq(n_kept, pool->n_kept);
    ck_assert_uint_eq(n_held + n_free + n_kept, pool->n_there);
    ck_assert_uint_eq(n_away + pool->n_there, pool->n_extended);
    ck_assert_uint_le(pool->n_claimed + pool->n_beyond, pool->n_there);
}

/* What belongs to a page is known from both sides, and to an indexed page or a held one only. */
static void audit_links(const uint32_t *of, const uint32_t *page_of, const struct kv_pool *pool)
{
    for (uint32_t i = 0; i < pool->n_extended; i++)
        if (page_of[i] != KV_NONE)
            ck_assert_uint_eq(of[page_of[i]], i);
        else
            ck_assert(!pool->slots[i].kept);
    for (uint32_t p = 0; p < kv->pages.n_extended && pool->n_there > 0; p++)
        if (of[p] != KV_NONE) {
            ck_assert_uint_eq(page_of[of[p]], p);
            ck_assert(kv->index.pages[p].indexed || pool_is_held(&kv->pages, p));
        }
}

static void audit(const struct live *lives)
{
    size_t n_promised = 0, n_growth = 0, n_windows = 0, n_states = 0, beyond = 0, claimed = 0;
    size_t page_refs[MOST_PAGES] = {0}, window_refs[MOST_PAGES] = {0}, state_refs[MOST_PAGES] = {0};
    for (size_t i = 0; i < MAX_SEQUENCES; i++) {
        const struct kv_seq *seq = &lives[i].seq;
        if (!lives[i].on)
            continue;
        n_promised += seq->n_promised;
        n_growth += seq->n_growth;
        ck_assert_uint_ge(seq->n_pages + seq->n_promised + seq->n_growth,
                          kv_pages_for(lives[i].n_max));
        for (size_t p = 0; p < seq->n_pages; p++) {
            page_refs[seq->pages[p]]++;
            if (kv->map.window_bytes > 0 && p >= seq->window_begin)
                window_refs[kv->window_of[seq->pages[p]]]++;
        }
        claimed += seq->window_claim;
        n_windows = seq->n_pages - seq->window_begin;
        beyond += kv->map.window_bytes > 0 ? pool_beyond(n_windows, seq->window_claim) : 0;
        if (kv->map.state_bytes > 0) {
            n_states++;
            state_refs[seq->state]++;
            if (seq->from != KV_NONE && seq->from != seq->state)
                state_refs[seq->from]++;
        }
    }
    audit_pool(&kv->pages, page_refs);
    audit_pool(&kv->windows, window_refs);
    audit_pool(&kv->states, state_refs);
    audit_links(kv->window_of, kv->window_page, &kv->windows);
    audit_links(kv->state_of, kv->state_page, &kv->states);
    ck_assert_uint_eq(n_promised, kv->n_promised);
    ck_assert_uint_eq(n_growth, kv->n_growth);
    ck_assert_uint_le(n_promised, pool_spare(&kv->pages));
    ck_assert_uint_eq(claimed, kv->windows.n_claimed);
    ck_assert_uint_eq(beyond, kv->windows.n_beyond);
    ck_assert_uint_eq(n_states, kv->states.n_claimed);
    ck_assert_uint_eq(stats_now().n_used, kv->pages.n_there - pool_spare(&kv->pages));
}

static void begin_random(struct live *l, uint64_t *state)
{
    *l = (struct live){.salt = random_below(state, 2)};
    l->n_prompt = 1 + random_below(state, 200);
    l->n_max = l->n_prompt + random_below(state, 300);
    /* Few different pages, so that prefixes meet. */
    for (size_t i = 0; i < l->n_prompt; i += KV_PAGE) {
        int32_t kind = (int32_t)random_below(state, 3);
        for (size_t k = i; k < i + KV_PAGE && k < l->n_prompt; k++)
            l->tokens[k] = kind;
    }
    name_positions(l, l->n_prompt);
    size_t expected = kv_match(kv, l->salt, l->tokens, l->n_prompt), seen;
    bool fits = kv_fits(kv, l->salt, SIZE_MAX, l->tokens, l->n_prompt, l->n_max, &seen);
    l->on =
        kv_begin(kv, &l->seq, l->salt, SIZE_MAX, l->tokens, l->n_prompt, l->n_max, &l->n_cached);
    ck_assert_int_eq(fits, l->on);
    if (!l->on)
        return;
    ck_assert_uint_eq(l->n_cached, expected);
    ck_assert_uint_lt(l->n_cached, l->n_prompt);
    check_content(l, l->n_cached);
}

static bool random_takes; /* more memory, before others give way */

static void grow_by(size_t n)
{
    ck_assert(kv_take_memory(kv, n));
    kv_grow(kv, n);
}

/* Room for n more, for which the youngest others give way. False: it was the youngest itself. */
static bool grow(struct live *lives, struct live *l, size_t n)
{
    bool promised = l->seq.n_positions < l->n_prompt;
    while (!kv_extend(kv, &l->seq, n)) {
        ck_assert(!promised);
        if (random_takes && kv_wants(kv, true) > 0) {
            grow_by(kv_wants(kv, true));
            continue;
        }
        struct live *youngest = l;
        size_t n_live = 0;
        for (size_t i = 0; i < MAX_SEQUENCES; i++) {
            n_live += lives[i].on;
            if (lives[i].on && lives[i].begun > youngest->begun)
                youngest = &lives[i];
        }
        ck_assert_uint_gt(n_live, 1); /* alone it has all */
        kv_end(kv, &youngest->seq);
        youngest->on = false;
        n_preempted++;
        if (youngest == l)
            return false;
    }
    return true;
}

static void advance(struct live *lives, struct live *l, uint64_t *state)
{
    if (l->seq.n_positions < l->n_prompt) {
        kv_share(kv, &l->seq, l->tokens, l->n_prompt);
        ck_assert_uint_lt(l->seq.n_positions, l->n_prompt);
        check_content(l, l->seq.n_positions);
    }
    size_t at = l->seq.n_positions;
    size_t most = at < l->n_prompt ? l->n_prompt - at : l->n_max - at;
    if (most == 0)
        return;
    size_t n = 1 + random_below(state, (uint32_t)(most < 60 ? most : 60));
    n = kv_room(kv, &l->seq, n);
    ck_assert_uint_ge(n, 1);
    for (size_t i = at; i < at + n; i++)
        if (i >= l->n_prompt)
            l->tokens[i] = (int32_t)random_below(state, 2) * 9;
    name_positions(l, at + n);
    if (!grow(lives, l, n))
        return;
    for (size_t i = at; i < at + n; i++) {
        uint32_t page = l->seq.pages[i / KV_PAGE];
        ck_assert_uint_eq(kv->pages.slots[page].n_refs, 1); /* never written while shared */
        ck_assert(!kv->index.pages[page].indexed);
        written[page][i % KV_PAGE] = l->names[i];
        if (kv->map.window_bytes > 0)
            written_windows[kv->window_of[page]][i % KV_PAGE] = l->names[i];
    }
    if (kv->map.state_bytes > 0)
        written_states[l->seq.state] = l->names[at + n - 1];
    kv_commit(kv, &l->seq, l->tokens, at + n);
    check_content(l, at + n);
}

/* --- growth --- */

static void open_steps(enum kind kind, size_t budget_bytes, size_t step_bytes)
{
    struct error err;
    make_model(kind);
    ck_assert_int_eq(
        kv_create_growing(&kv, &model, KV_F16, budget_bytes, MAX_SEQUENCES, true, step_bytes, &err),
        STATUS_OK);
}

static void open_growing(enum kind kind, size_t budget_bytes)
{
    open_steps(kind, budget_bytes, 0);
}

static size_t plain_pages(size_t n)
{
    make_model(PLAIN);
    return n * kv_page_bytes(&model.shape, KV_F16);
}
