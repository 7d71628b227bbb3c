/* terminal.c - standard input and output, and what the terminal can do. No state of
 * its own. */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const size_t read_max = (size_t)1 << 30;

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

void terminal_invite(const char *what)
{
    if (isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1)
        fprintf(stderr, "Type %s; Ctrl-D at the start of a line ends it.\n", what);
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

size_t terminal_columns(int fd, size_t otherwise)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : otherwise;
}

bool terminal_colour(int fd)
{
    const char *unwanted = getenv("NO_COLOR");
    return terminal_escapes(fd) && (unwanted == NULL || unwanted[0] == '\0');
}
