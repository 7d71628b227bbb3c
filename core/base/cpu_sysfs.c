/* cpu_sysfs.c - reads /proc and /sys (documented in the kernel's
 * Documentation/admin-guide/cputopology.rst and ABI/testing/sysfs-devices-system-cpu). No state. */
#include "base/cpu_sysfs.h"

#include "base/proc_file.h"

#include <stdio.h>
#include <string.h>

enum { FILE_ROOM = 8192 };

/* "512K", "32M": a cache's size. */
static size_t parse_size(const char *text)
{
    uint64_t n;
    const char *unit;
    if (!proc_number(text, &n, &unit) || n > (uint64_t)1 << 32)
        return 0;
    return (size_t)n << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0);
}

/* The lowest processor of a list such as "0-3,8": the name of the group that shares something. */
static bool read_group(const char *root, unsigned processor, const char *file, unsigned *out)
{
    char text[FILE_ROOM];
    uint64_t first;
    if (!proc_read(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s", root, processor,
                   file) ||
        !proc_number(text, &first, NULL) || first >= CPU_LIMIT)
        return false;
    *out = (unsigned)first;
    return true;
}

static bool add_to_mask(struct cpu_mask *mask, unsigned processor)
{
    if (cpu_mask_has(mask, processor))
        return false;
    mask->bits[processor / 64] |= (uint64_t)1 << processor % 64;
    return true;
}

/* Sizes of the data caches that one processor sees, and the group that shares its last level (3 or
 * more). */
static bool read_caches(const char *root, unsigned processor, struct cpu *out, unsigned *domain)
{
    bool found = false;
    uint64_t last_level = 2;
    for (unsigned i = 0; i < 10; i++) {
        char text[64], name[64];
        uint64_t level;
        snprintf(name, sizeof name, "cache/index%u", i);
        if (!proc_read(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/level", root,
                       processor, name) ||
            !proc_number(text, &level, NULL))
            continue;
        if (proc_read(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/type", root, processor,
                      name) &&
            strncmp(text, "Instruction", 11) == 0)
            continue;
        size_t n_bytes = 0;
        if (proc_read(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/size", root, processor,
                      name))
            n_bytes = parse_size(text);
        if (level == 2 && out->l2_bytes == 0)
            out->l2_bytes = n_bytes;
        if (level == 3 && out->l3_bytes == 0)
            out->l3_bytes = n_bytes;
        if (level > last_level) {
            snprintf(name, sizeof name, "cache/index%u/shared_cpu_list", i);
            if (read_group(root, processor, name, domain)) {
                last_level = level;
                found = true;
            }
        }
    }
    return found;
}

/* A core is named by the lowest of its siblings; a processor of which nothing is known is one. */
static unsigned core_of(const char *root, unsigned processor)
{
    unsigned group = processor;
    if (!read_group(root, processor, "topology/core_cpus_list", &group))
        read_group(root, processor, "topology/thread_siblings_list", &group);
    return group;
}

void cpu_sysfs_topology(const char *root, const struct cpu_mask *mask, struct cpu *out)
{
    struct cpu_mask cores = {0}, domains = {0};
    out->n_affinity = out->n_physical = out->n_domains = 0;
    out->l2_bytes = out->l3_bytes = 0;
    for (unsigned i = 0; i < CPU_LIMIT; i++) {
        if (!cpu_mask_has(mask, i))
            continue;
        out->n_affinity++;
        unsigned domain;
        if (add_to_mask(&cores, core_of(root, i)))
            out->n_physical++;
        /* Without a word on caches, all processors count as one domain. */
        if (!read_caches(root, i, out, &domain))
            domain = 0;
        if (add_to_mask(&domains, domain))
            out->n_domains++;
    }
}

/* "0-3,8" into a mask; what is malformed ends it. */
static void read_list(const char *text, struct cpu_mask *out)
{
    uint64_t first, last;
    const char *rest = text;
    while (proc_number(rest, &first, &rest)) {
        last = first;
        if (*rest == '-' && !proc_number(rest + 1, &last, &rest))
            return;
        for (uint64_t i = first; i <= last && i < CPU_LIMIT; i++)
            add_to_mask(out, (unsigned)i);
        rest += *rest == ',';
    }
}

unsigned cpu_sysfs_cores(const char *root)
{
    char text[FILE_ROOM];
    struct cpu_mask online = {0}, cores = {0};
    unsigned n = 0;
    if (!proc_read(text, sizeof text, "%s/sys/devices/system/cpu/online", root))
        return 0;
    read_list(text, &online);
    for (unsigned i = 0; i < CPU_LIMIT; i++)
        n += cpu_mask_has(&online, i) && add_to_mask(&cores, core_of(root, i));
    return n;
}

bool cpu_sysfs_name(const char *root, char *out, size_t room)
{
    char text[FILE_ROOM];
    if (!proc_read(text, sizeof text, "%s/proc/cpuinfo", root))
        return false;
    const char *line = strstr(text, "model name");
    const char *name = line != NULL ? strchr(line, ':') : NULL;
    if (name == NULL)
        return false;
    name += 1 + strspn(name + 1, " \t");
    snprintf(out, room, "%.*s", (int)strcspn(name, "\n"), name);
    return out[0] != '\0';
}
