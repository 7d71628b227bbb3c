/* checked.h - arithmetic on sizes that come from outside. Each returns false on overflow and leaves
 * *out alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool checked_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of a power of two. */
static inline bool checked_align(size_t n, size_t alignment, size_t *out)
{
    size_t r;
    if (!checked_add(n, alignment - 1, &r))
        return false;
    *out = r & ~(alignment - 1);
    return true;
}
