/* avx512_quant.c - products with quantized matrices in AVX-512 with VNNI: 16 rows a
 * register. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx512.h"

#define VNNI_LANES      16
#define VNNI_NAME(name) avx512_matmul_##name
#include "math/x86/vnni.h"
#endif
