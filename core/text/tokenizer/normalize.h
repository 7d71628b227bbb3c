/* normalize.h - Unicode's canonical forms, by utf8proc, in time proportional to the text.
 *
 * Which texts are equal does not depend on the library's version, but for characters that are newer
 * than it. Pure but for the buffers, which belong to one encoding. Knows nothing of vocabularies.
 */
#pragma once

#include "text/tokenizer/buffer.h"

/* What normalizing can make of a text, at most: three bytes for one (U+1D160). */
enum { NORMALIZE_MAX_GROWTH = 3 };

/* Appends a character's canonical decomposition. Marks stand in the order they came in. */
enum status normalize_decompose(struct point_buffer *points, uint32_t cp, struct error *err);

/* Puts the marks of each run into canonical order; scratch keeps nothing. */
enum status normalize_order(struct point_buffer *points, struct point_buffer *scratch,
                            struct error *err);

uint32_t normalize_lower(uint32_t cp); /* one character's simple lower case */

struct normalizer { /* zero to begin */
    struct point_buffer points, scratch;
    struct byte_buffer out;
};

void normalizer_free(struct normalizer *normalizer);

/* A text in form C: the text itself where it is in that form by its first bytes' look, else the
 * normalizer's buffer, good until the next call. */
enum status normalizer_compose(struct normalizer *normalizer, const char *text, size_t n,
                               const char **composed, size_t *n_composed, struct error *err);
