/* thread.c - pthreads with signals blocked, joined within a time. No state; any thread. */
#include "base/thread.h"

#include <signal.h>
#include <stdint.h>
#include <time.h>

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

int thread_join_within(pthread_t thread, unsigned ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    uint64_t ns = (uint64_t)end.tv_nsec + ms * UINT64_C(1000000);
    end.tv_sec += (time_t)(ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    int number = pthread_timedjoin_np(thread, NULL, &end);
    if (number != 0)
        pthread_detach(thread);
    return number;
}
