/* attend.h - attention over paged keys and values in lanes, written once for every width.
 *
 * Positions lie in lanes for the scores, the head's values for the sums. The heads of a group, of
 * one row or of several that follow each other, are the queries: a tile of them goes through a
 * block of keys and values together, so that each is loaded and converted once for all. Each
 * query's chains are those of kernels_ref.c, whatever its neighbours are.
 *
 * The file that includes it first says what a vector is:
 *   LANES, vec, vec8                  floats in a vec; 8 floats, the lanes of a sum
 *   vec8_zero, vec8_mul(vec8, float)
 *   vec_zero, vec_set, vec_load, vec_store, vec_mul, vec_sub, vec_fma
 *   vec_load_some, vec_store_some     the first n lanes (n < LANES); the others read as 0
 *   vec_visible(p, n, other)          loads; lanes at n and beyond are `other`
 *   vec_max(a, b)                     b where a is NaN
 *   vec_above(a, b), vec_top(a)       any lane of a > b; the largest lane
 *   vec_exp(x, n)                     e^x of x <= 0 or NaN; lanes at n and beyond are 0
 *   vec_softcap(x, cap)               cap * tanh(x / cap), with the reference's roundings
 *   vec_sum(vec8 sum, vec v)          adds v to the sum's lanes, 8 at a time
 *   vec_kv(p, type)                   LANES numbers of a block
 *   vec_kv_some(p, type, n)           the first n; reads nothing after them
 *   vec_scales(p)                     LANES scales of KV_Q8
 *   tree8(vec8), TILES                the reference's tree; tile sizes, see next_tile
 * Private to core/math.
 */
#pragma once

#include "math/fmath_inline.h"
#include "math/kernels.h"
#include "math/kv_layout.h"

enum {
    TILE_MAX = 12,
    CHUNKS_MAX = 4, /* vectors beside each other in a tile */
    SCALED_CHUNKS = KV_GROUP / LANES,
};

/* State that the queries of one call carry from block to block. */
struct queries {
    _Alignas(64) float p[ATTEND_QUERIES][KV_PAGE];      /* scores, then exp(score - max) */
    _Alignas(64) float weight[ATTEND_QUERIES][KV_PAGE]; /* KV_Q8: p times a group's scales */
    vec8 sum[ATTEND_QUERIES];
    float max[ATTEND_QUERIES];
    float shrink[ATTEND_QUERIES]; /* what the earlier sums of values are multiplied by; 1 when the
                                     maximum stays */
    float *acc[ATTEND_QUERIES];   /* [D]: the caller's */
    const float *q;               /* [D][n] */
    size_t n, head_dim;
    float softcap;   /* 0: none */
    ptrdiff_t ahead; /* bytes to the next block, for prefetching; 0: none is known */
};

ALWAYS_INLINE size_t number_bytes(enum kv_type type)
{
    return type == KV_F32 ? 4 : type == KV_F16 ? 2 : 1;
}

ALWAYS_INLINE size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Scores of a tile's n queries (a constant) at n_vecs * LANES positions from pos. */
ALWAYS_INLINE void score_tile(struct queries *s, enum kv_type type, const uint8_t *block,
                              size_t pos, size_t first, size_t n, size_t n_vecs)
{
    const size_t group = type == KV_Q8 ? KV_GROUP : s->head_dim;
    const size_t bytes = number_bytes(type), stride = s->n;
    const ptrdiff_t ahead = s->ahead;
    for (size_t d0 = 0; d0 < s->head_dim; d0 += group) {
        const float *q = s->q + d0 * stride + first;
        const uint8_t *k = block + (d0 * KV_PAGE + pos) * bytes;
        vec sum[TILE_MAX][CHUNKS_MAX];
#pragma GCC unroll 12
        for (size_t i = 0; i < n; i++) {
#pragma GCC unroll 4
            for (size_t c = 0; c < n_vecs; c++)
                sum[i][c] = vec_zero();
        }
        for (size_t d = least(group, s->head_dim - d0); d > 0; d--) {
            vec key[CHUNKS_MAX];
            __builtin_prefetch(k + ahead);
#pragma GCC unroll 4
            for (size_t c = 0; c < n_vecs; c++)
                key[c] = vec_kv(k + c * LANES * bytes, type);
#pragma GCC unroll 12
            for (size_t i = 0; i < n; i++) {
                vec qd = vec_set(q[i]);
#pragma GCC unroll 4
                for (size_t c = 0; c < n_vecs; c++)
                    sum[i][c] = vec_fma(qd, key[c], sum[i][c]);
            }
            q += stride;
            k += KV_PAGE * bytes;
        }
#pragma GCC unroll 4
        for (size_t c = 0; c < n_vecs; c++) {
            const size_t at = pos + c * LANES;
            vec scale = vec_zero();
            if (type == KV_Q8)
                scale = vec_scales(block + page_key_scales_at(s->head_dim, d0 / KV_GROUP) + 2 * at);
#pragma GCC unroll 12
            for (size_t i = 0; i < n; i++) {
                vec score = sum[i][c];
                if (type == KV_Q8)
                    score = vec_fma(score, scale,
                                    d0 == 0 ? vec_zero() : vec_load(s->p[first + i] + at));
                vec_store(s->p[first + i] + at, score);
            }
        }
    }
}

/* A query's scores become weights; those of positions [begin, n) are visible. Around them lies what
 * was computed from hidden or stale keys: it is masked. */
ALWAYS_INLINE void softmax(struct queries *s, size_t i, size_t begin, size_t n)
{
    const vec old = vec_set(s->max[i]), lowest = vec_set(-INFINITY);
    if (s->softcap != 0.0f) {
        for (size_t pos = 0; pos < n; pos += LANES)
            vec_store(s->p[i] + pos, vec_softcap(vec_load(s->p[i] + pos), s->softcap));
    }
    for (size_t pos = 0; pos < begin; pos++)
        s->p[i][pos] = -INFINITY;
    vec top = old;
    for (size_t pos = 0; pos < n; pos += LANES)
        top = vec_max(vec_visible(s->p[i] + pos, least(n - pos, LANES), lowest), top);
    s->shrink[i] = 1.0f;
    if (vec_above(top, old)) {
        float new = vec_top(top);
        s->shrink[i] = fmath_exp_inline(s->max[i] - new);
        s->max[i] = new;
        s->sum[i] = vec8_mul(s->sum[i], s->shrink[i]);
    }
    const vec max = vec_set(s->max[i]);
    for (size_t pos = 0; pos < n; pos += LANES) {
        vec p = vec_exp(vec_sub(vec_load(s->p[i] + pos), max), least(n - pos, LANES));
        s->sum[i] = vec_sum(s->sum[i], p);
        vec_store(s->p[i] + pos, p);
    }
}

/* acc[d ..) = acc * shrink + the sum of p * v over positions [pos0, pos1), for n queries and n_vecs
 * vectors of values; some > 0: of one vector, its first `some` lanes. */
ALWAYS_INLINE void value_tile(struct queries *s, enum kv_type type, const uint8_t *block, size_t d,
                              size_t some, size_t pos0, size_t pos1, size_t first, size_t n,
                              size_t n_vecs)
{
    const size_t bytes = number_bytes(type), stride = page_padded(s->head_dim) * bytes;
    const uint8_t *v = block + (page_value_at(s->head_dim, pos0) + d) * bytes;
    const float *p = (type == KV_Q8 ? s->weight[first] : s->p[first]) + pos0;
    const ptrdiff_t ahead = s->ahead;
    vec sum[TILE_MAX][CHUNKS_MAX];
#pragma GCC unroll 12
    for (size_t i = 0; i < n; i++) {
        const float *acc = s->acc[first + i] + d;
        const vec shrink = vec_set(s->shrink[first + i]);
#pragma GCC unroll 4
        for (size_t c = 0; c < n_vecs; c++)
            sum[i][c] =
                vec_mul(some > 0 ? vec_load_some(acc, some) : vec_load(acc + c * LANES), shrink);
    }
    for (size_t pos = pos0; pos < pos1; pos++) {
        vec value[CHUNKS_MAX];
#pragma GCC unroll 4
        for (size_t c = 0; c < n_vecs; c++) {
            if (c * LANES * bytes % 64 == 0)
                __builtin_prefetch(v + c * LANES * bytes + ahead);
            value[c] = some > 0 ? vec_kv_some(v, type, some) : vec_kv(v + c * LANES * bytes, type);
        }
#pragma GCC unroll 12
        for (size_t i = 0; i < n; i++) {
            const vec weight = vec_set(p[i * KV_PAGE]);
#pragma GCC unroll 4
            for (size_t c = 0; c < n_vecs; c++)
                sum[i][c] = vec_fma(weight, value[c], sum[i][c]);
        }
        p++;
        v += stride;
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < n; i++) {
        float *acc = s->acc[first + i] + d;
#pragma GCC unroll 4
        for (size_t c = 0; c < n_vecs; c++) {
            if (some > 0)
                vec_store_some(acc, some, sum[i][c]);
            else
                vec_store(acc + c * LANES, sum[i][c]);
        }
    }
}

/* KV_Q8: a tile's weights for the group of values that begins at d. */
ALWAYS_INLINE void scale_weights(struct queries *s, const uint8_t *block, size_t d, size_t pos0,
                                 size_t pos1, size_t first, size_t n)
{
    const uint8_t *scales = block + page_value_scales_at(s->head_dim, d / KV_GROUP);
    for (size_t pos = pos0 / LANES * LANES; pos < pos1; pos += LANES) {
        vec scale = vec_scales(scales + 2 * pos);
        for (size_t i = first; i < first + n; i++)
            vec_store(s->weight[i] + pos, vec_mul(vec_load(s->p[i] + pos), scale));
    }
}

/* All the values of a tile of n queries (a constant). */
ALWAYS_INLINE void value_tiles(struct queries *s, enum kv_type type, const uint8_t *block,
                               size_t pos0, size_t pos1, size_t first, size_t n)
{
    const size_t widest = type == KV_Q8 ? least(SCALED_CHUNKS, VALUE_CHUNKS(n)) : VALUE_CHUNKS(n);
    for (size_t d = 0; d < s->head_dim;) {
        const size_t left = s->head_dim - d;
        if (type == KV_Q8 && d % KV_GROUP == 0)
            scale_weights(s, block, d, pos0, pos1, first, n);
        if (widest >= 4 && left >= (size_t)4 * LANES) {
            value_tile(s, type, block, d, 0, pos0, pos1, first, n, 4);
            d += (size_t)4 * LANES;
        } else if (left >= (size_t)2 * LANES) {
            value_tile(s, type, block, d, 0, pos0, pos1, first, n, 2);
            d += (size_t)2 * LANES;
        } else if (left >= LANES) {
            value_tile(s, type, block, d, 0, pos0, pos1, first, n, 1);
            d += LANES;
        } else {
            value_tile(s, type, block, d, left, pos0, pos1, first, n, 1);
            d = s->head_dim;
        }
    }
}

/* Scores of n queries at all of the block's positions that any of them sees. */
ALWAYS_INLINE void score_tiles(struct queries *s, enum kv_type type, const uint8_t *block,
                               size_t n_positions, size_t first, size_t n)
{
    const size_t n_vecs = SCORE_CHUNKS(n);
    for (size_t pos = 0; pos < n_positions; pos += n_vecs * LANES)
        score_tile(s, type, block, pos, first, n, n_vecs);
}

/* The tile that a row of n queries begins with: all in as few passes as registers allow, none of
 * them of one query alone if that can be. */
ALWAYS_INLINE size_t next_tile(size_t n)
{
    static const uint8_t tiles[] = TILES;
    return tiles[least(n, sizeof tiles - 1)];
}

/* Calls f(..., first, n) for queries [first, end) with n a constant. */
#define FOR_EACH_TILE(f, first, end, ...)                                                          \
    for (size_t at_ = first, n_; at_ < (end); at_ += n_) {                                         \
        n_ = next_tile((end)-at_);                                                                 \
        switch (n_) {                                                                              \
            TILE_CASE(12, f, __VA_ARGS__)                                                          \
            TILE_CASE(8, f, __VA_ARGS__)                                                           \
            TILE_CASE(6, f, __VA_ARGS__)                                                           \
            TILE_CASE(4, f, __VA_ARGS__)                                                           \
            TILE_CASE(3, f, __VA_ARGS__)                                                           \
            TILE_CASE(2, f, __VA_ARGS__)                                                           \
            TILE_CASE(1, f, __VA_ARGS__)                                                           \
        }                                                                                          \
    }
#define TILE_CASE(size, f, ...)                                                                    \
    case size:                                                                                     \
        if (size <= TILE_LARGEST)                                                                  \
            f(__VA_ARGS__, at_, size);                                                             \
        break;

/* The first position of a block that a row sees, when n_hidden lie before it. */
ALWAYS_INLINE size_t first_seen(ptrdiff_t n_hidden)
{
    return n_hidden > 0 ? (size_t)n_hidden : 0;
}

/* One block for rows [0, n_rows) of n_heads queries each; row r sees n_positions + r of it but for
 * the first n_hidden + r. */
ALWAYS_INLINE void attend_block(struct queries *s, enum kv_type type, const uint8_t *block,
                                ptrdiff_t n_positions, ptrdiff_t n_hidden, size_t n_rows,
                                size_t n_heads)
{
    const size_t row = n_positions < 1 ? (size_t)(1 - n_positions) : 0; /* the first that sees it */
    const size_t joint = least((size_t)(n_positions + (ptrdiff_t)row), KV_PAGE);
    const bool edge = n_hidden + (ptrdiff_t)n_rows > 1; /* a window begins here for some */
    /* One past the last that sees any of it. */
    const size_t last =
        edge ? least(n_rows, KV_PAGE - least(first_seen(n_hidden), KV_PAGE)) : n_rows;
    if (row >= last)
        return;
    const size_t all = least(joint + last - 1 - row, KV_PAGE), end = last * n_heads;
    FOR_EACH_TILE(score_tiles, row * n_heads, end, s, type, block, all)
    for (size_t i = row * n_heads; i < end; i++) {
        const size_t n = least(joint + i / n_heads - row, KV_PAGE);
        if (!edge && n == KV_PAGE)
            softmax(s, i, 0, KV_PAGE); /* without masks */
        else
            softmax(s, i, edge ? first_seen(n_hidden + (ptrdiff_t)(i / n_heads)) : 0, n);
    }
    /* The positions that all of them see, then for each row those that only it and later ones do;
     * at a window's edge each row by itself. */
    if (!edge)
        FOR_EACH_TILE(value_tiles, row * n_heads, end, s, type, block, 0, joint)
    for (size_t r = edge ? row : row + 1; r < last && (edge || joint < KV_PAGE); r++) {
        for (size_t i = r * n_heads; i < (r + 1) * n_heads && !edge; i++)
            s->shrink[i] = 1.0f;
        FOR_EACH_TILE(value_tiles, r * n_heads, (r + 1) * n_heads, s, type, block,
                      edge ? first_seen(n_hidden + (ptrdiff_t)r) : joint,
                      least(joint + r - row, KV_PAGE))
    }
}

/* Rows [row, row + n_rows) and heads [head, head + n_heads): at most ATTEND_QUERIES. */
ALWAYS_INLINE void attend_part(const struct attend *a, enum kv_type type, size_t row, size_t n_rows,
                               size_t head, size_t n_heads)
{
    struct queries s;
    s.q = a->scratch;
    s.n = n_rows * n_heads;
    s.head_dim = a->head_dim;
    s.softcap = a->softcap;
    for (size_t i = 0; i < s.n; i++) {
        const size_t r = row + i / n_heads, h = head + i % n_heads;
        const float *q = a->q + r * a->q_stride + h * a->head_dim;
        for (size_t d = 0; d < a->head_dim; d++)
            a->scratch[d * s.n + i] = q[d];
        s.acc[i] = a->acc + (r * a->out_stride + h) * a->head_dim;
        memset(s.acc[i], 0, a->head_dim * sizeof(float));
    }
    for (size_t i = 0; i < ATTEND_QUERIES; i++) { /* all: an analyzer cannot count */
        s.sum[i] = vec8_zero();
        s.max[i] = -INFINITY;
    }
    const size_t n_positions = a->n_positions + row;
    const size_t seen = least(n_positions + n_rows - 1, ATTEND_SPAN);
    const ptrdiff_t n_hidden = attend_hidden(a, row);
    for (size_t begin = first_seen(n_hidden) / KV_PAGE * KV_PAGE; begin < seen; begin += KV_PAGE) {
        const uint8_t *block = a->blocks[begin / KV_PAGE];
        const uint8_t *next = begin + KV_PAGE < seen ? a->blocks[begin / KV_PAGE + 1] : a->next;
        s.ahead = next != NULL ? next - block : 0;
        attend_block(&s, type, block, (ptrdiff_t)n_positions - (ptrdiff_t)begin,
                     n_hidden - (ptrdiff_t)begin, n_rows, n_heads);
    }
    for (size_t i = 0; i < s.n; i++) {
        const size_t at = (row + i / n_heads) * a->out_stride + head + i % n_heads;
        a->max[at] = s.max[i] + 0.0f;
        a->sum[at] = tree8(s.sum[i]);
    }
}

ALWAYS_INLINE void attend(const struct attend *a, enum kv_type type)
{
    const size_t heads = least(a->n_heads, ATTEND_QUERIES), rows = ATTEND_QUERIES / heads;
    for (size_t r = 0; r < a->n_rows; r += rows)
        for (size_t h = 0; h < a->n_heads; h += heads)
            attend_part(a, type, r, least(rows, a->n_rows - r), h, least(heads, a->n_heads - h));
}
