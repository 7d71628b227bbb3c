/* loop.h - the event loop: libuv drives libmicrohttpd, which watches its sockets with an epoll set
 * of its own.
 *
 * libmicrohttpd is never run from inside one of its callbacks, and always run after a connection
 * was resumed: in external mode nothing else would wake it. Owns the loop thread; loop_wake alone
 * may be called from any thread. Knows nothing of requests.
 */
#pragma once

#include "base/error.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop_events {         /* called on the loop thread, never from inside libmicrohttpd */
    void (*wake)(void *ctx); /* after loop_wake; calls in between are one */
    void (*beat)(void *ctx); /* every LOOP_BEAT_MS while connections exist */
    void (*signal)(void *ctx, int number); /* SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGXCPU */
    void (*settled)(void *ctx);            /* libmicrohttpd has done all it could for now */
    void (*paused)(void *ctx); /* the process did not run for a while; before libmicrohttpd runs */
};

enum { LOOP_BEAT_MS = 250, LOOP_SIGNALS = 5 };

struct loop {
    uv_loop_t uv;
    uv_poll_t epoll; /* libmicrohttpd's set */
    uv_timer_t due;  /* when libmicrohttpd wants to run again */
    uv_timer_t beat;
    uv_async_t wake;
    uv_signal_t signals[LOOP_SIGNALS];
    struct MHD_Daemon *daemon; /* borrowed */
    bool open;                 /* uv is there to be closed */
    bool again; /* set inside a run: something ended, and libmicrohttpd must look once more */
    bool driving;
    bool beating;
    uint64_t seen_ms; /* uv_now at the last look at it */
    uint64_t lost_ms; /* that passed while the process did not run */
    const struct loop_events *events;
    void *ctx;
};

/* STATUS_IO when the system has no descriptors left. */
enum status loop_init(struct loop *loop, const struct loop_events *events, void *ctx,
                      struct error *err);
/* Takes up the daemon's sockets and runs it for the first time. */
enum status loop_attach(struct loop *loop, struct MHD_Daemon *daemon, struct error *err);

void loop_run(struct loop *loop); /* until loop_stop */
void loop_stop(struct loop *loop);

/* Runs libmicrohttpd until it has nothing to do at once. After every resume, shutdown or change
 * that it cannot see. */
void loop_drive(struct loop *loop);
/* From inside a libmicrohttpd callback: a connection or request has ended. A closed connection's
 * place is taken up, and a stream that ended for an HTTP/1.0 client is reaped, in the next run
 * only. */
void loop_again(struct loop *loop);

void loop_beat(struct loop *loop, bool on);
void loop_wake(struct loop *loop); /* any thread */

/* After the daemon has stopped: closes every handle. Handles of others on loop->uv must have been
 * closed (uv_close) before. */
void loop_close(struct loop *loop);

/* Notices a pause of the process; before anything is timed that libmicrohttpd has not begun. */
void loop_look_at_clock(struct loop *loop);

/* Loop time: that of the machine, less what passed while the process was stopped or frozen. */
static inline uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv) - loop->lost_ms;
}
