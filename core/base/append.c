/* append.c - see append.h. */
#include "base/append.h"

#include <stdarg.h>
#include <stdio.h>

void append_text(char *out, size_t room, size_t *n, const char *format, ...)
{
    va_list args;
    if (*n >= room)
        return;
    va_start(args, format);
    int written = vsnprintf(out + *n, room - *n, format, args);
    va_end(args);
    if (written < 0)
        out[*n] = '\0';
    else
        *n = (size_t)written < room - *n ? *n + (size_t)written : room - 1;
}
