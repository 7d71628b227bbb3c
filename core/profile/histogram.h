/* histogram.h - counts of durations, from nanoseconds to hours, each within 1/32 of its size.
 *
 * Durations below 32 ns have a bucket each; above, every power of two is cut into 16 equal buckets.
 * Pure functions on the caller's array; no thread rule.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 32 + 16 * 38 }; /* up to 2^43 ns: 2.4 hours */

static inline size_t histogram_bucket(uint64_t ns)
{
    if (ns < 32)
        return (size_t)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns); /* >= 5 */
    size_t bucket = 32 + ((size_t)exponent - 5) * 16 + ((ns >> (exponent - 4)) & 15);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket, ns. */
double histogram_middle(size_t bucket);
/* The duration that a part q (0..1) of those counted does not exceed, ns; 0 when none is counted.
 * counts: [HISTOGRAM_BUCKETS] */
double histogram_quantile(const uint32_t *counts, double q);
