/* http.h - connections: accepting, closing who is late, and handing requests to request.c.
 *
 * The one place that configures libmicrohttpd. Clients that are slow or silent are closed by a
 * sweep with absolute deadlines, since the library's own timeout starts again with every byte. Loop
 * thread.
 */
#pragma once

#include "base/error.h"
#include "server/http/accept.h"
#include "server/http/conn.h"
#include "server/http/lingering.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct service;

struct http {
    struct MHD_Daemon *daemon;
    struct acceptor acceptor;
    struct lingering lingering;
    size_t n_sockets, capacity; /* that there are, those that linger too, and may be */
    struct conn *conns;
    size_t n_conns;
    size_t n_cut;            /* of them */
    size_t limit;            /* connections that are served */
    size_t reserve;          /* for probes, beyond */
    bool full;               /* the limit was reached, and is not left yet */
    TAILQ_HEAD(, conn) idle; /* without a complete head; the oldest first */
    size_t body_bytes;       /* of all bodies together, until they are decoded */
    unsigned timeout;        /* s: the library's own, after the sweep's deadlines */
    size_t n_answering;      /* requests whose handler has been called and that have not ended */
    size_t n_tasks;          /* handlers' tasks, those included whose request has ended */
};

/* Starts the daemon, and takes clients from the service's listener as soon as the loop runs. */
enum status http_start(struct http *http, struct service *service, struct error *err);
/* Closes every connection and stops. No request may be suspended any more. */
void http_stop(struct http *http);

/* The sweep: closes who is late, and looks for who has gone unseen. Returns whether the loop must
 * be driven. */
bool http_beat(struct http *http, uint64_t now_ms);

/* The process did not run for a while: the library's own timeouts begin anew. */
void http_paused(struct http *http);
