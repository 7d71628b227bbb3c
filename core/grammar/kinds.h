/* kinds.h - characters by kind, as the vocabulary's subtrees and an automaton's states both tell
 * them: a set of kinds is 64 bits.
 *
 * Letters and digits are three kinds; every punctuation mark of ASCII is its own, since grammars
 * give meaning to single ones.
 */
#pragma once

#include <stdint.h>

enum {
    KIND_LOWER,
    KIND_UPPER,
    KIND_DIGIT,
    KIND_LINE,    /* \n */
    KIND_CONTROL, /* others below 32, and 127 */
    KIND_BEYOND,  /* a whole character beyond ASCII */
    KIND_PARTIAL, /* bytes that are none */
    KIND_OTHER,   /* blank and punctuation from here on, in the order of ASCII */
    KINDS = KIND_OTHER + 33,
};

/* Of a byte below 128. */
static inline unsigned kind_of(unsigned byte)
{
    if (byte >= 'a' && byte <= 'z')
        return KIND_LOWER;
    if (byte >= 'A' && byte <= 'Z')
        return KIND_UPPER;
    if (byte >= '0' && byte <= '9')
        return KIND_DIGIT;
    if (byte < ' ' || byte == 127)
        return byte == '\n' ? KIND_LINE : KIND_CONTROL;
    if (byte <= '/')
        return KIND_OTHER + byte - ' ';
    if (byte <= '@')
        return KIND_OTHER + 16 + byte - ':';
    return byte <= '`' ? KIND_OTHER + 23 + byte - '[' : KIND_OTHER + 29 + byte - '{';
}
