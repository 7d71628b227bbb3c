/* malloc_count.c - a library to preload: counts the calls of the malloc family, thread by thread,
 * in a file others can read.
 *
 * MALLOC_COUNT_FILE names the file: an array of {uint64_t thread id, uint64_t calls}, zeros after
 * the last, mapped shared, so that a test sees the counts of a running process at any time. Any
 * thread of the host program calls in here; nothing here allocates. Knows nothing of that program.
 * glibc only: the real functions are reached by their second names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 1024 }; /* threads counted separately; the last slot takes all later ones */

struct slot {
    _Atomic uint64_t thread;
    _Atomic uint64_t calls;
};

static struct slot *slots; /* [SLOTS], NULL until the file is mapped */
static atomic_size_t n_slots;
/* initial-exec: the general model may itself allocate on first use */
static _Thread_local struct slot *mine __attribute__((tls_model("initial-exec")));

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

void *reallocarray(void *p, size_t n, size_t size);
void *memalign(size_t alignment, size_t n);
void *valloc(size_t n);
void *pvalloc(size_t n);

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("MALLOC_COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    size_t size = SLOTS * sizeof(struct slot);
    if (ftruncate(fd, (off_t)size) == 0) {
        void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        slots = map == MAP_FAILED ? NULL : map;
    }
    close(fd);
}

static void count(void)
{
    if (!slots)
        return;
    if (!mine) {
        size_t i = atomic_fetch_add(&n_slots, 1);
        mine = &slots[i < SLOTS ? i : SLOTS - 1];
        atomic_store(&mine->thread, (uint64_t)syscall(SYS_gettid));
    }
    atomic_fetch_add_explicit(&mine->calls, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
    count();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count();
    return __libc_realloc(p, n);
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    count();
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, bytes);
}

void *memalign(size_t alignment, size_t n)
{
    count();
    return __libc_memalign(alignment, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    count();
    return __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    count();
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
        return EINVAL;
    void *p = __libc_memalign(alignment, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void *valloc(size_t n)
{
    count();
    return __libc_memalign((size_t)sysconf(_SC_PAGESIZE), n);
}

void *pvalloc(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;
    count();
    if (__builtin_add_overflow(n, page - 1, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_memalign(page, bytes & ~(page - 1));
}
