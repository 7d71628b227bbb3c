/* parts.h - what the whole answer (whole.c) and the events (events.c) write alike, so that both say
 * the same. Inside api/native alone. */
#pragma once

#include "api/json/error_body.h"
#include "api/json/json.h"
#include "api/native/native.h"

/* ,"tokens":[...] and, when asked for, ,"logprobs":[...] of tokens [begin, end) */
void native_put_tokens(struct json_writer *w, const struct job *job,
                       const struct tokenizer *tokenizer, size_t begin, size_t end);
/* ,"finish_reason" ... ,"timings":{...} of a finished job, and its profile */
void native_put_ending(struct json_writer *w, const struct job *job, const struct generation *g);

/* ,"profile":{...} of a finished job that has one; at most NATIVE_PROFILE_BOUND bytes. */
enum { NATIVE_PROFILE_BOUND = 3072 };
void native_put_profile(struct json_writer *w, const struct job *job,
                        const struct generation_profile *profile);

/* Bytes that one token adds to an event at most: its escaped text, its id, its logprobs. */
size_t native_token_bound(size_t max_piece, int n_logprobs);

struct asking;
/* resume_tokens and fingerprint, once the job is there. */
enum status native_read_resuming(const struct asking *a, struct generation *g, struct error *err);

/* The dialect's functions (api/dialect.h); each job is the generation's only one. */
enum status native_decode(struct generation *g, const struct generation_source *source,
                          struct error *err);
enum status native_resume(struct generation *g, const char *last_event_id, struct error *err);
size_t native_whole_bound(const struct generation *g);
size_t native_whole(const struct generation *g, char *out, size_t room);
size_t native_event_min(const struct generation *g);
size_t native_event(struct generation *g, char *out, size_t room);
