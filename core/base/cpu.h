/* cpu.h - what this machine is: instruction sets, usable cores, cache domains, memory allowed.
 *
 * Read at start-up, by any thread; what may change while the process runs can be read again. Knows
 * nothing of models.
 */
#pragma once

#include "base/cgroup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CPU_LIMIT = 8192
}; /* processors a mask can name: what Linux can be built for on x86-64 and aarch64 */

struct cpu_mask {
    uint64_t bits[CPU_LIMIT / 64];
};

static inline bool cpu_mask_has(const struct cpu_mask *mask, unsigned processor)
{
    return processor < CPU_LIMIT && (mask->bits[processor / 64] >> processor % 64 & 1) != 0;
}

struct cpu {
    char name[96]; /* "AMD EPYC 7763", "unknown" */
    bool avx2;     /* AVX2, FMA and F16C together */
    bool avxvnni;
    bool avx512; /* F, BW, VL, DQ and VNNI together */
    bool amx;    /* AVX-512 as above, tiles of bytes, and the system's leave to use them */
    bool neon;   /* NEON with dot products */
    struct cpu_mask affinity;
    unsigned n_affinity;       /* processors this process may run on */
    unsigned n_physical;       /* their cores (siblings counted once) */
    double quota;              /* cgroup's CPU quota in processors; 0 = none */
    unsigned n_usable;         /* min of the three, at least 1 */
    unsigned n_machine;        /* cores of the whole machine, whether usable or not */
    unsigned n_domains;        /* the usable processors' last-level caches */
    size_t l2_bytes, l3_bytes; /* of one core, of one domain; 0 = unknown */
    size_t memory_bytes;       /* what the process may use: min(physical, cgroup limit) */
};

void cpu_detect(struct cpu *cpu);

/* What depends on the control group: quota, n_usable, memory_bytes. */
void cpu_take_limits(struct cpu *cpu, const struct cgroup *group);
/* Reads the affinity of the process's first thread again. False: it is as it was. What depends on
 * the group is to be taken again then. */
bool cpu_follow_affinity(struct cpu *cpu);
/* Other threads of the process that may run on the same processors as before may run on the same as
 * now: one who changes the affinity of a process often names its first thread alone. */
void cpu_spread_affinity(const struct cpu_mask *before, const struct cpu_mask *now);
/* "4 processors (2 cores, a quota of 0.50) and 512 MiB of memory" */
enum { CPU_TEXT_MAX = 160 };
void cpu_describe(const struct cpu *cpu, char out[CPU_TEXT_MAX]);
/* Processors' worth of time that the process may use. */
double cpu_cores(const struct cpu *cpu);

/* memory_bytes alone. */
size_t cpu_memory_bytes(void);

/* Round to nearest, subnormals kept: what the one arithmetic assumes. Every compute thread calls it
 * once. */
void cpu_set_float_mode(void);
