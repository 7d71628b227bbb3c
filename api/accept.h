/* accept.h - what an Accept header prefers among the types that an answer could have.
 *
 * RFC 9110, sections 12.4.2 and 12.5.1: quality values, then the header's order. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { ACCEPT_TYPES_MAX = 8 };

/* The place in types (each "kind/name") of the one that the header (NULL: absent) prefers; where
 * nothing decides, or it wants none of them, the first. n_types: 1..ACCEPT_TYPES_MAX */
size_t accept_choose(const char *accept, const char *const *types, size_t n_types);

enum answer_form {
    ANSWER_JSON,
    ANSWER_SSE,
    ANSWER_TEXT,
    ANSWER_LINES, /* of JSON, one an event */
    ANSWER_FORMS
};

/* The answer's form: the stream field wins, else an Accept header that prefers
 * text/event-stream or text/plain to JSON (RFC 9110 quality values, then order; NULL: absent). */
enum answer_form accept_form(bool stream, const char *accept);
