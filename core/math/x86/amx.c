/* amx.c - the AMX table: tiles where many tokens meet quants, else AVX-512's. Pure; any
 * thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/amx.h"

const struct kernels kernels_amx = {
    .name = "amx",
    .matmul = {[WEIGHT_F32] = avx512_matmul_f32,         [WEIGHT_F16] = avx512_matmul_f16,
               [WEIGHT_BF16] = avx512_matmul_bf16,       [WEIGHT_Q8_0] = amx_matmul_q8_0,
               [WEIGHT_Q4_0] = amx_matmul_q4_0,          [WEIGHT_Q4_1] = amx_matmul_q4_1,
               [WEIGHT_Q5_0] = amx_matmul_q5_0,          [WEIGHT_Q5_1] = amx_matmul_q5_1,
               [WEIGHT_IQ4_NL] = amx_matmul_iq4_nl,      [WEIGHT_MXFP4] = amx_matmul_mxfp4,
               [WEIGHT_Q4_K] = amx_matmul_q4_k,          [WEIGHT_Q5_K] = amx_matmul_q5_k,
               [WEIGHT_Q2_K] = avx512_matmul_q2_k,       [WEIGHT_Q3_K] = avx512_matmul_q3_k,
               [WEIGHT_Q6_K] = avx512_matmul_q6_k,       [WEIGHT_IQ4_XS] = avx512_matmul_iq4_xs,
               [WEIGHT_IQ1_S] = avx512_matmul_iq1_s,     [WEIGHT_IQ1_M] = avx512_matmul_iq1_m,
               [WEIGHT_IQ2_XXS] = avx512_matmul_iq2_xxs, [WEIGHT_IQ2_XS] = avx512_matmul_iq2_xs,
               [WEIGHT_IQ2_S] = avx512_matmul_iq2_s,     [WEIGHT_IQ3_XXS] = avx512_matmul_iq3_xxs,
               [WEIGHT_IQ3_S] = avx512_matmul_iq3_s,     [WEIGHT_TQ1_0] = avx512_matmul_tq1_0,
               [WEIGHT_TQ2_0] = avx512_matmul_tq2_0},
    .attend =
        {[KV_F32] = avx512_attend_f32, [KV_F16] = avx512_attend_f16, [KV_Q8] = avx512_attend_q8},
    .delta = avx512_delta,
    AVX2_ROWS,
};
#endif
