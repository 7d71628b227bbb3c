/* quant_blocks.h - one block of a quantized GGUF tensor, taken apart: scales, minimums and
 * integers.
 *
 * Every quantized type's value is (d * scale) * q - dmin * min, or q * d + m for the blocks of 32;
 * decoding a block to these parts once serves dequantization and the packing of panels alike, so
 * that both mean the same values. Private to core/math.
 */
#pragma once

#include "math/quant.h"

#include <stdbool.h>

/* Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4: value = q * d + m. */
struct block32 {
    uint16_t d, m; /* bits of quant_scale; m is 0 where the type has none */
    int8_t q[32];
};

/* Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, TQ2_0: value = (d * scale) * q - dmin * min, where d is
 * F16 times quant_unit. */
struct block256 {
    uint16_t d, dmin; /* F16 bits; dmin is 0 where the type has none */
    int8_t scale[16]; /* one each 16 values (types with one each 32 have it twice) */
    uint8_t min[16];
    int8_t q[256];
};

/* Where the parts of a block lie in the file's bytes, but for scales and minimums within blocks of
 * 256. */
struct block_parts {
    uint8_t d, m;         /* offsets of the scale, and of the F16 minimum where quant_has_min */
    uint8_t low, n_low;   /* offset and bytes of the quants' (low) bits */
    uint8_t high, n_high; /* of their remaining bits; 0 bytes: none */
};
extern const struct block_parts block_parts[WEIGHT_TYPES];
/* The values that the codes of a type stand for, where quant_has_codebook. */
extern const int8_t quant_codebooks[WEIGHT_TYPES][16];

static inline bool quant_has_codebook(enum weight_type type)
{
    return type >= WEIGHT_IQ4_NL && type <= WEIGHT_TQ2_0;
}

/* Taken apart when packed (grid.h): its block's bytes lie in no panel. */
static inline bool quant_is_grid(enum weight_type type)
{
    return type >= WEIGHT_IQ1_S && type <= WEIGHT_TQ1_0;
}

/* The bits of a code of a type with a codebook and blocks of 256. */
static inline unsigned quant_code_bits(enum weight_type type)
{
    if (type == WEIGHT_TQ1_0 || type == WEIGHT_TQ2_0)
        return 2;
    return type >= WEIGHT_IQ1_S && type <= WEIGHT_IQ2_S ? 3 : 4;
}

/* What d counts in, so that scales and quants are integers. */
static inline float quant_unit(enum weight_type type)
{
    return type >= WEIGHT_IQ1_S && type <= WEIGHT_IQ2_S ? 0.125f
           : type == WEIGHT_IQ3_XXS                     ? 0.25f
                                                        : 1.0f;
}

/* Bytes of a block's scale: F16, but a power of two alone (E8M0) in MXFP4. */
static inline size_t quant_scale_bytes(enum weight_type type)
{
    return type == WEIGHT_MXFP4 ? 1 : 2;
}

static inline bool quant_has_min(enum weight_type type)
{
    return type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1 || type == WEIGHT_Q2_K ||
           type == WEIGHT_Q4_K || type == WEIGHT_Q5_K;
}

/* A block's scale by its bits. MXFP4's integers are twice the values of its codes, so that this is
 * half its power of two; the power that stands for NaN is infinite, and no value is finite. */
float quant_scale(enum weight_type type, uint16_t bits);

void block32_decode(enum weight_type type, const uint8_t *src, struct block32 *out);
void block256_decode(enum weight_type type, const uint8_t *src, struct block256 *out);
void block256_scales(enum weight_type type, const uint8_t *src,
                     struct block256 *out); /* all but q */
/* From the bytes that block_parts names. */
void block32_quants(enum weight_type type, const uint8_t *low, const uint8_t *high, int8_t *q);
void block256_quants(enum weight_type type, const uint8_t *low, const uint8_t *high, int8_t *q);
void block32_values(enum weight_type type, const struct block32 *b, float *out);   /* [32] */
void block256_values(enum weight_type type, const struct block256 *b, float *out); /* [256] */
