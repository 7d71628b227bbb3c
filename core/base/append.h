/* append.h - a text made of parts in a buffer that may be too small for it. Pure.
 */
#pragma once

#include <stddef.h>

/* Puts a part at out + *n, as much of it as fits room (which counts the NUL), and moves *n on to
 * the text's end: never to room or beyond. */
__attribute__((format(printf, 4, 5))) void append_text(char *out, size_t room, size_t *n,
                                                       const char *format, ...);
