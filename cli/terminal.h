/* terminal.h - what the verbs share of standard input, output and error.
 *
 * Whole inputs, whole writes, and one line of progress that is shown on a terminal only. A progress
 * is used by one thread at a time.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of a file ("-" and NULL: standard input), malloc'ed, with a NUL behind it that *n does not
 * count. STATUS_IO, STATUS_NO_MEMORY, STATUS_TOO_LARGE (beyond 1 GiB). */
enum status terminal_read(const char *path, char **bytes, size_t *n, struct error *err);

/* All of it to standard output, unbuffered. A reader that has left is STATUS_CANCELLED, anything
 * else STATUS_IO. */
enum status terminal_write(const char *bytes, size_t n, struct error *err);
/* The same to another descriptor; name is for messages. */
enum status terminal_write_to(int fd, const char *name, const char *bytes, size_t n,
                              struct error *err);

/* Whether a descriptor is a terminal that knows escape sequences: TERM is not "dumb". */
bool terminal_escapes(int fd);
/* The same, and its user wants colour: NO_COLOR is not set, or empty (https://no-color.org). */
bool terminal_colour(int fd);

struct progress {
    const char *what;  /* "reading the prompt" */
    const char *unit;  /* "tokens" */
    uint64_t start_ns; /* CLOCK_MONOTONIC */
    uint64_t last_ns;  /* of the last line; 0: none yet */
    bool on_terminal;  /* standard error is one that knows escape sequences */
    bool shown;        /* a line stands there now */
};

void progress_begin(struct progress *progress, const char *what, const char *unit);

/* Shows done of total, and a note behind it (may be ""). Short work shows nothing: the first line
 * comes after a third of a second, further ones ten times a second. */
void progress_show(struct progress *progress, size_t done, size_t total, const char *note);

/* Takes the line away again. */
void progress_end(struct progress *progress);
