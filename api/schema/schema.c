/* schema.c - what a schema says: references, combinations and types, down to one value each. See
 * schema.h. */
#include "api/schema/internal.h"

#include "grammar/read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void schema_lacks(struct schema *s, const char *keyword, const char *why)
{
    builder_fail(s->b, STATUS_UNSUPPORTED, "\"%s\" of a JSON Schema%s is not supported", keyword,
                 why);
}

const struct cJSON *schema_member(const struct cJSON *schema, const char *name)
{
    return cJSON_IsObject(schema) ? cJSON_GetObjectItemCaseSensitive(schema, name) : NULL;
}

uint32_t schema_count(struct schema *s, const struct cJSON *schema, const char *name,
                      uint32_t otherwise)
{
    const struct cJSON *value = schema_member(schema, name);
    if (value == NULL)
        return otherwise;
    if (!cJSON_IsNumber(value) || value->valuedouble < 0 ||
        value->valuedouble != floor(value->valuedouble)) {
        builder_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be a natural number", name);
        return otherwise;
    }
    return value->valuedouble < 1e9 ? (uint32_t)value->valuedouble : 1000000000;
}

const struct expr *schema_regex(struct schema *s, const char *pattern)
{
    return read_regex(s->b, pattern, strlen(pattern), true);
}

/* --- references --- */

/* The part of the root that a reference points at ("#/$defs/name"); NULL: none. */
static const struct cJSON *pointed_at(const struct cJSON *root, const char *pointer)
{
    const struct cJSON *at = root;
    while (at != NULL && *pointer == '/') {
        char name[256];
        size_t n = 0;
        for (pointer++; *pointer != '\0' && *pointer != '/' && n + 1 < sizeof name; pointer++) {
            unsigned byte = 0;
            if (*pointer == '~' && (pointer[1] == '0' || pointer[1] == '1'))
                name[n++] = *++pointer == '0' ? '~' : '/';
            else if (*pointer == '%' && sscanf(pointer + 1, "%2x", &byte) == 1 && byte > 0) {
                name[n++] = (char)byte;
                pointer += 2;
            } else
                name[n++] = *pointer;
        }
        name[n] = '\0';
        if (cJSON_IsArray(at)) {
            char *end;
            long i = strtol(name, &end, 10);
            at = n > 0 && *end == '\0' && i >= 0 && i < 1000000 ? cJSON_GetArrayItem(at, (int)i)
                                                                : NULL;
        } else
            at = cJSON_GetObjectItemCaseSensitive(at, name);
    }
    return *pointer == '\0' ? at : NULL;
}

const struct cJSON *schema_resolve(struct schema *s, const struct cJSON *schema)
{
    for (int i = 0; i < SCHEMA_DEPTH; i++) {
        const struct cJSON *ref = schema_member(schema, "$ref");
        if (ref == NULL)
            return schema;
        const char *to = cJSON_GetStringValue(ref);
        const struct cJSON *target = to && to[0] == '#' ? pointed_at(s->root, to + 1) : NULL;
        if (target == NULL) {
            if (to != NULL && to[0] != '#')
                builder_fail(s->b, STATUS_UNSUPPORTED,
                             "a \"$ref\" to another document (%.80s) is not supported", to);
            else
                builder_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads nowhere: %.80s",
                             to != NULL ? to : "it is no string");
            return NULL;
        }
        schema = target;
    }
    builder_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads in a circle");
    return NULL;
}

/* A schema that is referred to is a rule, so that it may refer to itself. */
static const struct expr *referred(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *target = schema_resolve(s, schema);
    if (target == NULL)
        return TEXT(s, "");
    for (size_t i = 0; i < s->n_known; i++)
        if (s->known[i].schema == target)
            return expr_rule(s->b, s->known[i].rule);
    if (s->n_known == s->room) {
        struct known *more = builder_alloc(s->b, s->room = 2 * s->room + 8, sizeof *more);
        if (more == NULL)
            return TEXT(s, "");
        if (s->n_known > 0)
            memcpy(more, s->known, s->n_known * sizeof *more);
        s->known = more;
    }
    const char *name = cJSON_GetStringValue(schema_member(schema, "$ref"));
    uint32_t rule = rule_declare(s->b, name, strlen(name));
    s->known[s->n_known++] = (struct known){target, rule};
    rule_define(s->b, rule, schema_expr(s, target));
    return expr_rule(s->b, rule);
}

/* --- keywords --- */

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

static const struct {
    const char *name;
    unsigned bit;
} types[] = {{"object", T_OBJECT},   {"array", T_ARRAY},   {"string", T_STRING},
             {"integer", T_INTEGER}, {"number", T_NUMBER}, {"boolean", T_BOOLEAN},
             {"null", T_NULL}};

enum keyword_kind { DESCRIBES, COMBINES, LACKING, OF_TYPE };

/* Every keyword that there is; of a type: which. */
static const struct {
    const char *name;
    enum keyword_kind kind;
    unsigned type;
} keywords[] = {
    {"$schema", DESCRIBES, 0},
    {"$id", DESCRIBES, 0},
    {"id", DESCRIBES, 0},
    {"$comment", DESCRIBES, 0},
    {"$defs", DESCRIBES, 0},
    {"definitions", DESCRIBES, 0},
    {"$vocabulary", DESCRIBES, 0},
    {"title", DESCRIBES, 0},
    {"description", DESCRIBES, 0},
    {"default", DESCRIBES, 0},
    {"examples", DESCRIBES, 0},
    {"example", DESCRIBES, 0},
    {"deprecated", DESCRIBES, 0},
    {"readOnly", DESCRIBES, 0},
    {"writeOnly", DESCRIBES, 0},
    {"discriminator", DESCRIBES, 0},
    {"propertyOrdering", DESCRIBES, 0},
    {"strict", DESCRIBES, 0},
    {"type", COMBINES, 0},
    {"enum", COMBINES, 0},
    {"const", COMBINES, 0},
    {"anyOf", COMBINES, 0},
    {"oneOf", COMBINES, 0},
    {"allOf", COMBINES, 0},
    {"$ref", COMBINES, 0},
    {"nullable", COMBINES, 0},
    {"not", LACKING, 0},
    {"if", LACKING, 0},
    {"then", LACKING, 0},
    {"else", LACKING, 0},
    {"$anchor", LACKING, 0},
    {"$dynamicRef", LACKING, 0},
    {"$dynamicAnchor", LACKING, 0},
    {"$recursiveRef", LACKING, 0},
    {"$recursiveAnchor", LACKING, 0},
    {"properties", OF_TYPE, T_OBJECT},
    {"required", OF_TYPE, T_OBJECT},
    {"additionalProperties", OF_TYPE, T_OBJECT},
    {"unevaluatedProperties", OF_TYPE, T_OBJECT},
    {"patternProperties", OF_TYPE, T_OBJECT},
    {"propertyNames", OF_TYPE, T_OBJECT},
    {"minProperties", OF_TYPE, T_OBJECT},
    {"maxProperties", OF_TYPE, T_OBJECT},
    {"dependentRequired", OF_TYPE, T_OBJECT},
    {"dependentSchemas", OF_TYPE, T_OBJECT},
    {"dependencies", OF_TYPE, T_OBJECT},
    {"items", OF_TYPE, T_ARRAY},
    {"prefixItems", OF_TYPE, T_ARRAY},
    {"additionalItems", OF_TYPE, T_ARRAY},
    {"unevaluatedItems", OF_TYPE, T_ARRAY},
    {"minItems", OF_TYPE, T_ARRAY},
    {"maxItems", OF_TYPE, T_ARRAY},
    {"uniqueItems", OF_TYPE, T_ARRAY},
    {"contains", OF_TYPE, T_ARRAY},
    {"minContains", OF_TYPE, T_ARRAY},
    {"maxContains", OF_TYPE, T_ARRAY},
    {"minLength", OF_TYPE, T_STRING},
    {"maxLength", OF_TYPE, T_STRING},
    {"pattern", OF_TYPE, T_STRING},
    {"format", OF_TYPE, T_STRING},
    {"contentEncoding", OF_TYPE, T_STRING},
    {"contentMediaType", OF_TYPE, T_STRING},
    {"minimum", OF_TYPE, T_NUMBER},
    {"maximum", OF_TYPE, T_NUMBER},
    {"exclusiveMinimum", OF_TYPE, T_NUMBER},
    {"exclusiveMaximum", OF_TYPE, T_NUMBER},
    {"multipleOf", OF_TYPE, T_NUMBER},
};

/* The types that keywords of one type speak of; unknown keywords are refused. */
static unsigned look_at_keywords(struct schema *s, const struct cJSON *schema)
{
    const size_t n = sizeof keywords / sizeof *keywords;
    unsigned spoken_of = 0;
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next) {
        size_t i = 0;
        while (i < n && strcmp(keywords[i].name, one->string) != 0)
            i++;
        if (i < n && keywords[i].kind == LACKING)
            schema_lacks(s, one->string, "");
        else if (i < n && keywords[i].kind == OF_TYPE)
            spoken_of |= keywords[i].type;
        else if (i == n && strncmp(one->string, "x-", 2) != 0)
            builder_fail(s->b, STATUS_UNSUPPORTED,
                         "the keyword \"%.60s\" of the schema is not known", one->string);
    }
    return spoken_of;
}

static unsigned type_bit(struct schema *s, const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].bit;
    builder_fail(s->b, STATUS_INVALID, "the type \"%.40s\" of the schema is not one of JSON's",
                 name != NULL ? name : "?");
    return 0;
}

static unsigned types_of(struct schema *s, const struct cJSON *schema, unsigned spoken_of)
{
    const struct cJSON *type = schema_member(schema, "type");
    unsigned out = 0;
    if (cJSON_IsArray(type))
        for (const struct cJSON *one = type->child; one != NULL; one = one->next)
            out |= type_bit(s, cJSON_GetStringValue(one));
    else if (type != NULL)
        out = type_bit(s, cJSON_GetStringValue(type));
    else
        out = spoken_of != 0 ? spoken_of : T_ALL;
    if (cJSON_IsTrue(schema_member(schema, "nullable")))
        out |= T_NULL;
    return out;
}

unsigned schema_types(struct schema *s, const struct cJSON *schema)
{
    return types_of(s, schema, look_at_keywords(s, schema));
}

/* --- values --- */

static unsigned type_of_value(const struct cJSON *value)
{
    if (cJSON_IsNumber(value))
        return value->valuedouble == floor(value->valuedouble) ? T_INTEGER | T_NUMBER : T_NUMBER;
    return cJSON_IsObject(value)   ? T_OBJECT
           : cJSON_IsArray(value)  ? T_ARRAY
           : cJSON_IsString(value) ? T_STRING
           : cJSON_IsBool(value)   ? T_BOOLEAN
                                   : T_NULL;
}

/* Given values, those of the types; other bounds beside them would have to be tried on each. */
static const struct expr *given(struct schema *s, const struct cJSON *schema, unsigned of_types,
                                unsigned spoken_of)
{
    const struct cJSON *values = schema_member(schema, "enum");
    const struct cJSON *value = schema_member(schema, "const");
    struct expr_list list = {0};
    if (spoken_of != 0)
        schema_lacks(s, value != NULL ? "const" : "enum", " beside bounds of its values");
    if (value != NULL && values != NULL)
        schema_lacks(s, "const", " beside \"enum\"");
    if (value != NULL)
        return literal_value(s, value);
    for (const struct cJSON *one = cJSON_IsArray(values) ? values->child : NULL; one;
         one = one->next)
        if ((type_of_value(one) & of_types) != 0)
            expr_list_add(s->b, &list, literal_value(s, one));
    if (list.n == 0)
        builder_fail(s->b, STATUS_INVALID, "\"enum\" of the schema has no value of its type");
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *typed(struct schema *s, const struct cJSON *schema, unsigned of_types)
{
    struct expr_list list = {0};
    if (of_types & T_OBJECT)
        expr_list_add(s->b, &list, object_expr(s, schema));
    if (of_types & T_ARRAY)
        expr_list_add(s->b, &list, array_expr(s, schema));
    if (of_types & T_STRING)
        expr_list_add(s->b, &list, string_expr(s, schema));
    if (of_types & T_NUMBER)
        expr_list_add(s->b, &list, number_expr(s, schema));
    else if (of_types & T_INTEGER)
        expr_list_add(s->b, &list, integer_expr(s, schema));
    if (of_types & T_BOOLEAN)
        expr_list_add(s->b, &list, CHOICE(s, TEXT(s, "true"), TEXT(s, "false")));
    if (of_types & T_NULL)
        expr_list_add(s->b, &list, TEXT(s, "null"));
    return expr_choice(s->b, list.at, list.n);
}

/* --- combinations --- */

static bool only_describes(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return keywords[i].kind == DESCRIBES;
    return true; /* x-... */
}

/* The schema with one of its branches in the place of them all: {rest..., "allOf": [branch]}. */
static const struct cJSON *with_branch(struct schema *s, const struct cJSON *schema,
                                       const char *keyword, const struct cJSON *branch)
{
    bool alone = true;
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        alone &= strcmp(one->string, keyword) == 0 || only_describes(one->string);
    if (alone)
        return branch;
    struct cJSON *out = cJSON_CreateObject(), *all = cJSON_CreateArray();
    struct cJSON *copy = cJSON_Duplicate(branch, true);
    if (out == NULL || !cJSON_AddItemToArray(s->merged, out) || copy == NULL ||
        !cJSON_AddItemToArray(all, copy) || !cJSON_AddItemToObject(out, "allOf", all)) {
        builder_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
        return branch;
    }
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        if (strcmp(one->string, keyword) != 0 && !only_describes(one->string))
            cJSON_AddItemToObject(out, one->string, cJSON_Duplicate(one, true));
    return out;
}

static const struct expr *one_of_branches(struct schema *s, const struct cJSON *schema,
                                          const char *keyword)
{
    const struct cJSON *branches = schema_member(schema, keyword);
    struct expr_list list = {0};
    if (!cJSON_IsArray(branches) || branches->child == NULL) {
        builder_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be an array of schemas",
                     keyword);
        return TEXT(s, "");
    }
    if (strcmp(keyword, "oneOf") == 0)
        for (const struct cJSON *a = branches->child; a != NULL; a = a->next)
            for (const struct cJSON *z = a->next; z != NULL; z = z->next)
                if (!schemas_exclude(s, a, z))
                    schema_lacks(s, "oneOf", " whose branches do not exclude each other");
    for (const struct cJSON *one = branches->child; one && builder_status(s->b) == STATUS_OK;
         one = one->next)
        if (!cJSON_IsFalse(one))
            expr_list_add(s->b, &list, schema_expr(s, with_branch(s, schema, keyword, one)));
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *object_schema(struct schema *s, const struct cJSON *schema)
{
    unsigned spoken_of = look_at_keywords(s, schema);
    if (builder_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (schema_member(schema, "allOf") != NULL) {
        const struct cJSON *merged = merge_all(s, schema);
        return merged != NULL ? schema_expr(s, merged) : TEXT(s, "");
    }
    if (schema_member(schema, "anyOf") != NULL)
        return one_of_branches(s, schema, "anyOf");
    if (schema_member(schema, "oneOf") != NULL)
        return one_of_branches(s, schema, "oneOf");
    if (schema_member(schema, "$ref") != NULL) {
        const struct cJSON *target = schema_resolve(s, schema);
        const struct cJSON *both = target != NULL ? with_branch(s, schema, "$ref", target) : schema;
        return both == target || target == NULL ? referred(s, schema) : schema_expr(s, both);
    }
    unsigned of_types = types_of(s, schema, spoken_of);
    if (schema_member(schema, "enum") != NULL || schema_member(schema, "const") != NULL)
        return given(s, schema, of_types, spoken_of);
    return of_types == T_ALL && spoken_of == 0 ? any_value(s) : typed(s, schema, of_types);
}

const struct expr *schema_expr(struct schema *s, const struct cJSON *schema)
{
    const struct expr *e;
    if (builder_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (++s->depth > SCHEMA_DEPTH)
        builder_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep",
                     SCHEMA_DEPTH);
    if (cJSON_IsTrue(schema))
        e = any_value(s);
    else if (cJSON_IsFalse(schema))
        e = expr_choice(s->b, NULL, 0);
    else if (cJSON_IsObject(schema))
        e = object_schema(s, schema);
    else {
        builder_fail(s->b, STATUS_INVALID, "a schema must be an object, true or false");
        e = TEXT(s, "");
    }
    s->depth--;
    return e;
}

/* --- the whole --- */

static struct schema begin(struct grammar_builder *b, const struct cJSON *schema)
{
    return (struct schema){.b = b,
                           .root = schema,
                           .merged = cJSON_CreateArray(),
                           .string = NO_RULE,
                           .number = NO_RULE,
                           .value = NO_RULE,
                           .object = NO_RULE,
                           .array = NO_RULE,
                           .space = NO_RULE};
}

const struct expr *schema_read(struct grammar_builder *b, const struct cJSON *schema)
{
    struct schema s = begin(b, schema);
    if (s.merged == NULL)
        builder_fail(b, STATUS_NO_MEMORY, "out of memory for a schema");
    const struct expr *e = schema_expr(&s, schema);
    cJSON_Delete(s.merged);
    return e;
}

const struct expr *schema_any_object(struct grammar_builder *b)
{
    struct schema s = begin(b, NULL);
    const struct expr *e = any_object(&s);
    cJSON_Delete(s.merged);
    return e;
}
