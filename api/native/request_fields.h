/* request_fields.h - the tables of fields that bodies may hold, and the readers of those fields
 * that a table cannot describe. Shared by the request_*.c files and by the tests that hold the
 * reference against the tables; the server needs request.h alone. Pure; any thread.
 */
#pragma once

#include "api/json/fields.h"
#include "base/error.h"
#include "engine/job.h"
#include "text/sampler.h"
#include "text/tokenizer/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

extern const struct field_table generate_fields, tokenize_fields, detokenize_fields;

struct id_list {
    int32_t *ids; /* malloc'ed */
    size_t n;
};

/* `text` as ids; it must be UTF-8 without NUL. */
enum status read_text(const char *field, const char *text, size_t n, unsigned flags,
                      const struct tokenizer *tokenizer, struct id_list *out, struct error *err);
/* An array of ids, each within the vocabulary. */
enum status read_ids(const char *field, const struct cJSON *value,
                     const struct tokenizer *tokenizer, struct id_list *out, struct error *err);

struct stop_list {
    struct stop_string stops[JOB_STOPS_MAX]; /* borrowed from the tree */
    size_t n, n_bytes;                       /* bytes of all together */
};
/* A string, or up to JOB_STOPS_MAX, none empty. */
enum status read_stops(const char *field, const struct cJSON *value, struct stop_list *out,
                       struct error *err);

struct bias_list {
    struct logit_bias *biases; /* malloc'ed, sorted by id, unique */
    size_t n, n_banned;
};
/* An object of id -> -100..100 or false. */
enum status read_biases(const char *field, const struct cJSON *value, size_t n_vocab,
                        struct bias_list *out, struct error *err);
