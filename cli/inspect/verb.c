/* verb.c - `inspect FILE`: what a GGUF file holds and what serving it needs, or why it is
 * refused, for people to read or as JSON. Main thread; the weights' values are never read. */
#include "cli/verbs.h"

#include "base/utf8.h"
#include "cli/inspect/inspect.h"
#include "forward/kv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* "134.5 M" */
static const char *count_text(double n, char out[32])
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    for (; n >= 1000 && unit < 4; unit++)
        n /= 1000;
    snprintf(out, 32, unit == 0 ? "%.0f%s" : "%.2f%s", n, units[unit]);
    return out;
}

__attribute__((format(printf, 2, 3))) static void line(const char *label, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %-22s ", label);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static void print_file(const struct inspection *i)
{
    char size[32];
    puts(i->name[0] != '\0' ? i->name : i->shape.arch);
    line("file", "%s, %s", i->path, size_text((double)gguf_size(i->gguf), size));
    line("format", "GGUF version %" PRIu32 ", %zu keys, %zu tensors", gguf_version(i->gguf),
         gguf_n_values(i->gguf), gguf_n_tensors(i->gguf));
    line("architecture", "%s", i->shape.arch);
    if (i->license[0] != '\0')
        line("license", "%s", i->license);
}

static void print_shape(const struct shape *s)
{
    puts("\nshape");
    line("layers", "%zu", s->n_layers);
    line("width", "%zu", s->n_embd);
    line("heads", "%zu of %zu", s->n_heads, s->head_dim);
    line("keys and values for", "%zu heads", s->n_kv_heads);
    line("feed-forward", "%zu, %s", s->n_ff, s->ffn == FFN_GELU ? "GELU" : "SiLU, gated");
    line("norms", "%s, epsilon %g", s->norm == NORM_LAYER ? "layer" : "RMS", (double)s->norm_eps);
    line("vocabulary", "%zu", s->n_vocab);
    line("head", "%s", s->tied_head ? "the embedding (tied)" : "a matrix of its own");
    line("context", "%zu positions", s->n_context_train);
    if (s->rope == ROPE_NONE)
        line("positions", "learned");
    else
        line("positions", "RoPE over %zu of %zu, %s, base %g", s->rope_dim, s->head_dim,
             s->rope == ROPE_INTERLEAVED ? "interleaved" : "neox", (double)s->rope_base);
}

static void print_weights(const struct inspection *i)
{
    char count[32], size[32];
    printf("\nweights: %s parameters, %.2f bits each\n", count_text((double)i->n_params, count),
           inspection_bits(i));
    printf("  %-8s %8s %12s %7s %12s\n", "type", "tensors", "parameters", "share", "in the file");
    for (size_t type = 0; type < WEIGHT_TYPES; type++) {
        const struct inspect_type *t = &i->types[type];
        if (t->n_tensors > 0)
            printf("  %-8s %8zu %12s %5.1f %% %12s\n", weight_infos[type].name, t->n_tensors,
                   count_text((double)t->n_params, count),
                   100 * (double)t->n_params / (double)i->n_params,
                   size_text((double)t->n_bytes, size));
    }
}

static void print_memory(const struct inspection *i)
{
    char size[32], label[48];
    puts("\nmemory");
    line("weights", "%s", size_text((double)i->model_bytes, size));
    printf("  %-22s", "keys and values in");
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        printf(" %12s", inspection_kv_name(type));
    printf("\n  %-22s", "  1,000 positions");
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        printf(" %12s", size_text(inspection_kv_bytes(i, type, 1000), size));
    snprintf(label, sizeof label, "  a context of %zu", i->n_context);
    printf("\n  %-22s", label);
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        printf(" %12s", size_text((double)kv_pages_for(i->n_context) *
                                      (double)kv_page_bytes(&i->shape, type),
                                  size));
    double kv = (double)kv_pages_for(i->n_context) * (double)kv_page_bytes(&i->shape, i->kv_type);
    putchar('\n');
    line("to serve one sequence", "%s and a step's buffers, with keys and values in %s",
         size_text((double)i->model_bytes + kv, size), inspection_kv_name(i->kv_type));
}

static void print_token(const struct tokenizer *t, const char *label, int32_t id, const char *rest)
{
    char text[64];
    if (id == TOKEN_NONE) {
        line(label, "none");
        return;
    }
    struct gguf_string entry = tokenizer_entry(t, id);
    utf8_printable(text, sizeof text, entry.bytes, entry.n);
    line(label, "%d \"%s\"%s", (int)id, text, rest);
}

static void print_tokenizer(const struct inspection *i)
{
    const struct tokenizer *t = i->tokenizer;
    const char *pre = tokenizer_pre(t);
    puts("\ntokenizer");
    line("kind", "%s%s%s%s, %zu entries",
         strcmp(tokenizer_model(t), "llama") == 0 ? "SentencePiece" : "byte-level BPE",
         pre[0] != '\0' ? " (" : "", pre, pre[0] != '\0' ? ")" : "", tokenizer_n_vocab(t));
    print_token(t, "BOS", tokenizer_bos(t), tokenizer_adds_bos(t) ? ", added" : "");
    print_token(t, "EOS", tokenizer_eos(t), tokenizer_adds_eos(t) ? ", added" : "");
    for (size_t k = 0; k < i->n_ends; k++)
        print_token(t, "ends a text too", i->ends[k], "");
    line("chat template", "%s", i->has_template ? "yes" : "none");
}

static void print_unusual(const struct inspection *i)
{
    puts("\nunusual");
    for (size_t k = 0; k < i->n_unusual; k++)
        printf("  - %s\n", i->unusual[k]);
    if (i->n_unusual == 0)
        puts("  nothing");
}

/* --- tensors --- */

static void print_tensor(const char *name, const char *types, const struct gguf_tensor *t)
{
    printf("  %-32s %-16s ", name, types);
    for (uint32_t d = 0; d < t->n_dims; d++)
        printf("%s%" PRIu64, d > 0 ? " x " : "", t->ne[d]);
    putchar('\n');
}

/* "blk.12.attn_q.weight" without its layer: where the rest begins; NULL: of no layer. */
static const char *behind_layer(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
}

/* One line for the same tensor of all layers, where its first stands: how many in which types. */
static void print_group(const struct gguf *gguf, size_t first)
{
    const struct gguf_tensor *t = gguf_tensor_at(gguf, first);
    const char *role = behind_layer(t->name);
    size_t n_of[WEIGHT_TYPES] = {0}, n = 0;
    char name[80], types[160] = "";
    for (size_t k = 0; role != NULL && k < gguf_n_tensors(gguf); k++) {
        const struct gguf_tensor *other = gguf_tensor_at(gguf, k);
        const char *its = behind_layer(other->name);
        if (its == NULL || strcmp(its, role) != 0)
            continue;
        if (k < first)
            return;
        n_of[weight_type_of_ggml(other->type)]++;
    }
    if (role == NULL) {
        print_tensor(t->name, ggml_type_name(t->type), t);
        return;
    }
    for (size_t type = 0; type < WEIGHT_TYPES; type++)
        if (n_of[type] > 0)
            n += (size_t)snprintf(types + n, sizeof types - n, "%s%zu %s", n > 0 ? ", " : "",
                                  n_of[type], weight_infos[type].name);
    snprintf(name, sizeof name, "blk.*%s", role);
    print_tensor(name, types, t);
}

static void print_tensors(const struct gguf *gguf, bool all)
{
    puts(all ? "\ntensors" : "\ntensors (each: --tensors)");
    for (size_t k = 0; k < gguf_n_tensors(gguf); k++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, k);
        if (all)
            print_tensor(t->name, ggml_type_name(t->type), t);
        else
            print_group(gguf, k);
    }
}

/* --- the verb --- */

static void print_all(const struct inspection *i, bool tensors)
{
    print_file(i);
    print_shape(&i->shape);
    print_weights(i);
    print_memory(i);
    print_tokenizer(i);
    print_unusual(i);
    print_tensors(i->gguf, tensors);
}

int verb_inspect(const struct settings *settings)
{
    struct inspection *found = malloc(sizeof *found);
    struct error err = {0};
    if (found == NULL) {
        error_no_memory(&err, sizeof *found, "the report");
        return verb_fail(&err);
    }
    enum status status = inspection_make(found, settings, &err);
    if (status == STATUS_OK && settings->json)
        status = inspection_print_json(found, settings->tensors, &err);
    else if (status == STATUS_OK)
        print_all(found, settings->tensors);
    inspection_free(found);
    free(found);
    if (status == STATUS_OK)
        return EXIT_DONE;
    if (settings->json)
        inspection_print_refusal(settings->argument, &err);
    if (strstr(err.text, settings->argument) != NULL || strncmp(err.param, "--", 2) == 0)
        return verb_fail(&err);
    struct error named;
    error_set_param(&named, status, err.param, "%s: %s", settings->argument, err.text);
    return verb_fail(&named);
}
