/* kv_sequences.c - what sequences hold of the cache: pages found and promised, windows that move on
 * with them, and states.
 *
 * Owned by one worker; its lock is held by the caller. These facts keep it simple. A page in the
 * index is named by (page before it, salt, its tokens), and pages before it are always held or
 * given up later than it, so a chain never dangles. Promises never exceed free + cached pages; what
 * a sequence takes besides leaves them untouched. A sequence's pages are always the indexed ones
 * where the index has their like. Windows and states belong to a page or to a sequence, and what
 * belongs to a page that is given up goes with it. And what sequences hold within their claims is
 * always to be had (kv_pool.h), so that a sequence that has begun never lacks a window or a state.
 * Knows nothing of jobs, threads or arithmetic.
 */
#include "forward/kv_internal.h"

#include <assert.h>

enum { RESERVE_SHARE = 4 }; /* growth_reserve: a quarter of what a sequence has to compute */

static void count_query(struct kv *kv, size_t n_query, size_t n_hit)
{
    if (!kv->prefix_cache)
        return;
    atomic_fetch_add_explicit(&kv->query_tokens, n_query, memory_order_relaxed);
    atomic_fetch_add_explicit(&kv->hit_tokens, n_hit, memory_order_relaxed);
}

/* --- windows --- */

static bool has_windows(const struct kv *kv)
{
    return kv->map.window_bytes > 0;
}

/* The first page that a row at a position sees of windowed layers. */
static size_t window_first(const struct kv *kv, size_t position)
{
    return position + 1 > kv->map.window ? (position + 1 - kv->map.window) / KV_PAGE : 0;
}

static size_t n_windows_of(const struct kv_seq *seq)
{
    return seq->n_pages - seq->window_begin;
}

/* Whenever what it holds has changed from n. */
static void count_windows(struct kv *kv, const struct kv_seq *seq, size_t n)
{
    if (!has_windows(kv))
        return;
    kv->windows.n_beyond += pool_beyond(n_windows_of(seq), seq->window_claim);
    kv->windows.n_beyond -= pool_beyond(n, seq->window_claim);
}

static void detach_window(struct kv *kv, uint32_t window)
{
    const uint32_t page = kv->window_page[window];
    if (page != KV_NONE)
        kv->window_of[page] = KV_NONE;
    kv->window_page[window] = KV_NONE;
}

static void attach_window(struct kv *kv, uint32_t window, uint32_t page)
{
    kv->window_page[window] = page;
    kv->window_of[page] = window;
}

static void take_window(struct kv *kv, uint32_t page)
{
    bool given_up;
    uint32_t window = pool_take(&kv->windows, &given_up);
    if (given_up)
        detach_window(kv, window);
    attach_window(kv, window, page);
}

static void release_window(struct kv *kv, uint32_t page)
{
    const uint32_t window = kv->window_of[page];
    pool_release(&kv->windows, window, kv->index.pages[page].indexed);
    if (!pool_is_held(&kv->windows, window) && !kv->index.pages[page].indexed)
        detach_window(kv, window);
}

/* Lets go of what a row at a position, and all after it, do not see. */
static void move_window(struct kv *kv, struct kv_seq *seq, size_t position)
{
    if (!has_windows(kv))
        return;
    const size_t n = n_windows_of(seq), first = window_first(kv, position);
    for (; seq->window_begin < first && seq->window_begin < seq->n_pages; seq->window_begin++)
        release_window(kv, seq->pages[seq->window_begin]);
    count_windows(kv, seq, n);
}

/* --- states --- */

static bool has_states(const struct kv *kv)
{
    return kv->map.state_bytes > 0;
}

static void detach_state(struct kv *kv, uint32_t state)
{
    const uint32_t page = kv->state_page[state];
    if (page != KV_NONE)
        kv->state_of[page] = KV_NONE;
    kv->state_page[state] = KV_NONE;
}

static void attach_state(struct kv *kv, uint32_t state, uint32_t page)
{
    kv->state_page[state] = page;
    kv->state_of[page] = state;
}

static uint32_t take_state(struct kv *kv)
{
    bool given_up;
    uint32_t state = pool_take(&kv->states, &given_up);
    if (given_up)
        detach_state(kv, state);
    return state;
}

static void release_state(struct kv *kv, uint32_t state)
{
    pool_release(&kv->states, state, kv->state_page[state] != KV_NONE);
}

/* One is its claim. */
static void count_states(struct kv *kv, struct kv_seq *seq, size_t n)
{
    kv->states.n_beyond += pool_beyond(n, 1);
    kv->states.n_beyond -= pool_beyond(seq->n_states, 1);
    seq->n_states = n;
}

/* What it came from has been read. */
static void forget_source(struct kv *kv, struct kv_seq *seq)
{
    if (seq->from == KV_NONE)
        return;
    if (seq->from != seq->state) {
        release_state(kv, seq->from);
        count_states(kv, seq, seq->n_states - 1);
    }
    seq->from = KV_NONE;
}

/* The next position is to be computed from the state beside a page: held, or its own from now on
 * where no other is to be had. */
static void set_source(struct kv *kv, struct kv_seq *seq, uint32_t state)
{
    seq->from = state;
    seq->from_at = seq->n_positions;
    pool_hold(&kv->states, state);
    count_states(kv, seq, seq->n_states + 1);
}

/* Gives up the state that it left when it grew, unless another goes on from there. */
static void drop_turn(struct kv *kv, const struct kv_seq *seq)
{
    const uint32_t state = seq->turn != KV_NONE ? kv->state_of[seq->turn] : KV_NONE;
    if (state == KV_NONE || pool_is_held(&kv->states, state))
        return;
    pool_drop(&kv->states, state);
    detach_state(kv, state);
}

/* At the end of a full page: leaves the state beside it and goes on in another, where one is to be
 * had beyond all claims. */
static void leave_state(struct kv *kv, struct kv_seq *seq)
{
    const bool grows = seq->n_positions > seq->n_given;
    const uint32_t page = seq->pages[seq->n_positions / KV_PAGE - 1];
    if (kv->state_of[page] != KV_NONE || pool_unclaimed(&kv->states) == 0)
        return;
    if (grows)
        drop_turn(kv, seq);
    attach_state(kv, seq->state, page);
    seq->from = seq->state;
    seq->from_at = seq->n_positions;
    seq->state = take_state(kv);
    count_states(kv, seq, 2);
    if (grows)
        seq->turn = page;
}

static bool is_worth_keeping(const struct kv *kv, const struct kv_seq *seq)
{
    const size_t n = seq->n_positions;
    return has_states(kv) && kv->prefix_cache && n > 0 && n % KV_PAGE == 0 &&
           seq->n_hashed == n / KV_PAGE &&
           (n == seq->keep_at[0] || n == seq->keep_at[1] || n == seq->keep_at[2] ||
            n > seq->n_given);
}

/* --- pages in and out of use --- */

/* None holds any of what belongs to it. */
void kv_forget_page(struct kv *kv, uint32_t page)
{
    const uint32_t window = kv->window_of[page], state = kv->state_of[page];
    if (window != KV_NONE) {
        pool_drop(&kv->windows, window);
        detach_window(kv, window);
    }
    if (state != KV_NONE) {
        pool_drop(&kv->states, state);
        detach_state(kv, state);
    }
    index_remove(&kv->index, page);
}

/* A page for new content: a free one, else the one whose last use is longest ago. */
static uint32_t take_page(struct kv *kv)
{
    bool given_up;
    uint32_t i = pool_take(&kv->pages, &given_up);
    if (given_up)
        kv_forget_page(kv, i);
    kv->index.pages[i].generation++;
    return i;
}

static void release_page(struct kv *kv, uint32_t i)
{
    pool_release(&kv->pages, i, kv->index.pages[i].indexed);
}

/* --- what is there of a prompt --- */

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
    uint32_t state;  /* beside the last of them; KV_NONE: there is none, or none is needed */
    size_t n_linked; /* pages whose tokens are there, whatever else is missing */
};

/* limit: pages at most; pages: filled with those found, or NULL. */
static struct match find_prefix(const struct kv *kv, uint64_t salt, size_t limit,
                                const int32_t *tokens, uint32_t *pages)
{
    struct match m = {.hash = KV_ROOT_HASH, .state = KV_NONE};
    uint64_t hash = KV_ROOT_HASH;
    size_t n_revived = 0, n_windows = 0; /* windows: one after the other, up to here */
    for (uint32_t page = KV_NONE; m.n_linked < limit; m.n_linked++) {
        const int32_t *part = tokens + m.n_linked * KV_PAGE;
        hash = index_hash(hash, salt, part);
        page = index_find(&kv->index, page, hash, salt, part);
        if (page == KV_NONE)
            break;
        if (pages)
            pages[m.n_linked] = page;
        n_revived += !pool_is_held(&kv->pages, page);
        n_windows = kv->window_of[page] != KV_NONE ? n_windows + 1 : 0;
        const size_t n = m.n_linked + 1;
        if (has_windows(kv) && n_windows < n - window_first(kv, n * KV_PAGE))
            continue;
        if (has_states(kv) && kv->state_of[page] == KV_NONE)
            continue;
        m.n_pages = n;
        m.n_revived = n_revived;
        m.hash = hash;
        m.state = kv->state_of[page];
    }
    return m;
}

/* --- whether a sequence may begin --- */

struct need { /* of a sequence that would begin, in pages */
    size_t n_now, n_most;
};

/* False: no table, or never. */
static bool need_of(const struct kv *kv, size_t n_tokens, size_t n_positions_max, struct need *out)
{
    *out = (struct need){kv_pages_for(n_tokens), kv_pages_for(n_positions_max)};
    return kv->n_free_tables > 0 && n_positions_max >= n_tokens && out->n_most <= kv->table_pages &&
           out->n_most <= kv->division.n_pages;
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

static size_t window_claim(const struct kv *kv, struct need need)
{
    if (!has_windows(kv))
        return 0;
    return need.n_most < kv->map.window_pages ? need.n_most : kv->map.window_pages;
}

/* The state that it begins from becomes its own where there is no other for it. */
static bool takes_over(const struct kv *kv, const struct match *m)
{
    return m->state != KV_NONE && pool_unclaimed(&kv->states) == 1 &&
           !pool_is_held(&kv->states, m->state);
}

static bool has_state_for(const struct kv *kv, const struct match *m)
{
    if (!has_states(kv) || takes_over(kv, m))
        return true;
    return pool_unclaimed(&kv->states) >= (m->state != KV_NONE ? 2u : 1u);
}

/* Whether the pages of its tokens can be promised besides those promised already, and there is what
 * belongs to them. */
static bool can_begin(const struct kv *kv, const struct match *m, struct need need)
{
    size_t n_new = need.n_now - m->n_pages;
    size_t reserve = growth_reserve(kv, n_new, need.n_most - need.n_now);
    return kv->n_promised + n_new + reserve <= pool_spare(&kv->pages) - m->n_revived &&
           pool_unclaimed(&kv->windows) >= window_claim(kv, need) && has_state_for(kv, m);
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

/* --- sequences --- */

/* Its claims are counted, what was found is held, and it gets its state. */
static void hold_match(struct kv *kv, struct kv_seq *seq, const struct match *m)
{
    const bool over = takes_over(kv, m);
    for (size_t i = 0; i < m->n_pages; i++)
        pool_hold(&kv->pages, seq->pages[i]);
    if (has_windows(kv)) {
        kv->windows.n_claimed += seq->window_claim;
        seq->window_begin = window_first(kv, seq->n_positions);
        for (size_t i = seq->window_begin; i < seq->n_pages; i++)
            pool_hold(&kv->windows, kv->window_of[seq->pages[i]]);
        count_windows(kv, seq, 0);
    }
    seq->state = seq->from = seq->turn = KV_NONE;
    if (!has_states(kv))
        return;
    kv->states.n_claimed++;
    if (m->state != KV_NONE)
        set_source(kv, seq, m->state);
    if (over) {
        seq->state = m->state;
        detach_state(kv, m->state);
    } else {
        seq->state = take_state(kv);
        count_states(kv, seq, seq->n_states + 1);
    }
    seq->keep_at[0] = m->n_linked * KV_PAGE;
    seq->keep_at[1] = (seq->n_given - 1) / KV_PAGE * KV_PAGE;
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
                           .table = table,
                           .window_claim = window_claim(kv, need),
                           .n_given = n_tokens};
    hold_match(kv, seq, &m);
    *n_cached = m.n_pages * KV_PAGE;
    count_query(kv, n_shared_max > 0 ? n_tokens : 0, *n_cached);
    kv_publish(kv);
    return true;
}

/* One more page of another's. */
static void share_page(struct kv *kv, struct kv_seq *seq, uint32_t page, uint64_t hash)
{
    move_window(kv, seq, seq->n_positions + KV_PAGE);
    const size_t n_windows = n_windows_of(seq);
    pool_hold(&kv->pages, page);
    if (has_windows(kv))
        pool_hold(&kv->windows, kv->window_of[page]);
    seq->pages[seq->n_pages++] = page;
    seq->n_hashed = seq->n_pages;
    seq->n_positions += KV_PAGE;
    seq->n_promised--;
    kv->n_promised--;
    seq->hash = hash;
    count_windows(kv, seq, n_windows);
}

/* How many of the next pages there are of another's, up to the last that it can go on from. */
static size_t pages_to_share(const struct kv *kv, const struct kv_seq *seq, const int32_t *tokens,
                             size_t limit)
{
    uint64_t hash = seq->hash;
    size_t n = 0;
    uint32_t page = seq->n_pages == 0 ? KV_NONE : seq->pages[seq->n_pages - 1];
    if (has_states(kv) && seq->n_states < 2 && pool_unclaimed(&kv->states) == 0)
        return 0; /* it could not hold another's beside its own */
    for (size_t i = seq->n_pages; i < limit && i - seq->n_pages < seq->n_promised; i++) {
        hash = index_hash(hash, seq->salt, tokens + i * KV_PAGE);
        page = index_find(&kv->index, page, hash, seq->salt, tokens + i * KV_PAGE);
        if (page == KV_NONE || (has_windows(kv) && kv->window_of[page] == KV_NONE))
            break;
        if (!has_states(kv) || kv->state_of[page] != KV_NONE)
            n = i - seq->n_pages + 1;
    }
    return n;
}

size_t kv_share(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_tokens)
{
    size_t limit = shareable_pages(kv, n_tokens, seq->n_shared_max);
    if (seq->n_positions != seq->n_pages * KV_PAGE || seq->n_hashed != seq->n_pages)
        return 0;
    const size_t n = pages_to_share(kv, seq, tokens, limit);
    for (size_t i = 0; i < n; i++) {
        const int32_t *part = tokens + seq->n_pages * KV_PAGE;
        uint64_t hash = index_hash(seq->hash, seq->salt, part);
        uint32_t before = seq->n_pages == 0 ? KV_NONE : seq->pages[seq->n_pages - 1];
        share_page(kv, seq, index_find(&kv->index, before, hash, seq->salt, part), hash);
    }
    if (n == 0)
        return 0;
    if (has_states(kv)) {
        forget_source(kv, seq);
        set_source(kv, seq, kv->state_of[seq->pages[seq->n_pages - 1]]);
    }
    count_query(kv, 0, n * KV_PAGE);
    kv_publish(kv);
    return n * KV_PAGE;
}

void kv_keep(struct kv_seq *seq, size_t n)
{
    seq->keep_at[2] = n / KV_PAGE * KV_PAGE;
}

/* Windows that it may take now. */
static size_t windows_left(const struct kv *kv, const struct kv_seq *seq)
{
    const size_t n = n_windows_of(seq), claim = seq->window_claim;
    return (claim > n ? claim - n : 0) + pool_unclaimed(&kv->windows);
}

size_t kv_room(const struct kv *kv, const struct kv_seq *seq, size_t n)
{
    if (has_windows(kv)) {
        size_t room = (seq->n_pages + windows_left(kv, seq)) * KV_PAGE - seq->n_positions;
        n = room < n ? room : n;
    }
    for (size_t i = 0; i < 3 && has_states(kv) && kv->prefix_cache; i++) {
        const size_t at = seq->keep_at[i];
        if (at > seq->n_positions && at - seq->n_positions < n)
            n = at - seq->n_positions;
    }
    return n;
}

bool kv_extend(struct kv *kv, struct kv_seq *seq, size_t n)
{
    size_t n_pages = kv_pages_for(seq->n_positions + n);
    if (n_pages <= seq->n_pages)
        return true;
    size_t n_new = n_pages - seq->n_pages, n_windows = n_windows_of(seq);
    size_t n_kept = n_new < seq->n_promised ? n_new : seq->n_promised, n_more = n_new - n_kept;
    assert(n_more <= seq->n_growth);
    if (n_more > pool_spare(&kv->pages) - kv->n_promised ||
        (has_windows(kv) && n_new > windows_left(kv, seq)))
        return false;
    seq->n_promised -= n_kept;
    kv->n_promised -= n_kept;
    seq->n_growth -= n_more;
    kv->n_growth -= n_more;
    while (seq->n_pages < n_pages) {
        uint32_t page = take_page(kv);
        if (has_windows(kv))
            take_window(kv, page);
        seq->pages[seq->n_pages++] = page;
    }
    count_windows(kv, seq, n_windows);
    kv_publish(kv);
    return true;
}

/* The index has the like of its n-th page: that one takes its place, with the window of whichever
 * has one. */
static void exchange_page(struct kv *kv, struct kv_seq *seq, size_t n, uint32_t found)
{
    const uint32_t own = seq->pages[n];
    pool_hold(&kv->pages, found);
    if (has_windows(kv)) {
        const uint32_t window = kv->window_of[own];
        if (kv->window_of[found] != KV_NONE) {
            pool_hold(&kv->windows, kv->window_of[found]);
            release_window(kv, own);
        } else {
            detach_window(kv, window);
            attach_window(kv, window, found);
        }
    }
    release_page(kv, own);
    seq->pages[n] = found;
}

/* Its full pages so far come into the index. */
static void index_pages(struct kv *kv, struct kv_seq *seq, const int32_t *tokens)
{
    for (; (seq->n_hashed + 1) * KV_PAGE <= seq->n_positions; seq->n_hashed++) {
        size_t n = seq->n_hashed;
        const int32_t *part = tokens + n * KV_PAGE;
        uint32_t parent = n == 0 ? KV_NONE : seq->pages[n - 1];
        uint64_t hash = index_hash(seq->hash, seq->salt, part);
        uint32_t found = index_find(&kv->index, parent, hash, seq->salt, part);
        if (found == KV_NONE)
            index_insert(&kv->index, seq->pages[n], parent, hash, seq->salt, part);
        else
            exchange_page(kv, seq, n, found);
        seq->hash = hash;
    }
}

void kv_commit(struct kv *kv, struct kv_seq *seq, const int32_t *tokens, size_t n_positions)
{
    assert(n_positions <= seq->n_pages * KV_PAGE);
    if (n_positions > seq->n_positions)
        forget_source(kv, seq);
    seq->n_positions = n_positions;
    if (kv->prefix_cache)
        index_pages(kv, seq, tokens);
    move_window(kv, seq, n_positions);
    if (is_worth_keeping(kv, seq))
        leave_state(kv, seq);
    kv_publish(kv);
}

void kv_end(struct kv *kv, struct kv_seq *seq)
{
    if (has_windows(kv)) {
        kv->windows.n_beyond -= pool_beyond(n_windows_of(seq), seq->window_claim);
        kv->windows.n_claimed -= seq->window_claim;
        for (size_t i = seq->n_pages; i-- > seq->window_begin;)
            release_window(kv, seq->pages[i]);
    }
    if (has_states(kv)) {
        forget_source(kv, seq);
        release_state(kv, seq->state);
        kv->states.n_claimed--;
    }
    /* The last page first: a page is then always given up before the one it follows. */
    for (size_t i = seq->n_pages; i-- > 0;)
        release_page(kv, seq->pages[i]);
    kv->n_promised -= seq->n_promised;
    kv->n_growth -= seq->n_growth;
    kv->free_tables[kv->n_free_tables++] = seq->table;
    *seq = (struct kv_seq){0};
    kv_publish(kv);
}
