/* process.c - reading /proc through held descriptors. Loop thread. */
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void process_open(struct process *process)
{
    process->files = opendir("/proc/self/fd");
    process->memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC) + 1;
}

void process_close(struct process *process)
{
    if (process->files != NULL)
        closedir(process->files);
    if (process->memory != 0)
        close(process->memory - 1);
    *process = (struct process){.files = NULL};
}

bool process_open_files(const struct process *process, uint64_t *out)
{
    uint64_t n = 0;
    if (process->files == NULL)
        return false;
    rewinddir(process->files);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(process->files)) != NULL;)
        n += entry->d_name[0] != '.';
    if (errno != 0 || n == 0)
        return false;
    *out = n;
    return true;
}

bool process_max_files(uint64_t *out)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    *out = limit.rlim_cur;
    return true;
}

bool process_resident_bytes(const struct process *process, uint64_t *out)
{
    char text[128];
    ssize_t n = process->memory != 0 ? pread(process->memory - 1, text, sizeof text - 1, 0) : -1;
    long page = sysconf(_SC_PAGESIZE);
    if (n <= 0 || page <= 0)
        return false;
    text[n] = '\0';
    const char *second = strchr(text, ' '); /* the first is the size of the address space */
    char *end;
    if (second == NULL)
        return false;
    errno = 0;
    unsigned long long pages = strtoull(second, &end, 10);
    if (errno != 0 || end == second || pages == 0)
        return false;
    *out = pages * (uint64_t)page;
    return true;
}
