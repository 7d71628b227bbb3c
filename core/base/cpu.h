/* cpu.h - what this machine is: instruction sets, usable cores, cache domains, memory allowed.
 *
 * Read once at start-up, by any thread. Knows nothing of models.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu {
    char name[96]; /* "AMD EPYC 7763", "unknown" */
    bool avx2;     /* AVX2, FMA and F16C together */
    bool avxvnni;
    bool avx512;         /* F, BW, VL, DQ and VNNI together */
    bool amx;            /* AVX-512 as above, tiles of bytes, and the system's leave to use them */
    bool neon;           /* NEON with dot products */
    unsigned n_affinity; /* processors this process may run on */
    unsigned n_physical; /* their cores (siblings counted once) */
    double quota;        /* cgroup's CPU quota in processors; 0 = none */
    unsigned n_usable;   /* min of the three, at least 1 */
    unsigned n_domains;  /* the usable processors' last-level caches */
    size_t l2_bytes, l3_bytes; /* of one core, of one domain; 0 = unknown */
    size_t memory_bytes;       /* what the process may use: min(physical, cgroup limit) */
};

void cpu_detect(struct cpu *cpu);

/* memory_bytes alone. */
size_t cpu_memory_bytes(void);

/* Round to nearest, subnormals kept: what the one arithmetic assumes. Every compute thread calls it
 * once. */
void cpu_set_float_mode(void);
