/* clock.h - the one clock that times are measured with, and the one that people read. No state; any
 * thread. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC, in ns. */
uint64_t clock_now_ns(void);
/* CLOCK_REALTIME, in ns since 1970: for what is shown, never for differences. */
uint64_t clock_unix_ns(void);
