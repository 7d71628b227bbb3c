/* charsmap.h - SentencePiece's compiled map of characters: what a text's sequences are replaced
 * with before it is tokenized.
 *
 * Read from a file and checked whole at creation; read-only after.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct charsmap {
    uint32_t *units; /* [n_units] a double array; owned. NULL: nothing is replaced */
    size_t n_units;
    char *values; /* replacements, each ended by a NUL; owned */
    size_t n_values;
    size_t max_growth; /* bytes that a byte of text can become, at most */
};

/* STATUS_FORMAT names the key and what is wrong with it. */
enum status charsmap_create(struct charsmap *map, const uint8_t *bytes, size_t n,
                            struct error *err);
void charsmap_free(struct charsmap *map);

/* The replacement of the shortest sequence that the text begins with, NULL when there is none. */
const char *charsmap_find(const struct charsmap *map, const char *text, size_t n);
