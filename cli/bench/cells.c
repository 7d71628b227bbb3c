/* cells.c - the engine's own steps, timed: prompts of several lengths, decoding at several
 * contexts, batches.
 *
 * Requests go through the engine as those of clients do, with the threads and workers that serving
 * would choose; the times are the ones that the engine writes into each job. The best of several
 * rounds counts. Main thread; the engine's workers compute.
 */
#include "cli/bench/bench.h"

#include "base/clock.h"
#include "engine/plan.h"
#include "forward/kv.h"
#include "model/cost.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BATCH = 64,
    MAX_TOKENS = 128, /* generated in a round */
    MAX_ROUNDS = 12,
    MAX_CELLS = 32,
    FAR_ROOM = 160, /* positions left for decoding at the end of the context */
};

/* Seconds after which a prompt is not read again. */
#define LONG_ROUND 3.0

struct cell {
    enum bench_kind kind;
    size_t n; /* prompt tokens, positions before, or sequences */
};

struct round { /* of jobs that ran together; seconds */
    double begin, first, last;
};

struct round_rates { /* of a cell's rounds, the highest first */
    double of[MAX_ROUNDS];
    size_t n;
};

static double seconds(uint64_t ns)
{
    return (double)ns * 1e-9;
}

/* --- what to measure --- */

/* "prefill 128", "decode at 512", "batch 8" */
static void cell_name(const struct cell *cell, char out[BENCH_NAME])
{
    snprintf(out, BENCH_NAME, "%s %s%zu", bench_kind_names[cell->kind],
             cell->kind == BENCH_DECODE ? "at " : "", cell->n);
}

static size_t add_cell(struct cell *cells, size_t n_cells, enum bench_kind kind, size_t n)
{
    cells[n_cells] = (struct cell){kind, n};
    return n_cells + 1;
}

/* Which runs measure a cell that --cells does not name by its whole name. */
enum tier { TIER_QUICK, TIER_USUAL, TIER_NAMED };

struct tiered {
    size_t n;
    enum tier tier;
};

/* Is this cell one of such a run, or asked for by its whole name? */
static bool is_chosen(const struct bench *bench, enum bench_kind kind, const struct tiered *choice)
{
    char name[BENCH_NAME];
    const enum tier most = bench->settings->quick ? TIER_QUICK : TIER_USUAL;
    const struct cell cell = {kind, choice->n};
    cell_name(&cell, name);
    return choice->tier <= most || wanted_whole(bench, name);
}

/* cells: [MAX_CELLS]. As far as the model's context goes. */
static size_t all_cells(const struct bench *bench, struct cell *cells)
{
    static const struct tiered prompts[] = {
        {16, TIER_QUICK},  {32, TIER_USUAL},  {64, TIER_QUICK},   {128, TIER_USUAL},
        {256, TIER_USUAL}, {512, TIER_USUAL}, {1024, TIER_NAMED}, {2048, TIER_NAMED}};
    static const struct tiered contexts[] = {
        {0, TIER_QUICK}, {512, TIER_USUAL}, {2048, TIER_USUAL}, {4096, TIER_NAMED}};
    static const struct tiered batches[] = {{2, TIER_QUICK},  {4, TIER_USUAL},  {5, TIER_USUAL},
                                            {6, TIER_USUAL},  {7, TIER_USUAL},  {8, TIER_QUICK},
                                            {9, TIER_USUAL},  {12, TIER_USUAL}, {16, TIER_USUAL},
                                            {24, TIER_USUAL}, {32, TIER_USUAL}, {64, TIER_USUAL}};
    size_t n = 0, room = bench->loaded.model->n_context;
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++)
        if (prompts[i].n < room && is_chosen(bench, BENCH_PREFILL, &prompts[i]))
            n = add_cell(cells, n, BENCH_PREFILL, prompts[i].n);
    for (size_t i = 0, previous = 0; i < sizeof contexts / sizeof *contexts; i++) {
        size_t far = room > FAR_ROOM ? room - FAR_ROOM : 0;
        size_t context = contexts[i].n < far ? contexts[i].n : far;
        if (i > 0 && context <= previous)
            continue;
        if (is_chosen(bench, BENCH_DECODE, &contexts[i]))
            n = add_cell(cells, n, BENCH_DECODE, context);
        previous = context;
    }
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        if (is_chosen(bench, BENCH_BATCH, &batches[i]))
            n = add_cell(cells, n, BENCH_BATCH, batches[i].n);
    return n;
}

/* Those of them that are asked for. */
static size_t plan_cells(const struct bench *bench, struct cell *cells)
{
    size_t n = all_cells(bench, cells), n_wanted = 0;
    for (size_t i = 0; i < n; i++) {
        char name[BENCH_NAME];
        cell_name(&cells[i], name);
        if (wanted_cell(bench, name))
            cells[n_wanted++] = cells[i];
    }
    return n_wanted;
}

size_t cells_names(const struct bench *bench, char names[BENCH_NAMES_MAX][BENCH_NAME])
{
    struct cell cells[MAX_CELLS];
    size_t n = all_cells(bench, cells);
    for (size_t i = 0; i < n; i++)
        cell_name(&cells[i], names[i]);
    return n;
}

size_t cells_count(const struct bench *bench)
{
    struct cell cells[MAX_CELLS];
    return plan_cells(bench, cells);
}

/* --- what it needs at least --- */

static void add_matrix(struct bench_demand *demand, const struct linear *linear, size_t n_rows)
{
    const struct matrix *w = &linear->w;
    demand->bytes += (double)(matrix_n_panels(w) * w->panel_bytes);
    demand->macs[limits_chain_of(w->type)] +=
        (double)n_rows * (double)w->n_rows * (double)w->n_cols;
}

/* What a layer has in place of attention; its output is attention's. */
static void add_delta(struct bench_demand *demand, const struct model *model, size_t layer,
                      size_t n_rows)
{
    const struct delta_layer *d = &model->layers[layer].delta;
    const struct delta_shape *s = &model->shape.delta;
    add_matrix(demand, &d->mix, n_rows);
    add_matrix(demand, &d->gate, n_rows);
    add_matrix(demand, &d->alpha, n_rows);
    add_matrix(demand, &d->beta, n_rows);
    demand->macs[LIMIT_FMA] +=
        (double)n_rows * (double)(delta_inner(s) * s->size) * (double)DELTA_CELL_OPS;
}

/* A matrix of each expert: of those that so many rows meet, n_used for each row. */
static void add_expert_matrix(struct bench_demand *demand, const struct model *model,
                              const struct expert_linear *l, size_t n_rows)
{
    const struct routing *routing = &model->shape.routing;
    const struct matrix *w = &l->first;
    demand->bytes +=
        cost_experts_met(routing, n_rows) * (double)(matrix_n_panels(w) * w->panel_bytes);
    demand->macs[limits_chain_of(w->type)] +=
        (double)(n_rows * routing->n_used) * (double)w->n_rows * (double)w->n_cols;
}

static void add_experts(struct bench_demand *demand, const struct model *model,
                        const struct layer_experts *e, size_t n_rows)
{
    const struct linear *const whole[] = {&e->router, &e->shared_weight, &e->shared_gate,
                                          &e->shared_up, &e->shared_down};
    const struct expert_linear *const parts[] = {&e->gate, &e->up, &e->down};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        add_matrix(demand, whole[i], n_rows);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        add_expert_matrix(demand, model, parts[i], n_rows);
}

/* n_rows rows of which n_last want logits: only they go on after the last layer's keys and values.
 * n_pairs: of a query's row and a position it attends to, in the last layer and in each other. */
static void add_step(struct bench_demand *demand, const struct model *model, size_t n_rows,
                     size_t n_last, double n_pairs, double n_last_pairs)
{
    const struct shape *shape = &model->shape;
    double macs_per_pair = 2.0 * (double)shape->n_heads * (double)shape->head_dim;
    for (size_t i = 0; i < shape->n_layers; i++) {
        const struct layer *layer = &model->layers[i];
        bool is_last = i + 1 == shape->n_layers;
        size_t n = is_last ? n_last : n_rows;
        const bool attends = shape->layers[i].mixer == MIXER_ATTENTION;
        if (!attends)
            add_delta(demand, model, i, n_rows);
        add_matrix(demand, &layer->q, n);
        add_matrix(demand, &layer->q_gate, n);
        add_matrix(demand, &layer->k, n_rows);
        add_matrix(demand, &layer->v, n_rows);
        add_matrix(demand, &layer->attn_output, n);
        add_matrix(demand, &layer->gate, n);
        add_matrix(demand, &layer->up, n);
        add_matrix(demand, &layer->down, n);
        if (shape->layers[i].has_experts && n > 0)
            add_experts(demand, model, &layer->experts, n);
        if (attends)
            demand->macs[LIMIT_FMA] += macs_per_pair * (is_last ? n_last_pairs : n_pairs);
    }
    add_matrix(demand, &model->output, n_last);
}

static unsigned threads_of(const struct engine_plan *plan, unsigned n_workers)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_workers; i++)
        n += plan_worker_threads(plan, plan->n_threads, i);
    return n;
}

/* What lies between two reads of the same weight: experts that this step leaves out are read by
 * others. */
static size_t working_set(const struct model *model, const struct bench_demand *demand,
                          unsigned n_workers)
{
    const size_t bytes = (size_t)demand->bytes, all = n_workers * model->weight_bytes;
    return model->shape.routing.n_experts > 0 && all > bytes ? all : bytes;
}

/* One prompt, read by one worker. */
static void prefill_demand(const struct bench *bench, size_t n, struct bench_demand *demand)
{
    double positions = (double)n;
    add_step(demand, bench->loaded.model, n, 1, positions * (positions + 1) / 2, positions);
    demand->working_set = working_set(bench->loaded.model, demand, 1);
    demand->units = positions;
}

/* One step of a batch at a context: each worker that has a sequence reads all weights, each
 * sequence its keys and values. */
static void decode_demand(const struct bench *bench, size_t batch, double context,
                          unsigned n_workers, struct bench_demand *demand)
{
    double pairs = (double)batch * context;
    add_step(demand, bench->loaded.model, batch, batch, pairs, pairs);
    const struct engine_plan *plan = engine_plan(bench->engine);
    struct kv_map map;
    kv_map_of(&map, NULL, &bench->loaded.model->shape, plan->kv_type,
              plan->sequence_pages * KV_PAGE);
    const double seen = context < (double)map.window ? context : (double)map.window;
    demand->bytes = demand->bytes * n_workers + pairs * (double)plan->page_bytes / KV_PAGE +
                    (double)batch * seen * (double)plan->window_bytes / KV_PAGE +
                    2.0 * (double)batch * (double)plan->state_bytes; /* read and written */
    demand->working_set = working_set(bench->loaded.model, demand, n_workers);
    demand->units = (double)batch;
}

/* --- running jobs --- */

static enum status make_job(const struct bench *bench, size_t n_prompt, size_t n_tokens,
                            size_t which, uint64_t salt, struct job **out, struct error *err)
{
    const struct job_size size = {.n_prompt = n_prompt,
                                  .max_tokens = n_tokens,
                                  .max_piece = tokenizer_max_piece(bench->loaded.tokenizer)};
    struct job *job;
    enum status status = job_create(&job, &size, err);
    if (status != STATUS_OK)
        return status;
    size_t n_vocab = bench->loaded.model->shape.n_vocab;
    for (size_t i = 0; i < n_prompt; i++)
        job_prompt(job)[i] = (int32_t)((i * 7919 + which * 104729 + 11) % n_vocab);
    job->ignore_eos = true;
    job->sampling.top_p = job->sampling.typical_p = 1;
    job->sampling.repetition_penalty = 1;
    job->salt = salt;
    *out = job;
    return STATUS_OK;
}

/* All of them at once; waits for each. */
static enum status run_jobs(struct bench *bench, struct job **jobs, size_t n, struct round *out,
                            struct error *err)
{
    enum status status = STATUS_OK;
    size_t n_submitted = 0;
    uint64_t retry_ms;
    for (; status == STATUS_OK && n_submitted < n; n_submitted += status == STATUS_OK) {
        jobs[n_submitted]->arrived_ns = clock_now_ns();
        status = engine_submit(bench->engine, jobs[n_submitted], &retry_ms, err);
    }
    for (size_t i = 0; i < n_submitted; i++)
        while (!atomic_load_explicit(&jobs[i]->finished, memory_order_acquire))
            engine_wait(bench->engine, jobs[i], UINT32_MAX);
    *out = (struct round){0};
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        const struct job *job = jobs[i];
        if (job->finish == FINISH_ERROR) {
            *err = job->error;
            return err->status;
        }
        double begin = seconds(job->started_ns), first = seconds(job->first_token_ns),
               last = seconds(job->last_token_ns);
        out->begin = i == 0 || begin < out->begin ? begin : out->begin;
        out->first = i == 0 || first < out->first ? first : out->first;
        out->last = last > out->last ? last : out->last;
    }
    return status;
}

static enum status run_round(struct bench *bench, size_t n_jobs, size_t n_prompt, size_t n_tokens,
                             uint64_t salt, struct round *out, struct error *err)
{
    struct job *jobs[MAX_BATCH] = {NULL};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < n_jobs; i++)
        status = make_job(bench, n_prompt, n_tokens, i, salt, &jobs[i], err);
    if (status == STATUS_OK)
        status = run_jobs(bench, jobs, n_jobs, out, err);
    for (size_t i = 0; i < n_jobs; i++)
        job_destroy(jobs[i]);
    return status;
}

/* --- the cells --- */

static void rates_add(struct round_rates *rates, double rate)
{
    size_t i = rates->n++;
    for (; i > 0 && rates->of[i - 1] < rate; i--)
        rates->of[i] = rates->of[i - 1];
    rates->of[i] = rate;
}

/* The best round is what the machine can do; the median one what it did beside everything else. */
static void take_rates(struct bench_result *result, const struct round_rates *rates)
{
    if (rates->n == 0)
        return;
    result->rate = rates->of[0];
    result->median = rates->of[rates->n / 2];
}

static double cell_seconds(const struct bench *bench)
{
    return bench->settings->quick ? 0.1 : 1.5;
}

static size_t least_rounds(const struct bench *bench)
{
    return bench->settings->quick ? 2 : 3;
}

/* The first round of a kind costs what the first touch of its memory costs; it counts like the
 * others, the best of which is the result. One that takes LONG_ROUND hardly notices. */
static enum status run_prefill(struct bench *bench, const struct cell *cell, struct error *err)
{
    size_t n = cell->n;
    unsigned n_threads = threads_of(engine_plan(bench->engine), 1);
    struct bench_result result = {.kind = BENCH_PREFILL, .tokens = n, .batch = 1};
    struct bench_demand demand = {0};
    cell_name(cell, result.name);
    result.threads = n_threads;
    prefill_demand(bench, n, &demand);
    enum status status = demand_prepare(bench, &demand, n_threads, err);
    struct round_rates rates = {0};
    double start = seconds_now();
    for (size_t i = 0; status == STATUS_OK && i < MAX_ROUNDS; i++) {
        struct round round;
        /* A salt of its own: nothing of it is in the prefix cache. */
        status = run_round(bench, 1, n, 1, 1000 + 100 * n + i, &round, err);
        if (status == STATUS_OK)
            rates_add(&rates, (double)n / (round.first - round.begin));
        double took = seconds_now() - start;
        if ((i + 1 >= least_rounds(bench) && took > cell_seconds(bench)) || took > LONG_ROUND)
            break;
    }
    take_rates(&result, &rates);
    return status == STATUS_OK ? demand_add(bench, &result, &demand, err) : status;
}

/* Sequences side by side, each `context` positions in. */
static enum status run_decode(struct bench *bench, const struct cell *cell, struct error *err)
{
    size_t batch = cell->kind == BENCH_BATCH ? cell->n : 1;
    size_t context = cell->kind == BENCH_DECODE ? cell->n : 0;
    const struct engine_plan *plan = engine_plan(bench->engine);
    unsigned n_workers = batch < plan->n_workers ? (unsigned)batch : plan->n_workers;
    size_t n_prompt = context > 0 ? context : 1, room = bench->loaded.model->n_context - n_prompt;
    size_t most = room < MAX_TOKENS ? room : MAX_TOKENS, n_tokens = most < 9 ? most : 9;
    struct bench_result result = {.kind = cell->kind, .batch = batch, .context = context};
    struct bench_demand demand = {0};
    result.threads = threads_of(plan, n_workers);
    cell_name(cell, result.name);
    decode_demand(bench, batch, (double)n_prompt + (double)most / 2, n_workers, &demand);
    enum status status = demand_prepare(bench, &demand, result.threads, err);
    struct round_rates rates = {0};
    double start = seconds_now();
    for (size_t i = 0; status == STATUS_OK && i < MAX_ROUNDS; i++) {
        struct round round;
        status = run_round(bench, batch, n_prompt, n_tokens, 1, &round, err);
        if (status != STATUS_OK)
            break;
        double rate = (double)(batch * (n_tokens - 1)) / (round.last - round.first);
        if (i > 0) {
            rates_add(&rates, rate);
            if (rate >= rates.of[0])
                result.tokens = batch * (n_tokens - 1);
        }
        /* The first, short round says how many tokens fill a round's time. */
        double wanted = cell_seconds(bench) / 3 * rate / (double)batch;
        if (i == 0)
            n_tokens = wanted < 9 ? n_tokens : wanted < (double)most ? (size_t)wanted : most;
        if (i >= least_rounds(bench) && seconds_now() - start > cell_seconds(bench))
            break;
    }
    take_rates(&result, &rates);
    return status == STATUS_OK ? demand_add(bench, &result, &demand, err) : status;
}

static enum status start_engine(struct bench *bench, struct error *err)
{
    const struct settings *s = bench->settings;
    const struct model *model = bench->loaded.model;
    struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = s->workers,
        .kernels = bench->loaded.kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_bytes = s->kv_memory,
        .prefix_cache = true, /* rounds at a far context share what is before */
        .step_tokens = s->step_tokens,
        .max_batch = MAX_BATCH,
        .max_queue = MAX_BATCH,
    };
    /* Room for the largest batch on each worker, or for the longest sequence. */
    struct engine_plan plan;
    options.kv_bytes = SIZE_MAX / 2;
    enum status status = plan_measure(&plan, model, &bench->loaded.cpu, &options, err);
    if (status != STATUS_OK)
        return status;
    size_t round = MAX_TOKENS + 1 < model->n_context ? MAX_TOKENS + 1 : model->n_context;
    size_t pages = MAX_BATCH * kv_pages_for(round), longest = kv_pages_for(model->n_context);
    pages = pages > longest ? pages : longest;
    options.kv_bytes = s->kv_memory > 0 ? s->kv_memory : pages * plan.page_bytes * plan.n_workers;
    return engine_create(&bench->engine, model, bench->loaded.tokenizer, &bench->loaded.cpu,
                         &options, err);
}

enum status cells_run(struct bench *bench, struct error *err)
{
    struct cell cells[MAX_CELLS];
    enum status status = start_engine(bench, err);
    if (status != STATUS_OK)
        return status;
    bench->report.threads = engine_plan(bench->engine)->n_threads;
    bench->report.workers = engine_plan(bench->engine)->n_workers;
    size_t n = plan_cells(bench, cells);
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        if (cells[i].kind == BENCH_PREFILL)
            status = run_prefill(bench, &cells[i], err);
        else
            status = run_decode(bench, &cells[i], err);
    }
    return status;
}
