/* plan.c - the choice of threads, workers, KV memory and sequences in a batch.
 *
 * Workers: sequences of one worker are computed together, so that the weights cross the memory bus
 * once for all of them; one worker per last-level cache keeps its team's barriers inside that
 * cache. A model that the cache holds gains nothing from that; where a team does not make one
 * sequence of it clearly faster than a thread alone (measured, calibrate.h), each core works alone
 * and many sequences gain. Any thread.
 */
#include "engine/plan.h"

#include "forward/kv.h"

#include <stdio.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum {
    CACHED_MIB = 32, /* where the last-level cache's size is unknown, or larger (a part of it is
                        others') */
    TEAM_GAIN = 160, /* in hundredths: below it a team is not worth its cores. A choice near the
                        border would be made by chance: of two cores, teams gain 1.38 to 1.53 with
                        small models, 1.66 and more with larger ones */
    GROW_MOST = 4,   /* times the threads at start, should there be more processors later: each
                        takes scratch memory */
    KV_CONTEXTS = 8, /* sequences of the whole context that KV memory holds by default ... */
    KV_MIB = 1024,   /* ... within this */
    BATCH_LEAST = 32,
    BATCH_MOST = 128,
    BATCH_POSITIONS = 128, /* that a sequence of a batch has on average */
    BATCH_MEMORY = 64,     /* one part in so many holds a batch's logits */
    BATCH_MS = 100,        /* a step that makes ten tokens a second for each of them */
};

bool plan_wants_calibration(const struct model *model, const struct cpu *cpu,
                            const struct engine_options *options)
{
    size_t limit = CACHED_MIB * MIB;
    if (cpu->l3_bytes > 0 && cpu->l3_bytes < limit)
        limit = cpu->l3_bytes;
    unsigned n_threads = options->n_threads > 0 ? options->n_threads : cpu->n_usable;
    return options->n_workers == 0 && n_threads > 1 && model->weight_bytes <= limit;
}

const char *plan_limit_of_cores(const struct cpu *cpu)
{
    if (cpu->quota > 0 && cpu->quota < (double)cpu->n_physical &&
        cpu->quota < (double)cpu->n_affinity)
        return "the CPU quota's";
    return cpu->n_physical < cpu->n_affinity ? "physical cores" : "all that may be used";
}

/* Workers that a choice may come to at most. */
static unsigned most_workers(const struct cpu *cpu, const struct model *model,
                             const struct engine_options *options, unsigned n_threads)
{
    if (options->n_workers > 0)
        return options->n_workers;
    unsigned n = plan_wants_calibration(model, cpu, options) ? n_threads : cpu->n_domains;
    n = n < n_threads ? n : n_threads;
    return n > 0 ? n : 1;
}

/* n_most: so many contexts does the KV memory hold, which is chosen first. */
static unsigned choose_workers(unsigned n_threads, const struct cpu *cpu,
                               const struct calibration *measured, size_t n_most, char *why,
                               size_t room)
{
    const double alone = (double)measured->alone_ns / 1e3, team = (double)measured->team_ns / 1e3;
    const bool is_alone = measured->alone_ns > 0 && alone * 100 < team * (double)TEAM_GAIN;
    unsigned n = is_alone ? n_threads : cpu->n_domains < n_threads ? cpu->n_domains : n_threads;
    n = n > 0 ? n : 1;
    const char *what = is_alone ? "each core works alone" : "one for each last-level cache";
    if (n > n_most) {
        n = n_most > 0 ? (unsigned)n_most : 1;
        what = "as many as the KV memory has whole contexts for";
    }
    if (measured->alone_ns > 0)
        snprintf(why, room, "a token takes %.0f us alone, %.0f us in a team: %s", alone, team,
                 what);
    else
        snprintf(why, room, "%s", what);
    return n;
}

static enum status choose_threads(struct engine_plan *plan, const struct cpu *cpu,
                                  const struct engine_options *options,
                                  const struct calibration *measured, size_t n_most,
                                  struct error *err)
{
    unsigned n_threads = options->n_threads, n_workers = options->n_workers;
    if (n_threads > 0 && n_workers > n_threads)
        return error_set_param(err, STATUS_INVALID, "workers",
                               "%u workers need at least as many threads, not %u", n_workers,
                               n_threads);
    const char *threads_why = "as asked";
    if (n_threads == 0) {
        n_threads = cpu->n_usable > n_workers ? cpu->n_usable : n_workers;
        threads_why = n_threads == cpu->n_usable ? plan_limit_of_cores(cpu) : "one for each worker";
    }
    char workers_why[128] = "as asked";
    if (n_workers == 0)
        n_workers =
            choose_workers(n_threads, cpu, measured, n_most, workers_why, sizeof workers_why);
    plan->n_threads = plan->n_threads_most = n_threads;
    if (options->follows && options->n_threads == 0 && cpu->n_machine > n_threads)
        plan->n_threads_most =
            cpu->n_machine < n_threads * GROW_MOST ? cpu->n_machine : n_threads * GROW_MOST;
    plan->n_workers = n_workers;
    snprintf(plan->threads_why, sizeof plan->threads_why, "threads: %u (%s); workers: %u (%s)",
             n_threads, threads_why, n_workers, workers_why);
    return STATUS_OK;
}

/* All workers' memory, before it is known how many they will be: a choice of workers never changes
 * it. why: what bounds it. */
static size_t choose_kv_bytes(const struct engine_options *options, const struct cpu *cpu,
                              size_t sequence, unsigned n_most, const char **why)
{
    size_t least = sequence * (options->n_workers > 0 ? options->n_workers : 1), bytes;
    size_t contexts = options->kv_contexts;
    if (options->kv_bytes > 0) {
        *why = "as asked";
        return options->kv_bytes;
    }
    *why = "whole contexts for as many sequences as asked";
    if (contexts == 0) {
        contexts = n_most > KV_CONTEXTS ? n_most : KV_CONTEXTS;
        *why = n_most > KV_CONTEXTS ? "a whole context for each worker" : "8 whole contexts";
    }
    if (__builtin_mul_overflow(contexts, sequence, &bytes))
        bytes = SIZE_MAX;
    if (options->kv_contexts == 0 && bytes > KV_MIB * MIB) {
        bytes = KV_MIB * MIB;
        *why = "1 GB, less than 8 whole contexts";
    }
    if (bytes > cpu->memory_bytes / 4) {
        bytes = cpu->memory_bytes / 4;
        *why = "a quarter of the memory that may be used";
    }
    if (bytes < least) {
        bytes = least;
        *why = options->n_workers > 1 ? "the least: one whole context on each worker"
                                      : "the least: one whole context";
    }
    return bytes;
}

static enum status share_kv(struct engine_plan *plan, const struct model *model, size_t bytes,
                            const char *why, struct error *err)
{
    const size_t workers = plan->n_workers;
    struct kv_map map;
    struct kv_division d;
    kv_map_of(&map, NULL, &model->shape, plan->kv_type, model->n_context);
    kv_divide(&d, &map, model->n_context, bytes / workers);
    if (d.n_pages == 0)
        return error_set_param(
            err, STATUS_INVALID, "kv_memory",
            "%zu bytes of KV memory do not hold one page on each of %zu workers: "
            "at least %zu are needed",
            bytes, workers, workers * kv_bytes_for(&model->shape, plan->kv_type, KV_PAGE, 1));
    plan->page_bytes = map.page_bytes;
    plan->window_bytes = map.window_bytes;
    plan->state_bytes = map.state_bytes;
    plan->kv_pages = d.n_pages * workers;
    plan->kv_windows = d.n_windows * workers;
    plan->kv_states = d.n_states * workers;
    plan->kv_bytes = d.bytes * workers;
    int n = snprintf(plan->kv_why, sizeof plan->kv_why,
                     "%zu MiB of KV memory (%s): %zu positions a worker", plan->kv_bytes / MIB, why,
                     d.n_pages * KV_PAGE);
    if (map.window_bytes > 0)
        n += snprintf(plan->kv_why + n, sizeof plan->kv_why - (size_t)n,
                      ", %zu of them in layers that see the last %zu", d.n_windows * KV_PAGE,
                      map.window);
    if (map.state_bytes > 0)
        n += snprintf(plan->kv_why + n, sizeof plan->kv_why - (size_t)n,
                      ", %zu recurrent states of %zu KiB", d.n_states, map.state_bytes / KIB);
    if (d.n_pages < plan->sequence_pages)
        snprintf(plan->kv_why + n, sizeof plan->kv_why - (size_t)n, ", less than one full context");
    return STATUS_OK;
}

/* Of the KV memory, and of the logits' rows. How long a step takes is measured later. */
static void choose_batch(struct engine_plan *plan, const struct model *model, const struct cpu *cpu,
                         const struct engine_options *options)
{
    const size_t n_kv = plan->kv_pages / plan->n_workers * KV_PAGE / BATCH_POSITIONS;
    const size_t n_logits =
        cpu->memory_bytes / BATCH_MEMORY / plan->n_workers / (model->shape.n_vocab * sizeof(float));
    const char *why = "the most";
    plan->max_batch = BATCH_MOST;
    if (n_kv < plan->max_batch) {
        plan->max_batch = n_kv;
        why = "as many as the KV memory holds 128 positions of";
    }
    if (n_logits < plan->max_batch) {
        plan->max_batch = n_logits;
        why = "as many as a part of the memory holds logits of";
    }
    if (plan->max_batch <= BATCH_LEAST || model->shape.encoder) {
        plan->max_batch = BATCH_LEAST;
        why = "the least";
    }
    if (options->max_batch > 0) {
        plan->max_batch = options->max_batch;
        why = "as asked";
    }
    snprintf(plan->batch_why, sizeof plan->batch_why, "%zu sequences a worker at once (%s)",
             plan->max_batch, why);
}

void plan_fit_batch(struct engine_plan *plan, const struct engine_options *options,
                    uint64_t (*step_ns)(const void *ctx, size_t n), const void *ctx)
{
    const uint64_t most = BATCH_MS * UINT64_C(1000000);
    size_t n = plan->max_batch;
    while (options->max_batch == 0 && n > BATCH_LEAST && step_ns(ctx, n) > most)
        n = n / 2 > BATCH_LEAST ? n / 2 : BATCH_LEAST;
    if (n == plan->max_batch)
        return;
    snprintf(plan->batch_why, sizeof plan->batch_why,
             "%zu sequences a worker at once (a step of %zu would take %.0f ms)", n,
             plan->max_batch, (double)step_ns(ctx, plan->max_batch) / 1e6);
    plan->max_batch = n;
}

enum status plan_choose(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                        const struct engine_options *options, const struct calibration *measured,
                        struct error *err)
{
    struct engine_plan plan = {.kv_type = options->kv_type,
                               .sequence_pages = kv_pages_for(model->n_context),
                               .measured = *measured};
    unsigned n_threads = options->n_threads > 0 ? options->n_threads : cpu->n_usable;
    size_t sequence = kv_bytes_for(&model->shape, options->kv_type, model->n_context, 1);
    plan.sequence_bytes = sequence;
    const char *why;
    size_t bytes =
        choose_kv_bytes(options, cpu, sequence, most_workers(cpu, model, options, n_threads), &why);
    enum status status = choose_threads(&plan, cpu, options, measured, bytes / sequence, err);
    if (status == STATUS_OK)
        status = share_kv(&plan, model, bytes, why, err);
    if (status != STATUS_OK)
        return status;
    choose_batch(&plan, model, cpu, options);
    *out = plan;
    return STATUS_OK;
}

enum status plan_measure(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                         const struct engine_options *options, struct error *err)
{
    struct calibration measured = {0};
    enum status status = STATUS_OK;
    if (plan_wants_calibration(model, cpu, options))
        status = calibrate(&measured, model, options->kernels, options->kv_type,
                           options->n_threads > 0 ? options->n_threads : cpu->n_usable, err);
    return status == STATUS_OK ? plan_choose(out, model, cpu, options, &measured, err) : status;
}

unsigned plan_worker_threads(const struct engine_plan *plan, unsigned n, unsigned i)
{
    return n / plan->n_workers + (i < n % plan->n_workers);
}
