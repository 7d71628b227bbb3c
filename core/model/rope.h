/* rope.h - the rotary position tables: cos and sin of every position and pair, computed once at
 * load in double precision with our own functions, so that every machine has the same bits.
 *
 * Su et al., 2021 (RoPE); linear scaling: Chen et al., 2023; YaRN: Peng et al., 2023. Pure
 * functions.
 */
#pragma once

#include "model/model.h"

/* cos, sin: [n_positions][dim / 2]. freq_factors: [dim / 2] of rope_freqs.weight (each frequency is
 * divided by its factor; by more than 1e6: the pair does not turn), or NULL. */
void rope_tables(const struct rotation *rotation, const float *freq_factors, size_t n_positions,
                 float *cos, float *sin);
