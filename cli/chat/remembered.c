/* remembered.c - the file of typed lines: read, appended to, cut. Holds no state. */
#include "cli/chat/remembered.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lines {
    char *bytes; /* owned; each line ended by '\0' */
    size_t n_bytes, n_lines;
};

/* The file's path, its folders made; an empty one where no variable says where. */
static enum status find_file(char path[PATH_MAX], struct error *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = 0;
    path[0] = '\0';
    if (state != NULL && state[0] == '/') /* a relative one is to be ignored */
        n = snprintf(path, PATH_MAX, "%s/smallmind/history", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(path, PATH_MAX, "%s/.local/state/smallmind/history", home);
    if (n >= PATH_MAX - 8) /* room for the other name, too */
        return error_set(err, STATUS_INVALID, "the path of the history is too long");
    for (char *slash = path; n > 0 && (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return error_errno(err, errno, "%s", path);
    }
    return STATUS_OK;
}

static bool is_fit(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' && line[i] != '\t')
            return false;
    return n > 0 && n <= REMEMBERED_LINE_BYTES && utf8_check(line, n) == n;
}

/* The file's last bytes as lines that may be shown; the end of one that was cut is left out. */
static enum status read_lines(struct lines *lines, int fd, off_t size, struct error *err)
{
    size_t room = size < REMEMBERED_BYTES ? (size_t)size : REMEMBERED_BYTES, n = 0;
    off_t start = size - (off_t)room;
    *lines = (struct lines){.bytes = calloc(room + 1, 1)};
    if (lines->bytes == NULL)
        return error_no_memory(err, room + 1, "the history");
    while (n < room) {
        ssize_t got = pread(fd, lines->bytes + n, room - n, start + (off_t)n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    char *out = lines->bytes, *end = lines->bytes + n;
    bool whole = start == 0;
    for (char *line = lines->bytes, *stop; (stop = memchr(line, '\n', (size_t)(end - line)));
         line = stop + 1) {
        size_t n_line = (size_t)(stop - line);
        if (whole && is_fit(line, n_line)) {
            memmove(out, line, n_line);
            out[n_line] = '\0';
            out += n_line + 1;
            lines->n_lines++;
        }
        whole = true;
    }
    lines->n_bytes = (size_t)(out - lines->bytes);
    return STATUS_OK;
}

/* Leaves the last REMEMBERED_LINES. */
static void drop_old(struct lines *lines)
{
    char *first = lines->bytes;
    for (; lines->n_lines > REMEMBERED_LINES; lines->n_lines--)
        first += strlen(first) + 1;
    lines->n_bytes -= (size_t)(first - lines->bytes);
    memmove(lines->bytes, first, lines->n_bytes);
}

/* A new file in place of one that has grown too long. */
static enum status rewrite(int *fd, const char *path, const struct lines *lines, struct error *err)
{
    char other[PATH_MAX];
    snprintf(other, sizeof other, "%.*s.new", PATH_MAX - 8, path);
    int out = open(other, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return error_errno(err, errno, "%s", other);
    for (size_t at = 0; at < lines->n_bytes;) {
        size_t n = strlen(lines->bytes + at);
        remembered_add(out, lines->bytes + at, n);
        at += n + 1;
    }
    if (rename(other, path) != 0) {
        error_errno(err, errno, "%s", path);
        close(out);
        return STATUS_IO;
    }
    close(*fd);
    *fd = out;
    return STATUS_OK;
}

static enum status read_in(int *fd, const char *path, remembered_take *take, void *taker,
                           struct error *err)
{
    struct stat file;
    struct lines lines = {0};
    if (fstat(*fd, &file) != 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(file.st_mode))
        return error_set(err, STATUS_INVALID, "%s is not a file", path);
    enum status status = read_lines(&lines, *fd, file.st_size, err);
    bool long_file = file.st_size >= REMEMBERED_BYTES || lines.n_lines > 2 * REMEMBERED_LINES;
    if (status == STATUS_OK)
        drop_old(&lines);
    if (status == STATUS_OK && long_file)
        status = rewrite(fd, path, &lines, err);
    for (size_t at = 0; status == STATUS_OK && at < lines.n_bytes;
         at += strlen(lines.bytes + at) + 1)
        take(taker, lines.bytes + at);
    free(lines.bytes);
    return status;
}

enum status remembered_open(int *fd, remembered_take *take, void *taker, struct error *err)
{
    char path[PATH_MAX];
    *fd = -1;
    enum status status = find_file(path, err);
    if (status != STATUS_OK || path[0] == '\0')
        return status;
    *fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_errno(err, errno, "%s", path);
    status = read_in(fd, path, take, taker, err);
    if (status != STATUS_OK) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

void remembered_add(int fd, const char *line, size_t n)
{
    char out[REMEMBERED_LINE_BYTES + 1];
    if (fd < 0 || !is_fit(line, n))
        return;
    memcpy(out, line, n);
    out[n] = '\n';
    ssize_t done = write(fd, out, n + 1); /* one call: lines of several runs do not mix */
    (void)done;
}
