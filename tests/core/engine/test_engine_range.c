/* test_engine_range.c - keys and values that a cache in F16 cannot hold: which request they end,
 * what it says, that no other is harmed, and that another type is taken where none was asked for.
 *
 * The model is an ordinary one, but that one token's values are huge: an input that only its
 * embedding has meets huge weights.
 */
#include "core/any_model.h"

#include "engine_test.h"

enum { HUGE_TOKEN = 70, N_MATES = 3 };

static float *floats_of(struct gguf *gguf, uint8_t *bytes, const char *name)
{
    const struct gguf_tensor *tensor = gguf_find_tensor(gguf, name);
    ck_assert_ptr_nonnull(tensor);
    return (float *)(void *)(bytes + (tensor->data - bytes));
}

/* matrix: whose weights of the first input are huge, attn_k or attn_v. of_all: every token has that
 * input. */
static void open_model(const char *matrix, float weight, bool of_all)
{
    struct error err;
    struct gguf *gguf;
    size_t size;
    char name[64];
    uint8_t *bytes = any_model(&any_archs[0], WEIGHT_F32, &size);
    ok(gguf_open(&gguf, bytes, size, &err), &err);
    size_t n_vocab = gguf_find_tensor(gguf, "token_embd.weight")->ne[1];
    float *embd = floats_of(gguf, bytes, "token_embd.weight");
    for (size_t i = 0; i < n_vocab; i++)
        embd[i * ANY_EMBD] = of_all || i == HUGE_TOKEN ? 1.0f : 0.0f;
    snprintf(name, sizeof name, "blk.0.%s.weight", matrix);
    float *w = floats_of(gguf, bytes, name);
    for (size_t row = 0; row < (size_t)ANY_KV_HEADS * (ANY_EMBD / ANY_HEADS); row++)
        w[row * ANY_EMBD] = weight;
    ok(model_load(&world.model, gguf, 0, 1, &err), &err);
    ok(tokenizer_create(&world.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    free(bytes);
    cpu_detect(&world.cpu);
    world.n_vocab = world.model->shape.n_vocab;
}

/* 40 ordinary tokens, the huge one at `at` (40: nowhere), then max_tokens that are not it. */
static struct job *range_job(uint32_t seed, size_t at, size_t max_tokens)
{
    static const int32_t huge = HUGE_TOKEN;
    struct request r = simple(40, max_tokens, seed);
    r.stop_ids = &huge; /* never before min_tokens */
    r.n_stop_ids = 1;
    r.min_tokens = max_tokens;
    struct job *job = job_of(&r);
    for (size_t i = 0; i < 40; i++) {
        if (job_prompt(job)[i] == HUGE_TOKEN)
            job_prompt(job)[i]++;
        if (i == at)
            job_prompt(job)[i] = HUGE_TOKEN;
    }
    return job;
}

static struct job *run_job(struct engine *engine, struct job *job)
{
    submit(engine, job);
    wait_finished(engine, job);
    return job;
}

static void check_refusal(const struct job *job)
{
    ck_assert_int_eq(job->finish, FINISH_ERROR);
    ck_assert_int_eq(job->error.status, STATUS_INTERNAL);
    ck_assert_msg(strstr(job->error.text, "--kv-type f32") != NULL, "%s", job->error.text);
}

static const char *const matrices[] = {"attn_k", "attn_v"};

START_TEST(only_the_request_at_fault_ends_and_its_error_names_the_remedy)
{
    static const enum kernel_level levels[] = {KERNELS_REF, KERNELS_AUTO, KERNELS_AUTO};
    struct error err;
    open_model(matrices[_i % 2], 3e5f, false);
    struct engine_options o = options_of(1, 1 + (unsigned)_i / 2 % 2);
    ok(kernels_select(&o.kernels, levels[_i / 2], &world.cpu, &err), &err);
    struct engine *engine = engine_open(&o);
    struct job *alone[N_MATES], *mates[N_MATES];
    for (uint32_t i = 0; i < N_MATES; i++)
        alone[i] = run_job(engine, range_job(i, 40, 20));
    engine_destroy(engine);
    engine = engine_open(&o);
    for (uint32_t i = 0; i < N_MATES; i++) {
        mates[i] = range_job(i, 40, 20);
        submit(engine, mates[i]);
    }
    for (size_t at = 0; at < 40; at += 13) {
        struct job *job = run_job(engine, range_job(9, at, 5));
        check_refusal(job);
        ck_assert_uint_eq(job->n_tokens, 0);
        job_destroy(job);
    }
    for (size_t i = 0; i < N_MATES; i++) {
        wait_finished(engine, mates[i]);
        ck_assert_int_eq(mates[i]->finish, FINISH_LENGTH);
        same_answer(alone[i], mates[i]);
        job_destroy(alone[i]);
        job_destroy(mates[i]);
    }
    ck_assert_uint_eq(stats_of(engine).kv.n_used, 0);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(what_could_not_be_stored_is_never_found_in_the_cache)
{
    open_model("attn_v", 3e5f, false);
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    for (int i = 0; i < 3; i++) { /* the page of the huge token is full, and not shared */
        struct job *job = run_job(engine, range_job(5, 20, 5));
        check_refusal(job);
        ck_assert_uint_eq(job->n_cached, 0);
        job_destroy(job);
    }
    for (int i = 0; i < 3; i++) { /* the page before it is whole */
        struct job *job = run_job(engine, range_job(6, 35, 5));
        check_refusal(job);
        job_destroy(job);
    }
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(a_token_made_on_the_way_ends_it_after_what_was_made)
{
    open_model("attn_k", 3e5f, false);
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job_size size = {.n_prompt = 1,
                            .max_tokens = 9,
                            .n_biases = 1,
                            .max_piece = tokenizer_max_piece(world.tokenizer)};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    job_prompt(job)[0] = 3;
    job_biases(job)[0] = (struct logit_bias){HUGE_TOKEN, 100};
    job->sampling = (struct sampling){
        .biases = job->sampling.biases, .n_biases = 1, .repetition_penalty = 1, .typical_p = 1};
    run_job(engine, job);
    check_refusal(job);
    ck_assert_uint_eq(job->n_tokens, 1);
    ck_assert_int_eq(job->tokens[0].id, HUGE_TOKEN);
    job_destroy(job);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(the_other_types_hold_them)
{
    open_model(matrices[_i % 2], 3e5f, false);
    struct engine_options o = options_of(1, 1);
    o.kv_type = _i < 2 ? KV_F32 : KV_Q8;
    struct engine *engine = engine_open(&o);
    struct job *job = run_job(engine, range_job(5, 20, 5));
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    job_destroy(job);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(the_border_is_where_f16_ends)
{
    /* The normed input is some 8 to 20: the root of the width, times the norm's weight. */
    open_model("attn_v", _i == 0 ? 65504.0f / 24 : 65504.0f, false);
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct job *job = run_job(engine, range_job(5, 20, 5));
    ck_assert_int_eq(job->finish, _i == 0 ? FINISH_LENGTH : FINISH_ERROR);
    job_destroy(job);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(where_no_type_was_asked_for_the_warm_up_finds_one_that_holds)
{
    open_model(matrices[_i], 3e5f, true);
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    ck_assert_int_eq(engine_plan(engine)->kv_type, KV_F16); /* as asked */
    struct job *job = run_job(engine, range_job(5, 20, 5));
    check_refusal(job);
    job_destroy(job);
    engine_destroy(engine);

    o.kv_type_open = true;
    engine = engine_open(&o);
    const struct engine_plan *plan = engine_plan(engine);
    ck_assert_int_eq(plan->kv_type, KV_F32);
    ck_assert_ptr_nonnull(strstr(plan->kv_why, "in F32"));
    ck_assert_uint_eq(plan->page_bytes, kv_page_bytes(&world.model->shape, KV_F32));
    job = run_job(engine, range_job(5, 20, 5));
    ck_assert_int_eq(job->finish, FINISH_LENGTH);
    job_destroy(job);
    engine_destroy(engine);
    world_close();
}
END_TEST

START_TEST(an_ordinary_model_keeps_f16)
{
    open_model("attn_v", 0.01f, true);
    struct engine_options o = options_of(1, 1);
    o.kv_type_open = true;
    struct engine *engine = engine_open(&o);
    ck_assert_int_eq(engine_plan(engine)->kv_type, KV_F16);
    ck_assert_ptr_null(strstr(engine_plan(engine)->kv_why, "F32"));
    engine_destroy(engine);
    world_close();
}
END_TEST

/* Logits of the huge token that are beyond any float: the prompt's log-probabilities end that
 * request alone, as a draw does. */
START_TEST(logits_that_are_not_finite_end_their_request)
{
    struct error err;
    struct gguf *gguf;
    size_t size;
    uint8_t *bytes = any_model(&any_archs[0], WEIGHT_F32, &size);
    ok(gguf_open(&gguf, bytes, size, &err), &err);
    float *embd = floats_of(gguf, bytes, "token_embd.weight");
    size_t n_vocab = gguf_find_tensor(gguf, "token_embd.weight")->ne[1];
    for (size_t i = 0; i < n_vocab; i++)
        embd[i * ANY_EMBD] = i == HUGE_TOKEN ? 100.0f : 0.0f;
    floats_of(gguf, bytes, "output.weight")[5 * ANY_EMBD] = 1e38f;
    ok(model_load(&world.model, gguf, 0, 1, &err), &err);
    ok(tokenizer_create(&world.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    free(bytes);
    cpu_detect(&world.cpu);
    world.n_vocab = world.model->shape.n_vocab;

    struct engine_options o = options_of(1, 1 + (unsigned)_i);
    struct engine *engine = engine_open(&o);
    for (size_t at = 0; at <= 40; at += 13) {
        struct request r = simple(40, 3, (uint32_t)at), plain = r;
        r.prompt_logprobs = true;
        struct job *job = job_of(&r), *beside = job_of(&plain);
        for (size_t i = 0; i < 40; i++)
            if (i == at || job_prompt(job)[i] == HUGE_TOKEN)
                job_prompt(job)[i] = i == at ? HUGE_TOKEN : 3;
        memcpy(job_prompt(beside), job_prompt(job), 40 * sizeof(int32_t));
        submit(engine, job);
        submit(engine, beside);
        wait_finished(engine, job);
        wait_finished(engine, beside);
        bool last = at == 39;
        ck_assert_int_eq(job->finish, at < 40 ? FINISH_ERROR : FINISH_LENGTH);
        ck_assert_int_eq(beside->finish, last ? FINISH_ERROR : FINISH_LENGTH);
        if (at < 40) {
            ck_assert_int_eq(job->error.status, STATUS_INTERNAL);
            ck_assert_ptr_nonnull(strstr(job->error.text, "not finite"));
            ck_assert_uint_eq(job->n_completion, 0);
        }
        job_destroy(job);
        job_destroy(beside);
    }
    ck_assert_uint_eq(stats_of(engine).kv.n_used, 0);
    engine_destroy(engine);
    world_close();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_range");
    TCase *tc = tcase_create("range");
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, only_the_request_at_fault_ends_and_its_error_names_the_remedy, 0, 6);
    tcase_add_test(tc, what_could_not_be_stored_is_never_found_in_the_cache);
    tcase_add_test(tc, a_token_made_on_the_way_ends_it_after_what_was_made);
    tcase_add_loop_test(tc, the_other_types_hold_them, 0, 4);
    tcase_add_loop_test(tc, the_border_is_where_f16_ends, 0, 2);
    tcase_add_loop_test(tc, where_no_type_was_asked_for_the_warm_up_finds_one_that_holds, 0, 2);
    tcase_add_test(tc, an_ordinary_model_keeps_f16);
    tcase_add_loop_test(tc, logits_that_are_not_finite_end_their_request, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
