/* cpu_sysfs.h - what Linux's /proc and /sys files say about cores, caches and limits; cpu.c's other
 * half.
 *
 * Every function takes the root under which /proc and /sys lie ("" on a running system), so that
 * tests can lay out any machine in a folder. A file that is missing or malformed counts as "nothing
 * known", never as an error. Internal to core/base.
 */
#pragma once

#include "base/cpu.h"

/* Fills n_affinity, n_physical, n_domains, l2_bytes and l3_bytes for the processors of mask. */
void cpu_sysfs_topology(const char *root, const struct cpu_mask *mask, struct cpu *out);

/* Cores of all processors that are online, siblings counted once; 0: nothing known. */
unsigned cpu_sysfs_cores(const char *root);

/* "model name" of /proc/cpuinfo; false when there is none. */
bool cpu_sysfs_name(const char *root, char *out, size_t room);
