/* values.h - a request's JSON as values of a rendering. In the heap's thread. */
#pragma once

#include "api/json/json.h"
#include "jinja/value.h"

/* Checked JSON; every string and number of it is marked as the request's, numbers keep their
 * spelling. A tool call's arguments that are a string of a JSON object become that object. */
struct jinja_value chat_value(struct jinja_heap *heap, struct json_span json);

/* An array of messages as chat_value() made it, checked, with the arguments of its tool calls read.
 * Fails where it is no array of objects with a role each. */
struct jinja_value chat_messages(struct jinja_heap *heap, struct jinja_value messages);
/* Messages whose content is an empty text (lists: an empty list) where it was null, or was left out
 * of one without tool calls. */
struct jinja_value chat_fill_content(struct jinja_heap *heap, struct jinja_value messages,
                                     bool lists);
/* Messages whose lists of text parts are one string each; or (split) whose strings are lists of one
 * part. */
struct jinja_value chat_join_parts(struct jinja_heap *heap, struct jinja_value messages,
                                   bool split);
/* Tools as chat_value() made them, each function with a description (empty) and parameters (of an
 * object that has none) where the request leaves them out. */
struct jinja_value chat_tools(struct jinja_heap *heap, struct jinja_value tools);
