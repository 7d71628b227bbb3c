/* amx_few.h - products of up to HALF tokens with matrices in blocks of 32.
 *
 * A tile's store takes as long whatever is in it, so the tokens share one between two blocks: its
 * upper rows are their first block beside zeros, its lower ones zeros beside the second. Two panels
 * go side by side, for which the tokens are loaded once. What passes so few is not worth keeping:
 * weights are asked for, unpacked, multiplied and used in one loop through all panels, each some
 * pairs of blocks before the next.
 *
 * Included once, by amx_paired.c; blocks of 256 have their own way in amx_super.c.
 */
#include "math/x86/amx_tiles.h"

enum {
    FEW_INPUTS = 64, /* n_cols must be multiples of it: of a pair */
    FEW_PAIRS = 16,  /* of a chunk: their tokens stay in a first-level cache */
    FEW_AHEAD = 2,   /* pairs that are unpacked before they are multiplied */
    RING = 4,        /* of unpacked pairs; more than FEW_AHEAD */
};

/* The tokens' part of a chunk, pair by pair; zeros beside and behind them. */
struct few_tokens {
    _Alignas(LINE) int8_t q[FEW_PAIRS][TOKENS][2 * 32];
    float scale[FEW_PAIRS][2][HALF];
    float sum[FEW_PAIRS][2][HALF];    /* of quants: for minimums */
    int32_t bias[FEW_PAIRS][2][HALF]; /* makes a sum of unsigned weights a float's bits */
};

/* Pairs of blocks of panels that lie two by two, side by side. */
struct few_chunk {
    size_t first, n_pairs;
    size_t n_couples;
    ptrdiff_t couple_bytes;
    ptrdiff_t beside; /* bytes from a panel to the one at its side; 0: it is alone */
};

/* One of them. */
struct few_place {
    const uint8_t *panel;
    size_t pair;
};

/* Unpacked weights of the pairs under way, and the sums of one; of both panels. */
struct few_memory {
    _Alignas(LINE) uint8_t ring[RING][2][2 * GROUPS * LINE];
    _Alignas(LINE) int32_t sums[2][TOKENS][PANEL_ROWS];
};

ALWAYS_INLINE void few_step(const struct few_chunk *chunk, struct few_place *place)
{
    if (++place->pair < chunk->n_pairs)
        return;
    place->pair = 0;
    place->panel += chunk->couple_bytes;
}

ALWAYS_INLINE const uint8_t *few_lines(enum weight_type type, const struct few_chunk *chunk,
                                       const struct few_place *place)
{
    return place->panel + paired_quants(type, 2 * (chunk->first + place->pair));
}

ALWAYS_INLINE void few_lay(enum weight_type type, const struct act *x, size_t n_tokens,
                           const struct few_chunk *chunk, struct few_tokens *out)
{
    const int32_t offset = type == WEIGHT_Q8_0 ? 0 : offset_of(type);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < 2 * chunk->n_pairs; i++) {
        const size_t b = 2 * chunk->first + i, pair = i / 2, second = i % 2;
        for (size_t t = 0; t < n_tokens; t++) {
            const int32_t sum = x->q8_sum[t * x->b_stride + b];
            memcpy(out->q[pair][second * HALF + t] + second * 32, x->q8 + t * x->q_stride + b * 32,
                   32);
            out->scale[pair][second][t] = x->q8_scale[t * x->b_stride + b];
            out->sum[pair][second][t] = (float)sum;
            out->bias[pair][second][t] = FLOAT_BITS - offset * sum;
        }
    }
}

ALWAYS_INLINE void few_ask(enum weight_type type, const struct few_chunk *chunk,
                           struct few_place *place)
{
    const uint8_t *p = few_lines(type, chunk, place) - paired_head(type);
    const size_t n = (paired_head(type) + 2 * panel_quants_bytes(type)) / LINE;
    prefetch(p, n);
    prefetch(p + chunk->beside, n);
    few_step(chunk, place);
}

ALWAYS_INLINE void few_unpack(enum weight_type type, const struct few_chunk *chunk,
                              struct few_place *place, uint8_t out[2][2 * GROUPS * LINE])
{
    const uint8_t *lines = few_lines(type, chunk, place);
    for (size_t i = 0; i < 4; i++) {
        __m512i w[GROUPS];
        unpack_paired(type, lines + i % 2 * panel_quants_bytes(type), w);
#pragma GCC unroll 8
        for (size_t g = 0; g < GROUPS; g++)
            _mm512_store_si512(out[i / 2] + (i % 2 * GROUPS + g) * LINE, w[g]);
        if (i == 1)
            lines += chunk->beside;
    }
    few_step(chunk, place);
}

/* Into tiles 4 and 5. */
ALWAYS_INLINE void few_begin(enum weight_type type, const struct few_chunk *chunk,
                             struct few_place *place, const struct few_tokens *x,
                             uint8_t ring[2][2 * GROUPS * LINE])
{
    compiler_barrier();
    _tile_loadd(0, x->q[place->pair], LINE);
    _tile_zero(4);
    _tile_zero(5);
    if (type == WEIGHT_Q8_0) { /* is what tiles want */
        const uint8_t *lines = few_lines(type, chunk, place);
        _tile_loadd(2, lines, LINE);
        _tile_dpbssd(4, 0, 2);
        _tile_loadd(3, lines + chunk->beside, LINE);
        _tile_dpbssd(5, 0, 3);
    } else {
        _tile_loadd(2, ring[0], LINE);
        _tile_dpbsud(4, 0, 2);
        _tile_loadd(3, ring[1], LINE);
        _tile_dpbsud(5, 0, 3);
    }
    few_step(chunk, place);
}

/* The tokens' chains through a pair of two panels, whose scales are given. */
ALWAYS_INLINE void few_add(enum weight_type type, const struct few_tokens *x, size_t pair,
                           const uint8_t *scales, ptrdiff_t beside,
                           int32_t sums[2][TOKENS][PANEL_ROWS], __m512 acc[2][HALF])
{
    const __m512 moved = _mm512_set1_ps(FLOAT_MIDDLE);
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++, scales += quant_scale_bytes(type) * PANEL_ROWS) {
        __m512 d[2], m[2];
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++) {
            const uint8_t *at = scales + (v == 0 ? 0 : beside);
            d[v] = load_block_scales(type, at);
            if (quant_has_min(type))
                m[v] = load_f16(at + LINE);
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < HALF; t++) {
            const __m512 s = _mm512_set1_ps(x->scale[pair][i][t]);
            const __m512i bias = _mm512_set1_epi32(x->bias[pair][i][t]);
#pragma GCC unroll 2
            for (size_t v = 0; v < 2; v++) {
                const __m512i isum = _mm512_load_si512(sums[v][i * HALF + t]);
                const __m512 f =
                    _mm512_sub_ps(_mm512_castsi512_ps(_mm512_add_epi32(isum, bias)), moved);
                acc[v][t] = _mm512_fmadd_ps(f, _mm512_mul_ps(d[v], s), acc[v][t]);
                if (quant_has_min(type))
                    acc[v][t] = _mm512_fmadd_ps(_mm512_set1_ps(x->sum[pair][i][t]),
                                                _mm512_mul_ps(m[v], s), acc[v][t]);
            }
        }
    }
}

ALWAYS_INLINE void few_load(const struct few_chunk *chunk, size_t n_tokens, const float *y,
                            size_t y_stride, __m512 acc[2][HALF])
{
#pragma GCC unroll 8
    for (size_t t = 0; t < HALF; t++) {
        const bool is_new = chunk->first == 0 || t >= n_tokens;
        const float *from = y + t * y_stride;
        acc[0][t] = is_new ? _mm512_setzero_ps() : _mm512_loadu_ps(from);
        acc[1][t] =
            is_new || chunk->beside == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(from + PANEL_ROWS);
    }
}

ALWAYS_INLINE void few_store(const struct few_chunk *chunk, size_t n_tokens, float *y,
                             size_t y_stride, __m512 acc[2][HALF])
{
#pragma GCC unroll 8
    for (size_t t = 0; t < HALF; t++) {
        if (t >= n_tokens)
            return;
        _mm512_storeu_ps(y + t * y_stride, acc[0][t]);
        if (chunk->beside != 0)
            _mm512_storeu_ps(y + t * y_stride + PANEL_ROWS, acc[1][t]);
    }
}

ALWAYS_INLINE void few_pass(enum weight_type type, const struct few_chunk *chunk,
                            const uint8_t *panel, const struct few_tokens *x, size_t n_tokens,
                            float *y, size_t y_stride)
{
    struct few_memory m;
    const bool packed = type != WEIGHT_Q8_0;
    const size_t total = chunk->n_couples * chunk->n_pairs;
    struct few_place asked = {panel, 0}, unpacked = asked, begun = asked;
    for (size_t i = 0; i < AHEAD / (2 * panel_quants_bytes(type)); i++)
        few_step(chunk, &asked);
    for (size_t i = 0; packed && i < FEW_AHEAD && i < total; i++)
        few_unpack(type, chunk, &unpacked, m.ring[i]);
    few_begin(type, chunk, &begun, x, m.ring[0]);
    for (size_t c = 0, k = 0; c < chunk->n_couples; c++, panel += chunk->couple_bytes) {
        __m512 acc[2][HALF];
        few_load(chunk, n_tokens, y, y_stride, acc);
        for (size_t i = 0; i < chunk->n_pairs; i++, k++) {
            few_ask(type, chunk, &asked);
            _tile_stored(4, m.sums[0], LINE);
            _tile_stored(5, m.sums[1], LINE);
            if (k + 1 < total)
                few_begin(type, chunk, &begun, x, m.ring[(k + 1) % RING]);
            if (packed && k + FEW_AHEAD < total)
                few_unpack(type, chunk, &unpacked, m.ring[(k + FEW_AHEAD) % RING]);
            few_add(type, x, i, panel + paired_scales(type, 2 * (chunk->first + i)), chunk->beside,
                    m.sums, acc);
        }
        few_store(chunk, n_tokens, y, y_stride, acc);
        y += 2 * PANEL_ROWS;
    }
}

/* Panels [p0, p1), at least one, of blocks that come in pairs. */
ALWAYS_INLINE void few(enum weight_type type, const struct matrix *w, size_t p0, size_t p1,
                       const struct act *x, size_t n_tokens, float *y, size_t y_stride)
{
    struct few_tokens tokens;
    const size_t n_pairs = w->n_cols / 64, n_chunks = (n_pairs + FEW_PAIRS - 1) / FEW_PAIRS;
    const size_t n_panels = p1 - p0, bytes = w->panel_bytes;
    const uint8_t *panels = w->panels + p0 * bytes;
    configure(64, TOKENS, TOKENS);
    for (size_t i = 0; i < n_chunks; i++) {
        const size_t first = share_of(n_pairs, i, n_chunks);
        struct few_chunk chunk = {.first = first,
                                  .n_pairs = share_of(n_pairs, i + 1, n_chunks) - first,
                                  .n_couples = n_panels / 2,
                                  .couple_bytes = 2 * (ptrdiff_t)bytes,
                                  .beside = (ptrdiff_t)bytes};
        few_lay(type, x, n_tokens, &chunk, &tokens);
        if (chunk.n_couples > 0)
            few_pass(type, &chunk, panels, &tokens, n_tokens, y + p0 * PANEL_ROWS, y_stride);
        if (n_panels % 2 > 0) {
            chunk.n_couples = 1;
            chunk.beside = 0;
            few_pass(type, &chunk, panels + (n_panels - 1) * bytes, &tokens, n_tokens,
                     y + (p1 - 1) * PANEL_ROWS, y_stride);
        }
    }
    _tile_release();
}
