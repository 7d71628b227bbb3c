/* values.h - JSON values whose form a table of fields cannot say: lists of ids, stop strings, logit
 * biases. Every dialect's decoder reads them with these.
 *
 * Pure; any thread. Errors are STATUS_INVALID and name the field that they are given, or
 * STATUS_NO_MEMORY. Knows nothing of jobs.
 */
#pragma once

#include "api/json/fields.h"
#include "base/error.h"
#include "engine/job.h"
#include "text/sampler.h"
#include "text/tokenizer/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

struct id_list {
    int32_t *ids; /* malloc'ed */
    size_t n;
};
/* An array of ids, each within the vocabulary. */
enum status values_ids(const char *field, const struct cJSON *value,
                       const struct tokenizer *tokenizer, struct id_list *out, struct error *err);

struct stop_list {
    struct stop_string stops[JOB_STOPS_MAX]; /* borrowed from the tree */
    size_t n;
};
/* A string, or up to JOB_STOPS_MAX, none empty. */
enum status values_stops(const char *field, const struct cJSON *value, struct stop_list *out,
                         struct error *err);

struct stop_id_list {
    int32_t ids[JOB_STOP_IDS_MAX];
    size_t n;
};
/* An array of up to JOB_STOP_IDS_MAX ids, each within the vocabulary. */
enum status values_stop_ids(const char *field, const struct cJSON *value,
                            const struct tokenizer *tokenizer, struct stop_id_list *out,
                            struct error *err);

struct bias_list {
    struct logit_bias *biases; /* malloc'ed, sorted by id, unique */
    size_t n;
};
/* An object of id -> -100..100 or false. */
enum status values_biases(const char *field, const struct cJSON *value, size_t n_vocab,
                          struct bias_list *out, struct error *err);

/* A member that is there and not null; object may be NULL. */
const struct cJSON *values_member(const struct cJSON *object, const char *name);
/* Whether it is this very string. */
bool values_is_text(const struct cJSON *value, const char *text);
/* Absent (NULL) is well, too. */
enum status values_check_object(const struct cJSON *value, const char *field, struct error *err);
