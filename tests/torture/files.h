/* files.h - a small file of each architecture with each kind of vocabulary: what the torture
 * damages, and what the fuzzer starts from.
 *
 * Each is a whole model of a few kilobytes that loads, with as many kinds of keys, types and
 * tensors as its architecture has a use for. Test code.
 */
#pragma once

#include "core/tiny_model.h"

enum {
    FILES_EMBD = 32,
    FILES_HEADS = 2,
    FILES_KV_HEADS = 1,
    FILES_HEAD_DIM = 16,
    FILES_FF = 32,
    FILES_CONTEXT = 8,
    FILES_EXPERTS = 3,
    FILES_EXPERT_FF = 32,
};

static inline bool files_has_experts(const char *arch)
{
    return strstr(arch, "moe") != NULL;
}

static const struct {
    const char *name, *arch;
    bool spm;
} files[] = {
    {"llama-spm", "llama", true},        {"llama-bpe", "llama", false},
    {"gpt2-spm", "gpt2", true},          {"gpt2-bpe", "gpt2", false},
    {"qwen2-spm", "qwen2", true},        {"qwen2-bpe", "qwen2", false},
    {"qwen3-spm", "qwen3", true},        {"qwen3-bpe", "qwen3", false},
    {"qwen3moe-bpe", "qwen3moe", false}, {"granitemoe-spm", "granitemoe", true},
};
enum { N_FILES = sizeof files / sizeof files[0] };

#define FILES_TOKENS "tokenizer.ggml."

static inline size_t files_vocabulary_spm(struct gguf_builder *b)
{
    static const char *const texts[] = {"<unk>",        "<s>", "</s>", "<0x0A>", "<0x61>",
                                        "\xe2\x96\x81", "a",   "b",    "ab",     "<user>"};
    static const int32_t types[] = {2, 3, 3, 6, 6, 1, 1, 1, 1, 4};
    static const float scores[] = {0, 0, 0, 0, 0, -1, -2, -3, -0.5f, 0};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, FILES_TOKENS "model", "llama");
    builder_strings(b, FILES_TOKENS "tokens", texts, N);
    builder_f32s(b, FILES_TOKENS "scores", scores, N);
    builder_i32s(b, FILES_TOKENS "token_type", types, N);
    builder_u32(b, FILES_TOKENS "bos_token_id", 1);
    builder_u32(b, FILES_TOKENS "eos_token_id", 2);
    builder_u32(b, FILES_TOKENS "unknown_token_id", 0);
    builder_bool(b, FILES_TOKENS "add_bos_token", 1);
    builder_bool(b, FILES_TOKENS "add_eos_token", 0);
    builder_bool(b, FILES_TOKENS "add_space_prefix", 1);
    return N;
}

static inline size_t files_vocabulary_bpe(struct gguf_builder *b, const char *pre)
{
    static const char *const texts[] = {"<|end|>", "<|im_end|>", "\xc4\xa0",  "a",
                                        "b",       "ab",         "\xc4\240a", "<user>"};
    static const char *const merges[] = {"a b", "\xc4\xa0 a"};
    static const int32_t types[] = {3, 3, 1, 1, 1, 1, 1, 4};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, FILES_TOKENS "model", "gpt2");
    builder_string(b, FILES_TOKENS "pre", pre);
    builder_strings(b, FILES_TOKENS "tokens", texts, N);
    builder_i32s(b, FILES_TOKENS "token_type", types, N);
    builder_strings(b, FILES_TOKENS "merges", merges, 2);
    builder_u32(b, FILES_TOKENS "bos_token_id", 0);
    builder_u32(b, FILES_TOKENS "eos_token_id", 1);
    builder_u32(b, FILES_TOKENS "eot_token_id", 0);
    builder_bool(b, FILES_TOKENS "add_bos_token", 1);
    return N;
}

/* The shape, in integers of every width. */
static inline void files_keys(struct gguf_builder *b, const char *arch, size_t n_vocab)
{
    const struct {
        const char *suffix;
        uint32_t type;
        uint64_t value;
        size_t n_bytes;
    } keys[] = {
        {"context_length", GGUF_U32, FILES_CONTEXT, 4},
        {"embedding_length", GGUF_U64, FILES_EMBD, 8},
        {"block_count", GGUF_U16, 1, 2},
        {"feed_forward_length", GGUF_I32, FILES_FF, 4},
        {"attention.head_count", GGUF_U8, FILES_HEADS, 1},
        {"attention.head_count_kv", GGUF_I64, FILES_KV_HEADS, 8},
        {"vocab_size", GGUF_I16, n_vocab, 2},
        {"expert_count", GGUF_I8, files_has_experts(arch) ? FILES_EXPERTS : 0, 1},
        {"expert_used_count", GGUF_U16, files_has_experts(arch) ? 2 : 0, 2},
        {"expert_shared_feed_forward_length", GGUF_U32, FILES_FF, 4},
    };
    const bool experts = files_has_experts(arch), shared = strcmp(arch, "granitemoe") == 0;
    const size_t n_keys = sizeof keys / sizeof keys[0] - (shared ? 0 : experts ? 1 : 2);
    char key[64];
    builder_string(b, "general.architecture", arch);
    builder_string(b, "general.name", "tiny");
    builder_u32(b, "general.alignment", 32);
    builder_u32(b, "general.quantization_version", 2);
    for (size_t i = 0; i < n_keys; i++) {
        const char *of_experts = strcmp(arch, "qwen3moe") == 0 && i == 3 ? "expert_" : "";
        snprintf(key, sizeof key, "%s.%s%s", arch, of_experts, keys[i].suffix);
        builder_int(b, key, keys[i].type, keys[i].value, keys[i].n_bytes);
    }
    bool gpt2 = strcmp(arch, "gpt2") == 0;
    snprintf(key, sizeof key, "%s.attention.layer_norm_%sepsilon", arch, gpt2 ? "" : "rms_");
    builder_f32(b, key, 1e-5f);
    if (gpt2)
        return;
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    builder_f32(b, key, 500.0f);
    snprintf(key, sizeof key, "%s.rope.dimension_count", arch);
    builder_u32(b, key, FILES_HEAD_DIM);
    snprintf(key, sizeof key, "%s.attention.key_length", arch);
    builder_u32(b, key, FILES_HEAD_DIM);
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    builder_u32(b, key, FILES_HEAD_DIM);
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    builder_string(b, key, strcmp(arch, "qwen3") == 0 ? "yarn" : "linear");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
    builder_f32(b, key, 2);
    snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", arch);
    builder_u32(b, key, FILES_CONTEXT / 2);
}

static inline void files_expert_tensor(struct gguf_builder *b, const char *name,
                                       enum weight_type type, size_t cols, size_t rows)
{
    tiny_tensor(b, name, type, cols, rows * FILES_EXPERTS, 0);
    builder_deepen(b, FILES_EXPERTS);
}

/* One architecture has gate and up of each expert in one tensor. */
static inline void files_experts(struct gguf_builder *b, const char *arch)
{
    tiny_tensor(b, "blk.0.ffn_gate_inp.weight", WEIGHT_F32, FILES_EMBD, FILES_EXPERTS, 0);
    files_expert_tensor(b, "blk.0.ffn_down_exps.weight", WEIGHT_Q4_0, FILES_EXPERT_FF, FILES_EMBD);
    if (strcmp(arch, "qwen3moe") == 0) {
        files_expert_tensor(b, "blk.0.ffn_gate_exps.weight", WEIGHT_Q8_0, FILES_EMBD,
                            FILES_EXPERT_FF);
        files_expert_tensor(b, "blk.0.ffn_up_exps.weight", WEIGHT_Q4_0, FILES_EMBD,
                            FILES_EXPERT_FF);
        return;
    }
    files_expert_tensor(b, "blk.0.ffn_gate_up_exps.weight", WEIGHT_F16, FILES_EMBD,
                        (size_t)2 * FILES_EXPERT_FF);
    tiny_tensor(b, "blk.0.ffn_gate_shexp.weight", WEIGHT_Q8_0, FILES_EMBD, FILES_FF, 0);
    tiny_tensor(b, "blk.0.ffn_up_shexp.weight", WEIGHT_Q4_0, FILES_EMBD, FILES_FF, 0);
    tiny_tensor(b, "blk.0.ffn_down_shexp.weight", WEIGHT_Q4_0, FILES_FF, FILES_EMBD, 0);
}

static inline void files_layer(struct gguf_builder *b, const char *arch)
{
    size_t q = (size_t)FILES_HEADS * FILES_HEAD_DIM, kv = (size_t)FILES_KV_HEADS * FILES_HEAD_DIM;
    tiny_tensor(b, "blk.0.attn_norm.weight", WEIGHT_F32, FILES_EMBD, 0, 1);
    tiny_tensor(b, "blk.0.ffn_norm.weight", WEIGHT_F16, FILES_EMBD, 0, 1);
    tiny_tensor(b, "blk.0.attn_output.weight", WEIGHT_Q4_0, q, FILES_EMBD, 0);
    if (files_has_experts(arch)) {
        files_experts(b, arch);
    } else {
        tiny_tensor(b, "blk.0.ffn_up.weight", WEIGHT_Q8_0, FILES_EMBD, FILES_FF, 0);
        tiny_tensor(b, "blk.0.ffn_down.weight", WEIGHT_Q4_0, FILES_FF, FILES_EMBD, 0);
    }
    if (strcmp(arch, "gpt2") == 0) {
        tiny_tensor(b, "blk.0.attn_norm.bias", WEIGHT_F32, FILES_EMBD, 0, 0);
        tiny_tensor(b, "blk.0.ffn_norm.bias", WEIGHT_F32, FILES_EMBD, 0, 0);
        tiny_tensor(b, "blk.0.attn_qkv.weight", WEIGHT_Q4_0, FILES_EMBD, q + 2 * kv, 0);
        tiny_tensor(b, "blk.0.attn_qkv.bias", WEIGHT_F32, q + 2 * kv, 0, 0);
        tiny_tensor(b, "blk.0.attn_output.bias", WEIGHT_F32, FILES_EMBD, 0, 0);
        tiny_tensor(b, "blk.0.ffn_up.bias", WEIGHT_F16, FILES_FF, 0, 0);
        tiny_tensor(b, "blk.0.ffn_down.bias", WEIGHT_F32, FILES_EMBD, 0, 0);
        return;
    }
    tiny_tensor(b, "blk.0.attn_q.weight", WEIGHT_Q4_0, FILES_EMBD, q, 0);
    tiny_tensor(b, "blk.0.attn_k.weight", WEIGHT_F16, FILES_EMBD, kv, 0);
    tiny_tensor(b, "blk.0.attn_v.weight", WEIGHT_Q8_0, FILES_EMBD, kv, 0);
    if (!files_has_experts(arch))
        tiny_tensor(b, "blk.0.ffn_gate.weight", WEIGHT_Q4_0, FILES_EMBD, FILES_FF, 0);
    if (strcmp(arch, "qwen2") == 0) {
        tiny_tensor(b, "blk.0.attn_q.bias", WEIGHT_F32, q, 0, 0);
        tiny_tensor(b, "blk.0.attn_k.bias", WEIGHT_F32, kv, 0, 0);
        tiny_tensor(b, "blk.0.attn_v.bias", WEIGHT_F32, kv, 0, 0);
    }
    if (strncmp(arch, "qwen3", 5) == 0) {
        tiny_tensor(b, "blk.0.attn_q_norm.weight", WEIGHT_F32, FILES_HEAD_DIM, 0, 1);
        tiny_tensor(b, "blk.0.attn_k_norm.weight", WEIGHT_F32, FILES_HEAD_DIM, 0, 1);
    }
}

/* The bytes of files[i], to be freed. */
static inline uint8_t *files_make(size_t i, size_t *size)
{
    const char *arch = files[i].arch;
    bool gpt2 = strcmp(arch, "gpt2") == 0, qwen = strncmp(arch, "qwen", 4) == 0;
    struct gguf_builder *b = gguf_builder_new();
    size_t n_vocab = files[i].spm ? files_vocabulary_spm(b)
                                  : files_vocabulary_bpe(b, gpt2   ? "gpt-2"
                                                            : qwen ? "qwen2"
                                                                   : "llama-bpe");
    files_keys(b, arch, n_vocab);
    tiny_tensor(b, "token_embd.weight", WEIGHT_Q8_0, FILES_EMBD, n_vocab, 0);
    if (gpt2)
        tiny_tensor(b, "position_embd.weight", WEIGHT_F16, FILES_EMBD, FILES_CONTEXT, 0);
    if (strcmp(arch, "llama") == 0)
        tiny_tensor(b, "rope_freqs.weight", WEIGHT_F32, FILES_HEAD_DIM / 2, 0, 2);
    files_layer(b, arch);
    tiny_tensor(b, "output_norm.weight", WEIGHT_F32, FILES_EMBD, 0, 1);
    if (gpt2)
        tiny_tensor(b, "output_norm.bias", WEIGHT_F32, FILES_EMBD, 0, 0);
    if (!files[i].spm) /* else the embedding serves */
        tiny_tensor(b, "output.weight", WEIGHT_F32, FILES_EMBD, n_vocab, 0);
    uint8_t *bytes = gguf_build(b, size);
    gguf_builder_free(b);
    return bytes;
}
