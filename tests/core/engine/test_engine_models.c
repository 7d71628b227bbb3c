/* test_engine_models.c - an engine on every weight type and every architecture: answers, with their
 * log-probabilities, are the same alone on the plain kernels and in a batch on the machine's best.
 */
#include "core/any_model.h"

#include "engine_test.h"

enum { N_REQUESTS = 5 };

static void world_of(const struct any_arch *arch, enum weight_type type)
{
    struct error err;
    struct gguf *gguf;
    size_t size;
    uint8_t *bytes = any_model(arch, type, &size);
    ok(gguf_open(&gguf, bytes, size, &err), &err);
    ok(model_load(&world.model, gguf, 0, 1, &err), &err);
    ok(tokenizer_create(&world.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    free(bytes);
    cpu_detect(&world.cpu);
    world.n_vocab = world.model->shape.n_vocab;
}

static struct request request_of(size_t i)
{
    static const size_t prompts[N_REQUESTS] = {1, 33, 7, 33, 18};
    /* The second and fourth begin alike, so that a prefix is shared. */
    struct request r = simple(prompts[i], 6 + 3 * i, i == 3 ? 2 : (uint32_t)i + 1);
    r.seed = i;
    r.n_logprobs = (int)i;
    r.temperature = i == 2 ? 0 : 0.9f;
    r.top_k = i == 4 ? 0 : 40;
    r.repetition_penalty = i == 1 ? 1.2f : 1;
    return r;
}

START_TEST(every_type_and_architecture_answers_alike)
{
    world_of(&any_archs[_i % N_ANY_ARCHS], (enum weight_type)(_i % WEIGHT_TYPES));
    struct error err;
    struct job *alone[N_REQUESTS], *together[N_REQUESTS];
    struct engine_options o = options_of(1, 1);
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    o.prefix_cache = false;
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        struct request r = request_of(i);
        alone[i] = run_request(engine, &r);
        ck_assert_int_ne(alone[i]->finish, FINISH_ERROR);
        ck_assert_uint_gt(alone[i]->n_tokens, 0);
    }
    engine_destroy(engine);

    o = options_of(1, 2);
    engine = engine_open(&o);
    for (size_t i = 0; i < N_REQUESTS; i++) {
        struct request r = request_of(i);
        together[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < N_REQUESTS; i++) {
        wait_finished(engine, together[i]);
        same_answer(alone[i], together[i]);
        job_destroy(alone[i]);
        job_destroy(together[i]);
    }
    engine_destroy(engine);
    world_close();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_models");
    TCase *tc = tcase_create("models");
    tcase_set_timeout(tc, 240);
    /* Each type, and the architectures in turns; all pairs are core/model/test_one_arithmetic's. */
    tcase_add_loop_test(tc, every_type_and_architecture_answers_alike, 0, WEIGHT_TYPES);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
