/* supervisor.h - tells the process's supervisor how it is: ready, busy, stopping, alive.
 *
 * The protocol of sd_notify(3): one datagram of VARIABLE=value lines to the socket that
 * NOTIFY_SOCKET names; without that variable nothing is done. It is documented as stable, and
 * small: this file is all of it, so that the program needs no library of systemd's. A message that
 * finds the supervisor's queue full waits for the next beat; the loop never does. Loop thread.
 * Knows nothing of the engine or HTTP.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>
#include <uv.h>

enum { SUPERVISOR_TEXT_MAX = 256, SUPERVISOR_BEAT_MS = 5000 };

struct supervisor { /* zeroed: there is none */
    bool open;
    int fd;
    struct sockaddr_un address;
    socklen_t n_address;
    uint64_t watchdog_ms;              /* it expects a sign of life this often; 0: never */
    char waiting[SUPERVISOR_TEXT_MAX]; /* could not be sent yet; "": none */
    char status[SUPERVISOR_TEXT_MAX];  /* the last that was sent */
    uv_timer_t timer;
    void (*beat)(void *ctx);
    void *ctx;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_PID and WATCHDOG_USEC. From here on beat is called on the loop,
 * every SUPERVISOR_BEAT_MS, or twice in the watchdog's time where that is shorter. */
void supervisor_init(struct supervisor *supervisor, uv_loop_t *loop, void (*beat)(void *ctx),
                     void *ctx);
void supervisor_close(struct supervisor *supervisor); /* its timer is closed with the loop */

/* Each with one sentence for `systemctl status`. */
void supervisor_ready(struct supervisor *supervisor, const char *status);
void supervisor_reloading(struct supervisor *supervisor);
/* The end may take so long from now on. */
void supervisor_stopping(struct supervisor *supervisor, const char *status, uint64_t most_ms);

/* From each beat: what the service does, sent where it has changed; alive: also the sign of life
 * that the watchdog waits for; starting: also that the start needs more time. */
void supervisor_beat(struct supervisor *supervisor, const char *status, bool alive, bool starting);
