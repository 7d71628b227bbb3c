/* test_cache.c - facts about the cache of grammars: made once, shared, bounded, and whoever holds
 * one keeps it. */
#include "grammar/cache.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, ROOM = 64 << 20 };

static struct vocabulary *vocabulary;
static char bytes[256];
static struct grammar_cache *cache;
static struct error err;

static void setup(void)
{
    struct vocabulary_piece pieces[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[i] = (struct vocabulary_piece){.bytes = &bytes[i], .n = 1};
    }
    ck_assert_int_eq(vocabulary_create(&vocabulary, pieces, 256, &err), STATUS_OK);
    ck_assert_int_eq(grammar_cache_create(&cache, ROOM, &err), STATUS_OK);
}

static void teardown(void)
{
    grammar_cache_destroy(cache);
    vocabulary_destroy(vocabulary);
}

/* Compiles the expression that ctx is; "!" fails. */
static enum status make(void *ctx, struct grammar **out, struct error *why)
{
    const char *regex = ctx;
    if (strcmp(regex, "!") == 0)
        return error_set(why, STATUS_INVALID, "it cannot be made");
    return grammar_compile(out, GRAMMAR_REGEX, regex, strlen(regex), vocabulary,
                           &grammar_limits_default, why);
}

static struct grammar *get(const char *regex)
{
    char copy[64];
    struct grammar *grammar = NULL;
    snprintf(copy, sizeof copy, "%s", regex);
    ck_assert_int_eq(grammar_cache_get(cache, regex, strlen(regex), make, copy, &grammar, &err),
                     STATUS_OK);
    ck_assert_ptr_nonnull(grammar);
    return grammar;
}

static struct grammar_cache_stats stats(void)
{
    struct grammar_cache_stats out;
    grammar_cache_stats(cache, &out);
    return out;
}

/* With only so much room from here on. */
static void make_small(size_t n_bytes)
{
    grammar_cache_destroy(cache);
    ck_assert_int_eq(grammar_cache_create(&cache, n_bytes, &err), STATUS_OK);
}

static bool has(const char *key)
{
    struct grammar *found = grammar_cache_find(cache, key, strlen(key));
    grammar_release(found);
    return found != NULL;
}

START_TEST(same_key_is_made_once)
{
    struct grammar *first = get("a+"), *second = get("a+"), *other = get("b+");
    ck_assert_ptr_eq(first, second);
    ck_assert_ptr_ne(first, other);
    ck_assert_uint_eq(stats().compiles, 2);
    ck_assert_uint_eq(stats().hits, 1);
    ck_assert_uint_gt(stats().n_bytes, 0);
    grammar_release(first);
    grammar_release(second);
    grammar_release(other);
}
END_TEST

START_TEST(keys_are_bytes_and_lengths)
{
    struct grammar *found[3] = {NULL, NULL, NULL};
    static const char keys[3][4] = {"a\0b", "a\0c", "a"};
    static const size_t n[3] = {3, 3, 1};
    char regex[] = "x";
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(grammar_cache_get(cache, keys[i], n[i], make, regex, &found[i], &err),
                         STATUS_OK);
    ck_assert_uint_eq(stats().compiles, 3);
    for (size_t i = 0; i < 3; i++)
        grammar_release(found[i]);
}
END_TEST

START_TEST(failures_are_told_and_not_kept)
{
    struct grammar *grammar = NULL;
    char bad[] = "!";
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(grammar_cache_get(cache, "!", 1, make, bad, &grammar, &err),
                         STATUS_INVALID);
        ck_assert_str_eq(err.text, "it cannot be made");
        ck_assert_ptr_null(grammar);
    }
    ck_assert(!has("!"));
    ck_assert_uint_eq(stats().compiles, 0);
    ck_assert_uint_eq(stats().n_bytes, 0);
}
END_TEST

START_TEST(longest_unused_goes_first)
{
    grammar_release(get("a"));
    const size_t one = stats().n_bytes;
    make_small(2 * one + one / 2);
    grammar_release(get("a"));
    grammar_release(get("b"));
    grammar_release(get("a")); /* now b is older */
    grammar_release(get("c"));
    ck_assert(has("a"));
    ck_assert(!has("b"));
    ck_assert(has("c"));
    ck_assert_uint_le(stats().n_bytes, 2 * one + one / 2);
}
END_TEST

START_TEST(references_outlive_the_cache)
{
    make_small(0);
    struct grammar *first = get("(ab)*"), *second = get("(ab)*");
    ck_assert_ptr_ne(first, second); /* nothing is kept */
    ck_assert_uint_eq(stats().n_bytes, 0);
    make_small(ROOM);
    struct grammar *kept = get("(ab)*");
    make_small(ROOM);
    struct matcher *m = NULL;
    struct grammar *const all[] = {first, second, kept};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(matcher_create(&m, all[i]->automaton, &err), STATUS_OK);
        ck_assert(matcher_take(m, "abab", 4));
        ck_assert(matcher_may_end(m));
        matcher_destroy(m);
        grammar_release(all[i]);
    }
}
END_TEST

START_TEST(kept_masks_count)
{
    struct grammar *grammar = get("[a-z]+[0-9]+");
    struct mask_scratch *scratch = NULL;
    struct matcher *m = NULL;
    uint64_t bits[4];
    const size_t before = grammar_bytes(grammar);
    ck_assert_int_eq(mask_scratch_create(&scratch, vocabulary, &err), STATUS_OK);
    ck_assert_int_eq(matcher_create(&m, grammar->automaton, &err), STATUS_OK);
    ck_assert_uint_eq(masks_fill(grammar->masks, m, scratch, bits), 26);
    ck_assert_uint_gt(grammar_bytes(grammar), before);
    const size_t old = stats().n_bytes;
    grammar_release(get("z")); /* all are measured again */
    struct grammar *other = get("z");
    ck_assert_uint_gt(stats().n_bytes - grammar_bytes(other), old);
    grammar_release(other);
    matcher_destroy(m);
    mask_scratch_destroy(scratch);
    grammar_release(grammar);
}
END_TEST

static pthread_barrier_t barrier;

static void *ask(void *ctx)
{
    pthread_barrier_wait(&barrier);
    *(struct grammar **)ctx = get("(one|two|three){1,40}");
    return NULL;
}

START_TEST(those_who_ask_at_once_get_one)
{
    pthread_t threads[THREADS];
    struct grammar *found[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, &found[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_ptr_eq(found[i], found[0]);
        grammar_release(found[i]);
    }
    ck_assert_uint_eq(stats().compiles, 1);
    ck_assert_uint_eq(stats().hits, THREADS - 1);
    pthread_barrier_destroy(&barrier);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tc = tcase_create("cache");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, same_key_is_made_once);
    tcase_add_test(tc, keys_are_bytes_and_lengths);
    tcase_add_test(tc, failures_are_told_and_not_kept);
    tcase_add_test(tc, longest_unused_goes_first);
    tcase_add_test(tc, references_outlive_the_cache);
    tcase_add_test(tc, kept_masks_count);
    tcase_add_test(tc, those_who_ask_at_once_get_one);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
