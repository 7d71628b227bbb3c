/* writer.h - writes a GGUF v3 file: a header of keys and tensor descriptions, then the tensors'
 * data in the same order, each at its place.
 *
 * The caller gives counts first and then exactly as many keys, descriptions and data. Errors stay
 * with the stream: look at ferror() where it matters. Knows the container only, as gguf.h does. One
 * thread.
 */
#pragma once

#include "gguf/gguf.h"

#include <stdio.h>

struct gguf_writer {
    FILE *file;           /* borrowed */
    size_t alignment;     /* a power of two */
    uint64_t n_written;   /* bytes of the file so far */
    uint64_t next_offset; /* of the next tensor described, from where the data begins */
};

/* The file's first bytes; alignment: what general.alignment says among the values, 32 without it.
 */
void gguf_writer_begin(struct gguf_writer *w, FILE *file, size_t alignment, size_t n_tensors,
                       size_t n_values);

/* A key and its value byte for byte as another file has them. */
void gguf_write_value(struct gguf_writer *w, const struct gguf_value *value);
void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value);

/* Describes a tensor like another one, in a type of its own and with so many bytes of data. */
void gguf_write_tensor(struct gguf_writer *w, const struct gguf_tensor *like, uint32_t type,
                       size_t n_bytes);

/* The header, and each tensor's data, end with zeros up to the alignment. */
void gguf_write_header_end(struct gguf_writer *w);
void gguf_write_data(struct gguf_writer *w, const uint8_t *bytes, size_t n);
