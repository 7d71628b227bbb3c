/* cpu_sysfs.h - what Linux's /proc and /sys files say about cores, caches and limits; cpu.c's other
 * half.
 *
 * Every function takes the root under which /proc and /sys lie ("" on a running system), so that
 * tests can lay out any machine in a folder. A file that is missing or malformed counts as "nothing
 * known", never as an error. Internal to core/base.
 */
#pragma once

#include "base/cpu.h"

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

/* Fills n_affinity, n_physical, n_domains, l2_bytes and l3_bytes for the processors of mask. */
void cpu_sysfs_topology(const char *root, const struct cpu_mask *mask, struct cpu *out);

/* The tightest CPU quota of the process's cgroup and all above it, in processors; 0 = none. Version
 * 2 and 1. */
double cpu_sysfs_quota(const char *root);

/* The tightest memory limit likewise, in bytes; 0 = none. */
size_t cpu_sysfs_memory(const char *root);

/* "model name" of /proc/cpuinfo; false when there is none. */
bool cpu_sysfs_name(const char *root, char *out, size_t room);
