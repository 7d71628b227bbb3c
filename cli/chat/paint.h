/* paint.h - Markdown in colour while it is being written: headings, bold, code. Characters are
 * never held back for long, changed or lost; what could steer the terminal is shown as a question
 * mark. Main thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct paint {  /* zeroed: the beginning of a text */
    bool plain; /* without colours: only what could steer the terminal is changed */
    bool in_fence, in_code, in_bold, in_heading, in_line;
    char held[3]; /* asterisks or backticks that may go on */
    size_t n_held;
};

/* Writes the next part of a text to out. */
void paint_add(struct paint *paint, FILE *out, const char *text, size_t n);
/* At the text's end: what is held, and the terminal's usual colour. */
void paint_end(struct paint *paint, FILE *out);
