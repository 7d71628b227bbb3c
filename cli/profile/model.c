/* model.c - writes a GGUF v3 file into memory. Holds no state. */
#include "cli/profile/model.h"

#include "base/checked.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3, FIRST_BYTE = 3, FIRST_PIECE = FIRST_BYTE + 256 };
enum { KIND_NORMAL = 1, KIND_UNKNOWN = 2, KIND_CONTROL = 3, KIND_BYTE = 6 }; /* of a token */

struct writer {
    uint8_t *bytes;
    size_t n, room;
    bool failed;
    uint64_t offset; /* of the next tensor */
    uint32_t n_values, n_tensors;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
    size_t end;
    if (w->failed || !checked_add(w->n, n, &end)) {
        w->failed = true;
        return;
    }
    if (w->bytes == NULL || end > w->room) {
        uint8_t *more = realloc(w->bytes, 2 * end);
        w->failed = more == NULL;
        if (more == NULL)
            return;
        w->bytes = more;
        w->room = 2 * end;
    }
    memcpy(w->bytes + w->n, bytes, n);
    w->n = end;
}

static void put_u32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof value); /* little endian, as the file and the machines are */
}

static void put_u64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof value);
}

static void put_text(struct writer *w, const char *text)
{
    put_u64(w, strlen(text));
    put(w, text, strlen(text));
}

/* --- values --- */

static void put_key(struct writer *w, const char *key, uint32_t type)
{
    put_text(w, key);
    put_u32(w, type);
    w->n_values++;
}

static void put_number(struct writer *w, const char *key, size_t value)
{
    put_key(w, key, GGUF_U32);
    put_u32(w, (uint32_t)value);
}

static void put_word(struct writer *w, const char *key, const char *value)
{
    put_key(w, key, GGUF_STRING);
    put_text(w, value);
}

static void put_switch(struct writer *w, const char *key, bool value)
{
    put_key(w, key, GGUF_BOOL);
    put(w, &(uint8_t){value}, 1);
}

static void put_array(struct writer *w, const char *key, uint32_t type, size_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(w, type);
    put_u64(w, n);
}

/* SentencePiece: three special tokens, the bytes, and words that no text has. */
static void put_vocabulary(struct writer *w, size_t n)
{
    static const char *const special[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};
    char text[32];
    put_word(w, "tokenizer.ggml.model", "llama");
    put_number(w, "tokenizer.ggml.bos_token_id", 1);
    put_number(w, "tokenizer.ggml.eos_token_id", 2);
    put_switch(w, "tokenizer.ggml.add_bos_token", false);
    put_switch(w, "tokenizer.ggml.add_eos_token", false);
    put_array(w, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, i < FIRST_PIECE ? "<0x%02X>" : " w%u",
                 (unsigned)(i < FIRST_PIECE ? i - FIRST_BYTE : i) & 0xffffffu);
        put_text(w, i < FIRST_BYTE ? special[i] : text);
    }
    put_array(w, "tokenizer.ggml.scores", GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        put(w, &(float){-(float)i}, sizeof(float));
    put_array(w, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        put_u32(w, i == 0            ? KIND_UNKNOWN
                   : i < FIRST_BYTE  ? KIND_CONTROL
                   : i < FIRST_PIECE ? KIND_BYTE
                                     : KIND_NORMAL);
}

/* --- tensors --- */

enum fill { FILL_NOISE, FILL_ONE, FILL_ZERO };

struct tensor {
    const char *name;  /* of a layer: after "blk.N." */
    size_t cols, rows; /* rows 0: a vector */
    enum fill fill;
};

static size_t values_of(const struct tensor *t)
{
    return t->cols * (t->rows > 0 ? t->rows : 1);
}

static void put_info(struct writer *w, const struct tensor *t, long layer)
{
    char name[64];
    if (layer < 0)
        snprintf(name, sizeof name, "%s", t->name);
    else
        snprintf(name, sizeof name, "blk.%ld.%s", layer, t->name);
    put_text(w, name);
    put_u32(w, t->rows > 0 ? 2 : 1);
    put_u64(w, t->cols);
    if (t->rows > 0)
        put_u64(w, t->rows);
    put_u32(w, weight_infos[WEIGHT_F32].ggml_id);
    put_u64(w, w->offset);
    w->offset += (values_of(t) * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    w->n_tensors++;
}

static void put_data(struct writer *w, const struct tensor *t, uint64_t *state)
{
    for (size_t i = 0; i < values_of(t); i++) {
        float value = t->fill == FILL_ONE ? 1 : 0;
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        if (t->fill == FILL_NOISE) /* about what a trained matrix has: 0.03 on the average */
            value = ((float)(*state >> 40) * 0x1p-24f - 0.5f) * 0.12f;
        put(w, &value, sizeof value);
    }
    while (w->n % ALIGNMENT != 0 && !w->failed)
        put(w, "", 1);
}

enum { N_LAYER_TENSORS = 12, N_MODEL_TENSORS = 4 };

static void list_tensors(const struct synthetic *s, struct tensor *of_model,
                         struct tensor *of_layer)
{
    size_t e = s->n_embd;
    const struct tensor model[N_MODEL_TENSORS] = {
        {"token_embd.weight", e, s->n_vocab, FILL_NOISE},
        {"position_embd.weight", e, s->n_context, FILL_NOISE},
        {"output_norm.weight", e, 0, FILL_ONE},
        {"output_norm.bias", e, 0, FILL_ZERO},
    };
    const struct tensor layer[N_LAYER_TENSORS] = {
        {"attn_norm.weight", e, 0, FILL_ONE},      {"attn_norm.bias", e, 0, FILL_ZERO},
        {"attn_qkv.weight", e, 3 * e, FILL_NOISE}, {"attn_qkv.bias", 3 * e, 0, FILL_NOISE},
        {"attn_output.weight", e, e, FILL_NOISE},  {"attn_output.bias", e, 0, FILL_NOISE},
        {"ffn_norm.weight", e, 0, FILL_ONE},       {"ffn_norm.bias", e, 0, FILL_ZERO},
        {"ffn_up.weight", e, 4 * e, FILL_NOISE},   {"ffn_up.bias", 4 * e, 0, FILL_NOISE},
        {"ffn_down.weight", 4 * e, e, FILL_NOISE}, {"ffn_down.bias", e, 0, FILL_NOISE},
    };
    memcpy(of_model, model, sizeof model);
    memcpy(of_layer, layer, sizeof layer);
}

static void put_tensors(struct writer *w, const struct synthetic *s, bool data)
{
    struct tensor of_model[N_MODEL_TENSORS], of_layer[N_LAYER_TENSORS];
    uint64_t state = 20260213;
    list_tensors(s, of_model, of_layer);
    for (size_t i = 0; i < N_MODEL_TENSORS; i++)
        if (data)
            put_data(w, &of_model[i], &state);
        else
            put_info(w, &of_model[i], -1);
    for (size_t layer = 0; layer < s->n_layers; layer++)
        for (size_t i = 0; i < N_LAYER_TENSORS; i++)
            if (data)
                put_data(w, &of_layer[i], &state);
            else
                put_info(w, &of_layer[i], (long)layer);
}

/* --- the file --- */

static void put_shape(struct writer *w, const struct synthetic *s)
{
    put_word(w, "general.architecture", "gpt2");
    put_word(w, "general.name", "synthetic");
    put_number(w, "gpt2.context_length", s->n_context);
    put_number(w, "gpt2.embedding_length", s->n_embd);
    put_number(w, "gpt2.block_count", s->n_layers);
    put_number(w, "gpt2.feed_forward_length", 4 * s->n_embd);
    put_number(w, "gpt2.attention.head_count", s->n_heads);
    put_key(w, "gpt2.attention.layer_norm_epsilon", GGUF_F32);
    put(w, &(float){1e-5f}, sizeof(float));
}

enum status synthetic_gguf(const struct synthetic *shape, uint8_t **out, size_t *n,
                           struct error *err)
{
    struct writer w = {0};
    put(&w, "GGUF", 4);
    put_u32(&w, VERSION);
    size_t counts = w.n;
    put_u64(&w, 0); /* tensors and values: known at the end */
    put_u64(&w, 0);
    put_shape(&w, shape);
    put_vocabulary(&w, shape->n_vocab);
    put_tensors(&w, shape, false);
    while (w.n % ALIGNMENT != 0 && !w.failed)
        put(&w, "", 1);
    put_tensors(&w, shape, true);
    if (w.failed) {
        free(w.bytes);
        return error_no_memory(err, 2 * w.n, "a model of random weights");
    }
    memcpy(w.bytes + counts, &(uint64_t){w.n_tensors}, 8);
    memcpy(w.bytes + counts + 8, &(uint64_t){w.n_values}, 8);
    *out = w.bytes;
    *n = w.n;
    return STATUS_OK;
}

enum status synthetic_load(const struct synthetic *shape, size_t n_context, struct model **model,
                           struct tokenizer **tokenizer, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct gguf *gguf = NULL;
    struct tokenizer *made = NULL;
    enum status status = synthetic_gguf(shape, &bytes, &n, err);
    if (status == STATUS_OK)
        status = gguf_open(&gguf, bytes, n, err);
    if (status == STATUS_OK)
        status = tokenizer_create(&made, gguf, err);
    if (status == STATUS_OK)
        status = model_load(model, gguf, n_context, 1, err);
    if (status == STATUS_OK)
        *tokenizer = made;
    else
        tokenizer_destroy(made);
    gguf_close(gguf);
    free(bytes);
    return status;
}
