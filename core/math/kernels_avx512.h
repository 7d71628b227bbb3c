/* kernels_avx512.h - the parts of the AVX-512 table that live in files of their own. Private to
 * core/math. */
#pragma once

#include "math/kernels_avx2.h"

MATMUL_QUANT(avx512)
MATMUL(avx512, f32);
MATMUL(avx512, f16);
MATMUL(avx512, bf16);
