/* opening.h - where a prompt's opening ends: the system prompt and all else that stands before the
 * first message that is none.
 *
 * A guess from what was rendered, whatever the template: only speed depends on it. Pure functions;
 * any thread.
 */
#pragma once

#include "jinja/value.h"
#include "text/tokenizer/tokenizer.h"

struct chat_opening {                     /* borrowed from the heap */
    const struct jinja_text *system;      /* the last leading system message; NULL: there is none */
    const struct jinja_text *first_other; /* the first message after; NULL: none that is a text */
};

/* Of the conversation as the template gets it: a list of dictionaries. */
struct chat_opening chat_opening_of(struct jinja_heap *heap, struct jinja_value messages);

/* Bytes of the prompt before the first other message's text; 0: it is not found. spans: what came
 * from the request. */
size_t chat_opening_end(const struct chat_opening *opening, const char *text,
                        const struct tokenizer_span *spans, size_t n_spans);
