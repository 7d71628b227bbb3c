/* heap.h - the inside of a heap (heap.c), for the files that make and enter one. */
#pragma once

#include "jinja/value.h"

#include <setjmp.h>

struct jinja_heap {
    const char *name; /* how errors call the template; static */
    struct jinja_limits limits;
    struct jinja_chunk *chunks; /* owned; the last one first */
    char *at, *end;             /* what is free of the last one */
    size_t n_bytes;             /* of all chunks */
    uint64_t n_steps, looked_at, deadline_ns;
    unsigned depth;
    int line; /* that is being worked on; 0: none */
    struct error error;
    jmp_buf entered;
};

enum status jinja_heap_create(struct jinja_heap **out, const char *name,
                              const struct jinja_limits *limits, struct error *err);
void jinja_heap_destroy(struct jinja_heap *heap); /* takes NULL */
/* Runs work inside the heap: jinja_fail ends it. */
enum status jinja_heap_run(struct jinja_heap *heap, void (*work)(struct jinja_heap *, void *),
                           void *context, struct error *err);
