/* keys.c - a model's hyper-parameters from its file's keys, each checked for its range, and
 * the refusal of every key that would change the arithmetic in a way that is not built.
 *
 * Defaults and names as llama.cpp has them. Pure functions; any thread. Knows nothing of tensors'
 * data.
 */
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How far a hyper-parameter may go: beyond what any model has, and far below where a product of two
 * would overflow. */
enum {
    MAX_LAYERS = 1024,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1024,
    MAX_EMBD = 1 << 17,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_CONTEXT = 1 << 24,
};

struct reader {
    const struct gguf *gguf;
    const char *prefix; /* the architecture's name */
    char key[128];      /* of the last read */
    struct error *err;
};

static const char *full_key(struct reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->prefix, suffix);
    return r->key;
}

/* An integer in low..high; absent: fallback, or an error where fallback is 0. */
static enum status read_size(struct reader *r, const char *suffix, size_t low, size_t high,
                             size_t fallback, size_t *out)
{
    uint64_t value = fallback;
    bool found;
    enum status status =
        gguf_get_u64(r->gguf, full_key(r, suffix), &value, fallback != 0 ? &found : NULL, r->err);
    if (status != STATUS_OK)
        return status;
    if (value < low || value > high)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %llu; it must be %zu to %zu", r->key,
                               (unsigned long long)value, low, high);
    *out = (size_t)value;
    return STATUS_OK;
}

/* A finite number in low..high; absent: *out stays. */
static enum status read_real(struct reader *r, const char *suffix, double low, double high,
                             float *out)
{
    float value = *out;
    bool found;
    enum status status = gguf_get_f32(r->gguf, full_key(r, suffix), &value, &found, r->err);
    if (status != STATUS_OK)
        return status;
    if (found && !((double)value >= low && (double)value <= high))
        return error_set_param(r->err, STATUS_FORMAT, r->key, "key '%s' is %g; it must be %g to %g",
                               r->key, (double)value, low, high);
    *out = value;
    return STATUS_OK;
}

static enum status read_dimensions(struct reader *r, struct shape *s)
{
    enum status status;
    if ((status = read_size(r, "block_count", 1, MAX_LAYERS, 0, &s->n_layers)) != STATUS_OK ||
        (status = read_size(r, "embedding_length", 1, MAX_EMBD, 0, &s->n_embd)) != STATUS_OK ||
        (status = read_size(r, "feed_forward_length", 1, MAX_FF, 0, &s->n_ff)) != STATUS_OK ||
        (status = read_size(r, "context_length", 1, MAX_CONTEXT, 0, &s->n_context_train)) !=
            STATUS_OK ||
        (status = read_size(r, "attention.head_count", 1, MAX_HEADS, 0, &s->n_heads)) !=
            STATUS_OK ||
        (status = read_size(r, "attention.head_count_kv", 1, s->n_heads, s->n_heads,
                            &s->n_kv_heads)) != STATUS_OK)
        return status;
    if (s->n_heads % s->n_kv_heads != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %zu; it must divide the %zu heads", r->key,
                               s->n_kv_heads, s->n_heads);
    return STATUS_OK;
}

/* The head size: keys and values alike, from its own keys or from the embedding's width. */
static enum status read_head_dim(struct reader *r, struct shape *s)
{
    size_t even_share = s->n_embd % s->n_heads == 0 ? s->n_embd / s->n_heads : 0;
    size_t value_dim;
    enum status status;
    if (even_share == 0 && gguf_find(r->gguf, full_key(r, "attention.key_length")) == NULL)
        return error_set_param(
            r->err, STATUS_FORMAT, r->key,
            "the embedding length %zu is not a multiple of the %zu heads, and key '%s' is missing",
            s->n_embd, s->n_heads, r->key);
    if ((status = read_size(r, "attention.value_length", 1, MAX_HEAD_DIM, even_share,
                            &value_dim)) != STATUS_OK ||
        (status = read_size(r, "attention.key_length", 1, MAX_HEAD_DIM, even_share,
                            &s->head_dim)) != STATUS_OK)
        return status;
    if (s->head_dim != value_dim)
        return error_set_param(
            r->err, STATUS_UNSUPPORTED, r->key,
            "keys of length %zu and values of length %zu; only equal lengths are supported",
            s->head_dim, value_dim);
    if (s->head_dim % 2 != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "the head size is %zu; it must be even", s->head_dim);
    return STATUS_OK;
}

static enum status read_scaling_type(struct reader *r, struct shape *s)
{
    struct gguf_string type = {"linear", 6};
    bool found;
    enum status status =
        gguf_get_string(r->gguf, full_key(r, "rope.scaling.type"), &type, &found, r->err);
    if (status != STATUS_OK)
        return status;
    if (type.n == 4 && memcmp(type.bytes, "none", 4) == 0)
        s->rope_scaling = ROPE_SCALING_NONE;
    else if (type.n == 6 && memcmp(type.bytes, "linear", 6) == 0)
        s->rope_scaling = ROPE_SCALING_LINEAR;
    else if (type.n == 4 && memcmp(type.bytes, "yarn", 4) == 0)
        s->rope_scaling = ROPE_SCALING_YARN;
    else
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' is '%.*s'; none, linear and yarn are supported", r->key,
                               (int)(type.n < 32 ? type.n : 32), type.bytes);
    return STATUS_OK;
}

/* rope.scaling.factor or its old name; 0 means none. Below 1 positions would be spread, which no
 * model does. */
static enum status read_scale_factor(struct reader *r, struct shape *s)
{
    enum status status;
    bool named = gguf_find(r->gguf, full_key(r, "rope.scaling.factor")) != NULL;
    s->rope_scale_factor = 0;
    if ((status = read_real(r, named ? "rope.scaling.factor" : "rope.scale_linear", 0, 4096,
                            &s->rope_scale_factor)) != STATUS_OK)
        return status;
    if (s->rope_scale_factor == 0 || s->rope_scaling == ROPE_SCALING_NONE)
        s->rope_scale_factor = 1;
    if (s->rope_scale_factor < 1)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %g; it must be 1 to 4096", r->key,
                               (double)s->rope_scale_factor);
    if (s->rope_scaling == ROPE_SCALING_LINEAR && s->rope_scale_factor == 1)
        s->rope_scaling = ROPE_SCALING_NONE;
    return STATUS_OK;
}

static enum status read_rope(struct reader *r, struct shape *s)
{
    enum status status;
    s->rope_base = 10000.0f;
    s->yarn_attn_factor = 1;
    s->yarn_beta_fast = 32;
    s->yarn_beta_slow = 1;
    if ((status = read_size(r, "rope.dimension_count", 2, s->head_dim, s->head_dim,
                            &s->rope_dim)) != STATUS_OK)
        return status;
    if (s->rope_dim % 2 != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key, "key '%s' is %zu; it must be even",
                               r->key, s->rope_dim);
    if ((status = read_real(r, "rope.freq_base", 1.0 + 1e-6, 1e12, &s->rope_base)) != STATUS_OK ||
        (status = read_scaling_type(r, s)) != STATUS_OK ||
        (status = read_scale_factor(r, s)) != STATUS_OK)
        return status;
    bool yarn = s->rope_scaling == ROPE_SCALING_YARN;
    s->yarn_ext_factor = yarn ? 1 : 0;
    if ((status = read_size(r, "rope.scaling.original_context_length", 1, MAX_CONTEXT,
                            s->n_context_train, &s->rope_original_context)) != STATUS_OK ||
        (status = read_real(r, "rope.scaling.attn_factor", 1e-3, 1e3, &s->yarn_attn_factor)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, &s->yarn_beta_fast)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, &s->yarn_beta_slow)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_ext_factor", 0, 1, &s->yarn_ext_factor)) !=
            STATUS_OK)
        return status;
    if (!yarn && s->yarn_ext_factor != 0)
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' is %g, but the scaling type is not yarn", r->key,
                               (double)s->yarn_ext_factor);
    return STATUS_OK;
}

/* The keys known after the architecture's prefix. */
enum key_rule {
    KEY_READ,  /* honoured: read above */
    KEY_ROPE,  /* honoured where the architecture rotates */
    KEY_INERT, /* says nothing about the arithmetic */
    KEY_ZERO,  /* only 0 or false: otherwise a part that is not built */
    KEY_ONE,   /* only 1, or 0 for none: a factor that is not built */
    KEY_TRUE,
};

static const struct {
    const char *suffix;
    enum key_rule rule;
} rules[] = {
    {"context_length", KEY_READ},
    {"embedding_length", KEY_READ},
    {"block_count", KEY_READ},
    {"feed_forward_length", KEY_READ},
    {"vocab_size", KEY_READ},
    {"attention.head_count", KEY_READ},
    {"attention.head_count_kv", KEY_READ},
    {"attention.key_length", KEY_READ},
    {"attention.value_length", KEY_READ},
    {"attention.layer_norm_rms_epsilon", KEY_READ},
    {"attention.layer_norm_epsilon", KEY_READ},
    {"rope.dimension_count", KEY_ROPE},
    {"rope.freq_base", KEY_ROPE},
    {"rope.scale_linear", KEY_ROPE},
    {"rope.scaling.type", KEY_ROPE},
    {"rope.scaling.factor", KEY_ROPE},
    {"rope.scaling.original_context_length", KEY_ROPE},
    {"rope.scaling.attn_factor", KEY_ROPE},
    {"rope.scaling.yarn_ext_factor", KEY_ROPE},
    {"rope.scaling.yarn_beta_fast", KEY_ROPE},
    {"rope.scaling.yarn_beta_slow", KEY_ROPE},
    {"rope.scaling.yarn_attn_factor", KEY_ONE},
    {"rope.scaling.yarn_log_multiplier", KEY_ZERO},
    {"rope.scaling.finetuned", KEY_INERT},
    {"tensor_data_layout", KEY_INERT},
    {"expert_count", KEY_ZERO},
    {"expert_used_count", KEY_ZERO},
    {"expert_shared_count", KEY_ZERO},
    {"leading_dense_block_count", KEY_ZERO},
    {"nextn_predict_layers", KEY_ZERO},
    {"attention.sliding_window", KEY_ZERO},
    {"attention.clamp_kqv", KEY_ZERO},
    {"attention.max_alibi_bias", KEY_ZERO},
    {"attention.scale", KEY_ZERO},
    {"attn_logit_softcapping", KEY_ZERO},
    {"final_logit_softcapping", KEY_ZERO},
    {"use_parallel_residual", KEY_ZERO},
    {"pooling_type", KEY_ZERO},
    {"logit_scale", KEY_ONE},
    {"residual_scale", KEY_ONE},
    {"embedding_scale", KEY_ONE},
    {"attention.causal", KEY_TRUE},
};

/* A single number or bool as a number; NaN for anything else. */
static double number_of(const struct gguf *gguf, const struct gguf_value *v, const char *key)
{
    uint64_t u;
    float f;
    bool b;
    if (gguf_get_f32(gguf, key, &f, NULL, NULL) == STATUS_OK)
        return (double)f;
    if (gguf_get_bool(gguf, key, &b, NULL, NULL) == STATUS_OK)
        return b ? 1 : 0;
    if (v->type != GGUF_ARRAY && gguf_get_u64(gguf, key, &u, NULL, NULL) == STATUS_OK)
        return (double)u;
    return (double)NAN;
}

static enum status check_key(struct reader *r, const struct arch *arch, const struct gguf_value *v)
{
    size_t n_prefix = strlen(arch->name) + 1;
    snprintf(r->key, sizeof r->key, "%.*s", (int)(v->key.n < 127 ? v->key.n : 127), v->key.bytes);
    size_t i = 0, n = sizeof rules / sizeof rules[0];
    while (i < n && strcmp(rules[i].suffix, r->key + n_prefix) != 0)
        i++;
    if (i == n || (rules[i].rule == KEY_ROPE && arch->rope == ROPE_NONE))
        return error_set_param(
            r->err, STATUS_UNSUPPORTED, r->key,
            "key '%s' is not known for %s; it may change the arithmetic, so the file is refused",
            r->key, arch->name);
    enum key_rule rule = rules[i].rule;
    if (rule == KEY_READ || rule == KEY_ROPE || rule == KEY_INERT)
        return STATUS_OK;
    double x = number_of(r->gguf, v, r->key);
    bool neutral = rule == KEY_TRUE ? x == 1 : x == 0 || (rule == KEY_ONE && x == 1);
    if (!neutral)
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' asks for a part that is not supported; only %s is", r->key,
                               rule == KEY_ZERO  ? "0"
                               : rule == KEY_ONE ? "1"
                                                 : "true");
    return STATUS_OK;
}

/* Keys outside the architecture's prefix that say the file is not one whole model in today's
 * formats. */
static enum status check_general(struct reader *r)
{
    static const char version_key[] = "general.quantization_version";
    uint64_t version = 2;
    bool found;
    enum status status = gguf_get_u64(r->gguf, version_key, &version, &found, r->err);
    if (status != STATUS_OK)
        return status;
    if (version != 2)
        return error_set_param(r->err, STATUS_UNSUPPORTED, version_key,
                               "key '%s' is %llu: blocks of another quantization version; version "
                               "2 is supported",
                               version_key, (unsigned long long)version);
    struct gguf_string type = {"model", 5};
    status = gguf_get_string(r->gguf, "general.type", &type, &found, r->err);
    if (status == STATUS_OK && (type.n != 5 || memcmp(type.bytes, "model", 5) != 0))
        return error_set_param(r->err, STATUS_UNSUPPORTED, "general.type",
                               "the file is of type '%.*s', not a model",
                               (int)(type.n < 32 ? type.n : 32), type.bytes);
    return status;
}

enum status arch_read_keys(struct shape *out, const struct gguf *gguf, const struct arch *arch,
                           struct error *err)
{
    struct reader r = {.gguf = gguf, .prefix = arch->name, .err = err};
    struct shape s = {
        .arch = arch->name,
        .norm = arch->norm,
        .ffn = arch->ffn,
        .rope = arch->rope,
        .learned_positions = arch->learned_positions,
    };
    enum status status;
    if ((status = check_general(&r)) != STATUS_OK)
        return status;
    size_t n_prefix = strlen(arch->name);
    for (size_t i = 0; i < gguf_n_values(gguf); i++) {
        const struct gguf_value *v = gguf_value_at(gguf, i);
        bool ours = v->key.n > n_prefix && memcmp(v->key.bytes, arch->name, n_prefix) == 0 &&
                    v->key.bytes[n_prefix] == '.';
        if (ours && (status = check_key(&r, arch, v)) != STATUS_OK)
            return status;
    }
    if ((status = read_dimensions(&r, &s)) != STATUS_OK ||
        (status = read_head_dim(&r, &s)) != STATUS_OK)
        return status;
    if (gguf_find(gguf, full_key(&r, arch->eps_key)) == NULL)
        return error_set_param(err, STATUS_FORMAT, r.key, "key '%s' is missing; an f32 is needed",
                               r.key);
    if ((status = read_real(&r, arch->eps_key, 1e-30, 0.999, &s.norm_eps)) != STATUS_OK)
        return status;
    if (arch->rope != ROPE_NONE && (status = read_rope(&r, &s)) != STATUS_OK)
        return status;
    *out = s;
    return STATUS_OK;
}
