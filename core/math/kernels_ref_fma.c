/* kernels_ref_fma.c - the reference kernels once more, compiled for processors with FMA (see
 * cmake/kernels.cmake). Elsewhere than on x86-64 fmaf is one instruction in any case. */
#include "math/kernels_tables.h"

#if defined(__x86_64__)
#define KERNELS_REF_TABLE kernels_ref_fma
#include "kernels_ref.c" /* NOLINT(bugprone-suspicious-include): compiled twice on purpose */
#endif
