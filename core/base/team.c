/* team.c - claims, a count of chunks done, and a gate.
 *
 * Each thread has its own run of a phase's chunks and claims from it first (its data stays in its
 * cache), then from the others'. A phase is over when the count of chunks done reaches its end in
 * the list. Helpers touch a step's description only inside the gate, which the leader closes after
 * the last phase; they wait outside, so that a helper whose processor was taken away while it
 * waited delays no other. Between steps helpers spin, then sleep on the epoch.
 */
#include "base/team.h"

#include "base/alloc_count.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE = 64,
    SPIN_PAUSES = 64,        /* between two looks at the clock */
    IDLE_SPIN_NS = 100000,   /* a helper waits this long for the next step before it sleeps */
    PHASE_SPIN_NS = 20000,   /* for a chunk in other hands, before it yields its processor */
    PHASE_YIELD_NS = 500000, /* and before it sleeps between two looks, as the other thread has lost
                                its processor: to a CPU quota, which waiting would use up as well */
    PHASE_NAP_NS = 50000,
};

#define GATE_CLOSED 0x80000000u

struct line {
    _Alignas(LINE) _Atomic uint32_t value;
};

struct helper {
    struct team *team;
    unsigned rank;
    pthread_t thread;
};

struct team {
    struct line epoch;              /* raised by the leader: a step, or the end */
    struct line sleepers;           /* helpers in futex_wait, or about to be */
    struct line done;               /* chunks of this step */
    struct line gate;               /* helpers inside, and GATE_CLOSED between steps */
    struct line active;             /* threads that work: helpers of a higher rank wait for it */
    struct team_work work;          /* with step and ends: of the step whose gate is open */
    const struct team_marks *marks; /* NULL: no profile */
    uint32_t step;                  /* its epoch: a helper that is late by a step must see so */
    uint32_t *ends;                 /* [max_phases]: chunks up to and including each phase's */
    _Atomic uint32_t
        *claims; /* [n_threads][claim_stride]: chunks claimed of each thread's run, by phase */
    void *claim_memory;     /* of claims, owned */
    size_t claim_stride;    /* max_phases in whole lines */
    struct helper *helpers; /* [n_threads - 1] */
    unsigned n_threads, n_started;
    unsigned n_active; /* the same as active; of the step whose gate is open */
    _Atomic bool stop; /* a late helper may look for it at any time */
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

static bool epoch_is(struct team *team, uint32_t epoch)
{
    return atomic_load_explicit(&team->epoch.value, memory_order_acquire) == epoch;
}

/* --- waiting --- */

static bool is_done(struct team *team, uint32_t target)
{
    return atomic_load_explicit(&team->done.value, memory_order_acquire) >= target;
}

/* Lets others run: it has waited so long. */
static void give_way(uint64_t waited_ns)
{
    static const struct timespec nap = {.tv_nsec = PHASE_NAP_NS};
    if (waited_ns < PHASE_SPIN_NS)
        return;
    if (waited_ns < PHASE_YIELD_NS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

/* Waits until `target` chunks of this step are done. False: the step has ended (for helpers). */
static bool wait_done(struct team *team, uint32_t target, uint32_t epoch)
{
    uint64_t begin = 0;
    for (;;) {
        for (int i = 0; i < SPIN_PAUSES; i++) {
            if (is_done(team, target))
                return epoch_is(team, epoch);
            cpu_relax();
        }
        if (!epoch_is(team, epoch))
            return false;
        const uint64_t now = now_ns();
        begin = begin == 0 ? now : begin;
        give_way(now - begin);
    }
}

/* Waits for another epoch than the one last seen and returns it. */
static uint32_t wait_epoch(struct team *team, uint32_t seen)
{
    uint64_t end = now_ns() + IDLE_SPIN_NS;
    do {
        for (int i = 0; i < SPIN_PAUSES; i++) {
            if (!epoch_is(team, seen))
                return atomic_load_explicit(&team->epoch.value, memory_order_acquire);
            cpu_relax();
        }
    } while (now_ns() < end);
    atomic_fetch_add(&team->sleepers.value, 1);
    uint32_t epoch;
    while ((epoch = atomic_load(&team->epoch.value)) == seen)
        syscall(SYS_futex, &team->epoch.value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&team->sleepers.value, 1);
    return epoch;
}

/* A helper beyond those that work sleeps until it is one of them, or the end. */
static void wait_active(struct team *team, unsigned rank)
{
    uint32_t n;
    while ((n = atomic_load(&team->active.value)) <= rank && !team->stop)
        syscall(SYS_futex, &team->active.value, FUTEX_WAIT_PRIVATE, n, NULL, NULL, 0);
}

static void raise_epoch(struct team *team)
{
    atomic_fetch_add(&team->epoch.value, 1); /* sequentially consistent with the sleepers' count */
    if (atomic_load(&team->sleepers.value) > 0)
        syscall(SYS_futex, &team->epoch.value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* --- chunks --- */

/* Where rank's run of n chunks begins; the first rank has the first chunk. */
static uint32_t run_begin(const struct team *team, uint32_t n, unsigned rank)
{
    return (uint32_t)(((uint64_t)n * rank + team->n_active - 1) / team->n_active);
}

/* A thread's marks. Helpers write theirs inside the gate, so that the leader may read all of them
 * when team_finish has ended. A phase that begins as soon as the one before has ended needs no
 * second look at the clock; last: that end, 0 when the thread has waited since. */
static struct team_mark *begin_mark(const struct team *team, size_t phase, unsigned rank,
                                    uint64_t last)
{
    const struct team_marks *marks = team->marks;
    if (__builtin_expect(marks == NULL, true))
        return NULL;
    struct team_mark *mark = team_mark_at(marks, rank, phase);
    /* Written whole: what a chunk adds to its parts then needs no line from another's cache. */
    *mark = (struct team_mark){.begin = last != 0 ? last : marks->clock(),
                               .allocated = (uint32_t)alloc_bytes(),
                               .run = marks->run};
    return mark;
}

/* Before the phase's chunks count as done, so that it ends before the next phase begins. */
static uint64_t end_mark(const struct team *team, struct team_mark *mark)
{
    if (__builtin_expect(mark == NULL, true))
        return 0;
    return mark->end = team->marks->clock();
}

/* Does what is left of a phase: this thread's own run, then the others'. Takes and returns the time
 * of its marks. */
static uint64_t do_phase(struct team *team, size_t phase, unsigned rank, uint64_t last)
{
    uint32_t n = team->work.n_chunks[phase], n_done = 0;
    struct team_mark *mark = begin_mark(team, phase, rank, last);
    for (unsigned i = 0; i < team->n_active; i++) {
        unsigned owner = rank + i < team->n_active ? rank + i : rank + i - team->n_active;
        uint32_t begin = run_begin(team, n, owner), length = run_begin(team, n, owner + 1) - begin;
        _Atomic uint32_t *claims = team->claims + owner * team->claim_stride + phase;
        while (atomic_load_explicit(claims, memory_order_relaxed) < length) {
            uint32_t i_chunk = atomic_fetch_add_explicit(claims, 1, memory_order_relaxed);
            if (i_chunk >= length)
                break;
            team->work.fn(team->work.arg, phase, begin + i_chunk, rank);
            n_done++;
        }
    }
    last = end_mark(team, mark);
    if (n_done > 0)
        atomic_fetch_add_explicit(&team->done.value, n_done, memory_order_acq_rel);
    return last;
}

/* --- helpers --- */

/* Enters the gate; false: it is closed, the step is over. */
static bool enter(struct team *team)
{
    if (!(atomic_fetch_add_explicit(&team->gate.value, 1, memory_order_acquire) & GATE_CLOSED))
        return true;
    atomic_fetch_sub_explicit(&team->gate.value, 1, memory_order_release);
    return false;
}

static void help(struct team *team, uint32_t epoch, unsigned rank)
{
    uint64_t last = 0;
    for (size_t phase = 0;; phase++) {
        if (!enter(team))
            return;
        const bool on = team->step == epoch && phase < team->work.n_phases;
        uint32_t target = 0;
        if (on) {
            last = do_phase(team, phase, rank, last);
            target = team->ends[phase];
        }
        atomic_fetch_sub_explicit(&team->gate.value, 1, memory_order_release);
        if (!is_done(team, target))
            last = 0;
        if (!on || !wait_done(team, target, epoch))
            return;
    }
}

static void *helper_main(void *arg)
{
    struct helper *helper = arg;
    struct team *team = helper->team;
    if (team->on_start)
        team->on_start();
    for (uint32_t epoch = 0;;) {
        wait_active(team, helper->rank);
        epoch = wait_epoch(team, epoch);
        if (team->stop)
            return NULL;
        /* Of the step of this epoch or of an earlier one: during a step it does not change. */
        if (helper->rank < atomic_load(&team->active.value))
            help(team, epoch, helper->rank);
    }
}

/* --- the leader --- */

enum status team_create(struct team **out, unsigned n_threads, size_t max_phases,
                        void (*on_start)(void), struct error *err)
{
    struct team *team = aligned_alloc(LINE, sizeof *team);
    if (!team)
        return error_no_memory(err, sizeof *team, "a team of threads");
    memset(team, 0, sizeof *team);
    team->n_threads = team->n_active = n_threads;
    team->active.value = n_threads;
    team->on_start = on_start;
    team->gate.value = GATE_CLOSED;
    team->claim_stride =
        (max_phases * sizeof *team->claims + LINE - 1) / LINE * LINE / sizeof *team->claims;
    size_t claim_bytes = n_threads * team->claim_stride * sizeof *team->claims;
    team->claims = team->claim_memory = aligned_alloc(LINE, claim_bytes);
    team->ends = calloc(max_phases, sizeof *team->ends);
    team->helpers = calloc(n_threads, sizeof *team->helpers);
    if (!team->claims || !team->ends || !team->helpers) {
        team_destroy(team);
        return error_no_memory(err, claim_bytes, "a team of threads");
    }
    memset(team->claim_memory, 0, claim_bytes);
    for (unsigned i = 0; i + 1 < n_threads; i++) {
        team->helpers[i] = (struct helper){.team = team, .rank = i + 1};
        int failed = pthread_create(&team->helpers[i].thread, NULL, helper_main, &team->helpers[i]);
        if (failed) {
            team_destroy(team);
            return error_errno(err, failed, "cannot start compute thread %u of %u", i + 2,
                               n_threads);
        }
        team->n_started++;
        pthread_setname_np(team->helpers[i].thread, "sm-compute");
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
        team_set_active(team, team->n_threads); /* wakes those beyond */
        raise_epoch(team);
    }
    for (unsigned i = 0; i < team->n_started; i++)
        pthread_join(team->helpers[i].thread, NULL);
    free(team->claim_memory);
    free(team->ends);
    free(team->helpers);
    free(team);
}

unsigned team_size(const struct team *team)
{
    return team->n_threads;
}

unsigned team_active(const struct team *team)
{
    return team->n_active;
}

void team_set_active(struct team *team, unsigned n_active)
{
    team->n_active = n_active;
    atomic_store(&team->active.value, n_active);
    syscall(SYS_futex, &team->active.value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void team_set_marks(struct team *team, const struct team_marks *marks)
{
    team->marks = marks;
}

/* One thread shares with none: no claims, no counts. */
static void run_alone(struct team *team)
{
    const struct team_work *work = &team->work;
    uint64_t last = 0;
    for (size_t phase = 0; phase < work->n_phases; phase++) {
        struct team_mark *mark = begin_mark(team, phase, 0, last);
        for (uint32_t chunk = 0; chunk < work->n_chunks[phase]; chunk++)
            work->fn(work->arg, phase, chunk, 0);
        last = end_mark(team, mark);
    }
}

void team_start(struct team *team, const struct team_work *work)
{
    team->work = *work;
    if (team->n_active == 1)
        return;
    uint32_t end = 0;
    for (size_t phase = 0; phase < work->n_phases; phase++) {
        end += work->n_chunks[phase];
        team->ends[phase] = end;
        for (unsigned i = 0; i < team->n_active; i++)
            atomic_store_explicit(team->claims + i * team->claim_stride + phase, 0,
                                  memory_order_relaxed);
    }
    atomic_store_explicit(&team->done.value, 0, memory_order_relaxed);
    team->step = atomic_load_explicit(&team->epoch.value, memory_order_relaxed) + 1;
    atomic_fetch_and_explicit(&team->gate.value, ~GATE_CLOSED, memory_order_release);
    raise_epoch(team); /* after the gate is open, or a quick helper would find it closed and miss
                          the step */
}

void team_finish(struct team *team)
{
    if (team->n_active == 1) {
        run_alone(team);
        return;
    }
    uint64_t last = 0;
    for (size_t phase = 0; phase < team->work.n_phases; phase++) {
        last = do_phase(team, phase, 0, last);
        if (!is_done(team, team->ends[phase])) {
            last = 0;
            wait_done(team, team->ends[phase], team->step);
        }
    }
    atomic_fetch_or_explicit(&team->gate.value, GATE_CLOSED, memory_order_relaxed);
    while (atomic_load_explicit(&team->gate.value, memory_order_acquire) != GATE_CLOSED)
        sched_yield(); /* a helper is between two looks: nanoseconds, or it lost its processor */
}

void team_run(struct team *team, const struct team_work *work)
{
    team_start(team, work);
    team_finish(team);
}
