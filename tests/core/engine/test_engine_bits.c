/* test_engine_bits.c - an answer depends on its request alone: not on the batch, the workers, the
 * threads, how prompts are cut, or what the prefix cache holds.
 */
#include "engine_test.h"

#include "base/alloc_count.h"

enum { N_REQUESTS = SANITIZED ? 12 : 28 };

static struct request requests[N_REQUESTS];
static struct job *alone[N_REQUESTS]; /* each by itself: one worker, one thread, no cache */

static void make_requests(void)
{
    static const char *const stops[] = {NULL, "the", " a", NULL, ". ", NULL, "\n"};
    uint32_t state = 7;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        size_t length = i % 9 == 0 ? 1 : i % 5 == 0 ? 33 + lcg(&state) % 220 : 2 + lcg(&state) % 70;
        struct request *r = &requests[i];
        /* Some begin with the same tokens, so that prefixes are shared. */
        *r = simple(length, 4 + lcg(&state) % 40, (uint32_t)(i % 11) + 1);
        r->seed = i;
        r->ignore_eos = i % 3 == 0;
        r->min_tokens = i % 4 == 0 ? 6 : 0;
        r->n_logprobs = i % 2 == 0 ? (int)(i % 6) : -1;
        r->temperature = i % 7 == 0 ? 0 : 0.5f + (float)(i % 4) * 0.4f;
        r->top_k = i % 4 == 1 ? 0 : 40;
        r->top_p = i % 5 == 2 ? 1 : 0.9f;
        r->min_p = i % 3 == 1 ? 0 : 0.05f;
        r->typical_p = i % 8 == 5 ? 0.7f : 1;
        r->repetition_penalty = i % 6 == 1 ? 1.3f : 1;
        r->stop = stops[i % (sizeof stops / sizeof *stops)];
        r->keep_stop = i % 2 == 1;
        r->prompt_logprobs = i % 5 == 3;
        r->no_cache = i % 7 == 4;
        r->answer_only = i % 6 == 1;
        r->progress = i % 4 == 2;
        if (i % 10 == 8) /* its prompt is all */
            r->max_tokens = r->min_tokens = 0;
    }
}

static void answer_alone(void)
{
    world_open();
    make_requests();
    struct engine_options o = options_of(1, 1);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_REQUESTS; i++)
        alone[i] = run_request(engine, &requests[i]);
    engine_destroy(engine);
}

static void forget(void)
{
    for (size_t i = 0; i < N_REQUESTS; i++)
        job_destroy(alone[i]);
    world_close();
}

/* All at once, twice (the second time the cache is warm). Returns the tokens found in the cache:
 * none are certain where memory is so little that a prompt's pages are gone before it comes again.
 */
static uint64_t all_together(const struct engine_options *o)
{
    struct engine *engine = engine_open(o);
    struct job *jobs[N_REQUESTS];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N_REQUESTS; i++) {
            jobs[i] = job_of(&requests[i]);
            submit(engine, jobs[i]);
        }
        for (size_t i = 0; i < N_REQUESTS; i++) {
            wait_finished(engine, jobs[i]);
            same_answer(alone[i], jobs[i]);
        }
        for (size_t i = 0; i < N_REQUESTS; i++)
            job_destroy(jobs[i]);
    }
    struct engine_stats stats;
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.kv.n_used, 0);
    ck_assert_uint_eq(stats.running, 0);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.allocations, 0);
    if (!o->prefix_cache) {
        ck_assert_uint_eq(stats.kv.n_cached, 0);
        ck_assert_uint_eq(stats.kv.hit_tokens, 0);
    }
    engine_destroy(engine);
    return stats.kv.hit_tokens;
}

START_TEST(workers_and_threads_change_nothing)
{
    static const unsigned shapes[][2] = {{1, 1}, {1, 2}, {2, 2}, {2, 3}};
    struct engine_options o = options_of(shapes[_i][0], shapes[_i][1]);
    ck_assert_uint_gt(all_together(&o), 0);
}
END_TEST

/* While they run, threads leave and come back: fewer than workers, too. */
START_TEST(threads_that_come_and_go_change_nothing)
{
    static const unsigned shapes[][2] = {{1, 3}, {2, 4}, {3, 3}};
    struct engine_options o = options_of(shapes[_i][0], shapes[_i][1]);
    struct engine *engine = engine_open(&o);
    struct job *jobs[N_REQUESTS];
    for (size_t i = 0; i < N_REQUESTS; i++)
        jobs[i] = queue_job(engine, &requests[i]);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        engine_set_threads(engine, (unsigned)(i * 7 % (o.n_threads + 2)));
        const unsigned n = engine_threads(engine);
        ck_assert(n >= 1 && n <= o.n_threads);
        wait_finished(engine, jobs[i]);
    }
    for (size_t i = 0; i < N_REQUESTS; i++) {
        same_answer(jobs[i], alone[i]);
        job_destroy(jobs[i]);
    }
    ck_assert_uint_eq(stats_of(engine).allocations, 0);
    engine_destroy(engine);
}
END_TEST

START_TEST(cutting_prompts_changes_nothing)
{
    static const size_t cuts[] = {1, 7, 16, 33};
    struct engine_options o = options_of(1, 1);
    o.step_tokens = cuts[_i];
    ck_assert_uint_gt(all_together(&o), 0);
}
END_TEST

START_TEST(the_prefix_cache_changes_nothing)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    o.prefix_cache = false;
    o.step_tokens = 16;
    all_together(&o);
}
END_TEST

START_TEST(the_batch_changes_nothing)
{
    static const size_t sizes[] = {1, 3, 32};
    struct engine_options o = options_of(1, 2);
    o.max_batch = sizes[_i];
    all_together(&o);
}
END_TEST

START_TEST(little_kv_memory_changes_nothing)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    o.kv_bytes = (1 + (size_t)_i) * 11 * kv_page_bytes(&world.model->shape, o.kv_type);
    all_together(&o);
}
END_TEST

START_TEST(the_kernels_change_nothing)
{
    struct engine_options o = options_of(1, 2);
    struct error err;
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    all_together(&o);
}
END_TEST

START_TEST(every_kind_of_end_is_among_the_requests)
{
    size_t n_stop = 0, n_length = 0, n_eos = 0;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        n_length += alone[i]->finish == FINISH_LENGTH;
        n_stop += alone[i]->finish == FINISH_STOP && alone[i]->n_completion == alone[i]->n_tokens;
        n_eos += alone[i]->n_completion == alone[i]->n_tokens + 1;
    }
    ck_assert_uint_gt(n_length, 0);
    ck_assert_uint_gt(n_stop, 0);
    ck_assert_uint_gt(n_eos, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_bits");
    TCase *tc = tcase_create("bits");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, answer_alone, forget);
    tcase_add_test(tc, every_kind_of_end_is_among_the_requests);
    tcase_add_loop_test(tc, workers_and_threads_change_nothing, 0, 4);
    tcase_add_loop_test(tc, threads_that_come_and_go_change_nothing, 0, 3);
    tcase_add_loop_test(tc, cutting_prompts_changes_nothing, 0, 4);
    tcase_add_loop_test(tc, the_prefix_cache_changes_nothing, 0, 2);
    tcase_add_loop_test(tc, the_batch_changes_nothing, 0, 3);
    tcase_add_loop_test(tc, little_kv_memory_changes_nothing, 0, 2);
    tcase_add_test(tc, the_kernels_change_nothing);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
