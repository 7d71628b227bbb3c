/* heap.c - one rendering's memory and limits: chunks of the system's, freed as a whole.
 *
 * A failure fills the caller's error and jumps to where the heap was entered (jinja_enter_heap);
 * nothing between owns anything but heap memory. One thread at a time.
 */
#include "jinja/heap.h"

#include "base/checked.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = 64 << 10,
    ALIGN = 16,
    STEPS_PER_LOOK = 1024, /* at the clock */
};

struct jinja_chunk {
    struct jinja_chunk *next;
    size_t n_bytes;
    _Alignas(ALIGN) char bytes[];
};

enum status jinja_heap_create(struct jinja_heap **out, const char *name,
                              const struct jinja_limits *limits, struct error *err)
{
    struct jinja_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL)
        return error_no_memory(err, sizeof *heap, name);
    heap->name = name;
    heap->limits = *limits;
    *out = heap;
    return STATUS_OK;
}

void jinja_heap_destroy(struct jinja_heap *heap)
{
    if (heap == NULL)
        return;
    for (struct jinja_chunk *chunk = heap->chunks; chunk != NULL;) {
        struct jinja_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(heap);
}

enum status jinja_heap_run(struct jinja_heap *heap, void (*work)(struct jinja_heap *, void *),
                           void *context, struct error *err)
{
    heap->error.status = STATUS_OK;
    heap->depth = 0;
    if (heap->deadline_ns == 0 && heap->limits.time_ns != 0)
        heap->deadline_ns = clock_now_ns() + heap->limits.time_ns;
    if (setjmp(heap->entered) == 0)
        work(heap, context);
    if (heap->error.status != STATUS_OK && err != NULL)
        *err = heap->error;
    return heap->error.status;
}

__attribute__((format(printf, 3, 0))) static _Noreturn void
fail(struct jinja_heap *heap, enum status status, const char *format, va_list arguments)
{
    char text[sizeof heap->error.text];
    vsnprintf(text, sizeof text, format, arguments);
    if (heap->line > 0)
        error_set(&heap->error, status, "%s, line %d: %s", heap->name, heap->line, text);
    else
        error_set(&heap->error, status, "%s: %s", heap->name, text);
    longjmp(heap->entered, 1);
}

void jinja_fail(struct jinja_heap *heap, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(heap, STATUS_INVALID, format, arguments);
}

void jinja_fail_as(struct jinja_heap *heap, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(heap, status, format, arguments);
}

/* A new chunk that holds n_bytes. */
static void take_chunk(struct jinja_heap *heap, size_t n_bytes)
{
    size_t room = n_bytes > CHUNK_BYTES / 2 ? n_bytes : CHUNK_BYTES;
    if (room > heap->limits.memory_bytes - heap->n_bytes)
        room = n_bytes;
    if (room > heap->limits.memory_bytes - heap->n_bytes)
        jinja_fail_as(heap, STATUS_TOO_LARGE, "it needs more than %zu bytes of memory, the limit",
                      heap->limits.memory_bytes);
    struct jinja_chunk *chunk = malloc(sizeof *chunk + room);
    if (chunk == NULL)
        jinja_fail_as(heap, STATUS_NO_MEMORY, "out of memory: %zu bytes", room);
    chunk->next = heap->chunks;
    chunk->n_bytes = room;
    heap->chunks = chunk;
    heap->n_bytes += room;
    heap->at = chunk->bytes;
    heap->end = chunk->bytes + room;
}

static size_t rounded(struct jinja_heap *heap, size_t n_bytes)
{
    if (n_bytes > heap->limits.memory_bytes)
        jinja_fail_as(heap, STATUS_TOO_LARGE, "it needs more than %zu bytes of memory, the limit",
                      heap->limits.memory_bytes);
    return (n_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void *jinja_alloc(struct jinja_heap *heap, size_t n, size_t size)
{
    if (size != 0 && n > heap->limits.memory_bytes / size)
        rounded(heap, SIZE_MAX);
    size_t n_bytes = rounded(heap, n * size);
    if (heap->at == NULL || n_bytes > (size_t)(heap->end - heap->at))
        take_chunk(heap, n_bytes);
    void *block = heap->at;
    heap->at += n_bytes;
    memset(block, 0, n_bytes);
    return block;
}

void *jinja_grow(struct jinja_heap *heap, void *block, size_t old_bytes, size_t new_bytes)
{
    size_t held = rounded(heap, old_bytes), wanted = rounded(heap, new_bytes);
    if (block != NULL && (char *)block + held == heap->at &&
        wanted <= (size_t)(heap->end - (char *)block)) {
        memset(heap->at, 0, wanted - held);
        heap->at = (char *)block + wanted;
        return block;
    }
    void *larger = jinja_alloc(heap, 1, new_bytes);
    if (block != NULL)
        memcpy(larger, block, old_bytes);
    return larger;
}

void jinja_steps(struct jinja_heap *heap, size_t n)
{
    heap->n_steps += n;
    if (heap->n_steps > heap->limits.max_steps)
        jinja_fail_as(heap, STATUS_TOO_LARGE, "it takes more than %llu steps, the limit",
                      (unsigned long long)heap->limits.max_steps);
    if (heap->deadline_ns != 0 && heap->n_steps - heap->looked_at >= STEPS_PER_LOOK) {
        heap->looked_at = heap->n_steps;
        if (clock_now_ns() > heap->deadline_ns)
            jinja_fail_as(heap, STATUS_TOO_LARGE, "it takes more than %llu ms, the limit",
                          (unsigned long long)(heap->limits.time_ns / 1000000));
    }
}

void jinja_enter(struct jinja_heap *heap)
{
    if (++heap->depth > heap->limits.max_depth)
        jinja_fail_as(heap, STATUS_TOO_LARGE,
                      "expressions, blocks and calls are more than %u levels deep, the limit",
                      heap->limits.max_depth);
    jinja_steps(heap, 1);
}

void jinja_leave(struct jinja_heap *heap)
{
    heap->depth--;
}

void jinja_at_line(struct jinja_heap *heap, int line)
{
    heap->line = line;
}

size_t jinja_output_limit(const struct jinja_heap *heap)
{
    return heap->limits.output_bytes;
}
