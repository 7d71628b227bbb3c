/* reply.h - results and errors to bytes: JSON bodies, server-sent events, and the one place where a status becomes HTTP.
 *
 * Writers fill the caller's memory; nothing is allocated per token. Pure; loop thread. Knows nothing of sockets.
 */
#pragma once

#include "api/json.h"
#include "base/error.h"
#include "engine/job.h"
#include "text/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* What an error looks like from outside. */
struct api_error {
    unsigned http;    /* 400 ... */
    const char *code; /* "invalid_value", "context_length_exceeded", "queue_full", ... static */
    const char *type; /* "invalid_request_error", "overloaded_error", "server_error", ... static */
};
struct api_error reply_status(enum status status, const struct error *err);

/* {"error":{"code","type","message","param"}}, NUL-terminated into out (cut to fit, still valid JSON when room >= 1024). */
size_t reply_error(const struct api_error *what, const char *message, const char *param, char *out, size_t room);

struct reply_times { /* ms, with decimals; see the API's reference */
    double queue, prefill, decode, first_token, tokens_per_second;
};
void reply_times_of(const struct job *job, struct reply_times *out);

struct reply_context { /* what an answer says besides its job */
    const char *id;    /* the request's */
    const char *model;
    uint64_t created;  /* Unix seconds */
    const struct tokenizer *tokenizer;
};

/* Bytes that the whole JSON answer of a finished job may take at most, and the answer itself. */
size_t reply_generate_bound(const struct job *job, const struct reply_context *ctx);
size_t reply_generate(const struct job *job, const struct reply_context *ctx, char *out, size_t room);

/* A stream's position in its job. Zero it to begin. */
struct reply_cursor {
    uint32_t n_tokens; /* sent */
    uint32_t n_text;   /* bytes sent */
};

/* Bytes the next event may take (for tokens [cursor.n_tokens, n_ready)); several small events may be written instead of one
 * when room is short, but always at least one token's once room >= reply_event_min(). */
size_t reply_event_min(const struct tokenizer *tokenizer);
/* Writes one `data: {...}\n\n` of every token that is ready, as many as fit, and advances. Returns 0 when none is ready. */
size_t reply_event(const struct job *job, const struct reply_context *ctx, struct reply_cursor *cursor, char *out, size_t room);
/* Of a finished job: the last event (what was held back, finish_reason, usage, timings, or the error) and `data: [DONE]`. */
size_t reply_last_event(const struct job *job, const struct reply_context *ctx, struct reply_cursor *cursor, char *out,
                        size_t room);
/* The plain form: the text that is ready, as it is. */
size_t reply_text(const struct job *job, struct reply_cursor *cursor, char *out, size_t room);

const char *reply_finish_reason(enum finish_reason reason); /* "stop", "length", "deadline", ... */
