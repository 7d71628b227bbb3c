/* limits.c - runs the loops of limits_loops.c on some threads at once, in rounds, and keeps the
 * best round.
 *
 * In a round each thread repeats its own work until the round's time is over and reports its own
 * rate, so that none waits for another and no thread's end counts as another's work. Threads live
 * as long as one call. Knows nothing of models; prints nothing.
 */
#include "profile/limits.h"

#include "base/arena.h"
#include "profile/limits_loops.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    N_ROUNDS = 7, /* the first warms caches and clocks; it counts like the others */
    MAX_THREADS = 1024,
    MIN_SHARE = 4096,   /* bytes a thread */
    CHAIN_TURNS = 2000, /* some microseconds between two looks at the clock */
};
#define ROUND_SECONDS 0.008

struct limits {
    const struct limit_loops *loops;
    struct arena own; /* memory to read when the caller has none */
};

/* Where the threads of one call meet. */
struct meeting {
    pthread_mutex_t door; /* the caller holds it until all threads exist */
    bool called_off;      /* read after the door */
    pthread_barrier_t barrier;
};

/* One thread's work in a round. */
struct limit_task {
    void (*read)(const uint8_t *p, size_t n_bytes); /* NULL: a chain */
    const uint8_t *memory;
    size_t n_bytes;
    void (*chain)(size_t n_turns);
    double work; /* of one pass: bytes or multiply-adds */
    struct meeting *meeting;
    double rates[N_ROUNDS]; /* out */
    pthread_t thread;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_rounds(struct limit_task *task)
{
    for (size_t round = 0; round < N_ROUNDS; round++) {
        pthread_barrier_wait(&task->meeting->barrier);
        double begin = now(), end;
        size_t n = 0;
        do {
            if (task->read != NULL)
                task->read(task->memory, task->n_bytes);
            else
                task->chain(CHAIN_TURNS);
            n++;
            end = now();
        } while (end - begin < ROUND_SECONDS);
        task->rates[round] = task->work * (double)n / (end - begin);
    }
}

static void *run_thread(void *arg)
{
    struct limit_task *task = arg;
    pthread_mutex_lock(&task->meeting->door);
    bool called_off = task->meeting->called_off;
    pthread_mutex_unlock(&task->meeting->door);
    if (!called_off)
        run_rounds(task);
    return NULL;
}

/* Runs the tasks together; *best is the largest sum of a round's rates. */
static enum status run_tasks(struct limit_task *tasks, unsigned n_threads, double *best,
                             struct error *err)
{
    struct meeting meeting = {.door = PTHREAD_MUTEX_INITIALIZER};
    int number = pthread_barrier_init(&meeting.barrier, NULL, n_threads);
    if (number != 0)
        return error_errno(err, number, "cannot start to measure");
    unsigned n_started = 1; /* the caller is the first */
    pthread_mutex_lock(&meeting.door);
    for (unsigned i = 0; i < n_threads; i++)
        tasks[i].meeting = &meeting;
    while (n_started < n_threads && number == 0) {
        struct limit_task *task = &tasks[n_started];
        number = pthread_create(&task->thread, NULL, run_thread, task);
        n_started += number == 0;
    }
    meeting.called_off = number != 0;
    pthread_mutex_unlock(&meeting.door);
    if (number == 0)
        run_rounds(&tasks[0]);
    for (unsigned i = 1; i < n_started; i++)
        pthread_join(tasks[i].thread, NULL);
    pthread_barrier_destroy(&meeting.barrier);
    pthread_mutex_destroy(&meeting.door);
    if (number != 0)
        return error_errno(err, number, "cannot start %u threads that measure", n_threads);
    *best = 0;
    for (size_t round = 0; round < N_ROUNDS; round++) {
        double sum = 0;
        for (unsigned i = 0; i < n_threads; i++)
            sum += tasks[i].rates[round];
        *best = sum > *best ? sum : *best;
    }
    return STATUS_OK;
}

static enum status make_tasks(struct limit_task **out, unsigned n_threads, struct error *err)
{
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return error_set(err, STATUS_INVALID, "%u threads cannot measure; 1 to %d can", n_threads,
                         MAX_THREADS);
    *out = calloc(n_threads, sizeof **out);
    return *out != NULL ? STATUS_OK
                        : error_no_memory(err, n_threads * sizeof **out, "threads that measure");
}

/* Memory of our own that holds something. */
static enum status own_memory(struct limits *limits, size_t n_bytes, struct error *err)
{
    if (limits->own.n_bytes >= n_bytes)
        return STATUS_OK;
    arena_free(&limits->own);
    memset(&limits->own, 0, sizeof limits->own);
    enum status status = arena_init(&limits->own, n_bytes, "memory to read", err);
    if (status == STATUS_OK)
        memset(limits->own.base, 0x5a, n_bytes);
    return status;
}

enum limit_chain limits_chain_of(enum weight_type type)
{
    switch (type) {
    case WEIGHT_Q4_0:
    case WEIGHT_Q4_1:
    case WEIGHT_Q4_K:
        return LIMIT_INT4;
    case WEIGHT_Q5_0:
    case WEIGHT_Q5_1:
    case WEIGHT_Q5_K:
    case WEIGHT_Q6_K:
    case WEIGHT_Q2_K:
    case WEIGHT_Q3_K:
    case WEIGHT_MXFP4:
        return LIMIT_INT6;
    case WEIGHT_Q8_0:
    case WEIGHT_IQ4_NL: /* their values come out of a table of signed bytes */
    case WEIGHT_IQ4_XS:
    case WEIGHT_IQ1_S:
    case WEIGHT_IQ1_M:
    case WEIGHT_IQ2_XXS:
    case WEIGHT_IQ2_XS:
    case WEIGHT_IQ2_S:
    case WEIGHT_IQ3_XXS:
    case WEIGHT_IQ3_S:
    case WEIGHT_TQ1_0:
    case WEIGHT_TQ2_0:
        return LIMIT_INT8;
    case WEIGHT_F32:
    case WEIGHT_F16:
    case WEIGHT_BF16:
    case WEIGHT_TYPES:
        break;
    }
    return LIMIT_FMA;
}

const char *limits_chain_name(enum limit_chain chain)
{
    static const char *const names[LIMIT_CHAINS] = {"fma", "int8", "int6", "int4"};
    return (unsigned)chain < LIMIT_CHAINS ? names[chain] : "unknown";
}

enum status limits_create(struct limits **out, const struct cpu *cpu, const struct kernels *kernels,
                          struct error *err)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL)
        return error_no_memory(err, sizeof *limits, "the machine's limits");
    limits->loops = limit_loops_for(cpu, kernels->name);
    *out = limits;
    return STATUS_OK;
}

void limits_destroy(struct limits *limits)
{
    if (limits == NULL)
        return;
    arena_free(&limits->own);
    free(limits);
}

enum status limits_read(struct limits *limits, const void *memory, size_t n_bytes,
                        unsigned n_threads, unsigned n_teams, double *bytes_per_second,
                        struct error *err)
{
    struct limit_task *tasks = NULL;
    enum status status = make_tasks(&tasks, n_threads * n_teams, err);
    if (status != STATUS_OK)
        return status;
    size_t share = n_bytes / n_threads / LIMIT_READ_STEP * LIMIT_READ_STEP;
    if (share < MIN_SHARE)
        status = error_set(err, STATUS_INVALID, "%zu bytes are too few for %u threads to read",
                           n_bytes, n_threads);
    else if (memory == NULL)
        status = own_memory(limits, n_bytes, err);
    const uint8_t *base = memory != NULL ? memory : limits->own.base;
    double best = 0;
    for (size_t way = 0; status == STATUS_OK && way < LIMIT_READS; way++) {
        for (unsigned i = 0; i < n_threads * n_teams; i++)
            tasks[i] = (struct limit_task){.read = limits->loops->read[way],
                                           .memory = base + i % n_threads * share,
                                           .n_bytes = share,
                                           .work = (double)share};
        double rate = 0;
        status = run_tasks(tasks, n_threads * n_teams, &rate, err);
        best = rate > best ? rate : best;
    }
    free(tasks);
    if (status == STATUS_OK)
        *bytes_per_second = best;
    return status;
}

enum status limits_chain(struct limits *limits, enum limit_chain chain, unsigned n_threads,
                         double *macs_per_second, struct error *err)
{
    struct limit_task *tasks = NULL;
    enum status status = make_tasks(&tasks, n_threads, err);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < n_threads; i++)
        tasks[i] = (struct limit_task){
            .chain = limits->loops->chains[chain].run,
            .work = (double)limits->loops->chains[chain].macs * (double)CHAIN_TURNS,
        };
    status = run_tasks(tasks, n_threads, macs_per_second, err);
    free(tasks);
    return status;
}
