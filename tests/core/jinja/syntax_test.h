/* syntax_test.h - a heap to read templates in, for the tests of their lexer and parser. Test code.
 */
#pragma once

#include "jinja/heap.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct jinja_limits syntax_limits = {
    .memory_bytes = 8 << 20, .output_bytes = 1 << 20, .max_steps = 1000000, .max_depth = 500};

struct syntax_run { /* a text, and what work makes of it */
    const char *text;
    size_t n;
    char out[4096];
    size_t n_out;
};

__attribute__((format(printf, 2, 3))) static inline void syntax_say(struct syntax_run *run,
                                                                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(run->out + run->n_out, sizeof run->out - run->n_out, format, arguments);
    va_end(arguments);
    ck_assert(n >= 0 && (size_t)n < sizeof run->out - run->n_out);
    run->n_out += (size_t)n;
}

/* What work says of the text, or "line N: ..." with the fault. The text lies in memory of its own
 * size, so that a sanitizer sees a byte read after it. */
static inline void syntax_do(struct syntax_run *run, const char *text, size_t n,
                             void (*work)(struct jinja_heap *, void *))
{
    struct jinja_heap *heap = NULL;
    struct error err;
    char *copy = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, n);
    *run = (struct syntax_run){.text = copy, .n = n};
    ck_assert_int_eq(jinja_heap_create(&heap, "t", &syntax_limits, &err), STATUS_OK);
    if (jinja_heap_run(heap, work, run, &err) != STATUS_OK) {
        ck_assert(err.text[0] != '\0');
        snprintf(run->out, sizeof run->out, "%s", err.text);
    }
    jinja_heap_destroy(heap);
    free(copy);
}
