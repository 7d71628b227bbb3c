/* panel.h - where everything lies in a packed panel of 16 rows, for each weight type.
 *
 * A "line" is 64 bytes: one 32-bit lane for each of the 16 rows, in row order; a lane holds 4
 * consecutive inputs of its row as bytes (or, two to a byte, 4 of one group and 4 of another). A
 * kernel of 8 lanes reads half lines, one of 4 quarter lines. All parts begin on 64 bytes. Written
 * by matrix.c, read by every kernel; private to core/math.
 *
 *   F32 F16     [k][16] values.
 *   Q8_0        Blocks of 32 inputs go in pairs: a line of scales (2 x [16] F16), then for each
 * block 8 lines; line g holds inputs 4g..4g+3. Q4_0        The same with 4 lines a block: low
 * nibbles are inputs 4g..4g+3, high ones 16 + 4g..; value = nibble - 8. Q4_K        Each block of
 * 256: scales, then 32 lines: line 8j + g holds 4 inputs from 64j + 4g in its low nibbles, from 64j
 * + 32 + 4g in its high ones. Q6_K        Each block of 256: scales, then for each half 16 lines of
 * low 4 bits and 8 of high 2 bits, as in the file: of the half's four quarters of 32 inputs, 0 and
 * 2 share lines 0..7 (low and high nibbles), 1 and 3 share lines 8..15; quarter i has bits 2i, 2i+1
 * of line 16 + g. value = the 6 bits - 32.
 */
#pragma once

#include "math/matrix.h"

enum {
    LINE = 64,

    Q8_0_QUANTS = 8 * LINE, /* bytes of one block's lines */
    Q4_0_QUANTS = 4 * LINE,

    /* Offsets in a block of 256. */
    Q4_K_D = 0,       /* [16] F16 */
    Q4_K_DMIN = 32,   /* [16] F16 */
    Q4_K_SCALES = 64, /* [8][16], 0..63: one each 32 inputs */
    Q4_K_MINS = 192,  /* [4][16][2], 0..63: of two consecutive 32s side by side */
    Q4_K_QUANTS = 320,
    Q4_K_BLOCK = Q4_K_QUANTS + 32 * LINE,

    Q6_K_D = 0,       /* [16] F16, then 32 bytes unused */
    Q6_K_SCALES = 64, /* [16][16] signed: one each 16 inputs */
    Q6_K_QUANTS = 320,
    Q6_K_HIGH = 16 * LINE, /* from a half's first line */
    Q6_K_HALF = 24 * LINE,
    Q6_K_BLOCK = Q6_K_QUANTS + 2 * Q6_K_HALF,
};

/* Types whose blocks of 32 go in pairs: quants is the bytes of one block's lines. */
static inline size_t paired_scales(size_t block, size_t quants)
{
    return block / 2 * (LINE + 2 * quants) + block % 2 * 32;
}

static inline size_t paired_quants(size_t block, size_t quants)
{
    return (block / 2 + 1) * LINE + block * quants;
}
