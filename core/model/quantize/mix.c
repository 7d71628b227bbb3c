/* mix.c - the table of mixes, and the rules of llama.cpp's quantizing program for them
 * (llama_tensor_get_type_impl, without an importance matrix). */
#include "model/quantize/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Where a mix has more bits than its base. */
enum extra {
    EXTRA_NONE, /* a plain type: nowhere */
    EXTRA_HEAD, /* the head alone */
    EXTRA_3M,   /* Q3_K_M */
    EXTRA_4S,   /* Q4_K_S */
    EXTRA_M,    /* Q4_K_M, Q5_K_M */
};

struct mix {
    const char *name;
    enum weight_type base;
    uint32_t file_type; /* general.file_type */
    enum extra extra;
};

static const struct mix mixes[] = {
    {"F32", WEIGHT_F32, 0, EXTRA_NONE},        {"F16", WEIGHT_F16, 1, EXTRA_NONE},
    {"BF16", WEIGHT_BF16, 32, EXTRA_NONE},     {"Q8_0", WEIGHT_Q8_0, 7, EXTRA_NONE},
    {"Q4_0", WEIGHT_Q4_0, 2, EXTRA_NONE},      {"Q4_1", WEIGHT_Q4_1, 3, EXTRA_NONE},
    {"Q5_0", WEIGHT_Q5_0, 8, EXTRA_NONE},      {"Q5_1", WEIGHT_Q5_1, 9, EXTRA_NONE},
    {"Q2_K", WEIGHT_Q2_K, 10, EXTRA_NONE},     {"Q3_K", WEIGHT_Q3_K, 11, EXTRA_NONE},
    {"Q3_K_M", WEIGHT_Q3_K, 12, EXTRA_3M},     {"Q4_K", WEIGHT_Q4_K, 14, EXTRA_NONE},
    {"Q4_K_S", WEIGHT_Q4_K, 14, EXTRA_4S},     {"Q4_K_M", WEIGHT_Q4_K, 15, EXTRA_M},
    {"Q5_K", WEIGHT_Q5_K, 16, EXTRA_NONE},     {"Q5_K_S", WEIGHT_Q5_K, 16, EXTRA_HEAD},
    {"Q5_K_M", WEIGHT_Q5_K, 17, EXTRA_M},      {"Q6_K", WEIGHT_Q6_K, 18, EXTRA_NONE},
    {"IQ4_NL", WEIGHT_IQ4_NL, 25, EXTRA_NONE}, {"IQ4_XS", WEIGHT_IQ4_XS, 30, EXTRA_NONE},
    {"MXFP4", WEIGHT_MXFP4, 38, EXTRA_NONE},
};

const char *mix_names(void)
{
    return "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q3_K_M Q4_K Q4_K_S Q4_K_M Q5_K Q5_K_S "
           "Q5_K_M Q6_K IQ4_NL IQ4_XS MXFP4";
}

const struct mix *mix_find(const char *name)
{
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
        if (strcasecmp(mixes[i].name, name) == 0)
            return &mixes[i];
    }
    return NULL;
}

uint32_t mix_file_type(const struct mix *mix)
{
    return mix->file_type;
}

/* --- roles, by their names' ends --- */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* The value projection, alone or together with the others. */
static bool is_value(const char *name)
{
    return ends_with(name, "attn_v.weight") || ends_with(name, "attn_qkv.weight");
}

/* With the experts' and the shared expert's, which have names of their own. */
static bool is_down(const char *name)
{
    return strstr(name, "ffn_down") != NULL;
}

bool mix_rounds(const struct gguf_tensor *tensor)
{
    const char *name = tensor->name;
    return tensor->ne[1] * tensor->ne[2] * tensor->ne[3] > 1 && ends_with(name, "weight") &&
           !ends_with(name, "_norm.weight") && !ends_with(name, "ffn_gate_inp.weight") &&
           strcmp(name, "position_embd.weight") != 0 && strcmp(name, "token_types.weight") != 0;
}

static uint64_t layer_of(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? strtoull(name + 4, NULL, 10) : 0;
}

static uint64_t number_of(const struct gguf *gguf, const struct gguf_string *arch,
                          const char *suffix)
{
    char key[96];
    uint64_t value = 0;
    bool found;
    snprintf(key, sizeof key, "%.*s.%s", (int)(arch->n < 32 ? arch->n : 32), arch->bytes, suffix);
    gguf_get_u64(gguf, key, &value, &found, NULL);
    return value;
}

void mix_model_read(struct mix_model *out, const struct gguf *gguf)
{
    struct gguf_string arch = {"", 0};
    bool found;
    gguf_get_string(gguf, "general.architecture", &arch, &found, NULL);
    bool llama = arch.n == 5 && memcmp(arch.bytes, "llama", 5) == 0;
    bool qwen2 = arch.n == 5 && memcmp(arch.bytes, "qwen2", 5) == 0;
    uint64_t n_heads = number_of(gguf, &arch, "attention.head_count");
    uint64_t n_kv_heads = number_of(gguf, &arch, "attention.head_count_kv");
    bool shares = n_kv_heads != 0 && n_kv_heads != n_heads;
    *out = (struct mix_model){.has_head = gguf_find_tensor(gguf, "output.weight") != NULL,
                              .n_layers = number_of(gguf, &arch, "block_count"),
                              .n_experts = number_of(gguf, &arch, "expert_count")};
    out->is_70b = out->n_layers == 80 && (qwen2 || (llama && shares));
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++)
        out->n_values += is_value(gguf_tensor_at(gguf, i)->name);
}

/* --- the choice --- */

/* The first and last eighth of the layers, and each third between. */
static bool more_bits(uint64_t i, uint64_t n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static enum weight_type choose_value(const struct mix *mix, const struct mix_model *m)
{
    enum weight_type type = mix->base;
    if (m->n_experts == 8)
        return WEIGHT_Q8_0;
    if (mix->extra == EXTRA_M && more_bits(m->i_value, m->n_values))
        type = WEIGHT_Q6_K;
    else if (mix->extra == EXTRA_4S && m->i_value < 4)
        type = WEIGHT_Q5_K;
    else if (mix->extra == EXTRA_3M)
        type = m->i_value < 2 ? WEIGHT_Q5_K : WEIGHT_Q4_K;
    bool few = type == WEIGHT_Q3_K || type == WEIGHT_Q4_K;
    return m->is_70b && few ? WEIGHT_Q5_K : type;
}

/* i: how many came before; the layer where one layer has several. */
static enum weight_type choose_down(const struct mix *mix, uint64_t i, uint64_t n_layers)
{
    if (mix->extra == EXTRA_M && more_bits(i, n_layers))
        return WEIGHT_Q6_K;
    if (mix->extra == EXTRA_4S && i < n_layers / 8)
        return WEIGHT_Q5_K;
    if (mix->extra == EXTRA_3M)
        return i < n_layers / 16 ? WEIGHT_Q5_K : WEIGHT_Q4_K;
    return mix->base;
}

/* Beside 8 experts attention is small, and gets more bits. */
static enum weight_type choose_attn_output(const struct mix *mix, const struct mix_model *m)
{
    if (m->n_experts == 8)
        return WEIGHT_Q5_K;
    return mix->extra == EXTRA_3M ? WEIGHT_Q4_K : mix->base;
}

static enum weight_type wanted_type(const struct mix *mix, const struct mix_model *m,
                                    const char *name)
{
    if (mix->extra == EXTRA_NONE)
        return mix->base;
    if (strcmp(name, "output.weight") == 0 ||
        (!m->has_head && strcmp(name, "token_embd.weight") == 0))
        return WEIGHT_Q6_K;
    if (is_value(name))
        return choose_value(mix, m);
    if (ends_with(name, "attn_k.weight") && m->n_experts == 8)
        return WEIGHT_Q8_0;
    if (is_down(name))
        return choose_down(mix, m->n_experts > 1 ? layer_of(name) : m->i_down, m->n_layers);
    if (ends_with(name, "attn_output.weight"))
        return choose_attn_output(mix, m);
    return mix->base;
}

/* A type for rows that are not a multiple of the wanted type's block. */
static enum weight_type narrower(enum weight_type type, uint64_t n_cols)
{
    switch ((int)type) {
    case WEIGHT_Q2_K:
    case WEIGHT_Q3_K:
        type = WEIGHT_Q4_0;
        break;
    case WEIGHT_Q4_K:
        type = WEIGHT_Q5_0;
        break;
    case WEIGHT_Q5_K:
        type = WEIGHT_Q5_1;
        break;
    case WEIGHT_Q6_K:
        type = WEIGHT_Q8_0;
        break;
    case WEIGHT_IQ4_XS:
        type = WEIGHT_IQ4_NL;
        break;
    }
    return n_cols % weight_infos[type].block_values == 0 ? type : WEIGHT_F16;
}

enum weight_type mix_choose(const struct mix *mix, struct mix_model *model,
                            const struct gguf_tensor *tensor, bool *fallback)
{
    enum weight_type type = wanted_type(mix, model, tensor->name);
    model->i_value += is_value(tensor->name);
    model->i_down += is_down(tensor->name);
    *fallback = tensor->ne[0] % weight_infos[type].block_values != 0;
    return *fallback ? narrower(type, tensor->ne[0]) : type;
}
