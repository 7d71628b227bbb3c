/* reply.h - results and errors to bytes: JSON bodies and server-sent events.
 *
 * Writers fill the caller's memory; nothing is allocated, per token or at all. Pure, but for a look
 * at the clock when a profile says how long writing took; loop thread.
 * Knows nothing of sockets.
 */
#pragma once

#include "api/errors.h"
#include "api/json/json.h"
#include "base/error.h"
#include "engine/job.h"
#include "profile/report.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {"error":{"code","type","message","param"}}, NUL-terminated into out; param NULL or "": null. The
 * message is cut where it does not fit: still valid JSON when room >= 1024. Returns its length. */
size_t reply_error(const struct api_error *what, const char *message, const char *param, char *out,
                   size_t room);

struct reply_times { /* ms, with decimals; see the API's reference */
    double queue, prefill, decode, first_token, tokens_per_second;
};
void reply_times_of(const struct job *job, struct reply_times *out); /* of a finished job */

struct reply_profile { /* what a request's profile says besides its steps */
    const struct model *model;
    enum kv_type kv_type;
    struct report_limits limits; /* of a worker while no other works; zeroed: not measured */
    uint64_t measuring_ns;       /* that the request waited for them */
    uint64_t tokenize_ns;
    uint64_t write_ns;       /* what went out before took */
    uint64_t write_begin_ns; /* CLOCK_MONOTONIC: of the writing under way */
};

struct reply_context { /* what an answer says besides its job; borrowed */
    const char *id;    /* the request's, [A-Za-z0-9._-] */
    const char *model;
    uint64_t created; /* Unix seconds */
    const struct tokenizer *tokenizer;
    const struct reply_profile *profile; /* of a job that has one */
};

/* Bytes that the JSON answer of a finished job takes at most, and the answer itself (0: no room).
 * For FINISH_STOP, FINISH_LENGTH and FINISH_DEADLINE; the others are errors: errors_of_job. */
size_t reply_generate_bound(const struct job *job, const struct reply_context *ctx);
size_t reply_generate(const struct job *job, const struct reply_context *ctx, char *out,
                      size_t room);

/* A stream's position in its job. Zero it to begin. */
struct reply_cursor {
    uint32_t n_tokens; /* sent */
    uint32_t n_text;   /* bytes sent */
    bool done;         /* the last event is written: nothing more comes */
};

/* The least room with which reply_event and reply_last_event always advance; n_logprobs is the
 * job's. About 4 KiB, and 10 bytes for each byte of the longest piece and each entry of logprobs.
 */
size_t reply_event_min(const struct tokenizer *tokenizer, int n_logprobs);
/* One `data: {...}\n\n` of the tokens that are ready, as many as fit in room. Returns 0 when none
 * is ready. */
size_t reply_event(const struct job *job, const struct reply_context *ctx,
                   struct reply_cursor *cursor, char *out, size_t room);
/* Of a finished job: what is left, finish_reason, seed, usage, timings, and `data: [DONE]`; or the
 * error. Tokens that do not fit with it go out in ordinary events first: call until cursor->done.
 */
size_t reply_last_event(const struct job *job, const struct reply_context *ctx,
                        struct reply_cursor *cursor, char *out, size_t room);
/* The plain form: the text that is ready, as it is, cut between characters when room is short (room
 * >= 4). Returns 0 when none is ready. */
size_t reply_text(const struct job *job, struct reply_cursor *cursor, char *out, size_t room);

/* {"tokens":[...]} and {"text","content"}: the bound, and the body (0: no room). */
size_t reply_tokenize_bound(size_t n_ids);
size_t reply_tokenize(const int32_t *ids, size_t n_ids, char *out, size_t room);
size_t reply_detokenize_bound(size_t n_text);
size_t reply_detokenize(const char *text, size_t n_text, char *out, size_t room);

const char *reply_finish_reason(enum finish_reason reason); /* "stop", "length", "deadline", ... */
