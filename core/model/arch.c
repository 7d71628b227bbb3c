/* arch.c - the tables of architectures and tensor roles, and the check of a file's tensors
 * against them.
 *
 * Names as llama.cpp's converters write them. Pure functions; any thread. Knows nothing of where
 * weights are kept.
 */
#include "model/arch.h"

#include "base/append.h"
#include "math/quant.h"

#include <stdio.h>
#include <string.h>

static const struct arch archs[] = {
    {"llama", ARCH_LLAMA, NORM_RMS, FFN_SILU_GATED, ROPE_INTERLEAVED, false,
     "attention.layer_norm_rms_epsilon"},
    {"gpt2", ARCH_GPT2, NORM_LAYER, FFN_GELU, ROPE_NONE, true, "attention.layer_norm_epsilon"},
    {"qwen2", ARCH_QWEN2, NORM_RMS, FFN_SILU_GATED, ROPE_NEOX, false,
     "attention.layer_norm_rms_epsilon"},
    {"qwen3", ARCH_QWEN3, NORM_RMS, FFN_SILU_GATED, ROPE_NEOX, false,
     "attention.layer_norm_rms_epsilon"},
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

#define GATED           (ARCH_LLAMA | ARCH_QWEN2 | ARCH_QWEN3)
#define SPLIT           GATED /* q, k and v each on its own */
#define OF_MODEL(field) false, offsetof(struct model, field)
#define OF_LAYER(field) true, offsetof(struct layer, field)
#define ROLE(name, kind, where, needed, allowed, cols, rows)                                       \
    ROLE_(name, kind, where, needed, allowed, cols, rows)
#define ROLE_(name, kind, layer, place, needed, allowed, cols, rows)                               \
    {                                                                                              \
        name, kind, layer, needed, (needed) | (allowed), cols, rows, place                         \
    }

const struct tensor_role tensor_roles[] = {
    ROLE("token_embd.weight", ROLE_MATRIX, OF_MODEL(embed), ARCH_ALL, 0, DIM_EMBD, DIM_VOCAB),
    ROLE("position_embd.weight", ROLE_POSITIONS, OF_MODEL(positions), ARCH_GPT2, 0, DIM_EMBD,
         DIM_CONTEXT),
    ROLE("rope_freqs.weight", ROLE_FREQS, OF_MODEL(rope_cos), 0, GATED, DIM_ROPE_HALF, DIM_ONE),
    ROLE("attn_norm.weight", ROLE_VECTOR, OF_LAYER(attn_norm.weight), ARCH_ALL, 0, DIM_EMBD,
         DIM_ONE),
    ROLE("attn_norm.bias", ROLE_VECTOR, OF_LAYER(attn_norm.bias), ARCH_GPT2, 0, DIM_EMBD, DIM_ONE),
    ROLE("attn_q.weight", ROLE_MATRIX, OF_LAYER(q.w), SPLIT, 0, DIM_EMBD, DIM_Q),
    ROLE("attn_q.bias", ROLE_BIAS, OF_LAYER(q.bias), ARCH_QWEN2, ARCH_LLAMA, DIM_Q, DIM_ONE),
    ROLE("attn_k.weight", ROLE_MATRIX, OF_LAYER(k.w), SPLIT, 0, DIM_EMBD, DIM_KV),
    ROLE("attn_k.bias", ROLE_BIAS, OF_LAYER(k.bias), ARCH_QWEN2, ARCH_LLAMA, DIM_KV, DIM_ONE),
    ROLE("attn_v.weight", ROLE_MATRIX, OF_LAYER(v.w), SPLIT, 0, DIM_EMBD, DIM_KV),
    ROLE("attn_v.bias", ROLE_BIAS, OF_LAYER(v.bias), ARCH_QWEN2, ARCH_LLAMA, DIM_KV, DIM_ONE),
    ROLE("attn_qkv.weight", ROLE_QKV, OF_LAYER(q.w), ARCH_GPT2, 0, DIM_EMBD, DIM_QKV),
    ROLE("attn_qkv.bias", ROLE_QKV_BIAS, OF_LAYER(q.bias), ARCH_GPT2, 0, DIM_QKV, DIM_ONE),
    ROLE("attn_q_norm.weight", ROLE_VECTOR, OF_LAYER(q_norm.weight), ARCH_QWEN3, 0, DIM_HEAD,
         DIM_ONE),
    ROLE("attn_k_norm.weight", ROLE_VECTOR, OF_LAYER(k_norm.weight), ARCH_QWEN3, 0, DIM_HEAD,
         DIM_ONE),
    ROLE("attn_output.weight", ROLE_MATRIX, OF_LAYER(attn_output.w), ARCH_ALL, 0, DIM_Q, DIM_EMBD),
    ROLE("attn_output.bias", ROLE_BIAS, OF_LAYER(attn_output.bias), ARCH_GPT2, ARCH_LLAMA, DIM_EMBD,
         DIM_ONE),
    ROLE("ffn_norm.weight", ROLE_VECTOR, OF_LAYER(ffn_norm.weight), ARCH_ALL, 0, DIM_EMBD, DIM_ONE),
    ROLE("ffn_norm.bias", ROLE_VECTOR, OF_LAYER(ffn_norm.bias), ARCH_GPT2, 0, DIM_EMBD, DIM_ONE),
    ROLE("ffn_gate.weight", ROLE_MATRIX, OF_LAYER(gate.w), GATED, 0, DIM_EMBD, DIM_FF),
    ROLE("ffn_gate.bias", ROLE_BIAS, OF_LAYER(gate.bias), 0, ARCH_LLAMA, DIM_FF, DIM_ONE),
    ROLE("ffn_up.weight", ROLE_MATRIX, OF_LAYER(up.w), ARCH_ALL, 0, DIM_EMBD, DIM_FF),
    ROLE("ffn_up.bias", ROLE_BIAS, OF_LAYER(up.bias), ARCH_GPT2, ARCH_LLAMA, DIM_FF, DIM_ONE),
    ROLE("ffn_down.weight", ROLE_MATRIX, OF_LAYER(down.w), ARCH_ALL, 0, DIM_FF, DIM_EMBD),
    ROLE("ffn_down.bias", ROLE_BIAS, OF_LAYER(down.bias), ARCH_GPT2, ARCH_LLAMA, DIM_EMBD, DIM_ONE),
    ROLE("output_norm.weight", ROLE_VECTOR, OF_MODEL(output_norm.weight), ARCH_ALL, 0, DIM_EMBD,
         DIM_ONE),
    ROLE("output_norm.bias", ROLE_VECTOR, OF_MODEL(output_norm.bias), ARCH_GPT2, 0, DIM_EMBD,
         DIM_ONE),
    ROLE("output.weight", ROLE_HEAD, OF_MODEL(output.w), 0, ARCH_ALL, DIM_EMBD, DIM_VOCAB),
};
const size_t n_tensor_roles = sizeof tensor_roles / sizeof tensor_roles[0];

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
    char known[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (equals(name, archs[i].name)) {
            *out = &archs[i];
            return STATUS_OK;
        }
        append_text(known, sizeof known, &n, "%s%s", i > 0 ? " " : "", archs[i].name);
    }
    return error_set_param(err, STATUS_UNSUPPORTED, key,
                           "architecture '%.*s' is not supported; the supported ones are: %s",
                           (int)(name.n < 64 ? name.n : 64), name.bytes, known);
}

bool arch_is(const struct shape *shape, unsigned set)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (archs[i].name == shape->arch)
            return (set & archs[i].bit) != 0;
    }
    return false;
}

size_t role_dim(const struct shape *s, enum dim dim)
{
    switch (dim) {
    case DIM_EMBD:
        return s->n_embd;
    case DIM_VOCAB:
        return s->n_vocab;
    case DIM_Q:
        return s->n_heads * s->head_dim;
    case DIM_KV:
        return s->n_kv_heads * s->head_dim;
    case DIM_QKV:
        return (s->n_heads + 2 * s->n_kv_heads) * s->head_dim;
    case DIM_HEAD:
        return s->head_dim;
    case DIM_FF:
        return s->n_ff;
    case DIM_CONTEXT:
        return s->n_context_train;
    case DIM_ROPE_HALF:
        return s->rope_dim / 2;
    case DIM_ONE:
    default:
        return 1;
    }
}

static void role_name(const struct tensor_role *role, size_t layer, char out[64])
{
    if (role->per_layer)
        snprintf(out, 64, "blk.%zu.%s", layer, role->name);
    else
        snprintf(out, 64, "%s", role->name);
}

const struct gguf_tensor *role_find(const struct gguf *gguf, const struct tensor_role *role,
                                    size_t layer)
{
    char name[64];
    role_name(role, layer, name);
    return gguf_find_tensor(gguf, name);
}

/* The role of a name such as "blk.12.attn_q.weight", written exactly so; NULL: none. */
static const struct tensor_role *role_of(const char *name, size_t n_layers)
{
    bool per_layer = strncmp(name, "blk.", 4) == 0;
    size_t layer = 0;
    const char *rest = name;
    if (per_layer) {
        rest += 4;
        while (*rest >= '0' && *rest <= '9' && layer < n_layers)
            layer = 10 * layer + (size_t)(*rest++ - '0');
        if (layer >= n_layers || *rest++ != '.')
            return NULL;
    }
    for (size_t i = 0; i < n_tensor_roles; i++) {
        const struct tensor_role *role = &tensor_roles[i];
        if (role->per_layer == per_layer && strcmp(role->name, rest) == 0) {
            char exact[64]; /* "blk.007." and "blk.." are not how a layer is written */
            role_name(role, layer, exact);
            return strcmp(exact, name) == 0 ? role : NULL;
        }
    }
    return NULL;
}

static enum status check_tensor(const struct gguf_tensor *t, const struct shape *shape,
                                struct error *err)
{
    const struct tensor_role *role = role_of(t->name, shape->n_layers);
    if (role == NULL || !arch_is(shape, role->allowed))
        return error_set_param(err, STATUS_UNSUPPORTED, t->name,
                               "tensor '%s' has no role in a %s model of %zu layers; it may change "
                               "the arithmetic, so the "
                               "file is refused",
                               t->name, shape->arch, shape->n_layers);
    size_t cols = role_dim(shape, role->cols), rows = role_dim(shape, role->rows);
    if (t->ne[0] != cols || t->ne[1] != rows || t->ne[2] != 1 || t->ne[3] != 1)
        return error_set_param(
            err, STATUS_FORMAT, t->name,
            "tensor '%s' is %llu x %llu x %llu x %llu; by the model's keys it must be %zu x %zu",
            t->name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
            (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], cols, rows);
    const struct weight_info *info = &weight_infos[weight_type_of_ggml(t->type)];
    bool vector = role->kind == ROLE_VECTOR || role->kind == ROLE_BIAS ||
                  role->kind == ROLE_QKV_BIAS || role->kind == ROLE_FREQS;
    if (vector && info->block_values != 1)
        return error_set_param(err, STATUS_UNSUPPORTED, t->name,
                               "tensor '%s' has type %s; it must be F32, F16 or BF16", t->name,
                               info->name);
    return STATUS_OK;
}

enum status roles_check(const struct gguf *gguf, const struct shape *shape, struct error *err)
{
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        enum status status = check_tensor(gguf_tensor_at(gguf, i), shape, err);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t i = 0; i < n_tensor_roles; i++) {
        const struct tensor_role *role = &tensor_roles[i];
        size_t n = role->per_layer ? shape->n_layers : 1;
        for (size_t layer = 0; layer < n && arch_is(shape, role->needed); layer++) {
            if (role_find(gguf, role, layer) != NULL)
                continue;
            char name[64];
            role_name(role, layer, name);
            return error_set_param(err, STATUS_FORMAT, name,
                                   "tensor '%s' is missing; a %s model of %zu layers needs it",
                                   name, shape->arch, shape->n_layers);
        }
    }
    return STATUS_OK;
}
