/* test_jobs.c - the registry of jobs: a request's jobs are its own all together or not at all, each
 * reader is told once how its job ended, and what loses its last reader is cancelled.
 *
 * The engine is a stand-in that takes jobs or refuses them; memory runs out when a test says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static size_t n_before_failure; /* allocations that still succeed */

static void *some_calloc(size_t n, size_t size)
{
    return n_before_failure-- > 0 ? calloc(n, size) : NULL;
}

#define calloc some_calloc
#include "server/jobs.c" /* NOLINT(bugprone-suspicious-include): with memory that runs out */
#undef calloc

#include <check.h>

enum { N = 4 };

static struct {
    enum status answer;
    size_t n_calls, n_jobs, n_cancelled;
    const struct job *cancelled;
} fake;

enum status engine_submit_all(struct engine *engine, struct job *const *list, size_t n,
                              uint64_t *retry_ms, struct error *err)
{
    (void)engine, (void)list;
    fake.n_calls++;
    fake.n_jobs += fake.answer == STATUS_OK ? n : 0;
    *retry_ms = 7000;
    return fake.answer == STATUS_OK ? STATUS_OK : error_set(err, fake.answer, "refused");
}

void engine_cancel(struct engine *engine, struct job *job)
{
    (void)engine;
    fake.n_cancelled++;
    fake.cancelled = job;
}

struct listener {
    struct job_reader reader; /* the first */
    size_t n_news, n_ends;
};

static struct jobs registry;
static struct job *list[N];
static struct listener listeners[N];
static struct job_reader *readers[N];

static bool on_news(struct job_reader *reader)
{
    ((struct listener *)(void *)reader)->n_news++;
    return false;
}

static bool on_end(struct job_reader *reader)
{
    ((struct listener *)(void *)reader)->n_ends++;
    return true;
}

static void open_all(void)
{
    registry = (struct jobs){0};
    memset(&fake, 0, sizeof fake);
    n_before_failure = SIZE_MAX;
    for (size_t i = 0; i < N; i++) {
        struct error err;
        ck_assert_int_eq(
            job_create(&list[i], &(struct job_size){.n_prompt = 1, .max_piece = 1}, &err),
            STATUS_OK);
        listeners[i] = (struct listener){.reader = {.news = on_news, .end = on_end}};
        readers[i] = &listeners[i].reader;
    }
}

static void submit_all(void)
{
    struct error err;
    uint64_t retry_ms;
    ck_assert_int_eq(jobs_submit(&registry, list, readers, N, &retry_ms, &err), STATUS_OK);
    ck_assert_uint_eq(registry.n, N);
}

/* Not the registry's: the caller frees them. */
static void check_untouched(void)
{
    ck_assert_uint_eq(registry.n, 0);
    ck_assert_ptr_null(registry.first);
    for (size_t i = 0; i < N; i++) {
        ck_assert_ptr_null(readers[i]->entry);
        ck_assert(!readers[i]->active);
    }
}

static void finish(size_t i)
{
    atomic_store(&list[i]->finished, true);
}

START_TEST(none_is_taken_where_memory_is_lacking_for_one)
{
    struct error err;
    uint64_t retry_ms;
    open_all();
    for (size_t k = 0; k < N; k++) {
        n_before_failure = k;
        ck_assert_int_eq(jobs_submit(&registry, list, readers, N, &retry_ms, &err),
                         STATUS_NO_MEMORY);
        check_untouched();
    }
    ck_assert_uint_eq(fake.n_calls, 0); /* the engine has seen none of them */
    for (size_t i = 0; i < N; i++)
        job_destroy(list[i]);
}
END_TEST

START_TEST(none_is_taken_where_the_engine_refuses)
{
    static const enum status answers[] = {STATUS_FULL, STATUS_TOO_LATE, STATUS_INVALID,
                                          STATUS_STOPPING};
    struct error err;
    uint64_t retry_ms = 0;
    open_all();
    for (size_t k = 0; k < sizeof answers / sizeof *answers; k++) {
        fake.answer = answers[k];
        ck_assert_int_eq(jobs_submit(&registry, list, readers, N, &retry_ms, &err), answers[k]);
        ck_assert_uint_eq(retry_ms, 7000);
        check_untouched();
    }
    for (size_t i = 0; i < N; i++)
        job_destroy(list[i]);
}
END_TEST

START_TEST(each_reader_is_told_of_its_own_job)
{
    open_all();
    finish(2); /* before the registry knows it: its reader is told all the same */
    submit_all();
    ck_assert_uint_eq(fake.n_calls, 1);
    ck_assert_uint_eq(fake.n_jobs, N);
    for (size_t i = 0; i < N; i++)
        ck_assert_ptr_eq(jobs_job(readers[i]->entry), list[i]);
    ck_assert(jobs_poll(&registry));
    finish(0);
    for (int k = 0; k < 3; k++)
        jobs_poll(&registry);
    for (size_t i = 0; i < N; i++)
        ck_assert_uint_eq(listeners[i].n_ends, i == 0 || i == 2);
    ck_assert_uint_eq(listeners[1].n_news, 4);
    finish(1);
    finish(3);
    jobs_poll(&registry);
    for (size_t i = 0; i < N; i++)
        jobs_detach(&registry, readers[i]);
    ck_assert_uint_eq(registry.n, 0);
    ck_assert_uint_eq(fake.n_cancelled, 0);
}
END_TEST

START_TEST(a_reader_that_goes_cancels_its_job_alone)
{
    open_all();
    submit_all();
    jobs_leave(&registry, readers[1]); /* waits for the end */
    ck_assert_uint_eq(fake.n_cancelled, 1);
    ck_assert_ptr_eq(fake.cancelled, list[1]);
    jobs_leave(&registry, readers[1]);
    ck_assert_uint_eq(fake.n_cancelled, 1);
    jobs_detach(&registry, readers[3]); /* does not */
    ck_assert_uint_eq(fake.n_cancelled, 2);
    ck_assert_ptr_eq(fake.cancelled, list[3]);
    ck_assert_uint_eq(registry.n, N); /* the engine still has them */
    for (size_t i = 0; i < N; i++)
        finish(i);
    jobs_poll(&registry);
    ck_assert_uint_eq(registry.n, N - 1);
    ck_assert_uint_eq(listeners[1].n_ends, 1);
    ck_assert_uint_eq(listeners[3].n_ends, 0);
    for (size_t i = 0; i < N; i++)
        jobs_detach(&registry, readers[i]); /* takes a reader of none */
    ck_assert_uint_eq(registry.n, 0);
}
END_TEST

/* As a request whose client has left: it waits for the last of its jobs, and lets go of all. */
static bool on_last_end(struct job_reader *reader)
{
    on_end(reader);
    for (size_t i = 0; i < N; i++)
        if (!listeners[i].n_ends)
            return false;
    for (size_t i = 0; i < N; i++)
        jobs_detach(&registry, readers[i]);
    return false;
}

START_TEST(the_end_of_one_job_may_let_go_of_all)
{
    for (size_t last = 0; last < N; last++) {
        open_all();
        for (size_t i = 0; i < N; i++)
            readers[i]->end = on_last_end;
        submit_all();
        for (size_t i = 0; i < N; i++)
            if (i != last)
                finish(i);
        jobs_poll(&registry);
        ck_assert_uint_eq(registry.n, N); /* its request reads them still */
        finish(last);
        jobs_poll(&registry);
        ck_assert_uint_eq(registry.n, 0);
        ck_assert_ptr_null(registry.first);
    }
}
END_TEST

/* The same with readers of one job, whichever of them is told first. */
START_TEST(the_end_for_one_reader_may_let_go_of_all)
{
    open_all();
    struct error err;
    uint64_t retry_ms;
    for (size_t i = 0; i < N; i++)
        readers[i]->end = on_last_end;
    ck_assert_int_eq(jobs_submit(&registry, list, readers, 1, &retry_ms, &err), STATUS_OK);
    for (size_t i = 1; i < N; i++)
        jobs_attach(readers[0]->entry, readers[i]);
    listeners[0].n_ends = listeners[1].n_ends = listeners[2].n_ends = 1; /* the first ends all */
    finish(0);
    jobs_poll(&registry);
    ck_assert_uint_eq(registry.n, 0);
    ck_assert_uint_eq(listeners[3].n_ends, 1);
    ck_assert_uint_eq(listeners[0].n_ends, 1); /* gone before their turn */
    for (size_t i = 1; i < N; i++)
        job_destroy(list[i]);
}
END_TEST

START_TEST(a_kept_job_outlives_its_readers)
{
    open_all();
    submit_all();
    ck_assert(jobs_keep(&registry, readers[0]->entry, "first"));
    ck_assert(!jobs_keep(&registry, readers[1]->entry, "first"));
    struct job_entry *kept = readers[0]->entry;
    for (size_t i = 0; i < N; i++)
        jobs_detach(&registry, readers[i]);
    ck_assert_uint_eq(fake.n_cancelled, N - 1);
    for (size_t i = 0; i < N; i++)
        finish(i);
    jobs_poll(&registry);
    ck_assert_uint_eq(registry.n, 1);
    ck_assert_ptr_eq(jobs_find(&registry, "first"), kept);
    struct job_reader late = {.news = on_news, .end = on_end};
    jobs_attach(kept, &late);
    ck_assert(late.ended);
    jobs_let_go(&registry, kept);
    ck_assert_uint_eq(registry.n, 1); /* it is read */
    jobs_detach(&registry, &late);
    ck_assert_uint_eq(registry.n, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobs");
    TCase *tc = tcase_create("jobs");
    tcase_add_test(tc, none_is_taken_where_memory_is_lacking_for_one);
    tcase_add_test(tc, none_is_taken_where_the_engine_refuses);
    tcase_add_test(tc, each_reader_is_told_of_its_own_job);
    tcase_add_test(tc, a_reader_that_goes_cancels_its_job_alone);
    tcase_add_test(tc, the_end_of_one_job_may_let_go_of_all);
    tcase_add_test(tc, the_end_for_one_reader_may_let_go_of_all);
    tcase_add_test(tc, a_kept_job_outlives_its_readers);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
