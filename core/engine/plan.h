/* plan.h - how many threads, workers and KV pages: decided once, from the model, the machine and
 * what was asked.
 *
 * A pure function of its arguments, and one sentence that says why.
 */
#pragma once

#include "engine/engine.h"

/* STATUS_INVALID: more workers than threads, or a KV budget that does not hold one page on each
 * worker. */
enum status plan_choose(struct engine_plan *out, const struct model *model, const struct cpu *cpu,
                        const struct engine_options *options, struct error *err);
/* Threads of worker i: all of them, shared out evenly. */
unsigned plan_worker_threads(const struct engine_plan *plan, unsigned i);
