/* reasoning.h - tells a model's reasoning apart from its answer, as its text grows.
 *
 * A template that knows reasoning marks it with a pair of tags ("<think>", "</think>"); some put
 * the first one at the end of the prompt. The tags themselves and the white space beside them
 * belong to neither part, but for white space beyond REASONING_SPACE_MAX bytes: so much, and not
 * more, is held back until it is known what follows. What is told is final: nothing is taken back
 * when more text comes. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { REASONING_SPACE_MAX = 256 };

struct reasoning_tags {
    const char *open, *close; /* static */
    const char *mark;         /* the token that open begins with; NULL: all of open may be one */
};

/* The tags that a template writes; NULL: it knows no reasoning. */
const struct reasoning_tags *reasoning_find(const char *template);

struct reasoning { /* zeroed: no tags, all text is the answer */
    const struct reasoning_tags *tags;
    enum { REASONING_UNKNOWN, REASONING_INSIDE, REASONING_OVER } stage;
    size_t at;                        /* bytes of the text that are told apart */
    size_t thought[2];                /* [begin, end) of the reasoning that is ready */
    size_t answer[2];                 /* [begin, end) of the answer that is ready */
    size_t sent_thought, sent_answer; /* ends of what was sent; the writers' own */
};

/* Whether the text ends with the tag, white space after it aside. */
bool reasoning_ends_with(const char *tag, const char *text, size_t n);

/* prompt: what the template made; it may end within the reasoning. */
void reasoning_begin(struct reasoning *r, const struct reasoning_tags *tags, const char *prompt,
                     size_t n_prompt);
/* The text is n bytes now (never fewer than before); finished: no more will come. */
void reasoning_advance(struct reasoning *r, const char *text, size_t n, bool finished);
