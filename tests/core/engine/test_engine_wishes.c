/* test_engine_wishes.c - what APIs ask of a job beside its tokens: prompts alone, the prompt's
 * log-probabilities, penalties over the answer, kept stop strings, prompts computed anew. Each
 * alone as in a crowd, bit for bit.
 */
#include "engine_test.h"

enum { PROMPT = 70, CROWD = 7 };

/* The request's job, alone on an engine of its own or in the middle of a crowd. */
static struct job *run_in_crowd(struct engine *engine, const struct request *r)
{
    struct job *crowd[CROWD], *job;
    for (size_t i = 0; i < CROWD; i++) {
        struct request other = simple(5 + 9 * i, 30, (uint32_t)(100 + i));
        other.prompt_logprobs = i % 3 == 1;
        crowd[i] = job_of(&other);
        submit(engine, crowd[i]);
    }
    job = run_request(engine, r);
    for (size_t i = 0; i < CROWD; i++) {
        wait_finished(engine, crowd[i]);
        job_destroy(crowd[i]);
    }
    return job;
}

START_TEST(a_prompt_alone_is_read_and_nothing_is_made)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(PROMPT, 0, 3);
    struct job *job = run_in_crowd(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    ck_assert_uint_eq(job->n_completion + job->n_tokens + job->n_text, 0);
    ck_assert_uint_eq(job->first_token_ns, 0);
    ck_assert_uint_ne(job->started_ns, 0);
    ck_assert_uint_gt(job->read_ns, job->started_ns);
    job_destroy(job);
    r.max_tokens = 4; /* what it has read is there for others */
    job = run_request(engine, &r);
    ck_assert_uint_eq(job->n_cached, PROMPT / KV_PAGE * KV_PAGE);
    ck_assert_uint_eq(job->read_ns, job->first_token_ns);
    job_destroy(job);
    r = simple(world.model->n_context, 0, 4); /* a whole context of prompt */
    job = run_request(engine, &r);
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

/* The log-probability that a prompt's token has is the one that it had when it was made. */
START_TEST(a_prompt_has_the_logprobs_of_its_making)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(20, 40, 8);
    r.n_logprobs = 3;
    struct job *made = run_request(engine, &r);
    struct request again = simple(20 + 40, 1, 8);
    again.prompt_logprobs = true;
    struct job *read = job_of(&again);
    memcpy(job_prompt(read), job_prompt(made), 60 * sizeof(int32_t));
    submit(engine, read);
    wait_finished(engine, read);
    ck_assert_uint_eq(read->n_cached, 0); /* though the cache has most of it */
    for (size_t i = 0; i < 40; i++)
        same_logprobs(&made->logprobs[i], &read->prompt_logprobs[20 + i]);
    ck_assert_uint_eq(read->prompt_logprobs[0].n_top, 0);
    job_destroy(made);
    job_destroy(read);
    engine_destroy(engine);
}
END_TEST

START_TEST(prompt_logprobs_do_not_depend_on_chunks_threads_or_company)
{
    struct request r = simple(PROMPT, 3, 21);
    r.prompt_logprobs = true;
    r.n_logprobs = 2;
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job *right = run_request(engine, &r);
    engine_destroy(engine);
    static const struct {
        unsigned threads;
        size_t step_tokens, max_batch;
    } ways[] = {{1, 1, 8}, {2, 7, 2}, {2, 512, 1}, {1, 64, 16}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        o = options_of(1, ways[i].threads);
        o.step_tokens = ways[i].step_tokens;
        o.max_batch = ways[i].max_batch;
        engine = engine_open(&o);
        struct job *job = run_in_crowd(engine, &r);
        same_answer(right, job);
        job_destroy(job);
        engine_destroy(engine);
    }
    job_destroy(right);
}
END_TEST

/* KV memory for two of these at a time: the younger ones give way and are read again. */
START_TEST(prompt_logprobs_survive_preemption)
{
    enum { N = 6 };
    struct engine_options o = options_of(1, 1);
    struct job *right[N], *jobs[N];
    struct engine *engine = engine_open(&o);
    struct request r[N];
    for (size_t i = 0; i < N; i++) {
        r[i] = simple(90, 150, (uint32_t)(40 + i));
        r[i].prompt_logprobs = true;
        right[i] = run_request(engine, &r[i]);
    }
    size_t page = 0;
    struct engine_stats stats;
    engine_stats(engine, &stats);
    page = o.kv_bytes / stats.kv.n_pages;
    engine_destroy(engine);
    o.kv_bytes = page * kv_pages_for(2 * 240);
    engine = engine_open(&o);
    for (size_t i = 0; i < N; i++) {
        jobs[i] = job_of(&r[i]);
        submit(engine, jobs[i]);
    }
    for (size_t i = 0; i < N; i++) {
        wait_finished(engine, jobs[i]);
        same_answer(right[i], jobs[i]);
        job_destroy(right[i]);
        job_destroy(jobs[i]);
    }
    engine_stats(engine, &stats);
    ck_assert_uint_gt(stats.preemptions, 0);
    engine_destroy(engine);
}
END_TEST

START_TEST(penalties_can_leave_the_prompt_out)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(50, 30, 5), bare = r;
    r.presence_penalty = 2;
    r.temperature = 0;
    struct job *both = run_request(engine, &r);
    r.answer_only = true;
    struct job *alone = run_request(engine, &r), *crowd = run_in_crowd(engine, &r);
    same_answer(alone, crowd);
    bool same = both->n_text == alone->n_text && !memcmp(both->text, alone->text, both->n_text);
    ck_assert(!same);
    bare.temperature = 0; /* the first token has no answer before it: no penalty counts */
    struct job *plain = run_request(engine, &bare);
    ck_assert_int_eq(plain->tokens[0].id, alone->tokens[0].id);
    job_destroy(plain);
    job_destroy(both);
    job_destroy(alone);
    job_destroy(crowd);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_stop_string_is_known_and_may_stay)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(12, 60, 17);
    struct job *whole = run_request(engine, &r);
    ck_assert_int_eq(whole->stop_index, -1);
    ck_assert_int_eq(whole->stop_id, -1);
    ck_assert_uint_ge(whole->n_text, 24);
    char stop[5] = "";
    memcpy(stop, whole->text + 20, 4);
    size_t at = (size_t)((char *)memmem(whole->text, whole->n_text, stop, 4) - whole->text);
    r.stop = stop;
    struct job *cut = run_request(engine, &r);
    r.keep_stop = true;
    struct job *kept = run_request(engine, &r);
    ck_assert_int_eq(cut->finish, FINISH_STOP);
    ck_assert_int_eq(cut->stop_index, 0);
    ck_assert_uint_eq(cut->n_text, at);
    ck_assert_uint_eq(kept->n_text, at + 4);
    ck_assert_mem_eq(kept->text, whole->text, at + 4);
    ck_assert_uint_eq(kept->tokens[kept->n_tokens - 1].text_end, at + 4);
    r = simple(12, 60, 17);
    r.stop_ids = &whole->tokens[5].id;
    r.n_stop_ids = 1;
    struct job *by_id = run_request(engine, &r);
    ck_assert_int_eq(by_id->stop_id, whole->tokens[5].id);
    ck_assert_int_eq(by_id->stop_index, -1);
    job_destroy(whole);
    job_destroy(cut);
    job_destroy(kept);
    job_destroy(by_id);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_prompt_can_be_computed_anew_and_watched)
{
    struct engine_options o = options_of(1, 1);
    o.step_tokens = 16;
    struct engine *engine = engine_open(&o);
    struct request r = simple(PROMPT, 5, 30);
    struct job *first = run_request(engine, &r), *second = run_request(engine, &r);
    r.no_cache = true;
    r.progress = true;
    struct job *anew = run_request(engine, &r);
    ck_assert_uint_eq(second->n_cached, PROMPT / KV_PAGE * KV_PAGE);
    ck_assert_uint_eq(anew->n_cached, 0);
    ck_assert_uint_eq(anew->n_read, PROMPT);
    same_answer(first, anew);
    job_destroy(first);
    job_destroy(second);
    job_destroy(anew);
    engine_destroy(engine);
}
END_TEST

/* A prompt that is computed anew is there for others, and stands in the cache once. */
START_TEST(a_prompt_computed_anew_is_cached_for_others)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(PROMPT, 4, 31), anew = r;
    anew.no_cache = _i == 0;
    anew.prompt_logprobs = _i == 1;
    job_destroy(run_request(engine, &anew));
    size_t n_cached = stats_of(engine).kv.n_cached;
    for (int i = 0; i < 3; i++) {
        struct job *job = run_request(engine, &anew);
        ck_assert_uint_eq(job->n_cached, 0);
        job_destroy(job);
    }
    struct engine_stats stats = stats_of(engine);
    ck_assert_uint_eq(stats.kv.n_cached, n_cached);
    ck_assert_uint_eq(stats.kv.hit_tokens, 0);
    ck_assert_uint_eq(stats.kv.query_tokens, 0); /* the cache was not asked */
    struct job *job = run_request(engine, &r);
    ck_assert_uint_eq(job->n_cached, PROMPT / KV_PAGE * KV_PAGE);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

/* A young prompt is read in small steps while older answers take the memory. */
START_TEST(prompt_logprobs_survive_preemption_within_the_prompt)
{
    enum { N = 5, LENGTH = 260 };
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(LENGTH, 0, 77);
    r.prompt_logprobs = true;
    struct job *right = run_request(engine, &r), *older[N], *job;
    engine_destroy(engine);
    o.kv_bytes = 16 * kv_page_bytes(&world.model->shape, o.kv_type);
    o.step_tokens = 4;
    o.prefix_cache = _i == 0;
    engine = engine_open(&o);
    for (size_t i = 0; i < N; i++) {
        struct request old = simple(4, 250, (uint32_t)(60 + i));
        older[i] = queue_job(engine, &old);
    }
    job = queue_job(engine, &r);
    wait_finished(engine, job);
    same_answer(right, job);
    for (size_t i = 0; i < N; i++) {
        wait_finished(engine, older[i]);
        job_destroy(older[i]);
    }
    ck_assert_uint_gt(stats_of(engine).preemptions, 0);
    job_destroy(right);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

/* n_read grows with the steps and ends at the whole prompt, even where the prompt is all. */
START_TEST(a_prompt_is_watched_to_its_end)
{
    struct engine_options o = options_of(1, 1);
    o.step_tokens = 16;
    struct engine *engine = engine_open(&o);
    for (size_t max_tokens = 0; max_tokens < 3; max_tokens++) {
        struct request r = simple(PROMPT, max_tokens, 32);
        r.progress = true;
        struct job *job = run_request(engine, &r);
        ck_assert_uint_eq(job->n_read, PROMPT);
        ck_assert_uint_eq(job->n_found, job->n_cached);
        ck_assert_uint_eq(job->n_found, max_tokens > 0 ? PROMPT / KV_PAGE * KV_PAGE : 0);
        r.progress = false;
        struct job *unwatched = run_request(engine, &r);
        ck_assert_uint_eq(unwatched->n_read, 0);
        job_destroy(unwatched);
        job_destroy(job);
    }
    engine_destroy(engine);
}
END_TEST

/* A job says by its number whether it wants them. */
START_TEST(places_alone_ask_for_nothing)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(PROMPT, 2, 33);
    job_destroy(run_request(engine, &r));
    r.prompt_logprobs = true;
    struct job *job = job_of(&r);
    job->n_prompt_logprobs = -1;
    submit(engine, job);
    wait_finished(engine, job);
    ck_assert_uint_eq(job->n_cached, PROMPT / KV_PAGE * KV_PAGE);
    for (size_t i = 0; i < PROMPT; i++)
        ck_assert_uint_eq(job->prompt_logprobs[i].n_top, 0);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

struct watch { /* cancels its job once so much of the prompt is read */
    struct engine *engine;
    struct job *job;
    uint32_t enough;
};

static void look_and_cancel(void *ctx)
{
    struct watch *watch = ctx;
    if (atomic_load_explicit(&watch->job->n_read, memory_order_acquire) >= watch->enough)
        engine_cancel(watch->engine, watch->job);
}

START_TEST(a_prompt_cut_short_has_the_logprobs_of_what_was_read)
{
    enum { LENGTH = 200, STEP = 8 };
    struct engine_options o = options_of(1, 1);
    struct request r = simple(LENGTH, 2, 35);
    struct engine *engine = engine_open(&o);
    r.prompt_logprobs = r.progress = true;
    struct job *right = run_request(engine, &r), *job = job_of(&r);
    engine_destroy(engine);
    struct watch watch = {.job = job, .enough = 50};
    o.step_tokens = STEP;
    o.wake = look_and_cancel;
    o.wake_ctx = &watch;
    watch.engine = engine = engine_open(&o);
    submit(engine, job);
    wait_finished(engine, job);
    ck_assert_int_eq(job->finish, FINISH_CANCELLED);
    ck_assert_int_eq(job->cancelled_in, JOB_PREFILL);
    const size_t n_read = job->n_read; /* the step that came to 50, and none after it */
    ck_assert(n_read >= 50 && n_read < 50 + STEP);
    for (size_t i = 0; i < LENGTH; i++) {
        ck_assert_int_eq(job_has_prompt_logprob(right, i), i > 0);
        ck_assert_int_eq(job_has_prompt_logprob(job, i), i > 0 && i <= n_read);
        if (job_has_prompt_logprob(job, i))
            same_logprobs(&right->prompt_logprobs[i], &job->prompt_logprobs[i]);
        else
            ck_assert_uint_eq(job->prompt_logprobs[i].n_top, 0);
    }
    engine_destroy(engine);
    job_destroy(right);
    job_destroy(job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/wishes");
    TCase *tcase = tcase_create("wishes");
    tcase_add_unchecked_fixture(tcase, world_open, world_close);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_prompt_alone_is_read_and_nothing_is_made);
    tcase_add_test(tcase, a_prompt_has_the_logprobs_of_its_making);
    tcase_add_test(tcase, prompt_logprobs_do_not_depend_on_chunks_threads_or_company);
    tcase_add_test(tcase, prompt_logprobs_survive_preemption);
    tcase_add_test(tcase, penalties_can_leave_the_prompt_out);
    tcase_add_test(tcase, a_stop_string_is_known_and_may_stay);
    tcase_add_test(tcase, a_prompt_can_be_computed_anew_and_watched);
    tcase_add_loop_test(tcase, a_prompt_computed_anew_is_cached_for_others, 0, 2);
    tcase_add_loop_test(tcase, prompt_logprobs_survive_preemption_within_the_prompt, 0, 2);
    tcase_add_test(tcase, a_prompt_is_watched_to_its_end);
    tcase_add_test(tcase, a_prompt_cut_short_has_the_logprobs_of_what_was_read);
    tcase_add_test(tcase, places_alone_ask_for_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
