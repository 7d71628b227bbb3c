/* avxvnni.c - the AVX-VNNI table: AVX2's, with the products of quantized matrices in
 * vpdpbusd, 8 rows a register. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx2.h"

#define VNNI_LANES      8
#define VNNI_NAME(name) avxvnni_matmul_##name
MATMUL_QUANT(avxvnni)
#include "math/x86/vnni.h"

const struct kernels kernels_avxvnni = {
    .name = "avxvnni",
    .matmul = {AVX2_MATMUL_FLOAT, MATMUL_QUANT_ENTRIES(avxvnni)},
    AVX2_ATTEND,
    AVX2_DELTA,
    AVX2_ROWS,
};
#endif
