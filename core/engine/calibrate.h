/* calibrate.h - does one sequence gain from a team? Measured on this machine with this model.
 *
 * A small model's step is shorter than a team's barriers; how small is small depends on the
 * cores, their caches and what else runs there. So it is tried: some steps alone, some in a team.
 * Counts nowhere; owns nothing afterwards.
 */
#pragma once

#include "base/error.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stdbool.h>
#include <stdint.h>

struct calibration {
    uint64_t alone_ns, team_ns; /* the best step of one sequence; 0: not tried */
    unsigned n_rounds;          /* trials of each, in turn */
    unsigned n_unchanged;       /* the last of them, which found no step that is clearly better */
    unsigned alone_near, team_near; /* trials whose best step was about as good as the best */
};

/* Adds a round: the best step of each of its trials (0: none). What else runs only makes a step
 * longer, so the best one tells what the machine can do. */
void calibration_add(struct calibration *c, uint64_t alone_ns, uint64_t team_ns);
/* Whether more rounds would tell nothing new: several trials of each reached about the same best
 * step (what is disturbed scatters; what is not agrees), or so many rounds found nothing better. */
bool calibration_settled(const struct calibration *c);

/* Rounds until they settle: any thread, which computes meanwhile; ten milliseconds or so, a
 * quarter of a second at most on a busy machine. STATUS_NO_MEMORY, STATUS_IO. */
enum status calibrate(struct calibration *out, const struct model *model,
                      const struct kernels *kernels, enum kv_type kv_type, unsigned n_threads,
                      struct error *err);
