/* honoured_tensors.h - has every tensor of a file come to lie where it belongs, value for value?
 * Test code: aborts with Check's message.
 */
#pragma once

#include "torture/honoured_words.h"

/* Where a tensor's values must have come to lie: one matrix or vector, or the three of q, k, v. */
struct honoured_place {
    const struct matrix *w[3];
    const float *values[3];
    size_t n[3]; /* rows of each matrix, values of each vector */
};

struct honoured_row {
    const char *name;
    struct honoured_place place;
};

static inline bool honoured_pick(const struct honoured_row *rows, size_t n, struct gguf_string name,
                                 struct honoured_place *out)
{
    for (size_t i = 0; i < n; i++) {
        if (text_is(name.bytes, name.n, rows[i].name)) {
            *out = rows[i].place;
            return true;
        }
    }
    return false;
}
#define PICK(rows, name, out) honoured_pick(rows, sizeof(rows) / sizeof((rows)[0]), name, out)

/* A whole matrix, a vector, and a matrix whose name other families use for two. */
#define MATRIX_OF(linear)                                                                          \
    {                                                                                              \
        {&(linear).w}, {NULL},                                                                     \
        {                                                                                          \
            (linear).w.n_rows                                                                      \
        }                                                                                          \
    }
#define VECTOR_OF(values, n)                                                                       \
    {                                                                                              \
        {NULL}, {values},                                                                          \
        {                                                                                          \
            n                                                                                      \
        }                                                                                          \
    }

static inline bool honoured_find_common(const struct model *m, struct gguf_string name,
                                        struct honoured_place *out)
{
    const struct layer *l = &m->layers[0];
    size_t q = l->q.w.n_rows, kv = l->k.w.n_rows, embd = m->shape.n_embd, head = m->shape.head_dim;
    size_t n_ff = m->shape.layers[0].n_ff;
    const struct honoured_row rows[] = {
        {"token_embd.weight", {{&m->embed}, {NULL}, {m->embed.n_rows}}},
        {"output.weight", {{&m->output.w}, {NULL}, {m->output.w.n_rows}}},
        {"position_embd.weight", {{NULL}, {m->positions}, {m->n_context * embd}}},
        {"output_norm.weight", {{NULL}, {m->output_norm.weight}, {embd}}},
        {"output_norm.bias", {{NULL}, {m->output_norm.bias}, {embd}}},
        {"blk.0.attn_norm.weight", {{NULL}, {l->attn_norm.weight}, {embd}}},
        {"blk.0.attn_norm.bias", {{NULL}, {l->attn_norm.bias}, {embd}}},
        {"blk.0.ffn_norm.weight", {{NULL}, {l->ffn_norm.weight}, {embd}}},
        {"blk.0.ffn_norm.bias", {{NULL}, {l->ffn_norm.bias}, {embd}}},
        {"blk.0.attn_q_norm.weight", {{NULL}, {l->q_norm.weight}, {head}}},
        {"blk.0.attn_k_norm.weight", {{NULL}, {l->k_norm.weight}, {head}}},
        {"blk.0.attn_qkv.weight", {{&l->q.w, &l->k.w, &l->v.w}, {NULL}, {q, kv, kv}}},
        {"blk.0.attn_qkv.bias", {{NULL}, {l->q.bias, l->k.bias, l->v.bias}, {q, kv, kv}}},
        {"blk.0.attn_q.weight", {{&l->q.w}, {NULL}, {q}}},
        {"blk.0.attn_k.weight", {{&l->k.w}, {NULL}, {kv}}},
        {"blk.0.attn_v.weight", {{&l->v.w}, {NULL}, {kv}}},
        {"blk.0.attn_q.bias", {{NULL}, {l->q.bias}, {q}}},
        {"blk.0.attn_k.bias", {{NULL}, {l->k.bias}, {kv}}},
        {"blk.0.attn_v.bias", {{NULL}, {l->v.bias}, {kv}}},
        {"blk.0.attn_output.weight", {{&l->attn_output.w}, {NULL}, {l->attn_output.w.n_rows}}},
        {"blk.0.attn_output.bias", {{NULL}, {l->attn_output.bias}, {embd}}},
        {"blk.0.ffn_gate.weight", {{&l->gate.w}, {NULL}, {l->gate.w.n_rows}}},
        {"blk.0.ffn_gate.bias", {{NULL}, {l->gate.bias}, {n_ff}}},
        {"blk.0.ffn_up.bias", {{NULL}, {l->up.bias}, {n_ff}}},
        {"blk.0.ffn_down.weight", {{&l->down.w}, {NULL}, {l->down.w.n_rows}}},
        {"blk.0.ffn_down.bias", {{NULL}, {l->down.bias}, {embd}}},
    };
    return PICK(rows, name, out);
}

static inline bool honoured_find_ffn(const struct model *m, struct gguf_string name,
                                     struct honoured_place *out)
{
    const struct layer *l = &m->layers[0];
    const struct layer_experts *e = &l->experts;
    const size_t n_ff = l->up.w.n_rows, n_experts = m->shape.routing.n_experts;
    const struct honoured_row rows[] = {
        {"blk.0.ffn_up.weight", MATRIX_OF(l->up)},
        {"blk.0.ffn_gate_inp.weight", MATRIX_OF(e->router)},
        {"blk.0.ffn_gate_inp.bias", VECTOR_OF(e->router.bias, n_experts)},
        {"blk.0.exp_probs_b.bias", VECTOR_OF(e->choice_bias, n_experts)},
        {"blk.0.ffn_gate_shexp.weight", MATRIX_OF(e->shared_gate)},
        {"blk.0.ffn_up_shexp.weight", MATRIX_OF(e->shared_up)},
        {"blk.0.ffn_down_shexp.weight", MATRIX_OF(e->shared_down)},
    };
    const struct honoured_row joint[] = {
        {"blk.0.ffn_up.weight", {{&l->gate.w, &l->up.w}, {NULL}, {n_ff, n_ff}}},
    };
    return (strcmp(m->shape.arch, "phi3") == 0 && PICK(joint, name, out)) || PICK(rows, name, out);
}

static inline bool honoured_find_state(const struct model *m, struct gguf_string name,
                                       struct honoured_place *out)
{
    const struct layer *l = &m->layers[0];
    const struct delta_shape *d = &m->shape.delta;
    const struct honoured_row rows[] = {
        {"blk.0.attn_qkv.weight", MATRIX_OF(l->delta.mix)},
        {"blk.0.attn_gate.weight", MATRIX_OF(l->delta.gate)},
        {"blk.0.ssm_alpha.weight", MATRIX_OF(l->delta.alpha)},
        {"blk.0.ssm_beta.weight", MATRIX_OF(l->delta.beta)},
        {"blk.0.ssm_out.weight", MATRIX_OF(l->attn_output)},
        {"blk.0.ssm_dt.bias", VECTOR_OF(l->delta.dt, d->n_value_heads)},
        {"blk.0.ssm_a", VECTOR_OF(l->delta.decay, d->n_value_heads)},
        {"blk.0.ssm_norm.weight", VECTOR_OF(l->delta.norm.weight, d->size)},
    };
    return m->shape.layers[0].mixer == MIXER_DELTA && PICK(rows, name, out);
}

static inline bool honoured_find_norm(const struct model *m, struct gguf_string name,
                                      struct honoured_place *out)
{
    const struct layer *l = &m->layers[0];
    const size_t q = l->q.w.n_rows, kv = l->k.w.n_rows, embd = m->shape.n_embd;
    const bool before_ffn = l->attn_post_norm.weight == NULL;
    const struct honoured_row rows[] = {
        {"token_types.weight", VECTOR_OF(m->token_type, embd)},
        {"token_embd_norm.weight", VECTOR_OF(m->embed_norm.weight, embd)},
        {"token_embd_norm.bias", VECTOR_OF(m->embed_norm.bias, embd)},
        {"blk.0.attn_sinks.weight", VECTOR_OF(l->sinks, m->shape.n_heads)},
        {"blk.0.attn_output_norm.weight", VECTOR_OF(l->attn_residual_norm.weight, embd)},
        {"blk.0.attn_output_norm.bias", VECTOR_OF(l->attn_residual_norm.bias, embd)},
        {"blk.0.layer_output_norm.weight", VECTOR_OF(l->ffn_residual_norm.weight, embd)},
        {"blk.0.layer_output_norm.bias", VECTOR_OF(l->ffn_residual_norm.bias, embd)},
        {"blk.0.post_attention_norm.weight",
         VECTOR_OF(before_ffn ? l->ffn_norm.weight : l->attn_post_norm.weight, embd)},
        {"blk.0.post_ffw_norm.weight", VECTOR_OF(l->ffn_post_norm.weight, embd)},
        {"cls.weight", MATRIX_OF(m->score_dense)},
        {"cls.bias", VECTOR_OF(m->score_dense.bias, embd)},
        {"cls.output.weight", MATRIX_OF(m->score_out)},
        {"dense_2.weight", MATRIX_OF(m->vector_dense[0])},
        {"dense_3.weight", MATRIX_OF(m->vector_dense[1])},
        {"cls.output.bias", VECTOR_OF(m->score_out.bias, m->shape.n_scores)},
    };
    const struct honoured_row of_rows[] = {
        {"blk.0.attn_q_norm.weight", VECTOR_OF(l->q_row_norm.weight, q)},
        {"blk.0.attn_k_norm.weight", VECTOR_OF(l->k_row_norm.weight, kv)},
    };
    return (l->q_row_norm.weight != NULL && PICK(of_rows, name, out)) || PICK(rows, name, out);
}

static inline bool honoured_find(const struct model *m, struct gguf_string name,
                                 struct honoured_place *out)
{
    return honoured_find_state(m, name, out) || honoured_find_norm(m, name, out) ||
           honoured_find_ffn(m, name, out) || honoured_find_common(m, name, out);
}

static inline bool same_floats(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x, y;
        memcpy(&x, &a[i], sizeof x);
        memcpy(&y, &b[i], sizeof y);
        if (x != y && !(isnan(a[i]) && isnan(b[i])))
            return false;
    }
    return true;
}

/* RoPE's factors show in the tables alone, and there where no YaRN has its say. */
static inline void honoured_factors(const struct model *m, const float *factors)
{
    const struct shape *s = &m->shape;
    if (s->rotations[0].scaling == ROPE_SCALING_YARN || m->n_context < 2)
        return;
    size_t half = s->rotations[0].dim / 2;
    for (size_t i = 0; i < half; i++) {
        double angle =
            pow((double)s->rotations[0].base, -2.0 * (double)i / (double)s->rotations[0].dim) /
            (double)(factors[i] * s->rotations[0].factor);
        const double size = (double)s->rotations[0].attn_factor;
        MUST(fabs((double)m->rope[0].cos[half + i] / size - cos(angle)) <= 1e-5, "pair %zu", i);
        MUST(fabs((double)m->rope[0].sin[half + i] / size - sin(angle)) <= 1e-5, "pair %zu", i);
    }
}

/* A tensor with a matrix of each expert, or two one after the other: true when it is one. */
static inline bool honoured_experts(const struct model *m, const struct fields_tensor *t,
                                    const float *values)
{
    const struct layer_experts *e = &m->layers[0].experts;
    const struct {
        const char *name;
        const struct expert_linear *parts[2];
    } places[] = {
        {"blk.0.ffn_gate_exps.weight", {&e->gate, NULL}},
        {"blk.0.ffn_up_exps.weight", {&e->up, NULL}},
        {"blk.0.ffn_gate_up_exps.weight", {&e->gate, &e->up}},
        {"blk.0.ffn_down_exps.weight", {&e->down, NULL}},
    };
    const float *from = values;
    size_t i = 0;
    while (i < 4 && !text_is(t->name, t->n_name, places[i].name))
        i++;
    if (i == 4)
        return false;
    HOLDS(t->ne[2] == m->shape.routing.n_experts && t->ne[3] == 1);
    for (size_t expert = 0; expert < t->ne[2]; expert++) {
        for (size_t p = 0; p < 2 && places[i].parts[p] != NULL; p++) {
            const struct matrix w = expert_matrix(places[i].parts[p], expert);
            HOLDS(w.n_cols == t->ne[0] && w.type == weight_type_of_ggml(t->type));
            for (size_t r = 0; r < w.n_rows; r++, from += w.n_cols) {
                float row[256];
                HOLDS(w.n_cols <= 256);
                matrix_row(&w, r, row);
                MUST(same_floats(row, from, w.n_cols), "tensor '%.*s': expert %zu, row %zu",
                     (int)t->n_name, t->name, expert, r);
            }
        }
    }
    HOLDS(from == values + t->ne[0] * t->ne[1] * t->ne[2]);
    return true;
}

/* A tensor with a vector of each expert: true when it is one. */
static inline bool honoured_expert_biases(const struct model *m, const struct fields_tensor *t,
                                          const float *values)
{
    const struct layer_experts *e = &m->layers[0].experts;
    const struct {
        const char *name;
        const struct expert_linear *part;
    } places[] = {
        {"blk.0.ffn_gate_exps.bias", &e->gate},
        {"blk.0.ffn_up_exps.bias", &e->up},
        {"blk.0.ffn_down_exps.bias", &e->down},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!text_is(t->name, t->n_name, places[i].name))
            continue;
        HOLDS(t->ne[0] == places[i].part->first.n_rows && t->ne[1] == m->shape.routing.n_experts);
        for (size_t expert = 0; expert < t->ne[1]; expert++)
            MUST(same_floats(expert_bias(places[i].part, expert), values + expert * t->ne[0],
                             (size_t)t->ne[0]),
                 "tensor '%.*s': expert %zu", (int)t->n_name, t->name, expert);
        return true;
    }
    return false;
}

/* What is kept in another form than the file's: true when it is such a tensor. */
static inline bool honoured_remade(const struct model *m, const struct fields_tensor *t,
                                   const float *values)
{
    const struct shape *s = &m->shape;
    const bool is_long = m->n_context > s->rotations[0].original_context;
    const size_t n_taps = s->delta.n_taps, n_channels = delta_channels(&s->delta);
    if (text_is(t->name, t->n_name, "rope_freqs.weight") ||
        text_is(t->name, t->n_name,
                is_long ? "rope_factors_long.weight" : "rope_factors_short.weight")) {
        HOLDS(t->ne[0] == s->rotations[0].dim / 2);
        honoured_factors(m, values);
        return true;
    }
    if (text_is(t->name, t->n_name,
                is_long ? "rope_factors_short.weight" : "rope_factors_long.weight"))
        return true;
    if (!text_is(t->name, t->n_name, "blk.0.ssm_conv1d.weight"))
        return false;
    HOLDS(t->ne[0] == n_taps && t->ne[1] == n_channels);
    for (size_t i = 0; i < n_taps * n_channels; i++)
        HOLDS(same_floats(&m->layers[0].delta.taps[i % n_taps * n_channels + i / n_taps],
                          &values[i], 1));
    return true;
}

static inline void honoured_tensor(const struct gguf_fields *f, const struct model *m,
                                   const struct fields_tensor *t)
{
    struct gguf_string name = {t->name, t->n_name};
    struct honoured_place place;
    enum weight_type type = weight_type_of_ggml(t->type);
    const uint64_t n_rows = t->ne[1] * t->ne[2] * t->ne[3];
    size_t n = (size_t)(t->ne[0] * n_rows), row_bytes = weight_bytes(type, (size_t)t->ne[0]);
    HOLDS(n <= 1 << 20);
    const uint8_t *data = f->bytes + f->data_start + t->offset;
    HOLDS(t->offset + row_bytes * n_rows <= f->size - f->data_start);
    float *wanted = malloc(n * sizeof *wanted), *row = malloc(n * sizeof *row);
    HOLDS(wanted != NULL && row != NULL);
    weight_to_f32(type, data, n, wanted);
    if (honoured_experts(m, t, wanted) || honoured_expert_biases(m, t, wanted) ||
        honoured_remade(m, t, wanted)) {
        free(wanted);
        free(row);
        return;
    }
    HOLDS(t->ne[2] * t->ne[3] == 1);
    MUST(honoured_find(m, name, &place), "tensor '%.*s' was ignored", (int)t->n_name, t->name);
    const float *from = wanted;
    for (size_t i = 0; i < 3; i++) {
        const struct matrix *w = place.w[i];
        for (size_t r = 0; w != NULL && r < place.n[i]; r++, from += t->ne[0]) {
            HOLDS(w->n_cols == t->ne[0] && w->type == type && r < w->n_rows);
            matrix_row(w, r, row);
            MUST(same_floats(row, from, w->n_cols), "tensor '%.*s': row %zu", (int)t->n_name,
                 t->name, r);
        }
        if (place.values[i] != NULL) {
            MUST(same_floats(place.values[i], from, place.n[i]), "tensor '%.*s'", (int)t->n_name,
                 t->name);
            from += place.n[i];
        }
    }
    const float *first = place.values[0]; /* positions to the context, token types to one */
    bool cut = first != NULL && (first == m->positions || first == m->token_type);
    MUST(from == wanted + n || cut, "tensor '%.*s': some was ignored", (int)t->n_name, t->name);
    free(wanted);
    free(row);
}
