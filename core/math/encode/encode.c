/* encode.c - which scales and integers stand for given values.
 *
 * Blocks of 32 follow GGML's arithmetic step by step; for the others search.c looks for what
 * leaves the least error. Pure; any thread.
 */
#include "math/encode/encode.h"

#include "math/encode/blocks.h"
#include "math/encode/search.h"

#include <math.h>
#include <string.h>

/* --- blocks of 32, as GGML rounds them --- */

/* The integer part within lo..hi. Where a block is so small that its scale is 0, v may be anything.
 */
static int clamp(float v, int lo, int hi)
{
    int i = fabsf(v) < 0x1p+30f ? (int)v : 0;
    return i < lo ? lo : i > hi ? hi : i;
}

static void fit_q8_0(const float *x, struct block32 *b)
{
    float max = 0.0f;
    for (int i = 0; i < 32; i++)
        max = fmaxf(max, fabsf(x[i]));
    float d = max / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++)
        b->q[i] = (int8_t)clamp(roundf(x[i] * inverse), -127, 127);
    b->d = f32_to_f16(d);
    b->m = 0;
}

/* Q4_0 and Q5_0: the value of largest magnitude becomes -n exactly. */
static void fit_centred(const float *x, int n, struct block32 *b)
{
    float most = 0.0f, max = 0.0f;
    for (int i = 0; i < 32; i++) {
        if (most < fabsf(x[i])) {
            most = fabsf(x[i]);
            max = x[i];
        }
    }
    float d = max / (float)-n, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++) {
        float v = x[i] * inverse + ((float)n + 0.5f);
        b->q[i] = (int8_t)(clamp(v, 0, 2 * n - 1) - n);
    }
    b->d = f32_to_f16(d);
    b->m = 0;
}

/* Q4_1 and Q5_1: 0 is the least value, n the largest. */
static void fit_ranged(const float *x, int n, struct block32 *b)
{
    float lo = x[0], hi = x[0];
    for (int i = 1; i < 32; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    float d = (hi - lo) / (float)n, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++)
        b->q[i] = (int8_t)clamp((x[i] - lo) * inverse + 0.5f, 0, n);
    b->d = f32_to_f16(d);
    b->m = f32_to_f16(lo);
}

/* MXFP4: the scale is the power of two that leaves the largest value its two bits of exponent; of
 * two values as near the one closer to zero. */
static void fit_mxfp4(const float *x, struct block32 *b)
{
    const int8_t *values = quant_codebooks[WEIGHT_MXFP4];
    float max = 0.0f;
    int exponent;
    for (int i = 0; i < 32; i++)
        max = fmaxf(max, fabsf(x[i]));
    frexpf(max, &exponent); /* max < 2^exponent */
    exponent += 127 - 1 - 2;
    b->d = max > 0.0f && exponent > 0 ? (uint16_t)exponent : 0;
    b->m = 0;
    const float d = quant_scale(WEIGHT_MXFP4, b->d);
    for (int i = 0; i < 32; i++) {
        int best = 0;
        for (int code = 1; code < 16; code++) {
            if (fabsf((float)values[code] * d - x[i]) < fabsf((float)values[best] * d - x[i]))
                best = code;
        }
        b->q[i] = values[best];
    }
}

static void fit_32(enum weight_type type, const float *x, struct block32 *b)
{
    switch ((int)type) {
    case WEIGHT_Q8_0:
        fit_q8_0(x, b);
        break;
    case WEIGHT_Q4_0:
        fit_centred(x, 8, b);
        break;
    case WEIGHT_Q5_0:
        fit_centred(x, 16, b);
        break;
    case WEIGHT_Q4_1:
        fit_ranged(x, 15, b);
        break;
    case WEIGHT_Q5_1:
        fit_ranged(x, 31, b);
        break;
    case WEIGHT_IQ4_NL:
        search_iq4_nl(x, b);
        break;
    case WEIGHT_MXFP4:
        fit_mxfp4(x, b);
        break;
    }
}

/* Nearest even; a NaN stays one. */
static uint16_t f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + (0x7fffu + (bits >> 16 & 1))) >> 16);
}

static void plain_from_f32(enum weight_type type, const float *x, size_t n, uint8_t *dst)
{
    if (type == WEIGHT_F32) {
        memcpy(dst, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half = type == WEIGHT_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        memcpy(dst + 2 * i, &half, sizeof half);
    }
}

bool weight_can_encode(enum weight_type type)
{
    return !quant_is_grid(type) && type != WEIGHT_TQ2_0;
}

void weight_from_f32(enum weight_type type, const float *x, size_t n, void *dst)
{
    const struct weight_info *info = &weight_infos[type];
    uint8_t *bytes = dst;
    if (info->block_values == 1) {
        plain_from_f32(type, x, n, bytes);
        return;
    }
    for (size_t i = 0; i < n; i += info->block_values, bytes += info->block_bytes) {
        if (info->block_values == 32) {
            struct block32 b;
            fit_32(type, x + i, &b);
            block32_encode(type, &b, bytes);
        } else {
            struct block256 b;
            search_256(type, x + i, &b);
            block256_encode(type, &b, bytes);
        }
    }
}
