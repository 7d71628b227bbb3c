/* ini.c - reads an INI file with libinih; its sections are for human readers. The only file that
 * knows the library.
 *
 * The library is handed the file line by line by a reader of ours, which knows the line's number,
 * refuses lines longer than the library's buffer (it would cut them in two) and takes leading
 * blanks off (it would read them as a continuation).
 */
#include "config/table.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

struct reading {
    const char *path;
    const char *at, *end; /* what is still to be read */
    int line;             /* the one handed out last, from 1 */
    ini_entry_fn *entry;
    void *ctx;
    enum status status; /* of the first fault */
    struct error *err;
};

/* fgets for the library. */
static char *next_line(char *out, int room, void *stream)
{
    struct reading *in = stream;
    if (in->at == in->end || in->status != STATUS_OK)
        return NULL;
    const char *newline = memchr(in->at, '\n', (size_t)(in->end - in->at));
    const char *stop = newline != NULL ? newline + 1 : in->end;
    const char *start = in->at;
    in->at = stop;
    in->line++;
    while (start < stop && (*start == ' ' || *start == '\t'))
        start++;
    size_t n = (size_t)(stop - start);
    if (n >= (size_t)room) {
        in->status = error_set(in->err, STATUS_INVALID, "%s:%d: the line is longer than %d bytes",
                               in->path, in->line, room - 1);
        return NULL;
    }
    memcpy(out, start, n);
    out[n] = '\0';
    return out;
}

static int take(void *user, const char *section, const char *name, const char *value)
{
    (void)section;
    struct reading *in = user;
    if (in->status == STATUS_OK) {
        char place[512];
        snprintf(place, sizeof place, "%s:%d", in->path, in->line);
        in->status = in->entry(in->ctx, name, value, place, in->err);
    }
    return in->status == STATUS_OK;
}

/* The whole file, malloc'ed. */
static enum status slurp(const char *path, char **out, size_t *n, struct error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_errno(err, errno, "%s", path);
    char *bytes = malloc(FILE_BYTES_MAX + 1);
    if (bytes == NULL) {
        fclose(file);
        return error_no_memory(err, FILE_BYTES_MAX, "the INI file");
    }
    size_t n_read = fread(bytes, 1, FILE_BYTES_MAX + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed != 0) {
        free(bytes);
        return error_errno(err, failed, "%s", path);
    }
    if (n_read > FILE_BYTES_MAX || memchr(bytes, '\0', n_read) != NULL) {
        free(bytes);
        return error_set(err, STATUS_INVALID, "%s: not an INI file (%s)", path,
                         n_read > FILE_BYTES_MAX ? "larger than 1 MiB" : "it holds a NUL byte");
    }
    *out = bytes;
    *n = n_read;
    return STATUS_OK;
}

enum status ini_read(const char *path, ini_entry_fn *entry, void *ctx, struct error *err)
{
    char *bytes = NULL;
    size_t n = 0;
    enum status status = slurp(path, &bytes, &n, err);
    if (status != STATUS_OK)
        return status;
    struct reading in = {.path = path,
                         .at = bytes,
                         .end = bytes + n,
                         .entry = entry,
                         .ctx = ctx,
                         .status = STATUS_OK,
                         .err = err};
    int line =
        ini_parse_stream(next_line, &in, take, &in); /* 0, or the first line it could not use */
    free(bytes);
    if (line > 0 && (in.status == STATUS_OK || line < in.line))
        return error_set(err, STATUS_INVALID,
                         "%s:%d: neither `[section]`, `name = value` nor a comment", path, line);
    if (line < 0)
        return error_no_memory(err, n, "the INI file");
    return in.status;
}
