/* any_model.h - a small whole model of any architecture in any weight type, with a byte-level
 * vocabulary, as a GGUF file in memory.
 *
 * Wide enough (256) for every block. Weights are made of a few hundred random blocks, encoded once
 * and dealt out to every matrix; some are zero, some have an outlier. Types that cannot be encoded
 * have random bytes and a scale. Test code, one thread.
 */
#pragma once

#include "core/block_scales.h"
#include "core/text/vocabulary.h"
#include "math/encode/encode.h"

enum {
    ANY_EMBD = 256,
    ANY_LAYERS = 2,
    ANY_HEADS = 4,
    ANY_KV_HEADS = 2,
    ANY_FF = 256,
    ANY_CONTEXT = 64,
    ANY_BLOCK = 256, /* values that are dealt together: a multiple of every type's block */
    ANY_BLOCKS = 211,
};

static const struct any_arch {
    const char *name, *arch;
    bool tied;
    bool biases;     /* where the architecture leaves the choice */
    bool factors;    /* rope_freqs.weight */
    size_t head_dim; /* 256 / 4, or another */
    size_t rope_dim; /* 0: no such key */
    const char *scaling;
    size_t experts; /* in place of one FFN, two of them for each row; 0: none */
    bool shared;    /* and one that all go through */
} any_archs[] = {
    {"llama", "llama", false, false, false, 64, 0, NULL, 0, false},
    {"llama, tied, RoPE factors", "llama", true, false, true, 64, 64, NULL, 0, false},
    {"llama with biases, part of each head rotated", "llama", false, true, false, 64, 32, "linear",
     0, false},
    {"gpt2", "gpt2", true, true, false, 64, 0, NULL, 0, false},
    {"gpt2, untied", "gpt2", false, true, false, 64, 0, NULL, 0, false},
    {"qwen2", "qwen2", false, true, false, 64, 64, NULL, 0, false},
    {"qwen2, tied, yarn", "qwen2", true, true, false, 64, 0, "yarn", 0, false},
    {"qwen3", "qwen3", false, false, false, 64, 0, NULL, 0, false},
    {"qwen3, tied, heads of their own size", "qwen3", true, false, false, 128, 0, "yarn", 0, false},
    {"llama with experts", "llama", false, false, false, 64, 64, NULL, 3, false},
    {"qwen3moe, tied", "qwen3moe", true, false, false, 64, 0, NULL, 6, false},
    {"granitemoe", "granitemoe", false, false, false, 64, 0, NULL, 2, true},
};
enum { N_ANY_ARCHS = sizeof any_archs / sizeof any_archs[0] };

/* -1 .. 1 */
static inline float any_uniform(uint64_t *state)
{
    return (float)(next_random(state) >> 7) / 8388608.0f - 1.0f;
}

/* Block i of the pool in a type; the pool is encoded anew when the type changes. */
static inline const uint8_t *any_block(enum weight_type type, size_t i)
{
    static uint8_t pool[ANY_BLOCKS][ANY_BLOCK * sizeof(float)];
    static enum weight_type encoded = WEIGHT_TYPES;
    uint64_t state = 20250101;
    for (size_t b = 0; encoded != type && b < ANY_BLOCKS; b++) {
        float x[ANY_BLOCK], size = 0.02f + 0.1f * (float)(b % 7) / 6;
        for (size_t k = 0; k < ANY_BLOCK; k++)
            x[k] = size * any_uniform(&state);
        if (b % 13 == 5)
            memset(x, 0, sizeof x);
        if (b % 17 == 3)
            x[b] = -0.9f;
        if (weight_can_encode(type)) {
            weight_from_f32(type, x, ANY_BLOCK, pool[b]);
            continue;
        }
        for (size_t k = 0; k < weight_bytes(type, ANY_BLOCK); k++)
            pool[b][k] = (uint8_t)next_random(&state);
        set_scales(type, pool[b], f32_to_f16(b % 13 == 5 ? 0 : size / 16), 0);
    }
    encoded = type;
    return pool[i % ANY_BLOCKS];
}

static inline uint64_t any_hash(const char *name)
{
    uint64_t hash = 1469598103934665603u;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    return hash;
}

static inline void any_matrix(struct gguf_builder *b, const char *name, enum weight_type type,
                              size_t cols, size_t rows)
{
    uint64_t state = any_hash(name);
    size_t n_bytes = weight_bytes(type, ANY_BLOCK), n = cols * rows / ANY_BLOCK;
    struct builder_bytes data = {0};
    for (size_t i = 0; i < n; i++)
        builder_put(&data, any_block(type, next_random(&state)), n_bytes);
    builder_tensor(b, name, weight_infos[type].ggml_id, cols, rows, data.p, data.n);
    free(data.p);
}

static inline void any_experts(struct gguf_builder *b, const char *name, enum weight_type type,
                               size_t cols, size_t rows, size_t n)
{
    any_matrix(b, name, type, cols, rows * n);
    builder_deepen(b, n);
}

static inline void any_vector(struct gguf_builder *b, const char *name, size_t n, float center)
{
    float x[3 * ANY_LAYERS * ANY_EMBD];
    uint64_t state = any_hash(name);
    ck_assert_uint_le(n, sizeof x / sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = center + 0.3f * any_uniform(&state);
    builder_tensor(b, name, weight_infos[WEIGHT_F32].ggml_id, n, 0, x, n * sizeof(float));
}

static inline void any_layer(struct gguf_builder *b, const struct any_arch *a, size_t layer,
                             enum weight_type type)
{
    char name[64];
    size_t q = ANY_HEADS * a->head_dim, kv = ANY_KV_HEADS * a->head_dim;
    bool gpt2 = strcmp(a->arch, "gpt2") == 0, qwen2 = strcmp(a->arch, "qwen2") == 0;
    bool dense = a->experts == 0, head_norms = strncmp(a->arch, "qwen3", 5) == 0;
    const struct {
        const char *suffix;
        size_t cols, rows; /* rows 0: a vector */
        bool there;
        size_t depth;
    } tensors[] = {
        {"attn_norm.weight", ANY_EMBD, 0, true, 0},
        {"attn_norm.bias", ANY_EMBD, 0, gpt2, 0},
        {"attn_qkv.weight", ANY_EMBD, q + 2 * kv, gpt2, 0},
        {"attn_qkv.bias", q + 2 * kv, 0, gpt2, 0},
        {"attn_q.weight", ANY_EMBD, q, !gpt2, 0},
        {"attn_k.weight", ANY_EMBD, kv, !gpt2, 0},
        {"attn_v.weight", ANY_EMBD, kv, !gpt2, 0},
        {"attn_q.bias", q, 0, !gpt2 && a->biases, 0},
        {"attn_k.bias", kv, 0, !gpt2 && a->biases, 0},
        {"attn_v.bias", kv, 0, !gpt2 && a->biases, 0},
        {"attn_q_norm.weight", a->head_dim, 0, head_norms, 0},
        {"attn_k_norm.weight", a->head_dim, 0, head_norms, 0},
        {"attn_output.weight", q, ANY_EMBD, true, 0},
        {"attn_output.bias", ANY_EMBD, 0, a->biases && !qwen2, 0},
        {"ffn_norm.weight", ANY_EMBD, 0, true, 0},
        {"ffn_norm.bias", ANY_EMBD, 0, gpt2, 0},
        {"ffn_gate.weight", ANY_EMBD, ANY_FF, !gpt2 && dense, 0},
        {"ffn_gate.bias", ANY_FF, 0, !gpt2 && a->biases && !qwen2 && dense, 0},
        {"ffn_up.weight", ANY_EMBD, ANY_FF, dense, 0},
        {"ffn_up.bias", ANY_FF, 0, a->biases && !qwen2, 0},
        {"ffn_down.weight", ANY_FF, ANY_EMBD, dense, 0},
        {"ffn_down.bias", ANY_EMBD, 0, a->biases && !qwen2, 0},
        {"ffn_gate_inp.weight", ANY_EMBD, a->experts, !dense, 0},
        {"ffn_gate_exps.weight", ANY_EMBD, ANY_FF, !dense, a->experts},
        {"ffn_up_exps.weight", ANY_EMBD, ANY_FF, !dense, a->experts},
        {"ffn_down_exps.weight", ANY_FF, ANY_EMBD, !dense, a->experts},
        {"ffn_gate_shexp.weight", ANY_EMBD, ANY_FF, a->shared, 0},
        {"ffn_up_shexp.weight", ANY_EMBD, ANY_FF, a->shared, 0},
        {"ffn_down_shexp.weight", ANY_FF, ANY_EMBD, a->shared, 0},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        if (!tensors[i].there)
            continue;
        snprintf(name, sizeof name, "blk.%zu.%s", layer, tensors[i].suffix);
        if (tensors[i].depth > 0)
            any_experts(b, name, type, tensors[i].cols, tensors[i].rows, tensors[i].depth);
        else if (tensors[i].rows > 0)
            any_matrix(b, name, type, tensors[i].cols, tensors[i].rows);
        else
            any_vector(b, name, tensors[i].cols, strstr(name, "norm.weight") != NULL ? 1 : 0);
    }
}

static inline void any_keys(struct gguf_builder *b, const struct any_arch *a)
{
    char key[96];
    bool gpt2 = strcmp(a->arch, "gpt2") == 0;
    const struct {
        const char *suffix;
        size_t value; /* 0: left out */
    } keys[] = {
        {"context_length", ANY_CONTEXT},
        {"embedding_length", ANY_EMBD},
        {"block_count", ANY_LAYERS},
        {"feed_forward_length", ANY_FF},
        {"expert_count", a->experts},
        {"expert_used_count", a->experts > 0 ? 2 : 0},
        {"expert_shared_feed_forward_length", a->shared ? ANY_FF : 0},
        {"attention.head_count", ANY_HEADS},
        {"attention.head_count_kv", ANY_KV_HEADS},
        {"attention.key_length", a->head_dim * ANY_HEADS == ANY_EMBD ? 0 : a->head_dim},
        {"attention.value_length", a->head_dim * ANY_HEADS == ANY_EMBD ? 0 : a->head_dim},
        {"rope.dimension_count", a->rope_dim},
        {"rope.scaling.original_context_length", a->scaling != NULL ? ANY_CONTEXT / 4 : 0},
    };
    builder_string(b, "general.architecture", a->arch);
    builder_string(b, "general.name", a->name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", a->arch, keys[i].suffix);
        if (keys[i].value != 0)
            builder_u32(b, key, (uint32_t)keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_%sepsilon", a->arch, gpt2 ? "" : "rms_");
    builder_f32(b, key, 1e-5f);
    if (a->scaling == NULL)
        return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", a->arch);
    builder_string(b, key, a->scaling);
    snprintf(key, sizeof key, "%s.rope.scaling.factor", a->arch);
    builder_f32(b, key, 4);
}

/* The file's bytes, to be freed. */
static inline uint8_t *any_model(const struct any_arch *a, enum weight_type type, size_t *size)
{
    struct vocabulary *v = malloc(sizeof *v);
    ck_assert_ptr_nonnull(v);
    begin_bytes(v, "gpt-2");
    add_merge(v, "t", "h");
    add_merge(v, "th", "e");
    add_entry(v, "<|user|>", 0, 3);
    size_t n_vocab = v->n;
    struct gguf_builder *b = build(v);
    free(v);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 0);
    any_keys(b, a);
    any_matrix(b, "token_embd.weight", type, ANY_EMBD, n_vocab);
    if (strcmp(a->arch, "gpt2") == 0)
        any_matrix(b, "position_embd.weight", type, ANY_EMBD, ANY_CONTEXT);
    if (a->factors)
        any_vector(b, "rope_freqs.weight", (a->rope_dim ? a->rope_dim : a->head_dim) / 2, 2);
    for (size_t layer = 0; layer < ANY_LAYERS; layer++)
        any_layer(b, a, layer, type);
    any_vector(b, "output_norm.weight", ANY_EMBD, 1);
    if (strcmp(a->arch, "gpt2") == 0)
        any_vector(b, "output_norm.bias", ANY_EMBD, 0);
    if (!a->tied)
        any_matrix(b, "output.weight", type, ANY_EMBD, n_vocab);
    uint8_t *bytes = gguf_build(b, size);
    gguf_builder_free(b);
    return bytes;
}
