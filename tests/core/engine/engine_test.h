/* engine_test.h - an engine on the built-in model, jobs for it, and their results side by side. */
#pragma once

#include "base/clock.h"
#include "base/cpu.h"
#include "engine/engine.h"
#include "engine/profile.h"
#include "engine/stats.h"
#include "forward/kv.h"
#include "gguf/gguf.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A sanitizer makes everything many times slower by itself. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct world { /* what engines of one test program share */
    struct model *model;
    struct tokenizer *tokenizer;
    struct cpu cpu;
    size_t n_vocab;
};

static struct world world;

static inline void ok(enum status status, const struct error *err)
{
    ck_assert_msg(status == STATUS_OK, "%s", err->text);
}

static inline void world_open(void)
{
    struct error err;
    struct gguf *gguf;
    ok(gguf_map(&gguf, TEST_SOURCE_DIR "/models/smallmind-tiny.gguf", &err), &err);
    ok(model_load(&world.model, gguf, 0, 1, &err), &err);
    ok(tokenizer_create(&world.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    cpu_detect(&world.cpu);
    world.n_vocab = world.model->shape.n_vocab;
}

static inline void world_close(void)
{
    tokenizer_destroy(world.tokenizer);
    model_destroy(world.model);
}

static inline struct engine_options options_of(unsigned workers, unsigned threads)
{
    struct engine_options o = {.n_threads = threads,
                               .n_workers = workers,
                               .kv_type = KV_F16,
                               .kv_bytes = (size_t)24 << 20,
                               .prefix_cache = true,
                               .step_tokens = 512,
                               .max_batch = 8,
                               .max_queue = 1000};
    struct error err;
    ok(kernels_select(&o.kernels, KERNELS_AUTO, &world.cpu, &err), &err);
    return o;
}

static inline struct engine *engine_open(const struct engine_options *options)
{
    struct engine *engine;
    struct error err;
    ok(engine_create(&engine, world.model, world.tokenizer, &world.cpu, options, &err), &err);
    return engine;
}

struct request {
    size_t n_prompt, max_tokens, min_tokens;
    uint32_t prompt_seed;
    bool ignore_eos;
    int n_logprobs;
    float temperature;
    uint32_t top_k;
    float top_p, min_p, typical_p, repetition_penalty;
    uint64_t seed;
    const char *stop;        /* NULL: none */
    const int32_t *stop_ids; /* [n_stop_ids] */
    size_t n_stop_ids;
    uint64_t salt;
    bool profile, keep_stop, no_cache, progress, answer_only, prompt_logprobs;
    float presence_penalty;
    struct grammar *grammar; /* NULL: none */
};

static inline struct request simple(size_t n_prompt, size_t max_tokens, uint32_t prompt_seed)
{
    return (struct request){.n_prompt = n_prompt,
                            .max_tokens = max_tokens,
                            .prompt_seed = prompt_seed,
                            .ignore_eos = true,
                            .n_logprobs = -1,
                            .temperature = 0.8f,
                            .top_k = 40,
                            .top_p = 0.95f,
                            .min_p = 0.05f,
                            .typical_p = 1,
                            .repetition_penalty = 1,
                            .seed = prompt_seed};
}

static inline uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline struct job *job_of(const struct request *r)
{
    struct job_size size = {.n_prompt = r->n_prompt,
                            .max_tokens = r->max_tokens,
                            .stop_bytes = r->stop ? strlen(r->stop) : 0,
                            .max_piece = tokenizer_max_piece(world.tokenizer),
                            .grammar = r->grammar,
                            .logprobs = r->n_logprobs >= 0,
                            .prompt_logprobs = r->prompt_logprobs,
                            .profile = r->profile};
    struct job *job;
    struct error err;
    ok(job_create(&job, &size, &err), &err);
    uint32_t state = r->prompt_seed * 2654435761u + 1;
    for (size_t i = 0; i < r->n_prompt; i++)
        job_prompt(job)[i] = (int32_t)(lcg(&state) % world.n_vocab);
    job->min_tokens = r->min_tokens;
    job->ignore_eos = r->ignore_eos;
    job->n_logprobs = r->n_logprobs;
    job->sampling.temperature = r->temperature;
    job->sampling.top_k = r->top_k;
    job->sampling.top_p = r->top_p;
    job->sampling.min_p = r->min_p;
    job->sampling.typical_p = r->typical_p;
    job->sampling.repetition_penalty = r->repetition_penalty;
    job->sampling.repetition_window = 64;
    job->sampling.seed = r->seed;
    job->salt = r->salt;
    job->sampling.presence_penalty = r->presence_penalty;
    job->sampling.penalties_from = r->answer_only ? r->n_prompt : 0;
    job->keep_stop = r->keep_stop;
    job->no_cache = r->no_cache;
    job->progress = r->progress;
    job->n_prompt_logprobs = r->prompt_logprobs ? 3 : -1;
    job->n_stop_ids = r->n_stop_ids;
    for (size_t i = 0; i < r->n_stop_ids; i++)
        job->stop_ids[i] = r->stop_ids[i];
    if (r->stop) {
        memcpy(job_stop_bytes(job), r->stop, strlen(r->stop));
        job->stops[0] = (struct stop_string){job_stop_bytes(job), strlen(r->stop)};
        job->n_stops = 1;
    }
    job->arrived_ns = clock_now_ns();
    return job;
}

static inline void submit(struct engine *engine, struct job *job)
{
    struct error err;
    uint64_t retry_ms;
    ok(engine_submit(engine, job, &retry_ms, &err), &err);
}

static inline void wait_finished(struct engine *engine, const struct job *job)
{
    engine_wait(engine, job, UINT32_MAX - 1);
    ck_assert(atomic_load(&job->finished));
}

static inline struct job *run_request(struct engine *engine, const struct request *r)
{
    struct job *job = job_of(r);
    submit(engine, job);
    wait_finished(engine, job);
    return job;
}

static inline void same_logprobs(const struct logprob_record *p, const struct logprob_record *q)
{
    ck_assert_uint_eq(p->n_top, q->n_top);
    ck_assert_int_eq(memcmp(&p->logprob, &q->logprob, sizeof p->logprob), 0);
    ck_assert_int_eq(memcmp(p->top, q->top, p->n_top * sizeof *p->top), 0);
}

/* Everything a client sees, bit for bit. */
static inline void same_answer(const struct job *a, const struct job *b)
{
    ck_assert_int_eq(a->finish, b->finish);
    ck_assert_uint_eq(a->n_tokens, b->n_tokens);
    ck_assert_uint_eq(a->n_completion, b->n_completion);
    ck_assert_uint_eq(a->n_text, b->n_text);
    ck_assert_int_eq(memcmp(a->text, b->text, a->n_text), 0);
    for (size_t i = 0; i < a->n_tokens; i++) {
        ck_assert_int_eq(a->tokens[i].id, b->tokens[i].id);
        ck_assert_uint_eq(a->tokens[i].text_end, b->tokens[i].text_end);
        if (a->n_logprobs >= 0)
            same_logprobs(&a->logprobs[i], &b->logprobs[i]);
    }
    ck_assert_int_eq(a->stop_index, b->stop_index);
    ck_assert_int_eq(a->stop_id, b->stop_id);
    ck_assert_int_eq(job_wants_prompt_logprobs(a), job_wants_prompt_logprobs(b));
    for (size_t i = 0; job_wants_prompt_logprobs(a) && i < a->n_prompt; i++) {
        ck_assert_uint_eq(a->prompt_logprobs[i].n_top, i > 0 ? (uint32_t)a->n_prompt_logprobs : 0);
        same_logprobs(&a->prompt_logprobs[i], &b->prompt_logprobs[i]);
    }
}

enum { LONG = 400 }; /* tokens: far more than are made while a test looks at a job */

#define SECOND UINT64_C(1000000000)

/* One place and the plain kernels: what runs long does so for half a second, however busy the
 * machine. */
static inline struct engine_options small(void)
{
    struct engine_options o = options_of(1, 1);
    struct error err;
    ok(kernels_select(&o.kernels, SANITIZED ? KERNELS_AUTO : KERNELS_REF, &world.cpu, &err), &err);
    o.max_batch = 1;
    o.max_queue = 4;
    return o;
}

/* Runs until its first token is there. */
static inline struct job *start_long(struct engine *engine, uint32_t seed)
{
    struct request r = simple(4, LONG, seed);
    struct job *job = job_of(&r);
    submit(engine, job);
    engine_wait(engine, job, 0);
    return job;
}

static inline struct job *queue_job(struct engine *engine, const struct request *r)
{
    struct job *job = job_of(r);
    submit(engine, job);
    return job;
}

static inline struct engine_stats stats_of(struct engine *engine)
{
    struct engine_stats s;
    engine_stats(engine, &s);
    return s;
}

static inline void cancel_and_free(struct engine *engine, struct job *job)
{
    engine_cancel(engine, job);
    wait_finished(engine, job);
    job_destroy(job);
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
