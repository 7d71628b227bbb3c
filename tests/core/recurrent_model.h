/* recurrent_model.h - a small whole model of gated delta nets and attention, as a GGUF file in
 * memory. Test code, one thread.
 */
#pragma once

#include "core/any_model.h"

enum {
    REC_EMBD = 64,
    REC_LAYERS = 4, /* the last attends */
    REC_HEADS = 2,
    REC_HEAD_DIM = 32,
    REC_SIZE = 16, /* of a state's keys and values */
    REC_KEY_HEADS = 2,
    REC_VALUE_HEADS = 4,
    REC_TAPS = 4,
    REC_INNER = REC_VALUE_HEADS * REC_SIZE,
    REC_CHANNELS = 2 * REC_KEY_HEADS * REC_SIZE + REC_INNER,
    REC_CONTEXT = 512,
};

static inline void recurrent_keys(struct gguf_builder *b)
{
    static const struct {
        const char *key;
        uint32_t value;
    } keys[] = {
        {"qwen35.context_length", REC_CONTEXT},
        {"qwen35.embedding_length", REC_EMBD},
        {"qwen35.block_count", REC_LAYERS},
        {"qwen35.feed_forward_length", REC_EMBD},
        {"qwen35.attention.head_count", REC_HEADS},
        {"qwen35.attention.head_count_kv", 1},
        {"qwen35.attention.key_length", REC_HEAD_DIM},
        {"qwen35.attention.value_length", REC_HEAD_DIM},
        {"qwen35.rope.dimension_count", REC_HEAD_DIM / 2},
        {"qwen35.full_attention_interval", REC_LAYERS},
        {"qwen35.ssm.conv_kernel", REC_TAPS},
        {"qwen35.ssm.state_size", REC_SIZE},
        {"qwen35.ssm.group_count", REC_KEY_HEADS},
        {"qwen35.ssm.time_step_rank", REC_VALUE_HEADS},
        {"qwen35.ssm.inner_size", REC_INNER},
    };
    builder_string(b, "general.architecture", "qwen35");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        builder_u32(b, keys[i].key, keys[i].value);
    builder_f32(b, "qwen35.attention.layer_norm_rms_epsilon", 1e-6f);
}

static inline void recurrent_layer(struct gguf_builder *b, size_t layer)
{
    const bool attends = layer + 1 == REC_LAYERS;
    const struct {
        const char *suffix;
        size_t cols, rows; /* rows 0: a vector around `center` */
        float center;
        bool there;
    } tensors[] = {
        {"attn_norm.weight", REC_EMBD, 0, 1, true},
        {"post_attention_norm.weight", REC_EMBD, 0, 1, true},
        {"ffn_gate.weight", REC_EMBD, REC_EMBD, 0, true},
        {"ffn_up.weight", REC_EMBD, REC_EMBD, 0, true},
        {"ffn_down.weight", REC_EMBD, REC_EMBD, 0, true},
        {"attn_q.weight", REC_EMBD, 2 * REC_HEADS * REC_HEAD_DIM, 0, attends},
        {"attn_k.weight", REC_EMBD, REC_HEAD_DIM, 0, attends},
        {"attn_v.weight", REC_EMBD, REC_HEAD_DIM, 0, attends},
        {"attn_q_norm.weight", REC_HEAD_DIM, 0, 1, attends},
        {"attn_k_norm.weight", REC_HEAD_DIM, 0, 1, attends},
        {"attn_output.weight", REC_HEADS * REC_HEAD_DIM, REC_EMBD, 0, attends},
        {"attn_qkv.weight", REC_EMBD, REC_CHANNELS, 0, !attends},
        {"attn_gate.weight", REC_EMBD, REC_INNER, 0, !attends},
        {"ssm_conv1d.weight", REC_TAPS, REC_CHANNELS, 0, !attends},
        {"ssm_dt.bias", REC_VALUE_HEADS, 0, 0, !attends},
        {"ssm_a", REC_VALUE_HEADS, 0, -0.5f, !attends},
        {"ssm_beta.weight", REC_EMBD, REC_VALUE_HEADS, 0, !attends},
        {"ssm_alpha.weight", REC_EMBD, REC_VALUE_HEADS, 0, !attends},
        {"ssm_norm.weight", REC_SIZE, 0, 1, !attends},
        {"ssm_out.weight", REC_INNER, REC_EMBD, 0, !attends},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.%s", layer, tensors[i].suffix);
        if (tensors[i].there && tensors[i].rows > 0)
            any_matrix(b, name, WEIGHT_F32, tensors[i].cols, tensors[i].rows);
        else if (tensors[i].there)
            any_vector(b, name, tensors[i].cols, tensors[i].center);
    }
}

/* The file's bytes, to be freed. */
static inline uint8_t *recurrent_model(size_t *size)
{
    struct vocabulary *v = malloc(sizeof *v);
    ck_assert_ptr_nonnull(v);
    begin_bytes(v, "gpt-2");
    static const char *const more[] = {"<|a|>", "<|b|>", "<|c|>"};
    for (size_t i = 0; v->n * REC_EMBD % ANY_BLOCK != 0; i++)
        add_entry(v, more[i], 0, 3);
    size_t n_vocab = v->n;
    struct gguf_builder *b = build(v);
    free(v);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 0);
    recurrent_keys(b);
    any_matrix(b, "token_embd.weight", WEIGHT_F32, REC_EMBD, n_vocab);
    for (size_t layer = 0; layer < REC_LAYERS; layer++)
        recurrent_layer(b, layer);
    any_vector(b, "output_norm.weight", REC_EMBD, 1);
    uint8_t *bytes = gguf_build(b, size);
    gguf_builder_free(b);
    return bytes;
}
