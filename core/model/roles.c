/* roles.c - the table of tensor roles, and the check of a file's tensors against it.
 *
 * Names as llama.cpp's converters write them. Pure functions; any thread. Knows nothing of where
 * weights are kept.
 */
#include "model/arch.h"

#include "math/quant.h"

#include <stdio.h>
#include <string.h>

#define OF_MODEL(field) false, offsetof(struct model, field)
#define OF_LAYER(field) true, offsetof(struct layer, field)
#define ROLE(name, kind, where, needed, allowed, cols, rows)                                       \
    ROLE_(name, kind, where, needed, allowed, cols, rows, NULL)
#define ROLE_OR(name, kind, where, needed, allowed, cols, rows, instead)                           \
    ROLE_(name, kind, where, needed, allowed, cols, rows, instead)
#define ROLE_(name, kind, layer, place, needed, allowed, cols, rows, instead)                      \
    {                                                                                              \
        name, kind, layer, needed, (needed) | (allowed), cols, rows, place, instead, DIM_ONE       \
    }

/* Of every expert, one after the other; `joint` may stand for it. */
#define ROLE_EACH(name, kind, where, needed, allowed, cols, rows, joint)                           \
    ROLE_EACH_(name, kind, where, needed, allowed, cols, rows, joint)
#define ROLE_EACH_(name, kind, layer, place, needed, allowed, cols, rows, joint)                   \
    {                                                                                              \
        name, kind, layer, needed, (needed) | (allowed), cols, rows, place, joint, DIM_EXPERTS     \
    }

const struct tensor_role tensor_roles[] = {
    ROLE("token_embd.weight", ROLE_MATRIX, OF_MODEL(embed), TRAIT_ANY, 0, DIM_EMBD, DIM_VOCAB),
    ROLE("position_embd.weight", ROLE_POSITIONS, OF_MODEL(positions), TRAIT_LEARNED_POSITIONS, 0,
         DIM_EMBD, DIM_CONTEXT),
    ROLE("rope_freqs.weight", ROLE_FREQS, OF_MODEL(rope), 0, TRAIT_ROTATES, DIM_ROPE_HALF, DIM_ONE),
    ROLE("rope_factors_long.weight", ROLE_FREQS_LONG, OF_MODEL(rope), 0, TRAIT_LONGROPE,
         DIM_ROPE_HALF, DIM_ONE),
    ROLE("rope_factors_short.weight", ROLE_FREQS_SHORT, OF_MODEL(rope), 0, TRAIT_LONGROPE,
         DIM_ROPE_HALF, DIM_ONE),
    ROLE("attn_norm.weight", ROLE_VECTOR, OF_LAYER(attn_norm.weight), TRAIT_ATTN_NORM, 0, DIM_EMBD,
         DIM_ONE),
    ROLE("attn_norm.bias", ROLE_VECTOR, OF_LAYER(attn_norm.bias), TRAIT_LAYER_NORMS, 0, DIM_EMBD,
         DIM_ONE),
    ROLE_OR("attn_q.weight", ROLE_Q, OF_LAYER(q.w), TRAIT_ATTENTION, 0, DIM_EMBD, DIM_Q,
            "attn_qkv.weight"),
    ROLE_OR("attn_q.bias", ROLE_BIAS, OF_LAYER(q.bias), 0, TRAIT_ATTENTION, DIM_Q, DIM_ONE,
            "attn_qkv.bias"),
    ROLE_OR("attn_k.weight", ROLE_MATRIX, OF_LAYER(k.w), TRAIT_ATTENTION, 0, DIM_EMBD, DIM_KV,
            "attn_qkv.weight"),
    ROLE_OR("attn_k.bias", ROLE_BIAS, OF_LAYER(k.bias), 0, TRAIT_ATTENTION, DIM_KV, DIM_ONE,
            "attn_qkv.bias"),
    ROLE_OR("attn_v.weight", ROLE_MATRIX, OF_LAYER(v.w), TRAIT_ATTENTION, 0, DIM_EMBD, DIM_KV,
            "attn_qkv.weight"),
    ROLE_OR("attn_v.bias", ROLE_BIAS, OF_LAYER(v.bias), 0, TRAIT_ATTENTION, DIM_KV, DIM_ONE,
            "attn_qkv.bias"),
    ROLE("attn_qkv.weight", ROLE_QKV, OF_LAYER(q.w), TRAIT_FUSED_QKV, TRAIT_ATTENTION, DIM_EMBD,
         DIM_QKV),
    ROLE("attn_qkv.bias", ROLE_QKV_BIAS, OF_LAYER(q.bias), TRAIT_FUSED_QKV, TRAIT_ATTENTION,
         DIM_QKV, DIM_ONE),
    ROLE("attn_q_norm.weight", ROLE_VECTOR, OF_LAYER(q_norm.weight), TRAIT_HEAD_NORMS, 0, DIM_HEAD,
         DIM_ONE),
    ROLE("attn_k_norm.weight", ROLE_VECTOR, OF_LAYER(k_norm.weight), TRAIT_HEAD_NORMS, 0, DIM_HEAD,
         DIM_ONE),
    ROLE("attn_q_norm.weight", ROLE_VECTOR, OF_LAYER(q_row_norm.weight), TRAIT_ROW_NORMS, 0, DIM_Q,
         DIM_ONE),
    ROLE("attn_k_norm.weight", ROLE_VECTOR, OF_LAYER(k_row_norm.weight), TRAIT_ROW_NORMS, 0, DIM_KV,
         DIM_ONE),
    ROLE("attn_qkv.weight", ROLE_MATRIX, OF_LAYER(delta.mix.w), TRAIT_DELTA, 0, DIM_EMBD,
         DIM_DELTA_CHANNELS),
    ROLE("attn_gate.weight", ROLE_MATRIX, OF_LAYER(delta.gate.w), TRAIT_DELTA, 0, DIM_EMBD,
         DIM_DELTA_INNER),
    ROLE("ssm_alpha.weight", ROLE_MATRIX, OF_LAYER(delta.alpha.w), TRAIT_DELTA, 0, DIM_EMBD,
         DIM_DELTA_HEADS),
    ROLE("ssm_beta.weight", ROLE_MATRIX, OF_LAYER(delta.beta.w), TRAIT_DELTA, 0, DIM_EMBD,
         DIM_DELTA_HEADS),
    ROLE("ssm_conv1d.weight", ROLE_TAPS, OF_LAYER(delta.taps), TRAIT_DELTA, 0, DIM_DELTA_TAPS,
         DIM_DELTA_CHANNELS),
    ROLE("ssm_dt.bias", ROLE_VECTOR, OF_LAYER(delta.dt), TRAIT_DELTA, 0, DIM_DELTA_HEADS, DIM_ONE),
    ROLE("ssm_a", ROLE_VECTOR, OF_LAYER(delta.decay), TRAIT_DELTA, 0, DIM_DELTA_HEADS, DIM_ONE),
    ROLE("ssm_norm.weight", ROLE_VECTOR, OF_LAYER(delta.norm.weight), TRAIT_DELTA, 0,
         DIM_DELTA_SIZE, DIM_ONE),
    ROLE("ssm_out.weight", ROLE_MATRIX, OF_LAYER(attn_output.w), TRAIT_DELTA, 0, DIM_DELTA_INNER,
         DIM_EMBD),
    ROLE("attn_output.weight", ROLE_MATRIX, OF_LAYER(attn_output.w), TRAIT_ATTENTION, 0, DIM_Q,
         DIM_EMBD),
    ROLE("attn_output.bias", ROLE_BIAS, OF_LAYER(attn_output.bias), TRAIT_BIASES, TRAIT_ATTENTION,
         DIM_EMBD, DIM_ONE),
    ROLE("post_attention_norm.weight", ROLE_VECTOR, OF_LAYER(attn_post_norm.weight),
         TRAIT_POST_NORMS, 0, DIM_EMBD, DIM_ONE),
    ROLE("post_attention_norm.weight", ROLE_VECTOR, OF_LAYER(ffn_norm.weight),
         TRAIT_FFN_NORM_NAMED_POST, 0, DIM_EMBD, DIM_ONE),
    ROLE("attn_sinks.weight", ROLE_VECTOR, OF_LAYER(sinks), TRAIT_SINKS, 0, DIM_HEADS, DIM_ONE),
    ROLE("ffn_norm.weight", ROLE_VECTOR, OF_LAYER(ffn_norm.weight), TRAIT_FFN_NORM, 0, DIM_EMBD,
         DIM_ONE),
    ROLE("ffn_norm.bias", ROLE_VECTOR, OF_LAYER(ffn_norm.bias), TRAIT_LAYER_NORMS, 0, DIM_EMBD,
         DIM_ONE),
    ROLE_OR("ffn_gate.weight", ROLE_MATRIX, OF_LAYER(gate.w), TRAIT_GATED, 0, DIM_EMBD, DIM_FF,
            "ffn_up.weight"),
    ROLE_OR("ffn_gate.bias", ROLE_BIAS, OF_LAYER(gate.bias), 0, TRAIT_GATED, DIM_FF, DIM_ONE,
            "ffn_up.weight"),
    ROLE("ffn_up.weight", ROLE_UP, OF_LAYER(up.w), TRAIT_DENSE, 0, DIM_EMBD, DIM_FF),
    ROLE("ffn_up.bias", ROLE_UP_BIAS, OF_LAYER(up.bias), TRAIT_BIASES, TRAIT_DENSE, DIM_FF,
         DIM_ONE),
    ROLE("ffn_down.weight", ROLE_MATRIX, OF_LAYER(down.w), TRAIT_DENSE, 0, DIM_FF, DIM_EMBD),
    ROLE("ffn_down.bias", ROLE_BIAS, OF_LAYER(down.bias), TRAIT_BIASES, TRAIT_DENSE, DIM_EMBD,
         DIM_ONE),
    ROLE("ffn_gate_inp.weight", ROLE_MATRIX, OF_LAYER(experts.router.w), TRAIT_EXPERTS, 0, DIM_EMBD,
         DIM_EXPERTS),
    ROLE("ffn_gate_inp.bias", ROLE_BIAS, OF_LAYER(experts.router.bias), TRAIT_EXPERT_BIASES, 0,
         DIM_EXPERTS, DIM_ONE),
    ROLE("exp_probs_b.bias", ROLE_VECTOR, OF_LAYER(experts.choice_bias), 0, TRAIT_CHOICE_BIAS,
         DIM_EXPERTS, DIM_ONE),
    ROLE_EACH("ffn_gate_exps.weight", ROLE_EXPERTS, OF_LAYER(experts.gate), TRAIT_EXPERTS, 0,
              DIM_EMBD, DIM_FF_EXPERT, "ffn_gate_up_exps.weight"),
    ROLE_OR("ffn_gate_exps.bias", ROLE_EXPERTS_BIAS, OF_LAYER(experts.gate), TRAIT_EXPERT_BIASES, 0,
            DIM_FF_EXPERT, DIM_EXPERTS, "ffn_gate_up_exps.bias"),
    ROLE_EACH("ffn_up_exps.weight", ROLE_EXPERTS, OF_LAYER(experts.up), TRAIT_EXPERTS, 0, DIM_EMBD,
              DIM_FF_EXPERT, "ffn_gate_up_exps.weight"),
    ROLE_OR("ffn_up_exps.bias", ROLE_EXPERTS_BIAS, OF_LAYER(experts.up), TRAIT_EXPERT_BIASES, 0,
            DIM_FF_EXPERT, DIM_EXPERTS, "ffn_gate_up_exps.bias"),
    ROLE_EACH("ffn_gate_up_exps.weight", ROLE_EXPERTS_GATE_UP, OF_LAYER(experts), 0, TRAIT_EXPERTS,
              DIM_EMBD, DIM_FF_EXPERT_PAIR, NULL),
    ROLE("ffn_gate_up_exps.bias", ROLE_EXPERTS_GATE_UP_BIAS, OF_LAYER(experts), 0,
         TRAIT_EXPERT_BIASES, DIM_FF_EXPERT_PAIR, DIM_EXPERTS),
    ROLE_EACH("ffn_down_exps.weight", ROLE_EXPERTS, OF_LAYER(experts.down), TRAIT_EXPERTS, 0,
              DIM_FF_EXPERT, DIM_EMBD, NULL),
    ROLE("ffn_down_exps.bias", ROLE_EXPERTS_BIAS, OF_LAYER(experts.down), TRAIT_EXPERT_BIASES, 0,
         DIM_EMBD, DIM_EXPERTS),
    ROLE("ffn_gate_inp_shexp.weight", ROLE_MATRIX, OF_LAYER(experts.shared_weight.w),
         TRAIT_SHARED_WEIGHT, 0, DIM_EMBD, DIM_ONE),
    ROLE("ffn_gate_shexp.weight", ROLE_MATRIX, OF_LAYER(experts.shared_gate.w), TRAIT_SHARED, 0,
         DIM_EMBD, DIM_FF_SHARED),
    ROLE("ffn_up_shexp.weight", ROLE_MATRIX, OF_LAYER(experts.shared_up.w), TRAIT_SHARED, 0,
         DIM_EMBD, DIM_FF_SHARED),
    ROLE("ffn_down_shexp.weight", ROLE_MATRIX, OF_LAYER(experts.shared_down.w), TRAIT_SHARED, 0,
         DIM_FF_SHARED, DIM_EMBD),
    ROLE("post_ffw_norm.weight", ROLE_VECTOR, OF_LAYER(ffn_post_norm.weight), TRAIT_POST_NORMS, 0,
         DIM_EMBD, DIM_ONE),
    ROLE("token_types.weight", ROLE_FIRST_ROW, OF_MODEL(token_type), TRAIT_BERT_NORMS, 0, DIM_EMBD,
         DIM_TOKEN_TYPES),
    ROLE("token_embd_norm.weight", ROLE_VECTOR, OF_MODEL(embed_norm.weight), TRAIT_BERT_NORMS, 0,
         DIM_EMBD, DIM_ONE),
    ROLE("token_embd_norm.bias", ROLE_VECTOR, OF_MODEL(embed_norm.bias), TRAIT_BERT_NORMS, 0,
         DIM_EMBD, DIM_ONE),
    ROLE("attn_output_norm.weight", ROLE_VECTOR, OF_LAYER(attn_residual_norm.weight),
         TRAIT_BERT_NORMS, 0, DIM_EMBD, DIM_ONE),
    ROLE("attn_output_norm.bias", ROLE_VECTOR, OF_LAYER(attn_residual_norm.bias), TRAIT_BERT_NORMS,
         0, DIM_EMBD, DIM_ONE),
    ROLE("layer_output_norm.weight", ROLE_VECTOR, OF_LAYER(ffn_residual_norm.weight),
         TRAIT_BERT_NORMS, 0, DIM_EMBD, DIM_ONE),
    ROLE("layer_output_norm.bias", ROLE_VECTOR, OF_LAYER(ffn_residual_norm.bias), TRAIT_BERT_NORMS,
         0, DIM_EMBD, DIM_ONE),
    ROLE("output_norm.weight", ROLE_VECTOR, OF_MODEL(output_norm.weight), TRAIT_OUTPUT_NORM, 0,
         DIM_EMBD, DIM_ONE),
    ROLE("output_norm.bias", ROLE_VECTOR, OF_MODEL(output_norm.bias), TRAIT_LAYER_NORMS, 0,
         DIM_EMBD, DIM_ONE),
    ROLE("cls.weight", ROLE_MATRIX, OF_MODEL(score_dense.w), 0, TRAIT_ANY, DIM_EMBD, DIM_EMBD),
    ROLE("cls.bias", ROLE_BIAS, OF_MODEL(score_dense.bias), 0, TRAIT_ANY, DIM_EMBD, DIM_ONE),
    ROLE("cls.output.weight", ROLE_MATRIX, OF_MODEL(score_out.w), 0, TRAIT_ANY, DIM_EMBD,
         DIM_SCORES),
    ROLE("cls.output.bias", ROLE_BIAS, OF_MODEL(score_out.bias), 0, TRAIT_ANY, DIM_SCORES, DIM_ONE),
    ROLE("dense_2.weight", ROLE_MATRIX, OF_MODEL(vector_dense[0].w), 0, TRAIT_VECTOR_DENSE,
         DIM_EMBD, DIM_VECTOR_DENSE),
    ROLE("dense_3.weight", ROLE_MATRIX, OF_MODEL(vector_dense[1].w), 0, TRAIT_VECTOR_DENSE,
         DIM_VECTOR_DENSE, DIM_EMBD),
    ROLE("output.weight", ROLE_HEAD, OF_MODEL(output.w), 0, TRAIT_ANY, DIM_EMBD, DIM_VOCAB),
};
const size_t n_tensor_roles = sizeof tensor_roles / sizeof tensor_roles[0];

/* What only layers that attend have; only those with one FFN; only those with experts. */
#define OF_ATTENTION                                                                               \
    (TRAIT_ATTENTION | TRAIT_FUSED_QKV | TRAIT_HEAD_NORMS | TRAIT_ROW_NORMS | TRAIT_SINKS)
#define OF_DENSE (TRAIT_DENSE | TRAIT_GATED)
#define OF_EXPERTS                                                                                 \
    (TRAIT_EXPERTS | TRAIT_EXPERT_BIASES | TRAIT_CHOICE_BIAS | TRAIT_SHARED | TRAIT_SHARED_WEIGHT)

uint64_t layer_traits(const struct shape *shape, size_t layer)
{
    const struct layer_shape *l = &shape->layers[layer];
    uint64_t traits = shape->traits;
    if (l->mixer != MIXER_ATTENTION)
        traits &= ~OF_ATTENTION;
    if (l->mixer != MIXER_DELTA)
        traits &= ~TRAIT_DELTA;
    traits &= l->has_experts ? ~OF_DENSE : ~OF_EXPERTS;
    if (shape->n_ff_shared == 0)
        traits &= ~(TRAIT_SHARED | TRAIT_SHARED_WEIGHT);
    return traits;
}

size_t role_dim(const struct shape *s, enum dim dim, size_t layer)
{
    const struct layer_shape *l = &s->layers[layer];
    switch (dim) {
    case DIM_EMBD:
        return s->n_embd;
    case DIM_VOCAB:
        return s->n_vocab;
    case DIM_Q:
        return (size_t)l->n_heads * l->head_dim;
    case DIM_KV:
        return (size_t)l->n_kv_heads * l->head_dim;
    case DIM_QKV:
        return ((size_t)l->n_heads * ((s->traits & TRAIT_QUERY_GATES) != 0 ? 2 : 1) +
                2 * (size_t)l->n_kv_heads) *
               l->head_dim;
    case DIM_HEAD:
        return l->head_dim;
    case DIM_FF:
        return l->n_ff;
    case DIM_CONTEXT:
        return s->n_context_train;
    case DIM_SCORES:
        return s->n_scores;
    case DIM_VECTOR_DENSE:
        return s->n_vector_dense;
    case DIM_TOKEN_TYPES:
        return s->n_token_types;
    case DIM_ROPE_HALF:
        return s->rotations[ROTATION_MAIN].dim / 2;
    case DIM_DELTA_CHANNELS:
        return delta_channels(&s->delta);
    case DIM_DELTA_INNER:
        return delta_inner(&s->delta);
    case DIM_DELTA_SIZE:
        return s->delta.size;
    case DIM_DELTA_HEADS:
        return s->delta.n_value_heads;
    case DIM_DELTA_TAPS:
        return s->delta.n_taps;
    case DIM_HEADS:
        return l->n_heads;
    case DIM_EXPERTS:
        return s->routing.n_experts;
    case DIM_FF_EXPERT:
        return s->n_ff_expert;
    case DIM_FF_EXPERT_PAIR:
        return 2 * s->n_ff_expert;
    case DIM_FF_SHARED:
        return s->n_ff_shared;
    case DIM_ONE:
    default:
        return 1;
    }
}

static void write_name(char out[64], const char *suffix, bool per_layer, size_t layer)
{
    if (per_layer)
        snprintf(out, 64, "blk.%zu.%s", layer, suffix);
    else
        snprintf(out, 64, "%s", suffix);
}

static const struct gguf_tensor *find_in(const struct gguf *gguf, const char *suffix,
                                         bool per_layer, size_t layer)
{
    char name[64];
    write_name(name, suffix, per_layer, layer);
    return gguf_find_tensor(gguf, name);
}

const struct gguf_tensor *role_find(const struct gguf *gguf, const struct tensor_role *role,
                                    size_t layer)
{
    return find_in(gguf, role->name, role->per_layer, layer);
}

static uint64_t traits_of(const struct shape *shape, const struct tensor_role *role, size_t layer)
{
    return role->per_layer ? layer_traits(shape, layer) : shape->traits;
}

bool role_is_allowed(const struct shape *shape, const struct tensor_role *role, size_t layer)
{
    return (role->allowed & traits_of(shape, role, layer)) != 0;
}

/* The block of a name such as "blk.12.attn_q.weight", and the rest of it; SIZE_MAX: of none, or not
 * written exactly so ("blk.007.", "blk.."). */
static size_t block_of(const char *name, const char **rest)
{
    size_t block = 0, digits = 0;
    const char *at = name + 4;
    *rest = name;
    if (strncmp(name, "blk.", 4) != 0)
        return SIZE_MAX;
    for (; *at >= '0' && *at <= '9' && digits < 6; digits++)
        block = 10 * block + (size_t)(*at++ - '0');
    if (digits == 0 || *at != '.' || (digits > 1 && name[4] == '0'))
        return SIZE_MAX;
    *rest = at + 1;
    return block;
}

bool tensor_is_skipped(const struct shape *shape, const char *name)
{
    const char *rest;
    size_t block = block_of(name, &rest);
    return block != SIZE_MAX && block >= shape->n_layers &&
           block < shape->n_layers + shape->n_skipped;
}

/* The role of a tensor, and its layer; NULL: it has none here. */
static const struct tensor_role *role_of(const struct shape *shape, const char *name, size_t *layer)
{
    const char *rest;
    size_t block = block_of(name, &rest);
    bool per_layer = block != SIZE_MAX;
    if (per_layer && block >= shape->n_layers)
        return NULL;
    *layer = per_layer ? block : 0;
    for (size_t i = 0; i < n_tensor_roles; i++) {
        const struct tensor_role *role = &tensor_roles[i];
        if (role->per_layer == per_layer && strcmp(role->name, rest) == 0 &&
            role_is_allowed(shape, role, *layer))
            return role;
    }
    return NULL;
}

/* Whether ffn_up holds the gate as well: there is none beside it. */
static bool has_gate_in_up(const struct gguf *gguf, const struct shape *shape, size_t layer)
{
    const struct gguf_tensor *up = find_in(gguf, "ffn_up.weight", true, layer);
    return (layer_traits(shape, layer) & TRAIT_GATED) != 0 && up != NULL &&
           find_in(gguf, "ffn_gate.weight", true, layer) == NULL &&
           up->ne[1] == 2 * (uint64_t)shape->layers[layer].n_ff;
}

/* ne[0], ne[1] and ne[2] that a role's tensor must have. */
static void role_shape(const struct gguf *gguf, const struct shape *shape,
                       const struct tensor_role *role, size_t layer, size_t ne[3])
{
    ne[0] = role_dim(shape, role->cols, layer);
    ne[1] = role_dim(shape, role->rows, layer);
    ne[2] = role_dim(shape, role->depth, layer);
    if (role->kind == ROLE_Q && (shape->traits & TRAIT_QUERY_GATES) != 0)
        ne[1] *= 2;
    if (role->kind == ROLE_UP && has_gate_in_up(gguf, shape, layer))
        ne[1] *= 2;
    if (role->kind == ROLE_UP_BIAS && has_gate_in_up(gguf, shape, layer))
        ne[0] *= 2;
}

static bool is_vector(enum role_kind kind)
{
    return kind == ROLE_VECTOR || kind == ROLE_BIAS || kind == ROLE_QKV_BIAS ||
           kind == ROLE_UP_BIAS || kind == ROLE_TAPS || kind == ROLE_FREQS ||
           kind == ROLE_FREQS_LONG || kind == ROLE_FREQS_SHORT || kind == ROLE_EXPERTS_BIAS ||
           kind == ROLE_EXPERTS_GATE_UP_BIAS;
}

/* Whether the tensor that may stand for this one is there. */
static bool is_replaced(const struct gguf *gguf, const struct shape *shape,
                        const struct tensor_role *role, size_t layer)
{
    if (role->instead == NULL)
        return false;
    if (strcmp(role->instead, "ffn_up.weight") == 0)
        return has_gate_in_up(gguf, shape, layer);
    return find_in(gguf, role->instead, role->per_layer, layer) != NULL;
}

static enum status check_tensor(const struct gguf *gguf, const struct gguf_tensor *t,
                                const struct shape *shape, struct error *err)
{
    size_t layer, ne[3];
    const struct tensor_role *role = role_of(shape, t->name, &layer);
    if (role == NULL)
        return error_set_param(err, STATUS_UNSUPPORTED, t->name,
                               "tensor '%s' has no role in a %s model of %zu layers; it may change "
                               "the arithmetic, so the file is refused",
                               t->name, shape->arch, shape->n_layers);
    if (is_replaced(gguf, shape, role, layer))
        return error_set_param(err, STATUS_UNSUPPORTED, t->name,
                               "tensor '%s' has no role in a %s model beside '%s', which holds the "
                               "same; the file is refused",
                               t->name, shape->arch, role->instead);
    role_shape(gguf, shape, role, layer, ne);
    if (t->ne[0] != ne[0] || t->ne[1] != ne[1] || t->ne[2] != ne[2] || t->ne[3] != 1)
        return error_set_param(
            err, STATUS_FORMAT, t->name,
            "tensor '%s' is %llu x %llu x %llu x %llu; by the model's keys it must be %zu x %zu%s",
            t->name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
            (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], ne[0], ne[1],
            ne[2] > 1 ? ", once for each expert" : "");
    const struct weight_info *info = &weight_infos[weight_type_of_ggml(t->type)];
    if (is_vector(role->kind) && info->block_values != 1)
        return error_set_param(err, STATUS_UNSUPPORTED, t->name,
                               "tensor '%s' has type %s; it must be F32, F16 or BF16", t->name,
                               info->name);
    return STATUS_OK;
}

/* Every layer that needs a role has its tensor. */
static enum status check_role(const struct gguf *gguf, const struct shape *shape,
                              const struct tensor_role *role, struct error *err)
{
    size_t n = role->per_layer ? shape->n_layers : 1;
    for (size_t layer = 0; layer < n; layer++) {
        if ((role->needed & traits_of(shape, role, layer)) == 0 ||
            role_find(gguf, role, layer) != NULL || is_replaced(gguf, shape, role, layer))
            continue;
        char name[64];
        bool joint = (shape->traits & TRAIT_FUSED_QKV) != 0 && role->instead != NULL;
        write_name(name, joint ? role->instead : role->name, role->per_layer, layer);
        return error_set_param(err, STATUS_FORMAT, name,
                               "tensor '%s' is missing; a %s model of %zu layers needs it", name,
                               shape->arch, shape->n_layers);
    }
    return STATUS_OK;
}

enum status roles_check(const struct gguf *gguf, const struct shape *shape, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < gguf_n_tensors(gguf) && status == STATUS_OK; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        if (!tensor_is_skipped(shape, t->name))
            status = check_tensor(gguf, t, shape, err);
    }
    for (size_t i = 0; i < n_tensor_roles && status == STATUS_OK; i++)
        status = check_role(gguf, shape, &tensor_roles[i], err);
    return status;
}
