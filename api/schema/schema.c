/* schema.c - what a schema says: references, combinations and types, down to one value each. See
 * schema.h. */
#include "api/schema/internal.h"

#include <math.h>
#include <string.h>

static const struct expr *schema_expr(struct schema *s, const struct cJSON *schema);

/* --- references --- */

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
        struct known *more = expr_alloc(s->b, s->room = 2 * s->room + 8, sizeof *more);
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
        expr_fail(s->b, STATUS_INVALID, "\"enum\" of the schema has no value of its type");
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

/* The schema with one of its branches in the place of them all: {rest..., "allOf": [branch]}. */
static const struct cJSON *with_branch(struct schema *s, const struct cJSON *schema,
                                       const char *keyword, const struct cJSON *branch)
{
    bool alone = true;
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        alone &= strcmp(one->string, keyword) == 0 || schema_only_describes(one->string);
    if (alone)
        return branch;
    struct cJSON *out = cJSON_CreateObject(), *all = cJSON_CreateArray();
    struct cJSON *copy = cJSON_Duplicate(branch, true);
    if (out == NULL || !cJSON_AddItemToArray(s->merged, out) || copy == NULL ||
        !cJSON_AddItemToArray(all, copy) || !cJSON_AddItemToObject(out, "allOf", all)) {
        expr_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
        return branch;
    }
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        if (strcmp(one->string, keyword) != 0 && !schema_only_describes(one->string))
            cJSON_AddItemToObject(out, one->string, cJSON_Duplicate(one, true));
    return out;
}

static const struct expr *one_of_branches(struct schema *s, const struct cJSON *schema,
                                          const char *keyword)
{
    const struct cJSON *branches = schema_member(schema, keyword);
    struct expr_list list = {0};
    if (!cJSON_IsArray(branches) || branches->child == NULL) {
        expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be an array of schemas",
                  keyword);
        return TEXT(s, "");
    }
    if (strcmp(keyword, "oneOf") == 0)
        for (const struct cJSON *a = branches->child; a != NULL; a = a->next)
            for (const struct cJSON *z = a->next; z != NULL; z = z->next)
                if (!schemas_exclude(s, a, z))
                    schema_lacks(s, "oneOf", " whose branches do not exclude each other");
    for (const struct cJSON *one = branches->child; one && expr_status(s->b) == STATUS_OK;
         one = one->next)
        if (!cJSON_IsFalse(one))
            expr_list_add(s->b, &list, schema_expr(s, with_branch(s, schema, keyword, one)));
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *object_schema(struct schema *s, const struct cJSON *schema)
{
    unsigned spoken_of = schema_keywords(s, schema);
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (schema_member(schema, "allOf") != NULL) {
        const struct cJSON *merged = schema_merge_all(s, schema);
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
    unsigned of_types = schema_types(s, schema, spoken_of);
    if (schema_member(schema, "enum") != NULL || schema_member(schema, "const") != NULL)
        return given(s, schema, of_types, spoken_of);
    return of_types == T_ALL && spoken_of == 0 ? any_value(s) : typed(s, schema, of_types);
}

static const struct expr *schema_expr(struct schema *s, const struct cJSON *schema)
{
    const struct expr *e;
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (++s->depth > SCHEMA_DEPTH)
        expr_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep", SCHEMA_DEPTH);
    if (cJSON_IsTrue(schema))
        e = any_value(s);
    else if (cJSON_IsFalse(schema))
        e = expr_choice(s->b, NULL, 0);
    else if (cJSON_IsObject(schema))
        e = object_schema(s, schema);
    else {
        expr_fail(s->b, STATUS_INVALID, "a schema must be an object, true or false");
        e = TEXT(s, "");
    }
    s->depth--;
    return e;
}

/* --- the whole --- */

static struct schema begin(struct grammar_builder *b, const struct cJSON *schema)
{
    return (struct schema){.b = b,
                           .read = schema_expr,
                           .root = schema,
                           .merged = cJSON_CreateArray(),
                           .string = NO_RULE,
                           .number = NO_RULE,
                           .value = NO_RULE,
                           .object = NO_RULE,
                           .array = NO_RULE,
                           .space = NO_RULE};
}

const struct expr *schema_read_part(struct grammar_builder *b, const struct cJSON *root,
                                    const struct cJSON *part)
{
    struct schema s = begin(b, root);
    if (s.merged == NULL)
        expr_fail(b, STATUS_NO_MEMORY, "out of memory for a schema");
    const struct expr *e = schema_expr(&s, part);
    cJSON_Delete(s.merged);
    return e;
}

const struct expr *schema_read(struct grammar_builder *b, const struct cJSON *schema)
{
    return schema_read_part(b, schema, schema);
}

const struct expr *schema_any_object(struct grammar_builder *b)
{
    struct schema s = begin(b, NULL);
    const struct expr *e = any_object(&s);
    cJSON_Delete(s.merged);
    return e;
}
