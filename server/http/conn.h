/* conn.h - one client's connection, from accept to close: its phase, and how it ends.
 *
 * Below requests and handlers, which cut or end their connection through it; http.c opens and
 * closes them. Loop thread.
 */
#pragma once

#include "server/http/guard.h"
#include "server/http/peer.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct http;
struct request;
struct service;

enum conn_phase {
    CONN_WAITING,   /* for a request */
    CONN_READING,   /* a request */
    CONN_ANSWERING, /* it */
    CONN_LEAVING,   /* answered past the library, which lets go of it at its next look */
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
    size_t n_dropped;    /* bytes, after the last message that is taken */
    int n_unsent;        /* bytes of its answer at the last look */
    uint64_t moved_ms;   /* loop time: when that last changed */
};

/* Connections that are not being closed. */
size_t conn_n_live(const struct http *http);
/* Whether a connection is beyond the limit, so that only a probe is answered. */
bool conn_is_over(const struct conn *conn);
/* Cuts a connection: libmicrohttpd then sees its end and does the rest. The caller drives the loop.
 */
void conn_cut(struct conn *conn);
void conn_enter(struct conn *conn, enum conn_phase phase);
/* Sends an answer of the caller's making past the library, which has nothing under way, and ends
 * the connection. */
void conn_answer_last(struct conn *conn, const char *bytes, size_t n);
/* Its next answer ends with the connection (a stream for HTTP/1.0): the library closes such a
 * connection from inside its reader, and then forgets it while an older one lives, unless it has a
 * timeout of its own, for it looks at all those in every run. */
void conn_ends(struct conn *conn);
