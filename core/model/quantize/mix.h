/* mix.h - which weight type each matrix gets when a file is written in another one.
 *
 * A plain type is every matrix's. A mix (Q4_K_M, ...) gives the head and what matters most more
 * bits: llama.cpp's choices, so that files of the same name mean the same. Pure; any thread. Knows
 * nothing of files' bytes.
 */
#pragma once

#include "gguf/gguf.h"
#include "math/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mix;

const struct mix *mix_find(const char *name);  /* in any case; NULL: none */
const char *mix_names(void);                   /* "F32 F16 ... Q4_K_M ..." */
uint32_t mix_file_type(const struct mix *mix); /* for general.file_type */

/* A mix's choice depends on this besides the tensor; counts grow from tensor to tensor. */
struct mix_model {
    bool has_head; /* output.weight: else the embedding is the head */
    bool is_70b;   /* 80 layers of heads that share keys and values */
    uint64_t n_layers, n_experts;
    size_t n_values;        /* value projections in all */
    size_t i_value, i_down; /* of the tensor in hand */
};

/* Fills it for a file; the counts begin at 0. */
void mix_model_read(struct mix_model *out, const struct gguf *gguf);

/* Whether a tensor is rounded at all: matrices, but neither learned positions nor what chooses
 * experts. */
bool mix_rounds(const struct gguf_tensor *tensor);

/* The tensor's new type; tensors must come in the order of the new file. *fallback: its rows are
 * not a multiple of the wanted type's block, and it gets a type of smaller blocks. */
enum weight_type mix_choose(const struct mix *mix, struct mix_model *model,
                            const struct gguf_tensor *tensor, bool *fallback);
