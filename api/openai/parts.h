/* parts.h - what whole answers and events of OpenAI's API write alike. Inside api/openai alone. */
#pragma once

#include "api/json/error_body.h"
#include "api/json/json.h"
#include "api/openai/openai.h"

/* "id":...,"object":OBJECT,"created":...,"model":...,"system_fingerprint":... after the brace. */
void openai_put_head(struct json_writer *w, const struct generation *g, const char *object);
size_t openai_head_bound(const struct generation *g);
/* The name of a finished choice's ending, all of which has been told. */
const char *openai_finish(const struct generation *g, const struct choice *choice);
/* ,"usage":{...} of finished jobs; at most OPENAI_USAGE_BOUND bytes. */
enum { OPENAI_USAGE_BOUND = 320 };
void openai_put_usage(struct json_writer *w, const struct generation *g);

/* ,"logprobs":... of tokens [begin, end), in the shape of chats or of completions, where the echoed
 * prompt's come first; null where none were asked for. */
void openai_put_logprobs(struct json_writer *w, const struct generation *g,
                         const struct choice *choice, size_t begin, size_t end);
/* Bytes that one token, and an echoed prompt, add at most. */
size_t openai_token_bound(const struct generation *g, const struct job *job);
size_t openai_echo_bound(const struct generation *g, const struct choice *choice);

/* The additions of another server's row, or nothing; as struct openai_more says. */
void openai_put_more(struct json_writer *w, const struct generation *g, size_t i,
                     const struct generation_mark *to);
size_t openai_more_bound(const struct generation *g);

/* --- chats with tools (calls.c) --- */

/* ,"message":{...} of a finished choice, and the bytes of it at most. */
void openai_put_told(struct json_writer *w, const struct generation *g, size_t i);
size_t openai_told_bound(const struct generation *g, const struct choice *choice);
/* Chunks of what is ready and was not told yet. False: there is no room for all of it. */
bool openai_write_told(struct json_writer *w, struct generation *g, size_t i,
                       const struct generation_ready *ready);
/* Bytes that a chunk with the least of it needs. */
size_t openai_call_min(const struct generation *g);

/* --- chunks --- */

/* Up to what differs between chunks of a choice; then its ending, NULL: none; then the chunk's. */
void openai_open_chunk(struct json_writer *w, const struct generation *g);
void openai_open_choice(struct json_writer *w, const struct generation *g, size_t i);
void openai_put_finish(struct json_writer *w, const struct generation *g, const char *finish);
