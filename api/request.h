/* request.h - bodies of requests to structs and jobs; every refusal happens here, before any header is sent.
 *
 * Pure functions of (bytes, limits, tokenizer): called on the loop thread, or on libuv's pool for large bodies. Unknown,
 * repeated, ill-typed and out-of-range fields are refused by name with the nearest known one. Knows nothing of sockets.
 */
#pragma once

#include "base/error.h"
#include "engine/job.h"
#include "text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_limits {
    size_t n_context; /* positions of a sequence */
    size_t max_prompt_tokens, max_output_tokens; /* 0: what the context allows */
    size_t max_json_depth, max_json_nodes;
};

enum answer_form { ANSWER_JSON, ANSWER_SSE, ANSWER_TEXT };

struct generate_request {
    struct job *job; /* owned by the caller after success; its salt, arrived_ns and owner are still to be set */
    bool stream;     /* the field */
    bool profile;
    bool has_seed;   /* else job->sampling.seed must be drawn by the caller before submitting */
    uint64_t deadline_ms; /* 0: none */
};

/* plain: the body is text/plain and does not begin with '{', so it is the prompt itself. STATUS_INVALID (with param),
 * STATUS_TOO_LARGE (prompt + max_tokens beyond the context: param says which), STATUS_NO_MEMORY. */
enum status request_generate(struct generate_request *out, const char *body, size_t n, bool plain,
                             const struct tokenizer *tokenizer, const struct api_limits *limits, struct error *err);

/* What form the answer has: the stream field wins, else an Accept header that prefers text/event-stream or text/plain to
 * JSON (RFC 9110 quality values; NULL: absent). */
enum answer_form request_form(bool stream, const char *accept);

/* POST /tokenize: *ids is malloc'ed for the caller. POST /detokenize: *text is malloc'ed, valid UTF-8. */
enum status request_tokenize(const char *body, size_t n, const struct tokenizer *tokenizer, const struct api_limits *limits,
                             int32_t **ids, size_t *n_ids, struct error *err);
enum status request_detokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                               const struct api_limits *limits, char **text, size_t *n_text, struct error *err);
