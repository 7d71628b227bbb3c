/* generate.h - a generation from its body to its last byte, in the three forms of an answer.
 *
 * A large body is decoded on libuv's pool; then the job is queued, and from there on it is the only
 * thing shared with a worker. While it waits and runs, the connection is suspended and its socket
 * watched for the client's going; then the job is cancelled, and the stream outlives its request
 * until the worker has let go of the job. Text goes from the job into libmicrohttpd's buffer: a
 * token costs no heap call. Loop thread.
 */
#pragma once

#include "server/http/request.h"
#include "server/log.h"

struct service;
struct stream;

/* The handler of POST /generate. */
enum MHD_Result stream_handle(struct request *r);

/* The request has ended, answered or not. The stream writes the log line as soon as its numbers are
 * final. */
void stream_detach(struct stream *stream, const struct log_request *line);

/* Jobs may have progressed: resumes every stream that has something to say, then drives the loop
 * once. */
void streams_wake(struct service *service);
/* Breaks the silence of waiting streams, cuts those whose client takes nothing. Returns whether the
 * loop must be driven. */
bool streams_beat(struct service *service, uint64_t now_ms);
/* The machine's limits are there: those that waited for them go on. */
void streams_measured(struct service *service);
/* Ends every stream as if its client had left. The caller drives the loop. */
void streams_cut(struct service *service);
