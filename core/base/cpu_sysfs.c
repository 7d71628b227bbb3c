/* cpu_sysfs.c - reads /proc and /sys (documented in the kernel's
 * Documentation/admin-guide/cgroup-v2.rst, cputopology.rst and
 * ABI/testing/sysfs-devices-system-cpu). Start-up only; no state. */
#include "base/cpu_sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4608, FILE_ROOM = 8192 };

/* The first room - 1 bytes of a small file, NUL-terminated; false when it cannot be read or is
 * empty. */
__attribute__((format(printf, 3, 4))) static bool read_file(char *out, size_t room,
                                                            const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, sizeof path, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n < room - 1) {
        ssize_t got = read(fd, out + n, room - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    out[n] = '\0';
    return n > 0;
}

/* A decimal number at the text's beginning; false for "max", "-1" and anything else. */
static bool parse_number(const char *text, uint64_t *out, const char **rest)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    *out = value;
    if (rest != NULL)
        *rest = end;
    return true;
}

/* "512K", "32M": a cache's size. */
static size_t parse_size(const char *text)
{
    uint64_t n;
    const char *unit;
    if (!parse_number(text, &n, &unit) || n > (uint64_t)1 << 32)
        return 0;
    return (size_t)n << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0);
}

/* The lowest processor of a list such as "0-3,8": the name of the group that shares something. */
static bool read_group(const char *root, unsigned processor, const char *file, unsigned *out)
{
    char text[FILE_ROOM];
    uint64_t first;
    if (!read_file(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s", root, processor,
                   file) ||
        !parse_number(text, &first, NULL) || first >= CPU_LIMIT)
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
        if (!read_file(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/level", root,
                       processor, name) ||
            !parse_number(text, &level, NULL))
            continue;
        if (read_file(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/type", root, processor,
                      name) &&
            strncmp(text, "Instruction", 11) == 0)
            continue;
        size_t n_bytes = 0;
        if (read_file(text, sizeof text, "%s/sys/devices/system/cpu/cpu%u/%s/size", root, processor,
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

void cpu_sysfs_topology(const char *root, const struct cpu_mask *mask, struct cpu *out)
{
    struct cpu_mask cores = {0}, domains = {0};
    out->n_affinity = out->n_physical = out->n_domains = 0;
    out->l2_bytes = out->l3_bytes = 0;
    for (unsigned i = 0; i < CPU_LIMIT; i++) {
        if (!cpu_mask_has(mask, i))
            continue;
        out->n_affinity++;
        unsigned group = i, domain;
        if (!read_group(root, i, "topology/core_cpus_list", &group))
            read_group(root, i, "topology/thread_siblings_list", &group);
        if (add_to_mask(&cores, group))
            out->n_physical++;
        /* Without a word on caches, all processors count as one domain. */
        if (!read_caches(root, i, out, &domain))
            domain = 0;
        if (add_to_mask(&domains, domain))
            out->n_domains++;
    }
}

/* Is name one of the comma-separated controllers? */
static bool lists(const char *controllers, size_t n, const char *name)
{
    size_t n_name = strlen(name);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && controllers[end] != ',')
            end++;
        if (end - i == n_name && memcmp(controllers + i, name, n_name) == 0)
            return true;
        i = end + 1;
    }
    return false;
}

/* The process's path in the hierarchy of a version 1 controller, or of version 2 where controller
 * is NULL. A path that leads out of what is mounted here becomes the root. False: no such
 * hierarchy. */
static bool cgroup_path(const char *root, const char *controller, char out[PATH_ROOM / 2])
{
    char text[FILE_ROOM];
    if (!read_file(text, sizeof text, "%s/proc/self/cgroup", root))
        return false;
    char *next = text;
    while (next != NULL) {
        char *line = strsep(&next, "\n");
        char *names = strchr(line, ':');
        char *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL)
            continue;
        names++;
        size_t n_names = (size_t)(path - names);
        path++;
        if (controller != NULL ? !lists(names, n_names, controller) : n_names != 0)
            continue;
        bool usable = path[0] == '/' && strstr(path, "/..") == NULL && strlen(path) < PATH_ROOM / 2;
        snprintf(out, PATH_ROOM / 2, "%s", usable ? path : "/");
        return true;
    }
    return false;
}

/* Cuts the last part off: "/a/b" -> "/a" -> "" ; false when nothing is left to cut. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

static void take_least(double *least, double value)
{
    if (value > 0 && (*least == 0 || value < *least))
        *least = value;
}

double cpu_sysfs_quota(const char *root)
{
    static const char *const mounts[] = {"cgroup", "cgroup/unified"};
    static const char *const old_mounts[] = {"cpu", "cpu,cpuacct"};
    char path[PATH_ROOM / 2], text[128];
    double least = 0;
    uint64_t quota, period;
    const char *rest;
    for (size_t m = 0; m < 2 && cgroup_path(root, NULL, path); m++) {
        do {
            if (read_file(text, sizeof text, "%s/sys/fs/%s%s/cpu.max", root, mounts[m], path) &&
                parse_number(text, &quota, &rest) && *rest == ' ' &&
                parse_number(rest + 1, &period, NULL) && period > 0)
                take_least(&least, (double)quota / (double)period);
        } while (go_up(path));
    }
    for (size_t m = 0; m < 2 && cgroup_path(root, "cpu", path); m++) {
        do {
            if (read_file(text, sizeof text, "%s/sys/fs/cgroup/%s%s/cpu.cfs_quota_us", root,
                          old_mounts[m], path) &&
                parse_number(text, &quota, NULL) &&
                read_file(text, sizeof text, "%s/sys/fs/cgroup/%s%s/cpu.cfs_period_us", root,
                          old_mounts[m], path) &&
                parse_number(text, &period, NULL) && period > 0)
                take_least(&least, (double)quota / (double)period);
        } while (go_up(path));
    }
    return least;
}

size_t cpu_sysfs_memory(const char *root)
{
    static const struct {
        const char *controller, *mount, *file;
    } places[] = {
        {NULL, "cgroup", "memory.max"},
        {NULL, "cgroup/unified", "memory.max"},
        {"memory", "cgroup/memory", "memory.limit_in_bytes"},
    };
    char path[PATH_ROOM / 2], text[128];
    uint64_t least = 0, limit;
    for (size_t m = 0; m < sizeof places / sizeof places[0]; m++) {
        if (!cgroup_path(root, places[m].controller, path))
            continue;
        do {
            if (read_file(text, sizeof text, "%s/sys/fs/%s%s/%s", root, places[m].mount, path,
                          places[m].file) &&
                parse_number(text, &limit, NULL) && limit > 0 && (least == 0 || limit < least))
                least = limit;
        } while (go_up(path));
    }
    return least > SIZE_MAX ? SIZE_MAX : (size_t)least;
}

bool cpu_sysfs_name(const char *root, char *out, size_t room)
{
    char text[FILE_ROOM];
    if (!read_file(text, sizeof text, "%s/proc/cpuinfo", root))
        return false;
    const char *line = strstr(text, "model name");
    const char *name = line != NULL ? strchr(line, ':') : NULL;
    if (name == NULL)
        return false;
    name += 1 + strspn(name + 1, " \t");
    snprintf(out, room, "%.*s", (int)strcspn(name, "\n"), name);
    return out[0] != '\0';
}
