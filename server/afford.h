/* afford.h - whether the system's limits leave the process what it cannot do without.
 *
 * libuv aborts without a word where it gets no descriptor or no thread for itself; so both are
 * tried out before. Main thread, before others exist. Knows nothing of the service.
 */
#pragma once

#include "base/error.h"

/* Brings the limits on open files and on stacks into the range that is needed, as far as the hard
 * ones allow. STATUS_IO with a sentence that names the limit. */
enum status afford_check(struct error *err);
