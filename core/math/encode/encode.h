/* encode.h - F32 values to the blocks of a weight type: the other way of weight_to_f32.
 *
 * Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and MXFP4 are rounded exactly as GGML rounds them, so that the bytes
 * are the same. The types with blocks of 256 and IQ4_NL search for the scales that leave the least
 * squared error. Pure; any thread.
 */
#pragma once

#include "math/quant.h"

#include <stddef.h>

/* Whether values can be turned into the type: not into IQ1 to IQ3, TQ1_0 and TQ2_0, which are read
 * only. */
bool weight_can_encode(enum weight_type type);

/* n: a multiple of the type's block; dst: weight_bytes(type, n). The type can be
 * encoded. Values must be finite. */
void weight_from_f32(enum weight_type type, const float *x, size_t n, void *dst);
