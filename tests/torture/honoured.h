/* honoured.h - does a loaded model say what its file says? Every key of the architecture, every
 * tensor's shape, type and values, every vocabulary entry and special id, against a second reading
 * of the same bytes (core/gguf_fields.h).
 *
 * A damaged file may load: the damage may have made another right file. Then it must be that other
 * file which was loaded, and never a part of it ignored. Test code: aborts with Check's message.
 */
#pragma once

#include "core/gguf_fields.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Check's own assertions report every success, millions here. */
#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(#condition ": " __VA_ARGS__);                                             \
    } while (0)

#define HOLDS(condition) MUST(condition, "false")

static inline bool text_is(const char *bytes, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static inline struct gguf_string honoured_string(const struct gguf_fields *f, size_t at)
{
    return (struct gguf_string){(const char *)f->bytes + at + 8,
                                (size_t)fields_int(f->bytes + at, 8)};
}

static inline double honoured_number(const struct gguf_fields *f, const struct fields_value *v)
{
    size_t n = fields_width(v->type);
    uint64_t bits = fields_int(f->bytes + v->at, n);
    if (v->type == GGUF_F32) {
        float value;
        memcpy(&value, f->bytes + v->at, 4);
        return (double)value;
    }
    if (v->type == GGUF_F64) {
        double value;
        memcpy(&value, f->bytes + v->at, 8);
        return value;
    }
    bool is_signed =
        v->type == GGUF_I8 || v->type == GGUF_I16 || v->type == GGUF_I32 || v->type == GGUF_I64;
    if (is_signed && n < 8 && bits >> (8 * n - 1) != 0)
        return (double)bits - ldexp(1, 8 * (int)n);
    return is_signed ? (double)(int64_t)bits : (double)bits;
}

/* One key after the architecture's prefix: the model's value for it; NaN: the key is not known. */
static inline double honoured_shape(const struct shape *s, const char *suffix, size_t n)
{
    const struct {
        const char *suffix;
        double value;
    } keys[] = {
        {"context_length", (double)s->n_context_train},
        {"embedding_length", (double)s->n_embd},
        {"block_count", (double)s->n_layers},
        {"feed_forward_length", (double)(s->n_ff > 0 ? s->n_ff : s->n_ff_expert)},
        {"attention.head_count", (double)s->n_heads},
        {"attention.head_count_kv", (double)s->n_kv_heads},
        {"vocab_size", (double)s->n_vocab},
        {"attention.key_length", (double)s->head_dim},
        {"attention.value_length", (double)s->head_dim},
        {"attention.layer_norm_epsilon", (double)s->norm_eps},
        {"attention.layer_norm_rms_epsilon", (double)s->norm_eps},
        {"rope.freq_base", (double)s->rotations[0].base},
        {"rope.dimension_count", (double)s->rotations[0].dim},
        {"rope.scaling.original_context_length", (double)s->rotations[0].original_context},
        {"expert_count", (double)s->routing.n_experts},
        {"expert_used_count", (double)s->routing.n_used},
        {"expert_feed_forward_length", (double)s->n_ff_expert},
        {"expert_shared_feed_forward_length", (double)s->n_ff_shared},
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
        if (text_is(suffix, n, "rope.scaling.type") || text_is(suffix, n, "rope.scaling.factor"))
            continue;
        MUST(fields_width(v->type) != 0 && honoured_number(f, v) == honoured_shape(s, suffix, n),
             "key '%.*s' is not what was loaded", (int)v->n_key, v->key);
    }
    if (s->rope != ROPE_NONE)
        honoured_scaling(f, s);
    const struct fields_value *v = fields_find(f, "general.quantization_version");
    HOLDS(v == NULL || honoured_number(f, v) == 2);
}

/* Where a tensor's values must have come to lie: one matrix or vector, or the three of q, k, v. */
struct honoured_place {
    const struct matrix *w[3];
    const float *values[3];
    size_t n[3]; /* rows of each matrix, values of each vector */
};

static inline bool honoured_find(const struct model *m, struct gguf_string name,
                                 struct honoured_place *out)
{
    const struct layer *l = &m->layers[0];
    const struct layer_experts *e = &l->experts;
    size_t q = l->q.w.n_rows, kv = l->k.w.n_rows, embd = m->shape.n_embd, head = m->shape.head_dim;
    const struct {
        const char *name;
        struct honoured_place place;
    } places[] = {
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
        {"blk.0.ffn_gate.bias", {{NULL}, {l->gate.bias}, {m->shape.n_ff}}},
        {"blk.0.ffn_up.weight", {{&l->up.w}, {NULL}, {l->up.w.n_rows}}},
        {"blk.0.ffn_up.bias", {{NULL}, {l->up.bias}, {m->shape.n_ff}}},
        {"blk.0.ffn_gate_inp.weight", {{&e->router.w}, {NULL}, {e->router.w.n_rows}}},
        {"blk.0.ffn_gate_shexp.weight", {{&e->shared_gate.w}, {NULL}, {e->shared_gate.w.n_rows}}},
        {"blk.0.ffn_up_shexp.weight", {{&e->shared_up.w}, {NULL}, {e->shared_up.w.n_rows}}},
        {"blk.0.ffn_down_shexp.weight", {{&e->shared_down.w}, {NULL}, {e->shared_down.w.n_rows}}},
        {"blk.0.ffn_down.weight", {{&l->down.w}, {NULL}, {l->down.w.n_rows}}},
        {"blk.0.ffn_down.bias", {{NULL}, {l->down.bias}, {embd}}},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (text_is(name.bytes, name.n, places[i].name)) {
            *out = places[i].place;
            return true;
        }
    }
    return false;
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
        MUST(fabs((double)m->rope[0].cos[half + i] - cos(angle)) <= 1e-5, "pair %zu", i);
        MUST(fabs((double)m->rope[0].sin[half + i] - sin(angle)) <= 1e-5, "pair %zu", i);
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
    if (honoured_experts(m, t, wanted)) {
        free(wanted);
        free(row);
        return;
    }
    HOLDS(t->ne[2] * t->ne[3] == 1);
    if (text_is(t->name, t->n_name, "rope_freqs.weight")) {
        HOLDS(n == m->shape.rotations[0].dim / 2);
        honoured_factors(m, wanted);
        place = (struct honoured_place){0};
    } else {
        MUST(honoured_find(m, name, &place), "tensor '%.*s' was ignored", (int)t->n_name, t->name);
    }
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
    bool cut = place.values[0] != NULL && place.values[0] == m->positions; /* to the context */
    MUST(place.n[0] == 0 || from == wanted + n || cut, "tensor '%.*s': some was ignored",
         (int)t->n_name, t->name);
    free(wanted);
    free(row);
}

static inline void honoured_model(const struct gguf_fields *f, const struct model *m)
{
    const struct fields_value *arch = fields_find(f, "general.architecture");
    HOLDS(f->whole && arch != NULL);
    struct gguf_string name = honoured_string(f, arch->at);
    HOLDS(text_is(name.bytes, name.n, m->shape.arch));
    HOLDS(m->shape.n_layers == 1);
    honoured_keys(f, m);
    bool has_head = false;
    for (size_t i = 0; i < f->n_tensors; i++) {
        honoured_tensor(f, m, &f->tensors[i]);
        has_head = has_head || text_is(f->tensors[i].name, f->tensors[i].n_name, "output.weight");
    }
    HOLDS(m->shape.tied_head == !has_head);
}

/* A special id's key; where it is absent the custom of the kind of vocabulary holds. */
static inline void honoured_id(const struct gguf_fields *f, const char *key, int32_t id)
{
    const struct fields_value *v = fields_find(f, key);
    if (v != NULL)
        MUST(honoured_number(f, v) == (double)id, "key '%s'", key);
}

static inline void honoured_tokenizer(const struct gguf_fields *f, const struct tokenizer *t)
{
    const struct fields_value *model = fields_find(f, "tokenizer.ggml.model"),
                              *tokens = fields_find(f, "tokenizer.ggml.tokens"),
                              *types = fields_find(f, "tokenizer.ggml.token_type"),
                              *adds_bos = fields_find(f, "tokenizer.ggml.add_bos_token");
    HOLDS(model != NULL && tokens != NULL);
    struct gguf_string text = honoured_string(f, model->at);
    HOLDS(text_is(text.bytes, text.n, tokenizer_model(t)));
    HOLDS(tokens->n == tokenizer_n_vocab(t));
    size_t at = tokens->at;
    for (size_t id = 0; id < tokens->n; id++) {
        struct gguf_string wanted = honoured_string(f, at);
        struct gguf_string entry = tokenizer_entry(t, (int32_t)id);
        HOLDS(entry.n == wanted.n && memcmp(entry.bytes, wanted.bytes, entry.n) == 0);
        if (types != NULL && fields_int(f->bytes + types->at + 4 * id, 4) == 3)
            HOLDS(tokenizer_is_control(t, (int32_t)id));
        at += 8 + wanted.n;
    }
    honoured_id(f, "tokenizer.ggml.bos_token_id", tokenizer_bos(t));
    honoured_id(f, "tokenizer.ggml.eos_token_id", tokenizer_eos(t));
    if (adds_bos != NULL)
        HOLDS(f->bytes[adds_bos->at] == tokenizer_adds_bos(t));
}
