/* patience.h - how often something is tried again over the network, and how long is waited between.
 *
 * Waits double from half a second; a server that says how long gets that long, up to a minute. What
 * makes progress starts counting anew. One thread; looks at the flag of Ctrl-C while it waits.
 */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

struct web_answer;

struct patience {
    unsigned tries;                               /* in a row without progress */
    const atomic_bool *cancel;                    /* NULL: never */
    void (*say)(void *ctx, const char *sentence); /* before each wait; NULL: silent */
    void *ctx;
    unsigned n_failed; /* in a row; zero it to begin */
};

/* Whether an answer's status may be another one later. */
bool patience_is_passing(long code);

/* After a failure that may pass: says so, waits, and returns STATUS_OK to try again. No try left:
 * the failure's own status, its sentence with how often. Cancelled: STATUS_CANCELLED. */
enum status patience_wait(struct patience *patience, const struct web_answer *answer,
                          struct error *err);
/* Sleeps, but for the flag: false when it is set. */
bool patience_sleep(const struct patience *patience, unsigned ms);
