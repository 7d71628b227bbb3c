/* parts.h - what whole answers, events and the models' facts of Ollama's API write alike. Inside
 * api/ollama alone. */
#pragma once

#include "api/json/error_body.h"
#include "api/json/json.h"
#include "api/ollama/ollama.h"

enum { OLLAMA_TIME_ROOM = 32 };
/* "2026-01-31T23:59:59Z" */
void ollama_time(uint64_t unix_seconds, char out[OLLAMA_TIME_ROOM]);

/* {"model":...,"created_at":..., after the brace. */
void ollama_put_head(struct json_writer *w, const struct generation *g);
size_t ollama_head_bound(const struct generation *g);
/* ,"message":{...} or ,"response":...: the reasoning and the answer between two ends each. */
struct ollama_text {
    const char *bytes; /* NULL where there is none */
    size_t thought[2], answer[2];
};
void ollama_put_text(struct json_writer *w, const struct generation *g,
                     const struct ollama_text *text);
/* ,"logprobs":[...] of tokens [begin, end), where they were asked for. */
void ollama_put_logprobs(struct json_writer *w, const struct generation *g, const struct job *job,
                         size_t begin, size_t end);
/* Bytes that one token adds at most. */
size_t ollama_token_bound(const struct generation *g, const struct job *job);
/* ,"done":true, why, counts and durations of a finished job; at most OLLAMA_ENDING_BOUND bytes. */
enum { OLLAMA_ENDING_BOUND = 384 };
void ollama_put_ending(struct json_writer *w, const struct generation *g, const struct job *job);
void ollama_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                      size_t n_message, const char *param);

/* --- answers of bodies with tools (calls.c) --- */

/* Lines of what is ready and was not told yet. False: there is no room for all of it, or a call has
 * not come to its end. */
bool ollama_write_told(struct json_writer *w, struct generation *g,
                       const struct generation_ready *ready);
size_t ollama_call_min(const struct generation *g); /* more that a line may need */
/* ,"message":{...} of a finished answer, and the bytes of it at most. */
void ollama_put_told(struct json_writer *w, const struct generation *g);
size_t ollama_told_bound(const struct generation *g);

/* The dialect's functions. */
size_t ollama_whole_bound(const struct generation *g);
size_t ollama_whole(const struct generation *g, char *out, size_t room);
size_t ollama_event_min(const struct generation *g);
size_t ollama_event(struct generation *g, char *out, size_t room);
