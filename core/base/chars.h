/* chars.h - single bytes as characters of a text. Pure. */
#pragma once

#include <stdbool.h>
#include <string.h>

/* Whether a byte is one of a set's; NUL never is. */
static inline bool chars_have(const char *set, char c)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* The value of a hexadecimal digit, in either case; -1: it is none. */
static inline int chars_hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
