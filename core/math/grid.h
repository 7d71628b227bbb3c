/* grid.h - blocks whose file form is no panel's: the code books of IQ1, IQ2 and IQ3, and TQ1_0's
 * powers of three.
 *
 * A code book's entry stands for 4 or 8 values. Looking entries up for each product would cost more
 * than the product, so a block is taken apart once, when it is packed: each value becomes a code of
 * its own, of 2 bits (TQ1_0), 3 (IQ1, IQ2) or 4 (IQ3). Private to core/math. Pure; any thread.
 */
#pragma once

#include "math/quant_blocks.h"

/* The block's 256 codes in the form that block256_quants reads: low bits, and high ones where the
 * type has any. What the codes stand for: quant_codebooks. */
void grid_codes(enum weight_type type, const uint8_t *src, uint8_t low[128], uint8_t high[32]);
/* All but q. */
void grid_scales(enum weight_type type, const uint8_t *src, struct block256 *out);
/* Bits of the block's F16 scale. */
uint16_t grid_d(enum weight_type type, const uint8_t *src);
