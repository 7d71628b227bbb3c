/* gguf_fields.h - where each field of a GGUF file lies, for tests that change one of them and for
 * the fuzzer's mutator; and, as a second reading of the same bytes, what a file says.
 *
 * A plain walk that shares no line with the reader it is used against. Any bytes are survived: it
 * stops where they end or make no sense, and `whole` says whether it came through. Test code; needs
 * nothing but the format's numbers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { FIELDS_MAX = 4096, FIELDS_VALUES = 128, FIELDS_TENSORS = 64, FIELDS_ELEMENTS = 512 };

enum field_kind {
    FIELD_MAGIC,
    FIELD_VERSION,
    FIELD_RECORDS, /* how many keys, how many tensors */
    FIELD_LENGTH,  /* of a string */
    FIELD_TEXT,    /* a string's bytes */
    FIELD_TYPE,    /* of a value, of an array's elements, of a tensor */
    FIELD_COUNT,   /* elements of an array, dimensions of a tensor */
    FIELD_VALUE,   /* a number */
    FIELD_DIM,
    FIELD_OFFSET,
};

struct gguf_field {
    size_t at, n_bytes;
    enum field_kind kind;
};

struct fields_value {
    size_t start, end; /* the whole record */
    const char *key;   /* [n_key] */
    size_t n_key;
    uint32_t type, element_type; /* equal but for arrays, whose type is 9 */
    uint64_t n;                  /* elements; 1 */
    size_t at;                   /* where the number, the string's length or the first element is */
};

struct fields_tensor {
    size_t start, end;
    const char *name; /* [n_name] */
    size_t n_name;
    uint32_t n_dims, type;
    uint64_t ne[4], offset;
};

struct gguf_fields {
    const uint8_t *bytes;
    size_t size, at;
    bool whole;
    struct gguf_field items[FIELDS_MAX];
    size_t n;
    struct fields_value values[FIELDS_VALUES];
    size_t n_values;
    struct fields_tensor tensors[FIELDS_TENSORS];
    size_t n_tensors;
    size_t alignment, data_start; /* the data's place; past the end where there are none */
};

static inline uint64_t fields_int(const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = n; i-- > 0;)
        value = value << 8 | p[i];
    return value;
}

static inline void fields_put(uint8_t *p, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* The next n bytes as a field; false where they are not there. Small ones are also read. */
static inline bool fields_take(struct gguf_fields *f, size_t n, enum field_kind kind, uint64_t *out)
{
    if (n > f->size - f->at || f->n == FIELDS_MAX)
        return false;
    if (n > 0)
        f->items[f->n++] = (struct gguf_field){f->at, n, kind};
    if (out != NULL)
        *out = fields_int(f->bytes + f->at, n);
    f->at += n;
    return true;
}

static inline bool fields_text(struct gguf_fields *f, const char **text, size_t *n_text)
{
    uint64_t n;
    if (!fields_take(f, 8, FIELD_LENGTH, &n) || n > f->size - f->at)
        return false;
    *text = (const char *)f->bytes + f->at;
    *n_text = (size_t)n;
    return fields_take(f, (size_t)n, FIELD_TEXT, NULL);
}

/* Bytes of a number of this type; 0 for a string, an array, and what is no type. */
static inline size_t fields_width(uint64_t type)
{
    static const uint8_t widths[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < 13 ? widths[type] : 0;
}

static inline bool fields_element(struct gguf_fields *f, uint32_t type)
{
    const char *text;
    size_t n;
    if (type == 8)
        return fields_text(f, &text, &n);
    return fields_width(type) != 0 && fields_take(f, fields_width(type), FIELD_VALUE, NULL);
}

static inline bool fields_value(struct gguf_fields *f)
{
    uint64_t type, element, n = 1;
    if (f->n_values == FIELDS_VALUES)
        return false;
    struct fields_value *v = &f->values[f->n_values];
    v->start = f->at;
    if (!fields_text(f, &v->key, &v->n_key) || !fields_take(f, 4, FIELD_TYPE, &type))
        return false;
    element = type;
    if (type == 9 && (!fields_take(f, 4, FIELD_TYPE, &element) ||
                      !fields_take(f, 8, FIELD_COUNT, &n) || n > FIELDS_ELEMENTS))
        return false;
    v->type = (uint32_t)type;
    v->element_type = (uint32_t)element;
    v->n = n;
    v->at = f->at;
    for (uint64_t i = 0; i < n; i++) {
        if (!fields_element(f, (uint32_t)element))
            return false;
    }
    v->end = f->at;
    f->n_values++;
    return true;
}

static inline bool fields_tensor(struct gguf_fields *f)
{
    uint64_t n_dims, type;
    if (f->n_tensors == FIELDS_TENSORS)
        return false;
    struct fields_tensor *t = &f->tensors[f->n_tensors];
    t->start = f->at;
    if (!fields_text(f, &t->name, &t->n_name) || !fields_take(f, 4, FIELD_COUNT, &n_dims) ||
        n_dims > 4)
        return false;
    t->n_dims = (uint32_t)n_dims;
    for (uint32_t d = 0; d < 4; d++) {
        t->ne[d] = 1;
        if (d < n_dims && !fields_take(f, 8, FIELD_DIM, &t->ne[d]))
            return false;
    }
    if (!fields_take(f, 4, FIELD_TYPE, &type) || !fields_take(f, 8, FIELD_OFFSET, &t->offset))
        return false;
    t->type = (uint32_t)type;
    t->end = f->at;
    f->n_tensors++;
    return true;
}

/* A key's value; NULL when absent. */
static inline const struct fields_value *fields_find(const struct gguf_fields *f, const char *key)
{
    for (size_t i = 0; i < f->n_values; i++) {
        if (f->values[i].n_key == strlen(key) && memcmp(f->values[i].key, key, strlen(key)) == 0)
            return &f->values[i];
    }
    return NULL;
}

/* Fills f, the caller's; bytes stay borrowed. */
static inline void fields_walk(struct gguf_fields *f, const uint8_t *bytes, size_t size)
{
    uint64_t n_values, n_tensors;
    f->bytes = bytes;
    f->size = size;
    f->at = f->n = f->n_values = f->n_tensors = 0;
    f->whole = false;
    f->alignment = 32;
    if (!fields_take(f, 4, FIELD_MAGIC, NULL) || !fields_take(f, 4, FIELD_VERSION, NULL) ||
        !fields_take(f, 8, FIELD_RECORDS, &n_tensors) ||
        !fields_take(f, 8, FIELD_RECORDS, &n_values))
        return;
    while (f->n_values < n_values) {
        if (!fields_value(f))
            return;
    }
    while (f->n_tensors < n_tensors) {
        if (!fields_tensor(f))
            return;
    }
    const struct fields_value *v = fields_find(f, "general.alignment");
    if (v != NULL && v->type == 4)
        f->alignment = (size_t)fields_int(bytes + v->at, 4);
    if (f->alignment == 0)
        return;
    f->data_start = (f->at + f->alignment - 1) / f->alignment * f->alignment;
    f->whole = true;
}
