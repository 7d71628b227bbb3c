/* arch.c - the table of architectures, and those that are known and not built.
 *
 * Names as llama.cpp's converters write them. Pure functions; any thread. Knows no tensors.
 */
#include "model/arch.h"

#include "base/append.h"

#include <string.h>

/* Sets of traits that several families share. */
#define LAYERS                                                                                     \
    (TRAIT_ANY | TRAIT_ATTENTION | TRAIT_DENSE | TRAIT_ATTN_NORM | TRAIT_FFN_NORM |                \
     TRAIT_OUTPUT_NORM)
#define LLAMA    (LAYERS | TRAIT_GATED | TRAIT_ROTATES)
#define SANDWICH (LLAMA | TRAIT_POST_NORMS)
#define BEHIND   (SANDWICH & ~(TRAIT_ATTN_NORM | TRAIT_FFN_NORM)) /* of what joins alone */
#define GEMMA    (SANDWICH | TRAIT_EMBED_ROOT | TRAIT_WINDOWS | TRAIT_LOGIT_SOFTCAP)
#define BERT     (TRAIT_ANY | TRAIT_ATTENTION | TRAIT_DENSE | TRAIT_ENCODER | TRAIT_BERT_NORMS)
#define QWEN35                                                                                     \
    ((LLAMA & ~TRAIT_FFN_NORM) | TRAIT_FFN_NORM_NAMED_POST | TRAIT_HEAD_NORMS |                    \
     TRAIT_QUERY_GATES | TRAIT_DELTA | TRAIT_SECTIONS | TRAIT_SPECULATES)
#define EXPERTS ((LLAMA | TRAIT_EXPERTS) & ~(TRAIT_DENSE | TRAIT_GATED))
#define BIASED  (LAYERS | TRAIT_LAYER_NORMS | TRAIT_BIASES)

#define ARCH(arch_name, norms_and_ffn, order, marks)                                               \
    .name = (arch_name), norms_and_ffn, .rope = (order), .traits = (marks)
#define RMS_SILU   .norm = NORM_RMS, .ffn = FFN_SILU_GATED
#define RMS_GELU   .norm = NORM_RMS, .ffn = FFN_GELU_GATED
#define LAYER_SILU .norm = NORM_LAYER, .ffn = FFN_SILU_GATED
#define RMS_SWIGLU .norm = NORM_RMS, .ffn = FFN_SWIGLU_OAI
#define LAYER_GELU .norm = NORM_LAYER, .ffn = FFN_GELU

static const struct arch archs[] = {
    {ARCH("llama", RMS_SILU, ROPE_INTERLEAVED, LLAMA | TRAIT_EXPERTS)},
    {ARCH("gpt2", LAYER_GELU, ROPE_NONE, BIASED | TRAIT_FUSED_QKV | TRAIT_LEARNED_POSITIONS)},
    {ARCH("qwen2", RMS_SILU, ROPE_NEOX, LLAMA)},
    {ARCH("qwen3", RMS_SILU, ROPE_NEOX, LLAMA | TRAIT_HEAD_NORMS)},
    {ARCH("qwen35", RMS_SILU, ROPE_NEOX, QWEN35), .full_interval = 4},
    {ARCH("qwen35moe", RMS_SILU, ROPE_NEOX,
          (QWEN35 & ~(TRAIT_DENSE | TRAIT_GATED)) | TRAIT_EXPERTS | TRAIT_SHARED |
              TRAIT_SHARED_WEIGHT),
     .full_interval = 4},
    {ARCH("qwen3vl", RMS_SILU, ROPE_NEOX, LLAMA | TRAIT_HEAD_NORMS | TRAIT_SECTIONS)},
    {ARCH("phi3", RMS_SILU, ROPE_NEOX, LLAMA | TRAIT_LONGROPE | TRAIT_IGNORES_WINDOW)},
    {ARCH("smollm3", RMS_SILU, ROPE_INTERLEAVED, LLAMA), .still_layers = 4},
    {ARCH("granite", RMS_SILU, ROPE_INTERLEAVED, LLAMA | TRAIT_SCALES | TRAIT_ROPE_OPTIONAL)},
    {ARCH("mistral3", RMS_SILU, ROPE_INTERLEAVED,
          LLAMA | TRAIT_EXPERTS | TRAIT_YARN_LOG | TRAIT_TEMPERATURE)},
    {ARCH("ernie4_5", RMS_SILU, ROPE_INTERLEAVED, LLAMA)},
    {ARCH("hunyuan-dense", RMS_SILU, ROPE_NEOX,
          LLAMA | TRAIT_HEAD_NORMS | TRAIT_NORMS_AFTER_ROPE | TRAIT_ROPE_ALPHA)},
    {ARCH("qwen2moe", RMS_SILU, ROPE_NEOX, EXPERTS | TRAIT_SHARED | TRAIT_SHARED_WEIGHT),
     .raw_weights = true},
    {ARCH("qwen3moe", RMS_SILU, ROPE_NEOX, EXPERTS | TRAIT_HEAD_NORMS)},
    {ARCH("olmoe", RMS_SILU, ROPE_NEOX, EXPERTS | TRAIT_ROW_NORMS), .raw_weights = true},
    {ARCH("granitemoe", RMS_SILU, ROPE_INTERLEAVED,
          EXPERTS | TRAIT_SHARED | TRAIT_SCALES | TRAIT_ROPE_OPTIONAL)},
    {ARCH("ernie4_5-moe", RMS_SILU, ROPE_INTERLEAVED,
          LLAMA | TRAIT_EXPERTS | TRAIT_CHOICE_BIAS | TRAIT_SHARED | TRAIT_DENSE_LEAD)},
    {ARCH("hunyuan-moe", RMS_SILU, ROPE_NEOX,
          EXPERTS | TRAIT_SHARED | TRAIT_HEAD_NORMS | TRAIT_NORMS_AFTER_ROPE | TRAIT_ROPE_ALPHA)},
    {ARCH("gpt-oss", RMS_SWIGLU, ROPE_NEOX,
          (EXPERTS & ~TRAIT_FFN_NORM) | TRAIT_FFN_NORM_NAMED_POST | TRAIT_EXPERT_BIASES |
              TRAIT_SINKS | TRAIT_WINDOWS),
     .pattern = 2, .router = ROUTER_CHOSEN},
    {ARCH("starcoder2", LAYER_GELU, ROPE_NEOX, BIASED | TRAIT_ROTATES)},
    {ARCH("gemma2", RMS_GELU, ROPE_NEOX, GEMMA | TRAIT_ATTN_SOFTCAP), .window = 4096, .pattern = 2,
     .softcap = 50, .logit_softcap = 30, .root_scaled_of = 46},
    {ARCH("gemma3", RMS_GELU, ROPE_NEOX, GEMMA | TRAIT_HEAD_NORMS), .pattern = 6,
     .window_base = 10000, .window_plain = true, .root_scaled_of = 62},
    {ARCH("olmo2", RMS_SILU, ROPE_NEOX, BEHIND | TRAIT_ROW_NORMS | TRAIT_WINDOWS), .pattern = 4,
     .window_plain = true},
    {ARCH("exaone4", RMS_SILU, ROPE_NEOX,
          BEHIND | TRAIT_HEAD_NORMS | TRAIT_WINDOWS | TRAIT_SPECULATES),
     .window = 4096, .pattern = 4, .windowed_only_of = 64, .still_full = true},
    {ARCH("glm4", RMS_SILU, ROPE_INTERLEAVED, SANDWICH)},
    {ARCH("gemma-embedding", RMS_GELU, ROPE_NEOX,
          (GEMMA & ~TRAIT_LOGIT_SOFTCAP) | TRAIT_HEAD_NORMS | TRAIT_ENCODER | TRAIT_VECTOR_DENSE),
     .pattern = 6, .window_base = 10000, .window_plain = true},
    {ARCH("bert", LAYER_GELU, ROPE_NONE, BERT | TRAIT_BIASES | TRAIT_LEARNED_POSITIONS)},
    {ARCH("nomic-bert", LAYER_SILU, ROPE_NEOX, BERT | TRAIT_GATED | TRAIT_ROTATES)},
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

/* Architectures that people ask for, and what serving them would take. */
static const struct {
    const char *name, *lacks;
} unbuilt[] = {
    {"gemma4", "layers that share keys and values, and embeddings of each layer"},
    {"gemma3n", "several residual streams, and embeddings of each layer"},
    {"falcon", "attention and feed-forward side by side"},
    {"phi2", "attention and feed-forward side by side"},
    {"gptneox", "attention and feed-forward side by side"},
    {"command-r", "attention and feed-forward side by side"},
    {"falcon-h1", "Mamba-2 layers"},
    {"granitehybrid", "Mamba-2 layers"},
    {"nemotron_h", "Mamba-2 layers"},
    {"nemotron_h_moe", "Mamba-2 layers"},
    {"lfm2", "layers of short convolutions"},
    {"lfm2moe", "layers of short convolutions"},
    {"deepseek2", "latent attention (MLA)"},
    {"qwen3next", "layers of gated delta nets"},
};

static bool equals(struct gguf_string s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.bytes, text, s.n) == 0;
}

enum status arch_of(const struct gguf *gguf, const struct arch **out, struct error *err)
{
    static const char key[] = "general.architecture";
    struct gguf_string name;
    enum status status = gguf_get_string(gguf, key, &name, NULL, err);
    if (status != STATUS_OK)
        return status;
    char known[400] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (equals(name, archs[i].name)) {
            *out = &archs[i];
            return STATUS_OK;
        }
        append_text(known, sizeof known, &n, "%s%s", i > 0 ? " " : "", archs[i].name);
    }
    for (size_t i = 0; i < sizeof unbuilt / sizeof *unbuilt; i++) {
        if (equals(name, unbuilt[i].name))
            return error_set_param(
                err, STATUS_UNSUPPORTED, key,
                "architecture '%s' is not supported: it has %s, which this program does not",
                unbuilt[i].name, unbuilt[i].lacks);
    }
    return error_set_param(err, STATUS_UNSUPPORTED, key,
                           "architecture '%.*s' is not supported; the supported ones are: %s",
                           (int)(name.n < 64 ? name.n : 64), name.bytes, known);
}
