/* lanes.h - panels of quants as vectors of bytes, in registers of 8 rows or 16.
 *
 * Included once by a file that defines VNNI_LANES (8: AVX2, 16: AVX-512) and is compiled with the
 * instructions. Quants come out unsigned: those of signed types are moved up by their offset.
 * Private to core/math.
 */
#include "math/kernels.h"
#include "math/panel.h"

#include <immintrin.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    LANES = VNNI_LANES,
    GROUPS = 8, /* of 4 inputs in 32 */
    /* How far ahead of the loops weights are asked for: the processor's own prefetching stops at
     * pages and half fills the memory's queue. */
    AHEAD = 4096,
};

/* --- vectors of LANES rows --- */

#if VNNI_LANES == 16
/* The compilers' headers differ in the sign of a shift's count, from release to release too. */
#pragma GCC diagnostic ignored "-Wsign-conversion"
typedef __m512i vec_i;
typedef __m512 vec_f;
#define V(name)           _mm512_##name
#define V_DPBUSD          _mm512_dpbusd_epi32
#define V_DPWSSD          _mm512_dpwssd_epi32
#define V_AND             _mm512_and_si512
#define V_OR              _mm512_or_si512
#define V_ZERO            _mm512_setzero_si512
#define V_FLOATS          _mm512_castsi512_ps
#define SHIFT_RIGHT(v, n) _mm512_srli_epi16(v, (unsigned)(n))
#define SHIFT_LEFT(v, n)  _mm512_slli_epi16(v, (unsigned)(n))

ALWAYS_INLINE vec_i load_line(const uint8_t *p)
{
    return _mm512_load_si512(p);
}

ALWAYS_INLINE vec_f load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)p));
}

ALWAYS_INLINE vec_i load_scales(const uint8_t *p, bool is_signed)
{
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)p);
    return is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
}

ALWAYS_INLINE vec_i load_min_pairs(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)(const void *)p));
}

ALWAYS_INLINE vec_i broadcast16(const void *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128(p));
}

/* value in the bytes where a bit of v that mask names is set. */
ALWAYS_INLINE vec_i where_set(vec_i v, vec_i mask, int8_t value)
{
    return _mm512_maskz_set1_epi8(_mm512_test_epi8_mask(v, mask), value);
}
#else
typedef __m256i vec_i;
typedef __m256 vec_f;
#define V(name)           _mm256_##name
#define V_DPBUSD          _mm256_dpbusd_avx_epi32
#define V_DPWSSD          _mm256_dpwssd_avx_epi32
#define V_AND             _mm256_and_si256
#define V_OR              _mm256_or_si256
#define V_ZERO            _mm256_setzero_si256
#define V_FLOATS          _mm256_castsi256_ps
#define SHIFT_RIGHT(v, n) _mm256_srli_epi16(v, (int)(n))
#define SHIFT_LEFT(v, n)  _mm256_slli_epi16(v, (int)(n))

ALWAYS_INLINE vec_i load_line(const uint8_t *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}

ALWAYS_INLINE vec_f load_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)p));
}

ALWAYS_INLINE vec_i load_scales(const uint8_t *p, bool is_signed)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

ALWAYS_INLINE vec_i load_min_pairs(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(const void *)p));
}

ALWAYS_INLINE vec_i broadcast16(const void *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(p));
}

/* value in the bytes where the bit of v that mask names is set. */
ALWAYS_INLINE vec_i where_set(vec_i v, vec_i mask, int8_t value)
{
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, mask), mask),
                            _mm256_set1_epi8(value));
}
#endif

/* A row's scale of a block of 32 in each lane: quant_scale's. */
ALWAYS_INLINE vec_f load_block_scales(enum weight_type type, const uint8_t *p)
{
    if (type != WEIGHT_MXFP4)
        return load_f16(p);
    const vec_i bits =
        V(max_epi32)(V(slli_epi32)(load_scales(p, false), 23), V(set1_epi32)(0x400000));
    return V(mul_ps)(V_FLOATS(bits), V(set1_ps)(0.5f));
}

/* A block's d: F16 in its type's unit. */
ALWAYS_INLINE vec_f load_unit_f16(enum weight_type type, const uint8_t *p)
{
    const vec_f d = load_f16(p);
    return quant_unit(type) == 1.0f ? d : V(mul_ps)(d, V(set1_ps)(quant_unit(type)));
}

/* A token's sums over the inputs that share a scale, out of those over 16; super_n_scales of them.
 */
ALWAYS_INLINE void join_sums(enum weight_type type, const int16_t *sixteens, int16_t *out)
{
    const size_t n = super_n_scales(type), width = 16 / n;
    for (size_t j = 0; j < n; j++)
        out[j] = (int16_t)(sixteens[width * j] + (width == 2 ? sixteens[width * j + 1] : 0));
}

ALWAYS_INLINE vec_i broadcast4(const void *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return V(set1_epi32)(word);
}

/* Asks for n lines at p, whatever lies there. */
ALWAYS_INLINE void prefetch(const uint8_t *p, size_t n)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++)
        _mm_prefetch((const char *)p + i * LINE, _MM_HINT_T0);
}

/* The offset that makes a type's quants unsigned. */
ALWAYS_INLINE int32_t offset_of(enum weight_type type)
{
    switch ((int)type) {
    case WEIGHT_Q4_0:
        return 8;
    case WEIGHT_Q5_0:
        return 16;
    case WEIGHT_Q8_0:
    case WEIGHT_IQ4_NL:
    case WEIGHT_IQ4_XS:
        return 128;
    case WEIGHT_MXFP4:
        return 12;
    case WEIGHT_IQ1_S:
    case WEIGHT_IQ1_M:
        return 9;
    case WEIGHT_IQ2_XXS:
    case WEIGHT_IQ2_XS:
    case WEIGHT_IQ2_S:
        return 43;
    case WEIGHT_IQ3_XXS:
        return 62;
    case WEIGHT_IQ3_S:
        return 15;
    case WEIGHT_TQ1_0:
    case WEIGHT_TQ2_0:
        return 1;
    case WEIGHT_Q3_K:
        return 4;
    case WEIGHT_Q6_K:
        return 32;
    default:
        return 0;
    }
}

/* --- unpacking: LANES rows by 32 inputs, unsigned bytes, 4 inputs a lane --- */

ALWAYS_INLINE void unpack_nibbles(const uint8_t *lines, vec_i w[GROUPS])
{
    const vec_i low = V(set1_epi8)(15);
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
        vec_i bytes = load_line(lines + g * LINE);
        w[g] = V_AND(bytes, low);
        w[g + 4] = V_AND(V(srli_epi16)(bytes, 4), low);
    }
}

/* The codes' values and their type's offset. */
ALWAYS_INLINE void look_up(enum weight_type type, vec_i w[GROUPS])
{
    const vec_i book =
        V(add_epi8)(broadcast16(quant_codebooks[type]), V(set1_epi8)((int8_t)offset_of(type)));
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++)
        w[g] = V(shuffle_epi8)(book, w[g]);
}

/* The fifth bits of group g are bits 4g..4g+3 of the lane: its byte g / 2 four times, one bit of
 * each. */
ALWAYS_INLINE vec_i fifth_bits(vec_i lanes, size_t g)
{
    const int8_t b = (int8_t)(g / 2), c = (int8_t)(b + 4), d = (int8_t)(b + 8),
                 e = (int8_t)(b + 12);
    const int8_t order[16] = {b, b, b, b, c, c, c, c, d, d, d, d, e, e, e, e};
    const vec_i bits = V(set1_epi32)(g % 2 == 0 ? 0x08040201 : (int)0x80402010u);
    return where_set(V(shuffle_epi8)(lanes, broadcast16(order)), bits, 16);
}

ALWAYS_INLINE void unpack_paired(enum weight_type type, const uint8_t *lines, vec_i w[GROUPS])
{
    if (type == WEIGHT_Q8_0) {
#pragma GCC unroll 8
        for (size_t g = 0; g < GROUPS; g++)
            w[g] = V(add_epi8)(load_line(lines + g * LINE), V(set1_epi8)(-128));
        return;
    }
    unpack_nibbles(lines, w);
    if (quant_has_codebook(type))
        look_up(type, w);
    if (type == WEIGHT_Q5_0 || type == WEIGHT_Q5_1) {
#pragma GCC unroll 8
        for (size_t g = 0; g < GROUPS; g++)
            w[g] = V_OR(w[g], fifth_bits(load_line(lines + 4 * LINE), g));
    }
}

/* 6 bits: quarters 0 and 2 of a half block share lines of low bits, 1 and 3 the next ones; quarter
 * i has bits 2i and 2i + 1 of the high lines. */
ALWAYS_INLINE void unpack_q6_k(const uint8_t *low, const uint8_t *high, size_t j, vec_i w[GROUPS])
{
    const vec_i low4 = V(set1_epi8)(15), high2 = V(set1_epi8)(3);
    const size_t quarter = j % 4;
    low += (j / 4 * 16 + quarter % 2 * 8) * LINE;
    high += j / 4 * 8 * LINE;
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        vec_i l = SHIFT_RIGHT(load_line(low + g * LINE), quarter / 2 * 4);
        vec_i h = SHIFT_RIGHT(load_line(high + g * LINE), 2 * quarter);
        w[g] = V_OR(V_AND(l, low4), SHIFT_LEFT(V_AND(h, high2), 4));
    }
}

/* The 32 inputs at 32 j of a block of 256. */
ALWAYS_INLINE void unpack_super(enum weight_type type, const uint8_t *low, const uint8_t *high,
                                size_t j, vec_i w[GROUPS])
{
    const vec_i bit = V(set1_epi8)((int8_t)(1u << j));
    const bool coded = quant_has_codebook(type);
    if (coded && quant_code_bits(type) == 4) {
        unpack_nibbles(low + j * 4 * LINE, w);
        look_up(type, w);
        return;
    }
    if (type == WEIGHT_Q6_K) {
        unpack_q6_k(low, high, j, w);
        return;
    }
#pragma GCC unroll 8
    for (size_t g = 0; g < GROUPS; g++) {
        if (type == WEIGHT_Q2_K || type == WEIGHT_Q3_K || coded) {
            vec_i bytes = SHIFT_RIGHT(load_line(low + (j / 4 * 8 + g) * LINE), j % 4 * 2);
            w[g] = V_AND(bytes, V(set1_epi8)(3));
        } else {
            vec_i bytes = SHIFT_RIGHT(load_line(low + (j / 2 * 8 + g) * LINE), j % 2 * 4);
            w[g] = V_AND(bytes, V(set1_epi8)(15));
        }
        if (type == WEIGHT_Q3_K || (coded && quant_code_bits(type) == 3))
            w[g] = V_OR(w[g], where_set(load_line(high + g * LINE), bit, 4));
        if (type == WEIGHT_Q5_K)
            w[g] = V_OR(w[g], where_set(load_line(high + g * LINE), bit, 16));
    }
    if (coded)
        look_up(type, w);
}
