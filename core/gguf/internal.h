/* internal.h - what the GGUF reader's files share: the open file, and a cursor that never
 * leaves it.
 *
 * reader.c owns the file, the header and the tensors; values.c owns keys and values; open.c joins
 * the files of a split model. Included by them and cursor.c alone.
 */
#pragma once

#include "gguf/gguf.h"

#include <string.h>
#include <sys/stat.h>

enum {
    GGUF_MAX_RECORDS = 65536, /* keys, and tensors: 50 times what the largest models have */
    GGUF_MAX_KEY = 65535,     /* bytes: the format's own limit */
    GGUF_MAX_STRING =
        1 << 20, /* bytes: chat templates are the longest, and stay below a tenth of it */
    GGUF_MAX_ARRAY = 16 << 20,               /* elements: the largest vocabularies have 260,000 */
    GGUF_MAX_METADATA = 256 << 20,           /* bytes in front of the tensors' data */
    GGUF_MAX_PARTS = 512,                    /* files of one split model, each an open descriptor */
    GGUF_MIN_VALUE = 8 + 1 + 4 + 1,          /* bytes of the smallest key and value */
    GGUF_MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8, /* bytes of the smallest tensor description */
};

struct gguf_entry {
    struct gguf_value value;
    size_t *offsets; /* [n] of an array of strings; owned: value.offsets */
};

struct gguf {
    const uint8_t *bytes; /* [size]; of a file, only what was asked for has been read (reader.c) */
    size_t size;
    size_t n_ready;       /* bytes from the front that are there */
    uint8_t *reserved;    /* [size] of address space that the file is read into, owned; NULL: the
                             caller's bytes */
    int fd;               /* owned; -1: none */
    struct stat identity; /* of the file when it was opened */

    uint32_t version;
    size_t alignment;
    struct gguf_entry *values; /* [n_values], in the file's order; owned */
    size_t n_values;
    uint32_t *values_by_key;     /* [n_values], sorted; owned */
    struct gguf_tensor *tensors; /* [n_tensors], in the file's order; owned */
    size_t n_tensors;
    uint32_t *tensors_by_name; /* [n_tensors], sorted; owned */

    /* The first file of a split model holds the tensors of all; the others keep their bytes. */
    struct gguf **others; /* [n_others], parts 1 and on; owned */
    size_t n_others;
};

struct gguf_cursor {
    struct gguf *gguf;
    size_t pos;     /* <= size and <= GGUF_MAX_METADATA */
    char what[112]; /* what is being read, for messages: "key 'general.name'" */
};

/* --- reader.c --- */

/* Each opens one file alone, whatever it says of others. */
enum status gguf_open_alone(struct gguf **out, const uint8_t *bytes, size_t size,
                            struct error *err);
enum status gguf_map_alone(struct gguf **out, const char *path, struct error *err);
/* Makes the index by name of all tensors; a name given twice is STATUS_FORMAT. */
enum status gguf_index_tensors(struct gguf *g, struct error *err);

/* --- cursor.c --- */

/* Reads bytes [from, to) of the file to their place. */
enum status gguf_read_range(const struct gguf *g, size_t from, size_t to, struct error *err);
/* The next n bytes, which stay where they are; STATUS_FORMAT when the file ends before. */
enum status gguf_take(struct gguf_cursor *c, size_t n, const uint8_t **out, struct error *err);
enum status gguf_take_u32(struct gguf_cursor *c, uint32_t *out, struct error *err);
enum status gguf_take_u64(struct gguf_cursor *c, uint64_t *out, struct error *err);
/* A length and as many bytes; limit is what the length may be at most. */
enum status gguf_take_string(struct gguf_cursor *c, size_t limit, struct gguf_string *out,
                             struct error *err);

/* --- values.c --- */

/* All keys and values; sorts them and refuses a key given twice. */
enum status gguf_read_values(struct gguf_cursor *c, struct error *err);

/* Names are shown in logs, metrics and errors: not empty, nothing but printable ASCII. */
bool gguf_is_name(const char *bytes, size_t n);

static inline uint16_t gguf_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t gguf_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gguf_load_u64(const uint8_t *p)
{
    return (uint64_t)gguf_load_u32(p) | (uint64_t)gguf_load_u32(p + 4) << 32;
}
