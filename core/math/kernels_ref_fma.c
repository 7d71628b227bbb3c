/* kernels_ref_fma.c - the reference kernels once more, compiled for processors with FMA (see
 * cmake/kernels.cmake). */
#if defined(__x86_64__)
#define KERNELS_REF_TABLE kernels_ref_fma
#include "kernels_ref.c"
#endif
