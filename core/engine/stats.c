/* stats.c - the bounds of the histograms: where a machine of any size has several of them.
 * Read-only.
 */
#include "engine/stats.h"

const double engine_step_bounds[ENGINE_STEP_BUCKETS] = {
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
    0.02,    0.03,   0.05,   0.075,  0.1,   0.2,   0.5,   1,     2.5,    10};
const double engine_size_bounds[ENGINE_SIZE_BUCKETS] = {1, 2, 4, 6, 8, 12, 16, 32, 64};
