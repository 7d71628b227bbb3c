/* anthropic.h - Anthropic's Messages API: two rows of the dialect table.
 *
 * POST /v1/messages, and POST /v1/messages/count_tokens, whose generation is never submitted: its
 * whole answer says what the prompt holds. Unknown fields are let be; a known one that cannot be
 * honoured is refused by name. Decoders on any thread, writers on the loop thread. Knows nothing of
 * sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"

extern const struct dialect anthropic_messages, anthropic_count;
extern const struct field_table anthropic_message_fields, anthropic_count_fields;
