/* alloc_count.c - the wrappers that the linker puts in place of malloc and its family
 * (CMakeLists.txt lists them).
 *
 * Each looks at one thread-local flag and passes on to the real function, which under a sanitizer
 * is the sanitizer's. The counter is the process's: the proof must cover every thread.
 */
#include "base/alloc_count.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

static _Thread_local bool counted;
static _Atomic uint64_t n_calls, n_bytes_asked;

void alloc_count_enter(void)
{
    counted = true;
}

void alloc_count_leave(void)
{
    counted = false;
}

uint64_t alloc_count(void)
{
    return atomic_load_explicit(&n_calls, memory_order_relaxed);
}

uint64_t alloc_bytes(void)
{
    return atomic_load_explicit(&n_bytes_asked, memory_order_relaxed);
}

static inline void count(size_t n)
{
    if (__builtin_expect(!counted, true))
        return;
    atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_bytes_asked, n, memory_order_relaxed);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t n);
int __real_posix_memalign(void **out, size_t alignment, size_t n);
void *__real_mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
int __wrap_posix_memalign(void **out, size_t alignment, size_t n);
void *__wrap_mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n)
{
    count(n);
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    count(n * size);
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    count(n);
    return __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    count(n * size);
    return __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    count(n);
    return __real_aligned_alloc(alignment, n);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t n)
{
    count(n);
    return __real_posix_memalign(out, alignment, n);
}

void *__wrap_mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset)
{
    count(n);
    return __real_mmap(address, n, protection, flags, fd, offset);
}
