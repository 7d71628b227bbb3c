/* limits_loops.c - the loops that limits.c times, for each instruction set.
 *
 * An empty asm statement that claims to change a register (HOLD) keeps compilers from taking work
 * out of a loop or merging its chains; it costs no instruction. Enough chains run side by side to
 * hide an instruction's latency. Touches nothing but registers and the memory it is told to read;
 * any thread.
 */
#include "profile/limits_loops.h"

#include "base/tiles.h"

#include <string.h>

/* Far enough ahead to cover memory's latency, within what the next turns read. */
enum { PREFETCH_AHEAD = 4096 };

/* Loads a turn's bytes, vector by vector; `ahead` is what it does for the bytes to come. */
#define DEFINE_READ(name, attribute, constraint, vector, load, ahead)                              \
    attribute static void name(const uint8_t *p, size_t n_bytes)                                   \
    {                                                                                              \
        for (size_t i = 0; i < n_bytes; i += LIMIT_READ_STEP) {                                    \
            for (size_t line = 0; line < LIMIT_READ_STEP; line += 64)                              \
                ahead(p + i + line);                                                               \
            _Pragma("GCC unroll 16") for (size_t j = 0; j < LIMIT_READ_STEP; j += sizeof(vector))  \
            {                                                                                      \
                vector v = load((const void *)(p + i + j));                                        \
                __asm__ __volatile__("" ::constraint(v));                                          \
            }                                                                                      \
        }                                                                                          \
    }
#define AHEAD_NOTHING(p)  ((void)(p))
#define AHEAD_PREFETCH(p) __builtin_prefetch((p) + PREFETCH_AHEAD)

/* n_chains accumulators, one `step` on each a turn. zero is a value, prepare and step are code.
 * NOLINTBEGIN(bugprone-macro-parentheses) */
#define DEFINE_CHAIN(name, attribute, n_chains, vector, zero, prepare, step, constraint)           \
    attribute static void name(size_t n_turns)                                                     \
    {                                                                                              \
        vector sums[n_chains];                                                                     \
        _Pragma("GCC unroll 16") for (size_t c = 0; c < n_chains; c++) sums[c] = zero;             \
        prepare;                                                                                   \
        for (size_t i = 0; i < n_turns; i++) {                                                     \
            _Pragma("GCC unroll 16") for (size_t c = 0; c < n_chains; c++)                         \
            {                                                                                      \
                step(sums[c]);                                                                     \
                __asm__ __volatile__("" : constraint(sums[c]));                                    \
            }                                                                                      \
        }                                                                                          \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2    __attribute__((target("avx2,fma")))
#define AVXVNNI __attribute__((target("avx2,fma,avxvnni")))
#define AVX512  __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define AMX     __attribute__((target("amx-tile,amx-int8")))

DEFINE_READ(read_avx2, AVX2, "x", __m256i, _mm256_load_si256, AHEAD_NOTHING)
DEFINE_READ(read_avx2_ahead, AVX2, "x", __m256i, _mm256_load_si256, AHEAD_PREFETCH)
DEFINE_READ(read_avx512, AVX512, "v", __m512i, _mm512_load_si512, AHEAD_NOTHING)
DEFINE_READ(read_avx512_ahead, AVX512, "v", __m512i, _mm512_load_si512, AHEAD_PREFETCH)

#define FLOATS_256   __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f)
#define FMA_256(sum) (sum) = _mm256_fmadd_ps(a, b, sum)
DEFINE_CHAIN(fma_avx2, AVX2, 12, __m256, _mm256_setzero_ps(), FLOATS_256, FMA_256, "+x")

#define HOLD_256(v) __asm__ __volatile__("" : "+x"(v))
#define BYTES_256                                                                                  \
    __m256i u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1)
/* n products of 4 bytes in 16-bit sums, then widened and added. */
#define WIDEN_256(sum, n)                                                                          \
    do {                                                                                           \
        HOLD_256(u);                                                                               \
        __m256i pairs = _mm256_maddubs_epi16(u, s);                                                \
        _Pragma("GCC unroll 8") for (int k = 1; k < (n); k++)                                      \
        {                                                                                          \
            HOLD_256(u);                                                                           \
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(u, s));                           \
        }                                                                                          \
        (sum) = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));                             \
    } while (0)
#define INT8_AVX2(sum) WIDEN_256(sum, 1)
#define INT6_AVX2(sum) WIDEN_256(sum, 4)
#define INT4_AVX2(sum) WIDEN_256(sum, 8)
DEFINE_CHAIN(int8_avx2, AVX2, 6, __m256i, _mm256_setzero_si256(), BYTES_256, INT8_AVX2, "+x")
DEFINE_CHAIN(int6_avx2, AVX2, 6, __m256i, _mm256_setzero_si256(), BYTES_256, INT6_AVX2, "+x")
DEFINE_CHAIN(int4_avx2, AVX2, 6, __m256i, _mm256_setzero_si256(), BYTES_256, INT4_AVX2, "+x")

#define PAIR_256         __m256i u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(-5)
#define DOT_AVXVNNI(sum) (sum) = _mm256_dpbusd_avx_epi32(sum, u, s)
DEFINE_CHAIN(int8_avxvnni, AVXVNNI, 12, __m256i, _mm256_setzero_si256(), PAIR_256, DOT_AVXVNNI,
             "+x")

#define FLOATS_512   __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f)
#define FMA_512(sum) (sum) = _mm512_fmadd_ps(a, b, sum)
DEFINE_CHAIN(fma_avx512, AVX512, 12, __m512, _mm512_setzero_ps(), FLOATS_512, FMA_512, "+v")

#define PAIR_512        __m512i u = _mm512_set1_epi8(3), s = _mm512_set1_epi8(-5)
#define DOT_AVX512(sum) (sum) = _mm512_dpbusd_epi32(sum, u, s)
DEFINE_CHAIN(int8_avx512, AVX512, 12, __m512i, _mm512_setzero_si512(), PAIR_512, DOT_AVX512, "+v")

/* 16 rows of 32 bytes by 32 by 16: what a block's product needs before its scales. */
AMX static void int8_amx(size_t n_turns)
{
    const struct tile_config config = {
        .palette = 1, .row_bytes = {32, 64, 64, 64, 64, 64}, .n_rows = {16, 8, 16, 16, 16, 16}};
    tiles_configure(&config);
    for (size_t i = 0; i < n_turns; i++) {
        _tile_dpbssd(2, 0, 1);
        _tile_dpbssd(3, 0, 1);
        _tile_dpbssd(4, 0, 1);
        _tile_dpbssd(5, 0, 1);
    }
    _tile_release();
}

static const struct limit_loops avx2 = {
    "avx2",
    {read_avx2, read_avx2_ahead},
    {{fma_avx2, 12 * 8}, {int8_avx2, 6 * 32}, {int6_avx2, 6 * 128}, {int4_avx2, 6 * 256}}};
static const struct limit_loops avxvnni = {"avxvnni",
                                           {read_avx2, read_avx2_ahead},
                                           {{fma_avx2, 12 * 8},
                                            {int8_avxvnni, 12 * 32},
                                            {int8_avxvnni, 12 * 32},
                                            {int8_avxvnni, 12 * 32}}};
static const struct limit_loops avx512 = {"avx512",
                                          {read_avx512, read_avx512_ahead},
                                          {{fma_avx512, 12 * 16},
                                           {int8_avx512, 12 * 64},
                                           {int8_avx512, 12 * 64},
                                           {int8_avx512, 12 * 64}}};
static const struct limit_loops amx = {
    "amx",
    {read_avx512, read_avx512_ahead},
    {{fma_avx512, 12 * 16}, {int8_amx, 4 * 8192}, {int8_amx, 4 * 8192}, {int8_amx, 4 * 8192}}};
#endif

/* 16 bytes wide, as every machine has it. */
typedef float float4 __attribute__((vector_size(16)));
typedef int32_t int4 __attribute__((vector_size(16)));
typedef uint8_t byte16 __attribute__((vector_size(16)));

#if defined(__aarch64__)
#define ANY       "w"
#define ANY_INOUT "+w"
#else
#define ANY       "x"
#define ANY_INOUT "+x"
#endif

#define LOAD_16(p) (*(const byte16 *)(p))
DEFINE_READ(read_plain, , ANY, byte16, LOAD_16, AHEAD_NOTHING)
DEFINE_READ(read_plain_ahead, , ANY, byte16, LOAD_16, AHEAD_PREFETCH)

#define FLOATS_128 float4 a = {0.5f, 0.5f, 0.5f, 0.5f}, b = {0.25f, 0.25f, 0.25f, 0.25f}
#if defined(__aarch64__)
#define FMA_128(sum) __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(a), "w"(b))
#else
#define FMA_128(sum)                                                                               \
    __asm__ __volatile__("" : ANY_INOUT(a));                                                       \
    (sum) += a * b
#endif
DEFINE_CHAIN(fma_plain, , 12, float4, ((float4){0}), FLOATS_128, FMA_128, ANY_INOUT)

/* Without a product of bytes, bytes are widened first: one 32-bit product and addition. */
#define INTS_128 int4 u = {3, 3, 3, 3}, s = {-5, -5, -5, -5}
#define INT_128(sum)                                                                               \
    __asm__ __volatile__("" : ANY_INOUT(u));                                                       \
    (sum) += u * s
DEFINE_CHAIN(int_plain, , 6, int4, ((int4){0}), INTS_128, INT_128, ANY_INOUT)

static const struct limit_loops plain = {
    "ref",
    {read_plain, read_plain_ahead},
    {{fma_plain, 12 * 4}, {int_plain, 6 * 4}, {int_plain, 6 * 4}, {int_plain, 6 * 4}}};

#if defined(__aarch64__)
#define BYTES_128                                                                                  \
    byte16 u, s;                                                                                   \
    memset(&u, 3, sizeof u);                                                                       \
    memset(&s, 0xfb, sizeof s)
/* Written out, and the set named for the function alone: the intrinsic asks for a file's options,
 * and an assembler of binutils 2.40 does not take `.arch_extension dotprod` for it. */
#ifdef __clang__
#define DOTPROD __attribute__((target("dotprod")))
#else
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define DOT_NEON(sum) __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(u), "w"(s))
DEFINE_CHAIN(int8_neon, DOTPROD, 12, int4, ((int4){0}), BYTES_128, DOT_NEON, "+w")

static const struct limit_loops neon = {
    "neon",
    {read_plain, read_plain_ahead},
    {{fma_plain, 12 * 4}, {int8_neon, 12 * 16}, {int8_neon, 12 * 16}, {int8_neon, 12 * 16}}};
#endif

const struct limit_loops *limit_loops_for(const struct cpu *cpu, const char *kernels)
{
    const struct limit_loops *best = &plain;
#if defined(__x86_64__)
    const struct limit_loops *const rows[] = {&avx2, &avxvnni, &avx512, &amx};
    const bool has[] = {cpu->avx2, cpu->avxvnni && cpu->avx2, cpu->avx512, cpu->amx};
#elif defined(__aarch64__)
    const struct limit_loops *const rows[] = {&neon};
    const bool has[] = {cpu->neon};
#else
    const struct limit_loops *const rows[] = {&plain};
    const bool has[] = {true};
#endif
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!has[i])
            continue;
        best = rows[i];
        if (strcmp(kernels, best->name) == 0)
            break;
    }
    return best;
}
