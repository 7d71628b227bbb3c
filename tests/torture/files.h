/* files.h - a small file of each architecture with each kind of vocabulary: what the torture
 * damages, and what the fuzzer starts from.
 *
 * Each is a whole model of a few kilobytes that loads, with as many kinds of keys, types and
 * tensors as its architecture has a use for. Test code.
 */
#pragma once

#include "torture/families.h"
#include "torture/vocabularies.h"

static inline bool files_has_experts(const char *arch)
{
    return strstr(arch, "moe") != NULL;
}

static const struct {
    const char *name, *arch;
    enum vocabulary_kind vocabulary;
} files[] = {
    {"llama-spm", "llama", VOCABULARY_SPM},
    {"llama-bpe", "llama", VOCABULARY_BPE},
    {"gpt2-spm", "gpt2", VOCABULARY_SPM},
    {"gpt2-bpe", "gpt2", VOCABULARY_BPE},
    {"qwen2-spm", "qwen2", VOCABULARY_SPM},
    {"qwen2-bpe", "qwen2", VOCABULARY_BPE},
    {"qwen3-spm", "qwen3", VOCABULARY_SPM},
    {"qwen3-bpe", "qwen3", VOCABULARY_BPE},
    {"qwen3moe-bpe", "qwen3moe", VOCABULARY_BPE},
    {"granitemoe-spm", "granitemoe", VOCABULARY_SPM},
    {"gpt-oss-bpe", "gpt-oss", VOCABULARY_BPE},
    {"gemma3-spm", "gemma3", VOCABULARY_SPM},
    {"olmo2-bpe", "olmo2", VOCABULARY_BPE},
    {"qwen35-bpe", "qwen35", VOCABULARY_BPE},
    {"ernie-moe-spm", "ernie4_5-moe", VOCABULARY_SPM},
    {"phi3-spm", "phi3", VOCABULARY_SPM},
    {"mistral3-bpe", "mistral3", VOCABULARY_BPE},
    {"gemma-embedding-spm", "gemma-embedding", VOCABULARY_SPM},
    {"bert-wordpiece", "bert", VOCABULARY_WORDPIECE},
    {"nomic-bert-unigram", "nomic-bert", VOCABULARY_UNIGRAM},
};
enum { N_FILES = sizeof files / sizeof files[0] };

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
    const enum vocabulary_kind kind = files[i].vocabulary;
    const struct family *family = family_of(arch);
    bool gpt2 = strcmp(arch, "gpt2") == 0;
    struct gguf_builder *b = gguf_builder_new();
    size_t n_vocab = files_vocabulary(b, kind, arch);
    if (family != NULL) {
        family_build(b, family, n_vocab);
    } else {
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
    }
    if (kind == VOCABULARY_BPE) /* else the embedding serves */
        tiny_tensor(b, "output.weight", WEIGHT_F32, FILES_EMBD, n_vocab, 0);
    uint8_t *bytes = gguf_build(b, size);
    gguf_builder_free(b);
    return bytes;
}
