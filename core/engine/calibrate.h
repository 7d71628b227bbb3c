/* calibrate.h - does one sequence gain from a team? Measured on this machine with this model.
 *
 * A step of a small model ends before a team has agreed on it; how small is small depends on the
 * cores, their caches and who else lives there. So it is tried: some steps alone, some in a team.
 * Counts nowhere; owns nothing afterwards.
 */
#pragma once

#include "base/error.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stdint.h>

struct calibration {
    uint64_t alone_ns, team_ns; /* the best step of one sequence; 0: not tried */
};

/* Any thread, which computes meanwhile; some tens of milliseconds. STATUS_NO_MEMORY, STATUS_IO. */
enum status calibrate(struct calibration *out, const struct model *model,
                      const struct kernels *kernels, enum kv_type kv_type, unsigned n_threads,
                      struct error *err);
