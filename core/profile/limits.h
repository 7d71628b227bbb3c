/* limits.h - what this machine can do at most: bytes read a second at a given working set, and
 * multiply-adds a second of the instruction chains that the kernels are made of.
 *
 * A rate is measured when it is asked for, by loops that do nothing else: reads of memory that
 * holds something (zero pages share one frame), or register-only chains of the instruction set that
 * a kernel table uses. The best of several short rounds counts, as a limit must. Each call starts
 * threads of its own, runs for about a tenth of a second and returns; one call at a time for each
 * struct limits. Nothing else should run meanwhile. Knows nothing of models; prints nothing.
 */
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "math/kernels.h"
#include "math/quant.h"

#include <stddef.h>

/* The instruction chains. With 8-bit dot products (AVX-VNNI, AVX-512 VNNI, NEON) the three integer
 * ones are the same instruction; AVX2 adds products in 16 bits, and how many fit before they must
 * be widened depends on the weights' range. */
enum limit_chain {
    LIMIT_FMA,  /* F32: fused multiply-add */
    LIMIT_INT8, /* 8-bit weights: multiply pairs, widen, add */
    LIMIT_INT6, /* up to 6 bits, or a scale each 16 inputs: widened once in 16 inputs */
    LIMIT_INT4, /* 4 bits: widened once in 32 inputs */
    LIMIT_CHAINS
};
/* The chain that a product with this weight type is made of. */
enum limit_chain limits_chain_of(enum weight_type type);
const char *limits_chain_name(enum limit_chain chain); /* "fma", "int8", ...; static */

struct limits;

/* For one kernel table (an instruction set it names; another name: the best of the machine's).
 * STATUS_NO_MEMORY. */
enum status limits_create(struct limits **out, const struct cpu *cpu, const struct kernels *kernels,
                          struct error *err);
void limits_destroy(struct limits *limits); /* takes NULL */

/* Bytes a second that n_teams teams of n_threads threads read together, each team all of n_bytes,
 * its threads a share each, again and again: the working set decides which cache answers. memory:
 * n_bytes to read, 64-byte aligned, borrowed for the call (a model's weights, say); NULL: memory of
 * its own, kept for the next call. STATUS_NO_MEMORY, STATUS_IO (no thread), STATUS_INVALID (n_bytes
 * below 4096 a thread).
 */
enum status limits_read(struct limits *limits, const void *memory, size_t n_bytes,
                        unsigned n_threads, unsigned n_teams, double *bytes_per_second,
                        struct error *err);

/* Multiply-adds a second of a chain, n_threads threads together (two operations each, where
 * FLOP/s are wanted). STATUS_IO. */
enum status limits_chain(struct limits *limits, enum limit_chain chain, unsigned n_threads,
                         double *macs_per_second, struct error *err);
