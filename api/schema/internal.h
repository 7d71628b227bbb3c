/* internal.h - what the files of this room share. */
#pragma once

#include "api/schema/schema.h"

#include <cjson/cJSON.h>

struct known { /* a schema that is a rule */
    const struct cJSON *schema;
    uint32_t rule;
};

struct schema {
    struct grammar_builder *b;
    /* the texts of one schema: for those inside of others */
    const struct expr *(*read)(struct schema *s, const struct cJSON *schema);
    const struct cJSON *root;
    struct known *known;
    size_t n_known, room;
    struct cJSON *merged; /* an array that owns the schemas made here */
    unsigned depth;
    /* rules of every grammar, made when first asked for; NO_RULE before */
    uint32_t string, number, value, object, array, space;
    const struct expr *character; /* of a string; NULL before */
};

#define NO_RULE UINT32_MAX
enum { SCHEMA_DEPTH = 100 };

/* common.c */
void schema_lacks(struct schema *s, const char *keyword, const char *why);
const struct cJSON *schema_member(const struct cJSON *schema, const char *name);
/* A number that counts; absent: otherwise. */
uint32_t schema_count(struct schema *s, const struct cJSON *schema, const char *name,
                      uint32_t otherwise);
/* No text at all; the keyword that leaves none is said if that is so of the whole. */
const struct expr *nothing_left(struct schema *s, const char *keyword);

/* references.c */
/* Has a $ref and nothing else that counts. */
bool only_refers(const struct cJSON *schema);
/* What its $ref says, through others that stand alone; NULL: the builder has failed. */
const struct cJSON *schema_resolve(struct schema *s, const struct cJSON *schema);

/* keywords.c */
enum type_bit {
    T_OBJECT = 1,
    T_ARRAY = 2,
    T_STRING = 4,
    T_INTEGER = 8,
    T_NUMBER = 16,
    T_BOOLEAN = 32,
    T_NULL = 64,
    T_ALL = 127 & ~8 /* integers are numbers */
};
/* The types that keywords of one type speak of; unknown keywords and those that are lacking are
 * refused. */
unsigned schema_keywords(struct schema *s, const struct cJSON *schema);
/* The types that it allows; spoken_of: of its keywords. */
unsigned schema_types(struct schema *s, const struct cJSON *schema, unsigned spoken_of);

/* values.c: any value at all, and given ones */
const struct expr *any_value(struct schema *s);
const struct expr *any_object(struct schema *s);
const struct expr *any_array(struct schema *s);
const struct expr *any_string(struct schema *s);
const struct expr *any_number(struct schema *s);
const struct expr *space(struct schema *s); /* between tokens of JSON, or none */
const struct expr *literal_value(struct schema *s, const struct cJSON *value);

/* characters.c */
const struct expr *any_character(struct schema *s);
const struct expr *character_of(struct schema *s, const struct expr_range *ranges, size_t n,
                                bool negated);
const struct expr *literal_characters(struct schema *s, const char *text, size_t n);
const struct expr *quoted(struct schema *s, const struct expr *inside);
const struct expr *literal_string(struct schema *s, const char *text); /* with its quotes */

/* strings.c */
const struct expr *string_expr(struct schema *s, const struct cJSON *schema);
/* What may stand between the quotes; NULL: anything. */
const struct expr *string_inside(struct schema *s, const struct cJSON *schema, bool formats_count);
/* The inside of a string that a regular expression finds something in. */
const struct expr *pattern_inside(struct schema *s, const char *pattern);
/* Whether a pattern of patternProperties finds something in a member's name. */
bool name_matches(struct schema *s, const char *name, const char *pattern);
/* The same as plain text: of patterns and formats. */
const struct expr *string_pattern(struct schema *s, const char *pattern);
const struct expr *string_format(struct schema *s, const char *name);

/* numbers.c */
struct number_bounds {
    bool has_low, has_high, low_open, high_open;
    double low, high;
};
struct number_bounds number_bounds(struct schema *s, const struct cJSON *schema);
const struct expr *integer_expr(struct schema *s, const struct cJSON *schema);
const struct expr *number_expr(struct schema *s, const struct cJSON *schema);

/* objects.c, arrays.c */
const struct expr *object_expr(struct schema *s, const struct cJSON *schema);
const struct expr *array_expr(struct schema *s, const struct cJSON *schema);

/* compose.c: schemas made of parts, which are borrowed; NULL: the builder has failed */
struct cJSON *compose_object(struct schema *s);
struct cJSON *compose_array(struct schema *s);
const struct cJSON *compose_bool(struct schema *s, bool value);
void compose_add(struct schema *s, struct cJSON *array, const struct cJSON *value);
void compose_put(struct schema *s, struct cJSON *object, const char *name,
                 const struct cJSON *value);
void compose_put_number(struct schema *s, struct cJSON *object, const char *name, double value);
void compose_put_string(struct schema *s, struct cJSON *object, const char *name,
                        const char *value);
/* base without some keywords (a list that NULL ends), and the parts: {..., "allOf": [parts]}. */
const struct cJSON *compose_all(struct schema *s, const struct cJSON *base,
                                const char *const *without, const struct cJSON *const *parts,
                                size_t n);
const struct cJSON *compose_both(struct schema *s, const struct cJSON *a, const struct cJSON *z);
/* {keyword: [parts]} */
const struct cJSON *compose_list(struct schema *s, const char *keyword,
                                 const struct cJSON *const *parts, size_t n);
/* {"type": type, keyword: value}; type NULL: none */
const struct cJSON *compose_one(struct schema *s, const char *type, const char *keyword,
                                const struct cJSON *value);

/* conditions.c */
bool schema_has_conditions(const struct cJSON *schema);
const struct cJSON *schema_rewrite(struct schema *s, const struct cJSON *schema);
/* What a schema does not allow; keyword: that asks, for refusals. */
const struct cJSON *negate(struct schema *s, const struct cJSON *schema, const char *keyword);

/* merge.c: without $ref, allOf and conditions; true, false or an object. NULL: it has failed. */
const struct cJSON *schema_plain(struct schema *s, const struct cJSON *schema);

/* exclude.c */
/* Whether no value satisfies both. */
bool schemas_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z);
/* a without a member that z needs, so that they exclude each other; NULL: there is none. */
const struct cJSON *schema_keep_out(struct schema *s, const struct cJSON *a, const struct cJSON *z);

/* allows.c */
bool schema_allows(struct schema *s, const struct cJSON *schema, const struct cJSON *value);
unsigned type_of_value(const struct cJSON *value);

/* Short ways to write expressions. */
#define SEQUENCE(s, ...)                                                                           \
    expr_sequence((s)->b, (const struct expr *const[]){__VA_ARGS__},                               \
                  sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define CHOICE(s, ...)                                                                             \
    expr_choice((s)->b, (const struct expr *const[]){__VA_ARGS__},                                 \
                sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define TEXT(s, text) expr_string((s)->b, text)
