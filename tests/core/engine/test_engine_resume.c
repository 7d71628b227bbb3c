/* test_engine_resume.c - an answer goes on after the tokens of another run of it: to the same bits,
 * wherever it was cut, and only after the tokens that are its own.
 */
#include "guided_test.h"

enum {
    N_KINDS = 9,
    GUIDED = 6 /* the first of them that is */,
    MOST = SANITIZED ? 14 : 30,
    N_LONG = 4,
    LONG_TOKENS = 200,
    TRIES = 60
};

static struct request kinds[N_KINDS];
static struct job *whole[N_KINDS];
static struct engine *reference; /* its prefix cache has every answer */

static void make_kinds(void)
{
    for (uint32_t i = 0; i < N_KINDS; i++) {
        kinds[i] = simple(i % 3 == 1 ? 70 : 6 + i, MOST, i + 1);
        kinds[i].temperature = 1;
    }
    kinds[1].temperature = 0;
    kinds[2].repetition_penalty = 1.4f;
    kinds[2].presence_penalty = 0.7f;
    kinds[3].ignore_eos = false;
    kinds[3].min_tokens = 12;
    kinds[4].typical_p = 0.9f;
    kinds[5].stop = "zzz";
    kinds[5].top_k = 0;
    for (size_t i = GUIDED; i < N_KINDS; i++) {
        struct request *r = &kinds[i];
        *r = guided(NULL, 2 * MOST, (uint32_t)i + 40);
        r->n_prompt = 40;
        r->repetition_penalty = i == GUIDED ? 1.2f : 1;
    }
    kinds[8].no_cache = true;
}

/* Grammars are an engine's own, as their vocabulary is. */
static void compile(struct engine *engine)
{
    kinds[6].grammar = grammar_of(engine, GRAMMAR_GBNF, list_gbnf);
    kinds[7].grammar = grammar_of(engine, GRAMMAR_GBNF, record_gbnf);
    kinds[8].grammar = grammar_of(engine, GRAMMAR_REGEX, "[a-z]{1,12}( and [a-z]{1,12}){3,40}\\.");
}

static void release(void)
{
    for (size_t i = GUIDED; i < N_KINDS; i++)
        grammar_release(kinds[i].grammar);
}

static void answer_whole(void)
{
    world_open();
    const struct engine_options o = options_of(1, 1);
    reference = engine_open(&o);
    make_kinds();
    compile(reference);
    for (size_t i = 0; i < N_KINDS; i++) {
        whole[i] = run_request(reference, &kinds[i]);
        ck_assert_uint_gt(whole[i]->n_tokens, 8);
    }
    release();
}

static void forget(void)
{
    for (size_t i = 0; i < N_KINDS; i++)
        job_destroy(whole[i]);
    engine_destroy(reference);
    world_close();
}

/* The request, after the first n tokens of an answer to it. */
static struct job *job_after(const struct request *r, const struct job *answer, size_t n)
{
    struct job *job = job_of(r);
    for (size_t i = 0; i < n; i++)
        job_prompt(job)[r->n_prompt + i] = answer->tokens[i].id;
    job->n_given = n;
    return job;
}

static void resume(struct engine *engine, struct job *job)
{
    struct error err;
    ok(engine_resume(engine, job, &err), &err);
    submit(engine, job);
}

static struct engine *open_other(const struct engine_options *o)
{
    struct engine *engine = engine_open(o);
    compile(engine);
    return engine;
}

static void close_other(struct engine *engine)
{
    const struct engine_stats stats = stats_of(engine);
    ck_assert_uint_eq(stats.allocations, 0);
    ck_assert_uint_eq(stats.kv.n_used, 0);
    release();
    engine_destroy(engine);
}

/* All kinds at once, after so many tokens, and more and more of them. */
static void goes_on_after(const struct engine_options *options, size_t first, size_t last)
{
    struct engine *engine = open_other(options);
    for (size_t n = first; n <= last; n += n < 4 ? 1 : 7) {
        struct job *jobs[N_KINDS] = {0};
        for (size_t i = 0; i < N_KINDS; i++)
            if (n <= whole[i]->n_tokens)
                resume(engine, jobs[i] = job_after(&kinds[i], whole[i], n));
        for (size_t i = 0; i < N_KINDS; i++) {
            if (jobs[i] == NULL)
                continue;
            wait_finished(engine, jobs[i]);
            ck_assert_msg(jobs[i]->finish != FINISH_ERROR, "kind %zu after %zu: %s", i, n,
                          jobs[i]->error.text);
            same_answer(whole[i], jobs[i]);
            job_destroy(jobs[i]);
        }
    }
    close_other(engine);
}

START_TEST(threads_and_cuts_change_nothing)
{
    static const size_t shapes[][4] = {{1, 1, 512, 8}, {2, 2, 7, 3}};
    const size_t *s = shapes[_i];
    struct engine_options o = options_of((unsigned)s[0], (unsigned)s[1]);
    o.step_tokens = s[2];
    o.max_batch = s[3];
    goes_on_after(&o, 0, 2 * MOST);
}
END_TEST

START_TEST(the_kernels_and_the_cache_change_nothing)
{
    struct engine_options o = options_of(1, 1);
    struct error err;
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    o.prefix_cache = false;
    goes_on_after(&o, 9, 9);
}
END_TEST

/* Another token that could stand there for all that is known without the model. NULL: none was
 * found. */
static struct job *with_another(struct engine *engine, size_t kind, size_t n, size_t i)
{
    const int32_t old = whole[kind]->tokens[i].id;
    for (size_t k = 1; k < TRIES; k++) {
        struct job *job = job_after(&kinds[kind], whole[kind], n);
        struct error err;
        job_prompt(job)[job->n_prompt + i] = (int32_t)(((size_t)old + k * 7) % world.n_vocab);
        if (job_prompt(job)[job->n_prompt + i] != old &&
            engine_resume(engine, job, &err) == STATUS_OK)
            return job;
        job_destroy(job);
    }
    return NULL;
}

static void is_refused_at(const struct job *job, size_t i)
{
    char place[40];
    snprintf(place, sizeof place, "resume_tokens[%zu] is %d,", i,
             (int)job->prompt[job->n_prompt + i]);
    ck_assert_int_eq(job->finish, FINISH_ERROR);
    ck_assert_int_eq(job->error.status, STATUS_INVALID);
    ck_assert_str_eq(job->error.param, "resume_tokens");
    ck_assert_msg(strncmp(job->error.text, place, strlen(place)) == 0, "\"%s\" instead of \"%s\"",
                  job->error.text, place);
}

/* Wherever it stands, though all that comes after it is right, and whatever the cache has; and the
 * others in the same steps do not notice. */
START_TEST(a_changed_token_is_found_out)
{
    struct engine_options o = options_of(1, _i == 0 ? 1 : 2);
    o.step_tokens = _i == 0 ? 512 : 5;
    struct engine *engine = open_other(&o);
    size_t n_changed = 0;
    for (size_t kind = 0; kind < N_KINDS; kind++) {
        const size_t n_tokens = whole[kind]->n_tokens;
        for (size_t i = 0; i < n_tokens; i += i < 2 ? 1 : 11) {
            struct job *changed = with_another(engine, kind, n_tokens, i);
            if (changed == NULL)
                continue;
            struct job *right = job_after(&kinds[kind], whole[kind], n_tokens);
            submit(engine, changed);
            resume(engine, right);
            wait_finished(engine, changed);
            wait_finished(engine, right);
            is_refused_at(changed, i);
            same_answer(whole[kind], right);
            n_changed++;
            job_destroy(changed);
            job_destroy(right);
        }
    }
    ck_assert_uint_gt(n_changed, 2 * N_KINDS);
    close_other(engine);
}
END_TEST

/* The text ends before them, or would have. */
START_TEST(tokens_beyond_the_end_are_found_out)
{
    struct request r = simple(6, MOST, 3);
    r.temperature = 1;
    struct job *free_of_ends = run_request(reference, &r);
    const int32_t end = free_of_ends->tokens[5].id;
    r.stop_ids = &end;
    r.n_stop_ids = 1;
    struct job *ended = run_request(reference, &r);
    ck_assert_int_eq(ended->finish, FINISH_STOP);
    struct job *job = job_after(&r, free_of_ends, ended->n_tokens);
    job_prompt(job)[r.n_prompt + ended->n_tokens] = end == 300 ? 301 : 300;
    job->n_given++;
    resume(reference, job);
    wait_finished(reference, job);
    is_refused_at(job, ended->n_tokens);
    job_destroy(job);
    job_destroy(ended);
    job_destroy(free_of_ends);
}
END_TEST

/* Those that were drawn again before it are read as any tokens are, the others drawn. */
START_TEST(preemption_changes_nothing)
{
    static const size_t n_given[N_LONG] = {10, 170, 60, 110};
    struct engine_options o = options_of(1, 2);
    struct job *answers[N_LONG], *jobs[N_LONG];
    struct request r[N_LONG];
    for (uint32_t i = 0; i < N_LONG; i++) {
        r[i] = simple(5, LONG_TOKENS, i + 60);
        answers[i] = run_request(reference, &r[i]);
    }
    o.kv_bytes = 11 * kv_page_bytes(&world.model->shape, o.kv_type);
    o.step_tokens = 1; /* the oldest grows while the second's are read */
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_LONG; i++)
        resume(engine, jobs[i] = job_after(&r[i], answers[i], n_given[i]));
    for (size_t i = 0; i < N_LONG; i++) {
        wait_finished(engine, jobs[i]);
        same_answer(answers[i], jobs[i]);
        job_destroy(jobs[i]);
        job_destroy(answers[i]);
    }
    ck_assert_uint_gt(stats_of(engine).preemptions, 0);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_resume");
    TCase *tests = tcase_create("resume");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, answer_whole, forget);
    tcase_add_loop_test(tests, threads_and_cuts_change_nothing, 0, 2);
    tcase_add_test(tests, the_kernels_and_the_cache_change_nothing);
    tcase_add_loop_test(tests, a_changed_token_is_found_out, 0, 2);
    tcase_add_test(tests, tokens_beyond_the_end_are_found_out);
    tcase_add_test(tests, preemption_changes_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
