/* fingerprint.c - SHA-256 of a model's files, read at the lowest priority; see fingerprint.h. */
#include "server/fingerprint.h"

#include "base/digest.h"
#include "embed/embed.h"
#include "model/model.h"
#include "server/log.h"
#include "text/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Raised with every change that gives some request other bits. */
enum { ARITHMETIC_VERSION = 1 };
enum {
    READ_BYTES = 1 << 18,
    NICENESS = 10 /* a tenth of a processor beside busy threads: lower, it might never end */
};

static void write_header(struct fingerprint *f)
{
    const bool known = f->model[0] != '\0';
    snprintf(f->header, sizeof f->header, "%s%s%sarithmetic=\"%s\"", known ? "model=\"" : "",
             f->model, known ? "\", " : "", f->arithmetic);
}

/* False: it cannot be read, or the reading is called off. */
static bool add_file(struct fingerprint *f, struct digest *digest, int file, char *buffer)
{
    off_t at = 0;
    for (;;) {
        if (atomic_load_explicit(&f->stop, memory_order_relaxed))
            return false;
        ssize_t n = pread(file, buffer, READ_BYTES, at);
        if (n <= 0)
            return n == 0;
        digest_add(digest, buffer, (size_t)n);
        at += n;
    }
}

static void *read_all(void *arg)
{
    struct fingerprint *f = arg;
    struct digest digest;
    char *buffer = malloc(READ_BYTES);
    bool ok = buffer != NULL;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread alone */
    digest_begin(&digest);
    for (size_t i = 0; ok && i < f->loaded.n_files; i++)
        ok = add_file(f, &digest, f->loaded.files[i], buffer);
    if (f->loaded.n_files == 0)
        digest_add(&digest, embed_model, embed_model_size);
    digest_end(&digest, f->found);
    free(buffer);
    atomic_store_explicit(&f->done, ok ? 1 : -1, memory_order_release);
    f->wake(f->wake_ctx);
    return NULL;
}

void fingerprint_begin(struct fingerprint *f, const struct loaded_model *loaded,
                       const struct arithmetic *arithmetic, void (*wake)(void *ctx), void *ctx)
{
    char text[512];
    const struct model *model = loaded->model;
    const struct rotation *rotation = &model->shape.rotations[ROTATION_MAIN];
    snprintf(
        text, sizeof text,
        "smallmind arithmetic %d\nkv %s\nlong %d\ntemplate %s\nreasoning %d\ntokenizer %s %s\n",
        ARITHMETIC_VERSION, arithmetic->kv_type, model->n_context > rotation->original_context,
        arithmetic->template, arithmetic->reasoning, tokenizer_model(loaded->tokenizer),
        tokenizer_pre(loaded->tokenizer));
    digest_of_text(f->arithmetic, text);
    write_header(f);
    f->loaded = *loaded;
    f->wake = wake;
    f->wake_ctx = ctx;
    f->reading = pthread_create(&f->thread, NULL, read_all, f) == 0;
    f->failed = !f->reading;
}

bool fingerprint_poll(struct fingerprint *f)
{
    const int done = atomic_load_explicit(&f->done, memory_order_acquire);
    if (!f->reading || done == 0)
        return false;
    pthread_join(f->thread, NULL);
    f->reading = false;
    f->failed = done < 0;
    if (f->failed)
        log_line(LOG_WARN, "the model's files cannot be read again: its fingerprint is not known");
    else
        memcpy(f->model, f->found, sizeof f->model);
    write_header(f);
    return true;
}

void fingerprint_end(struct fingerprint *f)
{
    if (!f->reading)
        return;
    atomic_store_explicit(&f->stop, true, memory_order_relaxed);
    pthread_join(f->thread, NULL);
    f->reading = false;
}

enum fingerprint_match fingerprint_match(const struct fingerprint *f, const char *model,
                                         const char *arithmetic)
{
    if (arithmetic[0] != '\0' && strcmp(arithmetic, f->arithmetic) != 0)
        return FINGERPRINT_OTHER;
    if (model[0] == '\0')
        return FINGERPRINT_SAME;
    if (f->model[0] == '\0')
        return FINGERPRINT_UNKNOWN;
    return strcmp(model, f->model) == 0 ? FINGERPRINT_SAME : FINGERPRINT_OTHER;
}
