/* options.h - what an engine is asked to be, and what it then chose to be.
 *
 * Plain values, set once: the options by the caller before engine_create, the plan by plan.c from
 * them, the model and the machine.
 */
#pragma once

#include "engine/calibrate.h"
#include "math/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_options {
    unsigned n_threads; /* all compute threads; 0: automatic */
    bool follows;       /* n_threads automatic: leaves room for more, should the process be given
                           more processors (engine_set_threads) */
    unsigned n_workers; /* 0: automatic; more than n_threads (both given) is STATUS_INVALID */
    const struct kernels *kernels;
    enum kv_type kv_type;
    bool kv_type_open;  /* not asked for: F32 is taken where the warm-up finds keys or values that
                           F16  cannot hold */
    size_t kv_bytes;    /* of all workers; 0: automatic (kv_contexts sequences of the whole context,
                         * at most a quarter of the memory the process may use, at least one) */
    size_t kv_contexts; /* 0: automatic (8, or one for each worker there may come to be; 1 GB at
                         * most) */
    size_t kv_step_bytes; /* by which a worker's KV memory grows; 0: automatic */
    bool prefix_cache;
    size_t step_tokens;      /* cap of prompt tokens in one step */
    size_t max_batch;        /* sequences in one step of one worker; 0: automatic */
    size_t max_queue;        /* jobs waiting */
    uint64_t max_wait_ms;    /* a predicted wait beyond it is refused; 0: no such bound */
    void (*wake)(void *ctx); /* called by a worker when any of its jobs progressed, and by the
                                thread that ends a waiting one; must only signal. NULL: none */
    void *wake_ctx;
};

/* The choice, and one sentence why: for the log and /info. */
struct engine_plan {
    unsigned n_threads, n_workers;
    unsigned n_threads_most; /* that there is room for; n_threads, unless they follow the machine */
    enum kv_type kv_type;
    size_t kv_bytes, kv_pages;       /* of all workers */
    size_t page_bytes;               /* of the layers that see all positions */
    size_t kv_windows, window_bytes; /* of all workers, pages of the layers that see the last
                                        positions; of one. 0: there are no such layers */
    size_t kv_states, state_bytes;   /* likewise, of sequences' recurrent layers */
    size_t sequence_pages;           /* that one sequence of the whole context needs */
    size_t sequence_bytes;           /* that it takes at most, of all kinds of memory */
    size_t max_batch;                /* sequences in one step of one worker */
    struct calibration measured;     /* what the workers were chosen by; zeroed: nothing was open */
    char threads_why[200], kv_why[320], batch_why[160];
};
