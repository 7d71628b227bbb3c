/* reference.c - takes references apart and refuses what could lead out of the models' folder. Holds
 * no state. */
#include "store/reference.h"

#include "base/append.h"
#include "base/chars.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FORMS                                                                                      \
    "hf:OWNER/REPO/FILE.gguf, hf:OWNER/REPO:Q4_K_M, ollama:NAME:TAG or https://HOST/FILE.gguf"

/* --- parts --- */

bool reference_is_part(const char *part, size_t n)
{
    if (n == 0 || n >= REFERENCE_FILE_MAX || part[0] == '.' || part[0] == '-' || part[0] == ' ' ||
        part[n - 1] == ' ' || part[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)part[i];
        if (c < ' ' || c > '~' || strchr("/\\:*?\"<>|%#", c) != NULL)
            return false;
        if (c == '.' && i + 1 < n && part[i + 1] == '.')
            return false;
    }
    return true;
}

/* Names of owners, repositories, tags and revisions: a narrower set of characters. */
static bool is_name(const char *name, size_t n)
{
    if (n == 0 || n >= REFERENCE_NAME_MAX || !reference_is_part(name, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    return true;
}

static bool ends_as_model(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcasecmp(path + n - 5, ".gguf") == 0;
}

static enum status refuse(const char *text, const char *what, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, "REF", "%.128s: %s; a model is named " FORMS, text,
                           what);
}

static enum status take_name(char *out, const char *at, size_t n, const char *text,
                             const char *what, struct error *err)
{
    char sentence[128];
    if (is_name(at, n)) {
        memcpy(out, at, n);
        out[n] = '\0';
        return STATUS_OK;
    }
    snprintf(sentence, sizeof sentence,
             "%s must be 1 to %d letters, digits, dots, hyphens and underscores", what,
             REFERENCE_NAME_MAX - 1);
    return refuse(text, sentence, err);
}

/* --- hf: --- */

static enum status take_path(struct reference *r, const char *path, const char *text,
                             struct error *err)
{
    if (strlen(path) >= sizeof r->path)
        return refuse(text, "the file's path is too long", err);
    for (const char *at = path;; at++) {
        size_t n = strcspn(at, "/");
        if (!reference_is_part(at, n))
            return refuse(text,
                          "a part of the file's path is empty, hidden, '..', or has characters "
                          "that names of model files do not have",
                          err);
        at += n;
        if (*at == '\0')
            break;
    }
    if (!ends_as_model(path))
        return refuse(text, "the file's name must end with .gguf", err);
    memcpy(r->path, path, strlen(path) + 1);
    return STATUS_OK;
}

static enum status parse_hub(struct reference *r, const char *text, struct error *err)
{
    const char *at = text + strlen("hf:");
    enum status status;
    if (strncmp(at, "//", 2) == 0)
        at += 2;
    size_t n = strcspn(at, "/");
    if (at[n] == '\0')
        return refuse(text, "it has no repository", err);
    if ((status = take_name(r->owner, at, n, text, "the owner's name", err)) != STATUS_OK)
        return status;
    at += n + 1;
    n = strcspn(at, "@/:");
    if ((status = take_name(r->name, at, n, text, "the repository's name", err)) != STATUS_OK)
        return status;
    at += n;
    if (*at == '@') {
        n = strcspn(++at, "/:");
        if ((status = take_name(r->revision, at, n, text, "the revision", err)) != STATUS_OK)
            return status;
        at += n;
    }
    if (*at == ':')
        status = take_name(r->tag, at + 1, strlen(at + 1), text, "the tag", err);
    else if (*at == '/')
        status = take_path(r, at + 1, text, err);
    if (status != STATUS_OK)
        return status;
    size_t n_text = 0;
    append_text(r->text, sizeof r->text, &n_text, "hf:%s/%s%s%s", r->owner, r->name,
                r->revision[0] != '\0' ? "@" : "", r->revision);
    if (r->path[0] != '\0' || r->tag[0] != '\0')
        append_text(r->text, sizeof r->text, &n_text, "%c%s", r->path[0] != '\0' ? '/' : ':',
                    r->path[0] != '\0' ? r->path : r->tag);
    return STATUS_OK;
}

/* --- ollama: --- */

static enum status parse_ollama(struct reference *r, const char *text, struct error *err)
{
    const char *at = text + strlen("ollama:");
    enum status status;
    size_t n = strcspn(at, "/:");
    memcpy(r->owner, "library", strlen("library") + 1);
    if (at[n] == '/') {
        if ((status = take_name(r->owner, at, n, text, "the namespace", err)) != STATUS_OK)
            return status;
        at += n + 1;
        n = strcspn(at, "/:");
    }
    if ((status = take_name(r->name, at, n, text, "the model's name", err)) != STATUS_OK)
        return status;
    at += n;
    if (*at == '/')
        return refuse(text, "it has too many parts", err);
    memcpy(r->tag, "latest", strlen("latest") + 1);
    if (*at == ':' &&
        (status = take_name(r->tag, at + 1, strlen(at + 1), text, "the tag", err)) != STATUS_OK)
        return status;
    bool of_library = strcmp(r->owner, "library") == 0;
    snprintf(r->text, sizeof r->text, "ollama:%s%s%s:%s", of_library ? "" : r->owner,
             of_library ? "" : "/", r->name, r->tag);
    return STATUS_OK;
}

/* --- https: --- */

/* The last part of a URL's path, with its escapes decoded. */
static bool take_file(struct reference *r, const char *at, size_t n)
{
    size_t n_file = 0;
    for (size_t i = 0; i < n; i++) {
        char c = at[i];
        if (c == '%') {
            int high = i + 2 < n ? chars_hex(at[i + 1]) : -1;
            int low = i + 2 < n ? chars_hex(at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n_file + 1 >= sizeof r->file)
            return false;
        r->file[n_file++] = c;
    }
    r->file[n_file] = '\0';
    return reference_is_part(r->file, n_file) && ends_as_model(r->file);
}

static enum status parse_url(struct reference *r, const char *text, struct error *err)
{
    const char *at = strstr(text, "://"), *host;
    if (at == NULL)
        return refuse(text, "a URL goes on with ://", err);
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr("\\\"<>^`{|}", *c) != NULL)
            return refuse(text, "a URL has no spaces, and escapes what is not plain ASCII", err);
    host = at + 3;
    size_t n_host = strcspn(host, "/?#");
    if (memchr(host, '@', n_host) != NULL)
        return refuse(text, "a URL must not carry a user's name or password", err);
    if (n_host == 0 || n_host >= sizeof r->host)
        return refuse(text, "the URL has no host", err);
    for (size_t i = 0; i < n_host; i++) {
        char c = (char)tolower((unsigned char)host[i]);
        if (!isalnum((unsigned char)c) && strchr(".-_:[]", c) == NULL)
            return refuse(text, "the host's name contains an invalid character", err);
        r->host[i] = strchr(":[]", c) != NULL ? '_' : c;
    }
    if (host[0] == '.' || strstr(r->host, "..") != NULL)
        return refuse(text, "the host's name has an empty part", err);
    size_t n = strcspn(text, "?#"), n_url = strcspn(text, "#");
    const char *slash = host + n_host;
    for (const char *c = slash; c < text + n; c++)
        if (*c == '/')
            slash = c;
    if (*slash != '/' || !take_file(r, slash + 1, n - (size_t)(slash + 1 - text)))
        return refuse(text, "the URL's path must end with a file's name and .gguf", err);
    snprintf(r->text, sizeof r->text, "%.*s", (int)n, text);
    snprintf(r->url, sizeof r->url, "%.*s", (int)n_url, text);
    return STATUS_OK;
}

/* --- all of them --- */

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

bool reference_has_source(const char *text)
{
    return begins(text, "hf:") || begins(text, "ollama:") || begins(text, "https:") ||
           begins(text, "http:");
}

enum status reference_parse(struct reference *out, const char *text, struct error *err)
{
    struct reference r = {.kind = REFERENCE_NAME};
    enum status status;
    if (strlen(text) >= REFERENCE_MAX)
        return refuse(text, "it is too long", err);
    if (begins(text, "hf:")) {
        r.kind = REFERENCE_HUB;
        status = parse_hub(&r, text, err);
    } else if (begins(text, "ollama:")) {
        r.kind = REFERENCE_OLLAMA;
        status = parse_ollama(&r, text, err);
    } else if (reference_has_source(text)) {
        r.kind = REFERENCE_URL;
        status = parse_url(&r, text, err);
    } else {
        size_t n = strlen(text), n_word = strcspn(text, ":");
        bool fits = n < sizeof r.file && reference_is_part(text, n_word) &&
                    (n_word == n || reference_is_part(text + n_word + 1, n - n_word - 1));
        if (!fits)
            return error_set_param(err, STATUS_INVALID, "REF",
                                   "%.128s: not a model's name: one is as `smallmind list` shows "
                                   "it, or " FORMS,
                                   text);
        memcpy(r.file, text, strlen(text) + 1);
        memcpy(r.text, text, strlen(text) + 1);
        status = STATUS_OK;
    }
    if (status == STATUS_OK)
        *out = r;
    return status;
}

/* --- what names say --- */

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool reference_tag_means(const char *tag, const char *path)
{
    const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
    if (!ends_as_model(path) || strcasestr(file, "mmproj") != NULL ||
        strcasestr(file, "imatrix") != NULL)
        return false;
    size_t n = strlen(tag);
    if (n == 0)
        return true;
    for (const char *at = path; (at = strcasestr(at, tag)) != NULL; at++) {
        char before = at > path ? at[-1] : '/';
        if (!isalnum((unsigned char)before) && !is_word_char(at[n]))
            return true;
    }
    return false;
}

bool reference_is_split(const char *file, unsigned *part, unsigned *n_parts, size_t *n_stem)
{
    enum { END = sizeof "-00001-of-00002.gguf" - 1 };
    size_t n = strlen(file);
    if (n <= END || file[n - END] != '-' || strncmp(file + n - END + 6, "-of-", 4) != 0 ||
        strcmp(file + n - 5, ".gguf") != 0)
        return false;
    unsigned numbers[2] = {0, 0};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < 5; i++) {
            char c = file[n - END + 1 + 9 * k + i];
            if (c < '0' || c > '9')
                return false;
            numbers[k] = numbers[k] * 10 + (unsigned)(c - '0');
        }
    if (numbers[0] < 1 || numbers[0] > numbers[1])
        return false;
    *part = numbers[0];
    *n_parts = numbers[1];
    *n_stem = n - END;
    return true;
}

bool reference_part_name(char *out, const char *file, unsigned part)
{
    unsigned old, n_parts;
    size_t n_stem;
    return reference_is_split(file, &old, &n_parts, &n_stem) &&
           snprintf(out, REFERENCE_PATH_MAX, "%.*s-%05u-of-%05u.gguf", (int)n_stem, file, part,
                    n_parts) < REFERENCE_PATH_MAX;
}
