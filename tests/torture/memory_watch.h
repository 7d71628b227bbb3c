/* memory_watch.h - how many bytes of blocks a piece of work had at its highest.
 *
 * Every block of the process is counted: by the sanitizer's hooks, or by a malloc family of the
 * program's own around the C library's. To be included by one file of a program. Test code, one
 * thread.
 */
#pragma once

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

static size_t watch_now, watch_peak; /* bytes, since watch_begin */

static inline void watch_add(size_t n)
{
    watch_now += n;
    watch_peak = watch_now > watch_peak ? watch_now : watch_peak;
}

static inline void watch_drop(size_t n)
{
    watch_now -= n < watch_now ? n : watch_now; /* what was there before is not counted */
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCH_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WATCH_HOOKS 1
#endif
#endif

#ifdef WATCH_HOOKS
/* The sanitizer's own interface, whose header gcc does not bring. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static inline void watch_on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    watch_add(n);
}

static inline void watch_on_free(const volatile void *p)
{
    watch_drop(p != NULL ? __sanitizer_get_allocated_size(p) : 0);
}

static inline void watch_install(void)
{
    static int is_installed;
    if (!is_installed)
        is_installed = __sanitizer_install_malloc_and_free_hooks(watch_on_malloc, watch_on_free);
}

#else
/* glibc's own family under the names it keeps for this. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static void *watched(void *p)
{
    if (p != NULL)
        watch_add(malloc_usable_size(p));
    return p;
}

void *malloc(size_t n)
{
    return watched(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return watched(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    size_t n_old = p != NULL ? malloc_usable_size(p) : 0;
    void *moved = __libc_realloc(p, n); /* both are there while one is copied */
    if (moved != NULL || n == 0) {
        watched(moved);
        watch_drop(n_old);
    }
    return moved;
}

void *memalign(size_t alignment, size_t n)
{
    return watched(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return watched(__libc_memalign(alignment, n));
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = watched(__libc_memalign(alignment, n));
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    watch_drop(p != NULL ? malloc_usable_size(p) : 0);
    __libc_free(p);
}

static inline void watch_install(void)
{
}
#endif

static inline void watch_begin(void)
{
    watch_install();
    watch_now = watch_peak = 0;
}

/* Bytes at the highest since watch_begin. */
static inline size_t watch_end(void)
{
    return watch_peak;
}
