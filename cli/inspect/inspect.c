/* inspect.c - gathers what a model file holds and what serving it takes. Main thread; of the
 * weights' values it wants to know no more than that they are numbers. */
#include "cli/inspect/inspect.h"

#include "base/cpu.h"
#include "base/utf8.h"
#include "cli/bar.h"
#include "cli/load.h"
#include "forward/kv.h"
#include "model/weights.h"

#include <stdio.h>
#include <string.h>

static void read_text(const struct gguf *gguf, const char *key, char *out, size_t room)
{
    struct gguf_string value;
    bool found = false;
    if (gguf_get_string(gguf, key, &value, &found, NULL) == STATUS_OK && found)
        utf8_printable(out, room, value.bytes, value.n);
}

/* The reader has checked every tensor's type. */
static void count_types(struct inspection *i)
{
    for (size_t k = 0; k < gguf_n_tensors(i->gguf); k++) {
        const struct gguf_tensor *t = gguf_tensor_at(i->gguf, k);
        enum weight_type type = weight_type_of_ggml(t->type);
        size_t n = t->n_bytes / weight_infos[type].block_bytes * weight_infos[type].block_values;
        i->types[type].n_tensors++;
        i->types[type].n_params += n;
        i->types[type].n_bytes += t->n_bytes;
        i->n_params += n;
        i->n_bytes += t->n_bytes;
    }
}

static void find_ends(struct inspection *i)
{
    const int32_t *ids;
    size_t n = tokenizer_ends(i->tokenizer, &ids);
    for (size_t k = 0; k < n; k++) {
        if (ids[k] != tokenizer_eos(i->tokenizer))
            i->ends[i->n_ends++] = ids[k];
    }
}

static enum status read_memory(struct inspection *i, const struct settings *settings,
                               struct error *err)
{
    size_t trained = i->shape.n_context_train;
    i->kv_type = (enum kv_type)settings->kv_type;
    i->n_context = settings->context;
    if (i->n_context == 0)
        i->n_context = trained < MODEL_DEFAULT_CONTEXT ? trained : MODEL_DEFAULT_CONTEXT;
    if (i->n_context > trained)
        return error_set_param(err, STATUS_INVALID, "--context",
                               "--context: %zu is more than the model's %zu positions",
                               i->n_context, trained);
    return model_memory(i->gguf, &i->shape, i->n_context, &i->model_bytes, err);
}

static void show(void *ctx, const char *tensor, uint64_t n_done, uint64_t n_total)
{
    bar_show(ctx, (size_t)(n_done >> 20), (size_t)(n_total >> 20), tensor);
}

static enum status read_weights(const struct inspection *i, const struct settings *settings,
                                struct error *err)
{
    struct cpu cpu;
    struct bar bar;
    if (settings->header_only)
        return STATUS_OK;
    cpu_detect(&cpu);
    bar_begin(&bar, "reading the weights", "MiB");
    enum status status = weights_check(i->gguf, cpu.n_usable, show, &bar, err);
    bar_end(&bar);
    return status;
}

enum status inspection_make(struct inspection *i, const struct settings *settings,
                            struct error *err)
{
    struct gguf_string text;
    enum status status;
    *i = (struct inspection){.path = settings->argument};
    if ((status = load_gguf(&i->gguf, i->path, err)) != STATUS_OK ||
        (status = tokenizer_create(&i->tokenizer, i->gguf, err)) != STATUS_OK)
        return status;
    i->vocabulary_only = gguf_n_tensors(i->gguf) == 0;
    read_text(i->gguf, "general.architecture", i->arch, sizeof i->arch);
    if (!i->vocabulary_only && ((status = model_read_shape(&i->shape, i->gguf, err)) != STATUS_OK ||
                                (status = read_memory(i, settings, err)) != STATUS_OK ||
                                (status = read_weights(i, settings, err)) != STATUS_OK))
        return status;
    read_text(i->gguf, "general.name", i->name, sizeof i->name);
    read_text(i->gguf, "general.license", i->license, sizeof i->license);
    status = gguf_get_string(i->gguf, "tokenizer.chat_template", &text, &i->has_template, err);
    if (status != STATUS_OK)
        return status;
    count_types(i);
    find_ends(i);
    inspection_note(i);
    return STATUS_OK;
}

void inspection_free(struct inspection *i)
{
    tokenizer_destroy(i->tokenizer);
    gguf_close(i->gguf);
    *i = (struct inspection){0};
}
