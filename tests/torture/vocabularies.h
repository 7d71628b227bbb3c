/* vocabularies.h - a small vocabulary of each kind, with the keys that files have for it. Test
 * code.
 */
#pragma once

#include "core/gguf_builder.h"

enum vocabulary_kind { VOCABULARY_SPM, VOCABULARY_BPE, VOCABULARY_WORDPIECE, VOCABULARY_UNIGRAM };

#define TOKENS "tokenizer.ggml."

static inline size_t files_vocabulary_spm(struct gguf_builder *b)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "<0x0A>", "<0x61>",
                                        "▁",     "a",   "b",    "ab",     "<user>"};
    static const int32_t types[] = {2, 3, 3, 6, 6, 1, 1, 1, 1, 4};
    static const float scores[] = {0, 0, 0, 0, 0, -1, -2, -3, -0.5f, 0};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, TOKENS "model", "llama");
    builder_strings(b, TOKENS "tokens", texts, N);
    builder_f32s(b, TOKENS "scores", scores, N);
    builder_i32s(b, TOKENS "token_type", types, N);
    builder_u32(b, TOKENS "bos_token_id", 1);
    builder_u32(b, TOKENS "eos_token_id", 2);
    builder_u32(b, TOKENS "unknown_token_id", 0);
    builder_bool(b, TOKENS "add_bos_token", 1);
    builder_bool(b, TOKENS "add_eos_token", 0);
    builder_bool(b, TOKENS "add_space_prefix", 1);
    return N;
}

static inline size_t files_vocabulary_bpe(struct gguf_builder *b, const char *pre)
{
    static const char *const texts[] = {"<|end|>", "<|im_end|>", "\xc4\xa0",  "a",
                                        "b",       "ab",         "\xc4\240a", "<user>"};
    static const char *const merges[] = {"a b", "\xc4\xa0 a"};
    static const int32_t types[] = {3, 3, 1, 1, 1, 1, 1, 4};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, TOKENS "model", "gpt2");
    builder_string(b, TOKENS "pre", pre);
    builder_strings(b, TOKENS "tokens", texts, N);
    builder_i32s(b, TOKENS "token_type", types, N);
    builder_strings(b, TOKENS "merges", merges, 2);
    builder_u32(b, TOKENS "bos_token_id", 0);
    builder_u32(b, TOKENS "eos_token_id", 1);
    builder_u32(b, TOKENS "eot_token_id", 0);
    builder_bool(b, TOKENS "add_bos_token", 1);
    return N;
}

static inline size_t files_vocabulary_wordpiece(struct gguf_builder *b)
{
    static const char *const texts[] = {"[UNK]", "[CLS]", "[SEP]", "▁ab", "▁a",
                                        "b",     "s",     "▁<",    "▁>"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 1, 1, 1};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, TOKENS "model", "bert");
    builder_strings(b, TOKENS "tokens", texts, N);
    builder_i32s(b, TOKENS "token_type", types, N);
    builder_u32(b, TOKENS "token_type_count", 2);
    builder_u32(b, TOKENS "unknown_token_id", 0);
    builder_u32(b, TOKENS "cls_token_id", 1);
    builder_u32(b, TOKENS "seperator_token_id", 2);
    builder_bool(b, TOKENS "normalizer.lowercase", 1);
    builder_bool(b, TOKENS "normalizer.strip_accents", 0);
    return N;
}

/* The compiled map "A" to "a": the root's child for A is unit 1, whose end is unit 2. */
static inline void files_charsmap(struct gguf_builder *b)
{
    static const uint32_t units[] = {(uint32_t)('A' ^ 1) << 10, 'A' | 1U << 8 | 3U << 10,
                                     1U << 31 | 1};
    struct builder_bytes *body = builder_array(b, TOKENS "precompiled_charsmap", GGUF_U8, 20);
    builder_put_int(body, sizeof units, 4);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        builder_put_int(body, units[i], 4);
    builder_put(body, "\0a\0", 4);
}

static inline size_t files_vocabulary_unigram(struct gguf_builder *b)
{
    static const char *const texts[] = {"<s>", "</s>", "<unk>", "<0x62>", "▁",
                                        "▁ab", "a",    "s",     "<user>"};
    static const int32_t types[] = {3, 3, 2, 6, 1, 1, 1, 1, 4};
    static const float scores[] = {0, 0, 0, 0, -3, -1, -2, -2.5f, 0};
    enum { N = sizeof texts / sizeof texts[0] };
    builder_string(b, TOKENS "model", "t5");
    builder_strings(b, TOKENS "tokens", texts, N);
    builder_f32s(b, TOKENS "scores", scores, N);
    builder_i32s(b, TOKENS "token_type", types, N);
    builder_u32(b, TOKENS "token_type_count", 1);
    builder_u32(b, TOKENS "bos_token_id", 0);
    builder_u32(b, TOKENS "eos_token_id", 1);
    builder_u32(b, TOKENS "unknown_token_id", 2);
    builder_bool(b, TOKENS "add_bos_token", 1);
    builder_bool(b, TOKENS "remove_extra_whitespaces", 0);
    files_charsmap(b);
    return N;
}

/* How many tokens it has. */
static inline size_t files_vocabulary(struct gguf_builder *b, enum vocabulary_kind kind,
                                      const char *arch)
{
    const bool gpt2 = strcmp(arch, "gpt2") == 0, qwen = strncmp(arch, "qwen", 4) == 0;
    switch (kind) {
    case VOCABULARY_SPM:
        return files_vocabulary_spm(b);
    case VOCABULARY_WORDPIECE:
        return files_vocabulary_wordpiece(b);
    case VOCABULARY_UNIGRAM:
        return files_vocabulary_unigram(b);
    case VOCABULARY_BPE:
    default:
        return files_vocabulary_bpe(b, gpt2 ? "gpt-2" : qwen ? "qwen2" : "llama-bpe");
    }
}
