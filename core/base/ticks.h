/* ticks.h - the cheapest clock that this machine has: for marks of what takes a microsecond.
 *
 * Ticks are counted from nowhere and alike on all processors; how long one is, is found by reading
 * both clocks at both ends of a span. Any thread.
 */
#pragma once

#include <stdint.h>

typedef uint64_t ticks_fn(void);

/* The processor's own counter where it never stops and never changes its rate, else
 * CLOCK_MONOTONIC's nanoseconds. */
ticks_fn *ticks_clock(void);

uint64_t ticks_monotonic(void); /* CLOCK_MONOTONIC, ns */
