/* amx.c - the AMX table: tiles where many tokens meet quants, else AVX-512's. Pure; any
 * thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/amx.h"

const struct kernels kernels_amx = {
    .name = "amx",
    .matmul = {[WEIGHT_F32] = avx512_matmul_f32,
               [WEIGHT_F16] = avx512_matmul_f16,
               [WEIGHT_BF16] = avx512_matmul_bf16,
               MATMUL_QUANT_ENTRIES(amx)},
    .attend =
        {[KV_F32] = avx512_attend_f32, [KV_F16] = avx512_attend_f16, [KV_Q8] = avx512_attend_q8},
    .delta = avx512_delta,
    AVX2_ROWS,
};
#endif
