/* counters.h - what the processor and the system count of the compute threads: cycles, instructions
 * and cache misses where the system permits, time spent waiting for a processor, and throttling.
 *
 * Opened for the threads that exist, read at the end. What is not permitted is left out, with one
 * line that says why. Any thread, one at a time for each struct.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct counters {
    bool has_hardware;
    char why_not[160];                         /* when it has not: one line */
    double cycles, instructions, cache_misses; /* user space, of all compute threads */
    bool has_schedule;
    double run_ns, wait_ns; /* on a processor; able to run, without one */
    bool has_throttle;
    double throttled_ns; /* by the control group's quota, all its processes */
    size_t n_threads;
};

struct counting;

/* Counts for the threads whose names begin with "sm-". STATUS_NO_MEMORY. */
enum status counting_start(struct counting **out, struct error *err);
void counting_stop(struct counting *counting, struct counters *out); /* frees it */
/* Adds what was counted at another time. to: zeroed at first. */
void counters_add(struct counters *to, const struct counters *from);
