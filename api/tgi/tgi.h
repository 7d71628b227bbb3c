/* tgi.h - the API of Hugging Face's Text Generation Inference, as rows of the dialect table.
 *
 * A body is {"inputs", "parameters": {...}}. In a stream an event carries one token, and the last
 * one the whole text too. Unknown parameters are let be; a known one that cannot be honoured is
 * refused by name. Decoders on any thread, writers on the loop thread; errors as in
 * api/native/native.h. Knows nothing of sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"

/* POST /generate of such a body; POST /generate_stream: events whatever the body says; POST /: a
 * list of one answer. */
extern const struct dialect tgi_generate, tgi_stream, tgi_root;
extern const struct field_table tgi_fields;

/* Whether a body of POST /generate speaks this dialect: it has inputs, and no prompt. */
bool tgi_speaks(const char *body, size_t n, const struct api_limits *limits);
