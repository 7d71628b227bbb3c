/* test_engine_guided_bits.c - one arithmetic for texts that keep to grammars: alone, beside others,
 * with and without a cache, preempted, with any threads and cuts, with every token's step or the
 * forced ones skipped, masks kept or made anew.
 */
#include "guided_test.h"

enum { N_REQUESTS = SANITIZED ? 6 : 15, N_GRAMMARS = 4, N_LONG = SANITIZED ? 3 : 5 };

static const struct {
    enum grammar_language language;
    const char *text;
} languages[N_GRAMMARS] = {{GRAMMAR_GBNF, list_gbnf},
                           {GRAMMAR_GBNF, record_gbnf},
                           {GRAMMAR_REGEX, "[a-z]{1,12}( and [a-z]{1,12}){3,40}\\."},
                           {GRAMMAR_GBNF, "root ::= \"(\" root \")\" root | [xyz]{0,3}"}};

static struct request requests[N_REQUESTS];
static struct job *alone[N_REQUESTS];
static struct grammar *own[N_GRAMMARS];

static void compile(struct engine *engine, struct grammar **out)
{
    for (size_t i = 0; i < N_GRAMMARS; i++)
        out[i] = grammar_of(engine, languages[i].language, languages[i].text);
}

static void release(struct grammar *const *grammars)
{
    for (size_t i = 0; i < N_GRAMMARS; i++)
        grammar_release(grammars[i]);
}

/* Some keep to no grammar. */
static struct grammar *choose(struct grammar *const *grammars, size_t i)
{
    return i % 5 == 4 ? NULL : grammars[i % 5];
}

static void make_requests(void)
{
    uint32_t state = 11;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        struct request *r = &requests[i];
        *r = guided(NULL, 20 + lcg(&state) % 160, (uint32_t)(i % 6) + 1);
        r->n_prompt = i % 4 == 1 ? 33 + lcg(&state) % 100 : 1 + lcg(&state) % 40;
        r->seed = i;
        r->n_logprobs = i % 3 == 2 ? 3 : -1;
        r->temperature = i % 7 == 6 ? 0 : 0.7f + (float)(i % 3) * 0.6f;
        r->top_k = i % 4 == 3 ? 20 : 0;
        r->top_p = i % 6 == 1 ? 0.9f : 1;
        r->repetition_penalty = i % 6 == 5 ? 1.2f : 1;
        r->ignore_eos = i % 8 == 3;
        r->min_tokens = i % 9 == 2 ? 12 : 0;
        r->stop = i % 10 == 7 ? "and" : NULL;
        r->salt = i % 2;
    }
}

static void answer_alone(void)
{
    world_open();
    make_requests();
    struct engine_options o = options_of(1, 1);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    compile(engine, own);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        requests[i].grammar = choose(own, i);
        alone[i] = run_request(engine, &requests[i]);
    }
    ck_assert_uint_gt(stats_of(engine).forced_tokens, 0);
    engine_destroy(engine);
}

static void forget(void)
{
    for (size_t i = 0; i < N_REQUESTS; i++)
        job_destroy(alone[i]);
    release(own);
    world_close();
}

/* All at once; in a second round masks are kept and prompts are cached. */
static void all_together(const struct engine_options *o, int n_rounds)
{
    struct engine *engine = engine_open(o);
    struct grammar *grammars[N_GRAMMARS];
    struct job *jobs[N_REQUESTS];
    compile(engine, grammars);
    for (int round = 0; round < n_rounds; round++) {
        for (size_t i = 0; i < N_REQUESTS; i++) {
            requests[i].grammar = choose(grammars, i);
            jobs[i] = queue_job(engine, &requests[i]);
        }
        for (size_t i = 0; i < N_REQUESTS; i++) {
            wait_finished(engine, jobs[i]);
            same_answer(alone[i], jobs[i]);
            job_destroy(jobs[i]);
        }
    }
    struct engine_stats stats = stats_of(engine);
    ck_assert_uint_eq(stats.allocations, 0);
    ck_assert_uint_eq(stats.kv.n_used, 0);
    release(grammars);
    engine_destroy(engine);
}

START_TEST(workers_and_threads_change_nothing)
{
    static const unsigned shapes[][2] = {{1, 1}, {1, 2}, {2, 3}};
    const struct engine_options o = options_of(shapes[_i][0], shapes[_i][1]);
    all_together(&o, 2);
}
END_TEST

/* Of prompts, and of what a grammar goes on with. */
START_TEST(cuts_change_nothing)
{
    static const size_t cuts[] = {1, 5};
    struct engine_options o = options_of(1, 2);
    o.step_tokens = cuts[_i];
    all_together(&o, 1);
}
END_TEST

START_TEST(the_batch_changes_nothing)
{
    struct engine_options o = options_of(1, 2);
    o.max_batch = 3;
    all_together(&o, 1);
}
END_TEST

/* Each comes to fill nearly all of the memory: the youngest give way, in the midst of forced text.
 */
START_TEST(preemption_changes_nothing)
{
    static const char text[] = "([a-z]{1,4} and then the other one is [xyz]{1,3}; ){40}";
    struct engine_options o = options_of(1, 2);
    struct job *jobs[2][N_LONG];
    for (int i = 0; i < 2; i++) {
        o.kv_bytes = (i == 0 ? 100 : 9) * kv_page_bytes(&world.model->shape, o.kv_type);
        struct engine *engine = engine_open(&o);
        struct grammar *g = grammar_of(engine, GRAMMAR_REGEX, text);
        for (uint32_t k = 0; k < N_LONG; k++) {
            const struct request r = guided(g, 240, k);
            jobs[i][k] = queue_job(engine, &r);
        }
        for (size_t k = 0; k < N_LONG; k++)
            wait_finished(engine, jobs[i][k]);
        ck_assert_int_eq(stats_of(engine).preemptions > 0, i == 1);
        ck_assert_uint_gt(stats_of(engine).forced_tokens, 0);
        grammar_release(g);
        engine_destroy(engine);
    }
    for (size_t k = 0; k < N_LONG; k++) {
        same_answer(jobs[0][k], jobs[1][k]);
        job_destroy(jobs[0][k]);
        job_destroy(jobs[1][k]);
    }
}
END_TEST

START_TEST(the_kernels_change_nothing)
{
    struct engine_options o = options_of(1, 2);
    struct error err;
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    all_together(&o, 1);
}
END_TEST

/* What is forced is skipped, or each token of it has its step. */
START_TEST(log_probabilities_change_nothing)
{
    const struct engine_options o = options_of(1, 2);
    struct engine *engine = engine_open(&o);
    struct grammar *grammars[N_GRAMMARS];
    compile(engine, grammars);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        struct request r = requests[i];
        r.grammar = choose(grammars, i);
        r.n_logprobs = 1;
        struct job *job = run_request(engine, &r), *expected = alone[i];
        const int n_logprobs = expected->n_logprobs;
        expected->n_logprobs = -1;
        same_answer(expected, job);
        expected->n_logprobs = n_logprobs;
        job_destroy(job);
    }
    release(grammars);
    engine_destroy(engine);
}
END_TEST

START_TEST(every_kind_of_end_is_among_the_requests)
{
    size_t n_whole = 0, n_cut = 0;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        requests[i].grammar = choose(own, i);
        if (requests[i].grammar == NULL)
            continue;
        n_cut += alone[i]->finish == FINISH_LENGTH || alone[i]->stop_index >= 0;
        n_whole += alone[i]->finish == FINISH_STOP && alone[i]->stop_index < 0;
        if (alone[i]->finish == FINISH_STOP && alone[i]->stop_index < 0)
            ck_assert(job_matches(alone[i]));
    }
    ck_assert_uint_gt(n_whole, N_REQUESTS / 3);
    ck_assert_uint_gt(n_cut, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_guided_bits");
    TCase *tests = tcase_create("bits");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, answer_alone, forget);
    tcase_add_test(tests, every_kind_of_end_is_among_the_requests);
    tcase_add_loop_test(tests, workers_and_threads_change_nothing, 0, 3);
    tcase_add_loop_test(tests, cuts_change_nothing, 0, 2);
    tcase_add_test(tests, the_batch_changes_nothing);
    tcase_add_test(tests, preemption_changes_nothing);
    tcase_add_test(tests, the_kernels_change_nothing);
    tcase_add_test(tests, log_probabilities_change_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
