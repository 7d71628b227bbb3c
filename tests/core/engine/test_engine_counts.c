/* test_engine_counts.c - what an engine counts, announces and allocates, and that many threads at
 * once do it no harm. */
#include "engine_test.h"

#include "base/alloc_count.h"
#include "base/clock.h"

#include <pthread.h>

START_TEST(an_engine_that_cannot_be_is_refused)
{
    struct engine *engine = NULL;
    struct error err;
    struct engine_options o = options_of(3, 2);
    ck_assert_int_eq(engine_create(&engine, world.model, world.tokenizer, &world.cpu, &o, &err),
                     STATUS_INVALID);
    o = options_of(2, 2);
    o.kv_bytes = 1000;
    ck_assert_int_eq(engine_create(&engine, world.model, world.tokenizer, &world.cpu, &o, &err),
                     STATUS_INVALID);
    o = options_of(1, 1);
    o.kv_bytes = (size_t)1 << 56;
    ck_assert_int_eq(engine_create(&engine, world.model, world.tokenizer, &world.cpu, &o, &err),
                     STATUS_NO_MEMORY);
    ck_assert_ptr_null(engine);
}
END_TEST

START_TEST(a_fresh_engine_has_counted_nothing_and_cached_nothing)
{
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.generated_tokens + s.prompt_computed_tokens + s.prompt_cached_tokens, 0);
    ck_assert_uint_eq(s.n_steps + s.step_sequences_sum + s.kv.query_tokens + s.kv.hit_tokens, 0);
    ck_assert_uint_eq(s.kv.n_used + s.kv.n_cached, 0);
    ck_assert_uint_eq(s.kv.n_pages, engine_plan(engine)->kv_pages);
    ck_assert(engine_alive(engine, clock_now_ns() + 100 * SECOND, SECOND)); /* idle is alive */
    engine_destroy(engine);
}
END_TEST

START_TEST(the_counters_add_up_and_are_there_before_the_answer)
{
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    uint64_t made = 0, read = 0;
    for (uint32_t i = 0; i < 20; i++) {
        struct request r = simple(1 + i * 7, 1 + i, 60 + i);
        r.ignore_eos = i % 2;
        struct job *job = run_request(engine, &r);
        made += job->n_completion;
        read += job->n_prompt;
        struct engine_stats s = stats_of(engine);
        ck_assert_uint_eq(s.generated_tokens, made);
        ck_assert_uint_eq(s.prompt_computed_tokens + s.prompt_cached_tokens, read);
        ck_assert_uint_eq(s.running, 0);
        ck_assert_uint_eq(s.kv.n_used, 0);
        uint64_t n = 0, m = 0;
        for (size_t k = 0; k <= ENGINE_STEP_BUCKETS; k++)
            n += s.step_seconds[k];
        for (size_t k = 0; k <= ENGINE_SIZE_BUCKETS; k++)
            m += s.step_sequences[k];
        ck_assert_uint_eq(n, s.n_steps);
        ck_assert_uint_eq(m, s.n_steps);
        ck_assert_uint_eq(s.step_sequences_sum, s.n_steps); /* one at a time */
        job_destroy(job);
    }
    engine_destroy(engine);
}
END_TEST

START_TEST(sequences_that_run_together_share_their_steps)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job *jobs[8];
    struct request r = simple(4, LONG, 70);
    for (size_t i = 0; i < 8; i++)
        jobs[i] = queue_job(engine, &r);
    for (size_t i = 0; i < 8; i++) {
        wait_finished(engine, jobs[i]);
        same_answer(jobs[0], jobs[i]);
    }
    for (size_t i = 0; i < 8; i++)
        job_destroy(jobs[i]);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_ge(s.step_sequences_sum, 6 * s.n_steps);
    engine_destroy(engine);
}
END_TEST

START_TEST(thousands_of_tokens_cost_no_heap_call)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    struct engine *engine = engine_open(&o);
    struct job *jobs[16];
    uint64_t before = alloc_count();
    for (uint32_t i = 0; i < 16; i++) {
        struct request r = simple(40 + i, 200, 80 + i);
        r.n_logprobs = 5;
        r.stop = "never to be seen";
        r.top_k = i % 2 ? 0 : 40;
        r.typical_p = i % 3 ? 1 : 0.9f;
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < 16; i++)
        wait_finished(engine, jobs[i]);
    ck_assert_uint_eq(stats_of(engine).generated_tokens, 16 * 200);
    ck_assert_uint_eq(alloc_count(), before);
    ck_assert_uint_eq(before, 0);
    for (size_t i = 0; i < 16; i++)
        job_destroy(jobs[i]);
    engine_destroy(engine);
}
END_TEST

static void count_wake(void *ctx)
{
    atomic_fetch_add((_Atomic uint64_t *)ctx, 1);
}

START_TEST(one_wake_a_step_at_most_and_never_before_the_news)
{
    _Atomic uint64_t n_wakes = 0;
    struct engine_options o = options_of(1, 1);
    o.wake = count_wake;
    o.wake_ctx = &n_wakes;
    struct engine *engine = engine_open(&o);
    struct job *jobs[6];
    struct request r = simple(4, 50, 90);
    for (size_t i = 0; i < 6; i++)
        jobs[i] = queue_job(engine, &r);
    for (size_t i = 0; i < 6; i++)
        wait_finished(engine, jobs[i]);
    for (size_t i = 0; i < 6; i++)
        job_destroy(jobs[i]);
    struct engine_stats s = stats_of(engine);
    engine_destroy(engine);
    ck_assert_uint_gt(n_wakes, 0);
    ck_assert_uint_le(n_wakes, s.n_steps);
}
END_TEST

/* --- many threads at once --- */

struct crowd {
    struct engine *engine;
    uint32_t seed;
    uint64_t n_served, n_refused, n_cancelled;
};

static void *client(void *arg)
{
    struct crowd *c = arg;
    uint32_t state = c->seed;
    for (int i = 0; i < 40; i++) {
        struct request r = simple(1 + lcg(&state) % 60, 1 + lcg(&state) % 20, lcg(&state) % 5);
        struct job *job = job_of(&r);
        uint64_t retry_ms;
        struct error err;
        uint32_t kind = lcg(&state) % 4;
        if (kind == 1)
            job->deadline_ns = clock_now_ns() + 2000000 + lcg(&state) % 5000000;
        enum status status = engine_submit(c->engine, job, &retry_ms, &err);
        if (status != STATUS_OK) {
            c->n_refused++;
            job_destroy(job);
            continue;
        }
        if (kind == 2)
            engine_wait(c->engine, job, lcg(&state) % 3);
        if (kind >= 2)
            engine_cancel(c->engine, job);
        wait_finished(c->engine, job);
        c->n_cancelled += job->finish == FINISH_CANCELLED;
        c->n_served += job->finish == FINISH_LENGTH;
        job_destroy(job);
    }
    return NULL;
}

START_TEST(a_crowd_of_threads_is_served_refused_and_cancelled)
{
    enum { CLIENTS = 8 };
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    o.max_batch = 2;
    o.max_queue = 3;
    struct engine *engine = engine_open(&o);
    struct crowd crowd[CLIENTS];
    pthread_t threads[CLIENTS];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        crowd[i] = (struct crowd){.engine = engine, .seed = 1000 + i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client, &crowd[i]), 0);
    }
    uint64_t n_cancelled = 0, n_served = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        n_cancelled += crowd[i].n_cancelled;
        n_served += crowd[i].n_served;
    }
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.cancelled[0] + s.cancelled[1] + s.cancelled[2], n_cancelled);
    ck_assert_uint_gt(n_served, 0);
    ck_assert_uint_eq(s.running + s.queued + s.kv.n_used, 0);
    ck_assert_uint_eq(s.allocations, 0);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_counts");
    TCase *tc = tcase_create("counts");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, world_open, world_close);
    tcase_add_test(tc, an_engine_that_cannot_be_is_refused);
    tcase_add_test(tc, a_fresh_engine_has_counted_nothing_and_cached_nothing);
    tcase_add_test(tc, the_counters_add_up_and_are_there_before_the_answer);
    tcase_add_test(tc, sequences_that_run_together_share_their_steps);
    tcase_add_loop_test(tc, thousands_of_tokens_cost_no_heap_call, 0, 2);
    tcase_add_test(tc, one_wake_a_step_at_most_and_never_before_the_news);
    tcase_add_loop_test(tc, a_crowd_of_threads_is_served_refused_and_cancelled, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
