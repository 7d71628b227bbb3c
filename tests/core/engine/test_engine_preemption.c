/* test_engine_preemption.c - sequences that outgrow the KV memory: the youngest give way and are
 * computed again, and no byte of any answer, no count and no end is another for it.
 *
 * The memory is so small that most sequences are preempted, many of them several times.
 */
#include "base/clock.h"
#include "engine_test.h"

enum { N_REQUESTS = SANITIZED ? 10 : 28, CONTEXT_PAGES = 16 };

static struct request requests[N_REQUESTS];
static struct job *alone[N_REQUESTS]; /* each by itself, in memory that never runs out */

static void make_requests(void)
{
    static const char *const stops[] = {NULL, "zzz", NULL, "zzzz", NULL, " th", NULL};
    uint32_t state = 21;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        size_t n_prompt = i % 4 == 3 ? 40 + lcg(&state) % 120 : 1 + lcg(&state) % 40;
        size_t n_whole = world.model->n_context - n_prompt;
        struct request *r = &requests[i];
        /* Most may fill the context; some begin alike. */
        *r = simple(n_prompt, i % 5 == 4 ? 60 : n_whole, (uint32_t)(i % 6) + 1);
        r->seed = 100 + i;
        r->ignore_eos = i % 3 != 2;
        r->min_tokens = i % 3 == 2 ? 150 : 0;
        r->n_logprobs = i % 2 == 0 ? (int)(i % 6) : -1;
        r->temperature = i % 7 == 6 ? 0 : 0.9f;
        r->repetition_penalty = i % 2 == 1 ? 1.2f : 1;
        r->stop = stops[i % (sizeof stops / sizeof *stops)];
        r->salt = i % 2;
        r->prompt_logprobs = i % 4 == 3 || i % 10 == 1;
        r->no_cache = i % 9 == 4;
        r->progress = i % 3 == 1;
        if (i % 14 == 12) { /* its prompt is all */
            r->max_tokens = r->min_tokens = 0;
            r->n_prompt = 150;
        }
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
    ck_assert_uint_eq(stats_of(engine).preemptions, 0);
    engine_destroy(engine);
}

static void forget(void)
{
    for (size_t i = 0; i < N_REQUESTS; i++)
        job_destroy(alone[i]);
    world_close();
}

/* KV memory of so many pages on each worker, far less than the batch could fill. */
static struct engine_options tight(unsigned workers, unsigned threads, size_t pages)
{
    struct engine_options o = options_of(workers, threads);
    o.max_batch = 16;
    o.kv_bytes = workers * pages * kv_page_bytes(&world.model->shape, o.kv_type);
    return o;
}

/* A reader that sees every state of an answer that is published: nothing is taken back. */
struct reader {
    uint32_t n_ready;
    size_t n_text;
    char text[65536];
};

static void look(struct reader *reader, const struct job *job)
{
    uint32_t n = atomic_load_explicit(&job->n_ready, memory_order_acquire);
    ck_assert_uint_ge(n, reader->n_ready);
    size_t end = n > 0 ? job->tokens[n - 1].text_end : 0;
    ck_assert_uint_ge(end, reader->n_text);
    ck_assert_int_eq(memcmp(reader->text, job->text, reader->n_text), 0);
    memcpy(reader->text, job->text, end);
    reader->n_ready = n;
    reader->n_text = end;
    for (size_t i = 1; n > 0 && job_wants_prompt_logprobs(job) && i < job->n_prompt; i++)
        ck_assert(job->prompt_logprobs[i].n_top == 3 && job->prompt_logprobs[i].logprob <= 0);
}

static struct engine_stats all_together(const struct engine_options *o)
{
    static struct reader readers[N_REQUESTS];
    struct engine *engine = engine_open(o);
    struct job *jobs[N_REQUESTS];
    memset(readers, 0, sizeof readers);
    for (size_t i = 0; i < N_REQUESTS; i++)
        jobs[i] = queue_job(engine, &requests[i]);
    for (size_t i = 0; i < N_REQUESTS; i++)
        for (bool over = false; !over;) {
            over = atomic_load_explicit(&jobs[i]->finished, memory_order_acquire);
            for (size_t k = 0; k < N_REQUESTS; k++)
                look(&readers[k], jobs[k]);
            if (!over)
                engine_wait(engine, jobs[i], readers[i].n_ready);
        }
    size_t n_prompt = 0, n_made = 0, n_cached = 0;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        same_answer(alone[i], jobs[i]);
        n_prompt += jobs[i]->n_prompt;
        n_cached += jobs[i]->n_cached;
        n_made += jobs[i]->n_completion;
        ck_assert_uint_lt(jobs[i]->n_cached, jobs[i]->n_prompt);
        job_destroy(jobs[i]);
    }
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.generated_tokens, n_made);
    ck_assert_uint_eq(s.prompt_computed_tokens + s.prompt_cached_tokens, n_prompt);
    ck_assert_uint_eq(s.prompt_cached_tokens, n_cached);
    ck_assert_uint_eq(s.running + s.queued + s.kv.n_used, 0);
    ck_assert_uint_eq(s.cancelled[0] + s.cancelled[1] + s.cancelled[2], 0);
    ck_assert_uint_eq(s.allocations, 0);
    engine_destroy(engine);
    return s;
}

START_TEST(answers_are_the_same_when_memory_runs_out)
{
    static const size_t pages[] = {CONTEXT_PAGES, 2 * CONTEXT_PAGES};
    struct engine_options o = tight(1, 1 + (unsigned)_i / 2, pages[_i / 2]);
    o.prefix_cache = _i % 2 == 0;
    struct engine_stats s = all_together(&o);
    ck_assert_uint_gt(s.preemptions, N_REQUESTS / 4);
    ck_assert(o.prefix_cache || s.recomputed_tokens > 0);
}
END_TEST

START_TEST(answers_are_the_same_on_several_workers)
{
    struct engine_options o = tight(2, 2, CONTEXT_PAGES);
    o.prefix_cache = _i == 0;
    ck_assert_uint_gt(all_together(&o).preemptions, 0);
}
END_TEST

START_TEST(answers_are_the_same_when_they_are_read_again_in_small_steps)
{
    static const size_t cuts[] = {1, 7, 33};
    struct engine_options o = tight(1, 1, CONTEXT_PAGES + 8);
    o.step_tokens = cuts[_i];
    o.prefix_cache = false;
    ck_assert_uint_gt(all_together(&o).preemptions, 0);
}
END_TEST

START_TEST(stop_strings_logprobs_and_ends_are_among_the_requests)
{
    size_t n_stop = 0, n_length = 0, n_long = 0;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        n_stop += alone[i]->finish == FINISH_STOP;
        n_length += alone[i]->finish == FINISH_LENGTH;
        n_long += alone[i]->n_completion > 300;
    }
    ck_assert_uint_gt(n_stop, 0);
    ck_assert_uint_gt(n_length, 0);
    ck_assert_uint_gt(n_long, 3);
}
END_TEST

/* --- ends of those that wait to go on --- */

enum { MADE = 240, MADE_PAGES = 8 };

/* Two long ones in memory for little more than one: *old runs, *young was preempted, and waits: it
 * can only go on when the other has ended. */
static struct engine *preempted(struct job **old, struct job **young, uint64_t deadline_ns)
{
    struct engine_options o = tight(1, 1, MADE_PAGES + 1);
    struct error err;
    ok(kernels_select(&o.kernels, SANITIZED ? KERNELS_AUTO : KERNELS_REF, &world.cpu, &err), &err);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, MADE, 3);
    *old = queue_job(engine, &r);
    r.prompt_seed = 4;
    *young = job_of(&r);
    (*young)->deadline_ns = deadline_ns;
    submit(engine, *young);
    for (uint32_t n = 0; stats_of(engine).preemptions == 0 && !(*young)->finished; n++)
        engine_wait(engine, *old, n);
    return engine;
}

static void same_beginning(const struct job *part, uint32_t prompt_seed)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, MADE, prompt_seed);
    r.seed = 3;
    struct job *whole = run_request(engine, &r);
    ck_assert_uint_gt(part->n_text, 0);
    ck_assert_int_eq(memcmp(part->text, whole->text, part->n_text), 0);
    job_destroy(whole);
    engine_destroy(engine);
}

START_TEST(cancelled_while_it_waits_to_go_on_it_ends_at_once_with_its_text)
{
    struct job *old, *young;
    struct engine *engine = preempted(&old, &young, 0);
    ck_assert(!young->finished);
    size_t n_ready = young->n_ready;
    ck_assert_uint_gt(n_ready, 0);
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.running + s.queued, 2);
    engine_cancel(engine, young);
    ck_assert(young->finished); /* no waiting for a step */
    ck_assert_int_eq(young->finish, FINISH_CANCELLED);
    ck_assert_int_eq(young->cancelled_in, JOB_DECODE);
    ck_assert_uint_ge(young->n_tokens, n_ready);
    s = stats_of(engine);
    ck_assert_uint_eq(s.cancelled[JOB_DECODE], 1);
    ck_assert_uint_eq(s.queued, 0);
    same_beginning(young, 4);
    job_destroy(young);
    wait_finished(engine, old);
    ck_assert_int_eq(old->finish, FINISH_LENGTH);
    job_destroy(old);
    engine_destroy(engine);
}
END_TEST

START_TEST(it_goes_on_when_the_older_one_has_ended)
{
    struct job *old, *young;
    struct engine *engine = preempted(&old, &young, 0);
    uint32_t n_ready = young->n_ready;
    ck_assert_uint_lt(n_ready, young->max_tokens);
    cancel_and_free(engine, old);
    engine_wait(engine, young, n_ready);
    ck_assert_uint_gt(young->n_ready, n_ready);
    wait_finished(engine, young);
    ck_assert_int_eq(young->finish, FINISH_LENGTH);
    ck_assert_uint_eq(stats_of(engine).recomputed_tokens, 8 + n_ready);
    same_beginning(young, 4);
    job_destroy(young);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_deadline_that_passes_while_it_waits_to_go_on_ends_it_with_its_text)
{
    struct job *old, *young;
    uint64_t begin = clock_now_ns();
    struct engine *engine = preempted(&old, &young, 0);
    uint64_t time = clock_now_ns() - begin; /* until it waits; for half as long again, about */
    cancel_and_free(engine, old);
    cancel_and_free(engine, young);
    engine_destroy(engine);
    bool met = false;
    time += time / 4;
    for (int i = 0; i < 30 && !met; i++) { /* until it falls where it should */
        engine = preempted(&old, &young, clock_now_ns() + time);
        wait_finished(engine, young);
        bool waited = stats_of(engine).preemptions > 0;
        met = waited && !old->finished;
        ck_assert(!met || young->finish == FINISH_DEADLINE);
        if (met)
            same_beginning(young, 4);
        time = waited ? time - time / 10 : time + time / 10;
        cancel_and_free(engine, old);
        job_destroy(young);
        engine_destroy(engine);
    }
    ck_assert(met);
}
END_TEST

START_TEST(aborting_ends_those_that_wait_to_go_on)
{
    struct job *old, *young;
    struct engine *engine = preempted(&old, &young, 0);
    engine_abort_all(engine, "the service is stopping");
    wait_finished(engine, old);
    wait_finished(engine, young);
    ck_assert_int_eq(young->finish, FINISH_ERROR);
    ck_assert_str_eq(young->error.text, "the service is stopping");
    ck_assert_uint_gt(young->n_tokens, 0);
    ck_assert_uint_eq(young->n_ready, young->n_tokens);
    job_destroy(young);
    job_destroy(old);
    engine_destroy(engine);
}
END_TEST

START_TEST(destroying_the_engine_ends_those_that_wait_to_go_on)
{
    struct job *old, *young;
    struct engine *engine = preempted(&old, &young, 0);
    engine_destroy(engine);
    ck_assert(old->finished && young->finished);
    ck_assert(young->finish == FINISH_CANCELLED || young->finish == FINISH_LENGTH);
    job_destroy(young);
    job_destroy(old);
}
END_TEST

START_TEST(the_oldest_never_gives_way_and_ends_first)
{
    struct engine_options o = tight(1, 1, CONTEXT_PAGES);
    struct engine *engine = engine_open(&o);
    struct job *jobs[6];
    for (uint32_t i = 0; i < 6; i++) {
        struct request r = simple(8, world.model->n_context - 8, 50 + i);
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < 6; i++) {
        wait_finished(engine, jobs[i]);
        ck_assert_uint_eq(jobs[i]->n_tokens, world.model->n_context - 8);
        ck_assert(i == 0 || jobs[i]->last_token_ns > jobs[i - 1]->last_token_ns);
    }
    for (size_t i = 0; i < 6; i++)
        job_destroy(jobs[i]);
    ck_assert(engine_alive(engine, clock_now_ns(), 100 * SECOND));
    engine_destroy(engine);
}
END_TEST

START_TEST(a_profile_gives_what_is_computed_again_to_the_answer)
{
    struct engine_options o = tight(1, 2, CONTEXT_PAGES);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    const struct record_options every = {.every = 1};
    struct error err;
    ok(engine_profile_start(engine, &every, &err), &err);
    struct job *jobs[4];
    for (uint32_t i = 0; i < 4; i++) {
        struct request r = simple(8, 300, 70 + i);
        r.profile = true;
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < 4; i++) {
        wait_finished(engine, jobs[i]);
        ck_assert_uint_eq(jobs[i]->n_tokens, 300);
        ck_assert_uint_ge(jobs[i]->profile->prompt.n_steps, 1);
        ck_assert_uint_le(jobs[i]->profile->prompt.n_steps, 8);
        /* The first token comes of a prompt's step, as does each after a preemption. */
        ck_assert_uint_ge(jobs[i]->profile->answer.n_steps, 299);
    }
    ck_assert_uint_gt(stats_of(engine).preemptions, 0);
    for (size_t i = 0; i < 4; i++)
        job_destroy(jobs[i]);
    ok(engine_profile_stop(engine, NULL, &err), &err);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_preemption");
    TCase *tc = tcase_create("preemption");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, answer_alone, forget);
    tcase_add_test(tc, stop_strings_logprobs_and_ends_are_among_the_requests);
    tcase_add_loop_test(tc, answers_are_the_same_when_memory_runs_out, 0, 4);
    tcase_add_loop_test(tc, answers_are_the_same_on_several_workers, 0, 2);
    tcase_add_loop_test(tc, answers_are_the_same_when_they_are_read_again_in_small_steps, 0, 3);
    tcase_add_test(tc, cancelled_while_it_waits_to_go_on_it_ends_at_once_with_its_text);
    tcase_add_test(tc, it_goes_on_when_the_older_one_has_ended);
    tcase_add_test(tc, a_deadline_that_passes_while_it_waits_to_go_on_ends_it_with_its_text);
    tcase_add_test(tc, aborting_ends_those_that_wait_to_go_on);
    tcase_add_test(tc, destroying_the_engine_ends_those_that_wait_to_go_on);
    tcase_add_test(tc, the_oldest_never_gives_way_and_ends_first);
    tcase_add_test(tc, a_profile_gives_what_is_computed_again_to_the_answer);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
