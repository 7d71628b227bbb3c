/* test_arena.c - facts about arenas, the checked arithmetic beneath them, and the counter of
 * allocations. */
#include "base/alloc_count.h"
#include "base/arena.h"
#include "base/checked.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

START_TEST(pieces_are_zeroed_aligned_and_apart)
{
    struct arena arena;
    struct error err;
    ck_assert_int_eq(arena_init(&arena, 1000, "a test", &err), STATUS_OK);
    uint8_t *a = arena_alloc(&arena, 1, 1), *b = arena_alloc(&arena, 10, 10);
    ck_assert(a != NULL && b == a + 64);
    ck_assert_uint_eq((uintptr_t)a % ARENA_ALIGN, 0);
    for (size_t i = 0; i < 100; i++)
        ck_assert_uint_eq(b[i], 0);
    arena_free(&arena);
    ck_assert_ptr_null(arena.base);
    arena_free(&arena);
}
END_TEST

START_TEST(a_full_arena_says_so_and_stays_as_it_was)
{
    struct arena arena;
    struct error err;
    ck_assert_int_eq(arena_init(&arena, 256, "a test", &err), STATUS_OK);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100, 1));
    size_t used = arena.n_used;
    ck_assert_ptr_null(arena_alloc(&arena, 129, 1)); /* 128 + 129 */
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX, 2));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX, 1));
    ck_assert_uint_eq(arena.n_used, used);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 128, 1));
    ck_assert_ptr_null(arena_alloc(&arena, 1, 1));
    arena_free(&arena);
    ck_assert_ptr_null(arena_alloc(&arena, 1, 1));
}
END_TEST

START_TEST(measuring_and_carving_agree)
{
    static const size_t sizes[][2] = {{1, 1}, {10, 10}, {0, 8}, {64, 1}, {3, 100}};
    struct arena arena = {.base = NULL};
    struct error err;
    for (size_t i = 0; i < 5; i++)
        ck_assert_ptr_null(arena_carve(&arena, sizes[i][0], sizes[i][1]));
    size_t needed = arena.n_used;
    ck_assert_uint_eq(needed, 64 + 128 + 0 + 64 + 320);
    ck_assert_int_eq(arena_init(&arena, needed, "a test", &err), STATUS_OK);
    for (size_t i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(arena_carve(&arena, sizes[i][0], sizes[i][1]));
    ck_assert_ptr_null(arena_carve(&arena, 64, 1));
    arena_free(&arena);
    struct arena huge = {.base = NULL};
    arena_carve(&huge, SIZE_MAX, 2);
    ck_assert_uint_eq(huge.n_used, SIZE_MAX);
    arena_carve(&huge, 1, 1);
    ck_assert_uint_eq(huge.n_used, SIZE_MAX);
}
END_TEST

START_TEST(large_arenas_begin_on_2_mib)
{
    struct arena arenas[4];
    struct error err;
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(arena_init(&arenas[i], ((size_t)2 << 20) + i * 4096, "a test", &err),
                         STATUS_OK);
        ck_assert_uint_eq((uintptr_t)arenas[i].base % ((size_t)2 << 20), 0);
    }
    for (size_t i = 0; i < 4; i++)
        arena_free(&arenas[i]);
}
END_TEST

START_TEST(touching_keeps_what_was_written)
{
    struct arena arena;
    struct error err;
    ck_assert_int_eq(arena_init(&arena, (size_t)3 << 20, "a test", &err), STATUS_OK);
    uint8_t *p = arena_alloc(&arena, (size_t)3 << 20, 1);
    memset(p, 7, 10000);
    arena_touch(&arena, 3);
    ck_assert(p[0] == 7 && p[9999] == 7 && p[10000] == 0);
    arena_free(&arena);
    arena_touch(&arena, 3);
}
END_TEST

START_TEST(memory_that_is_not_there_is_an_error)
{
    struct arena arena = {.n_used = 77};
    struct error err;
    ck_assert_int_eq(arena_init(&arena, SIZE_MAX, "the moon", &err), STATUS_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "for the moon"));
    ck_assert_int_eq(arena_init(&arena, SIZE_MAX / 2, "the moon", &err), STATUS_NO_MEMORY);
    ck_assert_uint_eq(arena.n_used, 77); /* untouched */
}
END_TEST

START_TEST(an_empty_arena_is_an_arena)
{
    struct arena arena;
    struct error err;
    ck_assert_int_eq(arena_init(&arena, 0, "nothing", &err), STATUS_OK);
    ck_assert_ptr_null(arena_alloc(&arena, 1, 1));
    arena_free(&arena);
}
END_TEST

START_TEST(checked_arithmetic_says_when_it_cannot)
{
    size_t out = 5;
    ck_assert(checked_add(2, 3, &out) && out == 5);
    ck_assert(!checked_add(SIZE_MAX, 1, &out) && out == 5);
    ck_assert(checked_mul(6, 7, &out) && out == 42);
    ck_assert(!checked_mul(SIZE_MAX / 2, 3, &out) && out == 42);
    ck_assert(checked_align(33, 32, &out) && out == 64);
    ck_assert(checked_align(64, 32, &out) && out == 64);
    ck_assert(checked_align(0, 32, &out) && out == 0);
    ck_assert(!checked_align(SIZE_MAX - 3, 32, &out) && out == 0);
}
END_TEST

/* Calls that the compiler cannot leave out. */
static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile call_aligned_alloc)(size_t, size_t) = aligned_alloc;
static int (*volatile call_posix_memalign)(void **, size_t, size_t) = posix_memalign;

START_TEST(every_call_of_a_counted_thread_is_counted)
{
    uint64_t before = alloc_count();
    free(call_malloc(10));
    ck_assert_uint_eq(alloc_count(), before); /* not counted yet */

    alloc_count_enter();
    void *p = call_malloc(10);
    uint64_t after_malloc = alloc_count();
    p = call_realloc(p, 20);
    p = call_reallocarray(p, 3, 10);
    void *q = call_calloc(2, 10), *r = call_aligned_alloc(64, 64), *s = NULL;
    int failed = call_posix_memalign(&s, 64, 64);
    void *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t after_all = alloc_count();
    alloc_count_leave();

    ck_assert_uint_eq(after_malloc, before + 1);
    ck_assert_uint_eq(after_all, before + 7);
    ck_assert(failed == 0 && m != MAP_FAILED);
    free(p);
    free(q);
    free(r);
    free(s);
    munmap(m, 4096);
    free(call_malloc(10));
    ck_assert_uint_eq(alloc_count(), after_all); /* left */
}
END_TEST

static void *allocate_twice(void *arg)
{
    if (arg != NULL)
        alloc_count_enter();
    free(call_malloc(10));
    free(call_malloc(10));
    return NULL;
}

START_TEST(the_flag_is_a_threads_own_and_the_count_is_everybodys)
{
    uint64_t before = alloc_count();
    pthread_t counted, free_one;
    int yes = 1;
    ck_assert_int_eq(pthread_create(&counted, NULL, allocate_twice, &yes), 0);
    ck_assert_int_eq(pthread_create(&free_one, NULL, allocate_twice, NULL), 0);
    pthread_join(counted, NULL);
    pthread_join(free_one, NULL);
    ck_assert_uint_eq(alloc_count(), before + 2);
}
END_TEST

START_TEST(an_arena_of_a_counted_thread_is_counted_once_and_its_pieces_never)
{
    struct arena arena;
    struct error err;
    uint64_t before = alloc_count();
    alloc_count_enter();
    enum status status = arena_init(&arena, 100000, "a test", &err);
    uint64_t after_init = alloc_count();
    for (int i = 0; i < 100; i++)
        arena_alloc(&arena, 10, 10);
    alloc_count_leave();
    ck_assert_int_eq(status, STATUS_OK);
    ck_assert_uint_eq(after_init, before + 1);
    ck_assert_uint_eq(alloc_count(), before + 1);
    arena_free(&arena);
}
END_TEST

/* --- memory that is taken later --- */

static size_t usable(const struct arena *arena)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    unsigned char there[1 << 14];
    size_t n_pages = arena->n_used / page;
    ck_assert_uint_le(n_pages, sizeof there);
    ck_assert_int_eq(mincore(arena->base, arena->n_used, there), 0);
    for (size_t i = 0; i < n_pages; i++)
        n += there[i] & 1;
    return n * page;
}

START_TEST(reserved_memory_is_taken_from_front_to_back)
{
    struct arena arena;
    struct error err;
    const size_t n = (size_t)20 << 20;
    ck_assert_int_eq(arena_reserve(&arena, n, "a test", &err), STATUS_OK);
    ck_assert_uint_eq(arena.n_used, 0);
    for (size_t end = 1; end <= n; end += n / 7) {
        ck_assert(arena_extend(&arena, end));
        ck_assert_uint_ge(arena.n_used, end);
        ck_assert_uint_eq(usable(&arena), arena.n_used); /* there, not only promised */
        ck_assert_uint_eq(arena.base[end - 1], 0);
        arena.base[end - 1] = 7;
    }
    ck_assert(arena_extend(&arena, n));
    ck_assert(arena_extend(&arena, 5)); /* it never shrinks */
    ck_assert_uint_eq(arena.base[0], 7);
    ck_assert(!arena_extend(&arena, n + 1));
    arena_free(&arena);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* In a process of its own, as the limit stays. */
START_TEST(memory_that_cannot_be_had_leaves_what_is_there)
{
    struct arena arena;
    struct error err;
    const size_t mib = (size_t)1 << 20;
    struct rlimit limit;
    ck_assert_int_eq(arena_reserve(&arena, 512 * mib, "a test", &err), STATUS_OK);
    ck_assert(arena_extend(&arena, 2 * mib));
    arena.base[0] = 9;
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = 64 * mib;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert(!arena_extend(&arena, 512 * mib));
    ck_assert_uint_eq(arena.n_used, 2 * mib);
    ck_assert_uint_eq(arena.base[0], 9);
    ck_assert(arena_extend(&arena, 4 * mib)); /* so much can */
    arena.base[4 * mib - 1] = 9;
    arena_free(&arena);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, pieces_are_zeroed_aligned_and_apart);
    tcase_add_test(tc, a_full_arena_says_so_and_stays_as_it_was);
    tcase_add_test(tc, measuring_and_carving_agree);
    tcase_add_test(tc, large_arenas_begin_on_2_mib);
    tcase_add_test(tc, touching_keeps_what_was_written);
    tcase_add_test(tc, memory_that_is_not_there_is_an_error);
    tcase_add_test(tc, an_empty_arena_is_an_arena);
    tcase_add_test(tc, checked_arithmetic_says_when_it_cannot);
    tcase_add_test(tc, every_call_of_a_counted_thread_is_counted);
    tcase_add_test(tc, the_flag_is_a_threads_own_and_the_count_is_everybodys);
    tcase_add_test(tc, an_arena_of_a_counted_thread_is_counted_once_and_its_pieces_never);
    tcase_add_test(tc, reserved_memory_is_taken_from_front_to_back);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tc, memory_that_cannot_be_had_leaves_what_is_there);
#endif
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
