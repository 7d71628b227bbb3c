/* accept.h - takes clients from the listening sockets, as many as there is room for.
 *
 * libmicrohttpd listens on one socket at most, so that the service accepts by itself, on any
 * number. Without room, or without descriptors, clients wait in the sockets' queues and nothing
 * spins. Loop thread. Knows nothing of HTTP.
 */
#pragma once

#include "server/http/listen.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

struct accept_events {
    bool (*has_room)(void *ctx); /* for one more; else acceptor_resume says when */
    void (*take)(void *ctx, int fd, const struct sockaddr *address, socklen_t n); /* owns fd */
    void (*taken)(void *ctx); /* after one or more */
};

struct acceptor { /* zeroed first */
    uv_poll_t polls[LISTENER_SOCKETS_MAX];
    size_t n;
    uv_timer_t retry;
    const struct accept_events *events;
    void *ctx;
    bool paused; /* clients wait in the sockets' queues */
    bool held;   /* until acceptor_release, whatever room there is */
};

/* From now on clients are taken. The sockets stay the listener's; the loop's end closes the
 * handles. */
enum status acceptor_start(struct acceptor *acceptor, const struct listener *listener,
                           uv_loop_t *loop, const struct accept_events *events, void *ctx,
                           struct error *err);
/* A connection has ended: there may be room again. */
void acceptor_resume(struct acceptor *acceptor);

/* Clients wait in the sockets' queues from now on, for acceptor_release or for another process that
 * has the same sockets. */
void acceptor_hold(struct acceptor *acceptor);
void acceptor_release(struct acceptor *acceptor);
