/* test_kv.c - the paged cache: what is shared, what is given up, and that promises are kept under
 * any load, growing beyond them included.
 *
 * The cache's source is included, so that its books can be audited and its hashes made to collide.
 */
static unsigned long long hash_mask;
#define KV_HASH_MASK hash_mask
#include "forward/kv.c" /* NOLINT(bugprone-suspicious-include): with a hash of its own */

#include <check.h>

enum { LAYERS = 2, KV_HEADS = 2, HEAD_DIM = 16, CONTEXT = 512, MAX_SEQUENCES = 12 };

static struct model model;
static struct kv *kv;

static void open_pages(size_t n_pages, bool prefix_cache)
{
    model =
        (struct model){.shape = {.n_layers = LAYERS, .n_kv_heads = KV_HEADS, .head_dim = HEAD_DIM},
                       .n_context = CONTEXT};
    struct error err;
    size_t page = kv_page_bytes(&model.shape, KV_F16);
    ck_assert_int_eq(kv_create(&kv, &model, KV_F16, n_pages * page + page / 2, MAX_SEQUENCES,
                               prefix_cache, &err),
                     STATUS_OK);
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
    ck_assert(kv_begin(kv, &seq, salt, tokens, n, n, &n_cached));
    ck_assert_uint_eq(seq.n_positions, n_cached);
    kv_extend(kv, &seq, n - n_cached);
    kv_commit(kv, &seq, tokens, n);
    kv_end(kv, &seq);
    return n_cached;
}

static struct kv_stats stats_now(void)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s;
}

START_TEST(a_prompt_seen_before_is_found_but_for_its_last_token)
{
    static const size_t lengths[] = {400, 32, 33, 64, 65, 1, 31, 512};
    static const size_t found[] = {384, 0, 32, 32, 64, 0, 0, 480};
    int32_t tokens[CONTEXT];
    open_pages(64, true);
    size_t n = lengths[_i];
    fill(tokens, n, 5);
    ck_assert_uint_eq(run_sequence(0, tokens, n), 0);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, n), found[_i]);
    ck_assert_uint_eq(run_sequence(0, tokens, n), found[_i]);
    struct kv_stats s = stats_now();
    ck_assert_uint_eq(s.query_tokens, 2 * n);
    ck_assert_uint_eq(s.hit_tokens, found[_i]);
    ck_assert_uint_eq(s.n_used, 0);
    ck_assert_uint_eq(s.n_cached, n / KV_PAGE);
}
END_TEST

START_TEST(another_salt_finds_nothing)
{
    int32_t tokens[100];
    fill(tokens, 100, 1);
    open_pages(64, true);
    run_sequence(1, tokens, 100);
    ck_assert_uint_eq(kv_match(kv, 2, tokens, 100), 0);
    ck_assert_uint_eq(run_sequence(2, tokens, 100), 0);
    ck_assert_uint_eq(run_sequence(1, tokens, 100), 96);
}
END_TEST

START_TEST(equal_pages_after_different_ones_are_not_confused)
{
    int32_t a[96], b[96];
    fill(a, 96, 1);
    memcpy(b, a, sizeof b);
    b[0] = 777; /* the second and third page have equal tokens */
    hash_mask = 0;
    open_pages(64, true);
    run_sequence(0, a, 96);
    ck_assert_uint_eq(kv_match(kv, 0, b, 96), 0);
    run_sequence(0, b, 96);
    ck_assert_uint_eq(kv_match(kv, 0, a, 96), 64);
    ck_assert_uint_eq(kv_match(kv, 0, b, 96), 64);
}
END_TEST

START_TEST(without_the_prefix_cache_nothing_is_kept)
{
    int32_t tokens[100];
    fill(tokens, 100, 1);
    open_pages(8, false);
    run_sequence(0, tokens, 100);
    ck_assert_uint_eq(run_sequence(0, tokens, 100), 0);
    struct kv_stats s = stats_now();
    ck_assert_uint_eq(s.n_cached + s.n_used, 0);
    ck_assert_uint_eq(s.query_tokens, 0);
}
END_TEST

START_TEST(live_sequences_share_pages)
{
    int32_t tokens[100];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 100, 1);
    open_pages(6, true); /* two sequences of 4 pages: only with three of them shared */
    ck_assert(kv_begin(kv, &a, 0, tokens, 100, 128, &n_cached));
    ck_assert(!kv_begin(kv, &b, 0, tokens, 100, 128, &n_cached));
    kv_extend(kv, &a, 100);
    kv_commit(kv, &a, tokens, 100);
    ck_assert(kv_fits(kv, 0, tokens, 100, 128, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, tokens, 100, 128, &n_cached));
    ck_assert_uint_eq(n_cached, 96);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(a.pages[i], b.pages[i]);
    kv_extend(kv, &b, 4);
    ck_assert_uint_ne(a.pages[3], b.pages[3]);
    ck_assert_uint_eq(stats_now().n_used, 5);
    kv_end(kv, &a);
    kv_end(kv, &b);
    ck_assert_uint_eq(stats_now().n_used, 0);
}
END_TEST

START_TEST(pages_made_twice_at_once_become_one)
{
    int32_t tokens[100];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 100, 1);
    open_pages(16, true);
    ck_assert(kv_begin(kv, &a, 0, tokens, 100, 128, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, tokens, 100, 128, &n_cached));
    kv_extend(kv, &a, 100);
    kv_extend(kv, &b, 100);
    kv_commit(kv, &a, tokens, 100);
    kv_commit(kv, &b, tokens, 100);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(a.pages[i], b.pages[i]);
    ck_assert_uint_eq(stats_now().n_used, 5);
    kv_end(kv, &b);
    kv_end(kv, &a);
    ck_assert_uint_eq(stats_now().n_cached, 3);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 100), 96);
}
END_TEST

START_TEST(a_prompt_being_read_gains_what_another_has_read_meanwhile)
{
    int32_t tokens[130];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 130, 1);
    open_pages(16, true);
    ck_assert(kv_begin(kv, &a, 0, tokens, 130, 140, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, tokens, 130, 140, &n_cached));
    kv_extend(kv, &a, 130);
    kv_extend(kv, &b, 32);
    kv_commit(kv, &a, tokens, 130);
    kv_commit(kv, &b, tokens, 32);
    ck_assert_uint_eq(kv_share(kv, &b, tokens, 130), 96);
    ck_assert_uint_eq(b.n_positions, 128);
    ck_assert_uint_eq(b.pages[3], a.pages[3]);
    ck_assert_uint_eq(b.n_promised, 1);
    ck_assert_uint_eq(kv_share(kv, &b, tokens, 130), 0);
    kv_end(kv, &a);
    kv_end(kv, &b);
}
END_TEST

START_TEST(the_least_recently_used_prefix_is_given_up_first_and_from_its_end)
{
    int32_t tokens[3][128];
    open_pages(8, true);
    for (int k = 0; k < 3; k++)
        fill(tokens[k], 128, 1000 * k);
    run_sequence(0, tokens[0], 128);
    run_sequence(0, tokens[1], 128);
    run_sequence(0, tokens[0], 128); /* used again: tokens[1] is the oldest now */
    run_sequence(0, tokens[2], 65);  /* three pages are needed */
    ck_assert_uint_eq(kv_match(kv, 0, tokens[0], 128), 96);
    ck_assert_uint_eq(kv_match(kv, 0, tokens[1], 128), 32);
    ck_assert_uint_eq(kv_match(kv, 0, tokens[2], 128), 64);
}
END_TEST

START_TEST(a_page_that_is_written_anew_is_never_found_under_its_old_name)
{
    int32_t a[512], b[512];
    fill(a, 512, 1);
    fill(b, 512, 5000);
    open_pages(16, true);
    run_sequence(0, a, 512);
    run_sequence(0, b, 512);
    ck_assert_uint_eq(kv_match(kv, 0, a, 512), 0);
    ck_assert_uint_eq(kv_match(kv, 0, b, 512), 480);
}
END_TEST

START_TEST(what_was_promised_is_there_however_full_it_is)
{
    int32_t tokens[512];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 512, 1);
    open_pages(10, true);
    run_sequence(0, tokens, 320);                                /* ten cached pages */
    ck_assert(kv_begin(kv, &a, 9, tokens, 200, 200, &n_cached)); /* promises 7 */
    ck_assert(!kv_begin(kv, &b, 9, tokens + 100, 100, 100, &n_cached));
    ck_assert(kv_begin(kv, &b, 9, tokens + 100, 96, 96, &n_cached));
    ck_assert(kv_extend(kv, &b, 96));
    ck_assert(kv_extend(kv, &a, 200));
    ck_assert_uint_eq(stats_now().n_used, 10);
    kv_end(kv, &a);
    kv_end(kv, &b);
}
END_TEST

START_TEST(growth_takes_what_is_free_and_never_what_is_promised)
{
    int32_t tokens[512];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 512, 1);
    open_pages(10, true);
    ck_assert(kv_begin(kv, &a, 0, tokens, 32, 320, &n_cached)); /* one page now, ten in the end */
    ck_assert(kv_begin(kv, &b, 9, tokens, 128, 128, &n_cached));
    ck_assert(kv_extend(kv, &a, 32));
    kv_commit(kv, &a, tokens, 32);
    ck_assert(kv_extend(kv, &a, 160)); /* ten, less four promised, less one */
    kv_commit(kv, &a, tokens, 192);
    ck_assert(!kv_extend(kv, &a, 1));
    ck_assert_uint_eq(a.n_pages, 6); /* nothing changed */
    ck_assert_uint_eq(a.n_growth, 4);
    ck_assert(kv_extend(kv, &b, 128)); /* the promise is kept */
    ck_assert(!kv_extend(kv, &a, 1));
    kv_end(kv, &b);
    ck_assert(kv_extend(kv, &a, 128)); /* alone it has all */
    kv_commit(kv, &a, tokens, 320);
    ck_assert_uint_eq(stats_now().n_used, 10);
    kv_end(kv, &a);
    ck_assert_uint_eq(kv->n_promised + kv->n_growth, 0);
}
END_TEST

START_TEST(growth_gives_up_the_prefix_cache_first)
{
    int32_t tokens[512], others[320];
    struct kv_seq a = {0};
    size_t n_cached;
    fill(tokens, 512, 1);
    fill(others, 320, 7000);
    open_pages(10, true);
    run_sequence(0, others, 320);
    ck_assert_uint_eq(stats_now().n_cached, 10);
    ck_assert(kv_begin(kv, &a, 0, tokens, 1, 320, &n_cached));
    for (size_t n = 0; n < 320; n++) {
        ck_assert(kv_extend(kv, &a, 1));
        kv_commit(kv, &a, tokens, n + 1);
    }
    ck_assert_uint_eq(stats_now().n_used, 10);
    kv_end(kv, &a);
}
END_TEST

START_TEST(a_sequence_begins_where_all_have_room_to_grow)
{
    int32_t tokens[512];
    struct kv_seq seqs[4] = {0};
    size_t n_cached;
    fill(tokens, 512, 1);
    open_pages(8, false);
    /* However little is there now: what can never run out needs no reserve. */
    for (size_t i = 0; i < 4; i++)
        ck_assert(kv_begin(kv, &seqs[i], 0, tokens, 33, 64, &n_cached));
    for (size_t i = 0; i < 4; i++)
        kv_end(kv, &seqs[i]);
    /* Alone it may come to need everything; a second one must leave a page to each. */
    ck_assert(kv_begin(kv, &seqs[0], 0, tokens, 128, 256, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[1], 0, tokens, 65, 256, &n_cached)); /* 4 + 3 + 2 > 8 */
    ck_assert(kv_begin(kv, &seqs[1], 0, tokens, 64, 256, &n_cached));
    kv_end(kv, &seqs[0]);
    kv_end(kv, &seqs[1]);
    ck_assert(!kv_begin(kv, &seqs[0], 0, tokens, 1, 257, &n_cached)); /* never */
}
END_TEST

START_TEST(no_table_no_sequence)
{
    int32_t token = 1;
    struct kv_seq seqs[MAX_SEQUENCES + 1] = {0};
    size_t n_cached;
    open_pages(64, true);
    for (size_t i = 0; i < MAX_SEQUENCES; i++)
        ck_assert(kv_begin(kv, &seqs[i], 0, &token, 1, 1, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[MAX_SEQUENCES], 0, &token, 1, 1, &n_cached));
    for (size_t i = 0; i < MAX_SEQUENCES; i++)
        kv_end(kv, &seqs[i]);
    ck_assert(kv_begin(kv, &seqs[0], 0, &token, 1, 1, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[1], 0, &token, 1, CONTEXT + 1, &n_cached));
    kv_end(kv, &seqs[0]);
}
END_TEST

START_TEST(clearing_forgets_everything)
{
    int32_t tokens[100];
    fill(tokens, 100, 1);
    open_pages(8, true);
    run_sequence(0, tokens, 100);
    kv_clear(kv);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 100), 0);
    struct kv_stats s = stats_now();
    ck_assert_uint_eq(s.n_cached + s.n_used + s.query_tokens + s.hit_tokens, 0);
}
END_TEST

START_TEST(blocks_lie_apart_and_within_their_page)
{
    open_pages(3, true);
    size_t block = page_head_bytes(KV_F16, HEAD_DIM), n = 0;
    const uint8_t *base = kv_block(kv, 0, 0, 0);
    for (uint32_t p = 0; p < 3; p++)
        for (size_t layer = 0; layer < LAYERS; layer++)
            for (size_t head = 0; head < KV_HEADS; head++)
                ck_assert_ptr_eq(kv_block(kv, p, layer, head), base + block * n++);
    ck_assert_uint_eq(block * n, 3 * kv_page_bytes(&model.shape, KV_F16));
}
END_TEST

START_TEST(a_budget_below_one_page_is_refused)
{
    struct error err;
    model =
        (struct model){.shape = {.n_layers = 1, .n_kv_heads = 1, .head_dim = 16}, .n_context = 64};
    size_t page = kv_page_bytes(&model.shape, KV_F32);
    ck_assert_int_eq(kv_create(&kv, &model, KV_F32, page - 1, 1, true, &err), STATUS_INVALID);
    ck_assert_ptr_null(kv);
}
END_TEST

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

static uint64_t written[64][KV_PAGE]; /* what each page's positions hold */
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

static void check_content(const struct live *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(written[l->seq.pages[i / KV_PAGE]][i % KV_PAGE], l->names[i]);
}

static void audit(const struct live *lives)
{
    size_t n_free = 0, n_cached = 0, n_promised = 0, n_growth = 0, n_refs[64] = {0};
    for (uint32_t i = kv->first_free; i != NONE; i = kv->pages[i].newer, n_free++)
        ck_assert(kv->pages[i].n_refs == 0 && !kv->pages[i].indexed);
    for (uint32_t i = kv->oldest; i != NONE; i = kv->pages[i].newer, n_cached++)
        ck_assert(kv->pages[i].n_refs == 0 && kv->pages[i].indexed);
    for (size_t i = 0; i < MAX_SEQUENCES; i++) {
        if (!lives[i].on)
            continue;
        n_promised += lives[i].seq.n_promised;
        n_growth += lives[i].seq.n_growth;
        ck_assert_uint_ge(lives[i].seq.n_pages + lives[i].seq.n_promised + lives[i].seq.n_growth,
                          kv_pages_for(lives[i].n_max));
        for (size_t p = 0; p < lives[i].seq.n_pages; p++)
            n_refs[lives[i].seq.pages[p]]++;
    }
    size_t n_used = 0;
    for (size_t i = 0; i < kv->n_pages; i++) {
        ck_assert_uint_eq(kv->pages[i].n_refs, n_refs[i]);
        n_used += n_refs[i] > 0;
    }
    ck_assert_uint_eq(n_free, kv->n_free);
    ck_assert_uint_eq(n_cached, kv->n_cached);
    ck_assert_uint_eq(n_used + n_free + n_cached, kv->n_pages);
    ck_assert_uint_eq(n_promised, kv->n_promised);
    ck_assert_uint_eq(n_growth, kv->n_growth);
    ck_assert_uint_le(n_promised, n_free + n_cached);
    ck_assert_uint_eq(stats_now().n_used, n_used);
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
    bool fits = kv_fits(kv, l->salt, l->tokens, l->n_prompt, l->n_max, &seen);
    l->on = kv_begin(kv, &l->seq, l->salt, l->tokens, l->n_prompt, l->n_max, &l->n_cached);
    ck_assert_int_eq(fits, l->on);
    if (!l->on)
        return;
    ck_assert_uint_eq(l->n_cached, expected);
    ck_assert_uint_lt(l->n_cached, l->n_prompt);
    check_content(l, l->n_cached);
}

/* Room for n more, for which the youngest others give way. False: it was the youngest itself. */
static bool grow(struct live *lives, struct live *l, size_t n)
{
    bool promised = l->seq.n_positions < l->n_prompt;
    while (!kv_extend(kv, &l->seq, n)) {
        ck_assert(!promised);
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
    for (size_t i = at; i < at + n; i++)
        if (i >= l->n_prompt)
            l->tokens[i] = (int32_t)random_below(state, 2) * 9;
    name_positions(l, at + n);
    if (!grow(lives, l, n))
        return;
    for (size_t i = at; i < at + n; i++) {
        uint32_t page = l->seq.pages[i / KV_PAGE];
        ck_assert_uint_eq(kv->pages[page].n_refs, 1); /* never written while shared */
        ck_assert(!kv->pages[page].indexed);
        written[page][i % KV_PAGE] = l->names[i];
    }
    kv_commit(kv, &l->seq, l->tokens, at + n);
    check_content(l, at + n);
}

START_TEST(any_load_keeps_the_promises_and_the_content)
{
    static const unsigned long long masks[] = {UINT64_MAX, 7, 0};
    static struct live lives[MAX_SEQUENCES];
    uint64_t state = 100 + (uint64_t)_i;
    hash_mask = masks[_i];
    open_pages(40, true);
    memset(lives, 0, sizeof lives);
    size_t n_begun = 0, n_hits = 0;
    n_preempted = 0;
    for (int round = 0; round < 12000; round++) {
        struct live *l = &lives[random_below(&state, MAX_SEQUENCES)];
        if (!l->on) {
            begin_random(l, &state);
            l->begun = round;
            n_begun += l->on;
            n_hits += l->on && l->n_cached > 0;
        } else if (random_below(&state, 30) == 0 || l->seq.n_positions == l->n_max) {
            kv_end(kv, &l->seq);
            l->on = false;
        } else {
            advance(lives, l, &state);
        }
        audit(lives);
    }
    ck_assert_uint_gt(n_begun, 500);
    ck_assert_uint_gt(n_hits, 100);
    ck_assert_uint_gt(n_preempted, 50);
}
END_TEST

/* --- growth --- */

static void open_growing(size_t n_pages)
{
    model =
        (struct model){.shape = {.n_layers = LAYERS, .n_kv_heads = KV_HEADS, .head_dim = HEAD_DIM},
                       .n_context = CONTEXT};
    struct error err;
    size_t page = kv_page_bytes(&model.shape, KV_F16);
    ck_assert_int_eq(
        kv_create_growing(&kv, &model, KV_F16, n_pages * page, MAX_SEQUENCES, true, &err),
        STATUS_OK);
}

static void grow_by(size_t n)
{
    ck_assert(kv_take_memory(kv, n));
    kv_grow(kv, n);
}

START_TEST(a_growing_cache_has_what_was_taken_and_no_more)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    open_growing(1000);
    ck_assert_uint_eq(stats_now().n_there, 0);
    ck_assert_uint_eq(stats_now().n_pages, 1000);
    ck_assert(!kv_begin(kv, &seq, 0, tokens, 1, 1, &n_cached));
    size_t step = kv_wants(kv, false);
    ck_assert_uint_ge(step, 2 * MIB / kv->page_bytes);
    grow_by(3);
    ck_assert_uint_eq(stats_now().n_there, 3);
    ck_assert(kv_begin(kv, &seq, 0, tokens, 96, 96, &n_cached));
    kv_extend(kv, &seq, 96);
    for (size_t i = 0; i < 3; i++)
        memset(kv_block(kv, seq.pages[i], 0, 0), 1, kv->page_bytes); /* they are memory */
    struct kv_seq other = {0};
    ck_assert(!kv_fits(kv, 0, tokens, 1, 1, &n_cached));
    grow_by(1);
    ck_assert(kv_begin(kv, &other, 0, tokens, 1, 1, &n_cached));
    kv_commit(kv, &seq, tokens, 96);
    kv_end(kv, &seq);
    kv_end(kv, &other);
    ck_assert_uint_eq(run_sequence(0, tokens, 96), 64);
    grow_by(996);
    ck_assert_uint_eq(stats_now().n_there, 1000);
    ck_assert_uint_eq(kv_wants(kv, false), 0);
    ck_assert_uint_eq(kv_wants(kv, true), 0);
    kv_clear(kv);
    ck_assert_uint_eq(run_sequence(0, tokens, 96), 0);
}
END_TEST

START_TEST(memory_is_wanted_ahead_of_need_and_while_a_job_waits)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    open_growing(2000);
    size_t step = kv_wants(kv, false);
    grow_by(step);
    ck_assert_uint_eq(kv_wants(kv, false), 0);
    ck_assert_uint_eq(kv_wants(kv, true), step);
    ck_assert(kv_begin(kv, &seq, 0, tokens, 1, 33, &n_cached)); /* promised, not yet taken */
    ck_assert_uint_eq(kv_wants(kv, false), step);
    kv_end(kv, &seq);
    ck_assert_uint_eq(kv_wants(kv, false), 0);
    grow_by(2000 - step - 1);
    ck_assert_uint_eq(kv_wants(kv, true), 1); /* never beyond the budget */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv");
    TCase *tc = tcase_create("kv");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_prompt_seen_before_is_found_but_for_its_last_token, 0, 8);
    tcase_add_test(tc, another_salt_finds_nothing);
    tcase_add_test(tc, equal_pages_after_different_ones_are_not_confused);
    tcase_add_test(tc, without_the_prefix_cache_nothing_is_kept);
    tcase_add_test(tc, live_sequences_share_pages);
    tcase_add_test(tc, pages_made_twice_at_once_become_one);
    tcase_add_test(tc, a_prompt_being_read_gains_what_another_has_read_meanwhile);
    tcase_add_test(tc, the_least_recently_used_prefix_is_given_up_first_and_from_its_end);
    tcase_add_test(tc, a_page_that_is_written_anew_is_never_found_under_its_old_name);
    tcase_add_test(tc, what_was_promised_is_there_however_full_it_is);
    tcase_add_test(tc, growth_takes_what_is_free_and_never_what_is_promised);
    tcase_add_test(tc, growth_gives_up_the_prefix_cache_first);
    tcase_add_test(tc, a_sequence_begins_where_all_have_room_to_grow);
    tcase_add_test(tc, no_table_no_sequence);
    tcase_add_test(tc, clearing_forgets_everything);
    tcase_add_test(tc, blocks_lie_apart_and_within_their_page);
    tcase_add_test(tc, a_budget_below_one_page_is_refused);
    tcase_add_loop_test(tc, any_load_keeps_the_promises_and_the_content, 0, 3);
    tcase_add_test(tc, a_growing_cache_has_what_was_taken_and_no_more);
    tcase_add_test(tc, memory_is_wanted_ahead_of_need_and_while_a_job_waits);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
