/* engine.c - the engine: its plan, its workers and the line in front of them, put together and
 * taken apart.
 *
 * Any thread. Work is done in batcher.c and step.c; here is what spans all workers. Knows nothing
 * of HTTP or JSON.
 */
#include "engine/engine.h"

#include "base/alloc_count.h"
#include "engine/plan.h"
#include "engine/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const double engine_step_bounds[ENGINE_STEP_BUCKETS] = {
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
    0.02,    0.03,   0.05,   0.075,  0.1,   0.2,   0.5,   1,     2.5,    10};
const double engine_size_bounds[ENGINE_SIZE_BUCKETS] = {1, 2, 4, 6, 8, 12, 16, 32, 64};

struct engine {
    struct engine_options options;
    struct engine_plan plan;
    struct worker_setup setup;
    struct worker *workers; /* [plan.n_workers], owned */
    int32_t *end_ids;       /* owned */
    struct batcher batcher;
    struct progress progress;
    pthread_mutex_t abort_lock;
    bool aborted;
    char abort_text[160]; /* written once, before any slot is marked */
    _Atomic bool profiling;
};

/* --- creation --- */

static enum status find_end_ids(struct engine *e, const struct tokenizer *tokenizer,
                                struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(tokenizer), n = 0;
    for (size_t i = 0; i < n_vocab; i++)
        n += tokenizer_is_end(tokenizer, (int32_t)i);
    e->end_ids = calloc(n + 1, sizeof *e->end_ids);
    if (!e->end_ids)
        return error_no_memory(err, (n + 1) * sizeof *e->end_ids, "the end tokens");
    for (size_t i = 0; i < n_vocab; i++)
        if (tokenizer_is_end(tokenizer, (int32_t)i))
            e->end_ids[e->setup.n_end_ids++] = (int32_t)i;
    e->setup.end_ids = e->end_ids;
    return STATUS_OK;
}

static enum status check_options(const struct engine_options *o, struct error *err)
{
    if (o->step_tokens == 0)
        return error_set_param(err, STATUS_INVALID, "step_tokens",
                               "step_tokens must be at least 1");
    if (o->max_batch == 0)
        return error_set_param(err, STATUS_INVALID, "max_batch", "max_batch must be at least 1");
    return STATUS_OK;
}

static enum status start_workers(struct engine *e, struct error *err)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < e->plan.n_workers && status == STATUS_OK; i++)
        status = worker_start(&e->workers[i], &e->setup, plan_worker_threads(&e->plan, i), err);
    for (unsigned i = 0; i < e->plan.n_workers && status == STATUS_OK; i++)
        status = worker_wait_started(&e->workers[i], err);
    return status;
}

enum status engine_create(struct engine **out, const struct model *model,
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
    e->plan = plan;
    progress_init(&e->progress, options->wake, options->wake_ctx);
    pthread_mutex_init(&e->abort_lock, NULL);
    e->setup = (struct worker_setup){.model = model,
                                     .tokenizer = tokenizer,
                                     .options = &e->options,
                                     .kv_bytes = plan.kv_bytes / plan.n_workers,
                                     .abort_text = e->abort_text,
                                     .batcher = &e->batcher,
                                     .progress = &e->progress};
    e->workers = calloc(plan.n_workers, sizeof *e->workers);
    status = e->workers ? find_end_ids(e, tokenizer, err)
                        : error_no_memory(err, plan.n_workers * sizeof *e->workers, "the workers");
    if (status == STATUS_OK)
        status = batcher_init(&e->batcher, e->workers, plan.n_workers, options, model->n_context,
                              plan.kv_pages / plan.n_workers, &e->progress, err);
    if (status == STATUS_OK)
        status = start_workers(e, err);
    if (status != STATUS_OK) {
        engine_destroy(e);
        return status;
    }
    *out = e;
    return STATUS_OK;
}

void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    if (e->batcher.forecast.free_at)
        batcher_end_all(&e->batcher, NULL);
    for (unsigned i = 0; e->workers && i < e->plan.n_workers; i++)
        worker_stop(&e->workers[i]);
    for (unsigned i = 0; e->workers && i < e->plan.n_workers; i++)
        worker_destroy(&e->workers[i]);
    batcher_free(&e->batcher);
    progress_free(&e->progress);
    pthread_mutex_destroy(&e->abort_lock);
    free(e->workers);
    free(e->end_ids);
    free(e);
}

const struct engine_plan *engine_plan(const struct engine *engine)
{
    return &engine->plan;
}

/* --- jobs --- */

enum status engine_submit(struct engine *engine, struct job *job, uint64_t *retry_ms,
                          struct error *err)
{
    return batcher_submit(&engine->batcher, job, retry_ms, err);
}

void engine_cancel(struct engine *engine, struct job *job)
{
    if (!atomic_exchange_explicit(&job->cancelled, true, memory_order_acq_rel))
        batcher_cancel(&engine->batcher, job);
}

void engine_abort_all(struct engine *engine, const char *why)
{
    pthread_mutex_lock(&engine->abort_lock);
    if (!engine->aborted)
        snprintf(engine->abort_text, sizeof engine->abort_text, "%s", why);
    engine->aborted = true;
    batcher_end_all(&engine->batcher, engine->abort_text);
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        worker_abort(&engine->workers[i]);
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

static void add_worker(struct engine_stats *out, const struct worker *w)
{
    const struct worker_counters *c = &w->counters;
    out->generated_tokens += get(&c->generated);
    out->prompt_computed_tokens += get(&c->prompt_computed);
    out->prompt_cached_tokens += get(&c->prompt_cached);
    for (size_t i = 0; i < 3; i++)
        out->cancelled[i] += get(&c->cancelled[i]);
    out->n_steps += get(&c->n_steps);
    for (size_t i = 0; i <= ENGINE_STEP_BUCKETS; i++)
        out->step_seconds[i] += get(&c->seconds_bucket[i]);
    for (size_t i = 0; i <= ENGINE_SIZE_BUCKETS; i++)
        out->step_sequences[i] += get(&c->sequences_bucket[i]);
    out->step_seconds_sum += (double)get(&c->step_ns) * 1e-9;
    out->step_sequences_sum += get(&c->step_sequences);
    out->running += atomic_load_explicit(&w->n_running, memory_order_relaxed);
    struct kv_stats kv;
    kv_stats(w->kv, &kv);
    out->kv.n_pages += kv.n_pages;
    out->kv.n_used += kv.n_used;
    out->kv.n_cached += kv.n_cached;
    out->kv.query_tokens += kv.query_tokens;
    out->kv.hit_tokens += kv.hit_tokens;
    uint64_t last = get(&w->last_step_ns);
    out->last_step_ns = last > out->last_step_ns ? last : out->last_step_ns;
}

void engine_stats(struct engine *engine, struct engine_stats *out)
{
    *out = (struct engine_stats){0};
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        add_worker(out, &engine->workers[i]);
    out->cancelled[JOB_QUEUED] += get(&engine->batcher.n_cancelled);
    out->queued = atomic_load_explicit(&engine->batcher.n_waiting, memory_order_relaxed);
    out->allocations = alloc_count();
}

bool engine_alive(struct engine *engine, uint64_t now_ns, uint64_t limit_ns)
{
    for (unsigned i = 0; i < engine->plan.n_workers; i++) {
        const struct worker *w = &engine->workers[i];
        uint64_t last = get(&w->last_step_ns);
        if (atomic_load_explicit(&w->n_running, memory_order_relaxed) > 0 && now_ns > last &&
            now_ns - last > limit_ns)
            return false;
    }
    return true;
}

/* --- profiles --- */

enum status engine_profile_start(struct engine *engine, const struct record_options *options,
                                 struct error *err)
{
    if (atomic_exchange(&engine->profiling, true))
        return error_set(err, STATUS_FULL, "a profile is being made; one at a time");
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        recorder_start(engine->workers[i].recorder, options);
    return STATUS_OK;
}

enum status engine_profile_stop(struct engine *engine, struct record **out, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned n = 0;
    for (unsigned i = 0; i < engine->plan.n_workers; i++)
        recorder_stop(engine->workers[i].recorder);
    while (out != NULL && n < engine->plan.n_workers && status == STATUS_OK) {
        status = recorder_take(engine->workers[n].recorder, &out[n], err);
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
                                  .kv = engine->plan.kv_pages * engine->plan.page_bytes};
    for (unsigned i = 0; i < engine->plan.n_workers; i++) {
        const struct worker *w = &engine->workers[i];
        out->activations += forward_bytes(w->forward);
        out->tables += w->arena.n_bytes;
        out->profile += recorder_bytes(w->recorder);
    }
}
