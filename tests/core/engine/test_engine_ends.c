/* test_engine_ends.c - how jobs end and who is let in: cancellation, deadlines, refusals, the end
 * of the engine.
 *
 * Nothing here sleeps: a job that must not be finished yet is a long one, and what must have
 * happened is waited for through the engine's own announcements.
 */
#include "base/clock.h"
#include "engine_test.h"

START_TEST(cancelled_in_the_queue_it_ends_at_once)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct job *running = start_long(engine, 1);
    struct request r = simple(10, 5, 2);
    struct job *waiting = queue_job(engine, &r);
    ck_assert_uint_eq(stats_of(engine).queued, 1);
    engine_cancel(engine, waiting);
    ck_assert(waiting->finished); /* no waiting for a step */
    ck_assert_int_eq(waiting->finish, FINISH_CANCELLED);
    ck_assert_int_eq(waiting->cancelled_in, JOB_QUEUED);
    ck_assert_uint_eq(waiting->started_ns, 0);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.queued, 0);
    ck_assert_uint_eq(s.cancelled[JOB_QUEUED], 1);
    engine_cancel(engine, waiting); /* idempotent */
    ck_assert_uint_eq(stats_of(engine).cancelled[JOB_QUEUED], 1);
    job_destroy(waiting);
    cancel_and_free(engine, running);
    engine_destroy(engine);
}
END_TEST

START_TEST(cancelled_while_its_prompt_is_read_it_makes_no_token)
{
    struct engine_options o = small();
    o.step_tokens = 1; /* a prompt of 400 is 400 steps */
    struct engine *engine = engine_open(&o);
    struct request r = simple(400, 5, 3);
    struct job *job = queue_job(engine, &r);
    engine_cancel(engine, job);
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_CANCELLED);
    ck_assert_int_eq(job->cancelled_in, JOB_PREFILL);
    ck_assert_uint_eq(job->n_tokens, 0);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.cancelled[JOB_PREFILL], 1);
    ck_assert_uint_lt(s.prompt_computed_tokens, 400);
    ck_assert_uint_eq(s.kv.n_used, 0);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(cancelled_while_decoding_it_keeps_what_it_had)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct job *job = start_long(engine, 4);
    engine_cancel(engine, job);
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_CANCELLED);
    ck_assert_int_eq(job->cancelled_in, JOB_DECODE);
    ck_assert_uint_ge(job->n_tokens, 1);
    ck_assert_uint_lt(job->n_tokens, LONG);
    ck_assert_uint_eq(job->n_ready, job->n_tokens);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.cancelled[JOB_DECODE], 1);
    ck_assert_uint_eq(s.generated_tokens, job->n_completion);
    ck_assert_uint_eq(s.running, 0);
    ck_assert_uint_eq(s.kv.n_used, 0);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(cancelling_a_finished_job_changes_nothing)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct request r = simple(4, 3, 5);
    struct job *job = run_request(engine, &r);
    engine_cancel(engine, job);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.cancelled[0] + s.cancelled[1] + s.cancelled[2], 0);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

/* Where in an answer its i-th token stands first. */
static size_t first_of(const struct job *job, size_t i)
{
    size_t first = 0;
    while (job->tokens[first].id != job->tokens[i].id)
        first++;
    return first;
}

START_TEST(a_stop_id_ends_the_text_as_an_eos_does)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(4, 40, 44);
    struct job *whole = run_request(engine, &r);
    size_t at = first_of(whole, 25);
    ck_assert_uint_gt(at, 0);
    const int32_t ids[] = {-5, whole->tokens[at].id, (int32_t)world.n_vocab};
    r.stop_ids = ids;
    r.n_stop_ids = 3;
    struct job *job = run_request(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_STOP);
    ck_assert_uint_eq(job->n_tokens, at); /* not a record, but counted */
    ck_assert_uint_eq(job->n_completion, at + 1);
    ck_assert_uint_eq(job->n_text, whole->tokens[at - 1].text_end);
    ck_assert_int_eq(memcmp(job->text, whole->text, job->n_text), 0);
    job_destroy(job);
    r.min_tokens = at + 4; /* until then it never comes */
    job = run_request(engine, &r);
    for (size_t i = 0; i < job->n_tokens; i++)
        ck_assert_int_ne(job->tokens[i].id, ids[1]);
    ck_assert_uint_ge(job->n_completion, at + 4);
    job_destroy(job);
    job_destroy(whole);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_deadline_ends_a_job_with_the_text_so_far)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct request r = simple(4, LONG, 6), alike = simple(4, LONG, 6);
    struct job *whole = run_request(engine, &alike);
    uint64_t time = whole->last_token_ns - whole->started_ns;
    struct job *job = NULL;
    do { /* sooner and sooner, as a machine may have become faster meanwhile */
        job_destroy(job);
        time /= 2;
        job = job_of(&r);
        job->deadline_ns = clock_now_ns() + time;
        submit(engine, job);
        wait_finished(engine, job);
    } while (job->finish != FINISH_DEADLINE);
    ck_assert_int_eq(job->finish, FINISH_DEADLINE);
    ck_assert_uint_lt(job->n_tokens, LONG);
    ck_assert_int_eq(memcmp(job->text, whole->text, job->n_text), 0);
    job_destroy(job);
    job_destroy(whole);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_deadline_that_cannot_be_met_is_refused)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct request r = simple(400, 5, 7);
    struct job *job = job_of(&r);
    struct error err;
    uint64_t retry_ms = 0;
    job->deadline_ns = clock_now_ns() - 1;
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_TOO_LATE);
    ck_assert_uint_ge(retry_ms, 1);
    ck_assert(!job->finished);
    job->deadline_ns = clock_now_ns() + 1000; /* a microsecond for 400 tokens */
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_TOO_LATE);
    job->deadline_ns = clock_now_ns() + 100 * SECOND;
    submit(engine, job); /* the same job, once its deadline allows it */
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_deadline_that_passes_in_the_queue_ends_the_job_there)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    /* Requests that stop early teach the forecast short waits; the running one then takes longer
     * than predicted. */
    struct request early = simple(4, LONG, 1);
    early.stop = "e";
    for (uint32_t i = 0; i < 60; i++) {
        early.prompt_seed = 50 + i;
        job_destroy(run_request(engine, &early));
    }
    struct job *running = start_long(engine, 8);
    struct request r = simple(4, 5, 9);
    struct job *job = job_of(&r);
    uint64_t retry_ms;
    struct error err;
    enum status status = STATUS_TOO_LATE;
    for (uint64_t wait = 1000000; status == STATUS_TOO_LATE; wait += 1000000) {
        job->deadline_ns = clock_now_ns() + wait;
        status = engine_submit(engine, job, &retry_ms, &err);
    }
    ok(status, &err);
    wait_finished(engine, job);
    if (job->started_ns == 0) {
        ck_assert_int_eq(job->finish, FINISH_DEADLINE);
        ck_assert_uint_eq(job->n_tokens, 0);
        ck_assert(!running->finished);
    }
    ck_assert_uint_eq(stats_of(engine).queued, 0);
    job_destroy(job);
    cancel_and_free(engine, running);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_full_queue_refuses_and_the_time_to_come_back_grows)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct job *jobs[5] = {start_long(engine, 10)};
    struct request r = simple(4, LONG, 11);
    for (size_t i = 1; i < 5; i++)
        jobs[i] = queue_job(engine, &r);
    struct job *more = job_of(&r);
    uint64_t first = 0, before = 0, retry_ms = 0;
    for (size_t i = 0; i < 200; i++) {
        struct error err;
        ck_assert_int_eq(engine_submit(engine, more, &retry_ms, &err), STATUS_FULL);
        ck_assert_uint_ge(retry_ms, 1);
        /* A second may pass meanwhile, and steps are measured by which the wait is foretold. */
        ck_assert_uint_ge(retry_ms + 1000 + before / 10, before);
        before = retry_ms > before ? retry_ms : before;
        first = i == 0 ? retry_ms : first;
    }
    /* No second is promised to more clients than the queue has places: 200 need 50 of them. */
    ck_assert_uint_ge(before, first + 40000);
    ck_assert_uint_eq(stats_of(engine).queued, 4);
    for (size_t i = 0; i < 5; i++)
        cancel_and_free(engine, jobs[i]);
    submit(engine, more); /* refused jobs stay the caller's, to be tried again */
    cancel_and_free(engine, more);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_predicted_wait_beyond_the_bound_is_refused)
{
    struct engine_options o = small();
    o.max_wait_ms = 1;
    struct engine *engine = engine_open(&o);
    struct job *running = start_long(engine, 12);
    struct request r = simple(4, 5, 13);
    struct job *job = job_of(&r);
    uint64_t retry_ms = 0;
    struct error err;
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_TOO_LATE);
    ck_assert_uint_ge(retry_ms, 1);
    ck_assert_uint_eq(stats_of(engine).queued, 0);
    cancel_and_free(engine, running);
    submit(engine, job); /* none before it: no wait */
    wait_finished(engine, job);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(what_can_never_fit_is_refused_at_once)
{
    struct engine_options o = options_of(1, 1);
    o.kv_bytes = 4 * kv_page_bytes(&world.model->shape, o.kv_type);
    struct engine *engine = engine_open(&o);
    struct request r = simple(100, 30, 14); /* 129 positions, four pages hold 128 */
    struct job *job = job_of(&r);
    uint64_t retry_ms;
    struct error err;
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_INVALID);
    job_destroy(job);
    r = simple(100, 29, 14);
    job = run_request(engine, &r);
    ck_assert_uint_eq(job->n_tokens, 29);
    job_destroy(job);
    r = simple(500, 13, 14); /* one more than the context */
    job = job_of(&r);
    ck_assert_int_eq(engine_submit(engine, job, &retry_ms, &err), STATUS_INVALID);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_small_job_overtakes_one_that_does_not_fit_and_not_for_ever)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 3;
    o.max_queue = 30;
    o.prefix_cache = false;
    o.kv_bytes = 16 * kv_page_bytes(&world.model->shape, o.kv_type);
    struct engine *engine = engine_open(&o);
    struct job *running = start_long(engine, 15); /* 13 pages */
    struct request big = simple(300, 20, 16), little = simple(4, 5, 17);
    struct job *head = queue_job(engine, &big), *after[20];
    for (size_t i = 0; i < 20; i++)
        after[i] = queue_job(engine, &little);
    size_t before_it = 0;
    wait_finished(engine, head);
    for (size_t i = 0; i < 20; i++) {
        wait_finished(engine, after[i]);
        ck_assert_uint_ne(after[i]->started_ns, 0);
        before_it += after[i]->started_ns < head->started_ns;
    }
    ck_assert_uint_gt(before_it, 0);
    ck_assert_uint_le(before_it, 8);
    for (size_t i = 0; i < 20; i++)
        job_destroy(after[i]);
    job_destroy(head);
    wait_finished(engine, running);
    job_destroy(running);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_prompt_goes_to_the_worker_that_knows_it)
{
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    for (uint32_t i = 0; i < 6; i++) {
        struct request r = simple(400, 2, 20 + i);
        struct job *first = run_request(engine, &r), *second = run_request(engine, &r);
        ck_assert_uint_eq(first->n_cached, 0);
        ck_assert_uint_eq(second->n_cached, 384);
        same_answer(first, second);
        job_destroy(first);
        job_destroy(second);
    }
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.prompt_cached_tokens, 6 * 384);
    ck_assert_uint_eq(s.prompt_cached_tokens + s.prompt_computed_tokens, 12 * 400);
    engine_destroy(engine);
}
END_TEST

START_TEST(unknown_prompts_spread_over_the_workers)
{
    struct engine_options o = options_of(2, 2);
    o.max_batch = 2;
    struct engine *engine = engine_open(&o);
    struct job *jobs[4];
    for (uint32_t i = 0; i < 4; i++)
        jobs[i] = start_long(engine, 30 + i); /* one worker alone would have room for two */
    ck_assert_uint_eq(stats_of(engine).queued, 0);
    for (size_t i = 0; i < 4; i++)
        cancel_and_free(engine, jobs[i]);
    engine_destroy(engine);
}
END_TEST

START_TEST(destroying_the_engine_ends_what_runs_and_what_waits)
{
    struct engine_options o = options_of(1 + (unsigned)_i, 2);
    o.max_batch = 2;
    struct engine *engine = engine_open(&o);
    struct job *jobs[8];
    struct request r = simple(4, LONG, 40);
    for (size_t i = 0; i < 8; i++)
        jobs[i] = queue_job(engine, &r);
    engine_wait(engine, jobs[0], 0);
    engine_destroy(engine);
    for (size_t i = 0; i < 8; i++) {
        ck_assert(jobs[i]->finished);
        ck_assert(jobs[i]->finish == FINISH_CANCELLED || jobs[i]->finish == FINISH_LENGTH);
        job_destroy(jobs[i]);
    }
}
END_TEST

START_TEST(aborting_ends_everything_with_its_reason)
{
    struct engine_options o = small();
    struct engine *engine = engine_open(&o);
    struct job *running = start_long(engine, 41);
    struct request r = simple(4, 5, 42);
    struct job *waiting = queue_job(engine, &r);
    engine_abort_all(engine, "the service is stopping");
    wait_finished(engine, running);
    wait_finished(engine, waiting);
    ck_assert_int_eq(running->finish, FINISH_ERROR);
    ck_assert_int_eq(waiting->finish, FINISH_ERROR);
    ck_assert_str_eq(running->error.text, "the service is stopping");
    ck_assert_str_eq(waiting->error.text, "the service is stopping");
    ck_assert_uint_eq(stats_of(engine).running, 0);
    job_destroy(running);
    job_destroy(waiting);
    engine_destroy(engine);
}
END_TEST

START_TEST(banning_everything_ends_with_an_error_and_harms_nobody)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job_size size = {.n_prompt = 2,
                            .max_tokens = 4,
                            .n_biases = world.n_vocab,
                            .max_piece = tokenizer_max_piece(world.tokenizer)};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    job_prompt(job)[0] = job_prompt(job)[1] = 7;
    job->sampling = (struct sampling){.temperature = 1,
                                      .top_p = 1,
                                      .typical_p = 1,
                                      .repetition_penalty = 1,
                                      .biases = job->sampling.biases,
                                      .n_biases = world.n_vocab};
    for (size_t i = 0; i < world.n_vocab; i++)
        job_biases(job)[i] = (struct logit_bias){(int32_t)i, -__builtin_inff()};
    struct job *other = start_long(engine, 43);
    submit(engine, job);
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_ERROR);
    ck_assert_int_eq(job->error.status, STATUS_INVALID);
    job_destroy(job);
    cancel_and_free(engine, other);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_ends");
    TCase *tc = tcase_create("ends");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, world_open, world_close);
    tcase_add_test(tc, cancelled_in_the_queue_it_ends_at_once);
    tcase_add_test(tc, cancelled_while_its_prompt_is_read_it_makes_no_token);
    tcase_add_test(tc, cancelled_while_decoding_it_keeps_what_it_had);
    tcase_add_test(tc, cancelling_a_finished_job_changes_nothing);
    tcase_add_test(tc, a_stop_id_ends_the_text_as_an_eos_does);
    tcase_add_test(tc, a_deadline_ends_a_job_with_the_text_so_far);
    tcase_add_test(tc, a_deadline_that_cannot_be_met_is_refused);
    tcase_add_test(tc, a_deadline_that_passes_in_the_queue_ends_the_job_there);
    tcase_add_test(tc, a_full_queue_refuses_and_the_time_to_come_back_grows);
    tcase_add_test(tc, a_predicted_wait_beyond_the_bound_is_refused);
    tcase_add_test(tc, what_can_never_fit_is_refused_at_once);
    tcase_add_test(tc, a_small_job_overtakes_one_that_does_not_fit_and_not_for_ever);
    tcase_add_test(tc, a_prompt_goes_to_the_worker_that_knows_it);
    tcase_add_test(tc, unknown_prompts_spread_over_the_workers);
    tcase_add_loop_test(tc, destroying_the_engine_ends_what_runs_and_what_waits, 0, 2);
    tcase_add_test(tc, aborting_ends_everything_with_its_reason);
    tcase_add_test(tc, banning_everything_ends_with_an_error_and_harms_nobody);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
