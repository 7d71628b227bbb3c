/* engine.h - the inference engine: a bounded queue in front, W workers behind, one read-only model
 * shared by all.
 *
 * Each worker is a thread (the leader of its team) with its own arenas, KV cache, prefix index and
 * counters. engine_submit, engine_cancel and the read-only calls may come from any thread (the
 * server: its loop thread); results are read through the job (job.h). Progress is announced by one
 * callback per worker step, never per token. Nothing on a compute thread allocates after
 * engine_start has returned. Knows nothing of HTTP or JSON.
 */
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "engine/calibrate.h"
#include "engine/job.h"
#include "forward/kv.h"
#include "math/kernels.h"
#include "model/model.h"
#include "profile/recorder.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

struct engine_options {
    unsigned n_threads; /* all compute threads; 0: automatic */
    unsigned n_workers; /* 0: automatic; more than n_threads (both given) is STATUS_INVALID */
    const struct kernels *kernels;
    enum kv_type kv_type;
    size_t kv_bytes;    /* of all workers; 0: automatic (kv_contexts sequences of the whole context,
                         * at most a quarter of the memory the process may use, at least one) */
    size_t kv_contexts; /* 0: automatic (8, or one for each worker there may come to be; 1 GB at
                         * most) */
    bool prefix_cache;
    size_t step_tokens;      /* cap of prompt tokens in one step */
    size_t max_batch;        /* sequences in one step of one worker */
    size_t max_queue;        /* jobs waiting */
    uint64_t max_wait_ms;    /* a predicted wait beyond it is refused; 0: no such bound */
    void (*wake)(void *ctx); /* called by a worker when any of its jobs progressed, by whoever ends
                                a waiting one; must only signal. NULL: none */
    void *wake_ctx;
};

enum { ENGINE_STEP_BUCKETS = 20, ENGINE_SIZE_BUCKETS = 9, ENGINE_QUEUE_BUCKETS = 20 };
/* Upper bounds: seconds of the step and queue histograms, sequences of the size one. +Inf is
 * implied: arrays of counts have one more element. */
extern const double engine_step_bounds[ENGINE_STEP_BUCKETS];
extern const double engine_size_bounds[ENGINE_SIZE_BUCKETS];

struct engine_stats { /* summed over the workers; counters since start, warm-up and calibration not
                         counted */
    uint64_t generated_tokens, prompt_computed_tokens, prompt_cached_tokens;
    uint64_t cancelled[3]; /* by enum job_phase */
    uint64_t n_steps;
    uint64_t step_seconds[ENGINE_STEP_BUCKETS + 1]; /* counts, not cumulative */
    double step_seconds_sum;
    uint64_t step_sequences[ENGINE_SIZE_BUCKETS + 1];
    uint64_t step_sequences_sum;
    size_t running, queued;
    struct kv_stats kv;
    uint64_t allocations; /* alloc_count() */
    /* CLOCK_MONOTONIC: when a step last ended, or work last began to exist */
    uint64_t last_step_ns;
};

/* What was chosen, and one sentence why: for the log and /info. */
struct engine_plan {
    unsigned n_threads, n_workers;
    size_t kv_bytes, kv_pages; /* of all workers */
    size_t page_bytes;
    size_t sequence_pages;       /* that one sequence of the whole context needs */
    struct calibration measured; /* what the workers were chosen by; zeroed: nothing was open */
    char threads_why[200], kv_why[200];
};

/* Takes all memory, starts the workers and warms them up. model and tokenizer stay borrowed until
 * engine_destroy. STATUS_INVALID (threads < workers, a budget below one page on each
 * worker; with less than a context's, requests that could never fit are refused one by one),
 * STATUS_NO_MEMORY, STATUS_IO. */
enum status engine_create(struct engine **out, const struct model *model,
                          const struct tokenizer *tokenizer, const struct cpu *cpu,
                          const struct engine_options *options, struct error *err);
void engine_destroy(struct engine *engine); /* takes NULL; ends what runs with FINISH_CANCELLED,
                                               joins the threads */

const struct engine_plan *engine_plan(const struct engine *engine);

/* Queues a job. STATUS_FULL: the queue is full; STATUS_TOO_LATE: its deadline cannot be met, or the
 * predicted wait exceeds max_wait_ms (both with *retry_ms, from the backlog and the measured rates:
 * whole seconds, >= 1000, no second told to more jobs than the queue has places); STATUS_STOPPING;
 * STATUS_INVALID: it could never fit the KV memory. The job then stays the
 * caller's. */
enum status engine_submit(struct engine *engine, struct job *job, uint64_t *retry_ms,
                          struct error *err);

/* Asks that a job end: at once when it waits, within one step when it runs. It still becomes
 * finished (FINISH_CANCELLED, unless it had finished before). Idempotent. */
void engine_cancel(struct engine *engine, struct job *job);

/* Cancels everything with FINISH_ERROR and this text: what is left when a drain's time is over. */
void engine_abort_all(struct engine *engine, const char *why);

void engine_stats(struct engine *engine, struct engine_stats *out);

/* False when work exists and no step has ended for `limit_ns`: what /livez says. */
bool engine_alive(struct engine *engine, uint64_t now_ns, uint64_t limit_ns);

/* Waits (condition variable, no polling) until a job is finished or more than n_seen tokens are
 * ready: for callers without an event loop (generate). */
void engine_wait(struct engine *engine, const struct job *job, uint32_t n_seen);

/* --- profiles: where the workers' time goes, and what memory was taken for --- */

/* Every worker records its steps from here on, until the stop. One at a time: STATUS_FULL. */
enum status engine_profile_start(struct engine *engine, const struct record_options *options,
                                 struct error *err);
/* out: [n_workers], what each has recorded, the caller's to destroy; NULL: nobody wants it.
 * STATUS_NO_MEMORY (nothing is handed out, and the recording has ended all the same). */
enum status engine_profile_stop(struct engine *engine, struct record **out, struct error *err);

struct engine_memory { /* bytes, of all workers */
    size_t weights;    /* the model's arena: packed matrices, tables */
    size_t kv;         /* pages of keys and values */
    size_t activations;
    size_t tables;  /* slots, rows, token ids */
    size_t profile; /* recorders; address space, touched when they record */
};
void engine_memory(const struct engine *engine, struct engine_memory *out);
