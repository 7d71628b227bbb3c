/* arch.h - what the architectures have in common and where they differ: two tables, read by
 * the loader.
 *
 * A row of archs[] is one architecture's options; a row of tensor_roles[] is one tensor's name,
 * which architectures must or may have it, its shape in letters, and where it goes in struct model
 * or struct layer. A new architecture of this family is a few rows. Internal to core/model; pure
 * functions over a GGUF file.
 */
#pragma once

#include "model/model.h"

enum arch_bit { ARCH_LLAMA = 1, ARCH_GPT2 = 2, ARCH_QWEN2 = 4, ARCH_QWEN3 = 8, ARCH_ALL = 15 };

struct arch {
    const char *name; /* general.architecture, and the prefix of its keys */
    enum arch_bit bit;
    enum norm_kind norm;
    enum ffn_kind ffn;
    enum rope_kind rope;
    bool learned_positions;
    const char *eps_key; /* after the prefix */
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
    DIM_ROPE_HALF
};

enum role_kind {
    ROLE_MATRIX,    /* any weight type; packed. place: struct matrix */
    ROLE_HEAD,      /* the same; absent: the embedding serves */
    ROLE_QKV,       /* q, k and v in one, cut by rows; place: the layer's */
    ROLE_VECTOR,    /* F32, F16 or BF16, kept as F32. place: const float * */
    ROLE_BIAS,      /* a vector padded with zeros to whole panels */
    ROLE_QKV_BIAS,  /* the three biases in one */
    ROLE_POSITIONS, /* any weight type, the first n_context rows kept as F32 */
    ROLE_FREQS,     /* taken up by the RoPE tables */
};

struct tensor_role {
    const char *name; /* after "blk.N." where per_layer */
    enum role_kind kind;
    bool per_layer;
    unsigned needed, allowed; /* sets of enum arch_bit */
    enum dim cols, rows;      /* ne[0], ne[1] */
    size_t place;             /* offset in struct layer where per_layer, else in struct model */
};

extern const struct tensor_role tensor_roles[];
extern const size_t n_tensor_roles;

/* STATUS_UNSUPPORTED with the list of what is known. */
enum status arch_of(const struct gguf *gguf, const struct arch **out, struct error *err);
bool arch_is(const struct shape *shape, unsigned set);

size_t role_dim(const struct shape *shape, enum dim dim);

/* The tensor of a role in a layer (0 where not per_layer); NULL when the file has none. */
const struct gguf_tensor *role_find(const struct gguf *gguf, const struct tensor_role *role,
                                    size_t layer);

/* Every tensor has a role, its shape and an allowed type; every needed role has its tensor. */
enum status roles_check(const struct gguf *gguf, const struct shape *shape, struct error *err);

/* Fills everything of *out that keys say (all but n_vocab and tied_head), each in its range;
 * refuses by name every key that could change the arithmetic and is not honoured. keys.c. */
enum status arch_read_keys(struct shape *out, const struct gguf *gguf, const struct arch *arch,
                           struct error *err);
