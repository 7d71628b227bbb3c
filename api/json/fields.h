/* fields.h - one table of fields drives the reading of a body: name, kind, range, default, place.
 *
 * A body is checked by json_check, then walked once beside the tree that cJSON makes of it, so that
 * a number can also be read exactly as it stands. Simple kinds are stored into the caller's struct;
 * the others are handed over as cJSON values. The reference (openapi.yaml) is tested against the
 * tables. Pure; any thread. Knows nothing of jobs.
 */
#pragma once

#include "api/json/json.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum field_kind {
    FIELD_BOOL,   /* bool */
    FIELD_UINT,   /* uint64_t, integral */
    FIELD_NUMBER, /* double */
    FIELD_SEED,   /* uint64_t: a number up to 2^53 or a decimal string up to 2^64 - 1 */
    FIELD_ANY,    /* const struct cJSON *: decoded by its reader */
    FIELD_RAW,    /* struct json_span: the value as it stands in the body; n = 0: absent */
    FIELD_NONE,   /* stored nowhere: no_effect, or refused */
};

/* Where a maximum comes from that the table cannot know. */
enum field_bound { BOUND_FIXED, BOUND_VOCABULARY, BOUND_CONTEXT, BOUND_COUNT };

struct field {
    const char *name;
    enum field_kind kind;
    enum field_bound bound;
    double min, max;     /* of UINT and NUMBER, inclusive; max only with BOUND_FIXED */
    double initial;      /* the default of BOOL, UINT and NUMBER */
    bool nullable;       /* null is the same as absent */
    bool minus_one;      /* -1 is the same as absent */
    bool minus_one_most; /* -1 stands for the largest value */
    bool below_absent;   /* whole numbers below min are the same as absent */
    bool of_64_bits;     /* SEED: any number of 64 bits; one below 0 stands for 2^64 more */
    bool no_effect;      /* clients send it, and it cannot change the text: taken and let be */
    const char *refused; /* why it cannot be honoured: anything but null, false, 0 and what is empty
                            is STATUS_UNSUPPORTED; NULL: it can */
    size_t offset;       /* in the struct of values; several rows may share one */
};

struct field_alias { /* how other programs call a field */
    const char *other, *name;
};

enum { FIELDS_MAX = 192, FIELDS_NAME_MAX = 64 };

struct field_table {
    const struct field *fields;
    size_t n_fields;
    const struct field_alias
        *aliases; /* [n_aliases]: not taken, but answered with the right name */
    size_t n_aliases;
    const struct field_table *more; /* rows shared with other tables, after these; NULL: none.
                                       FIELDS_MAX rows in all. */
    const char *inside;             /* these rows are members of the body's object of this name;
                                       NULL: of the body itself, as the first table's are */
    bool lenient;                   /* unknown fields are let be instead of refused; the first
                                       table's word counts */
};

struct fields_found {               /* zeroed first; fields_free it */
    struct cJSON *root;             /* owns what FIELD_ANY values point to */
    uint64_t seen[FIELDS_MAX / 64]; /* one bit a row that was there (and not null) */
    char ignored[FIELDS_NAME_MAX];  /* the first unknown field of a lenient table; "": none */
};

struct field_limits {
    size_t max_depth, max_nodes;
    uint64_t bounds[BOUND_COUNT]; /* by enum field_bound; BOUND_FIXED's is not used */
};

/* Defaults into values. */
void fields_default(const struct field_table *table, void *values);

/* Reads a whole body over the defaults. On failure nothing is found. Errors as in native.h. */
enum status fields_read(const struct field_table *table, const struct field_limits *limits,
                        const char *body, size_t n, void *values, struct fields_found *found,
                        struct error *err);
void fields_free(struct fields_found *found); /* takes a zeroed one */

/* Whether the body had a row that stores there: offset is a member's of the values. */
bool fields_has(const struct field_table *table, const struct fields_found *found, size_t offset);
/* Row i: those of the table, then those of the tables after it. NULL: there are no more. */
const struct field *fields_row(const struct field_table *table, size_t i);

/* The field that an unknown name means: another program's name for it, or few typing slips away;
 * NULL: none. */
const char *fields_meant(const struct field_table *table, const char *name);

/* "a string", "an array", ...: what a value is, for messages. */
const char *fields_type_name(const struct cJSON *value);
