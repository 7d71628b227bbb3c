/* parts.h - what the files of the Responses API share. Inside api/responses alone. */
#pragma once

#include "api/asked/calling.h"
#include "api/asked/tool_list.h"
#include "api/asked/turns.h"
#include "api/json/json.h"
#include "api/json/logprobs.h"
#include "api/responses/responses.h"

/* The instructions (n = 0: none) and the input, a string or items, as OpenAI's messages. */
enum status responses_conversation(struct json_span instructions, struct json_span input,
                                   struct turns *out, struct error *err);

/* The body's tools, and the same in OpenAI's older shape. */
enum status responses_read_tools(struct asking *a, struct tool_list *list, struct error *err);

enum { RESPONSES_EFFORT_MAX = 16 };

struct response_wishes { /* a generation's: what answers repeat of a body, and a stream's state */
    /* as they stood; in the memory after this struct */
    struct json_span instructions, metadata, tools, tool_choice, format;
    bool parallel_calls;
    char effort[RESPONSES_EFFORT_MAX + 1]; /* of reasoning; "": none was named */
    double temperature, top_p;
    uint64_t max_output_tokens; /* 0: none were named */
    uint64_t top_logprobs;
    bool logprobs;                      /* asked for */
    bool tells_timings, tells_progress; /* of a stream: as llama.cpp's server does */

    uint64_t sequence; /* the next event's number */
    size_t n_items;    /* with tools: begun */
    unsigned open;     /* the kind of the one that is (items.h) */
    size_t next_token; /* whose log-probabilities have not been sent */
};
static inline struct response_wishes *responses_wishes(const struct generation *g)
{
    return g->wishes;
}

enum response_status { RESPONSE_RUNNING, RESPONSE_COMPLETED, RESPONSE_INCOMPLETE, RESPONSE_FAILED };
/* The status of a finished job. */
enum response_status responses_status(const struct job *job);

/* A part of the answer: what the model thought, or its text. */
struct response_part {
    const char *item; /* "rs", "msg": what its id begins with */
    bool thought;
    const char *text;  /* borrowed from the job */
    size_t n_text;     /* bytes */
    size_t begin, end; /* tokens whose log-probabilities belong to it */
};
/* r: told apart as far as the job is. */
struct response_part responses_thought(const struct generation *g, const struct reasoning *r);
struct response_part responses_answer(const struct generation *g, const struct reasoning *r);

/* The whole object; r: as above, NULL: without output. */
void responses_put(struct json_writer *w, const struct generation *g, enum response_status status,
                   const struct reasoning *r);
/* An output item; whole: with what it holds. */
void responses_put_item(struct json_writer *w, const struct generation *g,
                        const struct response_part *part, enum response_status status, bool whole);
/* A content part. */
void responses_put_part(struct json_writer *w, const struct generation *g,
                        const struct response_part *part);
/* ,"logprobs":[...] of tokens; an empty list where none were asked for. */
void responses_put_logprobs(struct json_writer *w, const struct generation *g, size_t begin,
                            size_t end);
/* ,"timings":{...} of an event, where the body wants them; finished: the job is. */
void responses_put_timings(struct json_writer *w, const struct generation *g, bool finished);
void responses_put_id(struct json_writer *w, const struct generation *g, const char *prefix);

/* Bytes of the object without output, and what output of so much text and so many tokens adds. */
size_t responses_bound(const struct generation *g);
size_t responses_output_bound(const struct generation *g, size_t n_text, size_t n_tokens);

/* The dialect's writers. */
size_t responses_whole_bound(const struct generation *g);
size_t responses_whole(const struct generation *g, char *out, size_t room);
size_t responses_event_min(const struct generation *g);
size_t responses_event(struct generation *g, char *out, size_t room);
