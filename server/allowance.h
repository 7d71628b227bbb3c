/* allowance.h - what the system lets this process have, looked at every two seconds: its threads
 * follow the processors, and the KV cache the memory.
 *
 * Affinity and control groups may change while the service runs: an orchestrator resizes a
 * container, an administrator halves a quota. The files are read on libuv's pool; all else is the
 * loop thread's. Knows nothing of requests.
 */
#pragma once

#include "base/cpu.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct engine;
struct settings;

enum { ALLOWANCE_LOOK_MS = 2000 };

struct allowance_counts { /* since the start, whatever groups the process was in */
    uint64_t n_periods, n_throttled, throttled_ns;
};

struct allowance {
    struct cpu cpu; /* of the last look; but for its name and its instruction sets */
    struct cgroup group;
    struct allowance_counts counts;
    char threads_why[200]; /* "": as the engine's plan says */
    bool known;            /* there has been a look */
    bool short_of_memory;  /* at the last one */

    const struct settings *settings;
    struct engine *engine; /* NULL: not there yet */
    void (*settled)(void *ctx);
    void *ctx;
    uv_timer_t timer;
    uv_work_t work;
    bool looking, closed;
    struct { /* the pool's, during a look */
        struct cpu cpu;
        struct cgroup group;
    } found;
};

/* Begins to look. settled: called when a look has ended; the loop may be left then. */
void allowance_init(struct allowance *a, uv_loop_t *loop, const struct settings *settings,
                    void (*settled)(void *ctx), void *ctx);
void allowance_follow(struct allowance *a, struct engine *engine); /* borrowed, until _close */
void allowance_close(struct allowance *a); /* its timer is closed with the loop */

/* Adds what a look found to the counts: the growth since the last look in the same place. */
void allowance_count(struct allowance_counts *counts, const struct cgroup *last,
                     const struct cgroup *now);

struct allowance_memory { /* for engine_bound_memory */
    uint64_t ahead, need, back;
};
/* What follows from a look for the KV cache: it keeps away from the limits, further from the soft
 * one, and where memory is waited for it takes none ahead and gives a part back. kv_bytes: that it
 * has. */
struct allowance_memory allowance_bounds(const struct cgroup *group, uint64_t kv_bytes);

/* The limit that is nearest, and what is used of it; without one the machine's memory and what the
 * process itself has (resident_bytes). */
void allowance_memory(const struct allowance *a, uint64_t resident_bytes, uint64_t *limit,
                      uint64_t *used);
