/* test_engine_states.c - an engine on a model with recurrent layers: answers are the same alone and
 * in company, with few states and with one, preempted, and from a state that was kept; and a
 * sequence that finds no state waits for one.
 */
#include "core/recurrent_model.h"

#include "engine_test.h"

enum { N_REQUESTS = 24 };

static struct request requests[N_REQUESTS];
static struct job *alone[N_REQUESTS];

static void make_requests(void)
{
    for (size_t i = 0; i < N_REQUESTS; i++) {
        /* Some prompts are asked again, so that what was kept is found. */
        requests[i] = simple(1 + i % 6 * 37, 60 + i % 5 * 60, (uint32_t)(i % 9) + 1);
        requests[i].seed = i;
        requests[i].n_logprobs = (int)(i % 3);
        requests[i].temperature = i % 4 == 0 ? 0 : 0.9f;
    }
}

static void answer_alone(void)
{
    struct error err;
    struct gguf *gguf;
    size_t size;
    uint8_t *bytes = recurrent_model(&size);
    ok(gguf_open(&gguf, bytes, size, &err), &err);
    ok(model_load(&world.model, gguf, 0, 1, &err), &err);
    ok(tokenizer_create(&world.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    free(bytes);
    cpu_detect(&world.cpu);
    world.n_vocab = world.model->shape.n_vocab;
    make_requests();
    struct engine_options o = options_of(1, 1);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        alone[i] = run_request(engine, &requests[i]);
        ck_assert_int_ne(alone[i]->finish, FINISH_ERROR);
    }
    engine_destroy(engine);
}

static void forget(void)
{
    for (size_t i = 0; i < N_REQUESTS; i++)
        job_destroy(alone[i]);
    world_close();
}

/* All at once; each as it was alone. */
static struct engine_stats all_together(const struct engine_options *o)
{
    struct engine *engine = engine_open(o);
    struct job *jobs[N_REQUESTS];
    for (size_t i = 0; i < N_REQUESTS; i++)
        jobs[i] = queue_job(engine, &requests[i]);
    for (size_t i = 0; i < N_REQUESTS; i++)
        wait_finished(engine, jobs[i]);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        same_answer(alone[i], jobs[i]);
        job_destroy(jobs[i]);
    }
    struct engine_stats s = stats_of(engine);
    ck_assert_uint_eq(s.running + s.queued + s.kv.n_used + s.kv.n_states_used, 0);
    ck_assert_uint_eq(s.allocations, 0);
    engine_destroy(engine);
    return s;
}

static size_t sequences(size_t n)
{
    return kv_bytes_for(&world.model->shape, KV_F16, REC_CONTEXT, n);
}

START_TEST(answers_are_the_same_in_company)
{
    struct engine_options o = options_of(1 + (unsigned)_i % 2, 2);
    struct error err;
    o.prefix_cache = _i < 2;
    o.step_tokens = _i % 2 == 0 ? 512 : 17;
    if (_i == 3)
        ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    all_together(&o);
}
END_TEST

/* Fewer states than requests, down to a single one: the others wait. */
START_TEST(a_sequence_without_a_state_waits_for_one)
{
    struct engine_options o = options_of(1, 2);
    o.max_batch = N_REQUESTS;
    o.kv_bytes = sequences(1 + (size_t)_i);
    struct engine *engine = engine_open(&o);
    const struct engine_plan *plan = engine_plan(engine);
    ck_assert_uint_lt(plan->kv_states, N_REQUESTS);
    ck_assert(_i > 0 || plan->kv_states == 1);
    ck_assert_uint_le(plan->kv_bytes, o.kv_bytes);
    ck_assert_uint_eq(plan->kv_bytes,
                      plan->kv_pages * plan->page_bytes + plan->kv_states * plan->state_bytes);
    engine_destroy(engine);
    all_together(&o);
}
END_TEST

START_TEST(a_preempted_sequence_is_computed_again_with_the_same_bits)
{
    struct engine_options o = options_of(1, 2);
    o.max_batch = 16;
    o.prefix_cache = _i == 0;
    /* States enough for all, and pages for two contexts. */
    struct kv_map map;
    struct kv_division d;
    kv_map_of(&map, NULL, &world.model->shape, KV_F16, REC_CONTEXT);
    o.kv_bytes = sequences(1);
    do {
        o.kv_bytes += map.state_bytes;
        kv_divide(&d, &map, REC_CONTEXT, o.kv_bytes);
    } while (d.n_states < 8);
    struct engine_stats s = all_together(&o);
    ck_assert_uint_gt(s.preemptions, 0);
}
END_TEST

/* The next turn of a conversation goes on from the state at the end of the last one. */
START_TEST(a_conversation_goes_on_from_what_was_kept)
{
    struct engine_options o = options_of(1, 1);
    struct engine *cached = engine_open(&o);
    o.prefix_cache = false;
    struct engine *anew = engine_open(&o);
    struct request turn = simple(70, 60, 4);
    turn.temperature = 0;
    struct job *first = run_request(cached, &turn);
    turn.n_prompt = 70 + first->n_tokens + 10;
    struct job *second[2];
    for (int i = 0; i < 2; i++) {
        second[i] = job_of(&turn);
        memcpy(job_prompt(second[i]), first->prompt, 70 * sizeof(int32_t));
        for (size_t k = 0; k < first->n_tokens; k++)
            job_prompt(second[i])[70 + k] = first->tokens[k].id;
        submit(i == 0 ? cached : anew, second[i]);
        wait_finished(i == 0 ? cached : anew, second[i]);
    }
    same_answer(second[0], second[1]);
    /* The border before the last token that the first turn computed. */
    ck_assert_uint_eq(second[0]->n_cached, (70 + first->n_tokens - 1) / KV_PAGE * KV_PAGE);
    ck_assert_uint_eq(second[1]->n_cached, 0);
    job_destroy(first);
    job_destroy(second[0]);
    job_destroy(second[1]);
    engine_destroy(cached);
    engine_destroy(anew);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_states");
    TCase *tc = tcase_create("states");
    tcase_add_unchecked_fixture(tc, answer_alone, forget);
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, answers_are_the_same_in_company, 0, 4);
    tcase_add_loop_test(tc, a_sequence_without_a_state_waits_for_one, 0, 3);
    tcase_add_loop_test(tc, a_preempted_sequence_is_computed_again_with_the_same_bits, 0, 2);
    tcase_add_test(tc, a_conversation_goes_on_from_what_was_kept);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
