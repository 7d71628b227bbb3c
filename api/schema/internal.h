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
/* What a $ref says, through others; NULL: the builder has failed. */
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

/* strings.c */
const struct expr *any_character(struct schema *s);
const struct expr *character_of(struct schema *s, const struct expr_range *ranges, size_t n,
                                bool negated);
const struct expr *literal_string(struct schema *s, const char *text); /* with its quotes */
const struct expr *string_expr(struct schema *s, const struct cJSON *schema);
/* The inside of a string that a regular expression finds something in. */
const struct expr *pattern_expr(struct schema *s, const char *pattern);

/* numbers.c */
const struct expr *integer_expr(struct schema *s, const struct cJSON *schema);
const struct expr *number_expr(struct schema *s, const struct cJSON *schema);

/* objects.c, arrays.c */
const struct expr *object_expr(struct schema *s, const struct cJSON *schema);
const struct expr *array_expr(struct schema *s, const struct cJSON *schema);

/* merge.c: allOf as one schema, which s->merged owns; NULL: the builder has failed. */
const struct cJSON *schema_merge_all(struct schema *s, const struct cJSON *schema);
/* Whether no value satisfies both. */
bool schemas_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *b);
/* Short ways to write expressions. */
#define SEQUENCE(s, ...)                                                                           \
    expr_sequence((s)->b, (const struct expr *const[]){__VA_ARGS__},                               \
                  sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define CHOICE(s, ...)                                                                             \
    expr_choice((s)->b, (const struct expr *const[]){__VA_ARGS__},                                 \
                sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define TEXT(s, text) expr_string((s)->b, text)
