/* live.h - GET /debug/profile: the report of `profile`, over the next seconds of live traffic.
 *
 * One at a time. The recorders are switched on and off, and the report is put together and written,
 * on libuv's pool; the connection is suspended meanwhile, and its socket watched for the client's
 * going, which ends the recording. A drain ends it early: what was recorded until then is the
 * answer. Loop thread.
 */
#pragma once

#include "server/http/request.h"

struct live;

extern const struct handler live_handler; /* GET /debug/profile */

/* The machine's limits are there, or could not be measured. */
void live_measured(struct service *service);
/* Answers with what has been recorded so far. */
void live_stop(struct service *service);
/* Ends it as if its client had left. The caller drives the loop. */
void live_cut(struct service *service);
