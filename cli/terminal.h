/* terminal.h - what the verbs share of standard input, output and error.
 *
 * Whole inputs, whole writes, and what a terminal can do. Any thread; holds no state.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* All of a file ("-" and NULL: standard input), malloc'ed, with a NUL after it that *n does not
 * count. STATUS_IO, STATUS_NO_MEMORY, STATUS_TOO_LARGE (beyond 1 GiB). */
enum status terminal_read(const char *path, char **bytes, size_t *n, struct error *err);

/* Where standard input is a person's terminal: says on standard error that it waits for "the
 * prompt", and how that ends. */
void terminal_invite(const char *what);

/* All of it to standard output, unbuffered. A reader that has left is STATUS_CANCELLED, anything
 * else STATUS_IO. */
enum status terminal_write(const char *bytes, size_t n, struct error *err);
/* The same to another descriptor; name is for messages. */
enum status terminal_write_to(int fd, const char *name, const char *bytes, size_t n,
                              struct error *err);

/* Whether a descriptor is a terminal that knows escape sequences: TERM is not "dumb". */
bool terminal_escapes(int fd);
/* How wide it is; otherwise where it is no terminal or does not say. */
size_t terminal_columns(int fd, size_t otherwise);
/* The same as terminal_escapes, and its user wants colour: NO_COLOR is not set, or empty
 * (https://no-color.org). */
bool terminal_colour(int fd);
