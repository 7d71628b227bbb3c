/* test_engine_memory.c - KV memory that grows under load: what is taken at start, that every job is
 * served as ever, and that no compute thread takes memory.
 */
#include "engine_test.h"

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
    ck_assert_uint_ge(s.kv.n_there, kv_pages_for(world.model->n_context));
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
    tcase_add_test(tc, memory_grows_up_to_its_limit_and_no_further);
    tcase_add_test(tc, an_engine_may_end_while_it_grows);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
