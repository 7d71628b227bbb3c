/* tiny_model.h - a whole small model as a GGUF file in memory, for tests: two layers of width 32, a
 * vocabulary of 32.
 *
 * Weights are random from a fixed seed, small enough that everything stays finite.
 */
#pragma once

#include "core/gguf_builder.h"
#include "math/quant.h"

#include <stdio.h>

enum {
    TINY_EMBD = 32,
    TINY_LAYERS = 2,
    TINY_HEADS = 2,
    TINY_KV_HEADS = 1,
    TINY_HEAD_DIM = 16,
    TINY_FF = 64,
    TINY_CONTEXT = 64,
    TINY_VOCAB = 32,
};

static inline uint32_t tiny_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* -0.5 .. 0.5 */
static inline float tiny_uniform(uint64_t *state)
{
    return (float)(tiny_random(state) >> 7) / 16777216.0f - 0.5f;
}

static inline void tiny_tensor(struct gguf_builder *b, const char *name, enum weight_type type,
                               size_t cols, size_t rows, float center)
{
    uint64_t state = 1469598103934665603u;
    for (const char *c = name; *c != '\0'; c++)
        state = (state ^ (uint8_t)*c) * 1099511628211u;
    size_t n = cols * (rows == 0 ? 1 : rows), n_bytes = weight_bytes(type, n);
    const struct weight_info *info = &weight_infos[type];
    uint8_t *data = malloc(n_bytes);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < n / info->block_values; i++) {
        uint8_t *block = data + i * info->block_bytes;
        float value = center + 0.4f * tiny_uniform(&state);
        if (type == WEIGHT_F32) {
            memcpy(block, &value, 4);
            continue;
        }
        if (type == WEIGHT_MXFP4) { /* a scale of 2^-7, then two values in each byte */
            block[0] = 120;
            for (size_t k = 1; k < info->block_bytes; k++)
                block[k] = (uint8_t)tiny_random(&state);
            continue;
        }
        /* Q8_0 and Q4_0 begin with an F16 scale, and an F16 weight is nothing else. */
        uint16_t half = f32_to_f16(type == WEIGHT_F16    ? value
                                   : type == WEIGHT_Q8_0 ? 0.002f
                                                         : 0.03f);
        memcpy(block, &half, 2);
        for (size_t k = 2; k < info->block_bytes; k++)
            block[k] = (uint8_t)tiny_random(&state);
    }
    builder_tensor(b, name, info->ggml_id, cols, rows, data, n_bytes);
    free(data);
}

static inline void tiny_layer(struct gguf_builder *b, size_t layer, bool gpt2,
                              enum weight_type type)
{
    char name[64];
#define TINY(suffix, kind, cols, rows, center)                                                     \
    (snprintf(name, sizeof name, "blk.%zu.%s", layer, suffix),                                     \
     tiny_tensor(b, name, kind, cols, rows, center))
    size_t q = (size_t)TINY_HEADS * TINY_HEAD_DIM, kv = (size_t)TINY_KV_HEADS * TINY_HEAD_DIM;
    TINY("attn_norm.weight", WEIGHT_F32, TINY_EMBD, 0, 1);
    TINY("ffn_norm.weight", WEIGHT_F32, TINY_EMBD, 0, 1);
    TINY("attn_output.weight", type, q, TINY_EMBD, 0);
    TINY("ffn_up.weight", type, TINY_EMBD, TINY_FF, 0);
    TINY("ffn_down.weight", type, TINY_FF, TINY_EMBD, 0);
    if (gpt2) {
        TINY("attn_norm.bias", WEIGHT_F32, TINY_EMBD, 0, 0);
        TINY("ffn_norm.bias", WEIGHT_F32, TINY_EMBD, 0, 0);
        TINY("attn_qkv.weight", type, TINY_EMBD, q + 2 * kv, 0);
        TINY("attn_qkv.bias", WEIGHT_F32, q + 2 * kv, 0, 0);
        TINY("attn_output.bias", WEIGHT_F32, TINY_EMBD, 0, 0);
        TINY("ffn_up.bias", WEIGHT_F32, TINY_FF, 0, 0);
        TINY("ffn_down.bias", WEIGHT_F32, TINY_EMBD, 0, 0);
    } else {
        TINY("attn_q.weight", type, TINY_EMBD, q, 0);
        TINY("attn_k.weight", type, TINY_EMBD, kv, 0);
        TINY("attn_v.weight", type, TINY_EMBD, kv, 0);
        TINY("ffn_gate.weight", type, TINY_EMBD, TINY_FF, 0);
    }
#undef TINY
}

/* arch: "llama" or "gpt2"; the matrices' type one of F32, F16, Q8_0, Q4_0. No tokenizer keys. */
static inline struct gguf_builder *tiny_model(const char *arch, enum weight_type type)
{
    struct gguf_builder *b = gguf_builder_new();
    bool gpt2 = strcmp(arch, "gpt2") == 0;
    const struct {
        const char *suffix;
        uint32_t value;
    } keys[] = {
        {"context_length", TINY_CONTEXT},     {"embedding_length", TINY_EMBD},
        {"block_count", TINY_LAYERS},         {"feed_forward_length", TINY_FF},
        {"attention.head_count", TINY_HEADS}, {"attention.head_count_kv", TINY_KV_HEADS},
    };
    char key[64];
    builder_string(b, "general.architecture", arch);
    builder_string(b, "general.name", "tiny");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].suffix);
        builder_u32(b, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_%sepsilon", arch, gpt2 ? "" : "rms_");
    builder_f32(b, key, 1e-5f);
    tiny_tensor(b, "token_embd.weight", type, TINY_EMBD, TINY_VOCAB, 0);
    if (gpt2)
        tiny_tensor(b, "position_embd.weight", WEIGHT_F32, TINY_EMBD, TINY_CONTEXT, 0);
    for (size_t layer = 0; layer < TINY_LAYERS; layer++)
        tiny_layer(b, layer, gpt2, type);
    tiny_tensor(b, "output_norm.weight", WEIGHT_F32, TINY_EMBD, 0, 1);
    if (gpt2)
        tiny_tensor(b, "output_norm.bias", WEIGHT_F32, TINY_EMBD, 0, 0);
    tiny_tensor(b, "output.weight", type, TINY_EMBD, TINY_VOCAB, 0);
    return b;
}
