/* generate.h - a generation from its body to its last byte, in the three forms of an answer.
 *
 * A large body is decoded on libuv's pool; then the job is queued, and from there on it belongs to
 * the registry (server/jobs.h), of which the stream is a reader with a cursor. While it waits and
 * runs, the connection is suspended and its socket watched for the client's going; then the job is
 * cancelled, and the stream outlives its request until the job is final, for its log line. Text
 * goes from the job into libmicrohttpd's buffer: a token costs no heap call. Loop thread.
 */
#pragma once

#include "server/http/request.h"

extern const struct handler generate_handler; /* POST /generate */

/* Breaks the silence of waiting streams, cuts those whose client takes nothing. Returns whether the
 * loop must be driven. */
bool streams_beat(struct service *service, uint64_t now_ms);
/* The machine's limits are there: those that waited for them go on. */
void streams_measured(struct service *service);
/* The model's fingerprint is known, or never will be: likewise. */
void streams_known(struct service *service);
/* Ends every stream as if its client had left. The caller drives the loop. */
void streams_cut(struct service *service);
