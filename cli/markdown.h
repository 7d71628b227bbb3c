/* markdown.h - what verbs print for people: Markdown, gathered as a text and printed at its end.
 *
 * In a pipe as it was written; on a terminal with the cells of each table padded to the width of
 * their columns, and no line wider than the terminal. Main thread.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct markdown {
    FILE *out;   /* to write to, between begin and end */
    bool colour; /* whether escape sequences for it may be written (terminal.h) */
    char *text;  /* internal */
    size_t n;
};

enum status markdown_begin(struct markdown *m, struct error *err);
/* Prints it to standard output, by terminal_write's rules, and frees it. */
enum status markdown_end(struct markdown *m, struct error *err);

/* Writes a text as a terminal of so many places should show it: tables in parts where they are too
 * wide, lines broken at spaces. */
void markdown_align(FILE *out, const char *text, size_t n_places);
