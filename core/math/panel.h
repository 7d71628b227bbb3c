/* panel.h - where everything lies in a packed panel of 16 rows, for each weight type.
 *
 * A "line" is 64 bytes: one 32-bit lane for each of the 16 rows, in row order. Each lane of line i
 * holds bytes 4i..4i+3 of the row's quants in the file, whose order within a block is kept: mostly
 * 4 consecutive inputs, or 4 of one group and 4 of another in the nibbles. A kernel of 8 lanes
 * reads half lines, one of 4 quarter lines. All parts begin on 64 bytes.
 *
 *   F32 F16 BF16      [k][16] values.
 *   blocks of 32      Two blocks share a head: a line of scales (2 x [16] F16) and, where the type
 *                     has minimums, a line of those; then each block's low lines, then its high
 *                     line (Q5_0, Q5_1: fifth bits). MXFP4: four blocks, 4 x [16] bytes.
 *   blocks of 256     A head (d, dmin, scales, minimums, each scale widened to a byte), low lines,
 *                     high lines; IQ1 to IQ3 and TQ1_0 as codes of 2 to 4 bits (grid.h).
 *
 * Written by matrix.c, read by every kernel; private to core/math. The functions fold to constants
 * where the type is one.
 */
#pragma once

#include "math/matrix.h"
#include "math/quant_blocks.h"

enum {
    LINE = 64,
    /* Offsets in the head of a block of 256. */
    SUPER_D = 0,     /* [16] F16 */
    SUPER_DMIN = 32, /* [16] F16; zero where the type has none */
    SUPER_SCALES =
        64, /* [8 or 16][16] bytes: one each 32 or 16 inputs; signed in Q3_K, Q6_K, IQ4_XS */
};

/* Lines of a block's (low) bits. */
static inline size_t panel_low_lines(enum weight_type type)
{
    switch ((int)type) {
    case WEIGHT_Q8_0:
        return 8;
    case WEIGHT_Q2_K:
    case WEIGHT_Q3_K:
    case WEIGHT_IQ1_S:
    case WEIGHT_IQ1_M:
    case WEIGHT_IQ2_XXS:
    case WEIGHT_IQ2_XS:
    case WEIGHT_IQ2_S:
    case WEIGHT_TQ1_0:
    case WEIGHT_TQ2_0:
        return 16;
    case WEIGHT_Q4_K:
    case WEIGHT_Q5_K:
    case WEIGHT_Q6_K:
    case WEIGHT_IQ4_XS:
    case WEIGHT_IQ3_XXS:
    case WEIGHT_IQ3_S:
        return 32;
    default:
        return 4;
    }
}

/* Lines of its remaining bits. */
static inline size_t panel_high_lines(enum weight_type type)
{
    switch ((int)type) {
    case WEIGHT_Q5_0:
    case WEIGHT_Q5_1:
        return 1;
    case WEIGHT_Q3_K:
    case WEIGHT_Q5_K:
    case WEIGHT_IQ1_S:
    case WEIGHT_IQ1_M:
    case WEIGHT_IQ2_XXS:
    case WEIGHT_IQ2_XS:
    case WEIGHT_IQ2_S:
        return 8;
    case WEIGHT_Q6_K:
        return 16;
    default:
        return 0;
    }
}

/* Bytes of a block's lines. */
static inline size_t panel_quants_bytes(enum weight_type type)
{
    return (panel_low_lines(type) + panel_high_lines(type)) * LINE;
}

/* Blocks of 32: how many share a head. */
static inline size_t paired_blocks(enum weight_type type)
{
    return LINE / PANEL_ROWS / quant_scale_bytes(type);
}

/* Bytes of that head. */
static inline size_t paired_head(enum weight_type type)
{
    return quant_has_min(type) ? 2 * LINE : LINE;
}

/* A block's [16] scales; its minimums lie LINE bytes later. */
static inline size_t paired_scales(enum weight_type type, size_t block)
{
    const size_t n = paired_blocks(type);
    return block / n * (paired_head(type) + n * panel_quants_bytes(type)) + block % n * (LINE / n);
}

static inline size_t paired_quants(enum weight_type type, size_t block)
{
    return (block / paired_blocks(type) + 1) * paired_head(type) + block * panel_quants_bytes(type);
}

/* Blocks of 256: 8 scales (one each 32 inputs) or 16. */
static inline size_t super_n_scales(enum weight_type type)
{
    switch ((int)type) {
    case WEIGHT_Q2_K:
    case WEIGHT_Q3_K:
    case WEIGHT_Q6_K:
    case WEIGHT_IQ1_M:
    case WEIGHT_IQ2_XS:
    case WEIGHT_IQ2_S:
        return 16;
    default:
        return 8;
    }
}

/* Minimums: [n_scales / 2][16][2] bytes, two consecutive ones side by side. */
static inline size_t super_mins(enum weight_type type)
{
    return SUPER_SCALES + super_n_scales(type) * PANEL_ROWS;
}

static inline size_t super_low(enum weight_type type)
{
    return super_mins(type) + (quant_has_min(type) ? super_n_scales(type) * PANEL_ROWS : 0);
}

static inline size_t super_high(enum weight_type type)
{
    return super_low(type) + panel_low_lines(type) * LINE;
}

static inline size_t super_bytes(enum weight_type type)
{
    return super_low(type) + panel_quants_bytes(type);
}

/* One row's block out of a panel: matrix_row and the reference kernels read the layouts through
 * these alone. */
void panel_block32(enum weight_type type, const uint8_t *panel, size_t lane, size_t block,
                   struct block32 *out);
void panel_block256(enum weight_type type, const uint8_t *panel, size_t lane, size_t block,
                    struct block256 *out);
