/* load.c - reads a model as the settings say. Holds no state; see load.h. */
#include "cli/load.h"

#include "embed/embed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The same error, said of this file. */
static enum status of_file(const char *model, struct error *err)
{
    struct error cause = *err;
    if (strstr(cause.text, model) != NULL) /* it names the file already */
        return cause.status;
    return error_set_param(err, cause.status, cause.param, "%s: %s", model, cause.text);
}

enum status load_gguf(struct gguf **out, const char *model, struct error *err)
{
    enum status status = strcmp(model, "builtin") == 0
                             ? gguf_open(out, embed_model, embed_model_size, err)
                             : gguf_map(out, model, err);
    return status == STATUS_OK ? status : of_file(model, err);
}

enum status load_tokenizer(struct tokenizer **out, const char *model, struct error *err)
{
    struct gguf *gguf;
    enum status status = load_gguf(&gguf, model, err);
    if (status != STATUS_OK)
        return status;
    status = tokenizer_create(out, gguf, err);
    gguf_close(gguf);
    return status == STATUS_OK ? status : of_file(model, err);
}

/* The kernels that these options ask for. */
static enum status load_kernels(struct loaded *loaded, const struct settings *settings,
                                struct error *err)
{
    struct error cause;
    enum status status =
        kernels_select(&loaded->kernels, (enum kernel_level)settings->cpu, &loaded->cpu, &cause);
    if (status != STATUS_OK)
        return error_set_param(err, status, "--cpu", "--cpu: %s", cause.text);
    return STATUS_OK;
}

static enum status of_option_or_file(const char *model, struct error *err)
{
    struct error cause = *err;
    if (strcmp(cause.param, "context") != 0)
        return of_file(model, err);
    return error_set_param(err, cause.status, "--context", "--context: %s", cause.text);
}

/* A string of the file that outlives it. What is no string counts as none. */
static enum status copy_key(char **owned, struct gguf_string *out, const struct gguf *gguf,
                            const char *key, struct error *err)
{
    struct gguf_string text;
    bool found = false;
    if (gguf_get_string(gguf, key, &text, &found, NULL) != STATUS_OK || !found)
        return STATUS_OK;
    *owned = malloc(text.n + 1);
    if (*owned == NULL)
        return error_no_memory(err, text.n, "the chat template");
    memcpy(*owned, text.bytes, text.n);
    *out = (struct gguf_string){*owned, text.n};
    return STATUS_OK;
}

/* The files' own descriptors: what is read of them later is what was loaded, whatever their names
 * have come to mean. */
static enum status keep_files(struct loaded *loaded, const struct gguf *gguf, struct error *err)
{
    const size_t n = gguf_n_parts(gguf);
    if (gguf_descriptor(gguf, 0) < 0)
        return STATUS_OK;
    loaded->files = malloc(n * sizeof *loaded->files);
    if (loaded->files == NULL)
        return error_no_memory(err, n * sizeof *loaded->files, "the model's files");
    for (size_t i = 0; i < n; i++) {
        const int file = fcntl(gguf_descriptor(gguf, i), F_DUPFD_CLOEXEC, 3);
        if (file < 0)
            return error_errno(err, errno, "the model's file cannot be kept open");
        loaded->files[loaded->n_files++] = file;
    }
    return STATUS_OK;
}

static enum status load_file(struct loaded *loaded, const struct settings *settings,
                             struct error *err)
{
    struct gguf *gguf;
    enum status status = load_gguf(&gguf, settings->model, err);
    if (status != STATUS_OK)
        return status;
    status = tokenizer_create(&loaded->tokenizer, gguf, err);
    if (status != STATUS_OK) {
        of_file(settings->model, err);
    } else {
        status = model_load_packed(&loaded->model, gguf, settings->context, loaded->cpu.n_usable,
                                   settings->pack_cache, err);
        if (status != STATUS_OK)
            of_option_or_file(settings->model, err);
        else if (loaded->model->shape.encoder && settings->verb != VERB_SERVE)
            status = error_set(err, STATUS_UNABLE,
                               "%s makes vectors of texts and writes none: serve it, and ask "
                               "POST /v1/embeddings",
                               settings->model);
    }
    if (status == STATUS_OK)
        status = copy_key(&loaded->template_text, &loaded->template, gguf,
                          "tokenizer.chat_template", err);
    if (status == STATUS_OK)
        status = copy_key(&loaded->tool_template_text, &loaded->tool_template, gguf,
                          "tokenizer.chat_template.tool_use", err);
    if (status == STATUS_OK)
        status = copy_key(&loaded->rank_template_text, &loaded->rank_template, gguf,
                          "tokenizer.chat_template.rerank", err);
    if (status == STATUS_OK && settings->verb == VERB_SERVE)
        status = keep_files(loaded, gguf, err);
    loaded->has_template = loaded->template.bytes != NULL;
    gguf_close(gguf);
    return status;
}

enum status load_machine(struct loaded *out, const struct settings *settings, struct error *err)
{
    struct loaded loaded = {0};
    cpu_detect(&loaded.cpu);
    if (settings->cgroup_root != NULL) {
        struct cgroup group;
        cgroup_look(&group, settings->cgroup_root);
        cpu_take_limits(&loaded.cpu, &group);
    }
    enum status status = load_kernels(&loaded, settings, err);
    if (status == STATUS_OK)
        *out = loaded;
    return status;
}

enum status load_check(const struct settings *settings, struct error *err)
{
    struct loaded machine;
    struct gguf *gguf;
    struct shape shape;
    size_t n_bytes;
    enum status status = load_machine(&machine, settings, err);
    if (status == STATUS_OK)
        status = load_gguf(&gguf, settings->model, err);
    if (status != STATUS_OK)
        return status;
    status = model_read_shape(&shape, gguf, err);
    if (status == STATUS_OK)
        status = model_memory(gguf, &shape, settings->context != 0 ? settings->context : 1,
                              &n_bytes, err);
    if (status != STATUS_OK)
        of_option_or_file(settings->model, err);
    gguf_close(gguf);
    return status;
}

enum status load_all(struct loaded *out, const struct settings *settings, struct error *err)
{
    struct loaded loaded = {0};
    enum status status = load_machine(&loaded, settings, err);
    if (status == STATUS_OK)
        status = load_file(&loaded, settings, err);
    if (status == STATUS_OK)
        *out = loaded;
    else
        load_free(&loaded);
    return status;
}

void load_free(struct loaded *loaded)
{
    model_destroy(loaded->model);
    tokenizer_destroy(loaded->tokenizer);
    for (size_t i = 0; i < loaded->n_files; i++)
        close(loaded->files[i]);
    free(loaded->files);
    free(loaded->template_text);
    free(loaded->tool_template_text);
    free(loaded->rank_template_text);
    *loaded = (struct loaded){0};
}
