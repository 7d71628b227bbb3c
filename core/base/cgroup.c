/* cgroup.c - reads the files of control groups (Documentation/admin-guide/cgroup-v2.rst,
 * cgroup-v1/memory.rst and scheduler/sched-bwc.rst of the kernel). No state. */
#include "base/cgroup.h"

#include "base/proc_file.h"

#include <stdio.h>
#include <string.h>

enum { GROUP_ROOM = 2304, TEXT_ROOM = 8192, FOLDER_ROOM = GROUP_ROOM + 512 };

/* Version 1 writes "none" as the highest number of whole pages. */
static const uint64_t no_limit = UINT64_C(1) << 62;

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
static bool find_path(const char *groups, const char *controller, char out[GROUP_ROOM])
{
    for (const char *line = groups; line != NULL && *line != '\0';) {
        const char *end = line + strcspn(line, "\n");
        const char *names = memchr(line, ':', (size_t)(end - line));
        const char *path = names != NULL ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
        line = *end == '\n' ? end + 1 : NULL;
        if (path == NULL)
            continue;
        names++;
        const size_t n_names = (size_t)(path - names), n_path = (size_t)(end - path - 1);
        path++;
        if (controller != NULL ? !lists(names, n_names, controller) : n_names != 0)
            continue;
        snprintf(out, GROUP_ROOM, "%.*s", (int)n_path, path);
        if (path[0] != '/' || n_path >= GROUP_ROOM || strstr(out, "/..") != NULL)
            snprintf(out, GROUP_ROOM, "/");
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

/* --- processors --- */

static void take_quota(struct cgroup *out, uint64_t quota, uint64_t period)
{
    const double n = period > 0 ? (double)quota / (double)period : 0;
    if (n > 0 && (out->quota == 0 || n < out->quota))
        out->quota = n;
}

static void add_throttling(struct cgroup *out, const char *folder, const char *key, uint64_t unit)
{
    char text[TEXT_ROOM];
    uint64_t value;
    if (!proc_read(text, sizeof text, "%s/cpu.stat", folder))
        return;
    if (proc_field(text, "nr_periods", &value))
        out->n_periods += value;
    if (proc_field(text, "nr_throttled", &value))
        out->n_throttled += value;
    if (proc_field(text, key, &value))
        out->throttled_ns += value * unit;
}

static void look_at_cpu(struct cgroup *out, const char *folder)
{
    char text[128];
    uint64_t quota, period;
    const char *rest;
    if (!proc_read(text, sizeof text, "%s/cpu.max", folder))
        return;
    if (proc_number(text, &quota, &rest) && *rest == ' ' && proc_number(rest + 1, &period, NULL))
        take_quota(out, quota, period);
    add_throttling(out, folder, "throttled_usec", 1000);
}

static void look_at_old_cpu(struct cgroup *out, const char *folder)
{
    char text[128];
    uint64_t quota, period;
    if (!proc_read(text, sizeof text, "%s/cpu.cfs_quota_us", folder))
        return;
    if (proc_number(text, &quota, NULL) &&
        proc_read(text, sizeof text, "%s/cpu.cfs_period_us", folder) &&
        proc_number(text, &period, NULL))
        take_quota(out, quota, period);
    add_throttling(out, folder, "throttled_time", 1);
}

/* --- memory --- */

struct memory_files {
    const char *hard, *soft, *used, *droppable; /* the last: a key of memory.stat */
};
static const struct memory_files files = {"memory.max", "memory.high", "memory.current",
                                          "inactive_file"};
static const struct memory_files old_files = {"memory.limit_in_bytes", "memory.soft_limit_in_bytes",
                                              "memory.usage_in_bytes", "total_inactive_file"};

static bool read_limit(const char *folder, const char *file, uint64_t *out)
{
    char text[128];
    return proc_read(text, sizeof text, "%s/%s", folder, file) && proc_number(text, out, NULL) &&
           *out > 0 && *out < no_limit;
}

static uint64_t read_used(const char *folder, const struct memory_files *f)
{
    char text[TEXT_ROOM];
    uint64_t used, droppable;
    if (!proc_read(text, sizeof text, "%s/%s", folder, f->used) || !proc_number(text, &used, NULL))
        return 0;
    if (!proc_read(text, sizeof text, "%s/memory.stat", folder) ||
        !proc_field(text, f->droppable, &droppable))
        return used;
    return droppable < used ? used - droppable : 0;
}

static void take_limit(struct cgroup_memory *out, uint64_t limit, uint64_t used)
{
    const int64_t room = (int64_t)(limit - used); /* both below 2^62 */
    if (out->limit == 0 || room < out->room)
        out->room = room;
    if (out->limit == 0 || limit < out->limit) {
        out->limit = limit;
        out->used = used;
    }
}

static void look_at_memory_of(struct cgroup *out, const char *folder, const struct memory_files *f)
{
    uint64_t hard, soft;
    const bool has_hard = read_limit(folder, f->hard, &hard);
    const bool has_soft = read_limit(folder, f->soft, &soft);
    if (!has_hard && !has_soft)
        return;
    const uint64_t used = read_used(folder, f);
    if (has_hard)
        take_limit(&out->hard, hard, used);
    if (has_soft)
        take_limit(&out->soft, soft, used);
}

static void look_at_memory(struct cgroup *out, const char *folder)
{
    char text[256];
    double percent;
    look_at_memory_of(out, folder, &files);
    if (proc_read(text, sizeof text, "%s/memory.pressure", folder) &&
        sscanf(text, "some avg10=%lf", &percent) == 1 && percent > out->pressure)
        out->pressure = percent;
}

static void look_at_old_memory(struct cgroup *out, const char *folder)
{
    look_at_memory_of(out, folder, &old_files);
}

/* --- all of it --- */

static uint64_t hash_of(const char *text) /* FNV-1a */
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

void cgroup_look(struct cgroup *out, const char *root)
{
    static const struct {
        const char *controller, *mount; /* controller NULL: version 2 */
        void (*look)(struct cgroup *out, const char *folder);
        bool alias; /* of the mount before it, on most systems: counted once */
    } places[] = {
        {NULL, "cgroup", look_at_cpu, false},
        {NULL, "cgroup/unified", look_at_cpu, false},
        {"cpu", "cgroup/cpu", look_at_old_cpu, false},
        {"cpu", "cgroup/cpu,cpuacct", look_at_old_cpu, true},
        {NULL, "cgroup", look_at_memory, false},
        {NULL, "cgroup/unified", look_at_memory, false},
        {"memory", "cgroup/memory", look_at_old_memory, false},
    };
    char groups[TEXT_ROOM], path[GROUP_ROOM], folder[FOLDER_ROOM];
    *out = (struct cgroup){0};
    if (!proc_read(groups, sizeof groups, "%s/proc/self/cgroup", root))
        return;
    out->place = hash_of(groups);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!find_path(groups, places[i].controller, path))
            continue;
        const struct cgroup before = *out;
        do {
            int n = snprintf(folder, sizeof folder, "%s/sys/fs/%s%s", root, places[i].mount, path);
            if (n > 0 && (size_t)n < sizeof folder)
                places[i].look(out, folder);
        } while (go_up(path));
        if (places[i].alias && before.n_periods > 0) {
            out->n_periods = before.n_periods;
            out->n_throttled = before.n_throttled;
            out->throttled_ns = before.throttled_ns;
        }
    }
}
