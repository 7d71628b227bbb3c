/* gguf_builder.h - writes a GGUF file in memory, for tests: right by default, wrong wherever a test
 * says so.
 *
 * Values and tensors are kept as lists until gguf_build puts them together, so that a test can take
 * a right file and change one thing: replace or remove a value, give a tensor another offset or
 * type, repeat a name. Test code: it asserts with Check and stops at the first thing it cannot do.
 */
#pragma once

#include "gguf/gguf.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUILDER_VALUES = 160, BUILDER_TENSORS = 384 };

struct builder_bytes {
    uint8_t *p;
    size_t n, room;
};

struct builder_value {
    struct builder_bytes key, body; /* body: the type and what follows */
};

struct builder_tensor {
    struct builder_bytes name;
    uint32_t n_dims, type;
    uint64_t ne[8];
    struct builder_bytes data;
    uint64_t offset; /* UINT64_MAX: after the one before */
};

struct gguf_builder {
    uint32_t version;                               /* 3 */
    uint64_t alignment;                             /* of the layout; 32 */
    uint64_t n_values_declared, n_tensors_declared; /* UINT64_MAX: the true numbers */
    struct builder_value values[BUILDER_VALUES];
    size_t n_values;
    struct builder_tensor tensors[BUILDER_TENSORS];
    size_t n_tensors;
    struct builder_bytes behind; /* raw bytes after the last tensor's padding */
};

static inline void builder_put(struct builder_bytes *b, const void *bytes, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n);
        b->p = realloc(b->p, b->room);
        ck_assert_ptr_nonnull(b->p);
    }
    if (n > 0)
        memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

static inline void builder_put_int(struct builder_bytes *b, uint64_t value, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    builder_put(b, bytes, n);
}

static inline void builder_put_string(struct builder_bytes *b, const void *bytes, size_t n)
{
    builder_put_int(b, n, 8);
    builder_put(b, bytes, n);
}

static inline struct gguf_builder *gguf_builder_new(void)
{
    struct gguf_builder *b = calloc(1, sizeof *b);
    ck_assert_ptr_nonnull(b);
    b->version = 3;
    b->alignment = 32;
    b->n_values_declared = b->n_tensors_declared = UINT64_MAX;
    return b;
}

static inline void gguf_builder_free(struct gguf_builder *b)
{
    for (size_t i = 0; i < BUILDER_VALUES; i++) {
        free(b->values[i].key.p);
        free(b->values[i].body.p);
    }
    for (size_t i = 0; i < BUILDER_TENSORS; i++) {
        free(b->tensors[i].name.p);
        free(b->tensors[i].data.p);
    }
    free(b->behind.p);
    free(b);
}

/* The value of a key: the one that is there, emptied, or a new one. */
static inline struct builder_value *builder_value(struct gguf_builder *b, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < b->n_values; i++) {
        struct builder_value *v = &b->values[i];
        if (v->key.n == n && memcmp(v->key.p, key, n) == 0) {
            v->body.n = 0;
            return v;
        }
    }
    ck_assert_uint_lt(b->n_values, BUILDER_VALUES);
    struct builder_value *v = &b->values[b->n_values++];
    builder_put(&v->key, key, n);
    return v;
}

static inline void builder_remove(struct gguf_builder *b, const char *key)
{
    for (size_t i = 0; i < b->n_values; i++) {
        struct builder_value gone = b->values[i];
        if (gone.key.n != strlen(key) || memcmp(gone.key.p, key, gone.key.n) != 0)
            continue;
        free(gone.key.p);
        free(gone.body.p);
        b->n_values--;
        memmove(&b->values[i], &b->values[i + 1], (b->n_values - i) * sizeof gone);
        b->values[b->n_values] = (struct builder_value){0};
        return;
    }
    ck_abort_msg("no key %s", key);
}

/* A whole number of n bytes, under any type. */
static inline void builder_int(struct gguf_builder *b, const char *key, uint32_t type,
                               uint64_t value, size_t n)
{
    struct builder_value *v = builder_value(b, key);
    builder_put_int(&v->body, type, 4);
    builder_put_int(&v->body, value, n);
}

static inline void builder_u32(struct gguf_builder *b, const char *key, uint32_t value)
{
    builder_int(b, key, GGUF_U32, value, 4);
}

static inline void builder_bool(struct gguf_builder *b, const char *key, uint8_t value)
{
    builder_int(b, key, GGUF_BOOL, value, 1);
}

static inline void builder_f32(struct gguf_builder *b, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    builder_int(b, key, GGUF_F32, bits, 4);
}

static inline void builder_string(struct gguf_builder *b, const char *key, const char *text)
{
    struct builder_value *v = builder_value(b, key);
    builder_put_int(&v->body, GGUF_STRING, 4);
    builder_put_string(&v->body, text, strlen(text));
}

/* The head of an array; its elements are put into the returned bytes. */
static inline struct builder_bytes *builder_array(struct gguf_builder *b, const char *key,
                                                  uint32_t element_type, uint64_t n)
{
    struct builder_value *v = builder_value(b, key);
    builder_put_int(&v->body, GGUF_ARRAY, 4);
    builder_put_int(&v->body, element_type, 4);
    builder_put_int(&v->body, n, 8);
    return &v->body;
}

static inline void builder_strings(struct gguf_builder *b, const char *key,
                                   const char *const *texts, size_t n)
{
    struct builder_bytes *body = builder_array(b, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        builder_put_string(body, texts[i], strlen(texts[i]));
}

static inline void builder_i32s(struct gguf_builder *b, const char *key, const int32_t *values,
                                size_t n)
{
    struct builder_bytes *body = builder_array(b, key, GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        builder_put_int(body, (uint32_t)values[i], 4);
}

static inline void builder_f32s(struct gguf_builder *b, const char *key, const float *values,
                                size_t n)
{
    struct builder_bytes *body = builder_array(b, key, GGUF_F32, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        builder_put_int(body, bits, 4);
    }
}

/* A new tensor with these data; cols is ne[0]. rows 0: one dimension. */
static inline struct builder_tensor *builder_tensor(struct gguf_builder *b, const char *name,
                                                    uint32_t type, uint64_t cols, uint64_t rows,
                                                    const void *data, size_t n_bytes)
{
    ck_assert_uint_lt(b->n_tensors, BUILDER_TENSORS);
    struct builder_tensor *t = &b->tensors[b->n_tensors++];
    builder_put(&t->name, name, strlen(name));
    t->n_dims = rows == 0 ? 1 : 2;
    t->type = type;
    t->ne[0] = cols;
    t->ne[1] = rows;
    builder_put(&t->data, data, n_bytes);
    t->offset = UINT64_MAX;
    return t;
}

/* The last tensor is so many matrices, one after the other. */
static inline void builder_deepen(struct gguf_builder *b, uint64_t depth)
{
    struct builder_tensor *t = &b->tensors[b->n_tensors - 1];
    ck_assert_uint_eq(t->n_dims, 2);
    t->n_dims = 3;
    t->ne[1] /= depth;
    t->ne[2] = depth;
}

static inline struct builder_tensor *builder_find_tensor(struct gguf_builder *b, const char *name)
{
    for (size_t i = 0; i < b->n_tensors; i++) {
        if (b->tensors[i].name.n == strlen(name) &&
            memcmp(b->tensors[i].name.p, name, strlen(name)) == 0)
            return &b->tensors[i];
    }
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static inline void builder_remove_tensor(struct gguf_builder *b, const char *name)
{
    struct builder_tensor *t = builder_find_tensor(b, name);
    free(t->name.p);
    free(t->data.p);
    b->n_tensors--;
    memmove(t, t + 1, (size_t)(b->tensors + b->n_tensors - t) * sizeof *t);
    b->tensors[b->n_tensors] = (struct builder_tensor){0};
}

static inline void builder_pad(struct builder_bytes *out, uint64_t alignment)
{
    while (out->n % alignment != 0)
        builder_put_int(out, 0, 1);
}

/* The file's bytes, to be freed; aligned as malloc aligns. */
static inline uint8_t *gguf_build(const struct gguf_builder *b, size_t *size)
{
    struct builder_bytes out = {0}, data = {0};
    builder_put(&out, "GGUF", 4);
    builder_put_int(&out, b->version, 4);
    builder_put_int(&out,
                    b->n_tensors_declared != UINT64_MAX ? b->n_tensors_declared : b->n_tensors, 8);
    builder_put_int(&out, b->n_values_declared != UINT64_MAX ? b->n_values_declared : b->n_values,
                    8);
    for (size_t i = 0; i < b->n_values; i++) {
        builder_put_string(&out, b->values[i].key.p, b->values[i].key.n);
        builder_put(&out, b->values[i].body.p, b->values[i].body.n);
    }
    for (size_t i = 0; i < b->n_tensors; i++) {
        const struct builder_tensor *t = &b->tensors[i];
        builder_put_string(&out, t->name.p, t->name.n);
        builder_put_int(&out, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims && d < 8; d++)
            builder_put_int(&out, t->ne[d], 8);
        builder_put_int(&out, t->type, 4);
        builder_put_int(&out, t->offset != UINT64_MAX ? t->offset : data.n, 8);
        builder_put(&data, t->data.p, t->data.n);
        builder_pad(&data, b->alignment);
    }
    if (b->n_tensors > 0)
        builder_pad(&out, b->alignment);
    builder_put(&out, data.p, data.n);
    builder_put(&out, b->behind.p, b->behind.n);
    free(data.p);
    *size = out.n;
    /* Exactly as large as the file, so that a sanitizer sees a read past its end. */
    uint8_t *exact = malloc(out.n);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, out.p, out.n);
    free(out.p);
    return exact;
}
