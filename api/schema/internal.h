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
    const struct cJSON *root;
    struct known *known;
    size_t n_known, room;
    struct cJSON *merged; /* an array that owns the schemas made here */
    unsigned depth;
    /* rules of every grammar, made when first asked for; NO_RULE before */
    uint32_t string, number, value, object, array, space;
    const struct expr *character; /* of a string; NULL before */
};

enum { NO_RULE = UINT32_MAX, SCHEMA_DEPTH = 100 };

/* The texts of one schema. */
const struct expr *schema_expr(struct schema *s, const struct cJSON *schema);
void schema_lacks(struct schema *s, const char *keyword, const char *why);
const struct cJSON *schema_member(const struct cJSON *schema, const char *name);
/* All of a text, by our own regular expressions. */
const struct expr *schema_regex(struct schema *s, const char *pattern);
/* A number that counts; absent: otherwise. */
uint32_t schema_count(struct schema *s, const struct cJSON *schema, const char *name,
                      uint32_t otherwise);

/* The types that it allows, a bit each: disjoint ones have no value in common. */
unsigned schema_types(struct schema *s, const struct cJSON *schema);

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
const struct cJSON *merge_all(struct schema *s, const struct cJSON *schema);
/* Whether no value satisfies both. */
bool schemas_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *b);
/* What a $ref says, through others; NULL: the builder has failed. */
const struct cJSON *schema_resolve(struct schema *s, const struct cJSON *schema);

/* Short ways to write expressions. */
#define SEQUENCE(s, ...)                                                                           \
    expr_sequence((s)->b, (const struct expr *const[]){__VA_ARGS__},                               \
                  sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define CHOICE(s, ...)                                                                             \
    expr_choice((s)->b, (const struct expr *const[]){__VA_ARGS__},                                 \
                sizeof((const struct expr *const[]){__VA_ARGS__}) / sizeof(struct expr *))
#define TEXT(s, text) expr_string((s)->b, text)
