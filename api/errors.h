/* errors.h - what a failure is in HTTP: the one place where a status becomes a number and a code.
 *
 * Each dialect writes them in its own shape. Pure; any thread. Knows nothing of sockets.
 */
#pragma once

#include "base/error.h"
#include "engine/job.h"

/* An error as clients see it. */
struct api_error {
    unsigned http;    /* 400 ... */
    const char *code; /* "invalid_value", "context_length_exceeded", "queue_full", ... static */
    const char *type; /* "invalid_request_error", "overloaded_error", "server_error", ... static */
    const char *id;   /* the request's, borrowed; NULL: not told */
    unsigned long long have, most; /* context_length_exceeded: as in struct error; else 0 */
};
struct api_error errors_of_status(enum status status);

/* The service's own refusals, before or beside any request's decoding. */
enum refusal {
    REFUSAL_BAD_REQUEST, /* 400: framing, headers */
    REFUSAL_NO_KEY,      /* 401 */
    REFUSAL_ORIGIN,      /* 403 */
    REFUSAL_REMOTE,      /* 403: for clients on this machine, where there are no keys */
    REFUSAL_NOT_FOUND,   /* 404 */
    REFUSAL_MODEL,       /* 404: another model than the one served */
    REFUSAL_METHOD,      /* 405, with Allow */
    REFUSAL_FINGERPRINT, /* 409: another model, or another arithmetic, than is demanded */
    REFUSAL_NO_LENGTH,   /* 411 */
    REFUSAL_BODY,        /* 413 */
    REFUSAL_ENCODING,    /* 415: a Content-Encoding */
    REFUSAL_EXPECTATION, /* 417 */
    REFUSAL_QUEUE_FULL,  /* 429, with Retry-After */
    REFUSAL_TOO_LATE,    /* 429, with Retry-After */
    REFUSAL_PROFILING,   /* 429, with Retry-After: a profile is being made */
    REFUSAL_HEADERS,     /* 431 */
    REFUSAL_INTERNAL,    /* 500 */
    REFUSAL_LOADING,     /* 503, with Retry-After */
    REFUSAL_DRAINING,    /* 503, with Retry-After */
    REFUSAL_CONNECTIONS, /* 503: no place for one more */
    REFUSAL_BODY_MEMORY, /* 503, with Retry-After: the bodies under way take all there is */
    REFUSAL_VERSION,     /* 505 */
    REFUSAL_COUNT
};
/* Why a model that makes vectors refuses to write. */
extern const char errors_writes_nothing[];

struct api_error errors_of_refusal(enum refusal refusal);

/* A job that ended with FINISH_ERROR or FINISH_CANCELLED; its text is job->error.text. */
struct api_error errors_of_job(const struct job *job);
