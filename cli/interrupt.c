/* interrupt.c - the thread that waits for SIGINT and SIGTERM. No handlers, so no rules of
 * async-signal safety. */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STOP_SIGNAL = SIGUSR1, EXIT_SIGNAL = 128 };

struct interrupt {
    struct interrupt_calls calls;
    pthread_t thread;
    int signal; /* the thread's until it has ended */
};

static void signals_of(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, STOP_SIGNAL);
}

static void *watch(void *arg)
{
    struct interrupt *interrupt = arg;
    const struct interrupt_calls *calls = &interrupt->calls;
    const struct timespec tick = {.tv_nsec = 100000000};
    sigset_t set;
    signals_of(&set);
    for (;;) {
        int number =
            calls->on_tick != NULL ? sigtimedwait(&set, NULL, &tick) : sigwaitinfo(&set, NULL);
        if (number == STOP_SIGNAL)
            return NULL;
        if (number < 0) {
            if (calls->on_tick != NULL)
                calls->on_tick(calls->ctx);
            continue;
        }
        if (interrupt->signal != 0 || !calls->on_signal(calls->ctx))
            _exit(EXIT_SIGNAL + number);
        interrupt->signal = number;
    }
}

enum status interrupt_start(struct interrupt **out, const struct interrupt_calls *calls,
                            struct error *err)
{
    struct interrupt *interrupt = calloc(1, sizeof *interrupt);
    if (interrupt == NULL)
        return error_no_memory(err, sizeof *interrupt, "the thread that waits for signals");
    interrupt->calls = *calls;
    sigset_t set;
    signals_of(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int failed = pthread_create(&interrupt->thread, NULL, watch, interrupt);
    if (failed != 0) {
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        free(interrupt);
        return error_errno(err, failed, "the thread that waits for signals");
    }
    *out = interrupt;
    return STATUS_OK;
}

int interrupt_stop(struct interrupt *interrupt)
{
    if (interrupt == NULL)
        return 0;
    pthread_kill(interrupt->thread, STOP_SIGNAL);
    pthread_join(interrupt->thread, NULL);
    int number = interrupt->signal;
    free(interrupt);
    return number;
}
