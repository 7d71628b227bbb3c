/* ticks.c - reads the processor's counter. Holds no state; any thread. */
#include "base/ticks.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

uint64_t ticks_monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)
static uint64_t ticks_counter(void)
{
    return __rdtsc();
}

ticks_fn *ticks_clock(void)
{
    unsigned a, b, c, d = 0;
    /* Leaf 0x80000007, EDX bit 8: the counter is invariant (Intel SDM 3B, 18.17.1). */
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8) ? ticks_counter
                                                                    : ticks_monotonic;
}
#elif defined(__aarch64__)
static uint64_t ticks_counter(void)
{
    uint64_t value;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}

ticks_fn *ticks_clock(void)
{
    return ticks_counter; /* the architecture's timer runs at one rate for all */
}
#else
ticks_fn *ticks_clock(void)
{
    return ticks_monotonic;
}
#endif
