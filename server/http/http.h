/* http.h - connections: accepting, closing who is late, and handing requests to request.c.
 *
 * The one place that configures libmicrohttpd. Clients that are slow or silent are closed by a
 * sweep with absolute deadlines, since the library's own timeout starts again with every byte. Loop
 * thread.
 */
#pragma once

#include "base/error.h"
#include "server/http/accept.h"
#include "server/http/guard.h"
#include "server/http/peer.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct service;
struct request;

enum conn_phase {
    CONN_WAITING,   /* for a request */
    CONN_READING,   /* a request */
    CONN_ANSWERING, /* it */
    CONN_LEAVING,   /* refused past the library: what still comes is dropped, until its end */
};

struct conn { /* one client's connection, from accept to close */
    struct conn *next, *prev;
    struct service *service;
    struct MHD_Connection *mhd;
    int fd;
    enum conn_phase phase;
    uint64_t since_ms; /* when the phase began, loop time */
    bool fresh;        /* no request yet: the first may take no longer than any */
    bool cut;          /* it is being closed */
    bool ending;       /* conn_ends was called */
    bool reserve;      /* one more than the limit: only a probe is answered */
    bool peek;         /* the client's end may have been read with its request, unseen: look once */
    struct request *request;   /* NULL: none whose head is complete is under way */
    TAILQ_ENTRY(conn) in_idle; /* while there is none */
    struct peer client;        /* the socket's other end */
    struct guard guard;
    uint64_t n_requests; /* that have ended */
    size_t n_dropped;    /* bytes, while it leaves */
    int n_unsent;        /* bytes of its answer at the last look */
    uint64_t moved_ms;   /* loop time: when that last changed */
};

struct http {
    struct MHD_Daemon *daemon;
    struct acceptor acceptor;
    size_t n_sockets, capacity; /* that the daemon has, and may have */
    struct conn *conns;
    size_t n_conns;
    size_t n_cut;            /* of them */
    size_t limit;            /* connections that are served */
    size_t reserve;          /* for probes, beyond */
    bool full;               /* the limit was reached, and is not left yet */
    TAILQ_HEAD(, conn) idle; /* without a complete head; the oldest first */
    size_t body_bytes;       /* of all bodies together, until they are decoded */
    unsigned timeout;        /* s: the library's own, behind the sweep's deadlines */
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

/* Whether a connection is beyond the limit, so that only a probe is answered. */
bool conn_is_over(const struct conn *conn);
/* Its request's head is complete. */
void conn_request_begun(struct conn *conn, struct request *r);
/* Cuts a connection: libmicrohttpd then sees its end and does the rest. The caller drives the loop.
 */
void conn_cut(struct conn *conn);
void conn_enter(struct conn *conn, enum conn_phase phase);
/* A request has ended, and the connection with it or not. */
void conn_request_over(struct conn *conn);
/* Sends an answer of the caller's making past the library, which has nothing under way, and ends
 * the connection: what the client still sends is read and dropped for a while, since closing with
 * unread bytes would reset the connection, and the answer might never be read. */
void conn_answer_last(struct conn *conn, const char *bytes, size_t n);
/* Its next answer ends with the connection (a stream for HTTP/1.0): the library closes such a
 * connection from inside its reader, and then forgets it while an older one lives, unless it has a
 * timeout of its own, for it looks at all those in every run. */
void conn_ends(struct conn *conn);
