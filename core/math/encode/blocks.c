/* blocks.c - parts of a block to its bytes, type by type; each function mirrors one of
 * quant.c's. Pure. */
#include "math/encode/blocks.h"

#include <string.h>

static void store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static unsigned code_of(enum weight_type type, int8_t value)
{
    unsigned i = 0;
    while (quant_codebooks[type][i] != value)
        i++;
    return i;
}

/* The first 16 values are the low nibbles. */
static void put_nibbles(const int8_t *q, int zero, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] =
            (uint8_t)(((unsigned)(q[i] + zero) & 15) | ((unsigned)(q[i + 16] + zero) & 15) << 4);
}

static void put_codes(enum weight_type type, const int8_t *q, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(code_of(type, q[i]) | code_of(type, q[i + 16]) << 4);
}

static void put_fifth(const int8_t *q, int zero, uint8_t *qh)
{
    memset(qh, 0, 4);
    for (int k = 0; k < 32; k++)
        qh[k / 8] = (uint8_t)(qh[k / 8] | (((unsigned)(q[k] + zero) >> 4 & 1) << k % 8));
}

void block32_encode(enum weight_type type, const struct block32 *b, uint8_t *dst)
{
    if (quant_scale_bytes(type) == 1)
        dst[0] = (uint8_t)b->d;
    else
        store16(dst, b->d);
    if (quant_has_min(type))
        store16(dst + 2, b->m);
    switch ((int)type) {
    case WEIGHT_Q8_0:
        memcpy(dst + 2, b->q, 32);
        break;
    case WEIGHT_Q4_0:
        put_nibbles(b->q, 8, dst + 2);
        break;
    case WEIGHT_Q4_1:
        put_nibbles(b->q, 0, dst + 4);
        break;
    case WEIGHT_Q5_0:
        put_fifth(b->q, 16, dst + 2);
        put_nibbles(b->q, 16, dst + 6);
        break;
    case WEIGHT_Q5_1:
        put_fifth(b->q, 0, dst + 4);
        put_nibbles(b->q, 0, dst + 8);
        break;
    case WEIGHT_IQ4_NL:
    case WEIGHT_MXFP4:
        put_codes(type, b->q, dst + block_parts[type].low);
        break;
    }
}

/* Q4_K and Q5_K: 8 scales and 8 minimums of 6 bits in 12 bytes. */
static void put_scales_6bit(const struct block256 *b, uint8_t *dst)
{
    uint8_t *s = dst + 4;
    store16(dst, b->d);
    store16(dst + 2, b->dmin);
    memset(s, 0, 12);
    for (int j = 0; j < 8; j++) {
        unsigned scale = (uint8_t)b->scale[2 * j], min = b->min[2 * j];
        if (j < 4) {
            s[j] = (uint8_t)(s[j] | scale);
            s[j + 4] = (uint8_t)(s[j + 4] | min);
        } else {
            s[j + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
            s[j - 4] = (uint8_t)(s[j - 4] | scale >> 4 << 6);
            s[j] = (uint8_t)(s[j] | min >> 4 << 6);
        }
    }
}

/* Two bits of each value, 4 runs of 32 in each 128. */
static void put_crumbs(const struct block256 *b, int zero, uint8_t *qs)
{
    memset(qs, 0, 64);
    for (int k = 0; k < 256; k++) {
        uint8_t *byte = qs + k / 128 * 32 + k % 32;
        *byte = (uint8_t)(*byte | ((unsigned)(b->q[k] + zero) & 3) << (k % 128 / 32 * 2));
    }
}

/* Four bits of each value, 2 runs of 32 in each 64. */
static void put_halves(const struct block256 *b, uint8_t *qs)
{
    memset(qs, 0, 128);
    for (int k = 0; k < 256; k++) {
        uint8_t *byte = qs + k / 64 * 32 + k % 32;
        *byte = (uint8_t)(*byte | ((unsigned)b->q[k] & 15) << (k % 64 / 32 * 4));
    }
}

/* One bit of each value: bit k / 32 of byte k % 32. */
static void put_bits(const struct block256 *b, int zero, int bit, uint8_t *high)
{
    memset(high, 0, 32);
    for (int k = 0; k < 256; k++)
        high[k % 32] = (uint8_t)(high[k % 32] | ((unsigned)(b->q[k] + zero) >> bit & 1) << k / 32);
}

static void encode_q2_k(const struct block256 *b, uint8_t *dst)
{
    for (int j = 0; j < 16; j++)
        dst[j] = (uint8_t)((unsigned)b->scale[j] | (unsigned)b->min[j] << 4);
    put_crumbs(b, 0, dst + 16);
    store16(dst + 80, b->d);
    store16(dst + 82, b->dmin);
}

static void encode_q3_k(const struct block256 *b, uint8_t *dst)
{
    uint8_t *s = dst + 96;
    put_bits(b, 4, 2, dst);
    put_crumbs(b, 4, dst + 32);
    memset(s, 0, 12);
    for (int j = 0; j < 16; j++) {
        unsigned scale = (unsigned)(b->scale[j] + 32);
        uint8_t *low = s + j % 8, *high = s + 8 + j % 4;
        *low = (uint8_t)(*low | (scale & 15) << (j / 8 * 4));
        *high = (uint8_t)(*high | scale >> 4 << (j / 4 * 2));
    }
    store16(dst + 108, b->d);
}

static void encode_q6_k(const struct block256 *b, uint8_t *dst)
{
    memset(dst, 0, 192);
    for (int k = 0; k < 256; k++) {
        int half = k / 128, l = k % 128;
        unsigned q = (unsigned)(b->q[k] + 32);
        uint8_t *low = dst + half * 64 + l % 64, *high = dst + 128 + half * 32 + l % 32;
        *low = (uint8_t)(*low | (q & 15) << (l / 64 * 4));
        *high = (uint8_t)(*high | q >> 4 << (l / 32 * 2));
    }
    memcpy(dst + 192, b->scale, 16);
    store16(dst + 208, b->d);
}

static void encode_iq4_xs(const struct block256 *b, uint8_t *dst)
{
    unsigned high = 0;
    memset(dst + 4, 0, 4);
    for (int j = 0; j < 8; j++) {
        unsigned scale = (unsigned)(b->scale[2 * j] + 32);
        dst[4 + j / 2] = (uint8_t)(dst[4 + j / 2] | (scale & 15) << (j % 2 * 4));
        high |= scale >> 4 << (2 * j);
        put_codes(WEIGHT_IQ4_XS, b->q + 32 * j, dst + 8 + 16 * j);
    }
    store16(dst, b->d);
    store16(dst + 2, (uint16_t)high);
}

void block256_encode(enum weight_type type, const struct block256 *b, uint8_t *dst)
{
    switch ((int)type) {
    case WEIGHT_Q2_K:
        encode_q2_k(b, dst);
        break;
    case WEIGHT_Q3_K:
        encode_q3_k(b, dst);
        break;
    case WEIGHT_Q4_K:
        put_scales_6bit(b, dst);
        put_halves(b, dst + 16);
        break;
    case WEIGHT_Q5_K:
        put_scales_6bit(b, dst);
        put_bits(b, 0, 4, dst + 16);
        put_halves(b, dst + 48);
        break;
    case WEIGHT_Q6_K:
        encode_q6_k(b, dst);
        break;
    case WEIGHT_IQ4_XS:
        encode_iq4_xs(b, dst);
        break;
    }
}
