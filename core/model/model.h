/* model.h - one decoder-only transformer, loaded: its shape, its weights in the kernels' layout,
 * its RoPE tables.
 *
 * One description per architecture (a row of options and a table of tensor roles, arch.c)
 * drives reading, checking and packing; forward.h runs all of them with one pass. Loaded once by
 * the start-up thread, read-only and shared after. Keys and tensors that change the arithmetic are
 * honoured or refused by name, never ignored; a weight that is not finite is refused by tensor and
 * row. Knows nothing of sequences or threads.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "gguf/gguf.h"
#include "math/matrix.h"
#include "model/experts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positions served by default, if the model was made for as many. */
enum { MODEL_DEFAULT_CONTEXT = 4096 };

enum norm_kind { NORM_RMS, NORM_LAYER };
enum ffn_kind { FFN_SILU_GATED, FFN_GELU, FFN_SWIGLU_OAI };
enum rope_kind { ROPE_NONE, ROPE_INTERLEAVED, ROPE_NEOX };

struct shape {
    const char *arch; /* "llama"; static */
    enum norm_kind norm;
    enum ffn_kind ffn;
    enum rope_kind rope;
    bool learned_positions; /* position_embd (gpt2) */
    bool tied_head;         /* output.weight absent: the embedding serves */
    size_t n_vocab, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
    size_t n_ff_expert, n_ff_shared; /* of each expert; of those that every row goes through */
    struct routing routing;
    size_t n_context_train; /* positions the model was made for */
    size_t rope_dim;        /* of head_dim, even */
    float norm_eps;
    float rope_base;
    enum { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN } rope_scaling;
    float rope_scale_factor;      /* 1 = none */
    size_t rope_original_context; /* yarn */
    float yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
};

struct linear {
    struct matrix w;   /* n_rows 0: this architecture has none */
    const float *bias; /* [n_rows rounded up to PANEL_ROWS], zero after n_rows; NULL: none */
};

struct norm {
    const float *weight; /* [n]; NULL: none */
    const float *bias;   /* [n]; NULL: none */
};

/* In place of one feed-forward part: many, of which each row goes through a few. */
struct layer_experts {
    struct linear router;      /* [n_experts][n_embd]; n_rows 0: this layer has no experts */
    const float *choice_bias;  /* [n_experts]: joins the scores where experts are chosen */
    const float *expert_scale; /* [n_experts]: of what each gives; NULL: none, as above */
    struct expert_linear gate, up, down;
    /* of the experts that every row goes through; n_rows 0: none */
    struct linear shared_gate, shared_up, shared_down;
    struct linear shared_weight; /* [1][n_embd]: what they give is multiplied by its sigmoid */
};

struct layer {
    struct norm attn_norm, ffn_norm;
    struct norm q_norm, k_norm; /* per head [head_dim]; weight NULL: none */
    struct linear q, k, v, attn_output;
    struct linear gate, up, down; /* gate only with FFN_SILU_GATED */
    struct layer_experts experts;
};

struct model {
    struct shape shape;
    char name[96];          /* general.name, printable; or the architecture */
    size_t n_context;       /* positions served: min(asked, trained) */
    struct matrix embed;    /* [n_vocab][n_embd] */
    const float *positions; /* [n_context][n_embd], learned; NULL: none */
    struct layer *layers;   /* [n_layers] */
    struct norm output_norm;
    struct linear output;  /* w shares embed's panels when tied */
    const float *rope_cos; /* [n_context][rope_dim / 2]; yarn's attention factor is in them; NULL
                              without RoPE */
    const float *rope_sin;
    size_t n_params; /* weights, as the file counts them */
    size_t file_bytes;
    size_t bytes_per_token; /* weight bytes that one decode step of one sequence reads */
    char weights[32];   /* the type that most weights have: "Q4_0"; what model_info's label says */
    struct arena arena; /* owns every array above */
};

/* Reads and checks everything but the weights' values: the keys, and that every tensor has a role,
 * its derived shape and a type its role allows. What `inspect` shows. STATUS_FORMAT,
 * STATUS_UNSUPPORTED. */
enum status model_read_shape(struct shape *out, const struct gguf *gguf, struct error *err);

/* Bytes that model_load's arena will take; shape from model_read_shape, n_context 1 to the trained
 * one. */
enum status model_memory(const struct gguf *gguf, const struct shape *shape, size_t n_context,
                         size_t *out, struct error *err);

/* n_context 0: min(trained, MODEL_DEFAULT_CONTEXT). More than trained is STATUS_INVALID and names
 * it. Packed by n_threads (>= 1), started for it. Source pages are given back to the system tensor
 * by tensor, so that the peak is the model and one tensor. gguf may be closed after. */
enum status model_load(struct model **out, const struct gguf *gguf, size_t n_context,
                       unsigned n_threads, struct error *err);
void model_destroy(struct model *model); /* takes NULL */
