/* keys.c - a model's hyper-parameters from its file's keys, each checked for its range, and
 * the refusal of every key that would change the arithmetic in a way that is not built.
 *
 * Defaults and names as llama.cpp has them. Pure functions; any thread. Knows nothing of tensors'
 * data.
 */
#include "model/key_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The layers, and the blocks after them that only speculation needs. */
static enum status read_blocks(struct key_reader *r, struct shape *s)
{
    size_t n_blocks;
    enum status status = read_size(r, "block_count", 1, MODEL_MAX_LAYERS, 0, &n_blocks);
    if (status == STATUS_OK && has_key(r, "nextn_predict_layers"))
        status = read_size(r, "nextn_predict_layers", 0, n_blocks - 1, 1, &s->n_skipped);
    if (status == STATUS_OK)
        s->n_layers = n_blocks - s->n_skipped;
    return status;
}

static enum status read_dimensions(struct key_reader *r, struct shape *s)
{
    enum status status;
    if ((status = read_blocks(r, s)) != STATUS_OK ||
        (status = read_size(r, "embedding_length", 1, MAX_EMBD, 0, &s->n_embd)) != STATUS_OK ||
        (status = read_size(r, "context_length", 1, MAX_CONTEXT, 0, &s->n_context_train)) !=
            STATUS_OK ||
        (status = read_alike(r, s, "attention.head_count", MAX_HEADS, 0, &s->n_heads)) !=
            STATUS_OK ||
        (status = read_alike(r, s, "attention.head_count_kv", s->n_heads, s->n_heads,
                             &s->n_kv_heads)) != STATUS_OK)
        return status;
    if (s->n_heads % s->n_kv_heads != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %zu; it must divide the %zu heads", r->key,
                               s->n_kv_heads, s->n_heads);
    return STATUS_OK;
}

/* The head size: keys and values alike, from its own keys or from the embedding's width. */
static enum status read_head_dim(struct key_reader *r, struct shape *s)
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

/* The factors and caps of a family; what it has not stays neutral. */
static enum status read_factors(struct key_reader *r, struct shape *s)
{
    const struct arch *arch = r->arch;
    float divisor = 1, scale = 0;
    enum status status = STATUS_OK;
    s->embedding_scale = (arch->traits & TRAIT_EMBED_ROOT) != 0 ? sqrtf((float)s->n_embd) : 1;
    s->residual_scale = s->logit_scale = 1;
    s->attention_softcap = arch->softcap;
    s->logit_softcap = arch->logit_softcap;
    if ((arch->traits & TRAIT_SCALES) != 0 &&
        ((status = read_real(r, "embedding_scale", 0, 1e6, &s->embedding_scale)) != STATUS_OK ||
         (status = read_real(r, "residual_scale", 0, 1e6, &s->residual_scale)) != STATUS_OK ||
         (status = read_real(r, "logit_scale", 0, 1e6, &divisor)) != STATUS_OK))
        return status;
    s->embedding_scale = s->embedding_scale != 0 ? s->embedding_scale : 1;
    s->residual_scale = s->residual_scale != 0 ? s->residual_scale : 1;
    s->logit_scale = divisor != 0 ? 1 / divisor : 1;
    if ((status = read_real(r, "attention.scale", 0, 1e6, &scale)) != STATUS_OK)
        return status;
    const bool root = arch->root_scaled_of != 0 && s->n_layers == arch->root_scaled_of;
    const size_t share = s->n_embd / s->n_heads;
    s->attention_scale = scale != 0 ? scale
                         : root     ? 1.0f / sqrtf((float)share)
                                    : 1.0f / sqrtf((float)s->head_dim);
    if ((arch->traits & TRAIT_ATTN_SOFTCAP) != 0 &&
        (status = read_real(r, "attn_logit_softcapping", 0, 1e6, &s->attention_softcap)) !=
            STATUS_OK)
        return status;
    if ((arch->traits & TRAIT_LOGIT_SOFTCAP) != 0)
        status = read_real(r, "final_logit_softcapping", 0, 1e6, &s->logit_softcap);
    return status;
}

/* Queries scaled by their position. */
static enum status read_temperature(struct key_reader *r, struct shape *s)
{
    if ((r->arch->traits & TRAIT_TEMPERATURE) == 0)
        return STATUS_OK;
    s->temperature_context = s->rotations[ROTATION_MAIN].original_context;
    return read_real(r, "attention.temperature_scale", 0, 1e3, &s->temperature);
}

enum { MAX_TOKEN_TYPES = 64 };

const char *const pooling_names[POOLINGS] = {
    [POOLING_NONE] = "none", [POOLING_MEAN] = "mean", [POOLING_CLS] = "cls",
    [POOLING_LAST] = "last", [POOLING_RANK] = "rank",
};

/* Absent: none. */
static enum status read_pooling(struct key_reader *r, struct shape *s)
{
    size_t pooling = POOLING_NONE;
    if (!has_key(r, "pooling_type"))
        return STATUS_OK;
    enum status status = read_size(r, "pooling_type", 0, POOLINGS - 1, 0, &pooling);
    s->pooling = (enum pooling)pooling;
    return status;
}

static enum status read_encoder(struct key_reader *r, struct shape *s)
{
    static const char types_key[] = "tokenizer.ggml.token_type_count";
    bool causal = false, found;
    uint64_t n_types = 0;
    enum status status =
        gguf_get_bool(r->gguf, full_key(r, "attention.causal"), &causal, &found, r->err);
    s->encoder = true;
    if (status == STATUS_OK && causal)
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' asks for a part that is not supported; only false is",
                               r->key);
    if (status == STATUS_OK && (r->arch->traits & TRAIT_BERT_NORMS) != 0)
        status = gguf_get_u64(r->gguf, types_key, &n_types, NULL, r->err);
    if (status == STATUS_OK && (r->arch->traits & TRAIT_BERT_NORMS) != 0 &&
        (n_types < 1 || n_types > MAX_TOKEN_TYPES))
        return error_set_param(r->err, STATUS_FORMAT, types_key,
                               "key '%s' is %llu; it must be 1 to "
                               "%d",
                               types_key, (unsigned long long)n_types, (int)MAX_TOKEN_TYPES);
    s->n_token_types = (size_t)n_types;
    for (size_t i = 0; i < s->n_layers; i++) { /* half of a window lies on each side */
        struct layer_shape *l = &s->layers[i];
        l->around = l->window > 0 ? l->window / 2 + 1 : 0;
        l->window = 0; /* so that all of a text's keys are there */
    }
    return status;
}

/* The keys known after the architecture's prefix. */
enum key_rule {
    KEY_READ,  /* honoured: read above */
    KEY_ROPE,  /* honoured where the architecture rotates */
    KEY_INERT, /* says nothing about the arithmetic */
    KEY_ZERO,  /* only 0 or false: otherwise a part that is not built */
    KEY_ONE,   /* only 1, or 0 for none: a factor that is not built */
    KEY_TRUE,
    KEY_UNKNOWN, /* where no trait of the architecture says otherwise */
};

static const struct {
    const char *suffix;
    enum key_rule rule;
    uint64_t read_with;  /* with any of these traits: honoured */
    uint64_t inert_with; /* with any of these: says nothing here */
} rules[] = {
    {"context_length", KEY_READ, 0, 0},
    {"embedding_length", KEY_READ, 0, 0},
    {"block_count", KEY_READ, 0, 0},
    {"feed_forward_length", KEY_READ, 0, 0},
    {"vocab_size", KEY_READ, 0, 0},
    {"attention.head_count", KEY_READ, 0, 0},
    {"attention.head_count_kv", KEY_READ, 0, 0},
    {"attention.key_length", KEY_READ, 0, 0},
    {"attention.value_length", KEY_READ, 0, 0},
    {"attention.layer_norm_rms_epsilon", KEY_READ, 0, 0},
    {"attention.layer_norm_epsilon", KEY_READ, 0, 0},
    {"rope.dimension_count", KEY_ROPE, 0, 0},
    {"rope.freq_base", KEY_ROPE, 0, 0},
    {"rope.scale_linear", KEY_ROPE, 0, 0},
    {"rope.scaling.type", KEY_ROPE, 0, 0},
    {"rope.scaling.factor", KEY_ROPE, 0, 0},
    {"rope.scaling.original_context_length", KEY_ROPE, 0, 0},
    {"rope.scaling.attn_factor", KEY_ROPE, 0, 0},
    {"rope.scaling.yarn_ext_factor", KEY_ROPE, 0, 0},
    {"rope.scaling.yarn_beta_fast", KEY_ROPE, 0, 0},
    {"rope.scaling.yarn_beta_slow", KEY_ROPE, 0, 0},
    {"rope.scaling.yarn_attn_factor", KEY_INERT, 0, 0}, /* the converter's; yarn has its formula */
    {"rope.scaling.yarn_log_multiplier", KEY_ZERO, TRAIT_YARN_LOG, 0},
    {"rope.scaling.alpha", KEY_ZERO, TRAIT_ROPE_ALPHA, 0},
    {"rope.freq_base_swa", KEY_UNKNOWN, TRAIT_WINDOWS, 0},
    {"rope.dimension_sections", KEY_UNKNOWN, 0, TRAIT_SECTIONS},
    {"n_deepstack_layers", KEY_UNKNOWN, 0, TRAIT_SECTIONS},
    {"rope.scaling.finetuned", KEY_INERT, 0, 0},
    {"tensor_data_layout", KEY_INERT, 0, 0},
    {"expert_count", KEY_ZERO, TRAIT_EXPERTS, 0},
    {"expert_used_count", KEY_ZERO, TRAIT_EXPERTS, 0},
    {"expert_shared_count", KEY_ZERO, TRAIT_SHARED, 0},
    {"expert_feed_forward_length", KEY_UNKNOWN, TRAIT_EXPERTS, 0},
    {"expert_shared_feed_forward_length", KEY_ZERO, TRAIT_SHARED, 0},
    {"expert_gating_func", KEY_UNKNOWN, TRAIT_EXPERTS, 0},
    {"expert_weights_norm", KEY_UNKNOWN, TRAIT_EXPERTS, 0},
    {"expert_weights_scale", KEY_ONE, TRAIT_EXPERTS, 0},
    {"expert_group_count", KEY_ONE, 0, 0},
    {"expert_group_used_count", KEY_ONE, 0, 0},
    {"leading_dense_block_count", KEY_ZERO, TRAIT_DENSE_LEAD, 0},
    {"interleave_moe_layer_step", KEY_ONE, TRAIT_DENSE_LEAD, 0},
    {"nextn_predict_layers", KEY_ZERO, TRAIT_SPECULATES, 0},
    {"attention.sliding_window", KEY_ZERO, TRAIT_WINDOWS, TRAIT_IGNORES_WINDOW},
    {"attention.sliding_window_pattern", KEY_UNKNOWN, TRAIT_WINDOWS, 0},
    {"attention.temperature_scale", KEY_UNKNOWN, TRAIT_TEMPERATURE, 0},
    {"attention.temperature_length", KEY_UNKNOWN, 0, TRAIT_TEMPERATURE},
    {"full_attention_interval", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"attention.recurrent_layers", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"ssm.conv_kernel", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"ssm.state_size", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"ssm.group_count", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"ssm.time_step_rank", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"ssm.inner_size", KEY_UNKNOWN, TRAIT_DELTA, 0},
    {"attention.clamp_kqv", KEY_ZERO, 0, 0},
    {"attention.max_alibi_bias", KEY_ZERO, 0, 0},
    {"attention.scale", KEY_READ, 0, 0},
    {"attn_logit_softcapping", KEY_ZERO, TRAIT_ATTN_SOFTCAP, 0},
    {"final_logit_softcapping", KEY_ZERO, TRAIT_LOGIT_SOFTCAP, 0},
    {"use_parallel_residual", KEY_ZERO, 0, 0},
    {"pooling_type", KEY_READ, 0, 0},
    {"dense_2_feat_in", KEY_UNKNOWN, TRAIT_VECTOR_DENSE, 0},
    {"dense_2_feat_out", KEY_UNKNOWN, TRAIT_VECTOR_DENSE, 0},
    {"dense_3_feat_in", KEY_UNKNOWN, TRAIT_VECTOR_DENSE, 0},
    {"dense_3_feat_out", KEY_UNKNOWN, TRAIT_VECTOR_DENSE, 0},
    {"logit_scale", KEY_ONE, TRAIT_SCALES, 0},
    {"residual_scale", KEY_ONE, TRAIT_SCALES, 0},
    {"embedding_scale", KEY_ONE, TRAIT_SCALES, 0},
    {"attention.causal", KEY_TRUE, TRAIT_ENCODER, 0},
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

static enum status check_key(struct key_reader *r, const struct arch *arch,
                             const struct gguf_value *v)
{
    size_t n_prefix = strlen(arch->name) + 1;
    snprintf(r->key, sizeof r->key, "%.*s", (int)(v->key.n < 127 ? v->key.n : 127), v->key.bytes);
    size_t i = 0, n = sizeof rules / sizeof rules[0];
    while (i < n && strcmp(rules[i].suffix, r->key + n_prefix) != 0)
        i++;
    if (i < n && ((rules[i].read_with | rules[i].inert_with) & arch->traits) != 0)
        return STATUS_OK;
    if (i == n || rules[i].rule == KEY_UNKNOWN ||
        (rules[i].rule == KEY_ROPE && arch->rope == ROPE_NONE))
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
static enum status check_general(struct key_reader *r)
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
    struct key_reader r = {.gguf = gguf, .arch = arch, .err = err};
    struct shape s = {
        .arch = arch->name,
        .norm = arch->norm,
        .ffn = arch->ffn,
        .rope = arch->rope,
        .learned_positions = (arch->traits & TRAIT_LEARNED_POSITIONS) != 0,
        .norms_after_rope = (arch->traits & TRAIT_NORMS_AFTER_ROPE) != 0,
        .traits = arch->traits,
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
    const char *eps_key = arch->norm == NORM_LAYER ? "attention.layer_norm_epsilon"
                                                   : "attention.layer_norm_rms_epsilon";
    if (!has_key(&r, eps_key))
        return error_set_param(err, STATUS_FORMAT, r.key, "key '%s' is missing; an f32 is needed",
                               r.key);
    if ((status = read_real(&r, eps_key, 1e-30, 0.999, &s.norm_eps)) != STATUS_OK)
        return status;
    if (arch->rope != ROPE_NONE && (status = read_rope(&r, &s)) != STATUS_OK)
        return status;
    if ((status = read_experts(&r, &s)) != STATUS_OK ||
        (status = read_layers(&r, &s)) != STATUS_OK ||
        (status = read_factors(&r, &s)) != STATUS_OK ||
        (status = read_temperature(&r, &s)) != STATUS_OK ||
        (status = read_pooling(&r, &s)) != STATUS_OK)
        return status;
    if ((arch->traits & TRAIT_ENCODER) != 0 && (status = read_encoder(&r, &s)) != STATUS_OK)
        return status;
    *out = s;
    return STATUS_OK;
}
