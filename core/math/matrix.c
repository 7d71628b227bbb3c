/* matrix.c - packs a tensor's rows into panels, and reads rows and blocks back. Called at load, by
 * the embedding look-up and by the reference kernels; pure. */
#include "math/matrix.h"

#include "base/checked.h"
#include "math/grid.h"
#include "math/panel.h"

#include <string.h>

/* Bytes of a panel; 0 on overflow. */
static size_t panel_bytes(enum weight_type type, size_t n_cols)
{
    const struct weight_info *info = &weight_infos[type];
    size_t n_blocks = n_cols / info->block_values, block_bytes, heads = 0, bytes;
    if (info->block_values == 1) {
        block_bytes = PANEL_ROWS * (size_t)info->block_bytes;
    } else if (info->block_values == 32) {
        block_bytes = panel_quants_bytes(type);
        const size_t n = paired_blocks(type); /* the heads are less than the blocks' bytes */
        heads = (n_blocks / n + (n_blocks % n != 0)) * paired_head(type);
    } else {
        block_bytes = super_bytes(type);
    }
    if (!checked_mul(n_blocks, block_bytes, &bytes) || !checked_add(bytes, heads, &bytes) ||
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

/* n_lines lanes of 4 bytes. */
static void pack_lanes(uint8_t *line, size_t lane, size_t n_lines, const uint8_t *src)
{
    for (size_t i = 0; i < n_lines; i++)
        memcpy(line + i * LINE + lane * 4, src + i * 4, 4);
}

static void pack_quants(enum weight_type type, uint8_t *lines, size_t lane, const uint8_t *block)
{
    const size_t n_low = panel_low_lines(type);
    const uint8_t *low = block + block_parts[type].low, *high = block + block_parts[type].high;
    uint8_t codes[128], high_codes[32];
    if (quant_is_grid(type)) {
        grid_codes(type, block, codes, high_codes);
        low = codes;
        high = high_codes;
    }
    pack_lanes(lines, lane, n_low, low);
    pack_lanes(lines + n_low * LINE, lane, panel_high_lines(type), high);
}

static void pack_paired(enum weight_type type, uint8_t *panel, size_t lane, size_t n_blocks,
                        const uint8_t *src)
{
    for (size_t b = 0; b < n_blocks; b++, src += weight_infos[type].block_bytes) {
        const size_t scale_bytes = quant_scale_bytes(type);
        uint8_t *scale = panel + paired_scales(type, b) + lane * scale_bytes;
        memcpy(scale, src + block_parts[type].d, scale_bytes);
        if (quant_has_min(type))
            memcpy(scale + LINE, src + block_parts[type].m, 2);
        pack_quants(type, panel + paired_quants(type, b), lane, src);
    }
}

static void pack_super(enum weight_type type, uint8_t *panel, size_t lane, size_t n_blocks,
                       const uint8_t *src)
{
    const size_t n_scales = super_n_scales(type), span = 16 / n_scales;
    for (size_t b = 0; b < n_blocks; b++, src += weight_infos[type].block_bytes) {
        struct block256 head;
        block256_scales(type, src, &head);
        memcpy(panel + SUPER_D + lane * 2, &head.d, 2);
        memcpy(panel + SUPER_DMIN + lane * 2, &head.dmin, 2);
        for (size_t j = 0; j < n_scales; j++) {
            size_t pair = (j / 2 * PANEL_ROWS + lane) * 2 + j % 2;
            panel[SUPER_SCALES + j * PANEL_ROWS + lane] = (uint8_t)head.scale[j * span];
            if (quant_has_min(type))
                panel[super_mins(type) + pair] = head.min[j * span];
        }
        pack_quants(type, panel + super_low(type), lane, src);
        panel += super_bytes(type);
    }
}

struct matrix matrix_at(enum weight_type type, size_t n_rows, size_t n_cols, const uint8_t *dst)
{
    return (struct matrix){
        .type = type,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .panel_bytes = panel_bytes(type, n_cols),
        .panels = dst,
    };
}

size_t matrix_pack_panels(const struct matrix *m, const void *src, size_t p0, size_t p1)
{
    const struct weight_info *info = &weight_infos[m->type];
    const size_t n_blocks = m->n_cols / info->block_values,
                 row_bytes = n_blocks * info->block_bytes;
    const size_t end = p1 * PANEL_ROWS < m->n_rows ? p1 * PANEL_ROWS : m->n_rows;
    size_t bad_row = m->n_rows;
    for (size_t r = p0 * PANEL_ROWS; r < end; r++) {
        const uint8_t *row = (const uint8_t *)src + r * row_bytes;
        /* The one place that writes to what is const for all who read it. */
        uint8_t *panel = (uint8_t *)(uintptr_t)m->panels + r / PANEL_ROWS * m->panel_bytes;
        size_t lane = r % PANEL_ROWS;
        if (bad_row == m->n_rows && !weight_all_finite(m->type, row, m->n_cols))
            bad_row = r;
        if (info->block_values == 1)
            pack_plain(panel, lane, m->n_cols, info->block_bytes, row);
        else if (info->block_values == 32)
            pack_paired(m->type, panel, lane, n_blocks, row);
        else
            pack_super(m->type, panel, lane, n_blocks, row);
    }
    return bad_row;
}

void matrix_pack(struct matrix *out, enum weight_type type, size_t n_rows, size_t n_cols,
                 const void *src, uint8_t *dst)
{
    *out = matrix_at(type, n_rows, n_cols, dst);
    matrix_pack_panels(out, src, 0, matrix_n_panels(out));
}

/* The bytes of n_lines lanes: pack_lanes' inverse. */
static void gather_lanes(const uint8_t *line, size_t lane, size_t n_lines, uint8_t *out)
{
    for (size_t i = 0; i < n_lines; i++)
        memcpy(out + i * 4, line + i * LINE + lane * 4, 4);
}

void panel_block32(enum weight_type type, const uint8_t *panel, size_t lane, size_t block,
                   struct block32 *out)
{
    const uint8_t *scale = panel + paired_scales(type, block) + lane * quant_scale_bytes(type);
    const uint8_t *lines = panel + paired_quants(type, block);
    uint8_t low[32], high[4];
    out->d = scale[0];
    if (quant_scale_bytes(type) == 2)
        memcpy(&out->d, scale, 2);
    out->m = 0;
    if (quant_has_min(type))
        memcpy(&out->m, scale + LINE, 2);
    gather_lanes(lines, lane, panel_low_lines(type), low);
    gather_lanes(lines + panel_low_lines(type) * LINE, lane, panel_high_lines(type), high);
    block32_quants(type, low, high, out->q);
}

void panel_block256(enum weight_type type, const uint8_t *panel, size_t lane, size_t block,
                    struct block256 *out)
{
    const uint8_t *head = panel + block * super_bytes(type);
    const size_t n_scales = super_n_scales(type), span = 16 / n_scales;
    uint8_t low[128], high[64];
    memcpy(&out->d, head + SUPER_D + lane * 2, 2);
    memcpy(&out->dmin, head + SUPER_DMIN + lane * 2, 2);
    for (size_t j = 0; j < 16; j++) {
        size_t i = j / span, pair = (i / 2 * PANEL_ROWS + lane) * 2 + i % 2;
        out->scale[j] = (int8_t)head[SUPER_SCALES + i * PANEL_ROWS + lane];
        out->min[j] = quant_has_min(type) ? head[super_mins(type) + pair] : 0;
    }
    gather_lanes(head + super_low(type), lane, panel_low_lines(type), low);
    gather_lanes(head + super_high(type), lane, panel_high_lines(type), high);
    block256_quants(type, low, high, out->q);
}

void matrix_row(const struct matrix *m, size_t r, float *out)
{
    const uint8_t *panel = m->panels + r / PANEL_ROWS * m->panel_bytes;
    const struct weight_info *info = &weight_infos[m->type];
    const size_t lane = r % PANEL_ROWS, n_blocks = m->n_cols / info->block_values;
    for (size_t b = 0; b < n_blocks; b++) {
        if (info->block_values == 1) {
            const uint8_t *value = panel + (b * PANEL_ROWS + lane) * info->block_bytes;
            weight_to_f32(m->type, value, 1, out + b);
        } else if (info->block_values == 32) {
            struct block32 block;
            panel_block32(m->type, panel, lane, b, &block);
            block32_values(m->type, &block, out + 32 * b);
        } else {
            struct block256 block;
            panel_block256(m->type, panel, lane, b, &block);
            block256_values(m->type, &block, out + 256 * b);
        }
    }
}
