/* counters.c - perf_event_open, /proc/self/task and the control group's cpu.stat. */
#include "profile/counters.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS = 3, THREADS_MAX = 1024 };

static const uint64_t events[EVENTS] = {PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS,
                                        PERF_COUNT_HW_CACHE_MISSES};

struct counted { /* one thread */
    int id;
    int files[EVENTS];      /* -1: not open */
    double run_ns, wait_ns; /* at the start */
};

struct counting {
    struct counted *threads; /* [n] owned */
    size_t n;
    int refused; /* errno of the first event that could not be opened */
    size_t most; /* threads whose events may be open at once */
    bool has_schedule;
    double throttled_ns;
    bool has_throttle;
};

/* --- files of the system --- */

/* The file's beginning as text; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, room - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* run and wait, ns (Documentation/scheduler/sched-stats.rst). */
static bool read_schedule(int id, double *run_ns, double *wait_ns)
{
    char path[64], text[128];
    unsigned long long run, wait;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", id);
    if (!read_text(path, text, sizeof text) || sscanf(text, "%llu %llu", &run, &wait) != 2)
        return false;
    *run_ns = (double)run;
    *wait_ns = (double)wait;
    return true;
}

/* throttled_usec of this process's control group (version 2), or of what a container shows as the
 * root. */
static bool read_throttled(double *ns)
{
    char text[4096], path[4200] = "/sys/fs/cgroup/cpu.stat";
    const char *own = NULL;
    if (read_text("/proc/self/cgroup", text, sizeof text))
        own = strstr(text, "0::/");
    if (own != NULL) {
        size_t n = strcspn(own + 3, "\n");
        snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.stat", (int)n, own + 3);
    }
    bool found = read_text(path, text, sizeof text) ||
                 read_text("/sys/fs/cgroup/cpu.stat", text, sizeof text);
    const char *line = found ? strstr(text, "throttled_usec ") : NULL;
    unsigned long long us;
    if (line == NULL || sscanf(line, "throttled_usec %llu", &us) != 1)
        return false;
    *ns = (double)us * 1e3;
    return true;
}

/* --- */

static int open_event(int thread, uint64_t event)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof attr,
                                   .config = event,
                                   .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED |
                                                  PERF_FORMAT_TOTAL_TIME_RUNNING,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void add_thread(struct counting *c, int id)
{
    struct counted *t = &c->threads[c->n++];
    *t = (struct counted){.id = id, .files = {-1, -1, -1}};
    c->has_schedule = read_schedule(id, &t->run_ns, &t->wait_ns) || c->has_schedule;
    if (c->n > c->most)
        c->refused = EMFILE;
    for (int i = 0; i < EVENTS && c->refused == 0; i++) {
        t->files[i] = open_event(id, events[i]);
        if (t->files[i] < 0)
            c->refused = errno;
    }
}

static bool is_compute_thread(const char *id)
{
    char path[300], name[32];
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", id);
    return isdigit((unsigned char)id[0]) && read_text(path, name, sizeof name) &&
           strncmp(name, "sm-", 3) == 0;
}

enum status counting_start(struct counting **out, struct error *err)
{
    struct counting *c = calloc(1, sizeof *c);
    if (c != NULL)
        c->threads = calloc(THREADS_MAX, sizeof *c->threads);
    if (c == NULL || c->threads == NULL) {
        free(c);
        return error_no_memory(err, THREADS_MAX * sizeof(struct counted), "counters");
    }
    /* Connections need descriptors too. */
    struct rlimit files;
    c->most = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur / 4 / EVENTS : 0;
    DIR *folder = opendir("/proc/self/task");
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (c->n < THREADS_MAX && is_compute_thread(entry->d_name))
            add_thread(c, atoi(entry->d_name));
    if (folder != NULL)
        closedir(folder);
    c->has_throttle = read_throttled(&c->throttled_ns);
    *out = c;
    return STATUS_OK;
}

/* An event's count, scaled up where it shared its register with others. */
static double read_event(int file)
{
    uint64_t values[3]; /* count, time enabled, time running */
    if (file < 0 || read(file, values, sizeof values) != (ssize_t)sizeof values || values[2] == 0)
        return 0;
    return (double)values[0] * ((double)values[1] / (double)values[2]);
}

static void say_why_not(const struct counting *c, struct counters *out)
{
    const char *reason = strerror(c->refused);
    if (c->n == 0)
        reason = "no compute thread was found";
    else if (c->refused == ENOENT || c->refused == EOPNOTSUPP || c->refused == ENODEV)
        reason = "this processor (or virtual machine) has none";
    else if (c->refused == EACCES || c->refused == EPERM)
        reason = "not permitted (kernel.perf_event_paranoid, CAP_PERFMON, or a container's filter)";
    else if (c->refused == EMFILE)
        reason = "so many threads need more open files than are permitted (ulimit -n)";
    else if (c->refused == 0)
        reason = "they counted nothing";
    snprintf(out->why_not, sizeof out->why_not, "no hardware counters: %s", reason);
}

void counting_stop(struct counting *c, struct counters *out)
{
    *out = (struct counters){.n_threads = c->n, .has_schedule = c->has_schedule};
    double *sums[EVENTS] = {&out->cycles, &out->instructions, &out->cache_misses};
    for (size_t i = 0; i < c->n; i++) {
        struct counted *t = &c->threads[i];
        double run = t->run_ns, wait = t->wait_ns;
        read_schedule(t->id, &run, &wait); /* a thread that has ended counts no further */
        out->run_ns += run - t->run_ns;
        out->wait_ns += wait - t->wait_ns;
        for (int k = 0; k < EVENTS; k++) {
            *sums[k] += read_event(t->files[k]);
            if (t->files[k] >= 0)
                close(t->files[k]);
        }
    }
    out->has_hardware = c->refused == 0 && out->cycles > 0;
    if (!out->has_hardware)
        say_why_not(c, out);
    double throttled;
    out->has_throttle = c->has_throttle && read_throttled(&throttled);
    if (out->has_throttle)
        out->throttled_ns = throttled - c->throttled_ns;
    free(c->threads);
    free(c);
}

void counters_add(struct counters *to, const struct counters *from)
{
    if (to->n_threads == 0) {
        *to = *from;
        return;
    }
    if (to->has_hardware && !from->has_hardware)
        memcpy(to->why_not, from->why_not, sizeof to->why_not);
    to->has_hardware = to->has_hardware && from->has_hardware;
    to->has_schedule = to->has_schedule && from->has_schedule;
    to->has_throttle = to->has_throttle && from->has_throttle;
    to->cycles += from->cycles;
    to->instructions += from->instructions;
    to->cache_misses += from->cache_misses;
    to->run_ns += from->run_ns;
    to->wait_ns += from->wait_ns;
    to->throttled_ns += from->throttled_ns;
}
