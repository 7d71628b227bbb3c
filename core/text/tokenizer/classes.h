/* classes.h - texts as strings of character classes, one byte a character, for the pre-tokenizers'
 * patterns to run over.
 *
 * The classes come from a table of one Unicode version, so a pattern finds the same words on every
 * machine: the regular expression library sees bytes alone, and no Unicode of its own has a say.
 * An ASCII character is its own byte. Any other is 0x80 + 16 * its lists + its char_class.
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
    CHAR_S,
    CHAR_LONG_S, /* a small letter, and an s where case is no matter */
    CHAR_ND,     /* decimal digits; the other numbers are CHAR_N */
    CHAR_CLASSES
};

/* The lists of characters that some patterns spell out. A table has those of one set: each a number
 * of three bits; DeepSeek's first ones overlap, and their numbers are added up. */
enum char_list_set {
    LISTS_NONE,
    LISTS_DEEPSEEK, /* 1: cased letters, 2: wide points, 4: East Asian */
    LISTS_CJK,      /* 1: ideographs and kana, as later patterns have them */
    LISTS_HAN,      /* 1: the script Han */
    LISTS_YOUTU,    /* 1: Hangul, 2: points, 3: bopomofo, 4: as LISTS_CJK */
    LISTS_BLOOM,    /* 1: points that end a word, beyond ASCII */
    LISTS_ASIAN,    /* 1: scripts without spaces */
};

/* Patterns' sets, for the inside of [ ]. CLASSES_FROM("1", "4"): classes 1 to 4 in any lists. */
#define CLASSES_FROM(a, b)                                                                         \
    "\\x8" a "-\\x8" b "\\x9" a "-\\x9" b "\\xa" a "-\\xa" b "\\xb" a "-\\xb" b "\\xc" a "-\\xc" b \
    "\\xd" a "-\\xd" b "\\xe" a "-\\xe" b "\\xf" a "-\\xf" b

#define CLASS_SMALL      CLASSES_FROM("6", "6") CLASSES_FROM("b", "b")
#define CLASS_L          "A-Za-z" CLASSES_FROM("1", "4") CLASS_SMALL
#define CLASS_M          CLASSES_FROM("5", "5")
#define CLASS_UPPER      "A-Z" CLASSES_FROM("1", "5")                        /* Lu Lt Lm Lo M */
#define CLASS_LOWER      "a-z" CLASSES_FROM("3", "6") CLASSES_FROM("b", "b") /* Ll Lm Lo M */
#define CLASS_N          "0-9" CLASSES_FROM("7", "7") CLASSES_FROM("c", "c")
#define CLASS_P          "!-#%-*,-/:;?@\\[-\\]_{}" CLASSES_FROM("8", "8")
#define CLASS_S          "$+<=>\\^`|~" CLASSES_FROM("a", "a")
#define CLASS_SPACE      "\\t-\\r " CLASSES_FROM("9", "9")
#define CLASS_ANY_S      "sS" CLASSES_FROM("b", "b")
#define CLASS_CASED      "A-Za-z\\x90-\\x9f\\xb0-\\xbf\\xd0-\\xdf\\xf0-\\xff"
#define CLASS_WIDE_POINT "\\xa0-\\xbf\\xe0-\\xff"
#define CLASS_EAST_ASIAN "\\xc0-\\xff"
/* Of sets whose lists do not overlap: the characters of a list, and UPPER and LOWER of none. */
#define CLASS_LIST_1     "\\x90-\\x9f"
#define CLASS_LIST_2     "\\xa0-\\xaf"
#define CLASS_LIST_3     "\\xb0-\\xbf"
#define CLASS_LIST_4     "\\xc0-\\xcf"
#define CLASS_FREE_UPPER "A-Z\\x81-\\x85"
#define CLASS_FREE_LOWER "a-z\\x83-\\x86\\x8b"

struct char_table;

enum status char_table_create(struct char_table **out, enum char_list_set lists, struct error *err);
void char_table_destroy(struct char_table *table); /* takes NULL */

/* code_point: at most U+10FFFF. ASCII's too. */
enum char_class char_table_class(const struct char_table *table, uint32_t code_point);

/* The class bytes of a text that is well-formed UTF-8; out has room for n. Returns how many were
 * written: the text's characters. */
size_t char_table_translate(const struct char_table *table, const char *text, size_t n,
                            uint8_t *out);

/* Bytes that the first n_chars characters of a well-formed text take. */
size_t chars_to_bytes(const char *text, size_t n_chars);
