/* parts.h - what the rows of vectors share: reading texts, and writing numbers. Inside api/vectors
 * alone. */
#pragma once

#include "api/builder.h"
#include "api/json/json.h"
#include "api/json/values.h"
#include "api/vectors/vectors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vectors_norm { NORM_MAX_INT16, NORM_TAXICAB, NORM_EUCLID, NORM_NONE };

struct vectors_values { /* what any row's table can store */
    const struct cJSON *model, *input, *content, *encoding, *query, *documents, *texts, *direction;
    const struct cJSON *norm;
    bool truncate, normalize, raw_scores, return_text, add_special;
    uint64_t dimensions, top_n, truncate_tokens;
};
#define VECTORS(member) .offset = offsetof(struct vectors_values, member)

struct vectors_text { /* of a document that goes back with its score; borrowed from the wishes */
    const char *bytes;
    size_t n;
};

struct vectors_wishes { /* a generation's */
    enum vectors_norm norm;
    bool base64;
    size_t n_dimensions; /* the first ones */
    /* of ranks: */
    bool tei, raw_scores;
    size_t top_n;
    struct vectors_text *texts; /* [n_choices] in this very memory; NULL: none go back */
};

struct vectors_reading { /* a body on its way; zeroed first */
    const struct generation_source *source;
    const struct field_table *table;
    struct vectors_values values;
    struct fields_found found;
    bool truncate; /* texts that are too long are cut ... */
    size_t most;   /* ... at so many tokens; 0: at what the model takes */
};

/* --- reading (read.c) --- */

/* Refuses what this model has not got, then reads the body by the table. ranks: scores are asked
 * for, not vectors. */
enum status vectors_read(struct vectors_reading *r, const struct field_table *table,
                         const struct generation_source *source, bool ranks, struct error *err);
bool vectors_has(const struct vectors_reading *r, size_t offset);
#define VECTORS_HAS(r, member) vectors_has(r, offsetof(struct vectors_values, member))

/* One text (a string, or ids) more, as a job. field: its name in errors. */
enum status vectors_add(struct vectors_reading *r, struct generation *g, const char *field,
                        const struct cJSON *text, struct error *err);
/* Ids that are used as they are. */
enum status vectors_add_ids(struct vectors_reading *r, struct generation *g, const char *field,
                            const int32_t *ids, size_t n, struct error *err);
/* A text, or a list of texts. An empty list adds none. */
enum status vectors_add_all(struct vectors_reading *r, struct generation *g, const char *field,
                            const struct cJSON *texts, struct error *err);
/* The wishes of a generation whose jobs are there, with n_extra bytes after them; checks the
 * dimensions. NULL: an error. */
struct vectors_wishes *vectors_wish(const struct vectors_reading *r, struct generation *g,
                                    size_t n_extra, struct error *err);
/* What the generation takes over when all is well; frees the rest in any case. */
enum status vectors_end(struct vectors_reading *r, struct generation *g, enum status status);

/* --- writing (write.c) --- */

/* The vector of a finished job, as the generation wishes it: [numbers], or "base64". */
void vectors_put(struct json_writer *w, const struct generation *g, size_t i);
size_t vectors_bound(const struct generation *g); /* of all of them */
enum answer_form vectors_form(const struct generation *g, const char *accept);
/* Rows that answer whole have no events. */
size_t vectors_no_event_min(const struct generation *g);
size_t vectors_no_event(struct generation *g, char *out, size_t room);

#define VECTORS_WRITERS                                                                            \
    .vectors = true, .types = {[ANSWER_JSON] = "application/json"}, .form = vectors_form,          \
    .event_min = vectors_no_event_min, .event = vectors_no_event
