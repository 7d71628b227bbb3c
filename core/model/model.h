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
#include "math/kernels.h"
#include "math/matrix.h"
#include "model/experts.h"
#include "model/pooling.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack;

/* Positions served by default, if the model was made for as many. */
enum { MODEL_DEFAULT_CONTEXT = 4096 };

/* How far a model may go: beyond what any has. */
enum { MODEL_MAX_LAYERS = 1024 };

enum norm_kind { NORM_RMS, NORM_LAYER };
enum ffn_kind { FFN_SILU_GATED, FFN_GELU, FFN_GELU_GATED, FFN_SWIGLU_OAI };
enum rope_kind { ROPE_NONE, ROPE_INTERLEAVED, ROPE_NEOX };

/* A way of turning: what a table of cos and sin is made from. */
struct rotation {
    size_t dim; /* of head_dim, even */
    float base;
    enum { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN } scaling;
    float factor;            /* 1 = none */
    size_t original_context; /* yarn; longrope: up to it the short factors serve */
    float ext_factor, attn_factor, beta_fast, beta_slow;
    float log_multiplier; /* yarn: 0 = none */
};

/* A model has at most two: of its full layers, and of those with a window. */
enum { ROTATION_MAIN, ROTATION_WINDOW, ROTATIONS, ROTATION_NONE = ROTATIONS };

/* How a layer mixes positions. */
enum mixer { MIXER_ATTENTION, MIXER_DELTA };

/* How far recurrent layers may go. */
enum { DELTA_SIZE_MAX = 256, DELTA_TAPS_MAX = 8 };

/* Of a model's layers that are gated delta nets. Value head i goes with key head i % n_key_heads.
 */
struct delta_shape {
    size_t size; /* of keys and values */
    size_t n_key_heads, n_value_heads;
    size_t n_taps; /* of the short convolution, the position itself included */
};

static inline size_t delta_inner(const struct delta_shape *s) /* values of all heads */
{
    return s->n_value_heads * s->size;
}
/* Queries, keys and values side by side: what is convolved. */
static inline size_t delta_channels(const struct delta_shape *s)
{
    return 2 * s->n_key_heads * s->size + delta_inner(s);
}
/* Floats of what a sequence carries on: the convolution's last inputs [n_taps - 1][channels], then
 * the heads' states. */
static inline size_t delta_conv_floats(const struct delta_shape *s)
{
    return ((s->n_taps - 1) * delta_channels(s) + 15) / 16 * 16;
}
static inline size_t delta_floats(const struct delta_shape *s)
{
    return delta_conv_floats(s) + s->n_value_heads * delta_state_floats(s->size);
}

/* What one layer is; most models' layers are all alike. */
struct layer_shape {
    uint32_t n_ff;
    uint32_t window; /* positions that a row sees, itself included; 0: all */
    uint32_t around; /* an encoder's: so many on each side, itself included; 0: all */
    uint16_t n_heads, n_kv_heads, head_dim;
    uint8_t mixer;    /* enum mixer */
    uint8_t rotation; /* ROTATION_* */
    bool has_experts; /* in place of one FFN */
};

struct shape {
    const char *arch; /* "llama"; static */
    uint64_t traits;  /* of the architecture: arch.h */
    enum norm_kind norm;
    enum ffn_kind ffn;
    enum rope_kind rope;
    bool learned_positions; /* position_embd (gpt2) */
    bool norms_after_rope;  /* of heads; else before */
    bool tied_head;         /* output.weight absent: the embedding serves */
    enum pooling pooling;   /* what the file says of it */
    bool encoder;           /* all positions see all others: vectors, no text */
    /* n_heads, n_kv_heads, head_dim and n_ff: the largest of the layers' */
    size_t n_vocab, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
    size_t n_ff_expert, n_ff_shared; /* of each expert; of those that every row goes through */
    struct routing routing;
    size_t n_skipped;      /* blocks after the layers that only speculation needs */
    size_t n_scores;       /* that the head of ranks gives; 0: there is none */
    size_t n_vector_dense; /* between the two matrices that a text's vector goes through; 0: none */
    size_t n_token_types;  /* rows of token_types; 0: it has none */
    size_t n_context_train; /* positions the model was made for */
    float norm_eps;
    struct rotation rotations[ROTATIONS];
    bool has_window_rotation; /* else layers with a window turn as the others do */
    float embedding_scale;    /* of the token's row; 1 = none */
    float residual_scale;     /* of what attention and FFN add to the residual; 1 = none */
    float logit_scale;        /* logits are multiplied by it; 1 = none */
    float attention_scale;    /* of queries: one over the root of head_dim, or the file's */
    float attention_softcap;  /* scores become cap * tanh(score / cap); 0 = none */
    float logit_softcap;      /* logits likewise */
    /* Queries at position p are multiplied by 1 + temperature * ln(floor(p / its context) + 1); 0:
     * they are not. */
    float temperature;
    size_t temperature_context;
    struct delta_shape delta;                    /* zero: no layer is one */
    struct layer_shape layers[MODEL_MAX_LAYERS]; /* [n_layers] */
};

/* The table of a rotation. */
struct rope_table {
    const float *cos, *sin; /* [n_context][dim / 2], yarn's magnitude in them; NULL: none */
    size_t dim;
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

struct delta_layer {           /* a gated delta net */
    struct linear mix;         /* [channels]: queries, keys, values */
    struct linear gate;        /* [inner]: opens the answers */
    struct linear alpha, beta; /* [value heads]: what is kept, and what is taken in */
    const float *taps;         /* [n_taps][channels], the oldest position's first */
    const float *dt, *decay;   /* [value heads]; decay is negative */
    struct norm norm;          /* of answers [size] */
};

struct layer {
    struct norm attn_norm, ffn_norm;                   /* before; weight NULL: none */
    struct norm attn_residual_norm, ffn_residual_norm; /* of the residual itself, after each half;
                                                          weight NULL: none */
    struct norm attn_post_norm, ffn_post_norm; /* of what joins the residual; weight NULL: none */
    struct norm q_norm, k_norm;                /* of each head [head_dim]; weight NULL: none */
    struct norm q_row_norm, k_row_norm;        /* of all heads together; weight NULL: none */
    struct linear q, k, v, attn_output;
    struct linear q_gate;          /* [H * D]: opens what is attended; n_rows 0: none */
    const float *sinks;            /* [n_heads]: of attention (attention.h); NULL: none */
    struct linear gate, up, down;  /* gate only where the FFN is gated */
    struct layer_experts experts;  /* in their place */
    const struct rope_table *rope; /* the model's; NULL: this layer does not rotate */
    struct delta_layer delta;      /* of MIXER_DELTA; attn_output is its output */
};

struct model {
    struct shape shape;
    char name[96];           /* general.name, printable; or the architecture */
    size_t n_context;        /* positions served: min(asked, trained) */
    struct matrix embed;     /* [n_vocab][n_embd] */
    const float *positions;  /* [n_context][n_embd], learned; NULL: none */
    struct layer *layers;    /* [n_layers] */
    const float *token_type; /* [n_embd]: added to every token's row; NULL: none */
    struct norm embed_norm;  /* of the sum; weight NULL: none */
    struct norm output_norm;
    struct linear score_dense, score_out; /* of ranks: tanh of the first, where there is one, then
                                             the second; n_rows 0: none */
    struct linear vector_dense[2];        /* of a text's pooled vector; n_rows 0: none */
    struct linear output;                 /* w shares embed's panels when tied */
    struct rope_table rope[ROTATIONS];
    size_t n_params; /* weights, as the file counts them */
    size_t file_bytes;
    size_t weight_bytes;    /* of all matrices that steps read */
    size_t bytes_per_token; /* of them, what one decode step of one sequence reads */
    char weights[32];    /* the type that most weights have: "Q4_0"; what model_info's label says */
    struct arena arena;  /* owns every array above */
    struct pack *pack;   /* where its packed weights are kept, owned; NULL: nowhere */
    bool from_pack;      /* they came from there */
    char pack_text[384]; /* why not, although they are there; "": no reason */
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
/* The same, from weights that an earlier start kept in pack_folder (pack.h), where they are there
 * and whole; NULL: as above. What the file holds was checked when they were kept. */
enum status model_load_packed(struct model **out, const struct gguf *gguf, size_t n_context,
                              unsigned n_threads, const char *pack_folder, struct error *err);
/* Keeps them for the next start, where model->pack is there: pack_write's contract. */
enum status model_keep(const struct model *model, uint64_t most_bytes, const _Atomic bool *stop,
                       struct error *err);
void model_destroy(struct model *model); /* takes NULL */
