/* text.h - strings with their origins: building them, cutting them, looking into them.
 *
 * Every piece that goes into a builder brings the spans of its bytes along; neighbours join. One
 * thread at a time, as the heap.
 */
#pragma once

#include "jinja/value.h"

struct jinja_builder { /* zero all but the heap to begin */
    struct jinja_heap *heap;
    char *bytes;
    size_t n, room;
    struct jinja_span *spans;
    size_t n_spans, room_spans;
    size_t limit; /* bytes; 0: the heap's memory alone */
};

void jinja_add(struct jinja_builder *b, const char *bytes, size_t n, bool request);
void jinja_add_chars(struct jinja_builder *b, const char *literal);
void jinja_add_text(struct jinja_builder *b, const struct jinja_text *text);
void jinja_add_part(struct jinja_builder *b, const struct jinja_text *text, size_t begin,
                    size_t end); /* bytes */
void jinja_add_repeated(struct jinja_builder *b, const struct jinja_text *text, size_t times);
const struct jinja_text *jinja_finish(struct jinja_builder *b);

/* A text of the heap's own bytes (copied), all of them from the request or none. */
const struct jinja_text *jinja_text_new(struct jinja_heap *heap, const char *bytes, size_t n,
                                        bool request);
/* Bytes [begin, end) of a text, sharing them. */
const struct jinja_text *jinja_part(struct jinja_heap *heap, const struct jinja_text *text,
                                    size_t begin, size_t end);
const struct jinja_text *jinja_join(struct jinja_heap *heap, const struct jinja_text *a,
                                    const struct jinja_text *b);
/* The same text, marked safe or not. */
const struct jinja_text *jinja_marked(struct jinja_heap *heap, const struct jinja_text *text,
                                      bool markup);
/* <, >, &, " and ' as entities; a text that is marked safe is left alone. */
const struct jinja_text *jinja_escape(struct jinja_heap *heap, const struct jinja_text *text);
/* Is any byte of [begin, end) the request's? */
bool jinja_from_request(const struct jinja_text *text, size_t begin, size_t end);

size_t jinja_count_chars(const char *bytes, size_t n);
size_t jinja_char_offset(const struct jinja_text *text, size_t at_char); /* in bytes */
size_t jinja_char_size(const struct jinja_text *text, size_t at);        /* of the one at a byte */
size_t jinja_char_before(const struct jinja_text *text, size_t end); /* where it begins; end > 0 */
uint32_t jinja_char_at(const struct jinja_text *text, size_t at, size_t *size);

enum { JINJA_NOWHERE = -1 };
/* Byte offset of the first (last) needle in [from, to), or JINJA_NOWHERE. */
ptrdiff_t jinja_find(struct jinja_heap *heap, const struct jinja_text *text,
                     const struct jinja_text *needle, size_t from, size_t to);
ptrdiff_t jinja_find_last(struct jinja_heap *heap, const struct jinja_text *text,
                          const struct jinja_text *needle, size_t from, size_t to);
bool jinja_same(const struct jinja_text *a, const struct jinja_text *b);
bool jinja_is(const struct jinja_text *a, const char *literal);
