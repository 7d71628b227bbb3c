/* target.h - a file that a report is written to: refused before the run, whole after it.
 *
 * A regular file is written beside its name and renamed, so that what stood there survives a disk
 * that is full and a process that ends; devices, pipes and what standard output leads to are
 * written to as they are. Main thread; holds no state.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Whether target_write could do its work, before hours go into what it would write. model: the file
 * that is read ("builtin": none); neither it nor any other model is a target: STATUS_INVALID, of
 * the option. STATUS_IO: cannot be created or written. */
enum status target_check(const char *path, const char *model, const char *option,
                         struct error *err);

/* STATUS_IO; STATUS_CANCELLED: a pipe whose reader has left. */
enum status target_write(const char *path, const char *bytes, size_t n, struct error *err);
