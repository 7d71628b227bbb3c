/* thread.h - starts and ends of threads that stand beside the service's own work. Any thread. */
#pragma once

#include <pthread.h>

/* Starts a thread that gets no signals: they are for the one that expects them. 0, or errno's
 * number. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
/* Waits for its end, at most so many ms; then lets it go. 0: it has ended. */
int thread_join_within(pthread_t thread, unsigned ms);
