/* keys.c - the key file and the comparison. Loop thread. */
#include "server/keys.h"

#include "base/chars.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

struct key {
    char text[KEY_BYTES_MAX]; /* zero-filled to the end, so that all comparisons are equally long */
    uint64_t salt;
};

struct keys {
    uint64_t secret; /* of the salts */
    size_t n;
    struct key key[];
};

/* FNV-1a from a secret start, then mixed (Steele et al., 2014), so that no two keys share prefixes
 * by accident. */
static uint64_t salt_of(const char *text, uint64_t secret)
{
    uint64_t h = 0xcbf29ce484222325u ^ secret;
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    h ^= h >> 31;
    return h != 0 ? h : 1;
}

/* One line, blanks cut, into the next place. */
static enum status add(struct keys *keys, const char *line, size_t n, const char *name,
                       size_t number, struct error *err)
{
    if (n >= KEY_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "%s:%zu: a key must be shorter than %d bytes", name,
                         number, KEY_BYTES_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] <= 0x20 || (unsigned char)line[i] >= 0x7f)
            return error_set(err, STATUS_INVALID,
                             "%s:%zu: a key must be visible ASCII without blanks", name, number);
    if (keys->n == KEYS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: more than %d keys", name, KEYS_MAX);
    memcpy(keys->key[keys->n++].text, line, n);
    return STATUS_OK;
}

static void set_salts(struct keys *keys, uint64_t secret)
{
    keys->secret = secret;
    for (size_t i = 0; i < keys->n; i++)
        keys->key[i].salt = salt_of(keys->key[i].text, secret);
}

enum status keys_parse(struct keys **out, const char *text, size_t n, const char *name,
                       struct error *err)
{
    size_t n_lines = 1;
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    size_t room = n_lines < KEYS_MAX ? n_lines : KEYS_MAX;
    struct keys *keys = calloc(1, sizeof *keys + room * sizeof keys->key[0]);
    if (keys == NULL)
        return error_no_memory(err, room * sizeof keys->key[0], "API keys");
    enum status status = STATUS_OK;
    const char *end = text + n;
    size_t number = 1;
    for (const char *line = text; line < end && status == STATUS_OK; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)),
                   *next = stop != NULL ? stop + 1 : end;
        stop = stop != NULL ? stop : end;
        while (line < stop && chars_have(" \t\r", *line))
            line++;
        while (stop > line && chars_have(" \t\r", stop[-1]))
            stop--;
        if (line < stop && *line != '#')
            status = add(keys, line, (size_t)(stop - line), name, number, err);
        line = next;
    }
    if (status == STATUS_OK && keys->n == 0)
        status = error_set(err, STATUS_INVALID, "%s holds no key: write one a line", name);
    if (status != STATUS_OK) {
        keys_free(keys);
        return status;
    }
    uint64_t secret = 0;
    if (getrandom(&secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        secret =
            (uint64_t)(uintptr_t)keys; /* only spreads the salts; they are no secret of the keys */
    set_salts(keys, secret);
    *out = keys;
    return STATUS_OK;
}

enum status keys_load(struct keys **out, const char *path, struct error *err)
{
    enum { FILE_MAX = KEYS_MAX * KEY_BYTES_MAX };
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_errno(err, errno, "%s", path);
    enum status status;
    char *text = malloc(FILE_MAX);
    size_t n = text != NULL ? fread(text, 1, FILE_MAX, file) : 0;
    if (text == NULL)
        status = error_no_memory(err, FILE_MAX, "API keys");
    else if (ferror(file))
        status = error_errno(err, errno, "%s", path);
    else if (n == FILE_MAX)
        status = error_set(err, STATUS_TOO_LARGE, "%s: longer than %d bytes", path, FILE_MAX);
    else
        status = keys_parse(out, text, n, path, err);
    fclose(file);
    if (text != NULL)
        explicit_bzero(text, n);
    free(text);
    return status;
}

enum status keys_reload(struct keys **keys, const char *path, struct error *err)
{
    struct stat file;
    struct keys *read = NULL;
    /* Opening a pipe again would wait for a writer. */
    if (stat(path, &file) == 0 && !S_ISREG(file.st_mode))
        return error_set(err, STATUS_IO, "%s cannot be read again: it is not a regular file", path);
    enum status status = keys_load(&read, path, err);
    if (status != STATUS_OK)
        return status;
    set_salts(read, (*keys)->secret);
    keys_free(*keys);
    *keys = read;
    return STATUS_OK;
}

void keys_free(struct keys *keys)
{
    if (keys != NULL)
        explicit_bzero(keys->key, keys->n * sizeof keys->key[0]);
    free(keys);
}

size_t keys_count(const struct keys *keys)
{
    return keys->n;
}

bool keys_match(const struct keys *keys, const char *presented, uint64_t *salt)
{
    char text[KEY_BYTES_MAX] = {0};
    size_t n = presented != NULL ? strnlen(presented, sizeof text) : sizeof text;
    if (n == sizeof text)
        return false;
    memcpy(text, presented, n);
    bool found = false;
    for (size_t i = 0; i < keys->n; i++) { /* every key, every byte: the time says nothing */
        unsigned char difference = 0;
        for (size_t j = 0; j < sizeof text; j++)
            difference |= (unsigned char)(text[j] ^ keys->key[i].text[j]);
        if (difference == 0) {
            *salt = keys->key[i].salt;
            found = true;
        }
    }
    return found;
}
