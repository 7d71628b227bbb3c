/* buffer.h - texts in the making, as bytes and as code points: room that grows and is kept from
 * word to word.
 *
 * A buffer belongs to one encoding. Adding fails for want of memory alone and leaves what was
 * there.
 */
#pragma once

#include "base/error.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct byte_buffer {
    char *bytes; /* owned */
    size_t n, capacity;
};

struct point_buffer { /* code points, as utf8proc has them */
    int32_t *items;   /* owned */
    size_t n, capacity;
};

static inline enum status bytes_reserve(struct byte_buffer *b, size_t n_more, struct error *err)
{
    if (n_more <= b->capacity - b->n)
        return STATUS_OK;
    size_t capacity = 2 * b->capacity + n_more + 64; /* texts are far below half of a size_t */
    char *bytes = realloc(b->bytes, capacity);
    if (!bytes)
        return error_no_memory(err, capacity, "encoding a text");
    b->bytes = bytes;
    b->capacity = capacity;
    return STATUS_OK;
}

static inline enum status bytes_append(struct byte_buffer *b, const char *bytes, size_t n,
                                       struct error *err)
{
    enum status status = bytes_reserve(b, n, err);
    if (status != STATUS_OK || n == 0)
        return status;
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
    return STATUS_OK;
}

static inline enum status bytes_append_point(struct byte_buffer *b, int32_t cp, struct error *err)
{
    enum status status = bytes_reserve(b, 4, err);
    if (status == STATUS_OK)
        b->n += utf8_encode((uint32_t)cp, b->bytes + b->n);
    return status;
}

static inline enum status points_reserve(struct point_buffer *b, size_t n_more, struct error *err)
{
    if (n_more <= b->capacity - b->n)
        return STATUS_OK;
    size_t capacity = 2 * b->capacity + n_more + 64;
    int32_t *items = realloc(b->items, capacity * sizeof *items);
    if (!items)
        return error_no_memory(err, capacity * sizeof *items, "encoding a text");
    b->items = items;
    b->capacity = capacity;
    return STATUS_OK;
}
