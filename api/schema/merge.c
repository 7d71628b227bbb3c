/* merge.c - several schemas that hold at once, as one; and whether two can hold at once at all.
 *
 * What is made here belongs to s->merged. Two keywords that no single one can say are refused by
 * name. See schema.h.
 */
#include "api/schema/internal.h"

#include <string.h>

static void no_memory(struct schema *s)
{
    expr_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
}

static void put(struct schema *s, struct cJSON *into, const char *name, struct cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(into, name);
    if (value == NULL || !cJSON_AddItemToObject(into, name, value)) {
        cJSON_Delete(value);
        no_memory(s);
    }
}

static struct cJSON *copy(struct schema *s, const struct cJSON *value)
{
    struct cJSON *out = cJSON_Duplicate(value, true);
    if (out == NULL)
        no_memory(s);
    return out;
}

/* {"allOf": [a, z]} */
static struct cJSON *both(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    struct cJSON *out = cJSON_CreateObject(), *list = cJSON_CreateArray();
    if (out == NULL || list == NULL || !cJSON_AddItemToObject(out, "allOf", list)) {
        no_memory(s);
        cJSON_Delete(list);
        return out;
    }
    cJSON_AddItemToArray(list, copy(s, a));
    cJSON_AddItemToArray(list, copy(s, z));
    return out;
}

/* --- keyword by keyword --- */

static bool holds(const struct cJSON *list, const struct cJSON *value)
{
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        if (cJSON_Compare(one, value, true))
            return true;
    return false;
}

/* What both lists hold; a value that is no list counts as a list of itself. */
static void intersect(struct schema *s, struct cJSON *into, const struct cJSON *have,
                      const struct cJSON *more)
{
    struct cJSON *a = cJSON_IsArray(have) ? copy(s, have) : cJSON_CreateArray();
    struct cJSON *z = cJSON_IsArray(more) ? copy(s, more) : cJSON_CreateArray();
    struct cJSON *out = cJSON_CreateArray();
    if (!cJSON_IsArray(have))
        cJSON_AddItemToArray(a, copy(s, have));
    if (!cJSON_IsArray(more))
        cJSON_AddItemToArray(z, copy(s, more));
    if (a != NULL && z != NULL && out != NULL)
        for (const struct cJSON *one = a->child; one != NULL; one = one->next) {
            const bool is_number = cJSON_IsString(one) && !strcmp(one->valuestring, "integer");
            struct cJSON *number = is_number ? cJSON_CreateString("number") : NULL;
            if (holds(z, one) || (number != NULL && holds(z, number)))
                cJSON_AddItemToArray(out, copy(s, one));
            cJSON_Delete(number);
        }
    if (a != NULL && z != NULL && out != NULL) /* an integer that only the second names */
        for (const struct cJSON *one = z->child; one != NULL; one = one->next)
            if (cJSON_IsString(one) && !strcmp(one->valuestring, "integer") && !holds(out, one)) {
                struct cJSON *number = cJSON_CreateString("number");
                if (number != NULL && holds(a, number))
                    cJSON_AddItemToArray(out, copy(s, one));
                cJSON_Delete(number);
            }
    if (out != NULL && out->child == NULL)
        expr_fail(s->b, STATUS_INVALID, "\"allOf\" of the schema leaves no value of \"%s\"",
                  have->string);
    cJSON_Delete(a);
    cJSON_Delete(z);
    char name[64] = "";
    strncpy(name, have->string, sizeof name - 1);
    put(s, into, name, out);
}

/* A member that only one of two schemas describes: what the other says of such members. */
static struct cJSON *described_once(struct schema *s, const struct cJSON *value,
                                    const struct cJSON *other)
{
    const struct cJSON *additional = schema_member(other, "additionalProperties");
    if (cJSON_IsFalse(additional))
        return cJSON_CreateFalse();
    return cJSON_IsObject(additional) ? both(s, additional, value) : copy(s, value);
}

static void merge_properties(struct schema *s, struct cJSON *into, const struct cJSON *more)
{
    const struct cJSON *a = schema_member(into, "properties");
    const struct cJSON *z = schema_member(more, "properties");
    struct cJSON *out = cJSON_CreateObject();
    if (a == NULL && z == NULL) {
        cJSON_Delete(out);
        return;
    }
    for (const struct cJSON *one = a ? a->child : NULL; one != NULL; one = one->next) {
        const struct cJSON *same = z ? cJSON_GetObjectItemCaseSensitive(z, one->string) : NULL;
        put(s, out, one->string, same ? both(s, one, same) : described_once(s, one, more));
    }
    for (const struct cJSON *one = z ? z->child : NULL; one != NULL; one = one->next)
        if (a == NULL || cJSON_GetObjectItemCaseSensitive(a, one->string) == NULL)
            put(s, out, one->string, described_once(s, one, into));
    put(s, into, "properties", out);
}

static void merge_required(struct schema *s, struct cJSON *into, const struct cJSON *more)
{
    struct cJSON *have = cJSON_GetObjectItemCaseSensitive(into, "required");
    for (const struct cJSON *one = more->child; one != NULL; one = one->next)
        if (!holds(have, one))
            cJSON_AddItemToArray(have, copy(s, one));
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

#define IS_ONE_OF(name, ...)                                                                       \
    is_one_of(name, (const char *const[]){__VA_ARGS__},                                            \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* One keyword that both have. */
static void merge_keyword(struct schema *s, struct cJSON *into, const struct cJSON *have,
                          const struct cJSON *more)
{
    const char *name = more->string;
    if (cJSON_Compare(have, more, true) ||
        IS_ONE_OF(name, "title", "description", "default", "examples", "example", "$comment",
                  "$schema", "$id", "$defs", "definitions", "deprecated", "readOnly",
                  "writeOnly") ||
        strncmp(name, "x-", 2) == 0 || strcmp(name, "properties") == 0)
        return;
    if (IS_ONE_OF(name, "type", "enum"))
        intersect(s, into, have, more);
    else if (strcmp(name, "required") == 0)
        merge_required(s, into, more);
    else if (IS_ONE_OF(name, "minimum", "exclusiveMinimum", "minLength", "minItems",
                       "minProperties")) {
        if (more->valuedouble > have->valuedouble)
            put(s, into, name, copy(s, more));
    } else if (IS_ONE_OF(name, "maximum", "exclusiveMaximum", "maxLength", "maxItems",
                         "maxProperties")) {
        if (more->valuedouble < have->valuedouble)
            put(s, into, name, copy(s, more));
    } else if (IS_ONE_OF(name, "items", "additionalProperties", "unevaluatedProperties",
                         "propertyNames")) {
        if (cJSON_IsTrue(more) || cJSON_IsFalse(have))
            return;
        put(s, into, name,
            cJSON_IsTrue(have) || cJSON_IsFalse(more) ? copy(s, more) : both(s, have, more));
    } else
        schema_lacks(s, name, " in several parts of \"allOf\", unlike each other,");
}

static void merge_into(struct schema *s, struct cJSON *into, const struct cJSON *more)
{
    if (cJSON_IsTrue(more))
        return;
    if (!cJSON_IsObject(more)) {
        expr_fail(s->b, STATUS_INVALID, "\"allOf\" of the schema leaves no value at all");
        return;
    }
    const struct cJSON *unevaluated = schema_member(more, "unevaluatedProperties");
    if (unevaluated != NULL && !cJSON_IsTrue(unevaluated))
        schema_lacks(s, "unevaluatedProperties", " inside of a part or a branch");
    if ((schema_member(into, "items") && schema_member(more, "prefixItems")) ||
        (schema_member(more, "items") && schema_member(into, "prefixItems")))
        schema_lacks(s, "prefixItems", " beside \"items\" of another part");
    merge_properties(s, into, more); /* it looks at both sides' additionalProperties */
    for (const struct cJSON *one = more->child; one && expr_status(s->b) == STATUS_OK;
         one = one->next) {
        const struct cJSON *have = cJSON_GetObjectItemCaseSensitive(into, one->string);
        if (have != NULL)
            merge_keyword(s, into, have, one);
        else
            put(s, into, one->string, copy(s, one));
    }
}

const struct cJSON *schema_merge_all(struct schema *s, const struct cJSON *schema)
{
    struct cJSON *out = cJSON_CreateObject();
    const struct cJSON *parts = schema_member(schema, "allOf");
    if (out == NULL || !cJSON_AddItemToArray(s->merged, out)) {
        cJSON_Delete(out);
        no_memory(s);
        return NULL;
    }
    if (!cJSON_IsArray(parts) || ++s->depth > SCHEMA_DEPTH) {
        expr_fail(s->b, STATUS_INVALID, "\"allOf\" of the schema must be an array of schemas%s",
                  cJSON_IsArray(parts) ? ", nested less deep" : "");
        return NULL;
    }
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        if (strcmp(one->string, "allOf") != 0)
            put(s, out, one->string, copy(s, one));
    for (const struct cJSON *one = parts->child; one && expr_status(s->b) == STATUS_OK;
         one = one->next) {
        const struct cJSON *part = schema_resolve(s, one);
        if (part != NULL && schema_member(part, "allOf") != NULL)
            part = schema_merge_all(s, part);
        if (part != NULL)
            merge_into(s, out, part);
    }
    s->depth--;
    return expr_status(s->b) == STATUS_OK ? out : NULL;
}

/* --- exclusion --- */

/* Whether the values that two schemas name have none in common; false where one names none. */
static bool values_exclude(const struct cJSON *a, const struct cJSON *z)
{
    const struct cJSON *a_enum = schema_member(a, "enum"), *a_const = schema_member(a, "const");
    const struct cJSON *z_enum = schema_member(z, "enum"), *z_const = schema_member(z, "const");
    if ((a_enum == NULL && a_const == NULL) || (z_enum == NULL && z_const == NULL))
        return false;
    if (a_const != NULL)
        return z_const != NULL ? !cJSON_Compare(a_const, z_const, true) : !holds(z_enum, a_const);
    if (z_const != NULL)
        return !holds(a_enum, z_const);
    for (const struct cJSON *one = a_enum->child; one != NULL; one = one->next)
        if (holds(z_enum, one))
            return false;
    return true;
}

static bool requires(const struct cJSON *schema, const char *name)
{
    const struct cJSON *required = schema_member(schema, "required");
    for (const struct cJSON *one = required ? required->child : NULL; one != NULL; one = one->next)
        if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0)
            return true;
    return false;
}

/* a needs a member that z does not allow, or that can be nothing in both. */
static bool members_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct cJSON *required = schema_member(a, "required");
    const struct cJSON *in_a = schema_member(a, "properties"),
                       *in_z = schema_member(z, "properties");
    for (const struct cJSON *one = required ? required->child : NULL; one != NULL;
         one = one->next) {
        if (!cJSON_IsString(one))
            continue;
        const struct cJSON *of_a =
            in_a ? cJSON_GetObjectItemCaseSensitive(in_a, one->valuestring) : NULL;
        const struct cJSON *of_z =
            in_z ? cJSON_GetObjectItemCaseSensitive(in_z, one->valuestring) : NULL;
        if (of_z == NULL && cJSON_IsFalse(schema_member(z, "additionalProperties")) &&
            schema_member(z, "patternProperties") == NULL)
            return true;
        if (of_a != NULL && of_z != NULL && requires(z, one->valuestring) &&
            schemas_exclude(s, of_a, of_z))
            return true;
    }
    return false;
}

bool schemas_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const unsigned numbers = T_INTEGER | T_NUMBER;
    a = schema_resolve(s, a);
    z = schema_resolve(s, z);
    if (a == NULL || z == NULL || cJSON_IsTrue(a) || cJSON_IsTrue(z))
        return false;
    if (cJSON_IsFalse(a) || cJSON_IsFalse(z))
        return true;
    a = schema_member(a, "allOf") != NULL ? schema_merge_all(s, a) : a;
    z = schema_member(z, "allOf") != NULL ? schema_merge_all(s, z) : z;
    if (a == NULL || z == NULL)
        return false;
    if (values_exclude(a, z))
        return true;
    const bool combined = schema_member(a, "anyOf") || schema_member(z, "anyOf") ||
                          schema_member(a, "oneOf") || schema_member(z, "oneOf");
    unsigned of_a = schema_types(s, a, schema_keywords(s, a));
    unsigned of_z = schema_types(s, z, schema_keywords(s, z));
    if ((of_a & numbers) != 0)
        of_a |= numbers;
    if ((of_a & of_z) == 0)
        return !combined || (schema_member(a, "type") && schema_member(z, "type"));
    return of_a == T_OBJECT && of_z == T_OBJECT &&
           (members_exclude(s, a, z) || members_exclude(s, z, a));
}
