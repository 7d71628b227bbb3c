/* remembered.h - lines typed in earlier runs of chat: $XDG_STATE_HOME/smallmind/history, or below
 * ~/.local/state; mode 0600, bounded. Main thread.
 *
 * Each line is appended as it is typed, so that several runs may share the file and a run that is
 * killed loses none. Knows nothing of the editor.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum {
    REMEMBERED_LINES = 1000,
    REMEMBERED_LINE_BYTES = 8192, /* longer ones are left out */
    REMEMBERED_BYTES = 1 << 20    /* of the file; the oldest lines go */
};

typedef void remembered_take(void *taker, const char *line);

/* Gives the last lines to take, the oldest first, and opens the file for more: *fd, which the
 * caller closes; -1, without an error, where neither variable is set. On failure *fd is -1. */
enum status remembered_open(int *fd, remembered_take *take, void *taker, struct error *err);

/* line: [n], without an end of line. Of no consequence where it fails. fd: -1 too. */
void remembered_add(int fd, const char *line, size_t n);
