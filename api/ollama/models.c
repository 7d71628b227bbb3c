/* models.c - what Ollama's API says of the one model that is served. Loop thread. */
#include "api/ollama/parts.h"

#include "api/asked/asked.h"
#include "api/reasoning.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The version of Ollama's API that is spoken here: clients decide by it what they may ask for. */
static const char api_version[] = "0.12.11";
/* A model that is never put away. */
static const char never[] = "2318-01-01T00:00:00Z";

enum { MODEL_BOUND = 1536, NAME_ROOM = 1024 + 8 };

/* Names have a tag there; one without it is the latest. */
static void put_name(struct json_writer *w, const char *before, const char *key, const char *name)
{
    char full[NAME_ROOM];
    snprintf(full, sizeof full, "%s%s", name, strchr(name, ':') == NULL ? ":latest" : "");
    json_name_text(w, before, key, full);
}

#define FNV_PRIME UINT64_C(0x100000001b3)

/* FNV-1a, so that another model, or the same in other weights, has another digest. It is made of
 * what the model is, not of its file's bytes. */
static uint64_t hash(uint64_t state, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        state = (state ^ p[i]) * FNV_PRIME;
    return state;
}

static void put_digest(struct json_writer *w, const struct served *served)
{
    const struct model *model = served->model;
    const uint64_t facts[] = {model->file_bytes, model->n_params, model->bytes_per_token,
                              model->shape.n_layers, model->shape.n_vocab};
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    char digits[4 * 16 + 1];
    state = hash(state, model->name, strlen(model->name));
    state = hash(state, model->weights, strlen(model->weights));
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < sizeof facts / sizeof facts[0]; k++)
            state = (state ^ facts[k]) * FNV_PRIME;
        snprintf(digits + 16 * i, 17, "%016" PRIx64, state);
    }
    json_name_text(w, ",", "digest", digits);
}

/* "134.5M", as people write it. */
static void put_parameters(struct json_writer *w, uint64_t n)
{
    static const char letters[] = {'K', 'M', 'B', 'T'};
    double value = (double)n / 1e3;
    size_t i = 0;
    char text[32];
    while (value >= 1000 && i + 1 < sizeof letters) {
        value /= 1000;
        i++;
    }
    snprintf(text, sizeof text, value < 10 ? "%.2f%c" : "%.1f%c", value, letters[i]);
    json_name_text(w, ",", "parameter_size", text);
}

static void put_details(struct json_writer *w, const struct served *served)
{
    const struct model *model = served->model;
    json_name(w, ",", "details");
    json_name_text(w, "{", "parent_model", "");
    json_name_text(w, ",", "format", "gguf");
    json_name_text(w, ",", "family", model->shape.arch);
    json_raw(w, ",\"families\":[");
    json_string(w, model->shape.arch, strlen(model->shape.arch));
    json_raw(w, "]");
    put_parameters(w, model->n_params);
    json_name_text(w, ",", "quantization_level", model->weights);
    json_raw(w, "}");
}

static void put_model(struct json_writer *w, const struct served *served, const char *name)
{
    put_name(w, "{", "name", name);
    put_name(w, ",", "model", name);
    json_name_uint(w, ",", "size", served->model->file_bytes);
    put_digest(w, served);
    put_details(w, served);
}

size_t ollama_models_bound(const struct served *served)
{
    size_t bound = 64;
    for (size_t i = 0; i < served->n_names; i++)
        bound += MODEL_BOUND + 2 * json_string_bound(strlen(served->names[i]));
    return bound;
}

size_t ollama_tags(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    char modified[OLLAMA_TIME_ROOM];
    ollama_time(served->created, modified);
    json_raw(&w, "{\"models\":[");
    for (size_t i = 0; i < served->n_names; i++) {
        json_raw(&w, i > 0 ? "," : "");
        put_model(&w, served, served->names[i]);
        json_name_text(&w, ",", "modified_at", modified);
        json_raw(&w, "}");
    }
    json_raw(&w, "]}\n");
    return w.full ? 0 : w.n;
}

size_t ollama_ps(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"models\":[");
    put_model(&w, served, served->names[0]);
    json_name_text(&w, ",", "expires_at", never);
    json_name_uint(&w, ",", "size_vram", 0);
    json_name_uint(&w, ",", "context_length", served->model->n_context);
    json_raw(&w, "}]}\n");
    return w.full ? 0 : w.n;
}

size_t ollama_version(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    (void)served;
    json_name_text(&w, "{", "version", api_version);
    json_name_text(&w, ",", "server", "smallmind " SMALLMIND_VERSION);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

/* --- the model's facts --- */

static void put_fact(struct json_writer *w, const struct served *served, const char *name,
                     uint64_t value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", served->model->shape.arch, name);
    json_name_uint(w, ",", key, value);
}

/* By the names of the file's keys. */
static void put_info(struct json_writer *w, const struct served *served)
{
    const struct shape *shape = &served->model->shape;
    const struct tokenizer *tokenizer = served->tokenizer;
    json_name(w, ",", "model_info");
    json_name_text(w, "{", "general.architecture", shape->arch);
    json_name_text(w, ",", "general.name", served->model->name);
    json_name_uint(w, ",", "general.parameter_count", served->model->n_params);
    put_fact(w, served, "context_length", shape->n_context_train);
    put_fact(w, served, "embedding_length", shape->n_embd);
    put_fact(w, served, "block_count", shape->n_layers);
    put_fact(w, served, "feed_forward_length", shape->n_ff);
    put_fact(w, served, "attention.head_count", shape->n_heads);
    put_fact(w, served, "attention.head_count_kv", shape->n_kv_heads);
    put_fact(w, served, "attention.key_length", shape->head_dim);
    put_fact(w, served, "vocab_size", shape->n_vocab);
    json_name_text(w, ",", "tokenizer.ggml.model", tokenizer_model(tokenizer));
    json_name_text(w, ",", "tokenizer.ggml.pre", tokenizer_pre(tokenizer));
    json_name_bool(w, ",", "tokenizer.ggml.add_bos_token", tokenizer_adds_bos(tokenizer));
    if (tokenizer_bos(tokenizer) != TOKEN_NONE)
        json_name_uint(w, ",", "tokenizer.ggml.bos_token_id", (uint64_t)tokenizer_bos(tokenizer));
    if (tokenizer_eos(tokenizer) != TOKEN_NONE)
        json_name_uint(w, ",", "tokenizer.ggml.eos_token_id", (uint64_t)tokenizer_eos(tokenizer));
    json_raw(w, "}");
}

static const char *template_of(const struct served *served)
{
    return served->template != NULL ? served->template : "";
}

static void put_capabilities(struct json_writer *w, const struct served *served)
{
    const bool writes = !served->model->shape.encoder;
    const bool embeds = served->pooling != POOLING_NONE && served->pooling != POOLING_RANK;
    json_raw(w, ",\"capabilities\":[");
    json_raw(w, writes ? "\"completion\"" : "");
    if (writes && served->chats && reasoning_find(template_of(served)) != NULL)
        json_raw(w, ",\"thinking\"");
    if (embeds)
        json_raw(w, writes ? ",\"embedding\"" : "\"embedding\"");
    json_raw(w, "]");
}

size_t ollama_show_bound(const struct served *served)
{
    return 4096 + json_string_bound(strlen(template_of(served))) +
           2 * json_string_bound(strlen(served->model->name)) +
           json_string_bound(strlen(served->names[0]));
}

size_t ollama_show(const struct served *served, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    char modified[OLLAMA_TIME_ROOM], context[64];
    ollama_time(served->created, modified);
    snprintf(context, sizeof context, "num_ctx %zu", served->model->n_context);
    json_raw(&w, "{\"modelfile\":");
    json_string2(&w, "FROM ", 5, served->names[0], strlen(served->names[0]));
    json_name_text(&w, ",", "parameters", context);
    json_name_text(&w, ",", "template", template_of(served));
    put_details(&w, served);
    put_info(&w, served);
    put_capabilities(&w, served);
    json_name_text(&w, ",", "modified_at", modified);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

/* clang-format off */
static const struct field show_rows[] = {
    {"model", FIELD_ANY, .nullable = true, ASKED(model)},
    {"name", FIELD_ANY, .nullable = true, ASKED(model)}, /* as older clients call it */
    {"verbose", FIELD_NONE, .no_effect = true},
};
/* clang-format on */
const struct field_table ollama_show_fields = {
    .fields = show_rows, .n_fields = sizeof show_rows / sizeof show_rows[0], .lenient = true};

enum status ollama_show_name(const char *body, size_t n, const struct api_limits *limits,
                             char name[GENERATION_MODEL_MAX], struct error *err)
{
    const struct field_limits bounds = {.max_depth = limits->max_json_depth,
                                        .max_nodes = limits->max_json_nodes};
    struct asked values;
    struct fields_found found = {.root = NULL};
    enum status status = fields_read(&ollama_show_fields, &bounds, body, n, &values, &found, err);
    if (status != STATUS_OK)
        return status;
    if (cJSON_IsString(values.model) && values.model->valuestring[0] != '\0')
        snprintf(name, GENERATION_MODEL_MAX, "%s", values.model->valuestring);
    else
        status = error_set_param(err, STATUS_INVALID, "model", "model is missing: name a model");
    fields_free(&found);
    return status;
}
