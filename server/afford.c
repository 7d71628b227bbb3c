/* afford.c - tries out descriptors and threads, and gives them back. No state. */
#include "server/afford.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

/* Descriptors that the loop, the listener, the log and the model's file take, with a few clients.
 * Stacks: what decoding the deepest JSON and reading a model take, several times over; more than
 * the most would be address space for nothing. */
enum { FILES_MIN = 16, POOL_MAX = 1024, POOL_DEFAULT = 4 };
static const rlim_t files_wanted = 1024, stack_min = 1 << 20, stack_max = 8 << 20;

/* How many threads libuv's pool will have. */
static unsigned pool_threads(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    long n = text != NULL ? strtol(text, NULL, 10) : POOL_DEFAULT;
    return n < 1 ? 1 : n > POOL_MAX ? POOL_MAX : (unsigned)n;
}

static enum status check_files(struct error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < files_wanted) {
        limit.rlim_cur = limit.rlim_max < files_wanted ? limit.rlim_max : files_wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int fds[FILES_MIN], n = 0;
    while (n < FILES_MIN && (fds[n] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) >= 0)
        n++;
    int number = errno;
    for (int i = 0; i < n; i++)
        close(fds[i]);
    if (n == FILES_MIN)
        return STATUS_OK;
    return error_errno(err, number, "the limit of open files (ulimit -n: %llu) leaves %d of %d",
                       (unsigned long long)limit.rlim_cur, n, FILES_MIN);
}

static enum status check_stack(struct error *err)
{
    struct rlimit limit;
    pthread_attr_t threads;
    if (getrlimit(RLIMIT_STACK, &limit) != 0)
        return STATUS_OK;
    if (limit.rlim_max < stack_min)
        return error_set(
            err, STATUS_IO, "the limit of stacks (ulimit -s: %llu KiB) is below %llu KiB",
            (unsigned long long)limit.rlim_max >> 10, (unsigned long long)stack_min >> 10);
    if (limit.rlim_cur < stack_min)
        limit.rlim_cur = stack_min;
    else if (limit.rlim_cur > stack_max)
        limit.rlim_cur = stack_max;
    setrlimit(RLIMIT_STACK, &limit); /* libuv's threads take it from there, others from here */
    if (pthread_getattr_default_np(&threads) == 0) {
        pthread_attr_setstacksize(&threads, (size_t)limit.rlim_cur);
        pthread_setattr_default_np(&threads);
        pthread_attr_destroy(&threads);
    }
    return STATUS_OK;
}

/* Each thread's own arena of malloc reserves 64 MiB of addresses or more. Where these are limited
 * they are needed for weights and caches, and how many threads were first must not decide whether
 * the service starts. */
static void spare_addresses(void)
{
#ifdef M_ARENA_MAX
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        mallopt(M_ARENA_MAX, 1);
#endif
}

static void wait_for_end(void *semaphore)
{
    uv_sem_wait(semaphore);
}

/* As many as the pool will have, all at once, made as libuv makes them; their stacks are kept for
 * the next. And one for the log. */
static enum status check_threads(struct error *err)
{
    unsigned n = 0, wanted = pool_threads() + 1;
    uv_sem_t end;
    uv_thread_t *threads = calloc(wanted, sizeof *threads);
    if (threads == NULL)
        return error_no_memory(err, wanted * sizeof *threads, "threads");
    int code = uv_sem_init(&end, 0);
    if (code != 0) {
        free(threads);
        return error_errno(err, -code, "threads");
    }
    while (n < wanted && (code = uv_thread_create(&threads[n], wait_for_end, &end)) == 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        uv_sem_post(&end);
    for (unsigned i = 0; i < n; i++)
        uv_thread_join(&threads[i]);
    uv_sem_destroy(&end);
    free(threads);
    if (n == wanted)
        return STATUS_OK;
    return error_errno(err, -code,
                       "the limits of memory and processes (ulimit -v, ulimit -u) leave %u of %u "
                       "threads",
                       n, wanted);
}

enum status afford_check(struct error *err)
{
    spare_addresses();
    enum status status = check_files(err);
    if (status == STATUS_OK)
        status = check_stack(err);
    return status == STATUS_OK ? check_threads(err) : status;
}
