/* families.h - what a small file of each family holds: one layer with experts, with a window, with
 * a state, or of an encoder, its keys and its tensors as tables. Test code.
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

/* Widths of tensors, in letters. */
enum {
    D_ = FILES_EMBD,
    Q_ = FILES_HEADS * FILES_HEAD_DIM,
    K_ = FILES_KV_HEADS * FILES_HEAD_DIM,
    H_ = FILES_HEAD_DIM,
    F_ = FILES_FF,
    E_ = FILES_EXPERTS,
    STATE_ = 8, /* of a delta net's heads: one for keys, two for values */
    INNER_ = 2 * STATE_,
    MIXED_ = 4 * STATE_,
    TAPS_ = 3,
    DENSE_ = 96,
};

enum family_key_kind { FAMILY_U32, FAMILY_F32, FAMILY_BOOL, FAMILY_BOOLS, FAMILY_TEXT };

struct family {
    const char *arch;
    struct family_key {
        const char *suffix;
        enum family_key_kind kind;
        double value; /* BOOLS: how many; the first is true, and no other */
        const char *text;
    } keys[20];
    struct family_tensor {
        const char *name;
        enum weight_type type;
        size_t cols, rows, depth; /* rows 0: a vector; depth: of every expert one */
    } tensors[32];
};

#define BLK "blk.0."
#define NORM(name)                                                                                 \
    {                                                                                              \
        name, WEIGHT_F32, D_, 0, 0                                                                 \
    }
#define VECTOR(name, n)                                                                            \
    {                                                                                              \
        name, WEIGHT_F32, n, 0, 0                                                                  \
    }
#define OF_EACH(name, type, cols, rows)                                                            \
    {                                                                                              \
        name, type, cols, rows, E_                                                                 \
    }
#define DENSE_FFN                                                                                  \
    {BLK "ffn_gate.weight", WEIGHT_Q4_0, D_, F_, 0},                                               \
        {BLK "ffn_up.weight", WEIGHT_Q8_0, D_, F_, 0},                                             \
    {                                                                                              \
        BLK "ffn_down.weight", WEIGHT_F16, F_, D_, 0                                               \
    }
#define QKV(q_type)                                                                                \
    {BLK "attn_q.weight", q_type, D_, Q_, 0}, {BLK "attn_k.weight", WEIGHT_F16, D_, K_, 0},        \
        {BLK "attn_v.weight", WEIGHT_Q8_0, D_, K_, 0},                                             \
    {                                                                                              \
        BLK "attn_output.weight", WEIGHT_Q4_0, Q_, D_, 0                                           \
    }

static const struct family families[] = {
    {"gpt-oss",
     {{"expert_count", FAMILY_U32, E_, NULL},
      {"expert_used_count", FAMILY_U32, 2, NULL},
      {"expert_feed_forward_length", FAMILY_U32, FILES_EXPERT_FF, NULL},
      {"attention.sliding_window", FAMILY_U32, 4, NULL},
      {"attention.key_length", FAMILY_U32, H_, NULL},
      {"attention.value_length", FAMILY_U32, H_, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.scaling.type", FAMILY_TEXT, 0, "yarn"},
      {"rope.scaling.factor", FAMILY_F32, 32, NULL},
      {"rope.scaling.original_context_length", FAMILY_U32, 4, NULL}},
     {NORM(BLK "attn_norm.weight"),
      NORM(BLK "post_attention_norm.weight"),
      QKV(WEIGHT_Q8_0),
      VECTOR(BLK "attn_q.bias", Q_),
      VECTOR(BLK "attn_k.bias", K_),
      VECTOR(BLK "attn_v.bias", K_),
      VECTOR(BLK "attn_output.bias", D_),
      VECTOR(BLK "attn_sinks.weight", FILES_HEADS),
      {BLK "ffn_gate_inp.weight", WEIGHT_F32, D_, E_, 0},
      VECTOR(BLK "ffn_gate_inp.bias", E_),
      OF_EACH(BLK "ffn_gate_exps.weight", WEIGHT_MXFP4, D_, FILES_EXPERT_FF),
      OF_EACH(BLK "ffn_up_exps.weight", WEIGHT_MXFP4, D_, FILES_EXPERT_FF),
      OF_EACH(BLK "ffn_down_exps.weight", WEIGHT_Q8_0, FILES_EXPERT_FF, D_),
      {BLK "ffn_gate_exps.bias", WEIGHT_F32, FILES_EXPERT_FF, E_, 0},
      {BLK "ffn_up_exps.bias", WEIGHT_F32, FILES_EXPERT_FF, E_, 0},
      {BLK "ffn_down_exps.bias", WEIGHT_F32, D_, E_, 0},
      NORM("output_norm.weight")}},
    {"gemma3",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"attention.sliding_window", FAMILY_U32, 4, NULL},
      {"attention.sliding_window_pattern", FAMILY_BOOLS, 1, NULL},
      {"final_logit_softcapping", FAMILY_F32, 5, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.freq_base_swa", FAMILY_F32, 100, NULL},
      {"rope.scaling.type", FAMILY_TEXT, 0, "linear"},
      {"rope.scaling.factor", FAMILY_F32, 2, NULL}},
     {NORM(BLK "attn_norm.weight"), QKV(WEIGHT_Q4_0), VECTOR(BLK "attn_q_norm.weight", H_),
      VECTOR(BLK "attn_k_norm.weight", H_), NORM(BLK "post_attention_norm.weight"),
      NORM(BLK "ffn_norm.weight"), DENSE_FFN, NORM(BLK "post_ffw_norm.weight"),
      NORM("output_norm.weight")}},
    {"olmo2",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"attention.sliding_window", FAMILY_U32, 2, NULL},
      {"attention.sliding_window_pattern", FAMILY_U32, 4, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.scaling.type", FAMILY_TEXT, 0, "yarn"},
      {"rope.scaling.factor", FAMILY_F32, 4, NULL},
      {"rope.scaling.attn_factor", FAMILY_F32, 1.25, NULL},
      {"rope.scaling.original_context_length", FAMILY_U32, 4, NULL}},
     {QKV(WEIGHT_F16), VECTOR(BLK "attn_q_norm.weight", Q_), VECTOR(BLK "attn_k_norm.weight", K_),
      NORM(BLK "post_attention_norm.weight"), DENSE_FFN, NORM(BLK "post_ffw_norm.weight"),
      NORM("output_norm.weight")}},
    {"qwen35",
     {{"block_count", FAMILY_U32, 2, NULL},
      {"nextn_predict_layers", FAMILY_U32, 1, NULL},
      {"feed_forward_length", FAMILY_U32, F_, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.dimension_count", FAMILY_U32, 8, NULL},
      {"full_attention_interval", FAMILY_U32, 4, NULL},
      {"attention.recurrent_layers", FAMILY_BOOLS, 2, NULL},
      {"ssm.conv_kernel", FAMILY_U32, TAPS_, NULL},
      {"ssm.state_size", FAMILY_U32, STATE_, NULL},
      {"ssm.group_count", FAMILY_U32, 1, NULL},
      {"ssm.time_step_rank", FAMILY_U32, 2, NULL},
      {"ssm.inner_size", FAMILY_U32, INNER_, NULL}},
     {NORM(BLK "attn_norm.weight"),
      NORM(BLK "post_attention_norm.weight"),
      {BLK "attn_qkv.weight", WEIGHT_Q8_0, D_, MIXED_, 0},
      {BLK "attn_gate.weight", WEIGHT_Q4_0, D_, INNER_, 0},
      {BLK "ssm_conv1d.weight", WEIGHT_F32, TAPS_, MIXED_, 0},
      VECTOR(BLK "ssm_dt.bias", 2),
      VECTOR(BLK "ssm_a", 2),
      {BLK "ssm_beta.weight", WEIGHT_F32, D_, 2, 0},
      {BLK "ssm_alpha.weight", WEIGHT_Q8_0, D_, 2, 0},
      VECTOR(BLK "ssm_norm.weight", STATE_),
      {BLK "ssm_out.weight", WEIGHT_F16, INNER_, D_, 0},
      DENSE_FFN,
      NORM("output_norm.weight"),
      NORM("blk.1.attn_norm.weight"),
      {"blk.1.nextn.eh_proj.weight", WEIGHT_Q8_0, 64, D_, 0}}},
    {"ernie4_5-moe",
     {{"feed_forward_length", FAMILY_U32, 64, NULL},
      {"expert_count", FAMILY_U32, E_, NULL},
      {"expert_used_count", FAMILY_U32, 1, NULL},
      {"expert_feed_forward_length", FAMILY_U32, FILES_EXPERT_FF, NULL},
      {"expert_shared_feed_forward_length", FAMILY_U32, F_, NULL},
      {"expert_weights_norm", FAMILY_BOOL, 1, NULL},
      {"expert_weights_scale", FAMILY_F32, 2, NULL},
      {"leading_dense_block_count", FAMILY_U32, 0, NULL},
      {"interleave_moe_layer_step", FAMILY_U32, 1, NULL}},
     {NORM(BLK "attn_norm.weight"),
      QKV(WEIGHT_Q4_0),
      NORM(BLK "ffn_norm.weight"),
      {BLK "ffn_gate_inp.weight", WEIGHT_F32, D_, E_, 0},
      VECTOR(BLK "exp_probs_b.bias", E_),
      OF_EACH(BLK "ffn_gate_up_exps.weight", WEIGHT_Q8_0, D_, 2 * FILES_EXPERT_FF),
      OF_EACH(BLK "ffn_down_exps.weight", WEIGHT_F16, FILES_EXPERT_FF, D_),
      {BLK "ffn_gate_shexp.weight", WEIGHT_Q8_0, D_, F_, 0},
      {BLK "ffn_up_shexp.weight", WEIGHT_Q8_0, D_, F_, 0},
      {BLK "ffn_down_shexp.weight", WEIGHT_Q4_0, F_, D_, 0},
      NORM("output_norm.weight")}},
    {"phi3",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"rope.dimension_count", FAMILY_U32, H_, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.scaling.type", FAMILY_TEXT, 0, "longrope"},
      {"rope.scaling.attn_factor", FAMILY_F32, 1.25, NULL},
      {"rope.scaling.original_context_length", FAMILY_U32, 4, NULL},
      {"attention.sliding_window", FAMILY_U32, 4, NULL}},
     {VECTOR("rope_factors_long.weight", H_ / 2),
      VECTOR("rope_factors_short.weight", H_ / 2),
      NORM(BLK "attn_norm.weight"),
      {BLK "attn_qkv.weight", WEIGHT_Q8_0, D_, Q_ + 2 * K_, 0},
      {BLK "attn_output.weight", WEIGHT_Q4_0, Q_, D_, 0},
      NORM(BLK "ffn_norm.weight"),
      {BLK "ffn_up.weight", WEIGHT_Q4_0, D_, 2 * F_, 0},
      {BLK "ffn_down.weight", WEIGHT_Q8_0, F_, D_, 0},
      NORM("output_norm.weight")}},
    {"mistral3",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"rope.scaling.type", FAMILY_TEXT, 0, "yarn"},
      {"rope.scaling.factor", FAMILY_F32, 4, NULL},
      {"rope.scaling.original_context_length", FAMILY_U32, 4, NULL},
      {"rope.scaling.yarn_beta_fast", FAMILY_F32, 16, NULL},
      {"rope.scaling.yarn_beta_slow", FAMILY_F32, 2, NULL},
      {"rope.scaling.yarn_log_multiplier", FAMILY_F32, 1, NULL},
      {"attention.temperature_scale", FAMILY_F32, 0.5, NULL},
      {"attention.scale", FAMILY_F32, 0.5, NULL}},
     {NORM(BLK "attn_norm.weight"), QKV(WEIGHT_Q8_0), NORM(BLK "ffn_norm.weight"), DENSE_FFN,
      NORM("output_norm.weight")}},
    {"gemma-embedding",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"attention.sliding_window", FAMILY_U32, 4, NULL},
      {"pooling_type", FAMILY_U32, 1, NULL},
      {"rope.freq_base", FAMILY_F32, 500, NULL},
      {"dense_2_feat_in", FAMILY_U32, D_, NULL},
      {"dense_2_feat_out", FAMILY_U32, DENSE_, NULL},
      {"dense_3_feat_in", FAMILY_U32, DENSE_, NULL},
      {"dense_3_feat_out", FAMILY_U32, D_, NULL}},
     {{"dense_2.weight", WEIGHT_Q8_0, D_, DENSE_, 0},
      {"dense_3.weight", WEIGHT_Q4_0, DENSE_, D_, 0},
      NORM(BLK "attn_norm.weight"),
      QKV(WEIGHT_Q8_0),
      VECTOR(BLK "attn_q_norm.weight", H_),
      VECTOR(BLK "attn_k_norm.weight", H_),
      NORM(BLK "post_attention_norm.weight"),
      NORM(BLK "ffn_norm.weight"),
      DENSE_FFN,
      NORM(BLK "post_ffw_norm.weight"),
      NORM("output_norm.weight")}},
    {"bert",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"attention.causal", FAMILY_BOOL, 0, NULL},
      {"pooling_type", FAMILY_U32, 4, NULL}},
     {{"cls.weight", WEIGHT_Q8_0, D_, D_, 0},
      VECTOR("cls.bias", D_),
      {"cls.output.weight", WEIGHT_F32, D_, 1, 0},
      VECTOR("cls.output.bias", 1),
      {"token_types.weight", WEIGHT_Q8_0, D_, 2, 0},
      {"position_embd.weight", WEIGHT_F16, D_, FILES_CONTEXT, 0},
      NORM("token_embd_norm.weight"),
      NORM("token_embd_norm.bias"),
      QKV(WEIGHT_Q8_0),
      VECTOR(BLK "attn_q.bias", Q_),
      VECTOR(BLK "attn_k.bias", K_),
      VECTOR(BLK "attn_v.bias", K_),
      VECTOR(BLK "attn_output.bias", D_),
      NORM(BLK "attn_output_norm.weight"),
      NORM(BLK "attn_output_norm.bias"),
      {BLK "ffn_up.weight", WEIGHT_Q8_0, D_, F_, 0},
      VECTOR(BLK "ffn_up.bias", F_),
      {BLK "ffn_down.weight", WEIGHT_Q4_0, F_, D_, 0},
      VECTOR(BLK "ffn_down.bias", D_),
      NORM(BLK "layer_output_norm.weight"),
      NORM(BLK "layer_output_norm.bias")}},
    {"nomic-bert",
     {{"feed_forward_length", FAMILY_U32, F_, NULL},
      {"attention.causal", FAMILY_BOOL, 0, NULL},
      {"pooling_type", FAMILY_U32, 1, NULL},
      {"rope.freq_base", FAMILY_F32, 1000, NULL}},
     {{"token_types.weight", WEIGHT_F32, D_, 1, 0},
      NORM("token_embd_norm.weight"),
      NORM("token_embd_norm.bias"),
      {BLK "attn_qkv.weight", WEIGHT_Q8_0, D_, Q_ + 2 * K_, 0},
      {BLK "attn_output.weight", WEIGHT_Q4_0, Q_, D_, 0},
      NORM(BLK "attn_output_norm.weight"),
      NORM(BLK "attn_output_norm.bias"),
      DENSE_FFN,
      NORM(BLK "layer_output_norm.weight"),
      NORM(BLK "layer_output_norm.bias")}},
};

/* NULL: it has no table here. */
static inline const struct family *family_of(const char *arch)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(families[i].arch, arch) == 0)
            return &families[i];
    }
    return NULL;
}

static inline void family_key(struct gguf_builder *b, const char *arch, const struct family_key *k)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, k->suffix);
    switch (k->kind) {
    case FAMILY_U32:
        builder_u32(b, key, (uint32_t)k->value);
        break;
    case FAMILY_F32:
        builder_f32(b, key, (float)k->value);
        break;
    case FAMILY_BOOL:
        builder_bool(b, key, k->value != 0);
        break;
    case FAMILY_TEXT:
        builder_string(b, key, k->text);
        break;
    case FAMILY_BOOLS: {
        struct builder_bytes *body = builder_array(b, key, GGUF_BOOL, (uint64_t)k->value);
        for (size_t i = 0; i < (size_t)k->value; i++)
            builder_put_int(body, i == 0, 1);
        break;
    }
    }
}

static inline void family_build(struct gguf_builder *b, const struct family *f, size_t n_vocab)
{
    const bool layer_norm = strstr(f->arch, "bert") != NULL;
    const struct family_key common[] = {
        {"context_length", FAMILY_U32, FILES_CONTEXT, NULL},
        {"embedding_length", FAMILY_U32, D_, NULL},
        {"block_count", FAMILY_U32, 1, NULL},
        {"attention.head_count", FAMILY_U32, FILES_HEADS, NULL},
        {"attention.head_count_kv", FAMILY_U32, FILES_KV_HEADS, NULL},
        {layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
         FAMILY_F32, 1e-5, NULL},
    };
    builder_string(b, "general.architecture", f->arch);
    builder_string(b, "general.name", "tiny");
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        family_key(b, f->arch, &common[i]);
    for (size_t i = 0; i < 20 && f->keys[i].suffix != NULL; i++)
        family_key(b, f->arch, &f->keys[i]);
    tiny_tensor(b, "token_embd.weight", WEIGHT_Q8_0, D_, n_vocab, 0);
    for (size_t i = 0; i < 32 && f->tensors[i].name != NULL; i++) {
        const struct family_tensor *t = &f->tensors[i];
        const bool near_one =
            strstr(t->name, "norm.weight") != NULL || strncmp(t->name, "rope_factors", 12) == 0;
        tiny_tensor(b, t->name, t->type, t->cols, t->rows * (t->depth > 0 ? t->depth : 1),
                    near_one ? 1 : 0);
        if (t->depth > 0)
            builder_deepen(b, t->depth);
    }
}
