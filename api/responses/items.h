/* items.h - output items of responses with tools. Inside api/responses alone. */
#pragma once

#include "api/responses/parts.h"

enum response_item { ITEM_NONE, ITEM_THOUGHT, ITEM_TEXT, ITEM_CALL };

struct response_place { /* an item, as far as it is told */
    enum response_item kind;
    size_t i;                /* of the output's items */
    size_t call;             /* of the calls; and its tool */
    const struct tool *tool; /* NULL: it is no call */
    size_t n_text;           /* bytes of the job's text that it is read from */
    bool finished;           /* no more will come of that */
    bool whole;              /* with its text */
};

enum response_item responses_item_of(const struct tool_event *e);
/* Whether an event begins an item; open: the kind of the one before. */
bool responses_item_begins(const struct tool_event *e, enum response_item open);
void responses_put_item_id(struct json_writer *w, const struct generation *g,
                           enum response_item kind, size_t i);
/* The text, or arguments, of item i as the inside of a string. */
void responses_put_told(struct json_writer *w, const struct generation *g, size_t i, size_t n_text,
                        bool finished);
/* ,"logprobs":[...] of an item that is text; an empty list where none were asked for. */
void responses_put_told_logprobs(struct json_writer *w, const struct generation *g,
                                 const struct response_place *p);
/* The item, and the content part of one that is no call. */
void responses_put_kind(struct json_writer *w, const struct generation *g,
                        const struct response_place *p, const char *status);
void responses_put_content(struct json_writer *w, const struct generation *g,
                           const struct response_place *p);
/* All items of a finished answer; status: of one that was cut. And the bytes of them at most. */
void responses_put_items(struct json_writer *w, const struct generation *g, const char *status);
size_t responses_items_bound(const struct generation *g, size_t n_text, bool finished);
