/* plan.h - how many threads, workers and KV pages: decided once, from the model, the machine, what
 * was asked and, where that leaves a choice, a measurement.
 *
 * Pure functions of their arguments but for plan_measure, and one sentence that says why.
 */
#pragma once

#include "engine/calibrate.h"
#include "engine/options.h"

/* Whether the choice of workers is open and a measurement would tell. */
bool plan_wants_calibration(const struct model *model, const struct cpu *cpu,
                            const struct engine_options *options);
/* measured: zeroed where nothing was. STATUS_INVALID: more workers than threads, or a KV budget
 * that does not hold one page on each worker. */
enum status plan_choose(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                        const struct engine_options *options, const struct calibration *measured,
                        struct error *err);
/* The same, measuring first where that would tell: some tens of milliseconds. Also
 * STATUS_NO_MEMORY, STATUS_IO. */
enum status plan_measure(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                         const struct engine_options *options, struct error *err);
/* Once a worker's steps have been measured: fewer sequences, where nobody asked for a number and a
 * step of so many would take too long. step_ns: what a step of n sequences takes. */
void plan_fit_batch(struct engine_plan *plan, const struct engine_options *options,
                    uint64_t (*step_ns)(const void *ctx, size_t n), const void *ctx);
/* Why so many processors are usable, in a few words. */
const char *plan_limit_of_cores(const struct cpu *cpu);
/* Threads of worker i: n of all workers, shared out evenly. */
unsigned plan_worker_threads(const struct engine_plan *plan, unsigned n, unsigned i);
