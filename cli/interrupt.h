/* interrupt.h - Ctrl-C and SIGTERM for a verb that must end cleanly: a thread that waits for them.
 *
 * interrupt_start blocks both signals, so it must run before any other thread is made. The first
 * signal calls back, a second one ends the process at once; between signals the thread can tick.
 * The callbacks run on that thread.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct interrupt;

struct interrupt_calls {
    /* True: the work was told to end and will. False: there is nothing to end yet, so the process
     * ends here. */
    bool (*on_signal)(void *ctx);
    void (*on_tick)(void *ctx); /* ten times a second; NULL: none */
    void *ctx;
};

enum status interrupt_start(struct interrupt **out, const struct interrupt_calls *calls,
                            struct error *err);
/* Ends the thread. Returns the signal that came, 0: none. Takes NULL. */
int interrupt_stop(struct interrupt *interrupt);
