/* encode.c - which scales and integers stand for given values.
 *
 * Blocks of 32 follow GGML's arithmetic step by step. For the others each sub-block's scale is
 * fitted by least squares from several starting points, the scales are rounded to the
 * super-block's, and neighbours of the rounded ones are tried: the squared error decides. Pure; any
 * thread.
 */
#include "math/encode.h"

#include "math/encode_blocks.h"

#include <math.h>
#include <string.h>

/* --- blocks of 32, as GGML rounds them --- */

static int clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void fit_q8_0(const float *x, struct block32 *b)
{
    float max = 0.0f;
    for (int i = 0; i < 32; i++)
        max = fmaxf(max, fabsf(x[i]));
    float d = max / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++)
        b->q[i] = (int8_t)roundf(x[i] * inverse);
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
        b->q[i] = (int8_t)(clamp((int)v, 0, 2 * n - 1) - n);
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
        b->q[i] = (int8_t)clamp((int)((x[i] - lo) * inverse + 0.5f), 0, n);
    b->d = f32_to_f16(d);
    b->m = f32_to_f16(lo);
}

/* --- fitting by least squares --- */

#define ROUND_MAGIC 0x1.8p+23f /* adding and subtracting it rounds to an integer */

enum { STEPS = 12 }; /* starting points on each side of the plain one */

struct levels { /* which integers a type's q may be */
    int lo, hi;
    bool iq4; /* the codebook instead */
};

static int level(const struct levels *levels, float v)
{
    if (levels->iq4)
        return iq4_codebook[iq4_code(v)];
    v = v < (float)levels->lo ? (float)levels->lo : v > (float)levels->hi ? (float)levels->hi : v;
    return (int)((v + ROUND_MAGIC) - ROUND_MAGIC);
}

/* Squared error of x[n] when scale * q - min stands for it, with the best q. */
static float error_of(const struct levels *levels, const float *x, int n, float scale, float min)
{
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f, sum = 0.0f;
    for (int i = 0; i < n; i++) {
        float e = scale * (float)level(levels, (x[i] + min) * inverse) - min - x[i];
        sum += e * e;
    }
    return sum;
}

/* The scale for x ~ scale * q. */
static float fit_scale(const struct levels *levels, const float *x, int n)
{
    float max = 0.0f, best = 0.0f, best_gain = 0.0f;
    for (int i = 0; i < n; i++)
        max = fabsf(x[i]) > fabsf(max) ? x[i] : max;
    if (max == 0.0f)
        return 0.0f;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int step = -STEPS; step <= STEPS; step++) {
            float inverse = (float)sign * ((float)-levels->lo * (1.0f + 0.02f * (float)step)) / max;
            float xq = 0.0f, qq = 0.0f;
            for (int i = 0; i < n; i++) {
                float q = (float)level(levels, x[i] * inverse);
                xq += x[i] * q;
                qq += q * q;
            }
            if (qq > 0.0f && xq * xq > best_gain * qq) { /* the error is x^2 - xq^2 / qq */
                best_gain = xq * xq / qq;
                best = xq / qq;
            }
        }
    }
    return best;
}

/* Scale and minimum (>= 0) for x ~ scale * q - min, q in 0..hi. */
static void fit_affine(const struct levels *levels, const float *x, int n, float *scale, float *min)
{
    float lo = 0.0f, hi = 0.0f;
    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *scale = (hi - lo) / (float)levels->hi;
    *min = -lo;
    if (hi == lo)
        return;
    float best = error_of(levels, x, n, *scale, *min);
    for (int step = -STEPS; step <= STEPS; step++) {
        float inverse = (float)levels->hi * (1.0f + 0.025f * (float)step) / (hi - lo);
        float q1 = 0.0f, q2 = 0.0f, x1 = 0.0f, xq = 0.0f;
        for (int i = 0; i < n; i++) {
            float q = (float)level(levels, (x[i] - lo) * inverse);
            q1 += q;
            q2 += q * q;
            x1 += x[i];
            xq += x[i] * q;
        }
        float det = (float)n * q2 - q1 * q1;
        if (det <= 0.0f)
            continue;
        float s = ((float)n * xq - x1 * q1) / det, m = (q1 * xq - q2 * x1) / det;
        if (m < 0.0f) {
            m = 0.0f;
            s = q2 > 0.0f ? xq / q2 : 0.0f;
        }
        if (s <= 0.0f)
            continue;
        float e = error_of(levels, x, n, s, m);
        if (e < best) {
            best = e;
            *scale = s;
            *min = m;
        }
    }
}

/* --- blocks of 256 --- */

struct family {
    struct levels levels;
    int sub;                /* values under one scale: 16 or 32 */
    int scale_lo, scale_hi; /* of the rounded scales */
    int min_hi;             /* of the rounded minimums; 0: the type has none */
};

static struct family family_of(enum weight_type type)
{
    switch ((int)type) {
    case WEIGHT_Q2_K:
        return (struct family){{0, 3, false}, 16, 0, 15, 15};
    case WEIGHT_Q3_K:
        return (struct family){{-4, 3, false}, 16, -32, 31, 0};
    case WEIGHT_Q4_K:
        return (struct family){{0, 15, false}, 32, 0, 63, 63};
    case WEIGHT_Q5_K:
        return (struct family){{0, 31, false}, 32, 0, 63, 63};
    case WEIGHT_Q6_K:
        return (struct family){{-32, 31, false}, 16, -128, 127, 0};
    default: /* IQ4_XS */
        return (struct family){{-127, 113, true}, 32, -32, 31, 0};
    }
}

/* The rounded scale and minimum of one sub-block: those that its own fit gives, or neighbours that
 * leave less error. */
static void choose_rounded(const struct family *f, const float *x, float d, float dmin, float scale,
                           float min, int *best_scale, int *best_min)
{
    int s0 = d != 0.0f ? (int)lrintf(scale / d) : 0,
        m0 = dmin != 0.0f ? (int)lrintf(min / dmin) : 0;
    float best = INFINITY;
    for (int s = s0 - 1; s <= s0 + 1; s++) {
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (s < f->scale_lo || s > f->scale_hi || m < 0 || m > f->min_hi)
                continue;
            float e = error_of(&f->levels, x, f->sub, d * (float)s, dmin * (float)m);
            if (e < best) {
                best = e;
                *best_scale = s;
                *best_min = m;
            }
        }
    }
}

static float largest(const float *x, int n)
{
    float max = 0.0f;
    for (int i = 0; i < n; i++)
        max = fabsf(x[i]) > fabsf(max) ? x[i] : max;
    return max;
}

/* Rounds with one choice of d and dmin; returns the block's squared error. */
static float round_block(const struct family *f, const float *x, const float *scales,
                         const float *mins, struct block256 *b)
{
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin), sum = 0.0f;
    for (int k = 0; k < 256; k += f->sub) {
        int scale = 0, min = 0;
        choose_rounded(f, x + k, d, dmin, scales[k / f->sub], mins[k / f->sub], &scale, &min);
        float s = d * (float)scale, m = dmin * (float)min, inverse = s != 0.0f ? 1.0f / s : 0.0f;
        for (int i = k; i < k + f->sub; i++) {
            b->q[i] = (int8_t)level(&f->levels, (x[i] + m) * inverse);
            float e = s * (float)b->q[i] - m - x[i];
            sum += e * e;
        }
        for (int j = k / 16; j < (k + f->sub) / 16; j++) {
            b->scale[j] = (int8_t)scale;
            b->min[j] = (uint8_t)min;
        }
    }
    return sum;
}

static void fit_256(enum weight_type type, const float *x, struct block256 *out)
{
    const struct family f = family_of(type);
    float scales[16], mins[16] = {0}, best = INFINITY;
    int n = 256 / f.sub;
    for (int j = 0; j < n; j++) {
        if (f.min_hi > 0)
            fit_affine(&f.levels, x + j * f.sub, f.sub, &scales[j], &mins[j]);
        else
            scales[j] = fit_scale(&f.levels, x + j * f.sub, f.sub);
    }
    /* The largest scale takes the outermost integer, or one a little inside, which rounds the
     * others otherwise. */
    int outermost = f.scale_lo < 0 ? f.scale_lo : f.scale_hi;
    for (int step = 0; step < 4; step++) {
        struct block256 b = {0};
        float inside = 1.0f - 0.02f * (float)step;
        b.d = f32_to_f16(largest(scales, n) / ((float)outermost * inside));
        b.dmin = f.min_hi > 0 ? f32_to_f16(largest(mins, n) / ((float)f.min_hi * inside)) : 0;
        float e = round_block(&f, x, scales, mins, &b);
        if (e < best) {
            best = e;
            *out = b;
        }
    }
}

/* IQ4_NL: one scale for 32. */
static void fit_iq4_nl(const float *x, struct block32 *b)
{
    static const struct levels levels = {-127, 113, true};
    b->m = 0;
    b->d = f32_to_f16(fit_scale(&levels, x, 32));
    float d = f16_to_f32(b->d), inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++)
        b->q[i] = (int8_t)level(&levels, x[i] * inverse);
}

/* --- --- */

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
        fit_iq4_nl(x, b);
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
            fit_256(type, x + i, &b);
            block256_encode(type, &b, bytes);
        }
    }
}
