/* strings.h - Python's str methods, as functions and as a table of what templates may call. */
#pragma once

#include "jinja/args.h"
#include "jinja/text.h"

extern const struct jinja_function strings_methods[];
extern const size_t strings_n_methods;

enum strings_side { STRINGS_LEFT = 1, STRINGS_RIGHT = 2, STRINGS_BOTH = 3 };
/* chars NULL: white space. */
const struct jinja_text *strings_strip(struct jinja_heap *heap, const struct jinja_text *text,
                                       const struct jinja_text *chars, enum strings_side side);
/* count < 0: all of them. */
const struct jinja_text *strings_replace(struct jinja_heap *heap, const struct jinja_text *text,
                                         const struct jinja_text *old, const struct jinja_text *new,
                                         int64_t count);
/* Items are strings already, or fail. */
const struct jinja_text *strings_join(struct jinja_heap *heap, const struct jinja_text *between,
                                      const struct jinja_value *items, size_t n);
const struct jinja_text *strings_capitalize(struct jinja_heap *heap, const struct jinja_text *text);
const struct jinja_text *strings_center(struct jinja_heap *heap, const struct jinja_text *text,
                                        int64_t width, const struct jinja_text *fill);
struct jinja_items strings_lines(struct jinja_heap *heap, const struct jinja_text *text,
                                 bool keep_ends);
/* old or new as the marked text's own methods take them: escaped. */
const struct jinja_text *strings_like(struct jinja_heap *heap, const struct jinja_text *text,
                                      const struct jinja_text *other);
/* islower() and isupper(): cased characters, all of this kind. */
bool strings_has_case(const struct jinja_text *text, bool upper);
