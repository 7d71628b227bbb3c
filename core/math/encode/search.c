/* search.c - which scales and integers stand for given values with the least squared error.
 *
 * Each sub-block's scale (and minimum) is fitted by least squares from several starting points and
 * rounded to the super-block's. The super-block's own scales are fitted to what came out, and every
 * rounded scale is tried with them, as long as the error falls. Sums run in 8 lanes, for vector
 * registers. Pure; any thread.
 */
#include "math/encode/search.h"

#include <math.h>

#define ROUND_MAGIC 0x1.8p+23f /* adding and subtracting it rounds to an integer */
#define FAR         1.05f /* times the error of a sub-block's own fit: then rounding cost much */

enum {
    STEPS = 12, /* starting points on each side of the plain one */
    REACH = 16, /* how far from its fit a rounded scale is looked for */
    LANES = 8,
};

struct levels { /* which integers a type's q may be */
    float lo, hi;
    bool iq4; /* the codebook instead */
};

/* The codebook's thresholds and what is between its values. */
static const float iq4_middles[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f,
                                      -28.5f,  -16.0f, -4.5f,  7.0f,   19.0f,
                                      31.5f,   45.5f,  61.0f,  79.0f,  101.0f};
static const float iq4_gaps[15] = {23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24};

static inline __attribute__((always_inline)) float level(const struct levels *l, bool iq4, float v)
{
    if (iq4) {
        float q = -127.0f;
        for (int k = 0; k < 15; k++)
            q += v > iq4_middles[k] ? iq4_gaps[k] : 0.0f;
        return q;
    }
    v = v > l->lo ? v : l->lo; /* what is not a number is the lowest */
    v = v < l->hi ? v : l->hi;
    return (v + ROUND_MAGIC) - ROUND_MAGIC;
}

static float sum_lanes(const float *a)
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

static inline __attribute__((always_inline)) float
error_with(const struct levels *l, bool iq4, const float *x, int n, float scale, float min)
{
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f, sums[LANES] = {0};
    for (int i = 0; i < n; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            float e = scale * level(l, iq4, (x[i + k] + min) * inverse) - min - x[i + k];
            sums[k] += e * e;
        }
    }
    return sum_lanes(sums);
}

/* Squared error of x[n] when scale * q - min stands for it, with the best q. */
static float error_of(const struct levels *l, const float *x, int n, float scale, float min)
{
    return l->iq4 ? error_with(l, true, x, n, scale, min) : error_with(l, false, x, n, scale, min);
}

/* 0, -1, 1, -2, 2, ...: of starting points that are equally good the plainest comes first. */
static int nth_step(int i)
{
    return i % 2 != 0 ? -(i + 1) / 2 : i / 2;
}

static float largest(const float *x, int n)
{
    float max = 0.0f;
    for (int i = 0; i < n; i++)
        max = fabsf(x[i]) > fabsf(max) ? x[i] : max;
    return max;
}

/* --- one sub-block, without rounding its scale --- */

struct sums {
    float q, qq, x, xq;
};

static inline __attribute__((always_inline)) struct sums
sums_with(const struct levels *l, bool iq4, const float *x, int n, float inverse, float min)
{
    float q1[LANES] = {0}, q2[LANES] = {0}, x1[LANES] = {0}, xq[LANES] = {0};
    for (int i = 0; i < n; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            float q = level(l, iq4, (x[i + k] + min) * inverse);
            q1[k] += q;
            q2[k] += q * q;
            x1[k] += x[i + k];
            xq[k] += x[i + k] * q;
        }
    }
    return (struct sums){sum_lanes(q1), sum_lanes(q2), sum_lanes(x1), sum_lanes(xq)};
}

/* For the levels nearest to (x + min) * inverse. */
static struct sums sums_of(const struct levels *l, const float *x, int n, float inverse, float min)
{
    return l->iq4 ? sums_with(l, true, x, n, inverse, min)
                  : sums_with(l, false, x, n, inverse, min);
}

/* The scale for x ~ scale * q; *error is what it leaves. */
static float fit_scale(const struct levels *l, const float *x, int n, float *error)
{
    float max = largest(x, n), best = 0.0f, best_gain = 0.0f;
    *error = 0.0f;
    if (fabsf(max) < 1e-30f)
        return 0.0f;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i <= 2 * STEPS; i++) {
            float outermost = -l->lo * (1.0f + 0.02f * (float)nth_step(i));
            struct sums s = sums_of(l, x, n, (float)sign * outermost / max, 0.0f);
            /* The error is x^2 - xq^2 / qq. */
            if (s.qq > 0.0f && s.xq * s.xq > 1.000001f * best_gain * s.qq) {
                best_gain = s.xq * s.xq / s.qq;
                best = s.xq / s.qq;
            }
        }
    }
    *error = error_of(l, x, n, best, 0.0f);
    return best;
}

/* Scale and minimum (>= 0) for x ~ scale * q - min, q in 0..hi; returns the error they leave. */
static float fit_affine(const struct levels *l, const float *x, int n, float *scale, float *min)
{
    float lo = 0.0f, hi = x[0], square = 0.0f;
    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        square += x[i] * x[i];
    }
    *scale = (hi - lo) / l->hi;
    *min = -lo;
    if (hi - lo < 1e-30f)
        return 0.0f;
    float best = error_of(l, x, n, *scale, *min);
    for (int i = 0; i <= 2 * STEPS; i++) {
        float inverse = l->hi * (1.0f + 0.025f * (float)nth_step(i)) / (hi - lo);
        struct sums t = sums_of(l, x, n, inverse, -lo);
        float det = (float)n * t.qq - t.q * t.q;
        if (det <= 0.0f)
            continue;
        float s = ((float)n * t.xq - t.x * t.q) / det, m = (t.q * t.xq - t.qq * t.x) / det;
        if (m < 0.0f) {
            m = 0.0f;
            s = t.qq > 0.0f ? t.xq / t.qq : 0.0f;
        }
        if (s <= 0.0f)
            continue;
        float e = error_of(l, x, n, s, m);
        if (e < best - 1e-7f * square) {
            best = e;
            *scale = s;
            *min = m;
        }
    }
    return best;
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

/* Each sub-block's own fit, before anything is rounded. */
struct fits {
    float scale[16], min[16], error[16];
};

/* The best encoding of a block so far. */
struct attempt {
    uint16_t d, dmin;
    int scale[16], min[16]; /* of each sub-block */
    float error;
};

static int nearest_in(float v, int lo, int hi)
{
    v = v > (float)lo ? v : (float)lo;
    v = v < (float)hi ? v : (float)hi;
    return (int)lrintf(v);
}

/* One sub-block's error with these rounded numbers. */
static float rounded_error(const struct family *f, const float *x, float d, float dmin, int scale,
                           int min)
{
    return error_of(&f->levels, x, f->sub, d * (float)scale, dmin * (float)min);
}

/* Rounds each fitted scale and minimum; neighbours that leave less error are better. */
static void try_neighbours(const struct family *f, const float *x, const struct fits *fits,
                           struct attempt *a)
{
    float d = f16_to_f32(a->d), dmin = f16_to_f32(a->dmin);
    a->error = 0.0f;
    for (int j = 0; j < 256 / f->sub; j++) {
        int s0 = d != 0.0f ? nearest_in(fits->scale[j] / d, f->scale_lo, f->scale_hi) : 0;
        int m0 = dmin != 0.0f ? nearest_in(fits->min[j] / dmin, 0, f->min_hi) : 0;
        float best = INFINITY;
        a->scale[j] = s0;
        a->min[j] = m0;
        for (int s = s0 - 1; s <= s0 + 1; s++) {
            for (int m = m0 - 1; m <= m0 + 1; m++) {
                if (s < f->scale_lo || s > f->scale_hi || m < 0 || m > f->min_hi)
                    continue;
                float e = rounded_error(f, x + j * f->sub, d, dmin, s, m);
                if (e < best) {
                    best = e;
                    a->scale[j] = s;
                    a->min[j] = m;
                }
            }
        }
        a->error += best;
    }
}

/* The scales in from..to with the minimum that there is. */
static void try_scales(const struct family *f, const float *x, struct attempt *a, int j, int from,
                       int to, float *best)
{
    float d = f16_to_f32(a->d), dmin = f16_to_f32(a->dmin);
    from = from > f->scale_lo ? from : f->scale_lo;
    to = to < f->scale_hi ? to : f->scale_hi;
    for (int s = from; s <= to; s++) {
        float e = rounded_error(f, x, d, dmin, s, a->min[j]);
        if (e < *best) {
            *best = e;
            a->scale[j] = s;
        }
    }
}

static void try_mins(const struct family *f, const float *x, struct attempt *a, int j, int from,
                     int to, float *best)
{
    float d = f16_to_f32(a->d), dmin = f16_to_f32(a->dmin);
    from = from > 0 ? from : 0;
    to = to < f->min_hi ? to : f->min_hi;
    for (int m = from; m <= to; m++) {
        float e = rounded_error(f, x, d, dmin, a->scale[j], m);
        if (e < *best) {
            *best = e;
            a->min[j] = m;
        }
    }
}

/* Scales, of either sign, then minimums: the next ones where rounding costs little, and all that
 * could be better where a sub-block's own fit was much better. */
static void try_others(const struct family *f, const float *x, const struct fits *fits,
                       struct attempt *a)
{
    a->error = 0.0f;
    for (int j = 0; j < 256 / f->sub; j++) {
        const float *values = x + j * f->sub;
        int s0 = a->scale[j], m0 = a->min[j];
        float best = rounded_error(f, values, f16_to_f32(a->d), f16_to_f32(a->dmin), s0, m0);
        bool far = best > FAR * fits->error[j];
        int scales = far ? REACH : 1, mins = far ? f->min_hi : 1;
        try_scales(f, values, a, j, s0 - scales, s0 + scales, &best);
        if (far && f->scale_lo < 0)
            try_scales(f, values, a, j, -s0 - scales, -s0 + scales, &best);
        if (f->min_hi > 0)
            try_mins(f, values, a, j, m0 - mins, m0 + mins, &best);
        a->error += best;
    }
}

/* d and dmin by least squares, x ~ d * scale q - dmin * min, for the integers that there are. */
static void fit_super(const struct family *f, const float *x, struct attempt *a)
{
    float d = f16_to_f32(a->d), dmin = f16_to_f32(a->dmin);
    double ss = 0, sm = 0, mm = 0, xs = 0, xm = 0;
    for (int j = 0; j < 256 / f->sub; j++) {
        float s = d * (float)a->scale[j], inverse = s != 0.0f ? 1.0f / s : 0.0f;
        struct sums t =
            sums_of(&f->levels, x + j * f->sub, f->sub, inverse, dmin * (float)a->min[j]);
        double scale = a->scale[j], min = a->min[j];
        ss += scale * scale * (double)t.qq;
        sm += scale * min * (double)t.q;
        mm += min * min * f->sub;
        xs += scale * (double)t.xq;
        xm += min * (double)t.x;
    }
    double det = ss * mm - sm * sm;
    if (det > 1e-9 * ss * mm) {
        a->d = f32_to_f16((float)((xs * mm - xm * sm) / det));
        a->dmin = f32_to_f16((float)fmax(0.0, (xs * sm - xm * ss) / det));
    } else if (ss > 0) {
        a->d = f32_to_f16((float)((xs + (double)dmin * sm) / ss));
    }
}

static void put_attempt(const struct family *f, const float *x, const struct attempt *a,
                        struct block256 *out)
{
    *out = (struct block256){.d = a->d, .dmin = a->dmin};
    for (int i = 0; i < 256; i++) {
        int j = i / f->sub;
        float s = f16_to_f32(a->d) * (float)a->scale[j], inverse = s != 0.0f ? 1.0f / s : 0.0f;
        float m = f16_to_f32(a->dmin) * (float)a->min[j];
        out->q[i] = (int8_t)level(&f->levels, f->levels.iq4, (x[i] + m) * inverse);
        out->scale[i / 16] = (int8_t)a->scale[j];
        out->min[i / 16] = (uint8_t)a->min[j];
    }
}

void search_256(enum weight_type type, const float *x, struct block256 *out)
{
    const struct family f = family_of(type);
    struct fits fits = {.min = {0}};
    int n = 256 / f.sub;
    for (int j = 0; j < n; j++) {
        const float *values = x + j * f.sub;
        if (f.min_hi > 0)
            fits.error[j] = fit_affine(&f.levels, values, f.sub, &fits.scale[j], &fits.min[j]);
        else
            fits.scale[j] = fit_scale(&f.levels, values, f.sub, &fits.error[j]);
    }
    /* The largest scale takes the outermost integer, or one a little inside, which rounds the
     * others otherwise. */
    int outermost = f.scale_lo < 0 ? f.scale_lo : f.scale_hi;
    struct attempt best = {.error = INFINITY};
    for (int step = 0; step < 4; step++) {
        struct attempt a = {0};
        float inside = 1.0f - 0.02f * (float)step;
        a.d = f32_to_f16(largest(fits.scale, n) / ((float)outermost * inside));
        a.dmin = f.min_hi > 0 ? f32_to_f16(largest(fits.min, n) / ((float)f.min_hi * inside)) : 0;
        try_neighbours(&f, x, &fits, &a);
        if (step == 0 || a.error < best.error)
            best = a;
    }
    try_others(&f, x, &fits, &best);
    for (int round = 0; round < 3; round++) {
        struct attempt a = best;
        fit_super(&f, x, &a);
        try_others(&f, x, &fits, &a);
        if (!(a.error < best.error))
            break;
        best = a;
    }
    put_attempt(&f, x, &best, out);
}

/* --- IQ4_NL: one scale for 32 --- */

void search_iq4_nl(const float *x, struct block32 *out)
{
    static const struct levels levels = {-127, 113, true};
    float best_error;
    uint16_t best = f32_to_f16(fit_scale(&levels, x, 32, &best_error));
    float d = f16_to_f32(best);
    best_error = error_of(&levels, x, 32, d, 0.0f);
    for (int round = 0; round < 4 && d != 0.0f; round++) {
        struct sums s = sums_of(&levels, x, 32, 1.0f / d, 0.0f);
        uint16_t next = f32_to_f16(s.qq > 0.0f ? s.xq / s.qq : 0.0f);
        d = f16_to_f32(next);
        float e = error_of(&levels, x, 32, d, 0.0f);
        if (!(e < best_error))
            break;
        best_error = e;
        best = next;
    }
    d = f16_to_f32(best);
    *out = (struct block32){.d = best};
    for (int i = 0; i < 32; i++)
        out->q[i] = (int8_t)level(&levels, true, d != 0.0f ? x[i] / d : 0.0f);
}
