/* test_kv_growth.c - facts about sequences that grow, and about memory that is taken ahead of need.
 */
#include "core/forward/kv_test.h"

START_TEST(what_was_promised_is_there_however_full_it_is)
{
    int32_t tokens[512];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    fill(tokens, 512, 1);
    open_pages(10, true);
    run_sequence(0, tokens, 320);                                          /* ten cached pages */
    ck_assert(kv_begin(kv, &a, 9, SIZE_MAX, tokens, 200, 200, &n_cached)); /* promises 7 */
    ck_assert(!kv_begin(kv, &b, 9, SIZE_MAX, tokens + 100, 100, 100, &n_cached));
    ck_assert(kv_begin(kv, &b, 9, SIZE_MAX, tokens + 100, 96, 96, &n_cached));
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
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens, 32, 320,
                       &n_cached)); /* one page now, ten in the end */
    ck_assert(kv_begin(kv, &b, 9, SIZE_MAX, tokens, 128, 128, &n_cached));
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
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens, 1, 320, &n_cached));
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
        ck_assert(kv_begin(kv, &seqs[i], 0, SIZE_MAX, tokens, 33, 64, &n_cached));
    for (size_t i = 0; i < 4; i++)
        kv_end(kv, &seqs[i]);
    /* Alone it may come to need everything; a second one must leave a page to each. */
    ck_assert(kv_begin(kv, &seqs[0], 0, SIZE_MAX, tokens, 128, 256, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[1], 0, SIZE_MAX, tokens, 65, 256, &n_cached)); /* 4 + 3 + 2 > 8 */
    ck_assert(kv_begin(kv, &seqs[1], 0, SIZE_MAX, tokens, 64, 256, &n_cached));
    kv_end(kv, &seqs[0]);
    kv_end(kv, &seqs[1]);
    ck_assert(!kv_begin(kv, &seqs[0], 0, SIZE_MAX, tokens, 1, 257, &n_cached)); /* never */
}
END_TEST

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 3000 }; /* a sanitizer makes them ten times slower */
#else
enum { ROUNDS = 12000 };
#endif
enum { MEMORY_ROUNDS = ROUNDS / 3 };

START_TEST(any_load_keeps_the_promises_and_the_content)
{
    static const unsigned long long masks[] = {UINT64_MAX, 7, 0};
    static struct live lives[MAX_SEQUENCES];
    uint64_t state = 100 + (uint64_t)_i;
    hash_mask = masks[_i % 3];
    make_model((enum kind)(_i / 3));
    open_kind((enum kind)(_i / 3), kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1) * 5 / 2, true);
    ck_assert_uint_le(kv_n_pages(kv), MOST_PAGES);
    memset(lives, 0, sizeof lives);
    size_t n_begun = 0, n_hits = 0;
    n_preempted = 0;
    for (int round = 0; round < ROUNDS; round++) {
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
    ck_assert_uint_gt(n_begun, ROUNDS / 30);
    if (kv->map.state_bytes == 0)
        ck_assert_uint_gt(n_hits, ROUNDS / 120);
    else if (ROUNDS > 10000) /* a snapshot is seldom met again */
        ck_assert_uint_gt(n_hits, 0);
    ck_assert_uint_gt(n_preempted, ROUNDS > 10000 ? 15 : 1);
}
END_TEST

/* What went back to the system has lost what was written there. */
static void poison_away(const struct kv_pool *pool, uint64_t *content, size_t n_each)
{
    for (uint32_t i = pool->first_away; i != KV_NONE; i = pool->slots[i].newer)
        memset(content + i * n_each, 0xee, n_each * sizeof *content);
}

START_TEST(any_load_bears_memory_that_comes_and_goes)
{
    static struct live lives[MAX_SEQUENCES];
    uint64_t state = 500 + (uint64_t)_i;
    make_model((enum kind)_i);
    const size_t budget = kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1) * 5 / 2;
    open_steps((enum kind)_i, budget, 4 * kv_page_bytes(&model.shape, KV_F16));
    ck_assert_uint_le(kv_n_pages(kv), MOST_PAGES);
    memset(lives, 0, sizeof lives);
    random_takes = true;
    n_preempted = 0;
    grow_by(kv->step_pages);
    size_t n_begun = 0, n_given = 0, most_there = 0;
    for (int round = 0; round < MEMORY_ROUNDS; round++) {
        struct live *l = &lives[random_below(&state, MAX_SEQUENCES)];
        const size_t before = stats_now().n_there;
        if (random_below(&state, 40) == 0) {
            const size_t n_bytes = random_below(&state, (uint32_t)budget);
            const bool gives = kv_give_back(kv, n_bytes) > 0;
            poison_away(&kv->pages, written[0], KV_PAGE);
            poison_away(&kv->windows, written_windows[0], KV_PAGE);
            poison_away(&kv->states, written_states, 1);
            ck_assert(stats_now().n_there >= kv->step_pages);
            ck_assert(gives || stats_now().n_there == before);
            n_given += before - stats_now().n_there;
        } else if (!l->on) {
            begin_random(l, &state);
            l->begun = round;
            n_begun += l->on;
            if (!l->on && kv_wants(kv, true) > 0)
                grow_by(kv_wants(kv, true));
        } else if (random_below(&state, 30) == 0 || l->seq.n_positions == l->n_max) {
            kv_end(kv, &l->seq);
            l->on = false;
        } else {
            advance(lives, l, &state);
        }
        audit(lives);
        most_there = stats_now().n_there > most_there ? stats_now().n_there : most_there;
    }
    random_takes = false;
    ck_assert_uint_gt(n_begun, MEMORY_ROUNDS / 60);
    ck_assert_uint_gt(n_given, MEMORY_ROUNDS / 60);
    ck_assert_uint_eq(most_there, kv_n_pages(kv));
}
END_TEST

/* Free pages first, then those whose last use is longest ago; never what is held or promised. */
START_TEST(memory_goes_back_in_the_order_of_its_use)
{
    int32_t tokens[3][320];
    struct kv_seq live = {0};
    size_t n_cached;
    const size_t page = plain_pages(1);
    open_steps(PLAIN, 64 * page, 2 * page);
    grow_by(40);
    for (int i = 0; i < 3; i++) { /* ten pages each */
        fill(tokens[i], 320, 1000 * i);
        run_sequence(0, tokens[i], 320);
    }
    ck_assert(kv_begin(kv, &live, 0, SIZE_MAX, tokens[0], 320, 320, &n_cached)); /* the oldest */
    ck_assert_uint_eq(n_cached, 288);
    ck_assert_uint_eq(kv_give_back(kv, 9 * page), 9 * page); /* 9 are free and not promised */
    ck_assert_uint_eq(stats_now().n_cached, 21);
    const size_t given = kv_give_back(kv, 9 * page);
    ck_assert_uint_eq(given, 9 * page);
    ck_assert_uint_eq(kv_match(kv, 0, tokens[2], 320), 288); /* used later than the second */
    ck_assert_uint_lt(kv_match(kv, 0, tokens[1], 320), 288);
    (void)kv_give_back(kv, SIZE_MAX / 2);
    ck_assert_uint_eq(stats_now().n_there, 10); /* nine held, one promised */
    ck_assert_uint_eq(stats_now().n_used, 9);
    ck_assert(kv_extend(kv, &live, 32));
    kv_commit(kv, &live, tokens[0], 320);
    kv_end(kv, &live);
    (void)kv_give_back(kv, SIZE_MAX / 2);
    ck_assert_uint_eq(stats_now().n_there, 2); /* the first step's stay */
    grow_by(62);
    ck_assert_uint_eq(stats_now().n_there, 64);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_le(run_sequence(0, tokens[i], 320), 64); /* of the two that stayed */
    ck_assert_uint_eq(run_sequence(0, tokens[1], 320), 288);
}
END_TEST

START_TEST(a_growing_cache_has_what_was_taken_and_no_more)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    open_growing(PLAIN, plain_pages(1000));
    ck_assert_uint_eq(stats_now().n_there, 0);
    ck_assert_uint_eq(stats_now().n_pages, 1000);
    ck_assert(!kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 1, 1, &n_cached));
    size_t step = kv_wants(kv, false);
    ck_assert_uint_ge(step, 2 * MIB / kv->map.page_bytes);
    grow_by(3);
    ck_assert_uint_eq(stats_now().n_there, 3);
    ck_assert(kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 96, 96, &n_cached));
    kv_extend(kv, &seq, 96);
    for (size_t i = 0; i < 3; i++)
        memset(kv_block(kv, seq.pages[i], 0, 0), 1, kv->map.page_bytes); /* they are memory */
    struct kv_seq other = {0};
    ck_assert(!kv_fits(kv, 0, SIZE_MAX, tokens, 1, 1, &n_cached));
    grow_by(1);
    ck_assert(kv_begin(kv, &other, 0, SIZE_MAX, tokens, 1, 1, &n_cached));
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

/* Whatever is there, it is enough for one sequence. */
START_TEST(windows_and_states_grow_with_the_pages)
{
    int32_t tokens[CONTEXT];
    fill(tokens, CONTEXT, 1);
    for (int kind = WINDOWS; kind <= STATES; kind++) {
        make_model((enum kind)kind);
        open_growing((enum kind)kind, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 6));
        for (size_t n = 1; stats_now().n_there < stats_now().n_pages; n++) {
            grow_by(1);
            ck_assert_uint_eq(stats_now().n_there, n);
            size_t length = n * KV_PAGE < CONTEXT ? n * KV_PAGE : CONTEXT;
            run_sequence(n, tokens, length);
        }
        ck_assert_uint_eq(kv->windows.n_there, stats_now().n_windows);
        ck_assert_uint_eq(kv->states.n_there, stats_now().n_states);
        kv_destroy(kv);
        kv = NULL;
    }
}
END_TEST

START_TEST(memory_is_wanted_ahead_of_need_and_while_a_job_waits)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    open_growing(PLAIN, plain_pages(2000));
    size_t step = kv_wants(kv, false);
    grow_by(step);
    ck_assert_uint_eq(kv_wants(kv, false), 0);
    ck_assert_uint_eq(kv_wants(kv, true), step);
    ck_assert(
        kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 1, 33, &n_cached)); /* promised, not yet taken */
    ck_assert_uint_eq(kv_wants(kv, false), step);
    kv_end(kv, &seq);
    ck_assert_uint_eq(kv_wants(kv, false), 0);
    grow_by(2000 - step - 1);
    ck_assert_uint_eq(kv_wants(kv, true), 1); /* never beyond the budget */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_growth");
    TCase *tc = tcase_create("kv");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_was_promised_is_there_however_full_it_is);
    tcase_add_test(tc, growth_takes_what_is_free_and_never_what_is_promised);
    tcase_add_test(tc, growth_gives_up_the_prefix_cache_first);
    tcase_add_test(tc, a_sequence_begins_where_all_have_room_to_grow);
    tcase_add_loop_test(tc, any_load_keeps_the_promises_and_the_content, 0, 3 * KINDS);
    tcase_add_loop_test(tc, any_load_bears_memory_that_comes_and_goes, 0, KINDS);
    tcase_add_test(tc, memory_goes_back_in_the_order_of_its_use);
    tcase_add_test(tc, a_growing_cache_has_what_was_taken_and_no_more);
    tcase_add_test(tc, windows_and_states_grow_with_the_pages);
    tcase_add_test(tc, memory_is_wanted_ahead_of_need_and_while_a_job_waits);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
