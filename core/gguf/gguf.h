/* gguf.h - reads a GGUF v2/v3 file's header: keys, values and tensor descriptions, every byte of it
 * checked.
 *
 * Takes (bytes, size), so that any truncation can be tested in-process; gguf_map opens a file that
 * way, and with the first file of a split model (NAME-00001-of-0000N.gguf) all of them. The reader
 * never trusts a length, a count or an offset, allocates in proportion to the bytes it was given,
 * and says in each refusal which key or tensor is at fault and what would be right. Knows the
 * container only: what a key means is model.h's and tokenizer.h's business. Any thread; read-only
 * once open.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the file. */
enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_VALUE_TYPES,
};

struct gguf_string {
    const char *bytes; /* borrowed from the file's bytes; not NUL-terminated */
    size_t n;
};

struct gguf_value {
    struct gguf_string key;
    enum gguf_value_type type;         /* GGUF_ARRAY for arrays */
    enum gguf_value_type element_type; /* of an array */
    size_t n;                          /* elements of an array; 1 otherwise */
    const uint8_t *bytes;              /* the value's bytes, unaligned, little endian; borrowed */
    const size_t *offsets; /* of an array of strings: where each begins, counted from bytes */
};

struct gguf_tensor {
    char name[64]; /* printable, unique */
    uint32_t type; /* GGML's type id, in the supported set of quant.h */
    uint32_t n_dims;
    uint64_t ne[4];      /* ne[0] runs fastest (columns); unused ones are 1 */
    const uint8_t *data; /* borrowed, there after gguf_fetch; in range, aligned in the file,
                            overlapping no other */
    size_t n_bytes;
    size_t part; /* which of a split model's files it lies in; 0 */
};

struct gguf; /* opaque */

/* bytes stay borrowed until gguf_close. STATUS_FORMAT, STATUS_UNSUPPORTED, STATUS_NO_MEMORY. */
enum status gguf_open(struct gguf **out, const uint8_t *bytes, size_t size, struct error *err);

/* Opens a regular file, of which only the header is read; STATUS_IO too. Tensors are brought in one
 * by one (gguf_fetch). Where it is the first file of a split model the others are opened too: the
 * tensors of all stand in one list, keys are the first one's. */
enum status gguf_map(struct gguf **out, const char *path, struct error *err);
void gguf_close(struct gguf *gguf); /* takes NULL */

/* Reads a tensor's data to where tensor->data points (nothing to do after gguf_open). A file that
 * was cut or changed since it was opened is STATUS_IO. */
enum status gguf_fetch(const struct gguf *gguf, const struct gguf_tensor *tensor,
                       struct error *err);

/* Gives a fetched tensor's pages back to the system: its bytes have been taken over. */
void gguf_release(const struct gguf *gguf, const struct gguf_tensor *tensor);

/* Tells add, piece by piece, what the file is known by: of each part device, number, size and times
 * as when it was opened, and all bytes in front of the tensors' data. False: it has no file. */
bool gguf_describe(const struct gguf *gguf, void (*add)(void *ctx, const void *bytes, size_t n),
                   void *ctx);

uint32_t gguf_version(const struct gguf *gguf);
size_t gguf_size(const struct gguf *gguf);    /* bytes of the file, or of all files */
size_t gguf_n_parts(const struct gguf *gguf); /* files; 1: it is whole */
/* The i-th file, open; stays the reader's. -1: it was given as bytes. */
int gguf_descriptor(const struct gguf *gguf, size_t i);
size_t gguf_alignment(const struct gguf *gguf); /* of each tensor's data; a power of two */
size_t gguf_n_values(const struct gguf *gguf);
const struct gguf_value *gguf_value_at(const struct gguf *gguf, size_t i);
const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key); /* NULL when absent */
size_t gguf_n_tensors(const struct gguf *gguf);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t i);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name);

/* Typed reads. Each leaves *out alone and returns STATUS_OK with *found = false when the key is
 * absent; a wrong type is STATUS_FORMAT naming key, type found and type wanted. Integers of any
 * width are taken when the value fits; found may be NULL for a key that must exist: absent is then
 * STATUS_FORMAT. */
enum status gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *out, bool *found,
                         struct error *err);
enum status gguf_get_f32(const struct gguf *gguf, const char *key, float *out, bool *found,
                         struct error *err);
enum status gguf_get_bool(const struct gguf *gguf, const char *key, bool *out, bool *found,
                          struct error *err);
enum status gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *out,
                            bool *found, struct error *err);
/* An array of exactly this element type. */
enum status gguf_get_array(const struct gguf *gguf, const char *key,
                           enum gguf_value_type element_type, const struct gguf_value **out,
                           bool *found, struct error *err);

/* Elements of arrays; i < n, the type as declared. */
struct gguf_string gguf_string_at(const struct gguf_value *array, size_t i);
float gguf_f32_at(const struct gguf_value *array, size_t i);
int32_t gguf_i32_at(const struct gguf_value *array, size_t i);

const char *gguf_value_type_name(enum gguf_value_type type); /* "u32", "string", ... */
