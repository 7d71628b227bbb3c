/* amx.h - the parts of the AMX table that live in files of their own. Private to
 * core/math. */
#pragma once

#include "math/x86/avx512.h"

MATMUL_QUANT(amx)
