/* request.h - one HTTP request: its checks, its body, its answer.
 *
 * Checked when its headers are here; its body is collected within its limit; its route's handler is
 * called when it is whole, and again after each resume, until it has answered. What is refused with
 * its headers is answered after its body has been read and dropped, so that the client sees the
 * answer, unless that would be too much. Lives from its headers to its last byte or its
 * connection's end. Loop thread.
 */
#pragma once

#include "api/errors.h"
#include "base/error.h"
#include "server/http/headers.h"
#include "server/http/peer.h"
#include "server/http/route.h"
#include "server/trace/trace.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct service;
struct task;

struct request {
    struct service *service;
    struct conn *conn;
    struct MHD_Connection *mhd;
    const struct route *route; /* NULL: an unknown path */
    const char *method;        /* static */
    bool old;                  /* HTTP/1.0 */
    struct headers headers;    /* borrowed from the connection's memory */
    char id[REQUEST_ID_MAX + 1];
    struct trace trace; /* zeroed: it is in none */
    struct peer client; /* whom the log names */
    char path[128];     /* of an unknown route, or of one that ends in '*'; cut */
    uint64_t salt;      /* of its API key; 0 without keys */
    uint64_t begun_ns;  /* its headers were complete */
    uint64_t whole_ns;  /* its body was: a generation's arrival; 0: not yet */

    char *body; /* owned, until a task takes it */
    size_t n_body, body_room;
    uint64_t n_received; /* of the body, what was dropped included */

    bool refused; /* with its headers; the answer is still to come */
    bool last;    /* its connection is closed after it */
    bool past;    /* its answer goes past the library */
    struct api_error refusal;
    const struct dialect *dialect; /* of its answer; NULL: the route's */
    struct error why;
    const char *error_code; /* the API's, static; NULL: it was not refused */

    bool suspended; /* libmicrohttpd leaves the connection alone until request_resume */
    bool counted;   /* its status is in the metrics: it is complete but for being sent */
    bool seeded;    /* its answer is drawn with this seed, which X-Seed tells */
    uint64_t seed;
    unsigned status;   /* 0: no answer yet */
    struct task *task; /* its handler's; NULL: none */
};

/* In the order in which libmicrohttpd calls for them. What they return is its: MHD_NO closes the
 * connection. */
struct request *request_begin(struct conn *conn, const char *method);
enum MHD_Result request_admit(struct request *r, const char *url, const char *version);
enum MHD_Result request_take(struct request *r, const char *data, size_t n);
enum MHD_Result request_whole(struct request *r);
void request_end(struct request *r);
void request_drop_body(struct request *r); /* its memory is for others */

/* Refusals of what the guard has not let through to the library: of a request whose body is at
 * fault, and of one that has not come to be. One answer, and the connection ends. */
void request_refuse_unread(struct request *r, enum refusal refusal, const char *why);
void request_refuse_unparsed(struct conn *conn, const char *method, enum refusal refusal,
                             const char *why);

struct answer {
    unsigned status;
    const char *type; /* Content-Type; NULL: none */
    void *body;
    size_t n_body;
    enum {
        BODY_STATIC,
        BODY_COPY,
        BODY_OWNED
    } memory;           /* owned: malloc'ed; freed after sending, and on failure */
    const char *timing; /* Server-Timing besides the total; NULL: none */
    const char *allow;  /* Allow; NULL: none */
    uint64_t retry_ms;  /* Retry-After; 0: none */
};
/* Queues a whole answer and counts it. What a handler returns in the end. */
enum MHD_Result request_answer(struct request *r, const struct answer *answer);
/* An error in the API's form; why's text and param. retry_ms 0: no Retry-After. */
enum MHD_Result request_refuse(struct request *r, struct api_error what, const struct error *why,
                               uint64_t retry_ms);

/* Queues a response of the caller's making (which it takes over) with the headers that every answer
 * has. */
enum MHD_Result request_queue(struct request *r, unsigned status, struct MHD_Response *response,
                              const char *timing);
bool response_header(struct MHD_Response *response, const char *name, const char *value);

/* From a handler or a content reader: nothing can be done now; call again after request_resume. */
void request_suspend(struct request *r);
/* From outside of libmicrohttpd's callbacks; nothing happens when it is not suspended. The caller
 * then drives the loop. */
void request_resume(struct request *r);

/* Counts the request with its final status, once. */
void request_count(struct request *r, unsigned status);

/* Whole seconds, rounded up, at least 1. */
unsigned retry_after_seconds(uint64_t ms);
