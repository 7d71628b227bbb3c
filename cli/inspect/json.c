/* json.c - an inspection as one JSON object on standard output. Main thread. */
#include "cli/inspect/inspect.h"

#include "api/json/json.h"
#include "forward/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text(struct json_writer *w, const char *value)
{
    if (value[0] != '\0')
        json_string(w, value, strlen(value));
    else
        json_raw(w, "null");
}

/* ,"name": */
static void name(struct json_writer *w, const char *key)
{
    json_raw(w, ",\"");
    json_raw(w, key);
    json_raw(w, "\":");
}

static void number(struct json_writer *w, const char *key, size_t value)
{
    name(w, key);
    json_uint(w, value);
}

static void print_shape(struct json_writer *w, const struct shape *s)
{
    json_raw(w, ",\"shape\":{\"layers\":");
    json_uint(w, s->n_layers);
    number(w, "embedding", s->n_embd);
    number(w, "heads", s->n_heads);
    number(w, "kv_heads", s->n_kv_heads);
    number(w, "head_size", s->head_dim);
    number(w, "feed_forward", s->n_ff);
    if (s->routing.n_experts > 0) {
        number(w, "experts", s->routing.n_experts);
        number(w, "experts_used", s->routing.n_used);
        number(w, "expert_feed_forward", s->n_ff_expert);
        number(w, "shared_feed_forward", s->n_ff_shared);
    }
    number(w, "vocabulary", s->n_vocab);
    number(w, "context", s->n_context_train);
    name(w, "tied_head");
    json_bool(w, s->tied_head);
    name(w, "norm");
    json_raw(w, s->norm == NORM_LAYER ? "\"layer\"" : "\"rms\"");
    name(w, "norm_epsilon");
    json_float(w, s->norm_eps);
    name(w, "activation");
    static const char *const ffns[] = {[FFN_SILU_GATED] = "silu_gated",
                                       [FFN_GELU] = "gelu",
                                       [FFN_GELU_GATED] = "gelu_gated",
                                       [FFN_SWIGLU_OAI] = "swiglu_clamped"};
    text(w, ffns[s->ffn]);
    number(w, "window", inspection_window(s));
    number(w, "windowed_layers", inspection_windowed(s));
    name(w, "rope");
    if (s->rope == ROPE_NONE) {
        json_raw(w, "null}");
        return;
    }
    json_raw(w, "{\"order\":");
    json_raw(w, s->rope == ROPE_INTERLEAVED ? "\"interleaved\"" : "\"neox\"");
    number(w, "dimensions", s->rotations[0].dim);
    name(w, "base");
    json_float(w, s->rotations[0].base);
    name(w, "scaling");
    text(w, inspection_scaling(s));
    name(w, "factor");
    json_float(w, s->rotations[0].factor);
    json_raw(w, "}}");
}

static void print_types(struct json_writer *w, const struct inspection *i)
{
    bool first = true;
    number(w, "parameters", i->n_params);
    name(w, "bits_per_weight");
    json_double(w, inspection_bits(i), 3);
    json_raw(w, ",\"weights\":[");
    for (size_t type = 0; type < WEIGHT_TYPES; type++) {
        const struct inspect_type *t = &i->types[type];
        if (t->n_tensors == 0)
            continue;
        json_raw(w, first ? "{\"type\":" : ",{\"type\":");
        text(w, weight_infos[type].name);
        number(w, "tensors", t->n_tensors);
        number(w, "parameters", t->n_params);
        number(w, "bytes", t->n_bytes);
        json_raw(w, "}");
        first = false;
    }
    json_raw(w, "]");
}

static void print_memory(struct json_writer *w, const struct inspection *i)
{
    json_raw(w, ",\"memory\":{\"weights_bytes\":");
    json_uint(w, i->model_bytes);
    number(w, "context", i->n_context);
    json_raw(w, ",\"kv\":{");
    for (enum kv_type type = 0; type < KV_TYPES; type++) {
        json_raw(w, type > 0 ? ",\"" : "\"");
        json_raw(w, inspection_kv_name(type));
        json_raw(w, "\":{\"bytes_per_1000_positions\":");
        json_double(w, inspection_kv_bytes(i, type, 1000), 0);
        number(w, "bytes_per_sequence", kv_bytes_for(&i->shape, type, i->n_context, 1));
        json_raw(w, "}");
    }
    json_raw(w, "}}");
}

static void print_token(struct json_writer *w, const struct tokenizer *t, int32_t id)
{
    if (id == TOKEN_NONE) {
        json_raw(w, "null");
        return;
    }
    struct gguf_string entry = tokenizer_entry(t, id);
    json_raw(w, "{\"id\":");
    json_int(w, id);
    name(w, "text");
    json_string(w, entry.bytes, entry.n);
    json_raw(w, "}");
}

/* "by_text": no key of the file names it. */
static void print_end(struct json_writer *w, const struct tokenizer *t, int32_t id)
{
    struct gguf_string entry = tokenizer_entry(t, id);
    json_raw(w, "{\"id\":");
    json_int(w, id);
    name(w, "text");
    json_string(w, entry.bytes, entry.n);
    name(w, "by_text");
    json_bool(w, tokenizer_is_end_by_text(t, id));
    json_raw(w, "}");
}

static void print_tokenizer(struct json_writer *w, const struct inspection *i)
{
    const struct tokenizer *t = i->tokenizer;
    json_raw(w, ",\"tokenizer\":{\"model\":");
    text(w, tokenizer_model(t));
    name(w, "pre");
    text(w, tokenizer_pre(t));
    number(w, "entries", tokenizer_n_vocab(t));
    name(w, "bos");
    print_token(w, t, tokenizer_bos(t));
    name(w, "eos");
    print_token(w, t, tokenizer_eos(t));
    name(w, "further_ends");
    json_raw(w, "[");
    for (size_t k = 0; k < i->n_ends; k++) {
        json_raw(w, k > 0 ? "," : "");
        print_end(w, t, i->ends[k]);
    }
    json_raw(w, "]");
    name(w, "adds_bos");
    json_bool(w, tokenizer_adds_bos(t));
    name(w, "adds_eos");
    json_bool(w, tokenizer_adds_eos(t));
    name(w, "chat_template");
    json_bool(w, i->has_template);
    json_raw(w, "}");
}

static void print_tensors(struct json_writer *w, const struct gguf *gguf)
{
    json_raw(w, ",\"tensor_list\":[");
    for (size_t k = 0; k < gguf_n_tensors(gguf); k++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, k);
        json_raw(w, k > 0 ? ",{\"name\":" : "{\"name\":");
        text(w, t->name);
        name(w, "type");
        text(w, ggml_type_name(t->type));
        name(w, "shape");
        for (uint32_t d = 0; d < t->n_dims; d++) {
            json_raw(w, d > 0 ? "," : "[");
            json_uint(w, t->ne[d]);
        }
        json_raw(w, "]");
        number(w, "bytes", t->n_bytes);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void print_file(struct json_writer *w, const struct inspection *i)
{
    json_raw(w, "{\"file\":");
    json_string(w, i->path, strlen(i->path));
    number(w, "bytes", gguf_size(i->gguf));
    number(w, "files", gguf_n_parts(i->gguf));
    number(w, "gguf_version", gguf_version(i->gguf));
    number(w, "keys", gguf_n_values(i->gguf));
    number(w, "tensors", gguf_n_tensors(i->gguf));
    name(w, "architecture");
    text(w, i->arch);
    name(w, "name");
    text(w, i->name);
    name(w, "license");
    text(w, i->license);
}

enum status inspection_print_json(const struct inspection *i, bool tensors, struct error *err)
{
    enum { REST = 65536, TENSOR = 640 }; /* bytes; a name has 63, each perhaps six as an escape */
    size_t room =
        json_string_bound(strlen(i->path)) + REST +
        (tensors ? gguf_n_tensors(i->gguf) * TENSOR : 0) +
        json_string_bound(4096) * (TOKENIZER_MAX_ENDS + 2); /* a vocabulary's longest entry */
    struct json_writer w = {.out = malloc(room), .room = room};
    if (w.out == NULL)
        return error_no_memory(err, room, "the report");
    print_file(&w, i);
    name(&w, "vocabulary_only");
    json_bool(&w, i->vocabulary_only);
    if (!i->vocabulary_only) {
        print_shape(&w, &i->shape);
        print_types(&w, i);
        print_memory(&w, i);
    }
    print_tokenizer(&w, i);
    json_raw(&w, ",\"unusual\":[");
    for (size_t k = 0; k < i->n_unusual; k++) {
        json_raw(&w, k > 0 ? "," : "");
        text(&w, i->unusual[k]);
    }
    json_raw(&w, "]");
    if (tensors)
        print_tensors(&w, i->gguf);
    json_raw(&w, "}\n");
    fwrite(w.out, 1, w.n, stdout);
    free(w.out);
    return STATUS_OK;
}

void inspection_print_refusal(const char *path, const struct error *why)
{
    size_t room = json_string_bound(strlen(path)) + json_string_bound(sizeof *why) + 256;
    struct json_writer w = {.out = malloc(room), .room = room};
    if (w.out == NULL)
        return;
    json_raw(&w, "{\"file\":");
    json_string(&w, path, strlen(path));
    json_raw(&w, ",\"refused\":{\"message\":");
    text(&w, why->text);
    name(&w, "param");
    text(&w, why->param);
    json_raw(&w, "}}\n");
    fwrite(w.out, 1, w.n, stdout);
    free(w.out);
}
