/* stats.h - what an engine has counted since its start, for metrics and reports.
 *
 * Counters of single writers, read relaxed by any thread: each is exact, together they may be a
 * step apart.
 */
#pragma once

#include "forward/kv.h"

#include <stddef.h>
#include <stdint.h>

struct engine;

enum { ENGINE_STEP_BUCKETS = 20, ENGINE_SIZE_BUCKETS = 9 };
/* Upper bounds: seconds of the step histogram, sequences of the size one. +Inf is implied: arrays
 * of counts have one more element. */
extern const double engine_step_bounds[ENGINE_STEP_BUCKETS];
extern const double engine_size_bounds[ENGINE_SIZE_BUCKETS];

struct engine_stats { /* summed over the workers; warm-up and calibration are not counted */
    uint64_t generated_tokens, prompt_computed_tokens, prompt_cached_tokens;
    uint64_t forced_tokens;                  /* of the generated: a grammar left no choice */
    uint64_t preemptions, recomputed_tokens; /* sequences that gave their pages to older ones, and
                                                what was read again of them: counted only here */
    uint64_t cancelled[3];                   /* by enum job_phase */
    uint64_t n_steps;
    uint64_t step_seconds[ENGINE_STEP_BUCKETS + 1]; /* counts, not cumulative */
    double step_seconds_sum;
    uint64_t step_sequences[ENGINE_SIZE_BUCKETS + 1];
    uint64_t step_sequences_sum;
    size_t running, queued;
    struct kv_stats kv;
    uint64_t kv_given_back; /* bytes of memory that went back to the system */
    uint64_t allocations;   /* alloc_count() */
    /* CLOCK_MONOTONIC: when a step last ended, or work last began to exist */
    uint64_t last_step_ns;
};

void engine_stats(struct engine *engine, struct engine_stats *out); /* any thread */
