/* search.h - the search for scales and integers that leave the least squared error.
 *
 * Private to core/math: encode.c asks for a block's parts. Pure; any thread.
 */
#pragma once

#include "math/quant_blocks.h"

/* For the types with blocks of 256. */
void search_256(enum weight_type type, const float *x, struct block256 *out);
void search_iq4_nl(const float *x, struct block32 *out);
