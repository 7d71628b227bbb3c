/* limits_loops.h - the loops that limits.c times: reads of memory, and chains in registers.
 *
 * One row of loops for each instruction set. Private to core/profile. Pure; any thread.
 */
#pragma once

#include "base/cpu.h"
#include "profile/limits.h"

enum { LIMIT_READ_STEP = 512, LIMIT_READS = 2 }; /* bytes of a turn of the loop; ways to read */

struct limit_loops {
    const char *name; /* of the kernel table it belongs to */
    /* Loads n_bytes (a multiple of LIMIT_READ_STEP) at 64-byte aligned p; [1] prefetches. */
    void (*read[LIMIT_READS])(const uint8_t *p, size_t n_bytes);
    struct {
        void (*run)(size_t n_turns);
        size_t macs; /* of one turn */
    } chains[LIMIT_CHAINS];
};

/* For the table named, or the machine's best. */
const struct limit_loops *limit_loops_for(const struct cpu *cpu, const char *kernels);
