/* math_test.h - what the tests of core/math share: numbers from a fixed seed, aligned buffers,
 * activations, comparison of bits. */
#pragma once

#include "base/cpu.h"
#include "core/block_scales.h"
#include "math/kernels_tables.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) /* splitmix64 (Steele et al., 2014) */
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t rng_below(struct rng *r, size_t n)
{
    return (size_t)(rng_next(r) % n);
}

/* About normal, deviation 1. */
static inline float rng_normal(struct rng *r)
{
    float sum = 0.0f;
    for (int i = 0; i < 12; i++)
        sum += (float)(rng_next(r) >> 40) * 0x1p-24f;
    return sum - 6.0f;
}

static inline void *buffer(size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, bytes > 0 ? bytes : 64);
    ck_assert_ptr_nonnull(p);
    memset(p, 0, bytes);
    return p;
}

/* What activations look like. Every kind but the last two is finite. */
enum values {
    VALUES_NORMAL,
    VALUES_EXTREME, /* +-3 of alternating runs: every rounded value is +-127 */
    VALUES_WIDE,    /* magnitudes from subnormal to 1e30 */
    VALUES_ZERO,
    VALUES_TINY,    /* subnormal */
    VALUES_HUGE,    /* the scale of a block overflows F16 */
    VALUES_SPECIAL, /* infinities and NaN among the rest */
    VALUES_KINDS,
};

static inline float rng_value(struct rng *r, enum values kind)
{
    static const float special[] = {INFINITY, -INFINITY, NAN, -0.0f, 0.0f, 3.4e38f, 1e-45f};
    float v = rng_normal(r);
    switch (kind) {
    case VALUES_EXTREME:
        return v < 0 ? -3.0f : 3.0f;
    case VALUES_WIDE:
        return ldexpf(v, (int)rng_below(r, 230) - 135);
    case VALUES_ZERO:
        return v < 0 ? -0.0f : 0.0f;
    case VALUES_TINY:
        return v * 1e-42f;
    case VALUES_HUGE:
        return v * 1e9f;
    case VALUES_SPECIAL:
        return rng_below(r, 40) == 0 ? special[rng_below(r, 7)] : v;
    case VALUES_NORMAL:
    case VALUES_KINDS:
        break;
    }
    return v;
}

static inline float *random_floats(struct rng *r, size_t n, enum values kind)
{
    float *x = buffer(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = rng_value(r, kind);
    return x;
}

static inline bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

/* The index of the first difference; n when there is none. */
static inline size_t first_difference(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!same_float(a[i], b[i]))
            return i;
    }
    return n;
}

#define ck_same_floats(a, b, n)                                                                    \
    do {                                                                                           \
        size_t at_ = first_difference(a, b, n);                                                    \
        ck_assert_msg(at_ == (n), "value %zu of %zu: %a, not %a", at_, (size_t)(n),                \
                      (double)(b)[at_ < (n) ? at_ : 0], (double)(a)[at_ < (n) ? at_ : 0]);         \
    } while (0)

/* T rows of K activations, rounded by a table into the formats that K allows. */
static inline void act_create(struct act *x, struct rng *r, size_t n_tokens, size_t n_cols,
                              enum values kind, const struct kernels *kernels)
{
    x->n_cols = n_cols;
    x->f32_stride = (n_cols + 15) / 16 * 16;
    x->q_stride = (n_cols + 255) / 256 * 256;
    x->b_stride = (n_cols / 32 + 15) / 16 * 16;
    x->f32 = random_floats(r, n_tokens * x->f32_stride, kind);
    x->q8 = buffer(n_tokens * x->q_stride);
    x->q8k = buffer(n_tokens * x->q_stride);
    x->q8_scale = buffer(n_tokens * x->b_stride * sizeof(float));
    x->q8k_scale = buffer(n_tokens * x->b_stride * sizeof(float));
    x->q8_sum = buffer(n_tokens * x->b_stride * sizeof(int16_t));
    x->q8k_sum = buffer(n_tokens * 2 * x->b_stride * sizeof(int16_t));
    for (size_t t = 0; t < n_tokens; t++) {
        if (n_cols % 32 == 0)
            kernels->quantize[ACT_Q8](x, t);
        if (n_cols % 256 == 0)
            kernels->quantize[ACT_Q8K](x, t);
    }
}

static inline void act_destroy(struct act *x)
{
    free((void *)x->f32);
    free(x->q8);
    free(x->q8k);
    free(x->q8_scale);
    free(x->q8k_scale);
    free(x->q8_sum);
    free(x->q8k_sum);
}

/* What weights look like. */
enum weights {
    WEIGHTS_RANDOM, /* any quants, scales about 0.01 */
    WEIGHTS_LOWEST, /* every byte of quants 0x80 or 0x00 or 0xff: the ends of every range */
    WEIGHTS_SUBNORMAL_SCALE,
    WEIGHTS_ANY, /* any bytes at all: infinite and NaN scales too */
    WEIGHTS_KINDS,
};

/* n values in the file's form. */
static inline uint8_t *random_weights(struct rng *r, enum weight_type type, size_t n,
                                      enum weights kind)
{
    const struct weight_info *info = &weight_infos[type];
    size_t bytes = weight_bytes(type, n);
    uint8_t *w = buffer(bytes);
    static const uint8_t ends[] = {0x00, 0xff, 0x80, 0x7f};
    for (size_t i = 0; i < bytes; i++)
        w[i] = kind == WEIGHTS_LOWEST ? ends[i / info->block_bytes % 4] : (uint8_t)rng_next(r);
    if (kind == WEIGHTS_ANY)
        return w;
    for (size_t i = 0; i < n / info->block_values; i++) {
        float v = rng_normal(r) * (kind == WEIGHTS_SUBNORMAL_SCALE ? 1e-6f : 0.01f);
        float m = rng_normal(r) * 0.01f;
        uint8_t *block = w + i * info->block_bytes;
        if (type == WEIGHT_F32) {
            v *= kind == WEIGHTS_SUBNORMAL_SCALE ? 1e-36f : 1.0f;
            memcpy(block, &v, sizeof v);
        } else if (type == WEIGHT_BF16) {
            memcpy(block, (uint8_t *)&v + 2, 2);
        } else {
            set_scales(type, block, f32_to_f16(v), f32_to_f16(m));
        }
    }
    return w;
}

static inline struct matrix matrix_create(enum weight_type type, size_t n_rows, size_t n_cols,
                                          const uint8_t *src)
{
    struct matrix m;
    uint8_t *panels = buffer(matrix_packed_bytes(type, n_rows, n_cols));
    matrix_pack(&m, type, n_rows, n_cols, src, panels);
    return m;
}

static inline void matrix_destroy(struct matrix *m)
{
    free((void *)(uintptr_t)m->panels);
}

/* The pairs of tables this machine can compare: [0] is the definition. */
struct table_pair {
    const struct kernels *wanted, *tested;
};

enum { MAX_PAIRS = 5 };

static inline size_t table_pairs(struct table_pair out[MAX_PAIRS])
{
    size_t n = 0;
#if defined(__x86_64__)
    struct cpu cpu;
    cpu_detect(&cpu);
    if (cpu.avx2) {
        out[n++] = (struct table_pair){&kernels_ref, &kernels_ref_fma};
        out[n++] = (struct table_pair){&kernels_ref_fma, &kernels_avx2};
    }
    if (cpu.avxvnni)
        out[n++] = (struct table_pair){&kernels_ref_fma, &kernels_avxvnni};
    if (cpu.avx512)
        out[n++] = (struct table_pair){&kernels_ref_fma, &kernels_avx512};
    if (cpu.amx)
        out[n++] = (struct table_pair){&kernels_ref_fma, &kernels_amx};
#else
    out[n++] = (struct table_pair){&kernels_ref, &kernels_ref};
#endif
    return n;
}
