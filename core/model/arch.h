/* arch.h - what the architectures have in common and where they differ: two tables, read by
 * the loader.
 *
 * A row of archs[] (arch.c) is one architecture's options and traits; a row of tensor_roles[]
 * (roles.c) is one tensor's name, the traits with which a layer must or may have it, its shape in
 * letters, and where it goes in struct model or struct layer. A new architecture of these families
 * is a row of archs[]; CONTRIBUTING.md says what else there may be. Internal to core/model; pure
 * functions over a GGUF file.
 */
#pragma once

#include "model/model.h"

/* A family's mark: a set of these says which tensors there are and which keys are honoured. */
#define TRAIT(n) (UINT64_C(1) << (n))
enum {
    TRAIT_ANY_BIT,
    TRAIT_ATTENTION_BIT,
    TRAIT_DENSE_BIT,
    TRAIT_GATED_BIT,
    TRAIT_FUSED_QKV_BIT,
    TRAIT_ATTN_NORM_BIT,
    TRAIT_FFN_NORM_BIT,
    TRAIT_POST_NORMS_BIT,
    TRAIT_OUTPUT_NORM_BIT,
    TRAIT_LAYER_NORMS_BIT,
    TRAIT_BIASES_BIT,
    TRAIT_HEAD_NORMS_BIT,
    TRAIT_ROW_NORMS_BIT,
    TRAIT_NORMS_AFTER_ROPE_BIT,
    TRAIT_ROTATES_BIT,
    TRAIT_LEARNED_POSITIONS_BIT,
    TRAIT_LONGROPE_BIT,
    TRAIT_YARN_LOG_BIT,
    TRAIT_ROPE_ALPHA_BIT,
    TRAIT_ROPE_OPTIONAL_BIT,
    TRAIT_WINDOWS_BIT,
    TRAIT_EMBED_ROOT_BIT,
    TRAIT_SCALES_BIT,
    TRAIT_ATTN_SOFTCAP_BIT,
    TRAIT_LOGIT_SOFTCAP_BIT,
    TRAIT_TEMPERATURE_BIT,
    TRAIT_SECTIONS_BIT,
    TRAIT_SPECULATES_BIT,
    TRAIT_IGNORES_WINDOW_BIT,
    TRAIT_ENCODER_BIT,
    TRAIT_BERT_NORMS_BIT,
    TRAIT_DELTA_BIT,
    TRAIT_QUERY_GATES_BIT,
    TRAIT_EXPERTS_BIT,
    TRAIT_EXPERT_BIASES_BIT,
    TRAIT_CHOICE_BIAS_BIT,
    TRAIT_SHARED_BIT,
    TRAIT_SHARED_WEIGHT_BIT,
    TRAIT_DENSE_LEAD_BIT,
    TRAIT_ROUTER_KEY_BIT,
    TRAIT_SINKS_BIT,
    TRAIT_FFN_NORM_NAMED_POST_BIT,
    TRAIT_VECTOR_DENSE_BIT,
    /* Further ones are added here; a set has 64. */
};
#define TRAIT_ANY               TRAIT(TRAIT_ANY_BIT)              /* every model and layer */
#define TRAIT_ATTENTION         TRAIT(TRAIT_ATTENTION_BIT)        /* layers that attend */
#define TRAIT_DENSE             TRAIT(TRAIT_DENSE_BIT)            /* layers with one FFN */
#define TRAIT_GATED             TRAIT(TRAIT_GATED_BIT)            /* ... with a gate */
#define TRAIT_FUSED_QKV         TRAIT(TRAIT_FUSED_QKV_BIT)        /* only ever as one tensor */
#define TRAIT_ATTN_NORM         TRAIT(TRAIT_ATTN_NORM_BIT)        /* before attention */
#define TRAIT_FFN_NORM          TRAIT(TRAIT_FFN_NORM_BIT)         /* before the FFN */
#define TRAIT_POST_NORMS        TRAIT(TRAIT_POST_NORMS_BIT)       /* of what joins the residual */
#define TRAIT_OUTPUT_NORM       TRAIT(TRAIT_OUTPUT_NORM_BIT)      /* "output_norm" */
#define TRAIT_LAYER_NORMS       TRAIT(TRAIT_LAYER_NORMS_BIT)      /* norms with a mean and a bias */
#define TRAIT_BIASES            TRAIT(TRAIT_BIASES_BIT)           /* of matrices but q, k and v */
#define TRAIT_HEAD_NORMS        TRAIT(TRAIT_HEAD_NORMS_BIT)       /* of each query and key */
#define TRAIT_ROW_NORMS         TRAIT(TRAIT_ROW_NORMS_BIT)        /* of a row's queries and keys */
#define TRAIT_NORMS_AFTER_ROPE  TRAIT(TRAIT_NORMS_AFTER_ROPE_BIT) /* heads turn, then are normed */
#define TRAIT_ROTATES           TRAIT(TRAIT_ROTATES_BIT)
#define TRAIT_LEARNED_POSITIONS TRAIT(TRAIT_LEARNED_POSITIONS_BIT)
#define TRAIT_LONGROPE          TRAIT(TRAIT_LONGROPE_BIT)      /* two sets of factors */
#define TRAIT_YARN_LOG          TRAIT(TRAIT_YARN_LOG_BIT)      /* yarn_log_multiplier */
#define TRAIT_ROPE_ALPHA        TRAIT(TRAIT_ROPE_ALPHA_BIT)    /* the base by rope.scaling.alpha */
#define TRAIT_ROPE_OPTIONAL     TRAIT(TRAIT_ROPE_OPTIONAL_BIT) /* rope.scaling.finetuned: whether */
#define TRAIT_WINDOWS           TRAIT(TRAIT_WINDOWS_BIT)       /* attention.sliding_window */
#define TRAIT_EMBED_ROOT        TRAIT(TRAIT_EMBED_ROOT_BIT)    /* embeddings * sqrt(n_embd) */
#define TRAIT_SCALES            TRAIT(TRAIT_SCALES_BIT) /* embedding, residual, logit scale */
#define TRAIT_ATTN_SOFTCAP      TRAIT(TRAIT_ATTN_SOFTCAP_BIT)
#define TRAIT_LOGIT_SOFTCAP     TRAIT(TRAIT_LOGIT_SOFTCAP_BIT)
#define TRAIT_TEMPERATURE       TRAIT(TRAIT_TEMPERATURE_BIT)    /* queries scaled by position */
#define TRAIT_SECTIONS          TRAIT(TRAIT_SECTIONS_BIT)       /* of RoPE; text has one position */
#define TRAIT_SPECULATES        TRAIT(TRAIT_SPECULATES_BIT)     /* nextn blocks after the layers */
#define TRAIT_IGNORES_WINDOW    TRAIT(TRAIT_IGNORES_WINDOW_BIT) /* has the key, attends to all */
#define TRAIT_ENCODER           TRAIT(TRAIT_ENCODER_BIT)        /* no causality, no text */
#define TRAIT_BERT_NORMS        TRAIT(TRAIT_BERT_NORMS_BIT)     /* of embeddings and of residuals */
#define TRAIT_DELTA             TRAIT(TRAIT_DELTA_BIT)       /* layers that are gated delta nets */
#define TRAIT_QUERY_GATES       TRAIT(TRAIT_QUERY_GATES_BIT) /* each query with a gate beside it */

#define TRAIT_EXPERTS       TRAIT(TRAIT_EXPERTS_BIT)       /* layers with experts */
#define TRAIT_EXPERT_BIASES TRAIT(TRAIT_EXPERT_BIASES_BIT) /* of the router and of each expert */
#define TRAIT_CHOICE_BIAS   TRAIT(TRAIT_CHOICE_BIAS_BIT)   /* exp_probs_b: chooses, not weighs */
#define TRAIT_SHARED        TRAIT(TRAIT_SHARED_BIT)        /* experts that every row goes through */
#define TRAIT_SHARED_WEIGHT TRAIT(TRAIT_SHARED_WEIGHT_BIT) /* ... weighed by a sigmoid */
#define TRAIT_DENSE_LEAD    TRAIT(TRAIT_DENSE_LEAD_BIT)    /* some layers have one FFN */
#define TRAIT_ROUTER_KEY    TRAIT(TRAIT_ROUTER_KEY_BIT)    /* expert_gating_func says how */
#define TRAIT_SINKS         TRAIT(TRAIT_SINKS_BIT)         /* attn_sinks */
/* The norm before the FFN is called post_attention_norm. */
#define TRAIT_FFN_NORM_NAMED_POST TRAIT(TRAIT_FFN_NORM_NAMED_POST_BIT)
#define TRAIT_VECTOR_DENSE        TRAIT(TRAIT_VECTOR_DENSE_BIT) /* two matrices for vectors */

struct arch {
    const char *name; /* general.architecture, and the prefix of its keys */
    enum norm_kind norm;
    enum ffn_kind ffn;
    enum rope_kind rope;
    uint64_t traits;
    /* Windows: of n layers (pattern) the last sees all; what a file's keys leave open. */
    uint32_t window, pattern;
    uint32_t windowed_only_of;    /* layers of the one size of it that has windows; 0: any */
    float window_base;            /* of the RoPE of layers with a window; 0: as the others' */
    bool window_plain;            /* which has no scaling */
    uint32_t still_layers;        /* every n-th layer does not rotate; 0: all do */
    bool still_full;              /* where some have windows, the others do not rotate */
    float softcap, logit_softcap; /* defaults */
    uint32_t full_interval;       /* of TRAIT_DELTA: every n-th layer attends */
    enum router router;           /* of experts */
    bool raw_weights;             /* which are not renormalised */
    uint32_t root_scaled_of;      /* layers of the size whose scores are scaled by sqrt(E / H) */
};

enum dim {
    DIM_ONE,
    DIM_EMBD,
    DIM_VOCAB,
    DIM_Q,
    DIM_KV,
    DIM_QKV,
    DIM_HEAD,
    DIM_FF,
    DIM_CONTEXT,
    DIM_ROPE_HALF,
    DIM_TOKEN_TYPES,
    DIM_SCORES,
    DIM_VECTOR_DENSE,
    DIM_DELTA_CHANNELS,
    DIM_DELTA_INNER,
    DIM_DELTA_SIZE,
    DIM_DELTA_HEADS,
    DIM_DELTA_TAPS,
    DIM_HEADS,
    DIM_EXPERTS,
    DIM_FF_EXPERT,
    DIM_FF_EXPERT_PAIR, /* gate and up */
    DIM_FF_SHARED,
};

enum role_kind {
    ROLE_MATRIX,          /* any weight type; packed. place: struct matrix */
    ROLE_Q,               /* a matrix; with TRAIT_QUERY_GATES each head's gate after its queries */
    ROLE_TAPS,            /* a vector for each channel, kept by position */
    ROLE_HEAD,            /* the same; absent: the embedding serves */
    ROLE_QKV,             /* q, k and v in one, cut by rows; place: the layer's */
    ROLE_UP,              /* a matrix; where there is no gate beside it, gate and up in one */
    ROLE_UP_BIAS,         /* likewise */
    ROLE_VECTOR,          /* F32, F16 or BF16, kept as F32. place: const float * */
    ROLE_BIAS,            /* a vector padded with zeros to whole panels */
    ROLE_QKV_BIAS,        /* the three biases in one */
    ROLE_FIRST_ROW,       /* any weight type, the first row kept as F32 */
    ROLE_POSITIONS,       /* any weight type, the first n_context rows kept as F32 */
    ROLE_FREQS,           /* taken up by the RoPE tables */
    ROLE_FREQS_LONG,      /* ... of contexts beyond the original one */
    ROLE_FREQS_SHORT,     /* ... of others */
    ROLE_EXPERTS,         /* a matrix of each expert; place: struct expert_linear's first */
    ROLE_EXPERTS_GATE_UP, /* gate and up of each in one; place: the layer's */
    ROLE_EXPERTS_BIAS,    /* a vector of each */
    ROLE_EXPERTS_GATE_UP_BIAS, /* likewise */
};

struct tensor_role {
    const char *name; /* after "blk.N." where per_layer; may repeat with other traits */
    enum role_kind kind;
    bool per_layer;
    uint64_t needed, allowed; /* with any of these traits */
    enum dim cols, rows;      /* ne[0], ne[1] */
    size_t place;             /* offset in struct layer where per_layer, else in struct model */
    const char *instead;      /* another tensor that may stand for it; NULL: none */
    enum dim depth;           /* ne[2] */
};

extern const struct tensor_role tensor_roles[];
extern const size_t n_tensor_roles;

/* STATUS_UNSUPPORTED, by name: with what it lacks, or the list of what is known. */
enum status arch_of(const struct gguf *gguf, const struct arch **out, struct error *err);

/* The traits of one layer: those of the model, without what its kind has not. */
uint64_t layer_traits(const struct shape *shape, size_t layer);

/* A dimension in a layer (any, where it is not per layer). */
size_t role_dim(const struct shape *shape, enum dim dim, size_t layer);

/* The tensor of a role in a layer (0 where not per_layer); NULL when the file has none. */
const struct gguf_tensor *role_find(const struct gguf *gguf, const struct tensor_role *role,
                                    size_t layer);
bool role_is_allowed(const struct shape *shape, const struct tensor_role *role, size_t layer);

/* Whether a tensor belongs to a block that only speculation needs: known, and left where it is. */
bool tensor_is_skipped(const struct shape *shape, const char *name);

/* Every tensor has a role, its shape and an allowed type; every needed role has its tensor. */
enum status roles_check(const struct gguf *gguf, const struct shape *shape, struct error *err);

/* Fills everything of *out that keys say (all but n_vocab and tied_head), each in its range;
 * refuses by name every key that could change the arithmetic and is not honoured. keys.c. */
enum status arch_read_keys(struct shape *out, const struct gguf *gguf, const struct arch *arch,
                           struct error *err);
