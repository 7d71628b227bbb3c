/* avx512_delta.c - the gated delta rule in AVX-512: delta.h in 16 lanes. Pure; any thread. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#include "math/x86/avx512.h"
#include "math/x86/avx512_vec.h"

#define TOGETHER 2

#include "math/x86/delta.h"

void avx512_delta(const struct delta *d)
{
    delta_run(d);
}
#endif
