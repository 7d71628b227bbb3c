/* test_engine_profile.c - facts about profiles of an engine at work: they count layers and tokens,
 * all time stands in them, they change no bit and allocate nothing, and a job's own is its own. */
#include "base/clock.h"
#include "engine_test.h"

static struct record *records[8];

static void start_profile(struct engine *engine, unsigned every)
{
    struct error err;
    ok(engine_profile_start(engine, &(struct record_options){.every = every}, &err), &err);
}

static void stop_profile(struct engine *engine)
{
    struct error err;
    ok(engine_profile_stop(engine, records, &err), &err);
}

static void forget(struct engine *engine)
{
    for (unsigned i = 0; i < engine_plan(engine)->n_workers; i++)
        record_destroy(records[i]);
}

/* Jobs of a test never share a prefix: their lengths are counted. */
static struct engine_options plain(unsigned workers, unsigned threads)
{
    struct engine_options o = options_of(workers, threads);
    o.prefix_cache = false;
    return o;
}

START_TEST(calls_are_layers_times_tokens)
{
    enum { PROMPT = 12, TOKENS = 30 };
    size_t n_layers = world.model->shape.n_layers;
    for (unsigned threads = 1; threads <= 2; threads++) {
        struct engine_options o = plain(1, threads);
        struct engine *engine = engine_open(&o);
        struct request r = simple(PROMPT, TOKENS, 3);
        start_profile(engine, 1);
        job_destroy(run_request(engine, &r));
        stop_profile(engine);
        const struct record *record = records[0];
        uint64_t n = 0, attention = 0;
        for (int kind = 0; kind < RECORD_KINDS; kind++) {
            const struct record_steps *steps = &record->totals.steps[kind];
            ck_assert_uint_eq(steps->n_recorded, steps->n_seen);
            n += steps->n_recorded;
            for (size_t layer = 0; layer < n_layers; layer++) {
                uint64_t calls = record_cell(record, (enum record_kind)kind, layer, SCOPE_QKV)->n;
                ck_assert_uint_eq(calls, steps->n_recorded);
                ck_assert_uint_eq(record_cell(record, (enum record_kind)kind, layer, SCOPES)->n,
                                  calls);
                attention += record_cell(record, (enum record_kind)kind, layer, SCOPE_ATTENTION)->n;
            }
        }
        /* The last token is never computed; the prompt may take more than one step, and then the
         * last layer ends early in the first ones. */
        const struct record_steps *decode = &record->totals.steps[RECORD_DECODE];
        const struct record_steps *prefill = &record->totals.steps[RECORD_PREFILL];
        ck_assert_uint_eq(decode->n_recorded, TOKENS - 1);
        ck_assert_uint_eq(record_cell(record, RECORD_DECODE, 0, SCOPE_DOWN)->n, TOKENS - 1);
        ck_assert_uint_eq(attention, n_layers * n - (prefill->n_recorded - 1));
        ck_assert(prefill->work.n_rows == PROMPT && decode->work.n_rows == TOKENS - 1);
        ck_assert(decode->work.n_sampled + prefill->work.n_sampled == TOKENS);
        ck_assert_uint_eq(record->totals.allocations, 0);
        forget(engine);
        engine_destroy(engine);
    }
}
END_TEST

START_TEST(all_time_of_a_step_stands_in_its_scopes)
{
    struct engine_options o = plain(1, 2);
    struct engine *engine = engine_open(&o);
    struct job *jobs[4];
    start_profile(engine, 1);
    for (uint32_t i = 0; i < 4; i++) {
        struct request r = simple(40 + i, 20, i);
        jobs[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < 4; i++) {
        wait_finished(engine, jobs[i]);
        job_destroy(jobs[i]);
    }
    stop_profile(engine);
    size_t n_layers = world.model->shape.n_layers;
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        double sum = 0,
               whole = record_cell(records[0], (enum record_kind)kind, n_layers, SCOPES)->total;
        for (size_t layer = 0; layer <= n_layers; layer++) {
            for (size_t scope = 0; scope < SCOPES; scope++) {
                const struct record_cell *cell =
                    record_cell(records[0], (enum record_kind)kind, layer, scope);
                ck_assert(cell->busy <= cell->total * 1.000001 + 1);
                sum += cell->total;
            }
        }
        ck_assert_msg(sum >= 0.95 * whole && sum <= 1.0001 * whole, "%d: %f of %f", kind, sum,
                      whole);
    }
    ck_assert_uint_gt(records[0]->totals.n_lines, 0);
    forget(engine);
    engine_destroy(engine);
}
END_TEST

START_TEST(a_profile_changes_no_bit)
{
    struct engine_options o = plain(1, 2);
    struct engine *engine = engine_open(&o);
    struct request r = simple(20, 40, 5);
    struct job *before = run_request(engine, &r);
    start_profile(engine, 1);
    struct job *profiled = run_request(engine, &r);
    stop_profile(engine);
    same_answer(before, profiled);
    forget(engine);
    uint64_t allocations = stats_of(engine).allocations;
    ck_assert_uint_eq(allocations, 0);
    job_destroy(before);
    job_destroy(profiled);
    engine_destroy(engine);
}
END_TEST

START_TEST(one_profile_at_a_time)
{
    struct engine_options o = plain(2, 2);
    struct engine *engine = engine_open(&o);
    struct error err;
    start_profile(engine, 0);
    ck_assert_int_eq(engine_profile_start(engine, &(struct record_options){0}, &err), STATUS_FULL);
    stop_profile(engine);
    ck_assert_uint_eq(records[1]->totals.steps[RECORD_DECODE].n_seen, 0);
    forget(engine);
    start_profile(engine, 0);
    stop_profile(engine);
    forget(engine);
    engine_destroy(engine);
}
END_TEST

/* Starting and stopping again and again while sequences run: whole steps or none. */
START_TEST(profiles_come_and_go_while_sequences_run)
{
    struct engine_options o = plain(1, 2);
    struct engine *engine = engine_open(&o);
    struct job *job = start_long(engine, 9);
    uint64_t n_seen = 0;
    for (int i = 0; i < 50; i++) {
        start_profile(engine, i % 3 == 0 ? 2 : 1);
        uint32_t n = atomic_load(&job->n_ready);
        if (i % 5 == 0 && !atomic_load(&job->finished))
            engine_wait(engine, job, n);
        stop_profile(engine);
        const struct record_steps *steps = &records[0]->totals.steps[RECORD_DECODE];
        ck_assert_uint_eq(record_cell(records[0], RECORD_DECODE, 0, SCOPE_QKV)->n,
                          steps->n_recorded);
        ck_assert_uint_eq(record_cell(records[0], RECORD_DECODE, 0, SCOPE_EMBED)->n, 0);
        ck_assert_uint_eq(
            record_cell(records[0], RECORD_DECODE, world.model->shape.n_layers, SCOPE_PUBLISH)->n,
            steps->n_recorded);
        n_seen += steps->n_seen;
        forget(engine);
    }
    ck_assert_uint_le(n_seen, LONG);
    cancel_and_free(engine, job);
    engine_destroy(engine);
}
END_TEST

static struct job *profiled_job(const struct request *r)
{
    struct job_size size = {.n_prompt = r->n_prompt,
                            .max_tokens = r->max_tokens,
                            .max_piece = tokenizer_max_piece(world.tokenizer),
                            .profile = true};
    struct job *made = job_of(r), *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    memcpy(job_prompt(job), made->prompt, r->n_prompt * sizeof *made->prompt);
    job->ignore_eos = r->ignore_eos;
    job->sampling = made->sampling;
    job->arrived_ns = clock_now_ns();
    job_destroy(made);
    return job;
}

START_TEST(a_job_has_its_own_profile)
{
    struct engine_options o = plain(1, 2);
    struct engine *engine = engine_open(&o);
    struct request r = simple(30, 25, 11);
    struct job *plain_job = run_request(engine, &r), *job = profiled_job(&r);
    ck_assert_ptr_null(plain_job->profile);
    submit(engine, job);
    wait_finished(engine, job);
    same_answer(plain_job, job);
    const struct job_share *prompt = &job->profile->prompt, *answer = &job->profile->answer;
    ck_assert_uint_ge(prompt->n_steps, 1);
    ck_assert_uint_eq(answer->n_steps, 24);
    ck_assert_uint_ge(answer->n_recorded, 1);
    ck_assert_uint_le(answer->n_recorded, 24);
    double decode_ns = (double)(job->last_token_ns - job->first_token_ns);
    ck_assert(answer->wall_ns <= decode_ns * 1.01 + 1e5);
    ck_assert(prompt->wall_ns <= (double)(job->first_token_ns - job->started_ns) * 1.01 + 1e5);
    double sum = 0, matrices = 0;
    for (size_t i = 0; i < SCOPES; i++)
        sum += answer->times.total[i];
    for (size_t i = 0; i < SCOPE_NONE; i++)
        matrices += answer->times.matrix[i];
    ck_assert(sum <= answer->times.wall * 1.0001 && sum >= 0.9 * answer->times.wall);
    ck_assert(answer->times.matrix[WEIGHT_Q8_0] > 0 && matrices < answer->times.wall);
    ck_assert(answer->work.n_rows == (double)answer->n_recorded);
    job_destroy(plain_job);
    job_destroy(job);
    engine_destroy(engine);
}
END_TEST

START_TEST(memory_is_named)
{
    struct engine_options o = plain(2, 2);
    struct engine *engine = engine_open(&o);
    struct engine_memory memory;
    engine_memory(engine, &memory);
    ck_assert_uint_ge(memory.weights, world.model->bytes_per_token);
    ck_assert_uint_eq(memory.kv, engine_plan(engine)->kv_pages * engine_plan(engine)->page_bytes);
    ck_assert(memory.activations > 0 && memory.tables > 0 && memory.profile > 0);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_profile");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 240);
    tcase_add_unchecked_fixture(facts, world_open, world_close);
    tcase_add_test(facts, calls_are_layers_times_tokens);
    tcase_add_test(facts, all_time_of_a_step_stands_in_its_scopes);
    tcase_add_test(facts, a_profile_changes_no_bit);
    tcase_add_test(facts, one_profile_at_a_time);
    tcase_add_test(facts, profiles_come_and_go_while_sequences_run);
    tcase_add_test(facts, a_job_has_its_own_profile);
    tcase_add_test(facts, memory_is_named);
    suite_add_tcase(suite, facts);
    return run_suite(suite);
}
