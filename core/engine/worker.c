/* worker.c - a worker's thread: takes its memory, warms up, then waits for jobs and steps while it
 * has any.
 *
 * Functions that other threads call (placing jobs, reading the load) hold the worker's lock. The
 * thread sleeps only when it has nothing to do. Everything it owns is made and freed on the thread
 * itself, so that memory lies near its cores.
 */
#include "engine/worker_state.h"

#include "base/alloc_count.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

enum { LOGITS_ROWS = 64, LOGITS_MIB = 16 };

static void helper_start(void)
{
    cpu_set_float_mode();
    alloc_count_enter();
}

/* --- memory --- */

/* Rows of one step whose logits are kept: one for each sequence, or as many as LOGITS_MIB hold, so
 * that a prompt's log-probabilities do not read the output matrix for every few tokens. */
static size_t logits_rows(const struct engine_options *o, size_t n_vocab)
{
    size_t n = ((size_t)LOGITS_MIB << 20) / (n_vocab * sizeof(float));
    n = n < LOGITS_ROWS ? n : LOGITS_ROWS;
    n = n < o->step_tokens ? n : o->step_tokens;
    return n > o->max_batch ? n : o->max_batch;
}

/* The first n, the lowest on top. */
static void free_all_slots(struct worker *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->free_slots[i] = (uint32_t)(n - 1 - i);
    w->n_free_slots = n;
}

static enum status take_arena(struct worker *w, struct error *err)
{
    const struct engine_options *o = w->setup->options;
    size_t n_slots = o->max_batch, n_rows = n_slots + o->step_tokens, n_logits = w->n_logits;
    size_t bytes =
        n_slots * (sizeof(struct slot) + 3 * sizeof(uint32_t) + 2 * sizeof(struct job *)) +
        n_logits * sizeof(struct wanted) + n_rows * (sizeof(struct row) + sizeof(struct pooled)) +
        w->n_threads * sizeof(struct sampler *) + (n_slots + 17) * ARENA_ALIGN;
    enum status status = arena_init(&w->arena, bytes, "a worker's tables", err);
    if (status != STATUS_OK)
        return status;
    w->slots = arena_alloc(&w->arena, n_slots, sizeof *w->slots);
    w->order = arena_alloc(&w->arena, n_slots, sizeof *w->order);
    w->free_slots = arena_alloc(&w->arena, n_slots, sizeof *w->free_slots);
    w->arrivals = arena_alloc(&w->arena, n_slots, sizeof *w->arrivals);
    w->wanted = arena_alloc(&w->arena, n_logits, sizeof *w->wanted);
    w->pooled = arena_alloc(&w->arena, n_rows, sizeof *w->pooled);
    w->done = arena_alloc(&w->arena, n_slots, sizeof *w->done);
    w->preempted = arena_alloc(&w->arena, n_slots, sizeof *w->preempted);
    w->rows = arena_alloc(&w->arena, n_rows, sizeof *w->rows);
    w->samplers = arena_alloc(&w->arena, w->n_threads, sizeof(struct sampler *));
    if (!w->slots || !w->order || !w->free_slots || !w->arrivals || !w->wanted || !w->pooled ||
        !w->done || !w->preempted || !w->rows || !w->samplers)
        return error_no_memory(err, bytes, "a worker's tables");
    free_all_slots(w, n_slots);
    arena_touch(&w->arena, 1);
    return STATUS_OK;
}

/* Single steps kept in a profile, at most this many bytes: some hundred of a small model's. */
static const size_t profile_line_bytes = (size_t)2 << 20;

static enum status take_recorder(struct worker *w, struct error *err)
{
    const struct model *model = w->setup->model;
    size_t n_phases = forward_max_phases(model);
    struct scope_phase *phases = calloc(n_phases, sizeof *phases);
    if (phases == NULL)
        return error_no_memory(err, n_phases * sizeof *phases, "a profile");
    for (size_t i = 0; i < n_phases; i++)
        phases[i] = forward_phase(model, i);
    const struct record_shape shape = {.phases = phases,
                                       .n_phases = n_phases,
                                       .n_layers = model->shape.n_layers,
                                       .n_threads = w->n_threads};
    enum status status = recorder_create(&w->recorder, &shape, profile_line_bytes, err);
    free(phases);
    return status;
}

/* There are more pages, and what waits may fit; or there is no memory for them. */
static void on_tried(void *ctx, bool grew)
{
    const struct worker_line *line = &((struct worker *)ctx)->setup->line;
    (grew ? line->has_room : line->no_memory)(line->ctx);
}

static enum status take_memory(struct worker *w, struct error *err)
{
    const struct worker_setup *s = w->setup;
    const struct engine_options *o = s->options;
    w->n_logits = logits_rows(o, s->model->shape.n_vocab);
    enum status status =
        team_create(&w->team, w->n_threads, forward_max_phases(s->model), helper_start, err);
    if (status == STATUS_OK)
        status = take_arena(w, err);
    if (status == STATUS_OK)
        status = kv_create_growing(&w->kv, s->model, o->kv_type, s->kv_bytes, o->max_batch,
                                   o->prefix_cache, o->kv_step_bytes, err);
    if (status == STATUS_OK)
        status = growth_start(&w->growth, w->kv, &w->lock, &w->changed, on_tried, w, err);
    if (status == STATUS_OK)
        status = forward_create(&w->forward, s->model, o->kernels, w->kv, w->team,
                                o->max_batch + o->step_tokens, w->n_logits, err);
    for (unsigned i = 0; status == STATUS_OK && i < w->n_threads; i++)
        status = sampler_create(&w->samplers[i], s->model->shape.n_vocab, o->kernels, err);
    if (status == STATUS_OK)
        status = take_recorder(w, err);
    return status == STATUS_OK ? worker_warm_up(w, err) : status;
}

static void free_memory(struct worker *w)
{
    for (unsigned i = 0; w->samplers && i < w->n_threads; i++)
        sampler_destroy(w->samplers[i]);
    forward_destroy(w->forward);
    team_destroy(w->team);
}

/* --- the thread --- */

/* Puts an arrival at its place in the order: the oldest job first. */
static void insert(struct worker *w, uint32_t arrival)
{
    uint64_t ticket = w->slots[arrival].job->ticket;
    size_t i = w->n_active++;
    for (; i > 0 && w->slots[w->order[i - 1]].job->ticket > ticket; i--)
        w->order[i] = w->order[i - 1];
    w->order[i] = arrival;
}

/* Waits until there is something to do; takes the arrivals. False: the end. */
static bool take_arrivals(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->n_active == 0 && w->n_arrivals == 0 && !w->stop)
        pthread_cond_wait(&w->changed, &w->lock);
    for (size_t i = 0; i < w->n_arrivals; i++)
        insert(w, w->arrivals[i]);
    w->n_arrivals = 0;
    bool stop = w->stop;
    pthread_mutex_unlock(&w->lock);
    return !stop;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    cpu_set_float_mode();
    struct error err = {0};
    enum status status = take_memory(w, &err);
    pthread_mutex_lock(&w->lock);
    w->started = true;
    w->start_status = status;
    w->start_error = err;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (status == STATUS_OK) {
        alloc_count_enter();
        while (take_arrivals(w))
            worker_step(w);
        worker_end_all(w, FINISH_CANCELLED);
        alloc_count_leave();
    }
    free_memory(w);
    return NULL;
}

enum status worker_create(struct worker **out, const struct worker_setup *setup, unsigned n_threads,
                          unsigned n_active, struct error *err)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return error_no_memory(err, sizeof *w, "a worker");
    w->setup = setup;
    w->n_threads = n_threads;
    worker_set_threads(w, n_active);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int number = pthread_create(&w->thread, NULL, run, w);
    if (number != 0) {
        worker_destroy(w);
        return error_errno(err, number, "cannot start a worker");
    }
    pthread_setname_np(w->thread, "sm-worker");
    w->has_thread = true;
    *out = w;
    return STATUS_OK;
}

enum status worker_wait_started(struct worker *w, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    while (!w->started)
        pthread_cond_wait(&w->changed, &w->lock);
    enum status status = w->start_status;
    if (status != STATUS_OK && err)
        *err = w->start_error;
    pthread_mutex_unlock(&w->lock);
    return status;
}

void worker_stop(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void worker_destroy(struct worker *w)
{
    if (!w)
        return;
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    growth_stop(&w->growth);
    kv_destroy(w->kv);
    recorder_destroy(w->recorder);
    worker_drop_masks(w);
    arena_free(&w->arena);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* --- what others call --- */

void worker_bound_memory(struct worker *w, const struct growth_bounds *bounds)
{
    growth_bound(&w->growth, bounds);
}

void worker_set_threads(struct worker *w, unsigned n)
{
    atomic_store_explicit(&w->n_working, n > 0 ? n : 1, memory_order_relaxed);
}

static size_t positions_of(const struct job *job)
{
    /* The last token is never computed. */
    return job->n_prompt + job->max_tokens - (job->max_tokens > 0);
}

/* The tokens to read: its prompt, and after a preemption its answer so far. */
static size_t given_of(const struct job *job)
{
    return job->n_prompt + job->n_tokens;
}

/* How many of them the prefix cache may give. Where all of the prompt must be computed for the job,
 * those it was before a preemption; and none from which a given token is yet to be drawn. */
static size_t shared_max(const struct job *job)
{
    const bool anew = job->no_cache || job_wants_prompt_logprobs(job) || job_pools_all(job);
    const size_t n = anew && job->n_counted < job->n_prompt ? job->n_counted : SIZE_MAX;
    const size_t check_from = job_check_from(job);
    return n < check_from ? n : check_from;
}

void worker_limit(struct worker *w, size_t n)
{
    pthread_mutex_lock(&w->lock);
    free_all_slots(w, n);
    pthread_mutex_unlock(&w->lock);
}

uint64_t worker_step_ns(const struct worker *w, size_t n)
{
    return rates_decode(&w->rates, n);
}

bool worker_look(struct worker *w, const struct job *job, struct worker_offer *out)
{
    *out = (struct worker_offer){0};
    size_t n_cached = 0;
    pthread_mutex_lock(&w->lock);
    out->has_slot = w->n_free_slots > 0;
    bool fits = out->has_slot && kv_fits(w->kv, job->salt, shared_max(job), job->prompt,
                                         given_of(job), positions_of(job), &n_cached);
    if (out->has_slot && !fits)
        growth_ask(&w->growth, true);
    out->n_running = atomic_load_explicit(&w->n_running, memory_order_relaxed);
    pthread_mutex_unlock(&w->lock);
    out->cached_pages = n_cached / KV_PAGE;
    for (size_t i = 0; i < w->setup->options->max_batch; i++)
        out->unread += atomic_load_explicit(&w->slots[i].left_prompt, memory_order_relaxed);
    return fits;
}

static void fill_slot(struct slot *slot, struct job *job, size_t n_cached)
{
    slot->job = job;
    slot->tokens = job_prompt(job);
    slot->n_tokens = slot->n_given = given_of(job);
    slot->n_rows = 0;
    slot->sampled = false;
    slot->finish = FINISH_NONE;
    atomic_store_explicit(&slot->aborted, false, memory_order_relaxed);
    atomic_store_explicit(&slot->left_prompt, (uint32_t)(slot->n_given - n_cached),
                          memory_order_relaxed);
    /* A prompt alone holds its place too. */
    size_t left = job->max_tokens > 0 ? job->max_tokens - job->n_tokens : 1;
    atomic_store_explicit(&slot->left_tokens, (uint32_t)left, memory_order_relaxed);
    if (job->first_token_ns == 0)
        atomic_store_explicit(&job->phase, JOB_PREFILL, memory_order_relaxed);
}

bool worker_place(struct worker *w, struct job *job)
{
    pthread_mutex_lock(&w->lock);
    bool placed = false;
    if (w->n_free_slots > 0 && !w->stop) {
        uint32_t i = w->free_slots[w->n_free_slots - 1];
        struct slot *slot = &w->slots[i];
        size_t n_cached;
        placed = kv_begin(w->kv, &slot->kv, job->salt, shared_max(job), job->prompt, given_of(job),
                          positions_of(job), &n_cached);
        if (placed) {
            w->n_free_slots--;
            kv_keep(&slot->kv, job->n_common);
            fill_slot(slot, job, n_cached);
            w->arrivals[w->n_arrivals++] = i;
            growth_ask(&w->growth, false);
            if (atomic_load_explicit(&w->n_running, memory_order_relaxed) == 0)
                atomic_store_explicit(&w->last_step_ns, clock_now_ns(), memory_order_relaxed);
            atomic_fetch_add_explicit(&w->n_running, 1, memory_order_relaxed);
            pthread_cond_broadcast(&w->changed);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return placed;
}

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void worker_load(const struct worker *w, struct worker_load *out, uint32_t *left_tokens)
{
    size_t n_running = atomic_load_explicit(&w->n_running, memory_order_relaxed);
    uint64_t alone = get(&w->rates.alone_ns), beside = 2 * get(&w->rates.beside_ns);
    *out = (struct worker_load){.n_running = n_running,
                                .prompt_token_ns = alone,
                                .shared_token_ns = n_running > 1 && beside > alone ? beside : alone,
                                .answer_token_ns =
                                    rates_decode_all(&w->rates, 1000, n_running) / 1000};
    for (size_t i = 0; i < w->setup->options->max_batch; i++) {
        const struct slot *slot = &w->slots[i];
        out->unread += atomic_load_explicit(&slot->left_prompt, memory_order_relaxed);
        uint32_t left = atomic_load_explicit(&slot->left_tokens, memory_order_relaxed);
        if (left > 0)
            left_tokens[out->n_left++] = left;
    }
}

void worker_abort(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->setup->options->max_batch; i++)
        atomic_store_explicit(&w->slots[i].aborted, true, memory_order_release);
    pthread_mutex_unlock(&w->lock);
}

/* --- what it has done --- */

bool worker_alive(const struct worker *w, uint64_t now_ns, uint64_t limit_ns)
{
    uint64_t last = get(&w->last_step_ns);
    return atomic_load_explicit(&w->n_running, memory_order_relaxed) == 0 || now_ns <= last ||
           now_ns - last <= limit_ns;
}

void worker_add_stats(const struct worker *w, struct engine_stats *out)
{
    const struct worker_counters *c = &w->counters;
    out->generated_tokens += get(&c->generated);
    out->prompt_computed_tokens += get(&c->prompt_computed);
    out->prompt_cached_tokens += get(&c->prompt_cached);
    out->forced_tokens += get(&c->forced);
    out->preemptions += get(&c->preemptions);
    out->recomputed_tokens += get(&c->recomputed);
    for (size_t i = 0; i < 3; i++)
        out->cancelled[i] += get(&c->cancelled[i]);
    out->kv_given_back += get(&w->growth.given_back);
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
    out->kv.n_there += kv.n_there;
    out->kv.n_used += kv.n_used;
    out->kv.n_cached += kv.n_cached;
    out->kv.n_windows += kv.n_windows;
    out->kv.n_windows_used += kv.n_windows_used;
    out->kv.n_states += kv.n_states;
    out->kv.n_states_used += kv.n_states_used;
    out->kv.n_states_kept += kv.n_states_kept;
    out->kv.query_tokens += kv.query_tokens;
    out->kv.hit_tokens += kv.hit_tokens;
    uint64_t last = get(&w->last_step_ns);
    out->last_step_ns = last > out->last_step_ns ? last : out->last_step_ns;
}

void worker_add_memory(const struct worker *w, struct engine_memory *out)
{
    out->activations += forward_bytes(w->forward);
    out->tables += w->arena.n_bytes;
    out->profile += recorder_bytes(w->recorder);
}

bool worker_is_out_of_range(const struct worker *w)
{
    return w->out_of_range;
}

struct recorder *worker_recorder(const struct worker *w)
{
    return w->recorder;
}
