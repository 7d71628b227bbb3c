/* amx.h - the parts of the AMX table that live in a file of their own. Private to
 * core/math. */
#pragma once

#include "math/x86/avx512.h"

MATMUL(amx, q8_0);
MATMUL(amx, q4_0);
MATMUL(amx, q4_1);
MATMUL(amx, q5_0);
MATMUL(amx, q5_1);
MATMUL(amx, iq4_nl);
MATMUL(amx, mxfp4);
MATMUL(amx, q4_k);
MATMUL(amx, q5_k);
