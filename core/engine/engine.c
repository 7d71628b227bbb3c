/* engine.c - the engine: its plan, its queue and its workers, put together and taken apart.
 *
 * Any thread. Work is done in queue.c and step.c; here is what spans all workers. Knows nothing
 * of HTTP or JSON.
 */
#include "engine/engine.h"

#include "base/alloc_count.h"
#include "base/append.h"
#include "engine/growth.h"
#include "engine/plan.h"
#include "engine/profile.h"
#include "engine/queue.h"
#include "engine/resume.h"
#include "engine/stats.h"
#include "engine/worker.h"
#include "guide/guide.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct engine {
    struct engine_options options;
    struct engine_plan plan;
    struct worker_setup setup;
    struct worker **workers; /* [plan.n_workers], owned */
    struct queue queue;
    struct progress progress;
    _Atomic unsigned n_threads; /* now */
    pthread_mutex_t abort_lock;
    bool aborted;
    char abort_text[160]; /* written once, before any slot is marked */
    _Atomic bool profiling;
    pthread_mutex_t guide_lock;
    _Atomic(struct guide_tokens *) guide_tokens; /* owned; NULL: not asked for yet */
};

/* --- creation --- */

static enum status check_options(const struct engine_options *o, struct error *err)
{
    if (o->step_tokens == 0)
        return error_set_param(err, STATUS_INVALID, "step_tokens",
                               "step_tokens must be at least 1");
    return STATUS_OK;
}

static enum status start_workers(struct engine *e, struct error *err)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < e->plan.n_workers && status == STATUS_OK; i++)
        status = worker_create(&e->workers[i], &e->setup,
                               plan_worker_threads(&e->plan, e->plan.n_threads_most, i),
                               plan_worker_threads(&e->plan, e->plan.n_threads, i), err);
    for (unsigned i = 0; i < e->plan.n_workers && status == STATUS_OK; i++)
        status = worker_wait_started(e->workers[i], err);
    return status;
}

static uint64_t slowest_step(const void *engine, size_t n)
{
    const struct engine *e = engine;
    uint64_t most = 0;
    for (unsigned i = 0; i < e->plan.n_workers; i++) {
        const uint64_t ns = worker_step_ns(e->workers[i], n);
        most = ns > most ? ns : most;
    }
    return most;
}

static enum status create(struct engine **out, const struct model *model,
                          const struct tokenizer *tokenizer, const struct cpu *cpu,
                          const struct engine_options *options, struct error *err)
{
    struct engine_plan plan;
    enum status status = check_options(options, err);
    if (status == STATUS_OK)
        status = plan_measure(&plan, model, cpu, options, err);
    if (status != STATUS_OK)
        return status;
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return error_no_memory(err, sizeof *e, "the engine");
    e->options = *options;
    e->options.max_batch = plan.max_batch;
    e->plan = plan;
    progress_init(&e->progress, options->wake, options->wake_ctx);
    pthread_mutex_init(&e->abort_lock, NULL);
    pthread_mutex_init(&e->guide_lock, NULL);
    e->setup = (struct worker_setup){.model = model,
                                     .tokenizer = tokenizer,
                                     .options = &e->options,
                                     .kv_bytes = plan.kv_bytes / plan.n_workers,
                                     .abort_text = e->abort_text,
                                     .line = queue_line(&e->queue),
                                     .progress = &e->progress};
    e->workers = calloc(plan.n_workers, sizeof *e->workers);
    e->setup.n_end_ids = tokenizer_ends(tokenizer, &e->setup.end_ids);
    status = e->workers ? STATUS_OK
                        : error_no_memory(err, plan.n_workers * sizeof *e->workers, "the workers");
    if (status == STATUS_OK)
        status = queue_init(&e->queue, e->workers, plan.n_workers, &e->options, model->n_context,
                            plan.kv_pages / plan.n_workers, &e->progress, err);
    if (status == STATUS_OK)
        status = start_workers(e, err);
    if (status != STATUS_OK) {
        engine_destroy(e);
        return status;
    }
    atomic_store(&e->n_threads, plan.n_threads);
    plan_fit_batch(&e->plan, options, slowest_step, e);
    queue_limit(&e->queue, e->plan.max_batch);
    *out = e;
    return STATUS_OK;
}

/* An encoder's texts go whole into a step, and nothing of theirs is kept for others: so what is
 * kept while they are computed need not be rounded. */
static struct engine_options options_for(const struct model *model,
                                         const struct engine_options *asked)
{
    struct engine_options o = *asked;
    if (!model->shape.encoder)
        return o;
    o.kv_type = KV_F32;
    o.kv_type_open = o.prefix_cache = false;
    o.step_tokens = o.step_tokens > model->n_context ? o.step_tokens : model->n_context;
    return o;
}

static bool is_out_of_range(const struct engine *e)
{
    bool found = false;
    for (unsigned i = 0; i < e->plan.n_workers; i++)
        found |= worker_is_out_of_range(e->workers[i]);
    return found;
}

enum status engine_create(struct engine **out, const struct model *model,
                          const struct tokenizer *tokenizer, const struct cpu *cpu,
                          const struct engine_options *asked, struct error *err)
{
    const struct engine_options own = options_for(model, asked), *options = &own;
    struct engine *e;
    enum status status = create(&e, model, tokenizer, cpu, options, err);
    if (status == STATUS_OK && options->kv_type_open && is_out_of_range(e)) {
        struct engine_options wider = *options;
        wider.kv_type = KV_F32;
        engine_destroy(e);
        status = create(&e, model, tokenizer, cpu, &wider, err);
        if (status == STATUS_OK) {
            size_t n = strlen(e->plan.kv_why);
            append_text(e->plan.kv_why, sizeof e->plan.kv_why, &n,
                        "; in F32, as this model's keys or values are beyond F16's range");
        }
    }
    if (status == STATUS_OK)
        *out = e;
    return status;
}

void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    if (e->queue.ready)
        queue_end_all(&e->queue, NULL);
    for (unsigned i = 0; e->workers && i < e->plan.n_workers && e->workers[i]; i++)
        worker_stop(e->workers[i]);
    for (unsigned i = 0; e->workers && i < e->plan.n_workers; i++)
        worker_destroy(e->workers[i]);
    queue_free(&e->queue);
    progress_free(&e->progress);
    pthread_mutex_destroy(&e->abort_lock);
    pthread_mutex_destroy(&e->guide_lock);
    guide_tokens_destroy(atomic_load(&e->guide_tokens));
    free(e->workers);
    free(e);
}

const struct engine_plan *engine_plan(const struct engine *engine)
{
    return &engine->plan;
}

unsigned engine_threads(const struct engine *engine)
{
    return atomic_load_explicit(&engine->n_threads, memory_order_relaxed);
}

void engine_set_threads(struct engine *engine, unsigned n)
{
    const struct engine_plan *plan = &engine->plan;
    n = n < 1 ? 1 : n < plan->n_threads_most ? n : plan->n_threads_most;
    if (atomic_exchange(&engine->n_threads, n) == n)
        return;
    for (unsigned i = 0; i < plan->n_workers; i++)
        worker_set_threads(engine->workers[i], plan_worker_threads(plan, n, i));
    queue_open(&engine->queue, n < plan->n_workers ? n : plan->n_workers);
}

static uint64_t share_of(uint64_t bytes, unsigned n_workers)
{
    return bytes == UINT64_MAX ? bytes : bytes / n_workers;
}

void engine_bound_memory(struct engine *engine, uint64_t ahead, uint64_t need, uint64_t back)
{
    const unsigned n = engine->plan.n_workers;
    const struct growth_bounds bounds = {share_of(ahead, n), share_of(need, n), back / n};
    for (unsigned i = 0; i < n; i++)
        worker_bound_memory(engine->workers[i], &bounds);
}

/* --- texts inside grammars --- */

static enum status make_guide_tokens(struct engine *e, struct error *err)
{
    struct guide_tokens *tokens;
    enum status status =
        guide_tokens_create(&tokens, e->setup.tokenizer, e->setup.model->shape.n_vocab, err);
    if (status != STATUS_OK)
        return status;
    unsigned n = 0;
    while (n < e->plan.n_workers && status == STATUS_OK)
        status = worker_make_masks(e->workers[n++], tokens->vocabulary, err);
    if (status != STATUS_OK) {
        while (n > 0)
            worker_drop_masks(e->workers[--n]);
        guide_tokens_destroy(tokens);
        return status;
    }
    atomic_store_explicit(&e->guide_tokens, tokens, memory_order_release);
    return STATUS_OK;
}

enum status engine_vocabulary(struct engine *engine, const struct vocabulary **out,
                              struct error *err)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&engine->guide_lock);
    if (atomic_load_explicit(&engine->guide_tokens, memory_order_relaxed) == NULL)
        status = make_guide_tokens(engine, err);
    if (status == STATUS_OK)
        *out = atomic_load_explicit(&engine->guide_tokens, memory_order_relaxed)->vocabulary;
    pthread_mutex_unlock(&engine->guide_lock);
    return status;
}

/* --- jobs --- */

static enum status begin_guide(struct engine *engine, struct job *job, struct error *err)
{
    struct guide *guide = job->guide;
    const struct guide_tokens *tokens =
        atomic_load_explicit(&engine->guide_tokens, memory_order_acquire);
    assert(tokens != NULL && tokens->vocabulary == job->grammar->vocabulary);
    guide->tokens = tokens;
    guide->shown = (struct guide_ids){job->shown_ids, job->n_shown};
    guide->stops = (struct guide_ids){job->stop_ids, job->n_stop_ids};
    guide->biases = job->sampling.biases;
    guide->n_biases = job->sampling.n_biases;
    return guide_begin(guide, job->max_tokens, err);
}

enum status engine_resume(struct engine *engine, struct job *job, struct error *err)
{
    if (job->n_given == 0)
        return STATUS_OK;
    enum status status = job->grammar != NULL ? begin_guide(engine, job, err) : STATUS_OK;
    return status == STATUS_OK ? resume_take(job, engine->setup.tokenizer, err) : status;
}

enum status engine_submit_all(struct engine *engine, struct job *const *jobs, size_t n,
                              uint64_t *retry_ms, struct error *err)
{
    for (size_t i = 0; i < n && engine->setup.model->shape.encoder; i++)
        if (jobs[i]->pooling == POOLING_NONE)
            return error_set(err, STATUS_UNABLE, "this model makes vectors of texts, not texts");
    for (size_t i = 0; i < n; i++) {
        enum status status = STATUS_OK;
        if (jobs[i]->grammar != NULL && !jobs[i]->begun)
            status = begin_guide(engine, jobs[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return queue_submit(&engine->queue, jobs, n, retry_ms, err);
}

enum status engine_submit(struct engine *engine, struct job *job, uint64_t *retry_ms,
                          struct error *err)
{
    return engine_submit_all(engine, &job, 1, retry_ms, err);
}

void engine_cancel(struct engine *engine, struct job *job)
{
    if (!atomic_exchange_explicit(&job->cancelled, true, memory_order_acq_rel))
        queue_cancel(&engine->queue, job);
}

void engine_abort_all(struct engine *engine, const char *why)
{
    pthread_mutex_lock(&engine->abort_lock);
    if (!engine->aborted)
        snprintf(engine->abort_text, sizeof engine->abort_text, "%s", why);
    engine->aborted = true;
    queue_end_all(&engine->queue, engine->abort_text);
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        worker_abort(engine->workers[i]);
    pthread_mutex_unlock(&engine->abort_lock);
}

void engine_wait(struct engine *engine, const struct job *job, uint32_t n_seen)
{
    progress_wait(&engine->progress, job, n_seen);
}

/* --- what it is doing --- */

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void engine_stats(struct engine *engine, struct engine_stats *out)
{
    *out = (struct engine_stats){0};
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        worker_add_stats(engine->workers[i], out);
    for (size_t i = 0; i < 3; i++)
        out->cancelled[i] += get(&engine->queue.n_cancelled[i]);
    out->queued = atomic_load_explicit(&engine->queue.n_waiting, memory_order_relaxed);
    out->allocations = alloc_count();
}

bool engine_alive(struct engine *engine, uint64_t now_ns, uint64_t limit_ns)
{
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        if (!worker_alive(engine->workers[i], now_ns, limit_ns))
            return false;
    return true;
}

/* --- profiles --- */

enum status engine_profile_start(struct engine *engine, const struct record_options *options,
                                 struct error *err)
{
    if (atomic_exchange(&engine->profiling, true))
        return error_set(err, STATUS_FULL,
                         "another profile is being recorded; only one can be at a time");
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        recorder_start(worker_recorder(engine->workers[i]), options);
    return STATUS_OK;
}

enum status engine_profile_stop(struct engine *engine, struct record **out, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned n = 0;
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        recorder_stop(worker_recorder(engine->workers[i]));
    while (out != NULL && n < engine->plan.n_workers && status == STATUS_OK) {
        status = recorder_take(worker_recorder(engine->workers[n]), &out[n], err);
        n += status == STATUS_OK;
    }
    while (status != STATUS_OK && n > 0)
        record_destroy(out[--n]);
    atomic_store(&engine->profiling, false);
    return status;
}

void engine_memory(const struct engine *engine, struct engine_memory *out)
{
    *out = (struct engine_memory){.weights = engine->setup.model->arena.n_bytes,
                                  .kv = engine->plan.kv_bytes};
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        worker_add_memory(engine->workers[i], out);
}
