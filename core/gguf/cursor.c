/* cursor.c - takes a GGUF file's metadata in order, reading on as it goes. Any thread; one reader
 * at a time. Knows no key and no tensor. */
#include "gguf/gguf.h"

#include "gguf/internal.h"

#include <errno.h>
#include <unistd.h>

enum { READ_AHEAD = 1 << 20 };

enum status gguf_read_range(const struct gguf *g, size_t from, size_t to, struct error *err)
{
    while (from < to) {
        ssize_t n = pread(g->fd, g->reserved + from, to - from, (off_t)from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "cannot read the model file");
        if (n == 0)
            return error_set(err, STATUS_IO,
                             "the model file was cut to %zu bytes while it was read; it had %zu",
                             from, g->size);
        from += (size_t)n;
    }
    return STATUS_OK;
}

enum status gguf_take(struct gguf_cursor *c, size_t n, const uint8_t **out, struct error *err)
{
    struct gguf *g = c->gguf;
    if (n > g->size - c->pos)
        return error_set(err, STATUS_FORMAT,
                         "the file ends inside %s: %zu more bytes are declared, %zu are left",
                         c->what, n, g->size - c->pos);
    if (n > GGUF_MAX_METADATA - c->pos)
        return error_set(err, STATUS_TOO_LARGE, "the metadata is larger than %d bytes, at %s",
                         GGUF_MAX_METADATA, c->what);
    size_t end = c->pos + n;
    if (end > g->n_ready) {
        size_t ahead = g->size - end < READ_AHEAD ? g->size : end + READ_AHEAD;
        enum status status = gguf_read_range(g, g->n_ready, ahead, err);
        if (status != STATUS_OK)
            return status;
        g->n_ready = ahead;
    }
    *out = g->bytes + c->pos;
    c->pos = end;
    return STATUS_OK;
}

enum status gguf_take_u32(struct gguf_cursor *c, uint32_t *out, struct error *err)
{
    const uint8_t *p;
    enum status status = gguf_take(c, 4, &p, err);
    if (status == STATUS_OK)
        *out = gguf_load_u32(p);
    return status;
}

enum status gguf_take_u64(struct gguf_cursor *c, uint64_t *out, struct error *err)
{
    const uint8_t *p;
    enum status status = gguf_take(c, 8, &p, err);
    if (status == STATUS_OK)
        *out = gguf_load_u64(p);
    return status;
}

enum status gguf_take_string(struct gguf_cursor *c, size_t limit, struct gguf_string *out,
                             struct error *err)
{
    uint64_t n;
    const uint8_t *p;
    enum status status = gguf_take_u64(c, &n, err);
    if (status != STATUS_OK)
        return status;
    if (n > limit)
        return error_set(err, STATUS_FORMAT,
                         "a string of %s declares %llu bytes; at most %zu are allowed", c->what,
                         (unsigned long long)n, limit);
    if ((status = gguf_take(c, (size_t)n, &p, err)) != STATUS_OK)
        return status;
    *out = (struct gguf_string){(const char *)p, (size_t)n};
    return STATUS_OK;
}
