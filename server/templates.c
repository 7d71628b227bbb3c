/* templates.c - finds the chat template: --chat-template's name or file, else the model's own. On
 * libuv's pool, while the service loads. */
#include "server/templates.h"

#include "base/digest.h"
#include "server/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4 << 20 };

static enum status read_file(char **out, size_t *n, const char *path, struct error *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return error_set_param(err, errno == ENOENT ? STATUS_INVALID : STATUS_IO, "--chat-template",
                               "--chat-template: %s is neither a file that can be read (%s) nor "
                               "one of %s",
                               path, strerror(errno), chat_builtin_names());
    char *bytes = malloc(FILE_BYTES_MAX + 1);
    enum status status = STATUS_OK;
    if (bytes == NULL)
        status = error_no_memory(err, FILE_BYTES_MAX, "the chat template");
    *n = bytes == NULL ? 0 : fread(bytes, 1, FILE_BYTES_MAX + 1, file);
    if (status == STATUS_OK && ferror(file) != 0)
        status = error_errno(err, errno, "--chat-template: %s", path);
    else if (status == STATUS_OK && *n > FILE_BYTES_MAX)
        status =
            error_set_param(err, STATUS_INVALID, "--chat-template",
                            "--chat-template: %s has more than %d bytes", path, FILE_BYTES_MAX);
    fclose(file);
    if (status == STATUS_OK)
        *out = bytes;
    else
        free(bytes);
    return status;
}

/* *file: memory of it that the caller frees, or NULL. */
static enum status find_text(struct gguf_string *out, char **file, const struct settings *settings,
                             const struct loaded_model *model, struct error *err)
{
    *file = NULL;
    *out = model->template;
    if (settings->chat_template == NULL)
        return STATUS_OK;
    *out = chat_builtin(settings->chat_template);
    enum status status =
        out->bytes == NULL ? read_file(file, &out->n, settings->chat_template, err) : STATUS_OK;
    if (*file != NULL)
        out->bytes = *file;
    return status;
}

enum status templates_digest(char out[65], const struct settings *settings,
                             const struct loaded_model *model, struct error *err)
{
    struct gguf_string text;
    struct digest digest;
    char *file;
    enum status status = find_text(&text, &file, settings, model, err);
    out[0] = '\0';
    if (status == STATUS_OK && text.bytes != NULL) {
        digest_begin(&digest);
        digest_add(&digest, text.bytes, text.n);
        if (settings->chat_template == NULL && model->tool_template.bytes != NULL)
            digest_add(&digest, model->tool_template.bytes, model->tool_template.n);
        digest_end(&digest, out);
    }
    free(file);
    return status;
}

enum status templates_load(struct chat_template **out, const struct settings *settings,
                           const struct loaded_model *model, struct error *err)
{
    struct chat_source source = {.text = model->template,
                                 .tool_text = model->tool_template,
                                 .tokenizer = model->tokenizer,
                                 .limits = {.memory_bytes = settings->template_memory,
                                            .output_bytes = settings->template_output,
                                            .max_steps = settings->template_steps,
                                            .max_depth = (unsigned)settings->template_depth,
                                            .time_ns = settings->template_ms * 1000000}};
    char *file;
    enum status status = find_text(&source.text, &file, settings, model, err);
    if (settings->chat_template != NULL)
        source.tool_text = (struct gguf_string){NULL, 0};
    if (status == STATUS_OK)
        status = chat_template_create(out, &source, err);
    if (status == STATUS_OK && source.text.bytes != NULL && chat_template_fault(*out) != NULL)
        log_line(LOG_WARN, "%s; chats are answered with 501", chat_template_fault(*out));
    free(file);
    return status;
}
