/* plan.c - the choice of threads, workers and KV memory.
 *
 * Workers: sequences of one worker are computed together, so that the weights cross the memory bus
 * once for all of them; one worker per last-level cache keeps its team's barriers inside that
 * cache. A model that the cache holds gains nothing from that; where a team does not make one
 * sequence of it clearly faster than a thread alone (measured, calibrate.h), each core works alone
 * and many sequences gain. Any thread.
 */
#include "engine/plan.h"

#include <stdio.h>

#define MIB ((size_t)1 << 20)

enum {
    CACHED_MIB = 32, /* where the last-level cache's size is unknown, or larger (a part of it is
                        others') */
    TEAM_GAIN = 125, /* in hundredths: below it a team is not worth its cores */
};

bool plan_wants_calibration(const struct model *model, const struct cpu *cpu,
                            const struct engine_options *options)
{
    size_t limit = CACHED_MIB * MIB;
    if (cpu->l3_bytes > 0 && cpu->l3_bytes < limit)
        limit = cpu->l3_bytes;
    unsigned n_threads = options->n_threads > 0 ? options->n_threads : cpu->n_usable;
    return options->n_workers == 0 && n_threads > 1 && model->bytes_per_token <= limit;
}

static const char *limit_of_cores(const struct cpu *cpu)
{
    if (cpu->quota > 0 && cpu->quota < (double)cpu->n_physical &&
        cpu->quota < (double)cpu->n_affinity)
        return "the CPU quota's";
    return cpu->n_physical < cpu->n_affinity ? "physical cores" : "all that may be used";
}

static unsigned choose_workers(unsigned n_threads, const struct cpu *cpu,
                               const struct calibration *measured, char *why, size_t room)
{
    const double alone = (double)measured->alone_ns, team = (double)measured->team_ns;
    if (measured->alone_ns > 0 && alone * 100 < team * TEAM_GAIN) {
        snprintf(why, room, "a token takes %.0f us alone, %.0f us in a team: each core works alone",
                 alone / 1e3, team / 1e3);
        return n_threads;
    }
    unsigned n = cpu->n_domains < n_threads ? cpu->n_domains : n_threads;
    if (measured->alone_ns > 0)
        snprintf(why, room, "a token takes %.0f us alone, %.0f us in a team: one for each cache",
                 alone / 1e3, team / 1e3);
    else
        snprintf(why, room, "one for each last-level cache");
    return n > 0 ? n : 1;
}

static enum status choose_threads(struct engine_plan *plan, const struct cpu *cpu,
                                  const struct engine_options *options,
                                  const struct calibration *measured, struct error *err)
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
    char workers_why[96] = "as asked";
    if (n_workers == 0)
        n_workers = choose_workers(n_threads, cpu, measured, workers_why, sizeof workers_why);
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
                        const struct engine_options *options, const struct calibration *measured,
                        struct error *err)
{
    struct engine_plan plan = {0};
    enum status status = choose_threads(&plan, cpu, options, measured, err);
    if (status == STATUS_OK)
        status = choose_kv(&plan, model, cpu, options, err);
    if (status == STATUS_OK)
        *out = plan;
    return status;
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

unsigned plan_worker_threads(const struct engine_plan *plan, unsigned i)
{
    return plan->n_threads / plan->n_workers + (i < plan->n_threads % plan->n_workers);
}
