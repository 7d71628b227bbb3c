/* memory_watch.h - how much memory a piece of work took at its highest, and a limit it must not
 * pass.
 *
 * Under the address sanitizer its hooks count every block; elsewhere the process is given only so
 * much address space. Either way what asks for more is told there is no memory, which a test then
 * sees. Test code, one thread.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WATCH_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCH_HOOKS 1
#endif
#endif
#ifndef WATCH_HOOKS
#define WATCH_HOOKS 0
#endif

#if WATCH_HOOKS
/* The sanitizer's own interface, whose header gcc does not bring. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static size_t watch_now, watch_peak; /* bytes, since watch_begin */

static inline void watch_on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    watch_now += n;
    watch_peak = watch_now > watch_peak ? watch_now : watch_peak;
}

static inline void watch_on_free(const volatile void *p)
{
    size_t n = p != NULL ? __sanitizer_get_allocated_size(p) : 0;
    watch_now -= n < watch_now ? n : watch_now;
}
#endif

static inline void watch_begin(void)
{
#if WATCH_HOOKS
    static int is_installed;
    if (!is_installed)
        is_installed = __sanitizer_install_malloc_and_free_hooks(watch_on_malloc, watch_on_free);
    watch_now = watch_peak = 0;
#endif
}

/* Bytes at the highest since watch_begin; 0 where nobody counts. */
static inline size_t watch_end(void)
{
#if WATCH_HOOKS
    return watch_peak;
#else
    return 0;
#endif
}

/* From here on the process gets this much more and no more (hooks: the caller compares). */
static inline void watch_limit(size_t n_bytes)
{
#if WATCH_HOOKS || defined(__SANITIZE_THREAD__)
    (void)n_bytes;
#else
    unsigned long n_pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    ck_assert(statm != NULL && fscanf(statm, "%lu", &n_pages) == 1);
    fclose(statm);
    rlim_t n = (rlim_t)n_pages * (rlim_t)sysconf(_SC_PAGESIZE) + n_bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){n, n}), 0);
#endif
}
