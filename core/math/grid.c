/* grid.c - takes the blocks of IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S and TQ1_0
 * apart, each function one type's layout in the file. Pure; any thread. */
#include "math/grid.h"

#include "math/grid_tables.h"

#include <string.h>

static unsigned load16(const uint8_t *p)
{
    return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)load16(p) | (uint32_t)load16(p + 2) << 16;
}

/* Signs of 8 values in 7 bits: an even number of them is negative. */
static unsigned eight_signs(uint32_t seven)
{
    unsigned bits = seven & 127;
    return bits | (unsigned)__builtin_parity(bits) << 7;
}

/* 8 codes of an entry and the signs (bit k: value k is negative, in codes the bit of weight 4). */
static void put_8(unsigned entry, unsigned signs, uint8_t *codes)
{
    for (unsigned k = 0; k < 8; k++)
        codes[k] = (uint8_t)((entry >> 2 * k & 3) | (signs >> k & 1) << 2);
}

/* 4 codes; a sign has the weight 8. */
static void put_4(unsigned entry, unsigned signs, uint8_t *codes)
{
    for (unsigned k = 0; k < 4; k++)
        codes[k] = (uint8_t)((entry >> 3 * k & 7) | (signs >> k & 1) << 3);
}

/* For each 32 values: 4 entries, then 4 x 7 bits of signs and a scale. */
static void codes_iq2_xxs(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 32; i++) {
        const uint8_t *part = src + 2 + i / 4 * 8;
        uint32_t signs = load32(part + 4) >> (i % 4 * 7);
        put_8(iq2_xxs_grid[part[i % 4]], eight_signs(signs), codes + 8 * i);
    }
}

/* 9 bits of entry, 7 of signs. */
static void codes_iq2_xs(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned both = load16(src + 2 + 2 * i);
        put_8(iq2_xs_grid[both & 511], eight_signs(both >> 9), codes + 8 * i);
    }
}

/* 8 bits of entry, 8 of signs, 2 more of entry. */
static void codes_iq2_s(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned entry = src[2 + i] | (src[66 + i / 4] >> (i % 4 * 2) & 3u) << 8;
        put_8(iq2_s_grid[entry], src[34 + i], codes + 8 * i);
    }
}

static void codes_iq3_xxs(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 64; i++) {
        uint32_t signs = load32(src + 66 + i / 8 * 4) >> (i % 8 / 2 * 7);
        put_4(iq3_xxs_grid[src[2 + i]], eight_signs(signs) >> (i % 2 * 4), codes + 4 * i);
    }
}

static void codes_iq3_s(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 64; i++) {
        unsigned entry = src[2 + i] | (src[66 + i / 8] >> i % 8 & 1u) << 8;
        put_4(iq3_s_grid[entry], (unsigned)src[74 + i / 2] >> (i % 2 * 4), codes + 4 * i);
    }
}

/* 8 bits of entry, 3 more in 16 bits for each 32 values, whose highest is the shift's sign. */
static void codes_iq1_s(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned more = load16(src + 34 + i / 4 * 2), entry = src[2 + i];
        entry |= (more >> (i % 4 * 3) & 7) << 8;
        put_8(iq1_s_grid[entry], more >> 15 != 0 ? 0xff : 0, codes + 8 * i);
    }
}

/* 8 bits of entry, and a nibble: 3 more and the shift's sign. */
static void codes_iq1_m(const uint8_t *src, uint8_t *codes)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned more = (unsigned)src[32 + i / 2] >> (i % 2 * 4);
        put_8(iq1_s_grid[src[i] | (more & 7) << 8], (more & 8) != 0 ? 0xff : 0, codes + 8 * i);
    }
}

/* 5 values to a byte, as a fraction of 256 in base 3: 32 bytes, 16, and 4 of 4 values. */
static void codes_tq1_0(const uint8_t *src, uint8_t *codes)
{
    static const struct {
        unsigned n_bytes, n_values;
    } parts[] = {{32, 5}, {16, 5}, {4, 4}};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        unsigned power = 1;
        for (unsigned v = 0; v < parts[p].n_values; v++, power *= 3) {
            for (unsigned i = 0; i < parts[p].n_bytes; i++)
                *codes++ = (uint8_t)((src[i] * power & 255) * 3 >> 8);
        }
        src += parts[p].n_bytes;
    }
}

void grid_codes(enum weight_type type, const uint8_t *src, uint8_t low[128], uint8_t high[32])
{
    uint8_t codes[256];
    switch ((int)type) {
    case WEIGHT_IQ1_S:
        codes_iq1_s(src, codes);
        break;
    case WEIGHT_IQ1_M:
        codes_iq1_m(src, codes);
        break;
    case WEIGHT_IQ2_XXS:
        codes_iq2_xxs(src, codes);
        break;
    case WEIGHT_IQ2_XS:
        codes_iq2_xs(src, codes);
        break;
    case WEIGHT_IQ2_S:
        codes_iq2_s(src, codes);
        break;
    case WEIGHT_IQ3_XXS:
        codes_iq3_xxs(src, codes);
        break;
    case WEIGHT_IQ3_S:
        codes_iq3_s(src, codes);
        break;
    default:
        codes_tq1_0(src, codes);
        break;
    }
    memset(low, 0, 128);
    memset(high, 0, 32);
    for (unsigned k = 0; k < 256; k++) {
        if (type == WEIGHT_IQ3_XXS || type == WEIGHT_IQ3_S) { /* as in IQ4_XS */
            uint8_t *byte = low + k / 32 * 16 + k % 16;
            *byte = (uint8_t)(*byte | codes[k] << (k % 32 / 16 * 4));
        } else { /* as in Q2_K and Q3_K */
            uint8_t *byte = low + k / 128 * 32 + k % 32, *bit = high + k % 32;
            *byte = (uint8_t)(*byte | (codes[k] & 3) << (k % 128 / 32 * 2));
            *bit = (uint8_t)(*bit | codes[k] >> 2 << k / 32);
        }
    }
}

uint16_t grid_d(enum weight_type type, const uint8_t *src)
{
    if (type == WEIGHT_TQ1_0)
        return (uint16_t)load16(src + 52);
    if (type != WEIGHT_IQ1_M)
        return (uint16_t)load16(src);
    unsigned d = 0;
    for (unsigned i = 0; i < 4; i++)
        d |= load16(src + 48 + 2 * i) >> 12 << 4 * i;
    return (uint16_t)d;
}

/* Of the j-th 16 values. */
static unsigned scale_of(enum weight_type type, const uint8_t *src, unsigned j)
{
    switch ((int)type) {
    case WEIGHT_IQ1_S:
        return load16(src + 34 + j / 2 * 2) >> 12 & 7;
    case WEIGHT_IQ1_M:
        return load16(src + 48 + j / 4 * 2) >> (j % 4 * 3) & 7;
    case WEIGHT_IQ2_XXS:
        return src[2 + j / 2 * 8 + 7] >> 4;
    case WEIGHT_IQ2_XS:
        return src[66 + j / 2] >> (j % 2 * 4) & 15;
    case WEIGHT_IQ2_S:
        return src[74 + j / 2] >> (j % 2 * 4) & 15;
    case WEIGHT_IQ3_XXS:
        return src[66 + j / 2 * 4 + 3] >> 4;
    case WEIGHT_IQ3_S:
        return src[106 + j / 4] >> (j / 2 % 2 * 4) & 15;
    default:
        return 0;
    }
}

void grid_scales(enum weight_type type, const uint8_t *src, struct block256 *out)
{
    out->d = grid_d(type, src);
    out->dmin = 0;
    memset(out->min, 0, sizeof out->min);
    for (unsigned j = 0; j < 16; j++)
        out->scale[j] = (int8_t)(2 * scale_of(type, src, j) + 1);
}
