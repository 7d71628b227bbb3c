/* honoured_keys.h - does a loaded model's shape say what its file's keys say? Test code: aborts
 * with Check's message.
 */
#pragma once

#include "torture/honoured_words.h"

/* One key after the architecture's prefix: the model's value for it; NaN: the key is not known. */
static inline double honoured_shape(const struct shape *s, const char *suffix, size_t n)
{
    const struct {
        const char *suffix;
        double value;
    } keys[] = {
        {"context_length", (double)s->n_context_train},
        {"embedding_length", (double)s->n_embd},
        {"block_count", (double)(s->n_layers + s->n_skipped)},
        {"nextn_predict_layers", (double)s->n_skipped},
        {"feed_forward_length", (double)(s->n_ff > 0 ? s->n_ff : s->n_ff_expert)},
        {"attention.head_count", (double)s->n_heads},
        {"attention.head_count_kv", (double)s->n_kv_heads},
        {"vocab_size", (double)s->n_vocab},
        {"attention.key_length", (double)s->head_dim},
        {"attention.value_length", (double)s->head_dim},
        {"attention.layer_norm_epsilon", (double)s->norm_eps},
        {"attention.layer_norm_rms_epsilon", (double)s->norm_eps},
        {"attention.causal", s->encoder ? 0 : 1},
        {"attention.scale", (double)s->attention_scale},
        {"attention.temperature_scale", (double)s->temperature},
        {"final_logit_softcapping", (double)s->logit_softcap},
        {"pooling_type", (double)s->pooling},
        {"rope.freq_base", (double)s->rotations[0].base},
        {"rope.freq_base_swa", (double)s->rotations[1].base},
        {"rope.scaling.attn_factor", (double)s->rotations[0].attn_factor},
        {"rope.scaling.yarn_beta_fast", (double)s->rotations[0].beta_fast},
        {"rope.scaling.yarn_beta_slow", (double)s->rotations[0].beta_slow},
        {"rope.scaling.yarn_log_multiplier", (double)s->rotations[0].log_multiplier},
        {"rope.dimension_count", (double)s->rotations[0].dim},
        {"rope.scaling.original_context_length", (double)s->rotations[0].original_context},
        {"expert_count", (double)s->routing.n_experts},
        {"expert_used_count", (double)s->routing.n_used},
        {"expert_feed_forward_length", (double)s->n_ff_expert},
        {"expert_shared_feed_forward_length", (double)s->n_ff_shared},
        {"expert_weights_norm", s->routing.renormalised ? 1 : 0},
        {"expert_weights_scale", (double)s->routing.scale},
        {"ssm.conv_kernel", (double)s->delta.n_taps},
        {"ssm.state_size", (double)s->delta.size},
        {"ssm.group_count", (double)s->delta.n_key_heads},
        {"ssm.time_step_rank", (double)s->delta.n_value_heads},
        {"dense_2_feat_in", (double)s->n_embd},
        {"dense_2_feat_out", (double)s->n_vector_dense},
        {"dense_3_feat_in", (double)s->n_vector_dense},
        {"dense_3_feat_out", (double)s->n_embd},
        {"ssm.inner_size", (double)delta_inner(&s->delta)},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (text_is(suffix, n, keys[i].suffix))
            return keys[i].value;
    }
    return (double)NAN;
}

static inline void honoured_scaling(const struct gguf_fields *f, const struct shape *s)
{
    char key[64];
    double factor = 0;
    struct gguf_string type = {"linear", 6};
    snprintf(key, sizeof key, "%s.rope.scaling.factor", s->arch);
    const struct fields_value *v = fields_find(f, key);
    if (v != NULL)
        factor = honoured_number(f, v);
    snprintf(key, sizeof key, "%s.rope.scaling.type", s->arch);
    if ((v = fields_find(f, key)) != NULL)
        type = honoured_string(f, v->at);
    bool yarn = text_is(type.bytes, type.n, "yarn");
    bool scaled = text_is(type.bytes, type.n, "linear") && factor != 0 && factor != 1;
    HOLDS(s->rotations[0].scaling == (yarn     ? ROPE_SCALING_YARN
                                      : scaled ? ROPE_SCALING_LINEAR
                                               : ROPE_SCALING_NONE));
    HOLDS((double)s->rotations[0].factor == (yarn || scaled ? fmax(factor, 1) : 1));
}

/* A key's number, or that of the first layer; fallback where it is absent. */
static inline double honoured_first(const struct gguf_fields *f, const struct shape *s,
                                    const char *suffix, double fallback)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", s->arch, suffix);
    const struct fields_value *v = fields_find(f, key);
    if (v == NULL)
        return fallback;
    struct fields_value first = *v;
    first.type = v->element_type;
    HOLDS(v->n > 0 && fields_width(first.type) != 0);
    return honoured_number(f, &first);
}

/* Layers of which the last sees all, where no key says how many; 0: no layer has a window. */
static inline double honoured_pattern(const struct shape *s)
{
    static const struct {
        const char *arch;
        double pattern;
    } patterns[] = {{"gpt-oss", 2}, {"olmo2", 4}, {"gemma3", 6}, {"gemma-embedding", 6}};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (strcmp(s->arch, patterns[i].arch) == 0)
            return patterns[i].pattern;
    }
    return 0;
}

/* What the keys say of the first layer, which is the only one. */
static inline void honoured_layer(const struct gguf_fields *f, const struct shape *s)
{
    static const char pattern_key[] = "attention.sliding_window_pattern";
    const struct layer_shape *l = &s->layers[0];
    const double usual = honoured_pattern(s);
    const double pattern = honoured_first(f, s, pattern_key, usual);
    const double window = honoured_first(f, s, "attention.sliding_window", 0);
    char key[96];
    snprintf(key, sizeof key, "%s.%s", s->arch, pattern_key);
    const struct fields_value *v = fields_find(f, key);
    const bool windowed =
        usual > 0 && (v != NULL && v->type == GGUF_ARRAY ? pattern == 1 : pattern > 1);
    const double seen = windowed ? window : 0; /* an encoder's lies on both sides */
    HOLDS((double)l->window == (s->encoder ? 0 : seen));
    HOLDS((double)l->around == (s->encoder && seen > 0 ? floor(seen / 2) + 1 : 0));
    if (strcmp(s->arch, "qwen35") == 0) {
        double recurrent = honoured_first(f, s, "full_attention_interval", 4) > 1;
        recurrent = honoured_first(f, s, "attention.recurrent_layers", recurrent);
        HOLDS((l->mixer == MIXER_DELTA) == (recurrent != 0));
    }
    if (strcmp(s->arch, "ernie4_5-moe") == 0)
        HOLDS(l->has_experts == (honoured_first(f, s, "leading_dense_block_count", 0) == 0 &&
                                 honoured_first(f, s, "interleave_moe_layer_step", 1) == 1));
}

/* Keys that honoured_scaling and honoured_layer look at, and those that say nothing beside others.
 */
static inline bool honoured_elsewhere(const struct shape *s, const char *suffix, size_t n,
                                      double value)
{
    static const char *const elsewhere[] = {
        "rope.scaling.type",          "rope.scaling.factor",
        "attention.sliding_window",   "full_attention_interval",
        "attention.recurrent_layers", "attention.sliding_window_pattern",
        "leading_dense_block_count",  "interleave_moe_layer_step",
    };
    static const char *const none_at_0[] = {"attention.scale", "expert_weights_scale"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        if (text_is(suffix, n, elsewhere[i]))
            return true;
    }
    for (size_t i = 0; i < sizeof none_at_0 / sizeof none_at_0[0]; i++) {
        if (text_is(suffix, n, none_at_0[i]) && value == 0)
            return true;
    }
    /* of layers with one FFN, where experts have a width of their own */
    return text_is(suffix, n, "feed_forward_length") && s->layers[0].has_experts &&
           strcmp(s->arch, "ernie4_5-moe") == 0;
}

static inline void honoured_keys(const struct gguf_fields *f, const struct model *m)
{
    const struct shape *s = &m->shape;
    size_t n_prefix = strlen(s->arch) + 1;
    for (size_t i = 0; i < f->n_values; i++) {
        const struct fields_value *v = &f->values[i];
        for (size_t k = 0; k < i; k++)
            MUST(v->n_key != f->values[k].n_key || memcmp(v->key, f->values[k].key, v->n_key) != 0,
                 "two keys '%.*s'", (int)v->n_key, v->key);
        if (v->n_key < n_prefix || memcmp(v->key, s->arch, n_prefix - 1) != 0 ||
            v->key[n_prefix - 1] != '.')
            continue;
        const char *suffix = v->key + n_prefix;
        size_t n = v->n_key - n_prefix;
        const double value = fields_width(v->type) != 0 ? honoured_number(f, v) : (double)NAN;
        if (honoured_elsewhere(s, suffix, n, value))
            continue;
        MUST(value == honoured_shape(s, suffix, n), "key '%.*s' is not what was loaded",
             (int)v->n_key, v->key);
    }
    honoured_layer(f, s);
    if (s->rope != ROPE_NONE)
        honoured_scaling(f, s);
    const struct fields_value *v = fields_find(f, "general.quantization_version");
    HOLDS(v == NULL || honoured_number(f, v) == 2);
    v = fields_find(f, "tokenizer.ggml.token_type_count");
    HOLDS(s->n_token_types == 0 ||
          (v != NULL && honoured_number(f, v) == (double)s->n_token_types));
}
