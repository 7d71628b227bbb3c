/* classes.h - texts as strings of character classes, one byte a character, for the pre-tokenizers'
 * patterns to run over.
 *
 * The classes come from a table of one Unicode version, so a pattern finds the same words on every
 * machine: the regular expression library sees bytes alone, and no Unicode of its own has a say.
 * An ASCII character is its own byte. Any other is 0x80 + 16 * its char_lists + its char_class.
 * A table is read-only and shared. Knows nothing of patterns' matches or vocabularies.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The order makes Tekken's two classes ranges: Lu Lt Lm Lo M, and Lm Lo M Ll. */
enum char_class {
    CHAR_OTHER,
    CHAR_LU,
    CHAR_LT,
    CHAR_LM,
    CHAR_LO,
    CHAR_M,
    CHAR_LL,
    CHAR_N,
    CHAR_P,
    CHAR_SPACE, /* the property White_Space */
    CHAR_CLASSES
};

/* The lists of characters that DeepSeek's patterns spell out: bits. */
enum char_lists { CHAR_CASED = 1, CHAR_WIDE_POINT = 2, CHAR_EAST_ASIAN = 4 };

/* Patterns' sets, for the inside of [ ]. CLASSES_FROM("1", "4"): classes 1 to 4 in any lists. */
#define CLASSES_FROM(a, b)                                                                         \
    "\\x8" a "-\\x8" b "\\x9" a "-\\x9" b "\\xa" a "-\\xa" b "\\xb" a "-\\xb" b "\\xc" a "-\\xc" b \
    "\\xd" a "-\\xd" b "\\xe" a "-\\xe" b "\\xf" a "-\\xf" b

#define CLASS_L          "A-Za-z" CLASSES_FROM("1", "4") CLASSES_FROM("6", "6")
#define CLASS_UPPER      "A-Z" CLASSES_FROM("1", "5") /* Lu Lt Lm Lo M */
#define CLASS_LOWER      "a-z" CLASSES_FROM("3", "6") /* Ll Lm Lo M */
#define CLASS_N          "0-9" CLASSES_FROM("7", "7")
#define CLASS_P          "!-#%-*,-/:;?@\\[-\\]_{}" CLASSES_FROM("8", "8")
#define CLASS_SPACE      "\\t-\\r " CLASSES_FROM("9", "9")
#define CLASS_CASED      "A-Za-z\\x90-\\x9f\\xb0-\\xbf\\xd0-\\xdf\\xf0-\\xff"
#define CLASS_WIDE_POINT "\\xa0-\\xbf\\xe0-\\xff"
#define CLASS_EAST_ASIAN "\\xc0-\\xff"

struct char_table;

enum status char_table_create(struct char_table **out, struct error *err);
void char_table_destroy(struct char_table *table); /* takes NULL */

/* code_point: at most U+10FFFF. ASCII's too. */
enum char_class char_table_class(const struct char_table *table, uint32_t code_point);

/* The class bytes of a text that is well-formed UTF-8; out has room for n. Returns how many were
 * written: the text's characters. */
size_t char_table_translate(const struct char_table *table, const char *text, size_t n,
                            uint8_t *out);

/* Bytes that the first n_chars characters of a well-formed text take. */
size_t chars_to_bytes(const char *text, size_t n_chars);
