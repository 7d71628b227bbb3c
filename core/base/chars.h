/* chars.h - single bytes as characters of a text. Pure. */
#pragma once

#include <stdbool.h>
#include <string.h>

/* Whether a byte is one of a set's; NUL never is. */
static inline bool chars_have(const char *set, char c)
{
    return c != '\0' && strchr(set, c) != NULL;
}
