/* test_engine_vectors.c - a text's vector depends on the text alone: not on the batch, threads,
 * kernels, the cutting of prompts, the prefix cache or a preemption.
 */
#include "engine_test.h"

#include <math.h>

enum { N_TEXTS = 12 };

static struct job *alone[N_TEXTS];

/* Texts of 1 to some 150 tokens; some begin alike. */
static struct job *text_of(size_t i)
{
    static const enum pooling poolings[] = {POOLING_MEAN, POOLING_LAST, POOLING_CLS};
    uint32_t state = (uint32_t)(i % 5) + 1;
    struct job_size size = {.n_prompt = i % 4 == 0 ? 1 + i : 33 + 9 * i,
                            .max_piece = tokenizer_max_piece(world.tokenizer),
                            .n_vector = world.model->shape.n_embd};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    for (size_t k = 0; k < size.n_prompt; k++)
        job_prompt(job)[k] = (int32_t)(lcg(&state) % world.n_vocab);
    job->pooling = poolings[i % 3];
    job->arrived_ns = clock_now_ns();
    return job;
}

static void same_vector(const struct job *a, const struct job *b)
{
    ck_assert_int_eq(b->finish, FINISH_LENGTH);
    ck_assert_uint_eq(a->n_vector, b->n_vector);
    ck_assert_int_eq(memcmp(a->vector, b->vector, a->n_vector * sizeof *a->vector), 0);
    ck_assert_uint_eq(b->n_completion, 0);
}

static struct job *run_text(struct engine *engine, size_t i)
{
    struct job *job = text_of(i);
    submit(engine, job);
    wait_finished(engine, job);
    return job;
}

static void compute_alone(void)
{
    world_open();
    struct engine_options o = options_of(1, 1);
    struct error err;
    o.prefix_cache = false;
    ok(kernels_select(&o.kernels, KERNELS_REF, &world.cpu, &err), &err);
    struct engine *engine = engine_open(&o);
    for (size_t i = 0; i < N_TEXTS; i++)
        alone[i] = run_text(engine, i);
    engine_destroy(engine);
}

static void forget(void)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        job_destroy(alone[i]);
    world_close();
}

/* All at once, in one request, beside texts that are being written. */
static void run_together(const struct engine_options *options)
{
    struct engine *engine = engine_open(options);
    struct job *texts[N_TEXTS], *written[3];
    struct error err;
    uint64_t retry_ms;
    for (size_t i = 0; i < 3; i++) {
        struct request r = simple(20, 30, (uint32_t)i + 1);
        written[i] = queue_job(engine, &r);
    }
    for (size_t i = 0; i < N_TEXTS; i++)
        texts[i] = text_of(i);
    ok(engine_submit_all(engine, texts, N_TEXTS, &retry_ms, &err), &err);
    for (size_t i = 0; i < N_TEXTS; i++) {
        wait_finished(engine, texts[i]);
        same_vector(alone[i], texts[i]);
        job_destroy(texts[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        wait_finished(engine, written[i]);
        ck_assert_uint_eq(written[i]->n_completion, 30);
        job_destroy(written[i]);
    }
    engine_destroy(engine);
}

START_TEST(the_batch_and_the_threads_change_nothing)
{
    struct engine_options o = options_of(1, (unsigned)_i + 1);
    run_together(&o);
}
END_TEST

START_TEST(cutting_texts_changes_nothing)
{
    static const size_t tokens[] = {1, 7, 64};
    struct engine_options o = options_of(1, 2);
    o.step_tokens = tokens[_i];
    run_together(&o);
}
END_TEST

START_TEST(little_kv_memory_changes_nothing)
{
    struct engine_options o = options_of(1, 1);
    o.kv_bytes = kv_page_bytes(&world.model->shape, o.kv_type) * 8;
    run_together(&o);
}
END_TEST

/* Twice on one engine: the second time with what the first left in the cache. */
START_TEST(the_prefix_cache_changes_nothing)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < N_TEXTS; i++) {
            struct job *job = run_text(engine, i);
            same_vector(alone[i], job);
            ck_assert(round == 0 || job->pooling != POOLING_MEAN || job->n_cached == 0);
            job_destroy(job);
        }
    }
    ck_assert_uint_gt(stats_of(engine).prompt_cached_tokens, 0);
    engine_destroy(engine);
}
END_TEST

/* The mean is that of the single positions' vectors, which the last of each beginning is. */
START_TEST(poolings_are_what_they_are_called)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    const struct job *mean = alone[3]; /* POOLING_MEAN */
    const size_t n = mean->n_vector;
    double *sums = calloc(n, sizeof *sums);
    ck_assert_ptr_nonnull(sums);
    ck_assert_int_eq(mean->pooling, POOLING_MEAN);
    for (size_t end = 1; end <= mean->n_prompt; end++) {
        struct job *job = text_of(3);
        job->n_prompt = end;
        job->pooling = POOLING_LAST;
        submit(engine, job);
        wait_finished(engine, job);
        for (size_t i = 0; i < n; i++)
            sums[i] += (double)job->vector[i];
        if (end == 1) {
            struct job *first = text_of(3);
            first->pooling = POOLING_CLS;
            submit(engine, first);
            wait_finished(engine, first);
            same_vector(job, first);
            job_destroy(first);
        }
        job_destroy(job);
    }
    for (size_t i = 0; i < n; i++)
        ck_assert_double_le(fabs(sums[i] / (double)mean->n_prompt - (double)mean->vector[i]), 1e-5);
    free(sums);
    engine_destroy(engine);
}
END_TEST

/* A request takes one place, however many texts it has; all of it comes in, or nothing. */
START_TEST(a_request_takes_one_place)
{
    struct engine_options o = small();
    struct error err;
    uint64_t retry_ms;
    o.max_queue = 2;
    struct engine *engine = engine_open(&o);
    struct job *running = start_long(engine, 1), *texts[2][N_TEXTS], *more;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < N_TEXTS; i++)
            texts[k][i] = text_of(i);
        ok(engine_submit_all(engine, texts[k], N_TEXTS, &retry_ms, &err), &err);
    }
    more = text_of(0);
    ck_assert_int_eq(engine_submit(engine, more, &retry_ms, &err), STATUS_FULL);
    job_destroy(more);
    for (size_t i = 0; i < N_TEXTS; i++)
        cancel_and_free(engine, texts[0][i]);
    more = text_of(0);
    submit(engine, more);
    cancel_and_free(engine, running);
    wait_finished(engine, more);
    same_vector(alone[0], more);
    job_destroy(more);
    for (size_t i = 0; i < N_TEXTS; i++) {
        wait_finished(engine, texts[1][i]);
        same_vector(alone[i], texts[1][i]);
        job_destroy(texts[1][i]);
    }
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_vectors");
    TCase *tc = tcase_create("vectors");
    tcase_set_timeout(tc, 240);
    tcase_add_unchecked_fixture(tc, compute_alone, forget);
    tcase_add_loop_test(tc, the_batch_and_the_threads_change_nothing, 0, 2);
    tcase_add_loop_test(tc, cutting_texts_changes_nothing, 0, 3);
    tcase_add_test(tc, little_kv_memory_changes_nothing);
    tcase_add_test(tc, the_prefix_cache_changes_nothing);
    tcase_add_test(tc, poolings_are_what_they_are_called);
    tcase_add_test(tc, a_request_takes_one_place);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
