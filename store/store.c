/* store.c - getting a model: from its reference to files in their places. Holds no state. */
#include "store/store.h"

#include "gguf/gguf.h"
#include "store/download.h"
#include "store/shelf.h"
#include "store/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status store_folder(char out[PATH_MAX], const char *setting, struct error *err)
{
    return shelf_root(out, setting, err);
}

struct pulling {
    const struct store_options *options;
    const struct reference *reference;
    struct sources sources; /* owned */
    struct shelf_place place;
    struct patience patience;
    struct web *web; /* owned */
    int folder;      /* owned; -1: none */
    char shown[PATH_MAX];
    unsigned number; /* of the file under way */
    bool is_new, all_checked;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total, uint64_t start)
{
    const struct pulling *p = ctx;
    const struct store_events *events = &p->options->events;
    const struct store_progress progress = {.file = p->place.file,
                                            .number = p->number,
                                            .n_files = (unsigned)p->sources.n,
                                            .n_done = done,
                                            .n_total = total,
                                            .n_start = start};
    if (events->progress != NULL)
        events->progress(events->ctx, &progress);
}

static void say(const struct pulling *p, const struct error *cause)
{
    char sentence[sizeof cause->text + 96];
    snprintf(sentence, sizeof sentence, "this version may not run it: %s", cause->text);
    if (p->options->events.say != NULL)
        p->options->events.say(p->options->events.ctx, sentence);
}

/* A right file that is not understood here may be another version's; what no source has vouched for
 * must at least be a whole GGUF file. */
static enum status check_file(void *ctx, const char *path, bool checked, struct error *err)
{
    const struct pulling *p = ctx;
    struct gguf *gguf = NULL;
    struct error cause;
    enum status status = gguf_map(&gguf, path, &cause);
    gguf_close(gguf);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (status == STATUS_FORMAT && !checked)
        return error_set(err, status, "%s: the download is not a valid GGUF file: %s",
                         p->place.file, cause.text);
    say(p, &cause);
    return STATUS_OK;
}

/* --- which files --- */

static enum status find_url(struct sources *out, const struct reference *r, struct error *err)
{
    unsigned part, n_parts = 1;
    size_t n_stem;
    bool is_split = reference_is_split(r->file, &part, &n_parts, &n_stem);
    size_t n_path = strlen(r->text), n_file = strlen(r->file);
    /* The parts' names differ in digits alone, which need no escapes. */
    if (is_split && (n_path < n_file || strcmp(r->text + n_path - n_file, r->file) != 0))
        return error_set(err, STATUS_INVALID, "%s: a split model's name must stand there plainly",
                         r->text);
    if (n_parts > SOURCES_MAX)
        return error_set(err, STATUS_INVALID, "%s: a model has at most %d files", r->text,
                         SOURCES_MAX);
    enum status status = sources_make(out, n_parts, err);
    for (unsigned i = 0; i < n_parts && status == STATUS_OK; i++) {
        struct source *f = &out->files[i];
        if (!is_split)
            snprintf(f->path, sizeof f->path, "%s", r->file);
        else if (!reference_part_name(f->path, r->file, i + 1))
            status = error_set(err, STATUS_INVALID, "%s: the name is too long", r->text);
        if (is_split)
            snprintf(f->url, sizeof f->url, "%.*s%s%s", (int)(n_path - n_file), r->text, f->path,
                     r->url + n_path);
        else
            snprintf(f->url, sizeof f->url, "%s", r->url);
    }
    return status;
}

static enum status find_sources(struct pulling *p, const struct sources_place *place,
                                struct error *err)
{
    const struct reference *r = p->reference;
    if (r->kind == REFERENCE_HUB)
        return hub_find(&p->sources, r, place->hub, p->web, &p->patience, err);
    if (r->kind == REFERENCE_OLLAMA)
        return registry_find(&p->sources, r, place->ollama, p->web, &p->patience, err);
    return find_url(&p->sources, r, err);
}

/* --- one after the other --- */

static enum status get_file(struct pulling *p, size_t i, uint64_t *n_bytes, struct error *err)
{
    const struct source *source = &p->sources.files[i];
    struct shelf_place first;
    char reference[REFERENCE_MAX];
    enum status status = shelf_place_of(&p->place, p->reference, source->path, err);
    if (status == STATUS_OK)
        status = shelf_place_of(&first, p->reference, p->sources.files[0].path, err);
    if (status != STATUS_OK)
        return status;
    if (p->reference->kind == REFERENCE_URL) { /* the file's name is a part's */
        snprintf(p->place.file, sizeof p->place.file, "%s", source->path);
        snprintf(first.file, sizeof first.file, "%s", p->sources.files[0].path);
    }
    snprintf(p->shown, sizeof p->shown, "%s/%s", p->options->folder, p->place.folder);
    if (p->folder < 0 && (status = shelf_open(&p->folder, p->options->folder, p->place.folder, true,
                                              err)) != STATUS_OK)
        return status;
    shelf_reference_of(reference, &p->place);
    bool is_split = p->sources.n > 1;
    const struct download download = {
        .web = p->web,
        .patience = &p->patience,
        .folder = p->folder,
        .file = p->place.file,
        .shown = p->shown,
        .reference = reference[0] != '\0' ? reference : p->reference->text,
        .source = source,
        .first = is_split && i > 0 ? first.file : NULL,
        .check = is_split ? NULL : check_file,
        .progress = on_progress,
        .ctx = p,
    };
    struct download_result result;
    p->patience.n_failed = 0;
    if ((status = download_file(&download, &result, err)) != STATUS_OK)
        return status;
    p->is_new = p->is_new || result.is_new;
    p->all_checked = p->all_checked && (result.checked || source->sha256[0] != '\0');
    *n_bytes += result.n_bytes;
    return STATUS_OK;
}

/* A split model's files together. */
static enum status check_all(struct pulling *p, const char *path, struct error *err)
{
    if (p->sources.n < 2 || !p->is_new)
        return STATUS_OK;
    enum status status = check_file(p, path, p->all_checked, err);
    for (size_t i = 0; status != STATUS_OK && i < p->sources.n; i++) {
        const char *slash = strrchr(p->sources.files[i].path, '/');
        const char *file = slash != NULL ? slash + 1 : p->sources.files[i].path;
        char label[NAME_MAX + 1];
        shelf_hidden(label, file, SHELF_LABEL);
        unlinkat(p->folder, file, 0);
        unlinkat(p->folder, label, 0);
    }
    return status;
}

/* The first file comes last: where it is, all are. */
static enum status get_all(struct pulling *p, struct store_result *out, struct error *err)
{
    enum status status = STATUS_OK;
    size_t n = p->sources.n;
    out->n_bytes = 0;
    p->all_checked = true;
    for (size_t i = 1; i <= n && status == STATUS_OK; i++) {
        p->number = (unsigned)i;
        status = get_file(p, i % n, &out->n_bytes, err);
    }
    if (status != STATUS_OK)
        return status;
    if ((size_t)snprintf(out->path, sizeof out->path, "%s/%s", p->shown, p->place.file) >=
        sizeof out->path)
        return error_set(err, STATUS_INVALID, "%s: the path is too long", p->place.file);
    shelf_name_of(out->name, &p->place);
    out->is_new = p->is_new;
    out->checked = p->all_checked;
    return check_all(p, out->path, err);
}

static enum status pull(struct pulling *p, struct store_result *out, struct error *err)
{
    struct sources_place place;
    enum status status = sources_place_read(&place, err);
    if (status != STATUS_OK)
        return status;
    /* A file of the hub's that is named by its URL may need the token as well. */
    const struct web_options options = {
        .token = place.token,
        .token_url = p->reference->kind == REFERENCE_OLLAMA ? NULL : place.hub,
        .stall_seconds = p->options->stall_seconds,
        .cancel = p->options->cancel};
    if ((status = web_create(&p->web, &options, err)) == STATUS_OK &&
        (status = find_sources(p, &place, err)) == STATUS_OK)
        status = get_all(p, out, err);
    return status;
}

enum status store_pull(struct store_result *out, const char *reference,
                       const struct store_options *options, struct error *err)
{
    struct reference r;
    enum status status = reference_parse(&r, reference, err);
    if (status != STATUS_OK)
        return status;
    if (r.kind == REFERENCE_NAME)
        return error_set_param(err, STATUS_INVALID, "REF",
                               "%s: this names no source; one is hf:OWNER/REPO/FILE.gguf, "
                               "hf:OWNER/REPO:Q4_K_M, ollama:NAME:TAG or https://HOST/FILE.gguf",
                               r.text);
    if (r.kind == REFERENCE_URL && web_check_url(r.url, err) != STATUS_OK)
        return error_set_param(err, STATUS_INVALID, "REF", "%s", err->text);
    struct pulling p = {.options = options,
                        .reference = &r,
                        .patience = {.tries = options->tries,
                                     .cancel = options->cancel,
                                     .say = options->events.say,
                                     .ctx = options->events.ctx},
                        .folder = -1};
    status = pull(&p, out, err);
    web_destroy(p.web);
    sources_free(&p.sources);
    if (p.folder >= 0) {
        close(p.folder);
        if (status != STATUS_OK)
            shelf_prune(options->folder, p.place.folder);
    }
    return status;
}
