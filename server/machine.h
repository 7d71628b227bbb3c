/* machine.h - the limits that a service's profiles are held against: what this machine can do.
 *
 * Measured when a profile is first asked for, for some tenths of a second, by threads of their
 * own that libuv's pool starts: never at start, never on the loop or on a compute thread. Requests
 * that run meanwhile share the processors with it: what was measured beside them is too low, is
 * marked so, and is measured again for the next profile that finds the engine idle. Loop thread,
 * but for the measuring.
 */
#pragma once

#include "base/error.h"
#include "profile/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct service;

struct machine {                               /* zeroed first, but for measured */
    void (*measured)(struct service *service); /* after each measuring, successful or not */
    bool known;                                /* limits holds something */
    bool measuring;
    uint64_t measured_ns;        /* CLOCK_MONOTONIC */
    struct report_limits limits; /* of one worker */

    uv_work_t work;
    struct { /* the measuring thread's, until it is done */
        enum status status;
        struct report_limits limits;
    } found;
};

/* False: they are being measured now. measured is called when they have been, or could not
 * be. */
bool machine_ready(struct service *service);
