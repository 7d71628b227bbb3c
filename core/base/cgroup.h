/* cgroup.h - what the process's control group, and all above it, leave it: processors and memory,
 * and what has been used of them. Versions 1 and 2, also side by side.
 *
 * A look reads some ten small files: at the start, and again every few seconds, since limits may
 * change while the process runs. Every level counts that is mounted where the process can see it;
 * the tightest decides. No state; any thread. Knows nothing of threads or models.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup_memory { /* limits of one kind */
    uint64_t limit;    /* bytes, the tightest level's; 0: there is none */
    uint64_t used;     /* there, without the file cache that the system can drop at any time */
    int64_t room;      /* bytes until some level reaches its limit; negative: beyond it */
};

struct cgroup {
    double quota;                                  /* in processors; 0: none */
    uint64_t n_periods, n_throttled, throttled_ns; /* of the levels with a quota, added up */
    struct cgroup_memory hard; /* memory.max, memory.limit_in_bytes: beyond it processes end */
    struct cgroup_memory soft; /* memory.high, memory.soft_limit_in_bytes: beyond it they slow */
    double pressure;           /* percent of the last 10 s in which something waited for memory */
    uint64_t place; /* changes when the process is moved to another group: counters begin anew */
};

/* root: where proc and sys lie ("" on a running system). */
void cgroup_look(struct cgroup *out, const char *root);
