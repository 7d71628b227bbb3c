/* verb_inspect.c - `inspect FILE`: what a GGUF file holds and what serving it needs, or why it is
 * refused. Main thread; the weights' values are never read. */
#include "server/verbs.h"

#include "base/checked.h"
#include "base/utf8.h"
#include "math/quant.h"
#include "model/kv.h"
#include "model/model.h"
#include "server/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 4096 };

/* "2.9 MiB" */
static const char *size_text(double bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++)
        bytes /= 1024;
    snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return out;
}

static void print_text_key(const struct gguf *gguf, const char *label, const char *key)
{
    struct gguf_string value;
    char text[160];
    bool found = false;
    if (gguf_get_string(gguf, key, &value, &found, NULL) != STATUS_OK || !found)
        return;
    utf8_printable(text, sizeof text, value.bytes, value.n);
    printf("%-14s %s\n", label, text);
}

static void print_file(const struct gguf *gguf, const char *path)
{
    char size[32];
    printf("%-14s %s\n", "file", path);
    printf("%-14s GGUF version %" PRIu32 ", %s, %zu keys, %zu tensors\n", "format",
           gguf_version(gguf), size_text((double)gguf_size(gguf), size), gguf_n_values(gguf),
           gguf_n_tensors(gguf));
    print_text_key(gguf, "architecture", "general.architecture");
    print_text_key(gguf, "name", "general.name");
    print_text_key(gguf, "license", "general.license");
}

static void print_end(const struct tokenizer *t, const char *name, int32_t id, bool added)
{
    if (id == TOKEN_NONE) {
        printf(", no %s", name);
        return;
    }
    char text[64];
    struct gguf_string entry = tokenizer_entry(t, id);
    utf8_printable(text, sizeof text, entry.bytes, entry.n);
    printf(", %s %d \"%s\"%s", name, (int)id, text, added ? " (added)" : "");
}

static enum status print_tokenizer(const struct gguf *gguf, struct error *err)
{
    struct tokenizer *t;
    enum status status = tokenizer_create(&t, gguf, err);
    if (status != STATUS_OK)
        return status;
    const char *pre = tokenizer_pre(t);
    printf("%-14s %s%s%s%s, %zu entries", "tokenizer", tokenizer_model(t),
           pre[0] != '\0' ? " (" : "", pre, pre[0] != '\0' ? ")" : "", tokenizer_n_vocab(t));
    print_end(t, "BOS", tokenizer_bos(t), tokenizer_adds_bos(t));
    print_end(t, "EOS", tokenizer_eos(t), tokenizer_adds_eos(t));
    putchar('\n');
    tokenizer_destroy(t);
    return STATUS_OK;
}

static void print_shape(const struct shape *s)
{
    static const char *const scalings[] = {[ROPE_SCALING_NONE] = "none",
                                           [ROPE_SCALING_LINEAR] = "linear",
                                           [ROPE_SCALING_YARN] = "yarn"};
    printf("%-14s %zu layers, width %zu, feed-forward %zu, vocabulary %zu%s\n", "shape",
           s->n_layers, s->n_embd, s->n_ff, s->n_vocab, s->tied_head ? ", tied head" : "");
    printf("%-14s %zu heads of %zu, %zu for keys and values\n", "attention", s->n_heads,
           s->head_dim, s->n_kv_heads);
    printf("%-14s %zu positions", "context", s->n_context_train);
    if (s->learned_positions)
        printf(", learned");
    else if (s->rope != ROPE_NONE)
        printf(", RoPE over %zu of %zu (%s), base %g", s->rope_dim, s->head_dim,
               s->rope == ROPE_INTERLEAVED ? "interleaved" : "neox", (double)s->rope_base);
    if (s->rope_scaling != ROPE_SCALING_NONE)
        printf(", %s scaling by %g", scalings[s->rope_scaling], (double)s->rope_scale_factor);
    putchar('\n');
}

/* What each weight type takes; the reader has checked every type. */
static void print_types(const struct gguf *gguf)
{
    size_t n_tensors[WEIGHT_TYPES] = {0}, n_bytes[WEIGHT_TYPES] = {0}, n_values[WEIGHT_TYPES] = {0};
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        enum weight_type type = weight_type_of_ggml(t->type);
        n_tensors[type]++;
        n_bytes[type] += t->n_bytes;
        n_values[type] +=
            t->n_bytes / weight_infos[type].block_bytes * weight_infos[type].block_values;
    }
    char size[32];
    for (size_t i = 0; i < WEIGHT_TYPES; i++)
        if (n_tensors[i] > 0)
            printf("%-14s %s: %zu tensors, %.2f M values, %s\n", "weights", weight_infos[i].name,
                   n_tensors[i], (double)n_values[i] / 1e6, size_text((double)n_bytes[i], size));
}

static enum status print_memory(const struct gguf *gguf, const struct shape *shape,
                                const struct settings *s, struct error *err)
{
    static const char *const names[KV_TYPES] = {[KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8"};
    enum kv_type type = (enum kv_type)s->kv_type;
    size_t n_context = s->context, n_bytes;
    if (n_context == 0)
        n_context =
            shape->n_context_train < DEFAULT_CONTEXT ? shape->n_context_train : DEFAULT_CONTEXT;
    if (n_context > shape->n_context_train)
        return error_set_param(err, STATUS_INVALID, "--context",
                               "--context: %zu is more than the model's %zu positions", n_context,
                               shape->n_context_train);
    enum status status = model_memory(gguf, shape, n_context, &n_bytes, err);
    if (status != STATUS_OK)
        return status;
    char weights[32], kv[32];
    double kv_bytes = (double)kv_pages_for(n_context) * (double)kv_page_bytes(shape, type);
    printf("%-14s %s of weights; %s of keys and values (%s) for each sequence of %zu positions\n",
           "memory", size_text((double)n_bytes, weights), size_text(kv_bytes, kv), names[type],
           n_context);
    return STATUS_OK;
}

static void print_tensors(const struct gguf *gguf)
{
    puts("\ntensors");
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, i);
        char shape[96] = "";
        size_t n = 0;
        for (uint32_t d = 0; d < t->n_dims; d++)
            n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%" PRIu64, d > 0 ? " x " : "",
                                  t->ne[d]);
        printf("  %-32s %-6s %s\n", t->name, ggml_type_name(t->type), shape);
    }
}

int verb_inspect(const struct settings *settings)
{
    struct gguf *gguf = NULL;
    struct shape shape;
    struct error err = {0};
    enum status status = load_gguf(&gguf, settings->argument, &err);
    if (status == STATUS_OK) {
        print_file(gguf, settings->argument);
        status = print_tokenizer(gguf, &err);
    }
    if (status == STATUS_OK)
        status = model_read_shape(&shape, gguf, &err);
    if (status == STATUS_OK) {
        print_shape(&shape);
        print_types(gguf);
        status = print_memory(gguf, &shape, settings, &err);
    }
    if (status == STATUS_OK)
        print_tensors(gguf);
    fflush(stdout);
    int code = status == STATUS_OK ? EXIT_DONE : verb_fail(&err);
    gguf_close(gguf);
    return code;
}
