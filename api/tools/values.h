/* values.h - the arguments of a call, from a model's own syntax to JSON, as they grow. Inside
 * api/tools alone; reader.h's rules. */
#pragma once

#include "api/tools/reader.h"

enum values_step {
    VALUES_EVENT, /* *out has bytes, or the queue has */
    VALUES_DONE,  /* complete; r->at is after them */
    VALUES_MORE,
    VALUES_BAD, /* none of the syntax: they end here */
};

void values_begin(struct tool_reader *r);
/* Moves r->at on. */
enum values_step values_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                             struct tool_event *out);

/* --- for the syntaxes --- */

/* A text to be told next. Stays in place until it is told. */
void values_queue(struct tool_reader *r, const char *bytes, size_t n);
void values_queue_text(struct tool_reader *r, const char *text); /* NUL-terminated */
/* Tells text[r->at..end). */
enum values_step values_tell(struct tool_reader *r, const char *text, size_t end,
                             struct tool_event *out);
/* Tells some of text[r->at..end), which is not empty, as the inside of a JSON string. */
enum values_step values_escape(struct tool_reader *r, const char *text, size_t end,
                               struct tool_event *out);
/* JSON's word for a value that Python or JSON writes as a word, by its first letter; NULL. */
const char *values_word(char first);

enum values_step python_next(struct tool_reader *r, const char *text, size_t n,
                             struct tool_event *out);
enum values_step quoted_next(struct tool_reader *r, const char *text, size_t n,
                             struct tool_event *out);
