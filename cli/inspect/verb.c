/* verb.c - `inspect FILE`: what a GGUF file holds and what serving it needs, or why it is
 * refused, for people to read or as JSON. Main thread; the weights' values are never read. */
#include "cli/verbs.h"

#include "base/append.h"
#include "base/utf8.h"
#include "cli/inspect/inspect.h"
#include "cli/markdown.h"
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

__attribute__((format(printf, 3, 4))) static void line(FILE *out, const char *label,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(out, "  %-22s ", label);
    vfprintf(out, format, args);
    putc('\n', out);
    va_end(args);
}

static void print_file(FILE *out, const struct inspection *i)
{
    char size[32];
    fprintf(out, "%s\n", i->name[0] != '\0' ? i->name : i->arch);
    line(out, "file", "%s, %s", i->path, size_text((double)gguf_size(i->gguf), size));
    if (gguf_n_parts(i->gguf) > 1)
        line(out, "split", "in %zu files, of which this is the first", gguf_n_parts(i->gguf));
    line(out, "format", "GGUF version %" PRIu32 ", %zu keys, %zu tensors", gguf_version(i->gguf),
         gguf_n_values(i->gguf), gguf_n_tensors(i->gguf));
    line(out, "architecture", "%s", i->arch);
    if (i->vocabulary_only)
        line(out, "holds", "a vocabulary alone: it tokenizes, and has no weights to serve");
    if (i->license[0] != '\0')
        line(out, "license", "%s", i->license);
}

static void print_shape(FILE *out, const struct shape *s)
{
    fputs("\nshape\n", out);
    line(out, "layers", "%zu", s->n_layers);
    line(out, "width", "%zu", s->n_embd);
    line(out, "heads", "%zu of %zu", s->n_heads, s->head_dim);
    line(out, "keys and values for", "%zu heads", s->n_kv_heads);
    static const char *const ffns[] = {[FFN_SILU_GATED] = "SiLU, gated",
                                       [FFN_GELU] = "GELU",
                                       [FFN_GELU_GATED] = "GELU, gated",
                                       [FFN_SWIGLU_OAI] = "SwiGLU, clamped"};
    if (s->n_ff > 0)
        line(out, "feed-forward", "%zu, %s", s->n_ff, ffns[s->ffn]);
    if (s->routing.n_experts > 0)
        line(out, "experts", "%zu of %zu, %s; each row goes through %zu", s->routing.n_experts,
             s->n_ff_expert, ffns[s->ffn], s->routing.n_used);
    if (s->n_ff_shared > 0)
        line(out, "shared experts", "%zu, %s; every row goes through them", s->n_ff_shared,
             ffns[s->ffn]);
    line(out, "norms", "%s, epsilon %g", s->norm == NORM_LAYER ? "layer" : "RMS",
         (double)s->norm_eps);
    line(out, "vocabulary", "%zu", s->n_vocab);
    line(out, "head", "%s", s->tied_head ? "the embedding (tied)" : "a matrix of its own");
    line(out, "context", "%zu positions", s->n_context_train);
    if (s->rope == ROPE_NONE)
        line(out, "positions", "learned");
    else
        line(out, "positions", "RoPE over %zu of %zu, %s, base %g", s->rotations[0].dim,
             s->head_dim, s->rope == ROPE_INTERLEAVED ? "interleaved" : "neox",
             (double)s->rotations[0].base);
    const size_t n_windowed = inspection_windowed(s);
    if (n_windowed > 0)
        line(out, "windows", "%zu of the layers see the last %zu positions", n_windowed,
             inspection_window(s));
}

static void print_weights(FILE *out, const struct inspection *i)
{
    char count[32], size[32];
    fprintf(out, "\nweights: %s parameters, %.2f bits each\n",
            count_text((double)i->n_params, count), inspection_bits(i));
    fprintf(out, "  %-8s %8s %12s %7s %12s\n", "type", "tensors", "parameters", "share",
            "in the file");
    for (size_t type = 0; type < WEIGHT_TYPES; type++) {
        const struct inspect_type *t = &i->types[type];
        if (t->n_tensors > 0)
            fprintf(out, "  %-8s %8zu %12s %5.1f %% %12s\n", weight_infos[type].name, t->n_tensors,
                    count_text((double)t->n_params, count),
                    100 * (double)t->n_params / (double)i->n_params,
                    size_text((double)t->n_bytes, size));
    }
}

static void print_memory(FILE *out, const struct inspection *i)
{
    char size[32], label[48];
    fputs("\nmemory\n", out);
    line(out, "weights", "%s", size_text((double)i->model_bytes, size));
    fprintf(out, "  %-22s", "keys and values in");
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        fprintf(out, " %12s", inspection_kv_name(type));
    fprintf(out, "\n  %-22s", "  1,000 positions");
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        fprintf(out, " %12s", size_text(inspection_kv_bytes(i, type, 1000), size));
    snprintf(label, sizeof label, "  a context of %zu", i->n_context);
    fprintf(out, "\n  %-22s", label);
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        fprintf(out, " %12s",
                size_text((double)kv_bytes_for(&i->shape, type, i->n_context, 1), size));
    double kv = (double)kv_bytes_for(&i->shape, i->kv_type, i->n_context, 1);
    putc('\n', out);
    line(out, "to serve one sequence", "%s and a step's buffers (keys and values in %s)",
         size_text((double)i->model_bytes + kv, size), inspection_kv_name(i->kv_type));
}

static void print_token(FILE *out, const struct tokenizer *t, const char *label, int32_t id,
                        const char *rest)
{
    char text[64];
    if (id == TOKEN_NONE) {
        line(out, label, "none");
        return;
    }
    struct gguf_string entry = tokenizer_entry(t, id);
    utf8_printable(text, sizeof text, entry.bytes, entry.n);
    line(out, label, "%d \"%s\"%s", (int)id, text, rest);
}

static void print_tokenizer(FILE *out, const struct inspection *i)
{
    const struct tokenizer *t = i->tokenizer;
    const char *pre = tokenizer_pre(t);
    fputs("\ntokenizer\n", out);
    line(out, "kind", "%s%s%s%s, %zu entries", tokenizer_kind_name(t), pre[0] != '\0' ? " (" : "",
         pre, pre[0] != '\0' ? ")" : "", tokenizer_n_vocab(t));
    print_token(out, t, "BOS", tokenizer_bos(t), tokenizer_adds_bos(t) ? ", added" : "");
    print_token(out, t, "EOS", tokenizer_eos(t), tokenizer_adds_eos(t) ? ", added" : "");
    for (size_t k = 0; k < i->n_ends; k++)
        print_token(out, t, "ends a text too", i->ends[k],
                    tokenizer_is_end_by_text(t, i->ends[k]) ? ", by its text" : "");
    line(out, "chat template", "%s", i->has_template ? "yes" : "none");
}

static void print_unusual(FILE *out, const struct inspection *i)
{
    fputs("\nunusual\n", out);
    for (size_t k = 0; k < i->n_unusual; k++)
        fprintf(out, "  - %s\n", i->unusual[k]);
    if (i->n_unusual == 0)
        fputs("  nothing\n", out);
}

/* --- tensors --- */

static void print_tensor(FILE *out, const char *name, const char *types,
                         const struct gguf_tensor *t)
{
    fprintf(out, "  %-32s %-16s ", name, types);
    for (uint32_t d = 0; d < t->n_dims; d++)
        fprintf(out, "%s%" PRIu64, d > 0 ? " x " : "", t->ne[d]);
    putc('\n', out);
}

/* "blk.12.attn_q.weight" without its layer: where the rest begins; NULL: of no layer. */
static const char *after_layer(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
}

/* One line for the same tensor of all layers, where its first stands: how many in which types. */
static void print_group(FILE *out, const struct gguf *gguf, size_t first)
{
    const struct gguf_tensor *t = gguf_tensor_at(gguf, first);
    const char *role = after_layer(t->name);
    size_t n_of[WEIGHT_TYPES] = {0}, n = 0;
    char name[80], types[160] = "";
    for (size_t k = 0; role != NULL && k < gguf_n_tensors(gguf); k++) {
        const struct gguf_tensor *other = gguf_tensor_at(gguf, k);
        const char *its = after_layer(other->name);
        if (its == NULL || strcmp(its, role) != 0)
            continue;
        if (k < first)
            return;
        n_of[weight_type_of_ggml(other->type)]++;
    }
    if (role == NULL) {
        print_tensor(out, t->name, ggml_type_name(t->type), t);
        return;
    }
    for (size_t type = 0; type < WEIGHT_TYPES; type++)
        if (n_of[type] > 0)
            append_text(types, sizeof types, &n, "%s%zu %s", n > 0 ? ", " : "", n_of[type],
                        weight_infos[type].name);
    snprintf(name, sizeof name, "blk.*%s", role);
    print_tensor(out, name, types, t);
}

static void print_tensors(FILE *out, const struct gguf *gguf, bool all)
{
    fprintf(out, "%s\n", all ? "\ntensors" : "\ntensors (each: --tensors)");
    for (size_t k = 0; k < gguf_n_tensors(gguf); k++) {
        const struct gguf_tensor *t = gguf_tensor_at(gguf, k);
        if (all)
            print_tensor(out, t->name, ggml_type_name(t->type), t);
        else
            print_group(out, gguf, k);
    }
}

/* --- the verb --- */

static void print_all(FILE *out, const struct inspection *i, bool tensors)
{
    print_file(out, i);
    if (!i->vocabulary_only) {
        print_shape(out, &i->shape);
        print_weights(out, i);
        print_memory(out, i);
    }
    print_tokenizer(out, i);
    print_unusual(out, i);
    if (!i->vocabulary_only)
        print_tensors(out, i->gguf, tensors);
}

static enum status show(const struct inspection *i, bool tensors, struct error *err)
{
    struct markdown m;
    enum status status = markdown_begin(&m, err);
    if (status != STATUS_OK)
        return status;
    print_all(m.out, i, tensors);
    status = markdown_end(&m, err);
    return status == STATUS_CANCELLED ? STATUS_OK : status;
}

/* The file is at fault, or an option: said with the file's name, and as JSON where that was asked
 * for. */
static int refuse(const struct settings *settings, const struct error *err)
{
    if (settings->json)
        inspection_print_refusal(settings->argument, err);
    if (strstr(err->text, settings->argument) != NULL || strncmp(err->param, "--", 2) == 0)
        return verb_fail(err);
    struct error named;
    error_set_param(&named, err->status, err->param, "%s: %s", settings->argument, err->text);
    return verb_fail(&named);
}

int verb_inspect(const struct settings *settings)
{
    struct inspection *found = malloc(sizeof *found);
    struct error err = {0};
    if (found == NULL) {
        error_no_memory(&err, sizeof *found, "the report");
        return verb_fail(&err);
    }
    int code = EXIT_DONE;
    if (inspection_make(found, settings, &err) != STATUS_OK)
        code = refuse(settings, &err);
    else if ((settings->json ? inspection_print_json(found, settings->tensors, &err)
                             : show(found, settings->tensors, &err)) != STATUS_OK)
        code = verb_fail(&err);
    inspection_free(found);
    free(found);
    return code;
}
