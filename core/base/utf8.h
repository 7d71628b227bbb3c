/* utf8.h - UTF-8: decoding, checking, and turning a stream of arbitrary bytes into valid text.
 *
 * Pure functions and one small state machine; no allocation. Well-formed means Unicode's table 3-7:
 * no overlong form, no surrogate, nothing above U+10FFFF.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed character at bytes (1..4), its code point in *cp; 0 when it is
 * ill-formed or cut. n >= 1. */
size_t utf8_decode(const char *bytes, size_t n, uint32_t *cp);

/* Writes 1..4 bytes; cp must be a scalar value. */
size_t utf8_encode(uint32_t cp, char out[4]);

/* Offset of the first ill-formed byte, or n when all of it is well-formed. */
size_t utf8_check(const char *bytes, size_t n);

/* Bytes from outside as one line that can be shown: NUL-terminated valid UTF-8, cut at a
 * character's border to fit room (at least 1); controls, line separators and ill-formed bytes
 * become '?'. */
void utf8_printable(char *out, size_t room, const char *bytes, size_t n);

/* Bytes that wait for the rest of their character (between two tokens, say). Zero it to begin. */
struct utf8_stream {
    uint8_t held[4];
    uint8_t n_held; /* 0..3 */
};

/* Appends the well-formed text of (what was held + bytes) to out; each maximal ill-formed part
 * becomes one U+FFFD (Unicode 15, section 3.9, "substitution of maximal subparts"); a character
 * still incomplete at the end is held back. out must have room for 3 * (n + 3) bytes. Returns the
 * bytes written. */
size_t utf8_stream_push(struct utf8_stream *stream, const char *bytes, size_t n, char *out);

/* At the end: what is held becomes one U+FFFD. out needs 3 bytes. Returns 0 or 3. */
size_t utf8_stream_end(struct utf8_stream *stream, char out[3]);
