/* arena.c - an arena is one anonymous mapping: zeroed by the system, given back as a whole. One
 * owner at a time. */
#include "base/arena.h"

#include "base/checked.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t huge_page = (size_t)2 << 20;

/* Maps n bytes (a multiple of the page) aligned to a power of two that is a multiple of the page:
 * maps more, and gives the ends back. NULL when the system has none. */
static uint8_t *map_aligned(size_t n, size_t alignment, int protection, int flags)
{
    size_t n_all;
    if (!checked_add(n, alignment, &n_all))
        return NULL;
    uint8_t *start = mmap(NULL, n_all, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    size_t skip = (alignment - ((uintptr_t)start & (alignment - 1))) & (alignment - 1);
    if (skip > 0)
        munmap(start, skip);
    munmap(start + skip + n, alignment - skip);
    return start + skip;
}

static enum status map(struct arena *arena, size_t n_bytes, bool large, int protection, int flags,
                       const char *purpose, struct error *err)
{
    size_t n_mapped, unit = large ? huge_page : (size_t)sysconf(_SC_PAGESIZE);
    if (!checked_align(n_bytes > 0 ? n_bytes : 1, unit, &n_mapped))
        return error_no_memory(err, n_bytes, purpose);
    uint8_t *base = map_aligned(n_mapped, unit, protection, flags);
    if (base == NULL)
        return error_no_memory(err, n_bytes, purpose);
    if (large)
        madvise(base, n_mapped,
                MADV_HUGEPAGE); /* advice: a kernel without huge pages serves small ones */
    *arena = (struct arena){.base = base, .n_bytes = n_bytes, .n_mapped = n_mapped, .unit = unit};
    return STATUS_OK;
}

enum status arena_init(struct arena *arena, size_t n_bytes, const char *purpose, struct error *err)
{
    return map(arena, n_bytes, n_bytes >= huge_page, PROT_READ | PROT_WRITE, 0, purpose, err);
}

enum status arena_reserve(struct arena *arena, size_t n_bytes, const char *purpose,
                          struct error *err)
{
    return map(arena, n_bytes, n_bytes >= huge_page, PROT_NONE, MAP_NORESERVE, purpose, err);
}

enum status arena_reserve_small(struct arena *arena, size_t n_bytes, const char *purpose,
                                struct error *err)
{
    return map(arena, n_bytes, false, PROT_NONE, MAP_NORESERVE, purpose, err);
}

void arena_free(struct arena *arena)
{
    if (arena->base != NULL)
        munmap(arena->base, arena->n_mapped);
    *arena = (struct arena){0};
}

void *arena_alloc(struct arena *arena, size_t n, size_t size)
{
    size_t n_bytes, start, end;
    if (arena->base == NULL || !checked_mul(n, size, &n_bytes) ||
        !checked_align(arena->n_used, ARENA_ALIGN, &start) || !checked_add(start, n_bytes, &end) ||
        end > arena->n_bytes)
        return NULL;
    arena->n_used = end;
    return arena->base + start;
}

void *arena_carve(struct arena *arena, size_t n, size_t size)
{
    if (arena->base != NULL)
        return arena_alloc(arena, n, size);
    size_t bytes = 0;
    if (!checked_mul(n, size, &bytes) || !checked_align(bytes, ARENA_ALIGN, &bytes) ||
        !checked_add(arena->n_used, bytes, &arena->n_used))
        arena->n_used = SIZE_MAX;
    return NULL;
}

/* Faults memory in; what was already written stays. False: the system has no more. */
static bool touch(uint8_t *base, size_t n_bytes)
{
#ifdef MADV_POPULATE_WRITE
    if (madvise(base, n_bytes, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno == ENOMEM || errno == EFAULT)
        return false;
#endif
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < n_bytes; i += page) {
        volatile uint8_t *byte = base + i;
        uint8_t value = *byte;
        *byte = value;
    }
    return true;
}

bool arena_extend(struct arena *arena, size_t n_bytes)
{
    if (n_bytes > arena->n_bytes)
        return false;
    size_t end =
        (n_bytes + arena->unit - 1) / arena->unit * arena->unit; /* n_mapped is whole units too */
    if (end <= arena->n_used)
        return true;
    uint8_t *base = arena->base + arena->n_used;
    if (mprotect(base, end - arena->n_used, PROT_READ | PROT_WRITE) != 0)
        return false;
    if (!touch(base, end - arena->n_used)) {
        mprotect(base, end - arena->n_used, PROT_NONE);
        madvise(base, end - arena->n_used, MADV_DONTNEED);
        return false;
    }
    arena->n_used = end;
    return true;
}

void arena_discard(struct arena *arena, size_t begin, size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = (begin + page - 1) / page * page, end = (begin + n_bytes) / page * page;
    if (first < end)
        madvise(arena->base + first, end - first, MADV_DONTNEED);
}

/* Where the system cannot be asked only these very bytes are touched: those beside them on a page
 * may be in use. */
bool arena_refill(struct arena *arena, size_t begin, size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = begin / page * page, end = (begin + n_bytes + page - 1) / page * page;
#ifdef MADV_POPULATE_WRITE
    if (madvise(arena->base + first, end - first, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno == ENOMEM || errno == EFAULT)
        return false;
#endif
    for (size_t i = first; i < end; i += page)
        *(volatile uint8_t *)(arena->base + (i > begin ? i : begin)) = 0;
    return true;
}

struct slice {
    uint8_t *base;
    size_t n_bytes;
};

static void *touch_slice(void *arg)
{
    const struct slice *slice = arg;
    touch(slice->base, slice->n_bytes);
    return NULL;
}

void arena_touch(struct arena *arena, unsigned n_threads)
{
    enum { MAX_SLICES = 64 };
    struct slice slices[MAX_SLICES];
    pthread_t threads[MAX_SLICES];
    bool started[MAX_SLICES] = {false};
    size_t n_pages = arena->n_mapped / huge_page,
           n = n_threads < MAX_SLICES ? n_threads : MAX_SLICES;
    if (arena->base == NULL)
        return;
    if (n > n_pages)
        n = n_pages > 0 ? n_pages : 1;
    for (size_t i = 0; i < n; i++) {
        size_t begin = n_pages * i / n * huge_page;
        size_t end = i + 1 < n ? n_pages * (i + 1) / n * huge_page : arena->n_mapped;
        slices[i] = (struct slice){arena->base + begin, end - begin};
        started[i] = i > 0 && pthread_create(&threads[i], NULL, touch_slice, &slices[i]) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!started[i]) /* the first, and any that found no thread */
            touch_slice(&slices[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
    }
}
