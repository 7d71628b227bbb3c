/* clock.h - the one clock that times are measured with. No state; any thread. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC, in ns. */
uint64_t clock_now_ns(void);
