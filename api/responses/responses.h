/* responses.h - OpenAI's Responses API, without a memory: rows of the dialect table.
 *
 * POST /v1/responses: every request brings its whole conversation, and nothing is kept. Unknown
 * fields are let be; a known one that cannot be honoured is refused by name. The decoder on any
 * thread, writers on the loop thread. Knows nothing of sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"

extern const struct dialect openai_responses;
/* POST /v1/responses/input_tokens: the same body; it is counted and never submitted. */
extern const struct dialect openai_responses_count;
extern const struct field_table openai_response_fields;
