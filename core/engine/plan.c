/* plan.c - the choice of threads, workers and KV memory.
 *
 * Workers: sequences of one worker are computed together, so that the weights cross the memory bus
 * once for all of them; one worker per last-level cache keeps its team's barriers inside that
 * cache. A model so small that every core reads it from its own side of the cache gains nothing
 * from a team but barriers: there each core works alone. Pure; any thread.
 */
#include "engine/plan.h"

#include <stdio.h>

#define MIB ((size_t)1 << 20)

enum { TINY_MIB = 16 }; /* where L3 is unknown, or larger */

static bool fits_cache(const struct model *model, const struct cpu *cpu)
{
    size_t limit = TINY_MIB * MIB;
    if (cpu->l3_bytes > 0 && cpu->l3_bytes < limit)
        limit = cpu->l3_bytes;
    return model->bytes_per_token <= limit;
}

static const char *limit_of_cores(const struct cpu *cpu)
{
    if (cpu->quota > 0 && cpu->quota < (double)cpu->n_physical &&
        cpu->quota < (double)cpu->n_affinity)
        return "the CPU quota's";
    return cpu->n_physical < cpu->n_affinity ? "physical cores" : "all that may be used";
}

static enum status choose_threads(struct engine_plan *plan, const struct model *model,
                                  const struct cpu *cpu, const struct engine_options *options,
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
        threads_why = n_threads == cpu->n_usable ? limit_of_cores(cpu) : "one for each worker";
    }
    const char *workers_why = "as asked";
    if (n_workers == 0 && fits_cache(model, cpu)) {
        n_workers = n_threads;
        workers_why = "the model fits the cache, so each core works alone";
    } else if (n_workers == 0) {
        n_workers = cpu->n_domains < n_threads ? cpu->n_domains : n_threads;
        n_workers = n_workers > 0 ? n_workers : 1;
        workers_why = "one for each last-level cache";
    }
    plan->n_threads = n_threads;
    plan->n_workers = n_workers;
    snprintf(plan->threads_why, sizeof plan->threads_why, "threads: %u (%s); workers: %u (%s)",
             n_threads, threads_why, n_workers, workers_why);
    return STATUS_OK;
}

static enum status choose_kv(struct engine_plan *plan, const struct model *model,
                             const struct cpu *cpu, const struct engine_options *options,
                             struct error *err)
{
    size_t page = kv_page_bytes(&model->shape, options->kv_type);
    size_t sequence = kv_pages_for(model->n_context) * page, workers = plan->n_workers;
    size_t wanted, bytes = options->kv_bytes;
    const char *why = "as asked";
    if (bytes == 0) {
        if (__builtin_mul_overflow(options->max_batch * workers, sequence, &wanted))
            wanted = SIZE_MAX;
        bytes = wanted;
        why = "full contexts for every place in the batch";
        if (bytes > cpu->memory_bytes / 4) {
            bytes = cpu->memory_bytes / 4;
            why = "a quarter of the memory that may be used";
        }
        if (bytes < workers * sequence) {
            bytes = workers * sequence;
            why = "the least: one full context on each worker";
        }
    }
    size_t worker_pages = bytes / workers / page;
    if (worker_pages == 0)
        return error_set_param(
            err, STATUS_INVALID, "kv_memory",
            "%zu bytes of KV memory do not hold one page on each of %zu workers: "
            "at least %zu are needed",
            bytes, workers, workers * page);
    plan->page_bytes = page;
    plan->kv_pages = worker_pages * workers;
    plan->kv_bytes = plan->kv_pages * page;
    plan->sequence_pages = kv_pages_for(model->n_context);
    size_t positions = worker_pages * KV_PAGE;
    snprintf(plan->kv_why, sizeof plan->kv_why,
             "%zu MiB of KV memory (%s): %zu positions a worker%s", plan->kv_bytes / MIB, why,
             positions, worker_pages < plan->sequence_pages ? ", less than one full context" : "");
    return STATUS_OK;
}

enum status plan_choose(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                        const struct engine_options *options, struct error *err)
{
    struct engine_plan plan = {0};
    enum status status = choose_threads(&plan, model, cpu, options, err);
    if (status == STATUS_OK)
        status = choose_kv(&plan, model, cpu, options, err);
    if (status == STATUS_OK)
        *out = plan;
    return status;
}

unsigned plan_worker_threads(const struct engine_plan *plan, unsigned i)
{
    return plan->n_threads / plan->n_workers + (i < plan->n_threads % plan->n_workers);
}
