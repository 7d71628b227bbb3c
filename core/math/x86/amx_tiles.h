/* amx_tiles.h - what products in AMX tiles share: the tiles' shapes, and the loops around panels
 * and tokens.
 *
 * One instruction multiplies 16 tokens by 16 rows over 32 or 64 inputs and adds in 32 bits,
 * exactly. A panel's lines are the form it wants, and so are rows of activations where they lie.
 * The sums of a block come back as a vector of rows for each token, and go on in the order of
 * kernels_ref.c. Many tokens pass weights that are unpacked for them (panels); few pass them while
 * they are unpacked (few), and very few go without tiles. (Intel SDM volume 1, chapter 18.)
 *
 * Included once by a file that is compiled with the instructions. Private to core/math.
 */
#include "base/tiles.h"
#include "math/act.h"
#include "math/x86/amx.h"

#define VNNI_LANES 16
#include "math/x86/lanes.h"

enum {
    TOKENS = TILE_TOKENS, /* of a tile */
    HALF = TOKENS / 2,
    LEAST_REST = 3,        /* beside whole tiles, which have unpacked the weights */
    MOST_TOKENS = 128,     /* that share unpacked weights */
    GROUP_BYTES = 1 << 20, /* of panels that pass them, beside their results in a second-level
                            * cache: what is laid out of the tokens serves all of these */
};

/* Tiles: 0 tokens, n of them, and 4 and 5 their sums; 1 more tokens, n2, and 6 and 7 theirs; 2 and
 * 3 weights. For products over n_inputs. */
ALWAYS_INLINE void configure(size_t n_inputs, size_t n, size_t n2)
{
    const size_t n_rows[8] = {n, n2, n_inputs / 4, n_inputs / 4, n, n, n2, n2};
    struct tile_config config = {.palette = 1};
    for (size_t i = 0; i < 8; i++) {
        config.n_rows[i] = (uint8_t)n_rows[i];
        config.row_bytes[i] = (uint16_t)(i < 2 ? n_inputs : LINE);
    }
    tiles_configure(&config);
}

/* Stores before a tile load must have reached memory: compilers do not see the load. */
ALWAYS_INLINE void compiler_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Bytes from the last panel's chunk at `at` to what comes after it: the first panel's next chunk,
 * or after the last chunk what the next call is likely to begin with. */
ALWAYS_INLINE ptrdiff_t next_chunk(const struct matrix *w, size_t p0, size_t p1, bool is_last,
                                   ptrdiff_t at, ptrdiff_t next_at)
{
    if (is_last)
        return (ptrdiff_t)w->panel_bytes - at;
    return next_at - at - (ptrdiff_t)((p1 - 1 - p0) * w->panel_bytes);
}

/* Whose bits plus a sum are those of its value plus the sum, |sum| < 2^22. */
#define FLOAT_MIDDLE 0x1.8p23f
enum { FLOAT_BITS = 0x4b400000 };

/* |sums| < 2^22, exactly. While tiles are at work, conversions, products and shifts have one port
 * of the processor and additions two: these are two additions. */
ALWAYS_INLINE __m512 to_floats(__m512i sums)
{
    const __m512i moved = _mm512_add_epi32(sums, _mm512_set1_epi32(FLOAT_BITS));
    return _mm512_sub_ps(_mm512_castsi512_ps(moved), _mm512_set1_ps(FLOAT_MIDDLE));
}

/* Where the i-th of n shares of a number begins. */
ALWAYS_INLINE size_t share_of(size_t number, size_t i, size_t n)
{
    return number * i / n;
}

/* --- loops --- */

typedef void panels_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                             size_t t0, size_t t1, float *y, size_t y_stride);
typedef void matmul_function(const struct matrix *w, size_t p0, size_t p1, const struct act *x,
                             size_t n_tokens, float *y, size_t y_stride);

/* Tiles, and without them a rest of very few tokens. */
static void matmul(panels_function *tiles, matmul_function *without, const struct matrix *w,
                   size_t p0, size_t p1, const struct act *x, size_t n_tokens, float *y,
                   size_t y_stride)
{
    const size_t group = w->panel_bytes < GROUP_BYTES ? GROUP_BYTES / w->panel_bytes : 1;
    for (size_t t = 0, n; t < n_tokens; t += n) {
        n = n_tokens - t < MOST_TOKENS ? n_tokens - t : MOST_TOKENS;
        const size_t rest = n % TOKENS < LEAST_REST ? n % TOKENS : 0, whole = t + n - rest;
        const struct act x_rest = act_from(x, whole);
        for (size_t p = p0; p < p1; p += group) {
            const size_t end = p1 - p < group ? p1 : p + group;
            if (whole > t)
                tiles(w, p, end, x, t, whole, y, y_stride);
            if (rest > 0)
                without(w, p, end, &x_rest, rest, y + whole * y_stride, y_stride);
        }
    }
    _tile_release();
}

/* amx_matmul_NAME, made of panels(type, ...) from `least` tokens on and of few(type, ...) from
 * `least_few` to `most_few`. */
#define DEFINE_MATMUL(name, type, least_few, most_few, least)                                      \
    static void tiles_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,    \
                             size_t t0, size_t t1, float *y, size_t y_stride)                      \
    {                                                                                              \
        panels(type, w, p0, p1, x, t0, t1, y, y_stride);                                           \
    }                                                                                              \
    static void few_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,      \
                           size_t n_tokens, float *y, size_t y_stride)                             \
    {                                                                                              \
        few(type, w, p0, p1, x, n_tokens, y, y_stride);                                            \
    }                                                                                              \
    void amx_matmul_##name(const struct matrix *w, size_t p0, size_t p1, const struct act *x,      \
                           size_t n_tokens, float *y, size_t y_stride)                             \
    {                                                                                              \
        if (n_tokens >= (least_few) && n_tokens <= (most_few) && p0 < p1 &&                        \
            w->n_cols % FEW_INPUTS == 0)                                                           \
            few_##name(w, p0, p1, x, n_tokens, y, y_stride);                                       \
        else if (n_tokens < (least))                                                               \
            avx512_matmul_##name(w, p0, p1, x, n_tokens, y, y_stride);                             \
        else                                                                                       \
            matmul(tiles_##name, avx512_matmul_##name, w, p0, p1, x, n_tokens, y, y_stride);       \
    }
