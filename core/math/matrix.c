/* matrix.c - packs a tensor's rows into panels, and reads a row back. Called at load (and by the
 * embedding look-up); pure. */
#include "math/matrix.h"

#include "base/checked.h"
#include "math/panel.h"
#include "math/quant_blocks.h"

#include <string.h>

/* Bytes of a panel; 0 on overflow. */
static size_t panel_bytes(enum weight_type type, size_t n_cols)
{
    size_t n_blocks = n_cols / weight_infos[type].block_values, block_bytes = 0, head = 0;
    switch ((int)type) {
    case WEIGHT_F32:
        block_bytes = PANEL_ROWS * sizeof(float);
        break;
    case WEIGHT_F16:
        block_bytes = PANEL_ROWS * sizeof(uint16_t);
        break;
    case WEIGHT_Q8_0:
        block_bytes = Q8_0_QUANTS;
        head = n_blocks / 2 + n_blocks % 2;
        break;
    case WEIGHT_Q4_0:
        block_bytes = Q4_0_QUANTS;
        head = n_blocks / 2 + n_blocks % 2;
        break;
    case WEIGHT_Q4_K:
        block_bytes = Q4_K_BLOCK;
        break;
    case WEIGHT_Q6_K:
        block_bytes = Q6_K_BLOCK;
        break;
    }
    size_t bytes;
    if (!checked_mul(n_blocks, block_bytes, &bytes) || !checked_add(bytes, head * LINE, &bytes) ||
        !checked_align(bytes, LINE, &bytes))
        return 0;
    return bytes;
}

size_t matrix_packed_bytes(enum weight_type type, size_t n_rows, size_t n_cols)
{
    size_t bytes, n_panels = n_rows / PANEL_ROWS + (n_rows % PANEL_ROWS != 0);
    return checked_mul(panel_bytes(type, n_cols), n_panels, &bytes) ? bytes : 0;
}

/* A packer writes one row's blocks into its lanes of a panel; src: the row in the file's form. */

static void pack_plain(uint8_t *panel, size_t lane, size_t n_cols, size_t value_bytes,
                       const uint8_t *src)
{
    for (size_t k = 0; k < n_cols; k++)
        memcpy(panel + (k * PANEL_ROWS + lane) * value_bytes, src + k * value_bytes, value_bytes);
}

/* n lanes of 4 bytes, one a line. */
static void pack_lanes(uint8_t *line, size_t lane, size_t n, const uint8_t *src)
{
    for (size_t g = 0; g < n; g++)
        memcpy(line + g * LINE + lane * 4, src + g * 4, 4);
}

/* Q8_0 and Q4_0: an F16 scale, then the quants, whose bytes in the file are already those of the
 * lanes. */
static void pack_paired(uint8_t *panel, size_t lane, size_t n_cols, size_t quants,
                        const uint8_t *src)
{
    size_t n_lines = quants / LINE;
    for (size_t b = 0; b < n_cols / 32; b++, src += 2 + 4 * n_lines) {
        memcpy(panel + paired_scales(b, quants) + lane * 2, src, 2);
        pack_lanes(panel + paired_quants(b, quants), lane, n_lines, src + 2);
    }
}

static void pack_q4_k(uint8_t *panel, size_t lane, size_t n_cols, const uint8_t *src)
{
    const struct weight_info *info = &weight_infos[WEIGHT_Q4_K];
    for (size_t b = 0; b < n_cols / 256; b++, src += info->block_bytes, panel += Q4_K_BLOCK) {
        struct block256 parts;
        block256_scales_6bit(src, &parts);
        memcpy(panel + Q4_K_D + lane * 2, &parts.d, 2);
        memcpy(panel + Q4_K_DMIN + lane * 2, &parts.dmin, 2);
        for (size_t j = 0; j < 8; j++) {
            panel[Q4_K_SCALES + j * PANEL_ROWS + lane] = (uint8_t)parts.scale[2 * j];
            panel[Q4_K_MINS + j / 2 * 2 * PANEL_ROWS + lane * 2 + j % 2] = parts.min[2 * j];
        }
        pack_lanes(panel + Q4_K_QUANTS, lane, 32, src + 16);
    }
}

static void pack_q6_k(uint8_t *panel, size_t lane, size_t n_cols, const uint8_t *src)
{
    const struct weight_info *info = &weight_infos[WEIGHT_Q6_K];
    for (size_t b = 0; b < n_cols / 256; b++, src += info->block_bytes, panel += Q6_K_BLOCK) {
        memcpy(panel + Q6_K_D + lane * 2, src + 208, 2);
        for (size_t j = 0; j < 16; j++)
            panel[Q6_K_SCALES + j * PANEL_ROWS + lane] = src[192 + j];
        for (size_t half = 0; half < 2; half++) {
            uint8_t *lines = panel + Q6_K_QUANTS + half * Q6_K_HALF;
            pack_lanes(lines, lane, 16, src + half * 64);
            pack_lanes(lines + Q6_K_HIGH, lane, 8, src + 128 + half * 32);
        }
    }
}

static void pack_row(enum weight_type type, uint8_t *panel, size_t lane, size_t n_cols,
                     const uint8_t *src)
{
    switch ((int)type) {
    case WEIGHT_F32:
    case WEIGHT_F16:
        pack_plain(panel, lane, n_cols, weight_infos[type].block_bytes, src);
        break;
    case WEIGHT_Q8_0:
        pack_paired(panel, lane, n_cols, Q8_0_QUANTS, src);
        break;
    case WEIGHT_Q4_0:
        pack_paired(panel, lane, n_cols, Q4_0_QUANTS, src);
        break;
    case WEIGHT_Q4_K:
        pack_q4_k(panel, lane, n_cols, src);
        break;
    case WEIGHT_Q6_K:
        pack_q6_k(panel, lane, n_cols, src);
        break;
    }
}

void matrix_pack(struct matrix *out, enum weight_type type, size_t n_rows, size_t n_cols,
                 const void *src, uint8_t *dst)
{
    *out = (struct matrix){
        .type = type,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .panel_bytes = panel_bytes(type, n_cols),
        .panels = dst,
    };
    const uint8_t *row = src;
    size_t row_bytes = weight_bytes(type, n_cols);
    for (size_t r = 0; r < n_rows; r++, row += row_bytes)
        pack_row(type, dst + r / PANEL_ROWS * out->panel_bytes, r % PANEL_ROWS, n_cols, row);
}

/* The four bytes of a lane. */
static const uint8_t *lane_of(const uint8_t *line, size_t g, size_t lane)
{
    return line + g * LINE + lane * 4;
}

static void row_plain(const struct matrix *m, const uint8_t *panel, size_t lane, float *out)
{
    size_t value_bytes = weight_infos[m->type].block_bytes;
    for (size_t k = 0; k < m->n_cols; k++)
        weight_to_f32(m->type, panel + (k * PANEL_ROWS + lane) * value_bytes, 1, out + k);
}

static void block_paired(const struct matrix *m, const uint8_t *panel, size_t lane, size_t b,
                         struct block32 *out)
{
    size_t quants = m->type == WEIGHT_Q8_0 ? Q8_0_QUANTS : Q4_0_QUANTS;
    const uint8_t *lines = panel + paired_quants(b, quants);
    memcpy(&out->d, panel + paired_scales(b, quants) + lane * 2, 2);
    out->m = 0;
    for (size_t g = 0; g < quants / LINE; g++) {
        for (size_t i = 0; i < 4; i++) {
            uint8_t byte = lane_of(lines, g, lane)[i];
            if (m->type == WEIGHT_Q8_0) {
                out->q[4 * g + i] = (int8_t)byte;
            } else {
                out->q[4 * g + i] = (int8_t)((byte & 15) - 8);
                out->q[4 * g + i + 16] = (int8_t)((byte >> 4) - 8);
            }
        }
    }
}

static void block_q4_k(const uint8_t *block, size_t lane, struct block256 *out)
{
    memcpy(&out->d, block + Q4_K_D + lane * 2, 2);
    memcpy(&out->dmin, block + Q4_K_DMIN + lane * 2, 2);
    for (size_t j = 0; j < 16; j++) {
        out->scale[j] = (int8_t)block[Q4_K_SCALES + j / 2 * PANEL_ROWS + lane];
        out->min[j] = block[Q4_K_MINS + j / 4 * 2 * PANEL_ROWS + lane * 2 + j / 2 % 2];
    }
    for (size_t k = 0; k < 256; k++) {
        uint8_t byte = lane_of(block + Q4_K_QUANTS, k / 64 * 8 + k % 32 / 4, lane)[k % 4];
        out->q[k] = (int8_t)(byte >> (k % 64 / 32 * 4) & 15);
    }
}

static void block_q6_k(const uint8_t *block, size_t lane, struct block256 *out)
{
    memcpy(&out->d, block + Q6_K_D + lane * 2, 2);
    out->dmin = 0;
    for (size_t j = 0; j < 16; j++)
        out->scale[j] = (int8_t)block[Q6_K_SCALES + j * PANEL_ROWS + lane];
    for (size_t k = 0; k < 256; k++) {
        const uint8_t *lines = block + Q6_K_QUANTS + k / 128 * Q6_K_HALF;
        size_t l = k % 128;
        int low4 = lane_of(lines, l % 64 / 4, lane)[k % 4] >> (l / 64 * 4) & 15;
        int high2 = lane_of(lines + Q6_K_HIGH, l % 32 / 4, lane)[k % 4] >> (l / 32 * 2) & 3;
        out->q[k] = (int8_t)((low4 | high2 << 4) - 32);
    }
}

void matrix_row(const struct matrix *m, size_t r, float *out)
{
    const uint8_t *panel = m->panels + r / PANEL_ROWS * m->panel_bytes;
    size_t lane = r % PANEL_ROWS, n_values = weight_infos[m->type].block_values;
    if (n_values == 1) {
        row_plain(m, panel, lane, out);
    } else if (n_values == 32) {
        for (size_t b = 0; b < m->n_cols / 32; b++) {
            struct block32 block;
            block_paired(m, panel, lane, b, &block);
            block32_values(m->type, &block, out + 32 * b);
        }
    } else {
        for (size_t b = 0; b < m->n_cols / 256; b++) {
            struct block256 block;
            if (m->type == WEIGHT_Q4_K)
                block_q4_k(panel + b * Q4_K_BLOCK, lane, &block);
            else
                block_q6_k(panel + b * Q6_K_BLOCK, lane, &block);
            block256_values(m->type, &block, out + 256 * b);
        }
    }
}
