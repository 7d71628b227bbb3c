/* test_kv.c - the paged cache: what is shared, what is given up, and that promises are kept under
 * any load, growing beyond them included.
 *
 * The cache's source is included, so that its books can be audited and its hashes made to collide.
 */
#include "core/forward/kv_test.h"

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
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
    ck_assert(!kv_begin(kv, &b, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
    kv_extend(kv, &a, 100);
    kv_commit(kv, &a, tokens, 100);
    ck_assert(kv_fits(kv, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
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
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
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
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens, 130, 140, &n_cached));
    ck_assert(kv_begin(kv, &b, 0, SIZE_MAX, tokens, 130, 140, &n_cached));
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

START_TEST(no_table_no_sequence)
{
    int32_t token = 1;
    struct kv_seq seqs[MAX_SEQUENCES + 1] = {0};
    size_t n_cached;
    open_pages(64, true);
    for (size_t i = 0; i < MAX_SEQUENCES; i++)
        ck_assert(kv_begin(kv, &seqs[i], 0, SIZE_MAX, &token, 1, 1, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[MAX_SEQUENCES], 0, SIZE_MAX, &token, 1, 1, &n_cached));
    for (size_t i = 0; i < MAX_SEQUENCES; i++)
        kv_end(kv, &seqs[i]);
    ck_assert(kv_begin(kv, &seqs[0], 0, SIZE_MAX, &token, 1, 1, &n_cached));
    ck_assert(!kv_begin(kv, &seqs[1], 0, SIZE_MAX, &token, 1, CONTEXT + 1, &n_cached));
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
    make_model(PLAIN);
    size_t page = kv_page_bytes(&model.shape, KV_F32);
    ck_assert_int_eq(kv_create(&kv, &model, KV_F32, page - 1, 1, true, &err), STATUS_INVALID);
    ck_assert_ptr_null(kv);
}
END_TEST

/* --- the three kinds of memory --- */

START_TEST(layers_have_their_own_shapes_in_each_kind_of_memory)
{
    make_model(WINDOWS);
    const size_t full = page_head_bytes(KV_F16, HEAD_DIM), windowed = page_head_bytes(KV_F16, 32);
    open_kind(WINDOWS, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 2), true);
    ck_assert_uint_eq(kv->map.page_bytes, LAYERS * KV_HEADS * full);
    ck_assert_uint_eq(kv->map.window_bytes, windowed);
    /* 70 positions, the row's own included, touch four pages at most. */
    ck_assert_uint_eq(kv->map.window_pages, 4);
    kv_destroy(kv);
    make_model(STATES);
    open_kind(STATES, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 2), true);
    ck_assert_uint_eq(kv->map.state_bytes, delta_floats(&model.shape.delta) * sizeof(float));
    ck_assert_uint_eq(kv->map.state_bytes % 64, 0);
}
END_TEST

/* By hand: 512 positions of window, 4,096 of context. */
START_TEST(windows_are_bounded_whatever_the_context)
{
    make_model(WINDOWS);
    model.shape.layers[LAYERS].window = 512;
    struct kv_map map;
    kv_map_of(&map, NULL, &model.shape, KV_F16, 4096);
    ck_assert_uint_eq(map.window_pages, 17);
    const size_t one = 128 * map.page_bytes + (17 + 8) * map.window_bytes;
    ck_assert_uint_eq(kv_bytes_for(&model.shape, KV_F16, 4096, 1), one);
    struct kv_division d;
    kv_divide(&d, &map, 4096, one);
    ck_assert_uint_eq(d.n_pages, 128);
    ck_assert_uint_eq(d.n_windows, 25);
    ck_assert_uint_eq(d.bytes, one);
    /* A context that a window holds has none. */
    kv_map_of(&map, NULL, &model.shape, KV_F16, 512);
    ck_assert_uint_eq(map.window_bytes, 0);
}
END_TEST

START_TEST(any_budget_is_divided_within_itself_and_the_same_again)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct kv_map map;
        make_model((enum kind)kind);
        kv_map_of(&map, NULL, &model.shape, KV_F16, CONTEXT);
        for (size_t budget = 1000; budget < 40 * kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1);
             budget += budget / 7) {
            struct kv_division d, again;
            kv_divide(&d, &map, CONTEXT, budget);
            ck_assert_uint_le(d.bytes, budget);
            kv_divide(&again, &map, CONTEXT, d.bytes);
            ck_assert_mem_eq(&again, &d, sizeof d);
            ck_assert_uint_eq(kv_windows_at(&map, &d, d.n_pages), d.n_windows);
            ck_assert_uint_eq(kv_states_at(&d, d.n_pages), d.n_states);
            for (size_t n = 1; n <= d.n_pages; n++) {
                size_t least = n < map.window_pages ? n : map.window_pages;
                ck_assert_uint_ge(kv_windows_at(&map, &d, n), least);
                ck_assert_uint_ge(kv_states_at(&d, n), map.state_bytes > 0);
            }
        }
    }
}
END_TEST

START_TEST(a_window_moves_on_and_gives_back_what_is_out_of_view)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    make_model(WINDOWS);
    open_kind(WINDOWS, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1), false);
    ck_assert(kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 1, CONTEXT, &n_cached));
    for (size_t n = 0; n < CONTEXT; n++) {
        ck_assert(kv_extend(kv, &seq, 1));
        ck_assert_uint_le(stats_now().n_windows_used, kv->map.window_pages);
        for (size_t i = n + 1 > WINDOW ? n + 1 - WINDOW : 0; i <= n; i += KV_PAGE)
            ck_assert_uint_ne(kv->window_of[seq.pages[i / KV_PAGE]], KV_NONE);
        kv_commit(kv, &seq, tokens, n + 1);
    }
    ck_assert_uint_eq(stats_now().n_used, CONTEXT / KV_PAGE);
    kv_end(kv, &seq);
    ck_assert_uint_eq(stats_now().n_windows_used, 0);
}
END_TEST

START_TEST(a_prefix_is_found_as_far_as_its_window_is_there)
{
    int32_t tokens[CONTEXT], others[CONTEXT];
    fill(tokens, CONTEXT, 1);
    fill(others, CONTEXT, 9000);
    make_model(WINDOWS);
    open_kind(WINDOWS, 3 * kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1), true);
    ck_assert_uint_eq(run_sequence(0, tokens, 400), 0);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 400), 384);
    /* All windows that are kept go to another text: its pages are there, and serve no more. */
    run_sequence(0, others, CONTEXT);
    while (kv->windows.n_kept > 0) {
        uint32_t oldest = kv->windows.oldest;
        pool_drop(&kv->windows, oldest);
        detach_window(kv, oldest);
    }
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 400), 0);
    /* Computed again, its pages are the old ones, with new windows. */
    ck_assert_uint_eq(run_sequence(0, tokens, 400), 0);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 400), 384);
}
END_TEST

START_TEST(a_state_is_kept_at_the_end_of_a_prompt_and_of_a_turn)
{
    int32_t tokens[CONTEXT];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, CONTEXT, 1);
    make_model(STATES);
    open_kind(STATES, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 8), true);
    ck_assert(kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 100, 300, &n_cached));
    ck_assert_uint_eq(kv_room(kv, &seq, 100), 96); /* the step ends there */
    for (size_t n = 0, room; n < 300; n += room) {
        room = n < 100 ? kv_room(kv, &seq, 100 - n) : 1;
        ck_assert(kv_extend(kv, &seq, room));
        kv_commit(kv, &seq, tokens, n + room);
        ck_assert_uint_le(stats_now().n_states_used, 2);
    }
    kv_end(kv, &seq);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 98), 96);
    ck_assert_uint_eq(kv_match(kv, 0, tokens, 280), 96); /* of a turn only the last one stays */
    ck_assert_uint_eq(kv_match(kv, 0, tokens, CONTEXT), 288);
    ck_assert_uint_eq(stats_now().n_states_kept, 2);
}
END_TEST

START_TEST(a_state_is_kept_where_texts_part)
{
    int32_t a[300], b[300], c[300];
    fill(a, 300, 1);
    make_model(STATES);
    open_kind(STATES, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 8), true);
    memcpy(b, a, sizeof b);
    memcpy(c, a, sizeof c);
    for (size_t i = 140; i < 300; i++) {
        b[i] += 5000;
        c[i] += 9000;
    }
    ck_assert_uint_eq(run_sequence(0, a, 300), 0);
    ck_assert_uint_eq(run_sequence(0, b, 300), 0); /* finds out how long the common part is */
    ck_assert_uint_eq(run_sequence(0, c, 300), 128);
}
END_TEST

START_TEST(no_state_no_sequence_and_one_is_enough)
{
    int32_t tokens[3][100];
    struct kv_seq a = {0}, b = {0};
    size_t n_cached;
    for (int i = 0; i < 3; i++)
        fill(tokens[i], 100, 1000 * i);
    make_model(STATES);
    open_kind(STATES, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 1), true);
    ck_assert_uint_eq(stats_now().n_states, 1);
    ck_assert(kv_begin(kv, &a, 0, SIZE_MAX, tokens[0], 100, 128, &n_cached));
    ck_assert(!kv_fits(kv, 0, SIZE_MAX, tokens[1], 100, 128, &n_cached));
    ck_assert(!kv_begin(kv, &b, 0, SIZE_MAX, tokens[1], 100, 128, &n_cached));
    kv_end(kv, &a);
    for (int i = 0; i < 3; i++)
        run_sequence(0, tokens[i], 100);
    ck_assert_uint_eq(stats_now().n_states_used, 0);
}
END_TEST

/* The only state is one that is kept: it becomes the sequence's own. */
START_TEST(a_kept_state_is_taken_over_where_there_is_no_other)
{
    int32_t tokens[100];
    struct kv_seq seq = {0};
    size_t n_cached;
    fill(tokens, 100, 1);
    make_model(STATES);
    open_kind(STATES, kv_bytes_for(&model.shape, KV_F16, CONTEXT, 2), true);
    ck_assert_uint_ge(stats_now().n_states, 2);
    run_sequence(0, tokens, 100);
    ck_assert_uint_eq(stats_now().n_states_kept, 1);
    kv->states.n_claimed += pool_unclaimed(&kv->states) - 1; /* others' */
    ck_assert(kv_begin(kv, &seq, 0, SIZE_MAX, tokens, 100, 128, &n_cached));
    ck_assert_uint_eq(n_cached, 96);
    ck_assert_uint_eq(seq.from, seq.state);
    ck_assert_uint_eq(stats_now().n_states_kept, 0);
    ck_assert(kv_extend(kv, &seq, 4));
    kv_commit(kv, &seq, tokens, 100);
    kv_end(kv, &seq);
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
    tcase_add_test(tc, no_table_no_sequence);
    tcase_add_test(tc, clearing_forgets_everything);
    tcase_add_test(tc, blocks_lie_apart_and_within_their_page);
    tcase_add_test(tc, a_budget_below_one_page_is_refused);
    tcase_add_test(tc, layers_have_their_own_shapes_in_each_kind_of_memory);
    tcase_add_test(tc, windows_are_bounded_whatever_the_context);
    tcase_add_test(tc, any_budget_is_divided_within_itself_and_the_same_again);
    tcase_add_test(tc, a_window_moves_on_and_gives_back_what_is_out_of_view);
    tcase_add_test(tc, a_prefix_is_found_as_far_as_its_window_is_there);
    tcase_add_test(tc, a_state_is_kept_at_the_end_of_a_prompt_and_of_a_turn);
    tcase_add_test(tc, a_state_is_kept_where_texts_part);
    tcase_add_test(tc, no_state_no_sequence_and_one_is_enough);
    tcase_add_test(tc, a_kept_state_is_taken_over_where_there_is_no_other);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
