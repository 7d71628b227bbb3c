/* team.c - helpers that spin briefly, then sleep on a futex; a barrier of one cache line per
 * thread.
 *
 * The leader publishes work by raising `epoch`. Helpers that have gone to sleep are counted, so
 * that a raise costs a system call only when somebody sleeps. The barrier never sleeps: its phases
 * are microseconds apart; when the other side lost its processor, waiting turns into sched_yield,
 * so that a crowded machine is shared and not burnt.
 */
#include "base/team.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE = 64,
    SPIN_PAUSES = 64,        /* between two looks at the clock */
    IDLE_SPIN_NS = 100000,   /* a helper waits this long for the next step before it sleeps */
    BARRIER_SPIN_NS = 20000, /* then it yields its processor between looks */
};

struct line {
    _Alignas(LINE) _Atomic uint32_t value;
};

struct member {
    struct team *team;
    unsigned rank;
    pthread_t thread;
    uint32_t barrier; /* passed so far; its own thread's */
};

struct team {
    struct line epoch;      /* raised by the leader: work, or the end */
    struct line sleepers;   /* helpers in futex_wait, or about to be */
    struct line release;    /* the last barrier that everybody has reached */
    struct line *arrived;   /* [n_threads]: the last barrier each has reached */
    struct member *members; /* [n_threads], the leader's first */
    unsigned n_threads;
    unsigned n_started; /* helpers running */
    team_fn *fn;
    void *arg;
    bool stop;
    void (*on_start)(void);
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Spins until *value has reached `wanted` (modulo 2^32), at most for ns. */
static bool spin_until(_Atomic uint32_t *value, uint32_t wanted, uint64_t ns)
{
    uint64_t end = 0;
    for (;;) {
        for (int i = 0; i < SPIN_PAUSES; i++) {
            if ((int32_t)(atomic_load_explicit(value, memory_order_acquire) - wanted) >= 0)
                return true;
            cpu_relax();
        }
        uint64_t now = now_ns();
        if (end == 0)
            end = now + ns;
        else if (now >= end)
            return false;
    }
}

static void wait_reached(_Atomic uint32_t *value, uint32_t wanted)
{
    if (spin_until(value, wanted, BARRIER_SPIN_NS))
        return;
    while ((int32_t)(atomic_load_explicit(value, memory_order_acquire) - wanted) < 0)
        sched_yield();
}

static void wait_epoch(struct team *team, uint32_t wanted)
{
    _Atomic uint32_t *epoch = &team->epoch.value;
    if (spin_until(epoch, wanted, IDLE_SPIN_NS))
        return;
    atomic_fetch_add(&team->sleepers.value, 1);
    for (;;) {
        uint32_t seen = atomic_load(epoch);
        if ((int32_t)(seen - wanted) >= 0)
            break;
        syscall(SYS_futex, epoch, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(&team->sleepers.value, 1);
}

static void raise_epoch(struct team *team)
{
    atomic_fetch_add(&team->epoch.value, 1); /* sequentially consistent with the sleepers' count */
    if (atomic_load(&team->sleepers.value) > 0)
        syscall(SYS_futex, &team->epoch.value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void *helper_main(void *arg)
{
    struct member *member = arg;
    struct team *team = member->team;
    if (team->on_start)
        team->on_start();
    for (uint32_t epoch = 1;; epoch++) {
        wait_epoch(team, epoch);
        if (team->stop)
            return NULL;
        team->fn(team->arg, member->rank);
        team_barrier(team, member->rank);
    }
}

enum status team_create(struct team **out, unsigned n_threads, void (*on_start)(void),
                        struct error *err)
{
    struct team *team = aligned_alloc(LINE, sizeof *team);
    if (!team)
        return error_no_memory(err, sizeof *team, "a team of threads");
    memset(team, 0, sizeof *team);
    team->n_threads = n_threads;
    team->on_start = on_start;
    team->arrived = aligned_alloc(LINE, n_threads * sizeof *team->arrived);
    team->members = calloc(n_threads, sizeof *team->members);
    if (!team->arrived || !team->members) {
        team_destroy(team);
        return error_no_memory(err, n_threads * sizeof *team->arrived, "a team of threads");
    }
    memset(team->arrived, 0, n_threads * sizeof *team->arrived);
    for (unsigned i = 0; i < n_threads; i++)
        team->members[i] = (struct member){.team = team, .rank = i};
    for (unsigned i = 1; i < n_threads; i++) {
        int failed = pthread_create(&team->members[i].thread, NULL, helper_main, &team->members[i]);
        if (failed) {
            team_destroy(team);
            return error_errno(err, failed, "cannot start compute thread %u of %u", i + 1,
                               n_threads);
        }
        team->n_started++;
        pthread_setname_np(team->members[i].thread, "sm-compute");
    }
    *out = team;
    return STATUS_OK;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    if (team->n_started > 0) {
        team->stop = true;
        raise_epoch(team);
    }
    for (unsigned i = 1; i <= team->n_started; i++)
        pthread_join(team->members[i].thread, NULL);
    free(team->arrived);
    free(team->members);
    free(team);
}

unsigned team_size(const struct team *team)
{
    return team->n_threads;
}

void team_run(struct team *team, team_fn *fn, void *arg)
{
    if (team->n_threads > 1) {
        team->fn = fn;
        team->arg = arg;
        raise_epoch(team);
    }
    fn(arg, 0);
    team_barrier(team, 0);
}

void team_barrier(struct team *team, unsigned rank)
{
    unsigned n = team->n_threads;
    if (n == 1)
        return;
    uint32_t number = ++team->members[rank].barrier;
    if (rank != 0) {
        atomic_store_explicit(&team->arrived[rank].value, number, memory_order_release);
        wait_reached(&team->release.value, number);
        return;
    }
    for (unsigned i = 1; i < n; i++)
        wait_reached(&team->arrived[i].value, number);
    atomic_store_explicit(&team->release.value, number, memory_order_release);
}
