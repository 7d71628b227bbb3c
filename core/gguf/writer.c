/* writer.c - a GGUF v3 file through a stream, front to back. See writer.h. */
#include "gguf/writer.h"

#include <string.h>

enum { VERSION = 3 };

static void put(struct gguf_writer *w, const void *bytes, size_t n)
{
    fwrite(bytes, 1, n, w->file);
    w->n_written += n;
}

static void put_u32(struct gguf_writer *w, uint32_t v)
{
    put(w, &v, sizeof v);
}

static void put_u64(struct gguf_writer *w, uint64_t v)
{
    put(w, &v, sizeof v);
}

static void put_string(struct gguf_writer *w, const char *bytes, size_t n)
{
    put_u64(w, n);
    put(w, bytes, n);
}

static void pad(struct gguf_writer *w)
{
    static const uint8_t zeros[512];
    size_t n = (size_t)(-w->n_written & (w->alignment - 1));
    for (size_t part; n > 0; n -= part) {
        part = n < sizeof zeros ? n : sizeof zeros;
        put(w, zeros, part);
    }
}

static size_t scalar_bytes(enum gguf_value_type type)
{
    static const uint8_t sizes[GGUF_VALUE_TYPES] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return sizes[type];
}

/* Bytes of a value as it lies in the file. */
static size_t value_bytes(const struct gguf_value *v)
{
    enum gguf_value_type type = v->type == GGUF_ARRAY ? v->element_type : v->type;
    if (type != GGUF_STRING)
        return v->n * scalar_bytes(type);
    if (v->n == 0)
        return 0;
    size_t last = v->type == GGUF_ARRAY ? v->offsets[v->n - 1] : 0;
    uint64_t length;
    memcpy(&length, v->bytes + last, sizeof length);
    return last + sizeof length + (size_t)length;
}

void gguf_writer_begin(struct gguf_writer *w, FILE *file, size_t alignment, size_t n_tensors,
                       size_t n_values)
{
    *w = (struct gguf_writer){.file = file, .alignment = alignment};
    put(w, "GGUF", 4);
    put_u32(w, VERSION);
    put_u64(w, n_tensors);
    put_u64(w, n_values);
}

void gguf_write_value(struct gguf_writer *w, const struct gguf_value *v)
{
    put_string(w, v->key.bytes, v->key.n);
    put_u32(w, v->type);
    if (v->type == GGUF_ARRAY) {
        put_u32(w, v->element_type);
        put_u64(w, v->n);
    }
    put(w, v->bytes, value_bytes(v));
}

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    put_string(w, key, strlen(key));
    put_u32(w, GGUF_U32);
    put_u32(w, value);
}

void gguf_write_tensor(struct gguf_writer *w, const struct gguf_tensor *like, uint32_t type,
                       size_t n_bytes)
{
    put_string(w, like->name, strlen(like->name));
    put_u32(w, like->n_dims);
    for (uint32_t d = 0; d < like->n_dims; d++)
        put_u64(w, like->ne[d]);
    put_u32(w, type);
    put_u64(w, w->next_offset);
    w->next_offset += (n_bytes + w->alignment - 1) & ~(uint64_t)(w->alignment - 1);
}

void gguf_write_header_end(struct gguf_writer *w)
{
    pad(w);
}

void gguf_write_data(struct gguf_writer *w, const uint8_t *bytes, size_t n)
{
    put(w, bytes, n);
    pad(w);
}
