/* request.h - bodies of requests to structs and jobs; every refusal happens here, before any header
 * is sent.
 *
 * Pure functions of (bytes, limits, tokenizer): called on the loop thread, or on libuv's pool for
 * large bodies. Unknown, repeated, ill-typed and out-of-range fields are refused by name with the
 * nearest known one. Knows nothing of sockets.
 *
 * Every decoder returns STATUS_FORMAT (no JSON), STATUS_INVALID and STATUS_UNSUPPORTED (a field:
 * param names it), STATUS_CONTEXT (param is prompt or max_tokens), STATUS_TOO_LARGE (more values
 * than the limit), STATUS_NO_MEMORY: errors_of_status knows what each is in HTTP.
 */
#pragma once

#include "api/accept.h"
#include "base/error.h"
#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_TOKENS_DEFAULT = 128 }; /* when the body names none and the context leaves as many */

struct api_limits {
    size_t n_context;                            /* positions of a sequence */
    size_t max_prompt_tokens, max_output_tokens; /* 0: what the context allows */
    size_t max_json_depth, max_json_nodes;
};

struct generate_request {
    struct job *job; /* owned by the caller after success; its salt, arrived_ns, deadline_ns and
                      * owner are still to be set */
    bool stream;     /* the field */
    bool profile;    /* the field; true: the job has a profile */
    bool has_seed;   /* else job->sampling.seed must be drawn by the caller before submitting */
    uint64_t deadline_ms; /* after arrival; 0: none */
    uint64_t tokenize_ns; /* what turning the prompt into ids took, or reading its ids */
};

/* plain: the Content-Type is text/plain; a body that then does not begin with '{' is the prompt
 * itself. */
enum status request_generate(struct generate_request *out, const char *body, size_t n, bool plain,
                             const struct tokenizer *tokenizer, const struct api_limits *limits,
                             struct error *err);

/* POST /tokenize: *ids is malloc'ed for the caller. POST /detokenize: *text is malloc'ed, valid
 * UTF-8, not NUL-terminated (a byte of it may be NUL). */
enum status request_tokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                             const struct api_limits *limits, int32_t **ids, size_t *n_ids,
                             struct error *err);
enum status request_detokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                               const struct api_limits *limits, char **text, size_t *n_text,
                               struct error *err);
