/* block_scales.h - where a block's scales lie in a GGUF tensor, for tests that make blocks of
 * random bytes and want values of a known size. Test code. */
#pragma once

#include "math/quant.h"

#include <string.h>

/* Where a block's F16 scale lies. */
static inline size_t scale_at(enum weight_type type)
{
    return type == WEIGHT_Q2_K    ? 80
           : type == WEIGHT_Q3_K  ? 108
           : type == WEIGHT_Q6_K  ? 208
           : type == WEIGHT_TQ1_0 ? 52
           : type == WEIGHT_TQ2_0 ? 64
                                  : 0;
}

/* Sets a block's scales; d, m: F16, of which MXFP4 takes the exponent, subnormal ones as the two
 * least that there are. */
static inline void set_scales(enum weight_type type, uint8_t *block, uint16_t d, uint16_t m)
{
    if (type == WEIGHT_MXFP4) {
        unsigned exponent = d >> 10 & 31;
        block[0] = (uint8_t)(exponent == 0 ? d & 1 : exponent + 127 - 15);
        return;
    }
    if (type == WEIGHT_IQ1_M) { /* four bits in each of its scales */
        for (size_t i = 0; i < 4; i++)
            block[49 + 2 * i] = (uint8_t)((block[49 + 2 * i] & 15) | (d >> 4 * i & 15) << 4);
        return;
    }
    memcpy(block + scale_at(type), &d, 2);
    if (type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1 || type == WEIGHT_Q2_K || type == WEIGHT_Q4_K ||
        type == WEIGHT_Q5_K)
        memcpy(block + scale_at(type) + 2, &m, 2);
}
