/* kernels_ref.c - the definition of the arithmetic: every operation in plain C, in the one order
 * that all tables keep.
 *
 * Written to be read. Every rounding that can reach an output is visible here: each +, -, *, / and
 * fmaf on floats rounds once, to nearest even; integer sums are exact. Nothing else may round, so
 * the build forbids contraction. The file is compiled twice, with and without the FMA instruction
 * (kernels_ref_fma.c). Pure; any thread. */
#include "math/fmath_inline.h"
#include "math/kernels_tables.h"
#include "math/kv_layout.h"
#include "math/panel.h"

#include <math.h>
#include <string.h>

#ifndef KERNELS_REF_TABLE
#define KERNELS_REF_TABLE kernels_ref
#endif

enum { LANES = 8 }; /* of every reduction over a row */

/* The fixed tree over 8 lanes. */
static float tree(const float *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float load_f16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return f16_to_f32(h);
}

/* ---- Matrix products: y[t][row] is a chain of fmaf over the row's inputs or blocks in ascending
 * order, from 0. ---- */

static float plain_value(enum weight_type type, const uint8_t *p)
{
    uint32_t bits;
    float f;
    if (type == WEIGHT_F16)
        return load_f16(p);
    if (type == WEIGHT_BF16)
        bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    else
        memcpy(&bits, p, sizeof bits);
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* F32, F16, BF16: acc = fmaf(w, x, acc). A part of the row is taken out of the panel for all
 * tokens. */
static void matmul_plain(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                         size_t n_tokens, float *y, size_t y_stride)
{
    enum { PART = 256 };
    const size_t value_bytes = weight_infos[w->type].block_bytes;
    for (size_t row = p0 * PANEL_ROWS; row < p1 * PANEL_ROWS; row++) {
        const uint8_t *values =
            w->panels + row / PANEL_ROWS * w->panel_bytes + row % PANEL_ROWS * value_bytes;
        for (size_t k0 = 0; k0 < w->n_cols; k0 += PART) {
            float part[PART];
            size_t n = w->n_cols - k0 < PART ? w->n_cols - k0 : PART;
            for (size_t k = 0; k < n; k++)
                part[k] = plain_value(w->type, values + (k0 + k) * PANEL_ROWS * value_bytes);
            for (size_t t = 0; t < n_tokens; t++) {
                const float *a = x->f32 + t * x->f32_stride + k0;
                float acc = k0 == 0 ? 0.0f : y[t * y_stride + row];
                for (size_t k = 0; k < n; k++)
                    acc = fmaf(part[k], a[k], acc);
                y[t * y_stride + row] = acc;
            }
        }
    }
}

static int32_t dot(const int8_t *a, const int8_t *b, size_t n)
{
    int32_t sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

/* Blocks of 32. |isum| <= 32 * 128 * 127 < 2^24: its conversion is exact. The product of two scales
 * is rounded. */
static void matmul_32(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                      size_t n_tokens, float *y, size_t y_stride)
{
    for (size_t row = p0 * PANEL_ROWS; row < p1 * PANEL_ROWS; row++) {
        const uint8_t *panel = w->panels + row / PANEL_ROWS * w->panel_bytes;
        for (size_t b = 0; b < w->n_cols / 32; b++) {
            struct block32 block;
            panel_block32(w->type, panel, row % PANEL_ROWS, b, &block);
            const float d = quant_scale(w->type, block.d), m = f16_to_f32(block.m);
            for (size_t t = 0; t < n_tokens; t++) {
                const float scale = x->q8_scale[t * x->b_stride + b];
                int32_t isum = dot(block.q, x->q8 + t * x->q_stride + 32 * b, 32);
                float acc = b == 0 ? 0.0f : y[t * y_stride + row];
                acc = fmaf((float)isum, d * scale, acc);
                if (quant_has_min(w->type))
                    acc = fmaf((float)x->q8_sum[t * x->b_stride + b], m * scale, acc);
                y[t * y_stride + row] = acc;
            }
        }
    }
}

/* Blocks of 256. |isum| <= 256 * 128 * 32 * 127 < 2^27 and |mins| <= 256 * 63 * 127 < 2^21 are
 * exact; converting isum rounds once. */
static void matmul_256(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                       size_t n_tokens, float *y, size_t y_stride)
{
    for (size_t row = p0 * PANEL_ROWS; row < p1 * PANEL_ROWS; row++) {
        const uint8_t *panel = w->panels + row / PANEL_ROWS * w->panel_bytes;
        for (size_t b = 0; b < w->n_cols / 256; b++) {
            struct block256 block;
            panel_block256(w->type, panel, row % PANEL_ROWS, b, &block);
            const float d = f16_to_f32(block.d) * quant_unit(w->type);
            const float dmin = f16_to_f32(block.dmin);
            for (size_t t = 0; t < n_tokens; t++) {
                const float scale = x->q8k_scale[t * x->b_stride + b];
                const int8_t *q = x->q8k + t * x->q_stride + 256 * b;
                const int16_t *sum = x->q8k_sum + t * 2 * x->b_stride + 16 * b;
                int32_t isum = 0, mins = 0;
                for (size_t j = 0; j < 16; j++) {
                    isum += block.scale[j] * dot(block.q + 16 * j, q + 16 * j, 16);
                    mins += block.min[j] * sum[j];
                }
                float acc = b == 0 ? 0.0f : y[t * y_stride + row];
                acc = fmaf((float)isum, d * scale, acc);
                if (quant_has_min(w->type))
                    acc = fmaf(-(float)mins, dmin * scale, acc);
                y[t * y_stride + row] = acc;
            }
        }
    }
}

/* ---- Rounding of activations ---- */

/* max|x| as the largest bit pattern of |x|: a NaN is larger than infinity, so it reaches the scale
 * and with it every output (a maximum that dropped it would turn it into a number). */
static float max_abs(const float *x, size_t n)
{
    int32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        max = bits > max ? bits : max;
    }
    float value;
    memcpy(&value, &max, sizeof value);
    return value;
}

/* Nearest even in -127..127; NaN (0 * infinity) gives 127. */
static int8_t round_quant(float v)
{
    v = v < 127.0f ? v : 127.0f;
    v = v > -127.0f ? v : -127.0f;
    return (int8_t)((v + EXP_MAGIC) - EXP_MAGIC);
}

static void quantize_q8(const struct act *x, size_t t)
{
    const float *a = x->f32 + t * x->f32_stride;
    int8_t *q = x->q8 + t * x->q_stride;
    for (size_t b = 0; b < x->n_cols / 32; b++, a += 32, q += 32) {
        float max = max_abs(a, 32);
        float scale = f16_to_f32(
            f32_to_f16(max / 127.0f)); /* above 65504: infinity, and so are the outputs */
        float inverse = scale == 0.0f ? 0.0f : 127.0f / max;
        int32_t sum = 0;
        for (size_t i = 0; i < 32; i++) {
            q[i] = round_quant(a[i] * inverse);
            sum += q[i];
        }
        x->q8_scale[t * x->b_stride + b] = scale;
        x->q8_sum[t * x->b_stride + b] = (int16_t)sum;
    }
}

static void quantize_q8k(const struct act *x, size_t t)
{
    const float *a = x->f32 + t * x->f32_stride;
    int8_t *q = x->q8k + t * x->q_stride;
    int16_t *sums = x->q8k_sum + t * 2 * x->b_stride;
    for (size_t b = 0; b < x->n_cols / 256; b++, a += 256, q += 256) {
        float max = max_abs(a, 256);
        float scale = max < ACT_Q8K_TINY ? 0.0f : max / 127.0f;
        float inverse = scale == 0.0f ? 0.0f : 127.0f / max;
        for (size_t i = 0; i < 256; i++)
            q[i] = round_quant(a[i] * inverse);
        for (size_t j = 0; j < 16; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < 16; i++)
                sum += q[16 * j + i];
            sums[16 * b + j] = (int16_t)sum;
        }
        x->q8k_scale[t * x->b_stride + b] = scale;
    }
}

/* ---- Rows ---- */

static void rms_norm(const float *x, const float *w, size_t n, float eps, float *y)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] = fmaf(x[i], x[i], lane[i % LANES]);
    float scale = 1.0f / sqrtf(tree(lane) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] * scale) * w[i];
}

static void layer_norm(const float *x, const float *w, const float *b, size_t n, float eps,
                       float *y)
{
    float lane[LANES] = {0}, square[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] += x[i];
    float mean = tree(lane) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        square[i % LANES] = fmaf(d, d, square[i % LANES]);
    }
    float scale = 1.0f / sqrtf(tree(square) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf((x[i] - mean) * scale, w[i], b[i]);
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = fmath_silu_inline(gate[i]) * up[i];
}

static void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fmath_gelu_inline(x[i]);
}

static void swiglu_oai(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = fmath_swiglu_oai_inline(gate[i], up[i]);
}

static void add_scaled(float *y, const float *x, float scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(scale, x[i], y[i]);
}

static void gelu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = fmath_gelu_inline(gate[i]) * up[i];
}

static void softcap(float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fmath_softcap_inline(x[i], cap, -2.0f / cap);
}

static void rope(float *x, const float *cos, const float *sin, size_t n, size_t head_dim,
                 bool interleaved, float scale)
{
    for (size_t i = 0; i < n / 2; i++) {
        float *a = interleaved ? x + 2 * i : x + i,
              *b = interleaved ? x + 2 * i + 1 : x + i + n / 2;
        float first = fmaf(*a, cos[i], -(*b * sin[i])), second = fmaf(*a, sin[i], *b * cos[i]);
        *a = first * scale;
        *b = second * scale;
    }
    for (size_t i = n; i < head_dim; i++)
        x[i] *= scale;
}

/* ---- Attention ---- */

static void kv_store_f32(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                         const float *v)
{
    float *keys = (float *)(void *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t d = 0; d < head_dim; d++) {
        keys[d * KV_PAGE + slot] = k[d];
        values[d] = v[d];
    }
    for (size_t d = head_dim; d < page_padded(head_dim); d++)
        values[d] = 0.0f;
}

static void kv_store_f16(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                         const float *v)
{
    uint16_t *keys = (uint16_t *)(void *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t d = 0; d < head_dim; d++) {
        keys[d * KV_PAGE + slot] = f32_to_f16(k[d]);
        values[d] = f32_to_f16(v[d]);
    }
    for (size_t d = head_dim; d < page_padded(head_dim); d++)
        values[d] = 0;
}

/* Every 32 values of a key, and of a value, are rounded to multiples of their scale. */
static void kv_store_q8(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                        const float *v)
{
    int8_t *keys = (int8_t *)block, *values = keys + page_value_at(head_dim, slot);
    for (size_t d0 = 0; d0 < head_dim; d0 += KV_GROUP) {
        size_t n = head_dim - d0 < KV_GROUP ? head_dim - d0 : KV_GROUP;
        uint16_t k_scale = page_scale_of(max_abs(k + d0, n)),
                 v_scale = page_scale_of(max_abs(v + d0, n));
        for (size_t d = d0; d < d0 + n; d++) {
            keys[d * KV_PAGE + slot] = round_quant(k[d] * kv_scale_inverse(k_scale));
            values[d] = round_quant(v[d] * kv_scale_inverse(v_scale));
        }
        size_t at = slot * sizeof k_scale;
        memcpy(block + page_key_scales_at(head_dim, d0 / KV_GROUP) + at, &k_scale, sizeof k_scale);
        memcpy(block + page_value_scales_at(head_dim, d0 / KV_GROUP) + at, &v_scale,
               sizeof v_scale);
    }
    for (size_t d = head_dim; d < page_padded(head_dim); d++)
        values[d] = 0;
}

/* A key's or value's number, of KV_Q8 without its scale. */
static float kv_number(const uint8_t *block, enum kv_type type, size_t i)
{
    float f;
    if (type == KV_F16)
        return load_f16(block + i * sizeof(uint16_t));
    if (type == KV_Q8)
        return (float)(int8_t)block[i];
    memcpy(&f, block + i * sizeof f, sizeof f);
    return f;
}

static float kv_scale(const uint8_t *scales, size_t pos)
{
    uint16_t scale;
    memcpy(&scale, scales + pos * sizeof scale, sizeof scale);
    return kv_scale_value(scale);
}

/* Part of q . k, [d0, d1): one chain in ascending d. */
static float attend_dot(const uint8_t *block, enum kv_type type, const float *q, size_t d0,
                        size_t d1, size_t pos)
{
    float sum = 0.0f;
    for (size_t d = d0; d < d1; d++)
        sum = fmaf(q[d], kv_number(block, type, d * KV_PAGE + pos), sum);
    return sum;
}

/* q . k: of KV_Q8 the groups' sums, each times its scale, make a chain of their own. */
static float attend_score(const uint8_t *block, enum kv_type type, const float *q, size_t head_dim,
                          size_t pos)
{
    if (type != KV_Q8)
        return attend_dot(block, type, q, 0, head_dim, pos);
    float sum = 0.0f;
    for (size_t g = 0; g < page_groups(head_dim); g++) {
        size_t d0 = g * KV_GROUP, d1 = head_dim - d0 < KV_GROUP ? head_dim : d0 + KV_GROUP;
        sum = fmaf(attend_dot(block, type, q, d0, d1, pos),
                   kv_scale(block + page_key_scales_at(head_dim, g), pos), sum);
    }
    return sum;
}

/* acc += p * v; of KV_Q8 the product of p and the value's scale is rounded first. */
static void attend_add(const uint8_t *block, enum kv_type type, float p, size_t head_dim,
                       size_t pos, float *acc)
{
    float weight = p;
    for (size_t d = 0; d < head_dim; d++) {
        if (type == KV_Q8 && d % KV_GROUP == 0)
            weight = p * kv_scale(block + page_value_scales_at(head_dim, d / KV_GROUP), pos);
        acc[d] = fmaf(weight, kv_number(block, type, page_value_at(head_dim, pos) + d), acc[d]);
    }
}

/* One row's head: what is carried from block to block. */
struct attend_head {
    const float *q;
    float *acc; /* [D] */
    float softcap;
    float max;
    float lane[LANES]; /* of the sum */
};

/* One block's visible positions, [begin, end): scores, the running maximum, the lanes of the sum,
 * the values. Anything else in the block is hidden or stale and is never looked at. */
static void attend_block(struct attend_head *head, enum kv_type type, const uint8_t *block,
                         size_t begin, size_t end, size_t head_dim)
{
    float score[KV_PAGE], max = head->max;
    for (size_t pos = begin; pos < end; pos++) {
        score[pos] = attend_score(block, type, head->q, head_dim, pos);
        if (head->softcap != 0.0f)
            score[pos] = fmath_softcap_inline(score[pos], head->softcap, -2.0f / head->softcap);
        max = larger(score[pos], max);
    }
    if (max > head->max) { /* what was summed so far shrinks */
        float shrink = fmath_exp_inline(head->max - max);
        for (size_t i = 0; i < LANES; i++)
            head->lane[i] *= shrink;
        for (size_t d = 0; d < head_dim; d++)
            head->acc[d] *= shrink;
        head->max = max;
    }
    for (size_t pos = begin; pos < end; pos++) {
        float p = fmath_exp_inline(score[pos] - max);
        head->lane[pos % LANES] += p;
        attend_add(block, type, p, head_dim, pos, head->acc);
    }
}

static void attend(const struct attend *a, enum kv_type type)
{
    for (size_t i = 0; i < a->n_rows * a->n_heads; i++) {
        size_t row = i / a->n_heads, h = i % a->n_heads, out = row * a->out_stride + h;
        size_t n_positions =
            a->n_positions + row < ATTEND_SPAN ? a->n_positions + row : ATTEND_SPAN;
        ptrdiff_t n_hidden = attend_hidden(a, row);
        size_t begin = n_hidden > 0 ? (size_t)n_hidden : 0;
        struct attend_head head = {.q = a->q + row * a->q_stride + h * a->head_dim,
                                   .acc = a->acc + out * a->head_dim,
                                   .softcap = a->softcap,
                                   .max = -INFINITY};
        memset(head.acc, 0, a->head_dim * sizeof *head.acc);
        for (size_t first = begin / KV_PAGE * KV_PAGE; first < n_positions; first += KV_PAGE) {
            size_t n = n_positions - first < KV_PAGE ? n_positions - first : KV_PAGE;
            attend_block(&head, type, a->blocks[first / KV_PAGE], begin > first ? begin - first : 0,
                         n, a->head_dim);
        }
        a->max[out] = head.max + 0.0f; /* -0 becomes +0: which zero was found first must not show */
        a->sum[out] = tree(head.lane);
    }
}

static void attend_f32(const struct attend *a)
{
    attend(a, KV_F32);
}

static void attend_f16(const struct attend *a)
{
    attend(a, KV_F16);
}

static void attend_q8(const struct attend *a)
{
    attend(a, KV_Q8);
}

static void attend_merge(const float *max, const float *sum, const float *acc, const float *sinks,
                         size_t n_spans, size_t n_heads, size_t head_dim, float *out)
{
    for (size_t h = 0; h < n_heads; h++) {
        float top = sinks != NULL ? sinks[h] : max[h], *row = out + h * head_dim;
        for (size_t i = 0; i < n_spans; i++)
            top = larger(max[i * n_heads + h], top);
        float total = sinks != NULL ? fmath_exp_inline(sinks[h] - top) : 0.0f;
        for (size_t i = 0; i < n_spans; i++) {
            const float *part = acc + (i * n_heads + h) * head_dim;
            float weight = fmath_exp_inline(max[i * n_heads + h] - top);
            total = fmaf(weight, sum[i * n_heads + h], total);
            for (size_t d = 0; d < head_dim; d++)
                row[d] = fmaf(weight, part[d], i == 0 ? 0.0f : row[d]);
        }
        for (size_t d = 0; d < head_dim; d++)
            row[d] /= total;
    }
}

#include "math/recurrent_ref.h"

/* ---- The vocabulary ---- */

static float max_of(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = larger(x[i], max);
    return max + 0.0f; /* -0 becomes +0 */
}

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static size_t count_at_least(const float *x, size_t n, float floor)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += x[i] >= floor;
    return count;
}

static size_t list_at_least(const float *x, size_t n, float floor, uint32_t *index)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] >= floor)
            index[count++] = (uint32_t)i;
    }
    return count;
}

static void exp_of(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fmath_exp_inline(x[i]);
}

static float sum_exp(const float *x, size_t n, float max)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] += fmath_exp_inline(x[i] - max);
    return tree(lane);
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return false;
    }
    return true;
}

const struct kernels KERNELS_REF_TABLE = {
    .name = "ref",
    .matmul =
        {[WEIGHT_F32] = matmul_plain,   [WEIGHT_F16] = matmul_plain,  [WEIGHT_BF16] = matmul_plain,
         [WEIGHT_Q8_0] = matmul_32,     [WEIGHT_Q4_0] = matmul_32,    [WEIGHT_Q4_1] = matmul_32,
         [WEIGHT_Q5_0] = matmul_32,     [WEIGHT_Q5_1] = matmul_32,    [WEIGHT_IQ4_NL] = matmul_32,
         [WEIGHT_MXFP4] = matmul_32,    [WEIGHT_Q2_K] = matmul_256,   [WEIGHT_Q3_K] = matmul_256,
         [WEIGHT_Q4_K] = matmul_256,    [WEIGHT_Q5_K] = matmul_256,   [WEIGHT_Q6_K] = matmul_256,
         [WEIGHT_IQ4_XS] = matmul_256,  [WEIGHT_IQ1_S] = matmul_256,  [WEIGHT_IQ1_M] = matmul_256,
         [WEIGHT_IQ2_XXS] = matmul_256, [WEIGHT_IQ2_XS] = matmul_256, [WEIGHT_IQ2_S] = matmul_256,
         [WEIGHT_IQ3_XXS] = matmul_256, [WEIGHT_IQ3_S] = matmul_256,  [WEIGHT_TQ1_0] = matmul_256,
         [WEIGHT_TQ2_0] = matmul_256},
    .quantize = {[ACT_Q8] = quantize_q8, [ACT_Q8K] = quantize_q8k},
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .silu_mul = silu_mul,
    .gelu = gelu,
    .swiglu_oai = swiglu_oai,
    .add_scaled = add_scaled,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
    .rope = rope,
    .kv_store = {[KV_F32] = kv_store_f32, [KV_F16] = kv_store_f16, [KV_Q8] = kv_store_q8},
    .attend = {[KV_F32] = attend_f32, [KV_F16] = attend_f16, [KV_Q8] = attend_q8},
    .attend_merge = attend_merge,
    .sigmoid_mul = sigmoid_mul,
    .conv = conv,
    .delta = delta,
    .max = max_of,
    .argmax = argmax,
    .count_at_least = count_at_least,
    .list_at_least = list_at_least,
    .exp = exp_of,
    .sum_exp = sum_exp,
    .all_finite = all_finite,
};
