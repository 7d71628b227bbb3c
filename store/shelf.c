/* shelf.c - the models' folder: its layout, its labels. Holds no state. */
#include "store/shelf.h"

#include "api/json/json.h"
#include "base/append.h"
#include "base/digest.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the root --- */

enum status shelf_root(char out[PATH_MAX], const char *setting, struct error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (setting != NULL && setting[0] != '\0')
        n = snprintf(out, PATH_MAX, "%s", setting);
    else if (cache != NULL && cache[0] == '/') /* a relative one is to be ignored */
        n = snprintf(out, PATH_MAX, "%s/smallmind/models", cache);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.cache/smallmind/models", home);
    else
        return error_set_param(err, STATUS_INVALID, "--models-dir",
                               "the models' folder is unknown: neither --models-dir, "
                               "XDG_CACHE_HOME nor HOME is set");
    if (n >= PATH_MAX / 2)
        return error_set_param(err, STATUS_INVALID, "--models-dir",
                               "the path of the models' folder is too long");
    return STATUS_OK;
}

/* --- places --- */

static enum status place_url(struct shelf_place *out, const struct reference *r, struct error *err)
{
    char hash[65];
    digest_of_text(hash, r->url);
    bool tls = strncasecmp(r->url, "https:", 6) == 0;
    if ((size_t)snprintf(out->folder, sizeof out->folder, "%s/%s/%.16s", tls ? "https" : "http",
                         r->host, hash) >= sizeof out->folder)
        return error_set(err, STATUS_INVALID, "the host's name is too long");
    snprintf(out->file, sizeof out->file, "%s", r->file);
    return STATUS_OK;
}

enum status shelf_place_of(struct shelf_place *out, const struct reference *reference,
                           const char *path, struct error *err)
{
    const struct reference *r = reference;
    *out = (struct shelf_place){{0}, {0}};
    if (r->kind == REFERENCE_URL)
        return place_url(out, r, err);
    if (r->kind == REFERENCE_OLLAMA) {
        snprintf(out->folder, sizeof out->folder, "ollama/%s/%s", r->owner, r->name);
        snprintf(out->file, sizeof out->file, "%s-%s.gguf", r->name, r->tag);
        return STATUS_OK;
    }
    const char *slash = strrchr(path, '/');
    int n_folder = slash != NULL ? (int)(slash - path) : 0;
    snprintf(out->folder, sizeof out->folder, "hf/%s/%s%s%s%s%.*s", r->owner, r->name,
             r->revision[0] != '\0' ? "@" : "", r->revision, n_folder > 0 ? "/" : "", n_folder,
             path);
    snprintf(out->file, sizeof out->file, "%s", slash != NULL ? slash + 1 : path);
    return STATUS_OK;
}

static void split_name(char out[REFERENCE_PATH_MAX], const char *file)
{
    unsigned part, n_parts;
    size_t n_stem, n = strlen(file);
    if (reference_is_split(file, &part, &n_parts, &n_stem))
        n = n_stem;
    else if (n > 5)
        n -= 5; /* .gguf */
    snprintf(out, REFERENCE_PATH_MAX, "%.*s", (int)n, file);
}

/* NAME and TAG of ollama/NAMESPACE/NAME, NAME-TAG.gguf; false: it lies elsewhere. */
static bool ollama_parts(const struct shelf_place *place, const char **name, const char **tag,
                         int *n_tag)
{
    const char *slash = strrchr(place->folder, '/');
    if (strncmp(place->folder, "ollama/", 7) != 0 || slash == NULL)
        return false;
    *name = slash + 1;
    size_t n = strlen(*name), n_file = strlen(place->file);
    if (strncmp(place->file, *name, n) != 0 || place->file[n] != '-' || n_file < n + 7)
        return false;
    *tag = place->file + n + 1;
    *n_tag = (int)(n_file - n - 6);
    return true;
}

void shelf_name_of(char out[REFERENCE_PATH_MAX], const struct shelf_place *place)
{
    const char *name, *tag;
    int n_tag;
    if (ollama_parts(place, &name, &tag, &n_tag))
        snprintf(out, REFERENCE_PATH_MAX, "%s:%.*s", name, n_tag, tag);
    else
        split_name(out, place->file);
}

void shelf_reference_of(char out[REFERENCE_MAX], const struct shelf_place *place)
{
    const char *name, *tag;
    int n_tag;
    size_t n = 0;
    out[0] = '\0';
    if (ollama_parts(place, &name, &tag, &n_tag)) {
        const char *space = place->folder + 7;
        int n_space = (int)(name - 1 - space);
        bool of_library = n_space == 7 && strncmp(space, "library", 7) == 0;
        append_text(out, REFERENCE_MAX, &n, "ollama:%.*s%s%s:%.*s", of_library ? 0 : n_space, space,
                    of_library ? "" : "/", name, n_tag, tag);
    } else if (strncmp(place->folder, "hf/", 3) == 0) {
        append_text(out, REFERENCE_MAX, &n, "hf:%s/%s", place->folder + 3, place->file);
    }
}

/* --- folders --- */

static int open_folder(int at, const char *name, bool create)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(at, name, flags);
    if (fd < 0 && errno == ENOENT && create && (mkdirat(at, name, 0777) == 0 || errno == EEXIST))
        fd = openat(at, name, flags);
    return fd;
}

/* The root with all folders above it: these may be links. */
static int open_root(const char *root, bool create)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = open(root, flags);
    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", root);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return -1;
    return open(root, flags);
}

enum status shelf_open(int *fd, const char *root, const char *folder, bool create,
                       struct error *err)
{
    char path[REFERENCE_MAX], *rest = NULL;
    snprintf(path, sizeof path, "%s", folder);
    int at = open_root(root, create);
    if (at < 0)
        return error_errno(err, errno, "%s", root);
    for (char *name = strtok_r(path, "/", &rest); name != NULL; name = strtok_r(NULL, "/", &rest)) {
        if (!reference_is_part(name, strlen(name))) {
            close(at);
            return error_set(err, STATUS_INVALID, "%s: not a folder of models", folder);
        }
        int next = open_folder(at, name, create);
        int number = errno == ELOOP ? ENOTDIR : errno; /* a link is not followed */
        close(at);
        if (next < 0)
            return error_errno(err, number, "%s/%s", root, folder);
        at = next;
    }
    *fd = at;
    return STATUS_OK;
}

void shelf_prune(const char *root, const char *folder)
{
    char path[REFERENCE_MAX];
    snprintf(path, sizeof path, "%s", folder);
    while (path[0] != '\0') {
        char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;
        char above[REFERENCE_MAX];
        int fd;
        snprintf(above, sizeof above, "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
        if (shelf_open(&fd, root, above, false, NULL) != STATUS_OK)
            return;
        bool gone = unlinkat(fd, name, AT_REMOVEDIR) == 0;
        close(fd);
        if (!gone)
            return;
        memcpy(path, above, strlen(above) + 1);
    }
}

/* --- labels --- */

void shelf_hidden(char out[NAME_MAX + 1], const char *file, const char *ending)
{
    snprintf(out, NAME_MAX + 1, ".%s%s", file, ending);
}

static void take_text(const cJSON *root, const char *name, char *out, size_t room)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, name);
    if (cJSON_IsString(value) && strlen(value->valuestring) < room)
        memcpy(out, value->valuestring, strlen(value->valuestring) + 1);
}

bool shelf_read_label(int folder, const char *file, const char *ending, struct shelf_label *out)
{
    enum { MOST = 8192, DEPTH = 4, NODES = 64 };
    char name[NAME_MAX + 1], text[MOST];
    *out = (struct shelf_label){.n_bytes = 0};
    shelf_hidden(name, file, ending);
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    if (n <= 0 || n == MOST || json_check(text, (size_t)n, DEPTH, NODES, NULL) != STATUS_OK)
        return false;
    cJSON *root = cJSON_ParseWithLength(text, (size_t)n);
    if (root == NULL)
        return false;
    take_text(root, "reference", out->reference, sizeof out->reference);
    take_text(root, "sha256", out->sha256, sizeof out->sha256);
    take_text(root, "etag", out->etag, sizeof out->etag);
    take_text(root, "last_modified", out->last_modified, sizeof out->last_modified);
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(root, "bytes");
    if (cJSON_IsNumber(bytes) && bytes->valuedouble >= 0 && bytes->valuedouble < 9e15)
        out->n_bytes = (uint64_t)bytes->valuedouble;
    cJSON_Delete(root);
    return true;
}

enum status shelf_write_label(int folder, const char *file, const char *ending,
                              const struct shelf_label *label, struct error *err)
{
    char name[NAME_MAX + 1], text[8192];
    struct json_writer w = {.out = text, .room = sizeof text};
    json_name_text(&w, "{", "reference", label->reference);
    json_name_text(&w, ",", "sha256", label->sha256);
    json_name_text(&w, ",", "etag", label->etag);
    json_name_text(&w, ",", "last_modified", label->last_modified);
    json_name_uint(&w, ",", "bytes", label->n_bytes);
    json_raw(&w, "}\n");
    shelf_hidden(name, file, ending);
    if (w.full) /* a label is a help, not a need: without it a download begins anew */
        return STATUS_OK;
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_errno(err, errno, "%s", name);
    bool written = write(fd, text, w.n) == (ssize_t)w.n && fsync(fd) == 0;
    int number = errno;
    close(fd);
    if (written)
        return STATUS_OK;
    unlinkat(folder, name, 0);
    return error_errno(err, number, "%s", name);
}
