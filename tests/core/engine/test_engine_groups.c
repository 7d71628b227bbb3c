/* test_engine_groups.c - the jobs of one request: admitted all or none, each equal to itself alone.
 */
#include "guided_test.h"

#include <pthread.h>

enum { GROUP = 6 };

/* Choices 0, 1, ... of one prompt. */
static void make_group(struct job **jobs, size_t n, const struct request *r)
{
    for (size_t i = 0; i < n; i++) {
        jobs[i] = job_of(r);
        jobs[i]->sampling.choice = (uint32_t)i;
    }
}

static void destroy_group(struct job **jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        job_destroy(jobs[i]);
}

static enum status submit_group(struct engine *engine, struct job **jobs, size_t n,
                                struct error *err)
{
    uint64_t retry_ms = 0;
    enum status status = engine_submit_all(engine, jobs, n, &retry_ms, err);
    ck_assert((status == STATUS_FULL || status == STATUS_TOO_LATE) == (retry_ms >= 1000));
    return status;
}

/* Free ones, those inside a grammar, and those with log-probabilities besides. */
START_TEST(each_choice_equals_itself_alone)
{
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    struct request r = simple(20, 12, 5);
    struct grammar *g = _i > 0 ? grammar_of(engine, GRAMMAR_GBNF, list_gbnf) : NULL;
    r = _i > 0 ? guided(g, 60, 5) : r;
    r.n_logprobs = _i > 1 ? 3 : r.n_logprobs;
    struct job *together[GROUP], *alone[GROUP];
    struct error err;
    r.temperature = 1.2f;
    make_group(together, GROUP, &r);
    make_group(alone, GROUP, &r);
    ok(submit_group(engine, together, GROUP, &err), &err);
    for (size_t i = 0; i < GROUP; i++)
        wait_finished(engine, together[i]);
    size_t n_other = 0;
    for (size_t i = 0; i < GROUP; i++) {
        submit(engine, alone[i]);
        wait_finished(engine, alone[i]);
        same_answer(alone[i], together[i]);
        n_other +=
            i > 0 && (together[i]->n_text != together[0]->n_text ||
                      memcmp(together[i]->text, together[0]->text, together[0]->n_text) != 0);
    }
    ck_assert_uint_ge(n_other, 1); /* each has draws of its own */
    destroy_group(together, GROUP);
    destroy_group(alone, GROUP);
    grammar_release(g);
    engine_destroy(engine);
}
END_TEST

START_TEST(none_is_admitted_where_not_all_are)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = 3;
    struct engine *engine = engine_open(&o);
    struct request hold = simple(8, 300, 9), r = simple(8, 4, 7);
    struct job *held[2], *jobs[GROUP];
    struct error err;
    make_group(held, 2, &hold);
    make_group(jobs, GROUP, &r);
    ck_assert_int_eq(submit_group(engine, jobs, GROUP, &err), STATUS_INVALID); /* 2 + 3 at most */
    ck_assert_ptr_nonnull(strstr(err.text, "6"));
    ok(submit_group(engine, held, 2, &err), &err);
    ck_assert_int_eq(submit_group(engine, jobs, 4, &err), STATUS_FULL);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.running, 2);
    ok(submit_group(engine, jobs, 3, &err), &err); /* the line takes three */
    ck_assert_int_eq(submit_group(engine, jobs + 3, 1, &err), STATUS_FULL);
    for (size_t i = 0; i < 2; i++)
        engine_cancel(engine, held[i]);
    for (size_t i = 0; i < 3; i++)
        wait_finished(engine, jobs[i]);
    for (size_t i = 0; i < 2; i++)
        wait_finished(engine, held[i]);
    destroy_group(held, 2);
    destroy_group(jobs, GROUP);
    engine_destroy(engine);
}
END_TEST

START_TEST(an_idle_engine_takes_slots_and_line_together)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = 3;
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, 4, 11);
    struct job *jobs[5];
    struct error err;
    make_group(jobs, 5, &r);
    ok(submit_group(engine, jobs, 5, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        wait_finished(engine, jobs[i]);
        ck_assert_uint_eq(jobs[i]->n_completion, 4);
    }
    destroy_group(jobs, 5);
    engine_destroy(engine);
}
END_TEST

START_TEST(one_that_never_fits_keeps_all_out)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, 4, 13), large = simple(500, 100, 13);
    struct job *jobs[2] = {job_of(&r), job_of(&large)};
    struct error err;
    ck_assert_int_eq(submit_group(engine, jobs, 2, &err), STATUS_INVALID);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.running + stats.queued, 0);
    destroy_group(jobs, 2);
    engine_destroy(engine);
}
END_TEST

static void wait_all(struct engine *engine, struct job **jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        wait_finished(engine, jobs[i]);
}

static void check_idle(struct engine *engine)
{
    struct engine_stats stats = stats_of(engine);
    ck_assert_uint_eq(stats.running + stats.queued + stats.kv.n_used, 0);
}

/* The first would begin at once, the last after all others: it is the one that is judged. */
START_TEST(the_wait_of_the_last_is_judged)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_wait_ms = _i == 0 ? 1 : 0;
    struct engine *engine = engine_open(&o);
    struct request r = simple(4, 300, 3);
    struct job *jobs[40];
    struct error err;
    make_group(jobs, 40, &r);
    for (size_t i = 0; _i == 1 && i < 40; i++)
        jobs[i]->deadline_ns = clock_now_ns() + SECOND / 50;
    ck_assert_int_eq(submit_group(engine, jobs, 40, &err), STATUS_TOO_LATE);
    ck_assert_ptr_nonnull(strstr(err.text, _i == 0 ? "predicted wait" : "deadline"));
    check_idle(engine);
    for (size_t i = 0; i < 40; i++)
        jobs[i]->deadline_ns = _i == 1 ? clock_now_ns() + 1000 * SECOND : 0;
    size_t n = _i == 1 ? 40 : 2; /* places are free for two: no wait */
    ok(submit_group(engine, jobs, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        engine_cancel(engine, jobs[i]);
    wait_all(engine, jobs, n);
    check_idle(engine);
    destroy_group(jobs, 40);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_refused_group_can_come_again)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = 2;
    struct engine *engine = engine_open(&o);
    struct request hold = simple(8, 400, 9), r = simple(40, 8, 7);
    struct job *held[2], *jobs[4], *alone[4];
    struct error err;
    make_group(held, 2, &hold);
    make_group(jobs, 4, &r);
    make_group(alone, 4, &r);
    ok(submit_group(engine, held, 2, &err), &err);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(submit_group(engine, jobs, 4, &err), STATUS_FULL);
        ck_assert_ptr_nonnull(strstr(err.text, "4 answers"));
        ck_assert_ptr_nonnull(strstr(err.text, "room for 2 more"));
    }
    for (size_t i = 0; i < 2; i++)
        cancel_and_free(engine, held[i]);
    ok(submit_group(engine, jobs, 4, &err), &err);
    wait_all(engine, jobs, 4);
    for (size_t i = 0; i < 4; i++) {
        submit(engine, alone[i]);
        wait_finished(engine, alone[i]);
        same_answer(alone[i], jobs[i]);
    }
    destroy_group(jobs, 4);
    destroy_group(alone, 4);
    engine_destroy(engine);
}
END_TEST

/* Two run, four wait: one of each is cancelled, and the others never know. */
START_TEST(some_of_a_group_can_be_cancelled)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    struct engine *engine = engine_open(&o);
    struct request r = simple(20, 120, 5);
    struct job *jobs[GROUP];
    struct error err;
    make_group(jobs, GROUP, &r);
    ok(submit_group(engine, jobs, GROUP, &err), &err);
    engine_wait(engine, jobs[1], 0);
    engine_cancel(engine, jobs[1]);
    engine_cancel(engine, jobs[4]);
    wait_all(engine, jobs, GROUP);
    ck_assert_int_eq(jobs[1]->finish, FINISH_CANCELLED);
    ck_assert_int_eq(jobs[4]->finish, FINISH_CANCELLED);
    ck_assert_uint_eq(jobs[4]->n_completion, 0);
    for (size_t i = 0; i < GROUP; i++) {
        if (i == 1 || i == 4)
            continue;
        struct job *alone = job_of(&r);
        alone->sampling.choice = (uint32_t)i;
        submit(engine, alone);
        wait_finished(engine, alone);
        same_answer(alone, jobs[i]);
        job_destroy(alone);
    }
    check_idle(engine);
    destroy_group(jobs, GROUP);
    engine_destroy(engine);
}
END_TEST

/* Aborted or destroyed, what runs and what waits of a group ends, each once. */
START_TEST(a_group_ends_with_the_engine)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct request r = simple(4, LONG, 6);
    struct job *jobs[4];
    struct error err;
    make_group(jobs, 4, &r);
    ok(submit_group(engine, jobs, 4, &err), &err);
    engine_wait(engine, jobs[0], 0);
    if (_i == 0) {
        engine_abort_all(engine, "the service stops");
        wait_all(engine, jobs, 4);
        check_idle(engine);
    }
    engine_destroy(engine);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(jobs[i]->finished);
        ck_assert_int_eq(jobs[i]->finish, _i == 0 ? FINISH_ERROR : FINISH_CANCELLED);
        if (_i == 0)
            ck_assert_str_eq(jobs[i]->error.text, "the service stops");
    }
    destroy_group(jobs, 4);
}
END_TEST

/* KV memory for two of six at their end: choices give way to each other. */
START_TEST(each_choice_is_the_same_when_memory_runs_out)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(70, 200, 8);
    struct job *together[GROUP], *alone[GROUP];
    struct error err;
    r.temperature = 1.1f;
    r.prompt_logprobs = _i == 1;
    make_group(together, GROUP, &r);
    make_group(alone, GROUP, &r);
    for (size_t i = 0; i < GROUP; i++) {
        submit(engine, alone[i]);
        wait_finished(engine, alone[i]);
    }
    engine_destroy(engine);
    o.kv_bytes = 18 * kv_page_bytes(&world.model->shape, o.kv_type);
    engine = engine_open(&o);
    ok(submit_group(engine, together, GROUP, &err), &err);
    wait_all(engine, together, GROUP);
    for (size_t i = 0; i < GROUP; i++)
        same_answer(alone[i], together[i]);
    ck_assert_uint_gt(stats_of(engine).preemptions, 0);
    check_idle(engine);
    destroy_group(together, GROUP);
    destroy_group(alone, GROUP);
    engine_destroy(engine);
}
END_TEST

enum { CROWD = 4, ROUNDS = SANITIZED ? 10 : 40, PLACES = 2 + 5 };

struct client {
    struct engine *engine;
    size_t n_admitted;
    bool wrong;
};

/* Checks in other threads than the test's own cannot fail it: what is wrong is said. */
static void *submit_groups(void *arg)
{
    struct client *client = arg;
    for (size_t round = 0; round < ROUNDS; round++) {
        struct request r = simple(3 + round % 5, 2 + round % 4, (uint32_t)round);
        size_t n = 1 + round % 5;
        struct job *jobs[5];
        struct error err;
        uint64_t retry_ms;
        make_group(jobs, n, &r);
        enum status status = engine_submit_all(client->engine, jobs, n, &retry_ms, &err);
        struct engine_stats stats;
        engine_stats(client->engine, &stats);
        client->wrong |= stats.queued > PLACES || (status != STATUS_OK && status != STATUS_FULL);
        client->n_admitted += status == STATUS_OK ? n : 0;
        for (size_t i = 0; i < n; i++) {
            if (status == STATUS_OK)
                engine_wait(client->engine, jobs[i], UINT32_MAX - 1);
            client->wrong |= (status == STATUS_OK) != jobs[i]->finished;
            client->wrong |= jobs[i]->n_completion != (status == STATUS_OK ? r.max_tokens : 0);
            job_destroy(jobs[i]);
        }
    }
    return NULL;
}

START_TEST(clients_at_once_get_all_or_none)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = PLACES - 2;
    struct engine *engine = engine_open(&o);
    struct client clients[CROWD];
    pthread_t threads[CROWD];
    for (size_t i = 0; i < CROWD; i++) {
        clients[i] = (struct client){.engine = engine};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_groups, &clients[i]), 0);
    }
    size_t n_admitted = 0;
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!clients[i].wrong);
        n_admitted += clients[i].n_admitted;
    }
    ck_assert_uint_gt(n_admitted, 0); /* one of them was the first; the others may have no luck */
    check_idle(engine);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/groups");
    TCase *tcase = tcase_create("groups");
    tcase_add_unchecked_fixture(tcase, world_open, world_close);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_choice_equals_itself_alone, 0, 3);
    tcase_add_test(tcase, none_is_admitted_where_not_all_are);
    tcase_add_test(tcase, an_idle_engine_takes_slots_and_line_together);
    tcase_add_test(tcase, one_that_never_fits_keeps_all_out);
    tcase_add_loop_test(tcase, the_wait_of_the_last_is_judged, 0, 2);
    tcase_add_test(tcase, a_refused_group_can_come_again);
    tcase_add_test(tcase, some_of_a_group_can_be_cancelled);
    tcase_add_loop_test(tcase, a_group_ends_with_the_engine, 0, 2);
    tcase_add_loop_test(tcase, each_choice_is_the_same_when_memory_runs_out, 0, 2);
    tcase_add_test(tcase, clients_at_once_get_all_or_none);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
