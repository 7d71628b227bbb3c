/* reply_parts.h - what the whole answer (reply.c) and the stream (reply_stream.c) write alike, so
 * that both say the same. Inside api/ alone. */
#pragma once

#include "api/json/json.h"
#include "api/native/reply.h"
#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

#include <stddef.h>

/* {"error":{...}} */
void reply_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                     size_t n_message, const char *param);
/* ,"tokens":[...] and, when asked for, ,"logprobs":[...] of tokens [begin, end) */
void reply_put_tokens(struct json_writer *w, const struct job *job,
                      const struct tokenizer *tokenizer, size_t begin, size_t end);
/* ,"finish_reason" ... ,"timings":{...} of a finished job, and its profile */
void reply_put_ending(struct json_writer *w, const struct job *job,
                      const struct reply_context *ctx);

/* ,"profile":{...} of a finished job that has one; at most REPLY_PROFILE_BOUND bytes. */
enum { REPLY_PROFILE_BOUND = 3072 };
void reply_put_profile(struct json_writer *w, const struct job *job,
                       const struct reply_profile *profile);

/* Bytes that one token adds to an event at most: its escaped text, its id, its logprobs. */
size_t reply_token_bound(size_t max_piece, int n_logprobs);
