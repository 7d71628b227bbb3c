/* log_writer.h - brings the log's lines to a file, a pipe or a terminal without making a thread
 * wait.
 *
 * Lines go into a bounded ring, and a thread of its own does the writing, which may block for as
 * long as a reader likes. A line that finds no room, or that cannot be written, is dropped and
 * counted, and one line says so when writing goes on. The descriptor's flags are left alone:
 * standard error is shared with other processes. Any thread may put lines; knows nothing of their
 * form.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct log_writer;

enum { LOG_RING_BYTES = 256 * 1024, LOG_WRITE_BYTES = 4096 };

/* Makes the line that says how many were dropped; returns its length, at most LOG_WRITE_BYTES. */
typedef size_t log_dropped_fn(char *out, uint64_t n_dropped);

/* Starts the thread. path NULL: standard error; else a file that is appended to, or made. STATUS_IO
 * with the path in its text, STATUS_NO_MEMORY. */
enum status log_writer_create(struct log_writer **out, const char *path, log_dropped_fn *dropped,
                              struct error *err);
/* Takes one line, its newline included, of at most LOG_WRITE_BYTES. Never waits for a reader. */
void log_writer_put(struct log_writer *writer, const char *line, size_t n);
/* Opens the path anew: later lines go there. On failure the old file stays in use. Nothing happens
 * on standard error. */
enum status log_writer_reopen(struct log_writer *writer, struct error *err);
uint64_t log_writer_dropped(struct log_writer *writer);
/* Writes what is left, for at most so many ms, and frees everything; a thread that is still held in
 * a write then keeps it. Takes NULL. */
void log_writer_destroy(struct log_writer *writer, unsigned ms);
