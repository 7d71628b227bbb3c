/* bar.h - one line of progress on standard error, where that is a terminal; nothing elsewhere.
 *
 * Used by one thread at a time. Fits the terminal's width as it is at each line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bar {
    const char *what;  /* "reading the prompt" */
    const char *unit;  /* "tokens" */
    size_t base;       /* of what is done, before this run: no part of the rate */
    uint64_t start_ns; /* CLOCK_MONOTONIC */
    uint64_t last_ns;  /* of the last line; 0: none yet */
    bool on_terminal;  /* standard error is one that knows escape sequences */
    bool shown;        /* a line stands there now */
};

void bar_begin(struct bar *bar, const char *what, const char *unit);

/* Shows done of total, the rate, the time left and a note (may be ""). Short work shows nothing:
 * the first line comes after a third of a second, further ones ten times a second. */
void bar_show(struct bar *bar, size_t done, size_t total, const char *note);

/* Takes the line away again. */
void bar_end(struct bar *bar);

/* The line itself, for so many columns: what does not fit goes, first the note, then the bar.
 * total 0: no share of it is known. */
enum { BAR_LINE_MAX = 512 };
void bar_line(char out[BAR_LINE_MAX], const struct bar *bar, size_t done, size_t total,
              double seconds, const char *note, size_t n_columns);
