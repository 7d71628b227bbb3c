/* parts.h - what the files of the Messages API share. Inside api/anthropic alone. */
#pragma once

#include "api/anthropic/anthropic.h"
#include "api/asked/calling.h"
#include "api/asked/tool_list.h"
#include "api/asked/turns.h"
#include "api/json/json.h"

struct message_wishes { /* what the answer's writers need of a body; a generation's wishes */
    uint64_t max_tokens;
    size_t n_context;
    bool hides_thoughts; /* thinking.display is "omitted" */

    size_t n_blocks; /* of a stream with tools: begun */
    unsigned block;  /* and the kind of the one that is open */
};

/* The body's system prompt (n = 0: none) and messages as OpenAI's. *continues: the last message is
 * the assistant's, whose answer goes on from there. */
enum status anthropic_conversation(struct json_span system, struct json_span messages,
                                   struct turns *out, bool *continues, struct error *err);

/* The body's tools, and the same in OpenAI's shape. */
enum status anthropic_read_tools(struct asking *a, struct tool_list *list, struct error *err);

/* --- answers of bodies with tools (calls.c) --- */

/* Blocks of what is ready and was not told yet. False: there is no room for all of it. */
bool anthropic_write_told(struct json_writer *w, struct generation *g,
                          const struct generation_ready *ready);
size_t anthropic_call_min(const struct generation *g); /* more that an event may need */
/* The blocks of a finished answer, with commas between, and the bytes of them at most. */
void anthropic_put_told(struct json_writer *w, const struct generation *g);
size_t anthropic_told_bound(const struct generation *g);

/* "end_turn", ... of a finished job. */
const char *anthropic_stop_reason(const struct generation *g);
/* "stop_reason":...,"stop_sequence":... */
void anthropic_put_stop(struct json_writer *w, const struct generation *g);
enum { ANTHROPIC_USAGE_BOUND = 384 };
/* ,"usage":{...} of a finished generation. */
void anthropic_put_usage(struct json_writer *w, const struct generation *g);
/* {"id":...,"type":"message","role":"assistant","model":... left open. */
void anthropic_put_head(struct json_writer *w, const struct generation *g);
size_t anthropic_head_bound(const struct generation *g);
/* A signature lets clients send a thinking block back; quoted. */
void anthropic_put_signature(struct json_writer *w, const struct generation *g);
/* Whether an answer without thoughts or text has a text block all the same. */
bool anthropic_empty_block(const struct generation *g);

/* {"type":"error","error":{"type","message","details"},"request_id"} */
void anthropic_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                         size_t n_message, const char *param);

/* The dialect's writers. */
size_t anthropic_whole_bound(const struct generation *g);
size_t anthropic_whole(const struct generation *g, char *out, size_t room);
size_t anthropic_event_min(const struct generation *g);
size_t anthropic_event(struct generation *g, char *out, size_t room);
