/* terminal.c - standard input, output and the progress line. No state of its own. */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const size_t read_max = (size_t)1 << 30;
static const uint64_t first_line_ns = 333000000, line_gap_ns = 100000000;

/* --- input and output --- */

static enum status read_all(int fd, const char *name, char **bytes, size_t *n, struct error *err)
{
    size_t room = 65536, n_read = 0;
    char *text = malloc(room);
    while (text != NULL) {
        ssize_t got = read(fd, text + n_read, room - 1 - n_read);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(text);
            return error_errno(err, errno, "%s", name);
        }
        n_read += (size_t)got;
        if (got == 0) {
            text[n_read] = '\0';
            *bytes = text;
            *n = n_read;
            return STATUS_OK;
        }
        if (n_read > read_max) {
            free(text);
            return error_set(err, STATUS_TOO_LARGE, "%s: larger than 1 GiB", name);
        }
        if (n_read == room - 1) {
            char *more = realloc(text, 2 * room);
            if (more == NULL)
                free(text);
            text = more;
            room *= 2;
        }
    }
    return error_no_memory(err, room, name);
}

enum status terminal_read(const char *path, char **bytes, size_t *n, struct error *err)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", bytes, n, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    enum status status = read_all(fd, path, bytes, n, err);
    close(fd);
    return status;
}

enum status terminal_write_to(int fd, const char *name, const char *bytes, size_t n,
                              struct error *err)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EPIPE)
            return error_set(err, STATUS_CANCELLED, "%s: its reader has left", name);
        if (written < 0)
            return error_errno(err, errno, "%s", name);
        bytes += written;
        n -= (size_t)written;
    }
    return STATUS_OK;
}

enum status terminal_write(const char *bytes, size_t n, struct error *err)
{
    return terminal_write_to(STDOUT_FILENO, "standard output", bytes, n, err);
}

/* --- what the terminal can --- */

bool terminal_escapes(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) == 1 && (term == NULL || strcmp(term, "dumb") != 0);
}

bool terminal_colour(int fd)
{
    const char *unwanted = getenv("NO_COLOR");
    return terminal_escapes(fd) && (unwanted == NULL || unwanted[0] == '\0');
}

/* --- progress --- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void progress_begin(struct progress *progress, const char *what, const char *unit)
{
    *progress = (struct progress){.what = what,
                                  .unit = unit,
                                  .start_ns = now_ns(),
                                  .on_terminal = terminal_escapes(STDERR_FILENO)};
}

void progress_show(struct progress *progress, size_t done, size_t total, const char *note)
{
    uint64_t now = now_ns(), spent = now - progress->start_ns;
    if (!progress->on_terminal || spent < first_line_ns ||
        (progress->last_ns != 0 && now - progress->last_ns < line_gap_ns))
        return;
    progress->last_ns = now;
    progress->shown = true;
    double rate = (double)done / ((double)spent / 1e9);
    fprintf(stderr, "\r%s: %zu of %zu %s", progress->what, done, total, progress->unit);
    if (done > 0 && total >= done)
        fprintf(stderr, ", %.4g a second, %.0f s left", rate, (double)(total - done) / rate);
    fprintf(stderr, "%s%s\033[K", note[0] != '\0' ? ", " : "", note);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
