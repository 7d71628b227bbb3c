/* quant.c - the table of weight types, half precision, and the exact value of every weight. Pure;
 * any thread.
 *
 * The block formats are GGML's; the order of the products is that of its dequantize_row functions,
 * so that the values are the same bits. */
#include "math/quant.h"

#include "math/grid.h"
#include "math/kernels.h"
#include "math/quant_blocks.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Intermediate results in wider registers would make other bits of every formula here. */
_Static_assert(FLT_EVAL_METHOD == 0, "float arithmetic must round to float");

const struct weight_info weight_infos[WEIGHT_TYPES] = {
    [WEIGHT_F32] = {"F32", 0, 1, 4, ACT_F32, 1},
    [WEIGHT_F16] = {"F16", 1, 1, 2, ACT_F32, 1},
    [WEIGHT_BF16] = {"BF16", 30, 1, 2, ACT_F32, 1},
    [WEIGHT_Q8_0] = {"Q8_0", 8, 32, 34, ACT_Q8, 1},
    [WEIGHT_Q4_0] = {"Q4_0", 2, 32, 18, ACT_Q8, 1},
    [WEIGHT_Q4_1] = {"Q4_1", 3, 32, 20, ACT_Q8, 1},
    [WEIGHT_Q5_0] = {"Q5_0", 6, 32, 22, ACT_Q8, 1},
    [WEIGHT_Q5_1] = {"Q5_1", 7, 32, 24, ACT_Q8, 1},
    [WEIGHT_Q2_K] = {"Q2_K", 10, 256, 84, ACT_Q8K, 1},
    [WEIGHT_Q3_K] = {"Q3_K", 11, 256, 110, ACT_Q8K, 1},
    [WEIGHT_Q4_K] = {"Q4_K", 12, 256, 144, ACT_Q8K, 1},
    [WEIGHT_Q5_K] = {"Q5_K", 13, 256, 176, ACT_Q8K, 1},
    [WEIGHT_Q6_K] = {"Q6_K", 14, 256, 210, ACT_Q8K, 1},
    [WEIGHT_IQ4_NL] = {"IQ4_NL", 20, 32, 18, ACT_Q8, 1},
    [WEIGHT_IQ4_XS] = {"IQ4_XS", 23, 256, 136, ACT_Q8K, 1},
    [WEIGHT_MXFP4] = {"MXFP4", 39, 32, 17, ACT_Q8, 1},
    [WEIGHT_IQ1_S] = {"IQ1_S", 19, 256, 50, ACT_Q8K, 1},
    [WEIGHT_IQ1_M] = {"IQ1_M", 29, 256, 56, ACT_Q8K, 1},
    [WEIGHT_IQ2_XXS] = {"IQ2_XXS", 16, 256, 66, ACT_Q8K, 1},
    [WEIGHT_IQ2_XS] = {"IQ2_XS", 17, 256, 74, ACT_Q8K, 1},
    [WEIGHT_IQ2_S] = {"IQ2_S", 22, 256, 82, ACT_Q8K, 1},
    [WEIGHT_IQ3_XXS] = {"IQ3_XXS", 18, 256, 98, ACT_Q8K, 1},
    [WEIGHT_IQ3_S] = {"IQ3_S", 21, 256, 110, ACT_Q8K, 1},
    [WEIGHT_TQ1_0] = {"TQ1_0", 34, 256, 54, ACT_Q8K, 1},
    [WEIGHT_TQ2_0] = {"TQ2_0", 35, 256, 66, ACT_Q8K, 1},
};

enum weight_type weight_type_of_ggml(uint32_t ggml_id)
{
    for (int type = 0; type < WEIGHT_TYPES; type++) {
        if (weight_infos[type].ggml_id == ggml_id)
            return (enum weight_type)type;
    }
    return WEIGHT_TYPES;
}

const char *ggml_type_name(uint32_t ggml_id)
{
    static const char *const names[] = {
        "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
        "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
        "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
        "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
        "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
        "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",
    };
    return ggml_id < sizeof names / sizeof names[0] ? names[ggml_id] : NULL;
}

size_t weight_bytes(enum weight_type type, size_t n)
{
    return n / weight_infos[type].block_values * weight_infos[type].block_bytes;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1f, fraction = h & 0x3ffu;
    union { /* not memcpy: a sanitizer watches each variable whose address is taken */
        uint32_t bits;
        float f;
    } out;
    if (exponent == 0x1f) { /* a NaN becomes quiet, as the hardware does it */
        out.bits = sign | 0x7f800000u | fraction << 13 | (fraction != 0 ? 0x400000u : 0);
    } else if (exponent != 0) {
        out.bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else { /* subnormal: fraction * 2^-24, exact in F32 */
        out.f = (float)fraction * 0x1p-24f;
        out.bits |= sign;
    }
    return out.f;
}

uint16_t f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* NaN: quiet, the payload's high bits kept */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        float value;
        memcpy(&value, &magnitude, sizeof value);
        /* Adding 0.5 leaves 24 - 1 bits below it, the last of which is 2^-24: the sum rounds there.
         */
        value += 0.5f;
        uint32_t rounded;
        memcpy(&rounded, &value, sizeof rounded);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

#define IQ4_CODEBOOK                                                                               \
    {                                                                                              \
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113                   \
    }
/* -1, 0 and 1 moved by an eighth, up or down, in eighths */
#define IQ1_CODEBOOK                                                                               \
    {                                                                                              \
        -7, 1, 9, 0, -9, -1, 7                                                                     \
    }
#define IQ2_CODEBOOK                                                                               \
    {                                                                                              \
        8, 25, 43, 0, -8, -25, -43                                                                 \
    }

const int8_t quant_codebooks[WEIGHT_TYPES][16] = {
    [WEIGHT_IQ4_NL] = IQ4_CODEBOOK,
    [WEIGHT_IQ4_XS] = IQ4_CODEBOOK,
    /* E2M1, twice: 0 0.5 1 1.5 2 3 4 6 and the same below zero */
    [WEIGHT_MXFP4] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
    [WEIGHT_IQ1_S] = IQ1_CODEBOOK,
    [WEIGHT_IQ1_M] = IQ1_CODEBOOK,
    [WEIGHT_IQ2_XXS] = IQ2_CODEBOOK,
    [WEIGHT_IQ2_XS] = IQ2_CODEBOOK,
    [WEIGHT_IQ2_S] = IQ2_CODEBOOK,
    [WEIGHT_IQ3_XXS] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62},
    [WEIGHT_IQ3_S] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15},
    [WEIGHT_TQ1_0] = {-1, 0, 1},
    [WEIGHT_TQ2_0] = {-1, 0, 1, 2},
};

const struct block_parts block_parts[WEIGHT_TYPES] = {
    [WEIGHT_Q8_0] = {.d = 0, .low = 2, .n_low = 32},
    [WEIGHT_Q4_0] = {.d = 0, .low = 2, .n_low = 16},
    [WEIGHT_Q4_1] = {.d = 0, .m = 2, .low = 4, .n_low = 16},
    [WEIGHT_Q5_0] = {.d = 0, .low = 6, .n_low = 16, .high = 2, .n_high = 4},
    [WEIGHT_Q5_1] = {.d = 0, .m = 2, .low = 8, .n_low = 16, .high = 4, .n_high = 4},
    [WEIGHT_IQ4_NL] = {.d = 0, .low = 2, .n_low = 16},
    [WEIGHT_Q2_K] = {.d = 80, .m = 82, .low = 16, .n_low = 64},
    [WEIGHT_Q3_K] = {.d = 108, .low = 32, .n_low = 64, .high = 0, .n_high = 32},
    [WEIGHT_Q4_K] = {.d = 0, .m = 2, .low = 16, .n_low = 128},
    [WEIGHT_Q5_K] = {.d = 0, .m = 2, .low = 48, .n_low = 128, .high = 16, .n_high = 32},
    [WEIGHT_Q6_K] = {.d = 208, .low = 0, .n_low = 128, .high = 128, .n_high = 64},
    [WEIGHT_IQ4_XS] = {.d = 0, .low = 8, .n_low = 128},
    [WEIGHT_MXFP4] = {.d = 0, .low = 1, .n_low = 16},
    [WEIGHT_TQ2_0] = {.d = 64, .low = 0, .n_low = 64},
};

/* 2^(e - 127), the smallest of them subnormal; 255: infinity. */
static float e8m0_to_f32(uint16_t e)
{
    uint32_t bits = e == 0 ? 0x400000u : (uint32_t)e << 23;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float quant_scale(enum weight_type type, uint16_t bits)
{
    return type == WEIGHT_MXFP4 ? e8m0_to_f32(bits) * 0.5f : f16_to_f32(bits);
}

/* Value k of 32 in 16 bytes: the low nibbles are the first 16. */
static int nibble(const uint8_t *low, int k)
{
    return low[k % 16] >> (k / 16 * 4) & 15;
}

static int fifth_bit(const uint8_t *high, int k)
{
    return (high[k / 8] >> k % 8 & 1) << 4;
}

void block32_quants(enum weight_type type, const uint8_t *low, const uint8_t *high, int8_t *q)
{
    int zero = type == WEIGHT_Q4_0 ? 8 : type == WEIGHT_Q5_0 ? 16 : 0;
    if (type == WEIGHT_Q8_0) {
        memcpy(q, low, 32);
        return;
    }
    for (int k = 0; k < 32; k++)
        q[k] = (int8_t)(nibble(low, k) - zero);
    if (type == WEIGHT_Q5_0 || type == WEIGHT_Q5_1) {
        for (int k = 0; k < 32; k++)
            q[k] = (int8_t)(q[k] + fifth_bit(high, k));
    } else if (quant_has_codebook(type)) {
        for (int k = 0; k < 32; k++)
            q[k] = quant_codebooks[type][q[k]];
    }
}

void block32_decode(enum weight_type type, const uint8_t *src, struct block32 *out)
{
    const struct block_parts *parts = &block_parts[type];
    out->d = quant_scale_bytes(type) == 1 ? src[parts->d] : load16(src + parts->d);
    out->m = quant_has_min(type) ? load16(src + parts->m) : 0;
    block32_quants(type, src + parts->low, src + parts->high, out->q);
}

void block32_values(enum weight_type type, const struct block32 *b, float *out)
{
    float d = quant_scale(type, b->d), m = f16_to_f32(b->m);
    for (int k = 0; k < 32; k++) {
        out[k] = (float)b->q[k] * d;
        if (quant_has_min(type))
            out[k] += m;
    }
}

/* Q4_K and Q5_K: 8 scales and 8 minimums of 6 bits in 12 bytes. */
static void scales_6bit(const uint8_t *s, struct block256 *out)
{
    for (int j = 0; j < 8; j++) {
        int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int min = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        out->scale[2 * j] = out->scale[2 * j + 1] = (int8_t)scale;
        out->min[2 * j] = out->min[2 * j + 1] = (uint8_t)min;
    }
}

/* Q3_K: the low 4 bits of 16 scales in 8 bytes, the high 2 in 4. */
static void scales_q3_k(const uint8_t *s, struct block256 *out)
{
    for (int j = 0; j < 16; j++) {
        int low4 = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
        out->scale[j] = (int8_t)((low4 | (s[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32);
    }
}

static void scales_iq4_xs(const uint8_t *src, struct block256 *out)
{
    unsigned high2 = load16(src + 2);
    for (int j = 0; j < 8; j++) {
        int scale = (src[4 + j / 2] >> (j % 2 * 4) & 15) | (int)(high2 >> (2 * j) & 3) << 4;
        out->scale[2 * j] = out->scale[2 * j + 1] = (int8_t)(scale - 32);
    }
}

void block256_scales(enum weight_type type, const uint8_t *src, struct block256 *out)
{
    if (quant_is_grid(type)) {
        grid_scales(type, src, out);
        return;
    }
    out->d = load16(src + block_parts[type].d);
    out->dmin = quant_has_min(type) ? load16(src + block_parts[type].m) : 0;
    memset(out->min, 0, sizeof out->min);
    switch ((int)type) {
    case WEIGHT_Q2_K:
        for (int j = 0; j < 16; j++) {
            out->scale[j] = (int8_t)(src[j] & 15);
            out->min[j] = src[j] >> 4;
        }
        break;
    case WEIGHT_Q3_K:
        scales_q3_k(src + 96, out);
        break;
    case WEIGHT_Q4_K:
    case WEIGHT_Q5_K:
        scales_6bit(src + 4, out);
        break;
    case WEIGHT_Q6_K:
        memcpy(out->scale, src + 192, 16);
        break;
    case WEIGHT_IQ4_XS:
        scales_iq4_xs(src, out);
        break;
    case WEIGHT_TQ2_0:
        memset(out->scale, 1, sizeof out->scale);
        break;
    }
}

/* Q2_K and Q3_K: 2 bits, 4 values to a byte, 32 bytes for each 128. */
static int two_bits(const uint8_t *low, int k)
{
    return low[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
}

/* Q4_K and Q5_K: 32 bytes for each 64. */
static int four_bits(const uint8_t *low, int k)
{
    return low[k / 64 * 32 + k % 32] >> (k % 64 / 32 * 4) & 15;
}

/* Q3_K and Q5_K: one bit more, 8 values to a byte. */
static int one_bit(const uint8_t *high, int k)
{
    return high[k % 32] >> k / 32 & 1;
}

/* Q6_K: 4 bits, 64 bytes for each 128, and 2 bits, 32 bytes for each 128. */
static int six_bits(const uint8_t *low, const uint8_t *high, int k)
{
    int l = k % 128, low4 = low[k / 128 * 64 + l % 64] >> (l / 64 * 4) & 15;
    return low4 | two_bits(high, k) << 4;
}

/* The code of value k, of a type with a codebook. */
static int code_of(enum weight_type type, const uint8_t *low, const uint8_t *high, int k)
{
    switch (quant_code_bits(type)) {
    case 2:
        return two_bits(low, k);
    case 3:
        return two_bits(low, k) | one_bit(high, k) << 2;
    default:
        return nibble(low + k / 32 * 16, k % 32);
    }
}

void block256_quants(enum weight_type type, const uint8_t *low, const uint8_t *high, int8_t *q)
{
    switch ((int)type) {
    case WEIGHT_Q2_K:
        for (int k = 0; k < 256; k++)
            q[k] = (int8_t)two_bits(low, k);
        break;
    case WEIGHT_Q3_K:
        for (int k = 0; k < 256; k++)
            q[k] = (int8_t)((two_bits(low, k) | one_bit(high, k) << 2) - 4);
        break;
    case WEIGHT_Q4_K:
        for (int k = 0; k < 256; k++)
            q[k] = (int8_t)four_bits(low, k);
        break;
    case WEIGHT_Q5_K:
        for (int k = 0; k < 256; k++)
            q[k] = (int8_t)(four_bits(low, k) | one_bit(high, k) << 4);
        break;
    case WEIGHT_Q6_K:
        for (int k = 0; k < 256; k++)
            q[k] = (int8_t)(six_bits(low, high, k) - 32);
        break;
    default:
        for (int k = 0; k < 256; k++)
            q[k] = quant_codebooks[type][code_of(type, low, high, k)];
        break;
    }
}

void block256_decode(enum weight_type type, const uint8_t *src, struct block256 *out)
{
    const struct block_parts *parts = &block_parts[type];
    block256_scales(type, src, out);
    if (quant_is_grid(type)) {
        uint8_t low[128], high[32];
        grid_codes(type, src, low, high);
        block256_quants(type, low, high, out->q);
        return;
    }
    block256_quants(type, src + parts->low, src + parts->high, out->q);
}

void block256_values(enum weight_type type, const struct block256 *b, float *out)
{
    float d = f16_to_f32(b->d) * quant_unit(type), dmin = f16_to_f32(b->dmin);
    for (int j = 0; j < 16; j++) {
        float scale = d * (float)b->scale[j], min = dmin * (float)b->min[j];
        for (int k = 16 * j; k < 16 * j + 16; k++) {
            out[k] = scale * (float)b->q[k];
            if (quant_has_min(type))
                out[k] -= min;
        }
    }
}

static void plain_to_f32(enum weight_type type, const uint8_t *src, size_t n, float *out)
{
    if (type == WEIGHT_F32) {
        memcpy(out, src, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half = load16(src + 2 * i);
        if (type == WEIGHT_F16) {
            out[i] = f16_to_f32(half);
        } else { /* BF16: the upper half of an F32 */
            uint32_t bits = (uint32_t)half << 16;
            memcpy(out + i, &bits, sizeof bits);
        }
    }
}

void weight_to_f32(enum weight_type type, const void *src, size_t n, float *out)
{
    const struct weight_info *info = &weight_infos[type];
    const uint8_t *bytes = src;
    if (info->block_values == 1) {
        plain_to_f32(type, bytes, n, out);
        return;
    }
    for (size_t i = 0; i < n; i += info->block_values, bytes += info->block_bytes) {
        if (info->block_values == 32) {
            struct block32 b;
            block32_decode(type, bytes, &b);
            block32_values(type, &b, out + i);
        } else {
            struct block256 b = {0};
            block256_decode(type, bytes, &b);
            block256_values(type, &b, out + i);
        }
    }
}

enum { RUN = 64 }; /* values looked at together: a number known here makes vector code of it */

static bool run_of_words_finite(const uint8_t *src)
{
    const uint32_t exponent = 0x7f800000;
    uint32_t words[RUN], bad = 0;
    memcpy(words, src, sizeof words);
    for (size_t k = 0; k < RUN; k++)
        bad |= (words[k] & exponent) == exponent;
    return bad == 0;
}

static bool words_finite(const uint8_t *src, size_t n)
{
    uint8_t rest[4 * RUN] = {0};
    for (; n >= RUN; n -= RUN, src += sizeof rest) {
        if (!run_of_words_finite(src))
            return false;
    }
    memcpy(rest, src, 4 * n);
    return run_of_words_finite(rest);
}

/* exponent: its bits in a half, F16 or BF16. */
static bool run_of_halves_finite(const uint8_t *src, uint16_t exponent)
{
    uint16_t halves[RUN], bad = 0;
    memcpy(halves, src, sizeof halves);
    for (size_t k = 0; k < RUN; k++)
        bad |= (halves[k] & exponent) == exponent;
    return bad == 0;
}

static bool halves_finite(const uint8_t *src, size_t n, uint16_t exponent)
{
    uint8_t rest[2 * RUN] = {0};
    for (; n >= RUN; n -= RUN, src += sizeof rest) {
        if (!run_of_halves_finite(src, exponent))
            return false;
    }
    memcpy(rest, src, 2 * n);
    return run_of_halves_finite(rest, exponent);
}

/* A block's integers are finite whatever they are: its F16 scale and minimum tell. */
static bool blocks_finite(enum weight_type type, const uint8_t *src, size_t n_blocks)
{
    const struct block_parts *parts = &block_parts[type];
    const bool has_min = quant_has_min(type);
    const uint16_t exponent = 0x7c00;
    bool bad = false;
    for (size_t b = 0; b < n_blocks; b++, src += weight_infos[type].block_bytes) {
        uint16_t d = quant_is_grid(type) ? grid_d(type, src) : load16(src + parts->d);
        bad |= (d & exponent) == exponent;
        bad |= has_min && (load16(src + parts->m) & exponent) == exponent;
    }
    return !bad;
}

/* MXFP4 reaches beyond F32: with the largest powers of two it depends on the codes. */
static bool mxfp4_finite(const uint8_t *src, size_t n_blocks)
{
    enum { SAFE = 252 }; /* 6 * 2^(252 - 127) is finite */
    const size_t block_bytes = weight_infos[WEIGHT_MXFP4].block_bytes;
    for (size_t i = 0; i < n_blocks; i++, src += block_bytes) {
        float values[32];
        if (src[0] <= SAFE)
            continue;
        weight_to_f32(WEIGHT_MXFP4, src, 32, values);
        for (size_t k = 0; k < 32; k++) {
            if (!isfinite(values[k]))
                return false;
        }
    }
    return true;
}

bool weight_all_finite(enum weight_type type, const void *src, size_t n)
{
    switch ((int)type) {
    case WEIGHT_F32:
        return words_finite(src, n);
    case WEIGHT_F16:
        return halves_finite(src, n, 0x7c00);
    case WEIGHT_BF16:
        return halves_finite(src, n, 0x7f80);
    case WEIGHT_MXFP4:
        return mxfp4_finite(src, n / 32);
    default:
        return blocks_finite(type, src, n / weight_infos[type].block_values);
    }
}
