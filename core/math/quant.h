/* quant.h - the weight types of GGUF files: their names, block sizes and exact values.
 *
 * One table, one row a type. Pure functions; any thread. The block formats are GGML's
 * (ggml-common.h describes them): what is here is the meaning of the bytes in a file; how the
 * kernels lay them out in memory is matrix.h's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ours, dense; the file's ids are in the table. */
enum weight_type {
    WEIGHT_F32,
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_Q8_0,
    WEIGHT_Q4_0,
    WEIGHT_Q4_1,
    WEIGHT_Q5_0,
    WEIGHT_Q5_1,
    WEIGHT_Q2_K,
    WEIGHT_Q3_K,
    WEIGHT_Q4_K,
    WEIGHT_Q5_K,
    WEIGHT_Q6_K,
    WEIGHT_IQ4_NL,
    WEIGHT_IQ4_XS,
    WEIGHT_MXFP4,
    WEIGHT_IQ1_S,
    WEIGHT_IQ1_M,
    WEIGHT_IQ2_XXS,
    WEIGHT_IQ2_XS,
    WEIGHT_IQ2_S,
    WEIGHT_IQ3_XXS,
    WEIGHT_IQ3_S,
    WEIGHT_TQ1_0,
    WEIGHT_TQ2_0,
    WEIGHT_TYPES,
};

struct weight_info {
    const char *name;      /* "Q4_K" */
    uint32_t ggml_id;      /* in the file */
    uint32_t block_values; /* values in a block */
    uint32_t block_bytes;
    uint8_t activation; /* enum act_format (kernels.h): what its matrix input is rounded to */
    uint8_t supported;  /* 0: known by name, refused */
};

extern const struct weight_info weight_infos[WEIGHT_TYPES];

/* WEIGHT_TYPES when the id is not one of them. */
enum weight_type weight_type_of_ggml(uint32_t ggml_id);
/* The name of any id that GGML ever gave, for messages; NULL for others. */
const char *ggml_type_name(uint32_t ggml_id);

/* Bytes of n values (a multiple of block_values). */
size_t weight_bytes(enum weight_type type, size_t n);

/* Are all n values (a multiple of block_values) finite? */
bool weight_all_finite(enum weight_type type, const void *src, size_t n);

/* The exact value of each weight of n (a multiple of block_values), as GGML's dequantize_row
 * defines it. */
void weight_to_f32(enum weight_type type, const void *src, size_t n, float *out);

/* IEEE half precision, exact one way, nearest-even the other; no hardware instruction needed, same
 * bits with one. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
