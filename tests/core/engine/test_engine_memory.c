/* test_engine_memory.c - KV memory that grows under load: what is taken at start, that every job is
 * served as ever, and that no compute thread takes memory.
 */
#include "engine_test.h"

#include <sys/resource.h>

enum { JOBS = 16 };

static size_t there(struct engine *engine)
{
    return stats_of(engine).kv.n_there;
}

START_TEST(a_fresh_engine_has_taken_a_step_of_its_memory)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    struct engine *engine = engine_open(&o);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_ge(s.kv.n_there, o.n_workers * kv_pages_for(world.model->n_context));
    ck_assert_uint_lt(s.kv.n_there, s.kv.n_pages / 2);
    ck_assert_uint_eq(s.kv.n_used + s.kv.n_cached, 0);
    struct request r = simple(4, 20, 1);
    job_destroy(run_request(engine, &r)); /* it fits into what is there */
    engine_destroy(engine);
}
END_TEST

START_TEST(more_jobs_than_memory_that_is_there_are_all_served_alike)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    struct engine *engine = engine_open(&o);
    size_t before = there(engine);
    struct job *jobs[JOBS];
    for (uint32_t i = 0; i < JOBS; i++) { /* each needs 16 pages: several times what is there */
        struct request r = simple(440, 60, 100 + i);
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < JOBS; i++) {
        wait_finished(engine, jobs[i]);
        ck_assert_int_eq(jobs[i]->finish, FINISH_LENGTH);
    }
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_gt(s.kv.n_there, before);
    ck_assert_uint_le(s.kv.n_there, s.kv.n_pages);
    ck_assert_uint_eq(s.allocations, 0);
    o.kv_bytes = 16 * kv_page_bytes(&world.model->shape, o.kv_type) * o.n_workers;
    struct engine *small = engine_open(&o); /* one at a time, all of it there from the start */
    ck_assert_uint_eq(there(small), 16 * o.n_workers);
    for (uint32_t i = 0; i < JOBS; i += 5) {
        struct request r = simple(440, 60, 100 + i);
        struct job *alone = run_request(small, &r);
        same_answer(alone, jobs[i]);
        job_destroy(alone);
    }
    for (size_t i = 0; i < JOBS; i++)
        job_destroy(jobs[i]);
    engine_destroy(small);
    engine_destroy(engine);
}
END_TEST

/* One after the other: the cache of prefixes fills the whole budget in time, and what is full gives
 * up what was used longest ago. */
START_TEST(memory_grows_up_to_its_limit_and_no_further)
{
    struct engine_options o = options_of(1, 1);
    o.kv_bytes = 60 * kv_page_bytes(&world.model->shape, o.kv_type);
    struct engine *engine = engine_open(&o);
    ck_assert_uint_lt(there(engine), 60);
    for (uint32_t i = 0; i < 8; i++) {
        struct request r = simple(450, 10, 200 + i);
        job_destroy(run_request(engine, &r));
        ck_assert_uint_le(there(engine), 60);
    }
    struct job *jobs[4];
    for (uint32_t i = 0; i < 4; i++) { /* 64 pages: the last one waits for the others' */
        struct request r = simple(400, 100, 300 + i);
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < 4; i++) {
        wait_finished(engine, jobs[i]);
        job_destroy(jobs[i]);
    }
    ck_assert_uint_eq(there(engine), 60);
    engine_destroy(engine);
}
END_TEST

/* While jobs come and go memory is taken away and given again: none is lost, and all have the bits
 * that they have alone. */
START_TEST(memory_that_is_short_changes_nothing)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    struct engine *engine = engine_open(&o);
    struct job *jobs[JOBS];
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < JOBS; i++) {
            struct request r = simple(440, 60, 100 + i);
            jobs[i] = queue_job(engine, &r);
        }
        for (size_t i = 0; i < JOBS; i++) {
            const bool is_short = i % 3 != 0;
            engine_bound_memory(engine, is_short ? 0 : UINT64_MAX, UINT64_MAX,
                                is_short ? (uint64_t)o.kv_bytes : 0);
            wait_finished(engine, jobs[i]);
            ck_assert_int_eq(jobs[i]->finish, FINISH_LENGTH);
        }
        if (round == 2)
            break;
        for (size_t i = 0; i < JOBS; i++)
            job_destroy(jobs[i]);
    }
    engine_bound_memory(engine, UINT64_MAX, UINT64_MAX, 0);
    o.prefix_cache = false;
    struct engine *other = engine_open(&o);
    for (uint32_t i = 0; i < JOBS; i += 5) {
        struct request r = simple(440, 60, 100 + i);
        struct job *alone = run_request(other, &r);
        same_answer(alone, jobs[i]);
        job_destroy(alone);
    }
    for (size_t i = 0; i < JOBS; i++)
        job_destroy(jobs[i]);
    ck_assert_uint_eq(stats_of(engine).allocations, 0);
    engine_destroy(other);
    engine_destroy(engine);
}
END_TEST

static struct rlimit no_more_memory(void)
{
    struct rlimit limit, none;
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    none = limit;
    none.rlim_cur = 1 << 20; /* less than there is: no page more can be had */
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &none), 0);
    return limit;
}

/* Where the system gives no more, jobs take turns. */
START_TEST(without_more_memory_whole_contexts_take_turns)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    struct engine *engine = engine_open(&o);
    struct request large = simple(world.model->n_context - 8, 4, 1), small = simple(20, 4, 2);
    struct job *jobs[JOBS];
    for (size_t i = 0; i < JOBS; i++) {
        large.prompt_seed = (uint32_t)i; /* none shares another's pages */
        jobs[i] = job_of(i % 2 ? &small : &large);
    }
    struct rlimit limit = no_more_memory();
    size_t before = there(engine);
    for (size_t i = 0; i < JOBS; i++)
        submit(engine, jobs[i]);
    for (size_t i = 0; i < JOBS; i++)
        wait_finished(engine, jobs[i]);
    ck_assert_uint_eq(there(engine), before);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    for (size_t i = 0; i < JOBS; i++) {
        ck_assert_int_eq(jobs[i]->finish, FINISH_LENGTH);
        job_destroy(jobs[i]);
    }
    engine_destroy(engine);
}
END_TEST

/* A prompt larger than the pages there, when the system gives no more and nothing runs whose end
 * would help, does not wait for ever. */
START_TEST(a_prompt_that_finds_no_memory_ends_with_an_error)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    o.kv_step_bytes = 1;                          /* a page of 16 positions */
    o.kv_bytes = o.n_workers * ((size_t)3 << 19); /* below a huge page: taken in small ones */
    struct engine *engine = engine_open(&o);
    struct request large = simple(400, 4, 1), small = simple(20, 4, 2);
    struct job *jobs[] = {job_of(&large), job_of(&small), job_of(&large), job_of(&small)};
    struct rlimit limit = no_more_memory();
    for (size_t i = 0; i < 4; i++)
        submit(engine, jobs[i]);
    for (size_t i = 0; i < 4; i++)
        wait_finished(engine, jobs[i]);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(jobs[i]->finish, i % 2 ? FINISH_LENGTH : FINISH_ERROR);
        ck_assert(i % 2 || jobs[i]->error.status == STATUS_NO_MEMORY);
        job_destroy(jobs[i]);
    }
    ck_assert_uint_eq(stats_of(engine).queued, 0);
    struct job *again = run_request(engine, &large); /* there is memory again */
    ck_assert_int_eq(again->finish, FINISH_LENGTH);
    job_destroy(again);
    engine_destroy(engine);
}
END_TEST

START_TEST(an_engine_may_end_while_it_grows)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct engine_options o = options_of(2, 2);
        struct engine *engine = engine_open(&o);
        struct job *jobs[JOBS];
        for (uint32_t k = 0; k < JOBS; k++) {
            struct request r = simple(440, 60, k);
            jobs[k] = queue_job(engine, &r);
        }
        engine_destroy(engine);
        for (size_t k = 0; k < JOBS; k++)
            job_destroy(jobs[k]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_memory");
    TCase *tc = tcase_create("memory");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, world_open, world_close);
    tcase_add_loop_test(tc, a_fresh_engine_has_taken_a_step_of_its_memory, 0, 2);
    tcase_add_loop_test(tc, more_jobs_than_memory_that_is_there_are_all_served_alike, 0, 2);
    tcase_add_loop_test(tc, memory_that_is_short_changes_nothing, 0, 2);
    tcase_add_test(tc, memory_grows_up_to_its_limit_and_no_further);
    if (!SANITIZED) /* a sanitizer wants memory of its own */
        tcase_add_loop_test(tc, without_more_memory_whole_contexts_take_turns, 0, 2);
    if (!SANITIZED)
        tcase_add_loop_test(tc, a_prompt_that_finds_no_memory_ends_with_an_error, 0, 2);
    tcase_add_test(tc, an_engine_may_end_while_it_grows);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
