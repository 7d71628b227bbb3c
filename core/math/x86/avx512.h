/* avx512.h - the parts of the AVX-512 table that live in files of their own. Private to
 * core/math. */
#pragma once

#include "math/x86/avx2.h"

MATMUL_QUANT(avx512)
MATMUL(avx512, f32);
MATMUL(avx512, f16);
MATMUL(avx512, bf16);
void avx512_attend_f32(const struct attend *a);
void avx512_attend_f16(const struct attend *a);
void avx512_attend_q8(const struct attend *a);
void avx512_delta(const struct delta *d);
