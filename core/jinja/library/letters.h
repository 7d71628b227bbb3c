/* letters.h - what Python's str methods know about characters. Pure tables; any thread. */
#pragma once

#include "jinja/text.h"

#include <stdbool.h>
#include <stdint.h>

enum letters_flag { /* as in letters_data.h */
                    LETTERS_ALPHA = 1,
                    LETTERS_DECIMAL = 2,
                    LETTERS_DIGIT = 4,
                    LETTERS_NUMERIC = 8,
                    LETTERS_SPACE = 16,
                    LETTERS_UPPER = 32,
                    LETTERS_LOWER = 64,
                    LETTERS_TITLED = 128,
                    LETTERS_HIDDEN = 256, /* not printable: repr() escapes it */
                    LETTERS_CASED = LETTERS_UPPER | LETTERS_LOWER | LETTERS_TITLED,
};

unsigned letters_flags(uint32_t cp);
bool letters_is_space(uint32_t cp);

enum letters_case {
    LETTERS_TO_UPPER,
    LETTERS_TO_LOWER,
    LETTERS_TO_TITLE,
    LETTERS_TO_FOLD,
};

/* The characters that one becomes: how many, 3 at most. */
unsigned letters_convert(uint32_t cp, enum letters_case to, uint32_t out[3]);
/* Adds the characters of [begin, end), converted, with their origins. */
void letters_add(struct jinja_builder *b, const struct jinja_text *text, size_t begin, size_t end,
                 enum letters_case to);
const struct jinja_text *letters_text(struct jinja_heap *heap, const struct jinja_text *text,
                                      enum letters_case to);
