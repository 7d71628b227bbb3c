/* calls.h - events of responses with tools. Inside api/responses alone. */
#pragma once

#include "api/generation.h"
#include "api/json/json.h"

/* Events of what is ready and was not told yet. False: there is no room for all of it. */
bool responses_write_told(struct json_writer *w, struct generation *g,
                          const struct generation_ready *ready);
/* Bytes with which it goes on. */
size_t responses_call_min(const struct generation *g);
