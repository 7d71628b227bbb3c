/* sessions.c - the verb's workload: sessions one after the other, or several at once, with
 * every step recorded, each on a new engine; then some with one step in two recorded, for the
 * recorder's own cost. Main thread. */
#include "base/clock.h"
#include "cli/profile/run.h"
#include "engine/profile.h"
#include "forward/kv.h"

#include <stdlib.h>
#include <string.h>

/* The measurements that the recorder's cost is found from, at most: starts of an engine, and the
 * time of their steps.
 */
enum { STARTS = 16 };
static const uint64_t overhead_ns = 4000000000;

struct runner {
    const struct profile_plan *plan;
    const struct loaded *loaded;
    struct engine *engine;
    struct job **jobs; /* [batch] owned */
    size_t n_jobs;
    uint64_t n_made; /* sessions so far: each has a seed of its own */
};

/* --- the engine --- */

/* A new engine in place of the one before: where its threads and its memory lie differs from start
 * to start by more than anything from session to session. */
static enum status start_engine(struct runner *r, const struct settings *s, struct error *err)
{
    engine_destroy(r->engine);
    r->engine = NULL;
    const struct model *model = r->loaded->model;
    size_t n_positions = r->plan->prompt + r->plan->tokens;
    enum kv_type type = (enum kv_type)s->kv_type;
    const struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = 1,
        .kernels = r->loaded->kernels,
        .kv_type = type,
        .kv_bytes = s->kv_memory != 0
                        ? s->kv_memory
                        : kv_bytes_for(&model->shape, type, n_positions, r->plan->batch) +
                              kv_bytes_for(&model->shape, type, model->n_context, 1),
        .prefix_cache = false,
        .step_tokens = s->step_tokens,
        .max_batch = r->plan->batch,
        .max_queue = r->plan->batch,
    };
    return engine_create(&r->engine, model, r->loaded->tokenizer, &r->loaded->cpu, &options, err);
}

/* --- jobs --- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A prompt of random ids, no two sessions alike. */
static enum status make_job(struct runner *r, size_t n_prompt, size_t n_tokens, struct job **out,
                            struct error *err)
{
    const struct tokenizer *tokenizer = r->loaded->tokenizer;
    size_t n_vocab = r->loaded->model->shape.n_vocab;
    const struct job_size size = {
        .n_prompt = n_prompt, .max_tokens = n_tokens, .max_piece = tokenizer_max_piece(tokenizer)};
    struct job *job;
    enum status status = job_create(&job, &size, err);
    if (status != STATUS_OK)
        return status;
    uint64_t state = mix(r->plan->seed + 0x9e3779b97f4a7c15u * ++r->n_made);
    for (size_t i = 0; i < n_prompt; i++)
        job_prompt(job)[i] = (int32_t)(mix(state += 0x9e3779b97f4a7c15u) % n_vocab);
    job->ignore_eos = true;
    job->sampling = (struct sampling){.temperature = r->plan->temperature,
                                      .top_k = n_vocab < 40 ? (uint32_t)n_vocab : 40,
                                      .top_p = 0.95f,
                                      .min_p = 0.05f,
                                      .typical_p = 1,
                                      .repetition_penalty = 1,
                                      .seed = mix(state)};
    *out = job;
    return STATUS_OK;
}

static void free_jobs(struct runner *r)
{
    for (size_t i = 0; i < r->n_jobs; i++)
        job_destroy(r->jobs[i]);
    r->n_jobs = 0;
}

/* Runs n requests at once to their ends. The jobs stay for reading: free_jobs. */
static enum status run_group(struct runner *r, size_t n, size_t n_prompt, size_t n_tokens,
                             struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t retry_ms;
    size_t n_submitted = 0;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        status = make_job(r, n_prompt, n_tokens, &r->jobs[i], err);
        r->n_jobs += status == STATUS_OK;
    }
    for (size_t i = 0; i < r->n_jobs && status == STATUS_OK; i++) {
        r->jobs[i]->arrived_ns = clock_now_ns();
        status = engine_submit(r->engine, r->jobs[i], &retry_ms, err);
        n_submitted += status == STATUS_OK;
    }
    for (size_t i = 0; i < n_submitted; i++)
        while (!atomic_load_explicit(&r->jobs[i]->finished, memory_order_acquire))
            engine_wait(r->engine, r->jobs[i], UINT32_MAX - 1);
    for (size_t i = 0; i < n_submitted && status == STATUS_OK; i++) {
        if (r->jobs[i]->finish == FINISH_ERROR || r->jobs[i]->finish == FINISH_CANCELLED) {
            status =
                error_set(err, STATUS_INTERNAL, "a session failed: %s", r->jobs[i]->error.text);
        }
    }
    return status;
}

/* --- a session's numbers --- */

static void read_jobs(const struct runner *r, struct report_session *out)
{
    uint64_t begin = UINT64_MAX, end = 0, started = UINT64_MAX, first = 0;
    double decode = 0;
    for (size_t i = 0; i < r->n_jobs; i++) {
        const struct job *job = r->jobs[i];
        begin = job->arrived_ns < begin ? job->arrived_ns : begin;
        started = job->started_ns < started ? job->started_ns : started;
        first = job->first_token_ns > first ? job->first_token_ns : first;
        end = job->last_token_ns > end ? job->last_token_ns : end;
        double own = (double)(job->last_token_ns - job->first_token_ns);
        decode = own > decode ? own : decode;
        out->n_prompt += (double)job->n_prompt;
        out->n_tokens += (double)job->n_completion;
    }
    out->wall_ns = (double)(end - begin);
    out->prompt_ns = first > started ? (double)(first - started) : 0;
    out->decode_ns = decode;
}

/* Totals, a generated token. */
static void read_scopes(const struct record *record, struct report_session *out)
{
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        for (size_t layer = 0; layer <= record->shape.n_layers; layer++)
            for (size_t scope = 0; scope < SCOPES; scope++)
                out->scope_ns[scope] +=
                    record_cell(record, (enum record_kind)kind, layer, scope)->total;
    }
    for (size_t scope = 0; scope < SCOPES && out->n_tokens > 0; scope++)
        out->scope_ns[scope] /= out->n_tokens;
}

/* Runs n requests with the recorder on. Their jobs stay for reading, as run_group's. */
static enum status run_recorded(struct runner *r, unsigned every, size_t n, size_t n_tokens,
                                struct record **out, struct error *err)
{
    const struct record_options options = {.every = every};
    struct error ignored;
    enum status status = engine_profile_start(r->engine, &options, err);
    if (status != STATUS_OK)
        return status;
    status = run_group(r, n, r->plan->prompt, n_tokens, err);
    enum status stopped = engine_profile_stop(r->engine, out, status == STATUS_OK ? err : &ignored);
    if (status != STATUS_OK && stopped == STATUS_OK)
        record_destroy(*out);
    return status != STATUS_OK ? status : stopped;
}

/* One group, recorded; its record joins the sum, and the first one's steps stay in detail. */
static enum status record_group(struct runner *r, struct profile_parts *parts, size_t n,
                                struct error *err)
{
    struct record *record;
    enum status status = run_recorded(r, 0, n, r->plan->tokens, &record, err);
    if (status == STATUS_OK) {
        struct report_session *session = &parts->sessions[parts->n_sessions++];
        read_jobs(r, session);
        record_extrapolate(record);
        read_scopes(record, session);
    }
    free_jobs(r);
    if (status != STATUS_OK)
        return status;
    if (parts->total == NULL)
        status = record_copy(&parts->total, record, err);
    else
        record_add(parts->total, record);
    if (parts->n_records == 0)
        parts->records[parts->n_records++] = record;
    else
        record_destroy(record);
    return status;
}

/* --- the recorder's own cost --- */

/* The cost as it is found, start by start. */
struct cost {
    double medians[STARTS]; /* of one start's ratios */
    size_t n_starts;
    double *ratios,
        *plain; /* [STARTS * RECORD_SERIES]: recorded by not recorded; not recorded, ns */
    size_t n_ratios, n_plain;
};

/* One step in two is recorded: neighbours of which one is differ in a position besides, one way or
 * the other, and the median of their ratios is what recording adds. */
static void add_start(struct cost *cost, const uint32_t *series, size_t n)
{
    const size_t first = cost->n_ratios;
    for (size_t i = 0; i < n; i++) {
        if (!(series[i] & 1))
            cost->plain[cost->n_plain++] = series[i] >> 1;
        if (i == 0 || (series[i] & 1) == (series[i - 1] & 1))
            continue;
        double recorded = series[i] & 1 ? series[i] >> 1 : series[i - 1] >> 1;
        double other = series[i] & 1 ? series[i - 1] >> 1 : series[i] >> 1;
        if (other > 0)
            cost->ratios[cost->n_ratios++] = recorded / other - 1;
    }
    if (cost->n_ratios > first)
        cost->medians[cost->n_starts++] =
            stats_median(cost->ratios + first, cost->n_ratios - first);
}

/* Starts differ by more than chance among their steps explains: where there are enough of them they
 * are what is resampled. */
static void finish_cost(struct report_overhead *out, struct cost *cost)
{
    enum { ENOUGH = 5 };
    out->n_pairs = cost->n_ratios;
    out->n_starts = cost->n_starts;
    out->measured = cost->n_ratios >= 16;
    out->step_ns = stats_median(cost->plain, cost->n_plain);
    out->part = stats_median(cost->medians, cost->n_starts);
    out->interval = cost->n_starts >= ENOUGH ? stats_bootstrap_median(cost->medians, cost->n_starts)
                                             : stats_bootstrap_median(cost->ratios, cost->n_ratios);
}

/* Tokens of one start's session, so that all starts go into the time. 0: not even one does. */
static size_t series_tokens(const struct runner *r, const struct record *seen)
{
    enum { MOST = 512, LEAST = 32 };
    const struct record_steps *steps = &seen->totals.steps[RECORD_DECODE];
    const size_t pages = engine_plan(r->engine)->kv_pages * KV_PAGE;
    const size_t context =
        r->loaded->model->n_context < pages ? r->loaded->model->n_context : pages;
    const size_t room = context > r->plan->prompt ? context - r->plan->prompt : 0;
    if (steps->n_seen == 0 || room < LEAST)
        return 0;
    double fit = (double)overhead_ns / (steps->seen_ns / (double)steps->n_seen);
    size_t n = fit < (double)MOST * STARTS ? (size_t)fit / STARTS : MOST;
    n = n > LEAST ? n : LEAST;
    return fit < LEAST ? 0 : n < room ? n : room;
}

static enum status measure_overhead(struct runner *r, const struct record *seen,
                                    const struct settings *settings, struct report_overhead *out,
                                    struct error *err)
{
    const size_t n_tokens = series_tokens(r, seen), room = (size_t)STARTS * RECORD_SERIES;
    if (n_tokens == 0)
        return STATUS_OK;
    struct cost cost = {.ratios = calloc(room, sizeof *cost.ratios),
                        .plain = calloc(room, sizeof *cost.plain)};
    enum status status = STATUS_OK;
    if (cost.ratios == NULL || cost.plain == NULL)
        status = error_no_memory(err, 2 * room * sizeof *cost.ratios, "the recorder's cost");
    uint64_t end = clock_now_ns() + 2 * overhead_ns;
    for (int i = 0; i < STARTS && status == STATUS_OK && clock_now_ns() < end; i++) {
        struct record *record;
        status = start_engine(r, settings, err);
        if (status == STATUS_OK)
            status = run_recorded(r, 2, 1, n_tokens, &record, err);
        free_jobs(r);
        if (status != STATUS_OK)
            break;
        add_start(&cost, record->series, record->totals.n_series);
        record_destroy(record);
    }
    if (status == STATUS_OK)
        finish_cost(out, &cost);
    free(cost.ratios);
    free(cost.plain);
    return status;
}

/* --- all of it --- */

/* A group on an engine of its own, so that what differs from start to start is in the noise that a
 * comparison sees. */
static enum status record_start(struct runner *r, struct profile_parts *parts, size_t n,
                                const struct settings *settings, struct error *err)
{
    enum status status = start_engine(r, settings, err);
    /* One that counts nowhere: pages are touched, caches and clocks are warm. */
    if (status == STATUS_OK)
        status = run_group(r, n, r->plan->prompt, r->plan->tokens, err);
    free_jobs(r);
    struct counting *counting = NULL;
    if (status == STATUS_OK)
        status = counting_start(&counting, err);
    if (status == STATUS_OK)
        status = record_group(r, parts, n, err);
    if (counting != NULL) {
        struct counters counters;
        counting_stop(counting, &counters);
        counters_add(&parts->counters, &counters);
    }
    return status;
}

static enum status record_all(struct runner *r, struct profile_parts *parts,
                              const struct settings *settings, struct bar *bar, struct error *err)
{
    const struct profile_plan *plan = r->plan;
    size_t n_groups = (plan->sessions + plan->batch - 1) / plan->batch;
    enum status status = STATUS_OK;
    parts->sessions = calloc(n_groups, sizeof *parts->sessions);
    parts->records = calloc(1, sizeof(struct record *));
    if (parts->sessions == NULL || parts->records == NULL)
        return error_no_memory(err, n_groups * sizeof *parts->sessions, "the sessions");
    for (size_t i = 0; i < n_groups && status == STATUS_OK; i++) {
        size_t left = plan->sessions - i * plan->batch;
        status = record_start(r, parts, left < plan->batch ? left : plan->batch, settings, err);
        bar_show(bar, i + 1, n_groups, "");
    }
    parts->has_counters = status == STATUS_OK;
    return status;
}

enum status sessions_measure(struct profile_parts *parts, const struct loaded *loaded,
                             const struct settings *settings, const struct profile_plan *plan,
                             struct engine **engine, struct bar *bar, struct error *err)
{
    struct runner r = {.plan = plan, .loaded = loaded};
    struct limits *limits = NULL;
    r.jobs = calloc(plan->batch, sizeof(struct job *));
    if (r.jobs == NULL)
        return error_no_memory(err, plan->batch * sizeof(struct job *), "the sessions");
    enum status status = record_all(&r, parts, settings, bar, err);
    if (status == STATUS_OK && plan->overhead)
        status = measure_overhead(&r, parts->total, settings, &parts->overhead, err);
    if (status == STATUS_OK)
        status = limits_create(&limits, &loaded->cpu, loaded->kernels, err);
    if (status == STATUS_OK)
        status = profile_measure_limits(&parts->limits, limits, loaded->model,
                                        engine_plan(r.engine), err);
    limits_destroy(limits);
    free_jobs(&r);
    free(r.jobs);
    *engine = r.engine; /* the last one is the caller's, whatever came */
    if (status != STATUS_OK)
        return status;
    parts->document.workload = (struct profile_workload){.source = "profile",
                                                         .sessions = plan->sessions,
                                                         .tokens = plan->tokens,
                                                         .prompt = plan->prompt,
                                                         .batch = plan->batch,
                                                         .temperature = (double)plan->temperature,
                                                         .seed = plan->seed};
    return STATUS_OK;
}
