/* list.c - the models that are there: walking the folder, finding one by name, removing it. Holds
 * no state. */
#include "store/store.h"

#include "base/append.h"
#include "base/nearest.h"
#include "store/download.h"
#include "store/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_MODELS = 4096, MAX_DEPTH = 12, MAX_ENTRIES = 65536 };

struct walk {
    struct stored_model *models; /* [n], owned */
    size_t n, room, n_entries;
};

/* --- one file --- */

/* The file that an entry is, or is a part of; NULL: neither. *whole: it is the file itself. */
static const char *file_of_entry(const char *entry, char out[NAME_MAX + 1], bool *whole)
{
    size_t n = strlen(entry), n_end = strlen(SHELF_PART);
    *whole = entry[0] != '.';
    snprintf(out, NAME_MAX + 1, "%s", entry);
    if (!*whole) {
        if (n <= n_end + 1 || strcmp(entry + n - n_end, SHELF_PART) != 0)
            return NULL;
        snprintf(out, NAME_MAX + 1, "%.*s", (int)(n - n_end - 1), entry + 1);
    }
    n = strlen(out);
    return n > 5 && strcasecmp(out + n - 5, ".gguf") == 0 && reference_is_part(out, n) ? out : NULL;
}

static struct stored_model *model_of(struct walk *w, const char *folder, const char *first)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->models[i].folder, folder) == 0 && strcmp(w->models[i].file, first) == 0)
            return &w->models[i];
    if (w->n == w->room) {
        size_t room = w->room > 0 ? 2 * w->room : 16;
        struct stored_model *more =
            room <= MAX_MODELS ? realloc(w->models, room * sizeof *more) : NULL;
        if (more == NULL)
            return NULL;
        w->models = more;
        w->room = room;
    }
    struct stored_model *m = &w->models[w->n++];
    *m = (struct stored_model){.n_files = 1};
    snprintf(m->folder, sizeof m->folder, "%s", folder);
    snprintf(m->file, sizeof m->file, "%s", first);
    return m;
}

static enum status note_file(struct walk *w, int fd, const char *folder, const char *file,
                             bool whole, const struct stat *st, struct error *err)
{
    char first[REFERENCE_PATH_MAX];
    unsigned part = 1, n_parts = 1;
    size_t n_stem;
    bool is_split =
        reference_is_split(file, &part, &n_parts, &n_stem) && reference_part_name(first, file, 1);
    if (!is_split)
        snprintf(first, sizeof first, "%s", file);
    struct stored_model *m = model_of(w, folder, first);
    if (m == NULL)
        return error_no_memory(err, (w->n + 1) * sizeof *m, "a list of models");
    m->n_files = n_parts;
    m->n_bytes += (uint64_t)st->st_size;
    m->n_whole += whole;
    if (st->st_mtime > m->when)
        m->when = st->st_mtime;
    struct shelf_label label;
    if (shelf_read_label(fd, file, whole ? SHELF_LABEL : SHELF_PART_LABEL, &label)) {
        if (part == 1 && strncmp(folder, "http", 4) == 0)
            snprintf(m->reference, sizeof m->reference, "%s", label.reference);
        if (!is_split && whole && label.n_bytes == (uint64_t)st->st_size)
            snprintf(m->sha256, sizeof m->sha256, "%s", label.sha256);
    }
    return STATUS_OK;
}

/* --- the walk --- */

static enum status walk_folder(struct walk *w, int fd, const char *folder, int depth,
                               struct error *err);

static enum status walk_entry(struct walk *w, int fd, const char *folder, const char *entry,
                              int depth, struct error *err)
{
    struct stat st;
    char name[NAME_MAX + 1], path[REFERENCE_MAX];
    bool whole;
    if (fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return STATUS_OK; /* gone meanwhile */
    if (S_ISREG(st.st_mode) && folder[0] != '\0') {
        const char *file = file_of_entry(entry, name, &whole);
        return file != NULL ? note_file(w, fd, folder, file, whole, &st, err) : STATUS_OK;
    }
    if (!S_ISDIR(st.st_mode) || depth == MAX_DEPTH || !reference_is_part(entry, strlen(entry)) ||
        (size_t)snprintf(path, sizeof path, "%s%s%s", folder, folder[0] != '\0' ? "/" : "",
                         entry) >= sizeof path)
        return STATUS_OK;
    int inner = openat(fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return inner >= 0 ? walk_folder(w, inner, path, depth + 1, err) : STATUS_OK;
}

/* Takes fd over. */
static enum status walk_folder(struct walk *w, int fd, const char *folder, int depth,
                               struct error *err)
{
    DIR *dir = fdopendir(fd);
    enum status status = STATUS_OK;
    if (dir == NULL) {
        close(fd);
        return STATUS_OK;
    }
    const struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (w->n_entries++ >= MAX_ENTRIES)
            status = error_set(err, STATUS_TOO_LARGE, "the models' folder has more than %d entries",
                               MAX_ENTRIES);
        else
            status = walk_entry(w, dirfd(dir), folder, entry->d_name, depth, err);
    }
    closedir(dir);
    return status;
}

static int by_name(const void *a, const void *b)
{
    const struct stored_model *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->folder, y->folder);
}

enum status store_list(struct stored_model **out, size_t *n, const char *folder, struct error *err)
{
    struct walk w = {0};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return error_errno(err, errno, "%s", folder);
    enum status status = fd >= 0 ? walk_folder(&w, fd, "", 0, err) : STATUS_OK;
    if (status != STATUS_OK) {
        free(w.models);
        return status;
    }
    for (size_t i = 0; i < w.n; i++) {
        struct stored_model *m = &w.models[i];
        struct shelf_place place;
        snprintf(place.folder, sizeof place.folder, "%s", m->folder);
        snprintf(place.file, sizeof place.file, "%s", m->file);
        shelf_name_of(m->name, &place);
        if (m->reference[0] == '\0')
            shelf_reference_of(m->reference, &place);
    }
    if (w.n > 0)
        qsort(w.models, w.n, sizeof *w.models, by_name);
    *out = w.models;
    *n = w.n;
    return STATUS_OK;
}

/* --- by name --- */

static bool means(const struct reference *r, const struct stored_model *m)
{
    char folder[REFERENCE_MAX];
    struct shelf_place place;
    size_t n;
    switch (r->kind) {
    case REFERENCE_NAME:
        return strcmp(r->file, m->name) == 0 || strcmp(r->file, m->file) == 0;
    case REFERENCE_OLLAMA:
        return strcmp(r->text, m->reference) == 0;
    case REFERENCE_URL:
        return shelf_place_of(&place, r, r->file, NULL) == STATUS_OK &&
               strcmp(place.folder, m->folder) == 0;
    case REFERENCE_HUB:
        break;
    }
    n = (size_t)snprintf(folder, sizeof folder, "hf/%s/%s%s%s", r->owner, r->name,
                         r->revision[0] != '\0' ? "@" : "", r->revision);
    if (strncmp(m->folder, folder, n) != 0 || (m->folder[n] != '\0' && m->folder[n] != '/'))
        return false;
    snprintf(folder, sizeof folder, "%s%s%s", m->folder[n] == '/' ? m->folder + n + 1 : "",
             m->folder[n] == '/' ? "/" : "", m->file);
    if (r->path[0] == '\0')
        return reference_tag_means(r->tag, folder);
    char first[REFERENCE_PATH_MAX];
    return strcmp(folder, reference_part_name(first, r->path, 1) ? first : r->path) == 0;
}

static void add_reference(char *out, size_t room, size_t *n, const struct stored_model *m)
{
    append_text(out, room, n, "%s%s", *n > 0 ? ", " : "",
                m->reference[0] != '\0' ? m->reference : m->name);
}

static enum status none_means(const struct stored_model *models, size_t n, const char *name,
                              struct error *err)
{
    const char **names = calloc(n + 1, sizeof *names);
    if (names == NULL)
        return error_no_memory(err, n * sizeof *names, "a list of names");
    for (size_t i = 0; i < n; i++)
        names[i] = models[i].name;
    const char *nearest = n > 0 ? nearest_name(name, names, n) : NULL;
    free(names);
    return error_set(err, STATUS_IO, "%s: no such model has been pulled%s%s", name,
                     nearest != NULL ? "; nearest: " : "", nearest != NULL ? nearest : "");
}

/* The one model that a name means, into *out. whole: unfinished ones do not count. */
static enum status find(struct stored_model *out, const char *folder, const char *name, bool whole,
                        struct error *err)
{
    struct reference r;
    struct stored_model *models = NULL;
    const struct stored_model *found = NULL;
    size_t n = 0, n_found = 0, n_listed = 0;
    char list[256] = "";
    enum status status = reference_parse(&r, name, err);
    if (status == STATUS_OK)
        status = store_list(&models, &n, folder, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        if (!means(&r, &models[i]))
            continue;
        found = &models[i];
        if (n_found++ < 5)
            add_reference(list, sizeof list, &n_listed, found);
    }
    if (n_found == 0)
        status = none_means(models, n, r.text, err);
    else if (n_found > 1)
        status = error_set(err, STATUS_INVALID, "%s means %zu models; name one of: %s", r.text,
                           n_found, list);
    else if (whole && found->n_whole < found->n_files)
        status = error_set(err, STATUS_IO,
                           "%s is not whole yet (%u of %u files are): `smallmind pull %s` goes on",
                           r.text, found->n_whole, found->n_files,
                           found->reference[0] != '\0' ? found->reference : "REF");
    else
        *out = *found;
    free(models);
    return status;
}

enum status store_find(char path[PATH_MAX], const char *folder, const char *name, struct error *err)
{
    struct stored_model found;
    enum status status = find(&found, folder, name, true, err);
    if (status == STATUS_OK &&
        snprintf(path, PATH_MAX, "%s/%s/%s", folder, found.folder, found.file) >= PATH_MAX)
        return error_set(err, STATUS_INVALID, "%s: the path is too long", found.file);
    return status;
}

/* --- removing --- */

static enum status remove_file(int fd, const char *file, struct error *err)
{
    const struct patience none = {.tries = 1};
    char label[NAME_MAX + 1];
    int part;
    enum status status = download_lock(&part, fd, file, &none, false, err);
    if (status != STATUS_OK)
        return status;
    shelf_hidden(label, file, SHELF_LABEL);
    if (unlinkat(fd, file, 0) != 0 && errno != ENOENT)
        status = error_errno(err, errno, "%s", file);
    else
        unlinkat(fd, label, 0);
    download_discard(fd, file);
    close(part);
    return status;
}

enum status store_remove(struct stored_model *removed, const char *folder, const char *name,
                         struct error *err)
{
    struct stored_model m = {.n_files = 0};
    int fd;
    enum status status = find(&m, folder, name, false, err);
    if (status != STATUS_OK ||
        (status = shelf_open(&fd, folder, m.folder, false, err)) != STATUS_OK)
        return status;
    for (unsigned i = 1; i <= m.n_files && status == STATUS_OK; i++) {
        char file[REFERENCE_PATH_MAX];
        if (m.n_files == 1 || !reference_part_name(file, m.file, i))
            snprintf(file, sizeof file, "%s", m.file);
        status = remove_file(fd, file, err);
    }
    close(fd);
    shelf_prune(folder, m.folder);
    if (status == STATUS_OK)
        *removed = m;
    return status;
}
