/* kernels.h - the arithmetic: one table of functions, one row of it per instruction set, the same
 * bits from each.
 *
 * kernels_ref.c defines every operation in plain C, in one written order of floating-point
 * operations; every other table starts as a copy of it and replaces entries that return the same
 * bits faster. All functions are pure: they touch only what they are handed, keep no state and may
 * run on any thread with cpu_set_float_mode() in force. None allocates.
 *
 * Letters: T tokens (rows of activations), K inputs, R outputs, D head size, P positions.
 *
 * NaN and infinity: "the same bits" counts all NaNs as one (which NaN an instruction returns
 * depends on the order of its operands); whether a result is NaN is the same everywhere. Where an
 * operation takes a maximum, it ignores NaN (max(a, b) = a > b ? a : b, the running maximum as b)
 * and gives +0 for either zero; NaN still spreads through the sums. The rounding of activations
 * lets no NaN or infinity vanish: a block that holds one gets a scale that is not finite, and so
 * does one whose scale overflows F16; with it every output of the matrix is not finite, which
 * all_finite finds at the end.
 */
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "math/matrix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The format a matrix's input is rounded to, once per input; set by the weight type alone. */
enum act_format {
    ACT_F32, /* as it is */
    ACT_Q8,  /* blocks of 32: scale = max|x| / 127 rounded to F16, q = nearest-even(x * (127 / max))
              * clamped to -127..127 (NaN: 127), and the block's sum of q; scale 0: every q is 0 */
    ACT_Q8K, /* blocks of 256: the same with an F32 scale (0 when max < 2^-100), and sums of 16 */
    ACT_FORMATS,
};
#define ACT_Q8K_TINY 0x1p-100f /* far below it, 127 / max would overflow */

/* T rows of activations, in the formats that the matrices reading them want. All arrays are 64-byte
 * aligned, rows padded so that each begins on 64 bytes. */
struct act {
    size_t n_cols;     /* K */
    float *f32;        /* [T][f32_stride] */
    size_t f32_stride; /* floats */
    int8_t *q8;        /* [T][q_stride] bytes; ACT_Q8 */
    float *q8_scale;   /* [T][b_stride]: one a block of 32, already rounded to F16, held as F32 */
    int16_t *q8_sum;   /* [T][b_stride]: sum of the block's q */
    int8_t *q8k;       /* [T][q_stride]; ACT_Q8K */
    float *q8k_scale;  /* [T][b_stride]: one a block of 256 */
    int16_t *q8k_sum;  /* [T][2 * b_stride]: one each 16 */
    size_t q_stride;   /* bytes: K rounded up to 256, and 64 */
    size_t b_stride;   /* elements: K / 32 rounded up to 16 */
};

/* KV_Q8: int8, and a BF16 scale for every 32 values of a position's K or V. */
enum kv_type { KV_F32, KV_F16, KV_Q8, KV_TYPES };

/* One block of KV_PAGE positions of one layer and KV head, in one page: K transposed [D][KV_PAGE],
 * so that positions lie in lanes; V as [KV_PAGE][D_pad], so that D lies in lanes (D_pad: D rounded
 * up to 8); then the scales of KV_Q8 (kv_layout.h). */
enum { KV_PAGE = 32 };

/* K and V together, a multiple of 64: KV_PAGE * (D + D_pad) values, and of KV_Q8 KV_PAGE * 4 bytes
 * of scales for every 32 of D or fewer. */
size_t page_head_bytes(enum kv_type type, size_t head_dim);

/* Positions of a span of attention: fixed, so that the number of partial results depends on the
 * context alone. */
enum { ATTEND_SPAN = 512 };

/* Queries that attend takes through a block of keys and values together. */
enum { ATTEND_QUERIES = 24 };

/* Attention over a span of positions aligned to ATTEND_SPAN: the heads that share one KV head, of
 * one row or of several that follow each other in a sequence. What it gives a row is the same bits
 * whatever the other rows are. */
struct attend {
    const float *q;  /* [n_rows][q_stride], of each row [n_heads][D], scaled by 1/sqrt(D) */
    size_t q_stride; /* floats */
    size_t n_rows;   /* 1, or n_rows * n_heads <= ATTEND_QUERIES */
    size_t n_heads;  /* of the group */
    size_t head_dim; /* D */
    /* the span's blocks in ascending order, as many as the last row sees */
    const uint8_t *const *blocks;
    const uint8_t *next; /* the block that is probably read after them, to ask for it; or NULL */
    /* of this span, that the first row sees, 1..ATTEND_SPAN; each further row sees one more, up to
     * ATTEND_SPAN */
    size_t n_positions;
    /* Where rows see through a window: the positions of this span that lie before the first row's
     * (0 or less: none), less than n_positions; before each further row's one more. */
    bool has_window;
    ptrdiff_t n_hidden;
    float softcap;     /* scores become cap * tanh(score / cap); 0: they stay */
    float *scratch;    /* [ATTEND_QUERIES][D]: overwritten */
    size_t out_stride; /* heads, >= n_heads */
    float *max;        /* out [n_rows][out_stride] */
    float *sum;        /* out, likewise: sum of exp(score - max), after the fixed tree of 8 lanes */
    float *acc;        /* out [n_rows][out_stride][D]: sum of exp(score - max) * v */
};

/* The gated delta rule (Yang, Kautz and Hatamizadeh, 2024) of one head, position by position. The
 * state S is [D values][D keys]; at each position it decays, what it answers to the key is drawn to
 * the value, and the query is asked:
 *
 *     S = decay S;  S += beta (v - S k) k^T;  out = S q
 *
 * How many positions a call takes decides nothing: the state between them is kept as it is. */
struct delta {
    size_t size; /* D */
    size_t n_positions;
    const float *q, *k; /* [n_positions][qk_stride], of each position [D] */
    size_t qk_stride;
    float *v; /* [n_positions][v_stride], of each position [D]: values in, answers out */
    size_t v_stride;
    const float *decay, *beta; /* [n_positions][gate_stride], of each position one */
    size_t gate_stride;
    const float *from; /* the state before; NULL: zeros. May be state */
    float *state;      /* [panels][D][PANEL_ROWS], 64-byte aligned: out, the state after; values are
                          lanes, those beyond D zero */
};

/* Floats of a head's state. */
static inline size_t delta_state_floats(size_t size)
{
    return (size + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS * size;
}

/* What lies before the window of an attend's row. */
static inline ptrdiff_t attend_hidden(const struct attend *a, size_t row)
{
    return a->has_window ? a->n_hidden + (ptrdiff_t)row : -ATTEND_SPAN;
}

struct kernels {
    const char *name; /* "ref", "avx2" */

    /* y[t][r] = sum over k of w[r][k] * x[t][k] for the rows of panels [p0, p1) and t < n_tokens.
     * Writes whole panels: rows beyond n_rows get 0 (NaN if x is not finite), so y_stride (floats)
     * >= rows rounded up to PANEL_ROWS. y points at row 0 of the matrix: y[PANEL_ROWS * p0] is
     * written first. The order is kernels_ref.c's, per row, whatever T, p0 and p1. y need not be
     * aligned; it must not overlap x. NULL: a type that is not built. */
    void (*matmul[WEIGHT_TYPES])(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                                 size_t n_tokens, float *y, size_t y_stride);

    /* Fills row t of x's arrays for one format from x->f32's row t. ACT_F32: nothing to do (NULL).
     * n_cols: a multiple of 32 for ACT_Q8, of 256 for ACT_Q8K. */
    void (*quantize[ACT_FORMATS])(const struct act *x, size_t t);

    /* y[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]  (Zhang and Sennrich, 2019). y may be x. */
    void (*rms_norm)(const float *x, const float *w, size_t n, float eps, float *y);
    /* y[i] = (x[i] - mean) / sqrt(var + eps) * w[i] + b[i]  (Ba et al., 2016). y may be x. */
    void (*layer_norm)(const float *x, const float *w, const float *b, size_t n, float eps,
                       float *y);
    void (*add)(float *y, const float *x, size_t n); /* y += x */
    /* gate = silu(gate) * up  (Shazeer, 2020) */
    void (*silu_mul)(float *gate, const float *up, size_t n);
    void (*gelu)(float *x, size_t n); /* in place, tanh form */
    /* gate = g * sigmoid(1.702 g) * (u + 1), g = min(gate, 7), u = up clamped to -7..7 (gpt-oss) */
    void (*swiglu_oai)(float *gate, const float *up, size_t n);
    void (*add_scaled)(float *y, const float *x, float scale, size_t n); /* y += scale * x, fused */
    void (*gelu_mul)(float *gate, const float *up, size_t n); /* gate = gelu(gate) * up */
    void (*softcap)(float *x, float cap, size_t n);           /* x = cap * tanh(x / cap) */
    /* Rotates pairs (Su et al., 2021). interleaved: (x[2i], x[2i+1]), the "llama" order; else
     * (x[i], x[i + n/2]), the "neox" order. cos, sin: [n/2]. Then every x (all head_dim of them) is
     * multiplied by scale. n <= head_dim. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t n, size_t head_dim,
                 bool interleaved, float scale);

    /* Rounds one position's K and V of one head into slot pos % KV_PAGE of a block (64-byte
     * aligned). */
    void (*kv_store[KV_TYPES])(uint8_t *block, size_t slot, size_t head_dim, const float *k,
                               const float *v);
    void (*attend[KV_TYPES])(const struct attend *a);
    /* Merges a row's spans in ascending order and divides by the sum: out [n_heads][D]. max, sum:
     * [n_spans][n_heads]; acc: [n_spans][n_heads][D]. sinks [n_heads]: the score of one more
     * position, without a value (NULL: none). out may be acc's first span. */
    void (*attend_merge)(const float *max, const float *sum, const float *acc, const float *sinks,
                         size_t n_spans, size_t n_heads, size_t head_dim, float *out);

    /* y *= 1 / (1 + exp(-gate)) */
    void (*sigmoid_mul)(float *y, const float *gate, size_t n);
    /* A causal convolution of each channel by itself at one position: y[i] = bias[i] (NULL: 0) and
     * then + taps[j][i] * w[j * w_stride + i], ascending j; silu of that where asked. taps: the
     * n_taps inputs, the oldest first. y may be one of them. */
    void (*conv)(const float *const *taps, size_t n_taps, const float *w, size_t w_stride,
                 const float *bias, size_t n, bool silu, float *y);
    void (*delta)(const struct delta *d);

    /* Over the vocabulary. */
    /* n >= 1; NaN anywhere: result unspecified, see all_finite. */
    float (*max)(const float *x, size_t n);
    /* The lowest index among equals; NaN anywhere: some index below n. */
    size_t (*argmax)(const float *x, size_t n);
    /* How many are >= floor; NaN never is. */
    size_t (*count_at_least)(const float *x, size_t n, float floor);
    /* Their indices, ascending, into index [n]; returns how many. */
    size_t (*list_at_least)(const float *x, size_t n, float floor, uint32_t *index);
    void (*exp)(float *x, size_t n); /* each x becomes fmath_exp(x) */
    /* Sum of exp(x[i] - max) in 8 lanes and the fixed tree. */
    float (*sum_exp)(const float *x, size_t n, float max);
    bool (*all_finite)(const float *x, size_t n);
};

enum kernel_level {
    KERNELS_AUTO,
    KERNELS_REF,
    KERNELS_AVX2,
    KERNELS_AVXVNNI,
    KERNELS_AVX512,
    KERNELS_AMX,
    KERNELS_NEON,
    KERNEL_LEVELS
};

/* The table for a level on this machine (AUTO: the best it has). Static, never freed. A level that
 * the machine lacks or that is not built is STATUS_UNSUPPORTED, by name. */
enum status kernels_select(const struct kernels **out, enum kernel_level level,
                           const struct cpu *cpu, struct error *err);
