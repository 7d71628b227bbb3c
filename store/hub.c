/* hub.c - a repository's files at the hub (huggingface.co, or HF_ENDPOINT).
 *
 * GET /api/models/OWNER/REPO/tree/REVISION/FOLDER?recursive= lists files; of large ones it says
 * size and SHA-256 ("lfs"). GET /OWNER/REPO/resolve/REVISION/FILE gives one, mostly by a redirect
 * whose head names both again. Holds no state.
 */
#include "store/sources.h"

#include "base/append.h"
#include "store/origin.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PAGES = 50, MAX_LISTED = 4096 };
static const char accept_json[] = "Accept: application/json";

struct listed {
    char path[REFERENCE_PATH_MAX], sha256[65];
    uint64_t n_bytes;
};

struct listing {
    struct listed *files; /* [n], owned */
    size_t n;
};

/* --- the list of files --- */

static void escape(char *out, size_t room, const char *path)
{
    size_t n = 0;
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        append_text(out, room, &n, isalnum(c) || strchr("-._~/", c) != NULL ? "%c" : "%%%02X", c);
    }
}

static const char *revision_of(const struct reference *r)
{
    return r->revision[0] != '\0' ? r->revision : "main";
}

static void note_file(struct listing *list, const cJSON *item)
{
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(item, "path");
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(item, "size");
    const cJSON *lfs = cJSON_GetObjectItemCaseSensitive(item, "lfs");
    const cJSON *oid = cJSON_GetObjectItemCaseSensitive(lfs, "oid");
    const cJSON *lfs_size = cJSON_GetObjectItemCaseSensitive(lfs, "size");
    struct listed *f = &list->files[list->n];
    if (!cJSON_IsString(path) || strlen(path->valuestring) >= sizeof f->path ||
        !reference_tag_means("", path->valuestring))
        return;
    *f = (struct listed){.n_bytes = 0};
    memcpy(f->path, path->valuestring, strlen(path->valuestring) + 1);
    if (cJSON_IsNumber(lfs_size))
        size = lfs_size;
    if (cJSON_IsNumber(size) && size->valuedouble > 0 && size->valuedouble < 9e15)
        f->n_bytes = (uint64_t)size->valuedouble;
    if (cJSON_IsString(oid) && sources_is_sha256(oid->valuestring))
        memcpy(f->sha256, oid->valuestring, strlen(oid->valuestring) + 1);
    list->n++;
}

/* The page after this one, which must be the same host's. */
static enum status next_page(char url[WEB_URL_MAX], const struct web_answer *answer,
                             struct error *err)
{
    struct web_origin here, there;
    if (answer->next[0] == '\0') {
        url[0] = '\0';
        return STATUS_OK;
    }
    if (origin_parse(&here, url, err) != STATUS_OK ||
        origin_parse(&there, answer->next, err) != STATUS_OK || !origin_equals(&here, &there))
        return error_set(err, STATUS_IO, "the hub's list of files goes on at another host");
    snprintf(url, WEB_URL_MAX, "%s", answer->next);
    return STATUS_OK;
}

static enum status list_files(struct listing *list, char url[WEB_URL_MAX], struct web *web,
                              struct patience *patience, struct web_answer *answer,
                              struct error *err)
{
    list->files = calloc(MAX_LISTED + 1, sizeof *list->files);
    if (list->files == NULL)
        return error_no_memory(err, MAX_LISTED * sizeof *list->files, "a list of files");
    for (int page = 0; url[0] != '\0'; page++) {
        cJSON *root, *item;
        enum status status = sources_ask(&root, url, accept_json, web, patience, answer, err);
        if (status != STATUS_OK)
            return status;
        cJSON_ArrayForEach(item, root)
        {
            if (list->n < MAX_LISTED)
                note_file(list, item);
        }
        cJSON_Delete(root);
        if ((status = next_page(url, answer, err)) != STATUS_OK)
            return status;
        if (page == MAX_PAGES)
            return error_set(err, STATUS_IO, "the hub's list of files does not end");
    }
    return STATUS_OK;
}

/* --- the choice --- */

static bool same_model(const char *a, const char *b)
{
    unsigned part, n_parts;
    size_t n_a, n_b;
    return strcmp(a, b) == 0 ||
           (reference_is_split(a, &part, &n_parts, &n_a) &&
            reference_is_split(b, &part, &n_parts, &n_b) && n_a == n_b && memcmp(a, b, n_a) == 0);
}

/* The one file that the tag means, in *found: NULL when there is none. Several: an error that names
 * them. */
static enum status choose(const struct listing *list, const struct reference *r, const char *tag,
                          const struct listed **found, struct error *err)
{
    char names[300] = "";
    size_t n_names = 0, n_models = 0;
    *found = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct listed *f = &list->files[i];
        if (!reference_tag_means(tag, f->path) ||
            (*found != NULL && same_model((*found)->path, f->path)))
            continue;
        if (*found == NULL)
            *found = f;
        if (n_models++ < 6)
            append_text(names, sizeof names, &n_names, "%s%s", n_models > 1 ? ", " : "", f->path);
    }
    if (n_models > 1)
        return error_set(err, STATUS_INVALID,
                         "%s means %zu models: name the file, hf:%s/%s/...: %s", r->text, n_models,
                         r->owner, r->name, names);
    return STATUS_OK;
}

static enum status choose_for(const struct listing *list, const struct reference *r,
                              const struct listed **found, struct error *err)
{
    enum status status = choose(list, r, r->tag, found, err);
    if (status != STATUS_OK && r->tag[0] == '\0') { /* several, none asked for: what suits most */
        const struct listed *usual = NULL;
        if (choose(list, r, "Q4_K_M", &usual, NULL) == STATUS_OK && usual != NULL) {
            *found = usual;
            return STATUS_OK;
        }
    }
    if (status != STATUS_OK || *found != NULL)
        return status;
    char names[220] = "";
    size_t n = 0;
    for (size_t i = 0; i < list->n && i < 5; i++)
        append_text(names, sizeof names, &n, "%s%s", i > 0 ? ", " : "", list->files[i].path);
    return error_set(err, STATUS_IO, "%s: the repository has no such GGUF file%s%s", r->text,
                     list->n > 0 ? "; it has " : "", names);
}

/* --- a repository whose host lists no files: its manifest names one --- */

static enum status by_manifest(char path[REFERENCE_PATH_MAX], const struct reference *r,
                               const char *endpoint, struct web *web, struct patience *patience,
                               struct error *err)
{
    char url[WEB_URL_MAX];
    struct web_answer answer;
    cJSON *root;
    snprintf(url, sizeof url, "%s/v2/%s/%s/manifests/%s", endpoint, r->owner, r->name,
             r->tag[0] != '\0' ? r->tag : "latest");
    enum status status = sources_ask(&root, url, accept_json, web, patience, &answer, err);
    if (status != STATUS_OK)
        return status;
    const cJSON *file = cJSON_GetObjectItemCaseSensitive(root, "ggufFile");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(file, "rfilename");
    if (cJSON_IsString(name) && strlen(name->valuestring) < REFERENCE_PATH_MAX)
        memcpy(path, name->valuestring, strlen(name->valuestring) + 1);
    else
        status = error_set(err, STATUS_IO, "%s: the repository names no such GGUF file", r->text);
    cJSON_Delete(root);
    return status;
}

/* --- all of it --- */

/* A name that a hub has said is checked like one that a user typed. */
static enum status check_path(const struct reference *r, const char *path, struct error *err)
{
    struct reference checked;
    char text[REFERENCE_MAX];
    snprintf(text, sizeof text, "hf:%s/%s/%s", r->owner, r->name, path);
    if (reference_parse(&checked, text, err) == STATUS_OK)
        return STATUS_OK;
    return error_set(err, STATUS_IO, "%s: the hub names a file whose name is refused", r->text);
}

static const struct listed *find_listed(const struct listing *list, const char *path)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->files[i].path, path) == 0)
            return &list->files[i];
    return NULL;
}

static enum status fill(struct sources *out, const struct reference *r, const char *endpoint,
                        const char *path, const struct listing *list, struct error *err)
{
    unsigned part, n_parts = 1;
    size_t n_stem;
    bool is_split = reference_is_split(path, &part, &n_parts, &n_stem);
    if (n_parts > SOURCES_MAX)
        return error_set(err, STATUS_INVALID, "%s: a model has at most %d files", r->text,
                         SOURCES_MAX);
    enum status status = check_path(r, path, err);
    if (status == STATUS_OK)
        status = sources_make(out, n_parts, err);
    for (unsigned i = 0; i < n_parts && status == STATUS_OK; i++) {
        struct source *f = &out->files[i];
        char escaped[3 * REFERENCE_PATH_MAX];
        if (!is_split)
            snprintf(f->path, sizeof f->path, "%s", path);
        else if (!reference_part_name(f->path, path, i + 1))
            status = error_set(err, STATUS_INVALID, "%s: the name is too long", r->text);
        escape(escaped, sizeof escaped, f->path);
        snprintf(f->url, sizeof f->url, "%s/%s/%s/resolve/%s/%s", endpoint, r->owner, r->name,
                 revision_of(r), escaped);
        const struct listed *listed = find_listed(list, f->path);
        if (listed == NULL)
            continue;
        memcpy(f->sha256, listed->sha256, sizeof f->sha256);
        f->n_bytes = listed->n_bytes;
    }
    return status;
}

static void tree_url(char url[WEB_URL_MAX], const struct reference *r, const char *endpoint)
{
    const char *slash = strrchr(r->path, '/');
    char folder[REFERENCE_PATH_MAX] = "", escaped[3 * REFERENCE_PATH_MAX];
    if (slash != NULL)
        snprintf(folder, sizeof folder, "/%.*s", (int)(slash - r->path), r->path);
    escape(escaped, sizeof escaped, folder);
    snprintf(url, WEB_URL_MAX, "%s/api/models/%s/%s/tree/%s%s%s", endpoint, r->owner, r->name,
             revision_of(r), escaped, r->path[0] != '\0' ? "" : "?recursive=true");
}

enum status hub_find(struct sources *out, const struct reference *reference, const char *endpoint,
                     struct web *web, struct patience *patience, struct error *err)
{
    const struct reference *r = reference;
    struct listing list = {0};
    struct web_answer answer = {0};
    struct patience once = *patience;
    char url[WEB_URL_MAX], path[REFERENCE_PATH_MAX];
    bool named = r->path[0] != '\0';
    once.tries = 1;
    snprintf(path, sizeof path, "%s", r->path);
    tree_url(url, r, endpoint);
    /* The list only says beforehand what a named file's own answer will say. */
    enum status status = list_files(&list, url, web, named ? &once : patience, &answer, err);
    if (status == STATUS_OK && !named) {
        const struct listed *found;
        if ((status = choose_for(&list, r, &found, err)) == STATUS_OK)
            snprintf(path, sizeof path, "%s", found->path);
    } else if (status != STATUS_OK && status != STATUS_CANCELLED && named) {
        status = STATUS_OK;
    } else if (status == STATUS_IO && answer.code == 404) {
        struct error other;
        if (by_manifest(path, r, endpoint, web, &once, &other) == STATUS_OK)
            status = STATUS_OK;
    }
    if (status == STATUS_OK)
        status = fill(out, r, endpoint, path, &list, err);
    free(list.files);
    return status;
}
