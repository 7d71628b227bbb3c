/* signals.h - what a signal means to the service.
 *
 * The loop waits for those in loop.h; what else would end the process and means nothing to it is
 * ignored. Main thread, before others exist; then the loop thread. Knows nothing of the service.
 */
#pragma once

#include <stdbool.h>

struct signals {
    bool has_terminal;    /* a controlling terminal, at start */
    bool outlives_hangup; /* SIGHUP was ignored at start, as by nohup */
};

/* Before any other thread exists: strays are ignored from here on, and what the parent has blocked
 * is let through. */
void signals_init(struct signals *signals);

/* Whether a SIGHUP says that the terminal has closed, instead of asking for a reload. */
bool signals_is_hangup(const struct signals *signals);

const char *signals_name(int number); /* "SIGTERM" */
