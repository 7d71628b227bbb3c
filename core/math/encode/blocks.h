/* blocks.h - the parts of a block back to its bytes: the other way of block32_decode and
 * block256_decode.
 *
 * Private to core/math: encode.c chooses the parts, blocks.c writes them down. Pure.
 */
#pragma once

#include "math/quant_blocks.h"

void block32_encode(enum weight_type type, const struct block32 *b, uint8_t *dst);
void block256_encode(enum weight_type type, const struct block256 *b, uint8_t *dst);
