/* kernels_tables.h - the tables that kernels_select chooses from. Private to core/math and its
 * tests. */
#pragma once

#include "math/kernels.h"

extern const struct kernels kernels_ref; /* fmaf as the library has it */
#if defined(__x86_64__)
extern const struct kernels
    kernels_ref_fma; /* the same source with the FMA instruction: the same bits, sooner */
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avxvnni;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_amx;
#endif
