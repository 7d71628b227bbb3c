/* exclude.c - whether two schemas can hold at once at all: "oneOf" needs branches that cannot. See
 * internal.h.
 *
 * A format counts for nothing here: for many it only describes, and they would see two branches
 * that hold. Two open objects exclude each other once each may not have a member that the other
 * needs.
 */
#include "api/schema/internal.h"

#include "grammar/regular.h"

#include <string.h>

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
        const char *name = cJSON_GetStringValue(one);
        if (name == NULL)
            continue;
        const struct cJSON *of_a = schema_member(in_a, name), *of_z = schema_member(in_z, name);
        if (cJSON_IsFalse(of_z) ||
            (of_z == NULL && cJSON_IsFalse(schema_member(z, "additionalProperties")) &&
             schema_member(z, "patternProperties") == NULL))
            return true;
        if (of_a != NULL && of_z != NULL && schemas_exclude(s, of_a, of_z))
            return true;
    }
    return false;
}

static bool counts_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z,
                           const char *least, const char *most)
{
    return schema_count(s, a, least, 0) > schema_count(s, z, most, EXPR_MANY) ||
           schema_count(s, z, least, 0) > schema_count(s, a, most, EXPR_MANY);
}

static bool numbers_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct number_bounds x = number_bounds(s, a), y = number_bounds(s, z);
    return (x.has_high && y.has_low &&
            (x.high < y.low || (x.high == y.low && (x.high_open || y.low_open)))) ||
           (y.has_high && x.has_low &&
            (y.high < x.low || (y.high == x.low && (y.high_open || x.low_open))));
}

static bool strings_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct expr *x = string_inside(s, a, false), *y = string_inside(s, z, false);
    return counts_exclude(s, a, z, "minLength", "maxLength") ||
           (x != NULL && y != NULL && regular_is_empty(s->b, expr_both(s->b, x, y)));
}

/* Whether none of the values that a names is allowed by z. */
static bool values_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct cJSON *values = schema_member(a, "enum"), *value = schema_member(a, "const");
    if (value != NULL)
        return !schema_allows(s, z, value);
    for (const struct cJSON *one = values->child; one != NULL; one = one->next)
        if (schema_allows(s, a, one) && schema_allows(s, z, one))
            return false;
    return true;
}

static bool names_values(const struct cJSON *schema)
{
    return schema_member(schema, "enum") != NULL || schema_member(schema, "const") != NULL;
}

/* All branches of a exclude z. */
static bool branches_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z,
                             const char *keyword)
{
    const struct cJSON *branches = schema_member(a, keyword);
    for (const struct cJSON *one = branches->child; one != NULL; one = one->next)
        if (!schemas_exclude(s, compose_all(s, a, (const char *const[]){keyword, NULL}, &one, 1),
                             z))
            return false;
    return branches->child != NULL;
}

static bool plain_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const unsigned numbers = T_INTEGER | T_NUMBER;
    if (names_values(a))
        return values_exclude(s, a, z);
    if (names_values(z))
        return values_exclude(s, z, a);
    for (int i = 0; i < 2; i++) {
        const char *keyword = i == 0 ? "anyOf" : "oneOf";
        if (schema_member(a, keyword) != NULL)
            return branches_exclude(s, a, z, keyword);
        if (schema_member(z, keyword) != NULL)
            return branches_exclude(s, z, a, keyword);
    }
    unsigned of_a = schema_types(s, a, schema_keywords(s, a));
    unsigned of_z = schema_types(s, z, schema_keywords(s, z));
    const unsigned both = ((of_a & numbers) != 0 ? of_a | numbers : of_a) & of_z;
    return both == 0 ||
           (both == T_OBJECT && (members_exclude(s, a, z) || members_exclude(s, z, a) ||
                                 counts_exclude(s, a, z, "minProperties", "maxProperties"))) ||
           (both == T_ARRAY && counts_exclude(s, a, z, "minItems", "maxItems")) ||
           (both == T_STRING && strings_exclude(s, a, z)) ||
           ((both & ~numbers) == 0 && numbers_exclude(s, a, z));
}

bool schemas_exclude(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    bool out = false;
    if (++s->depth > SCHEMA_DEPTH / 2) { /* recursive schemas: not to be told */
        s->depth--;
        return false;
    }
    a = schema_plain(s, a);
    z = schema_plain(s, z);
    if (cJSON_IsFalse(a) || cJSON_IsFalse(z))
        out = true;
    else if (cJSON_IsObject(a) && cJSON_IsObject(z))
        out = plain_exclude(s, a, z);
    s->depth--;
    return out && expr_status(s->b) == STATUS_OK;
}

const struct cJSON *schema_keep_out(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct cJSON *of_a = schema_plain(s, a), *of_z = schema_plain(s, z);
    if (!cJSON_IsObject(of_a) || !cJSON_IsObject(of_z) ||
        schema_types(s, of_a, schema_keywords(s, of_a)) != T_OBJECT ||
        schema_types(s, of_z, schema_keywords(s, of_z)) != T_OBJECT)
        return NULL;
    const struct cJSON *required = schema_member(of_z, "required");
    for (const struct cJSON *one = required ? required->child : NULL; one != NULL;
         one = one->next) {
        const char *name = cJSON_GetStringValue(one);
        if (name == NULL || schema_member(schema_member(of_a, "properties"), name) != NULL ||
            requires(of_a, name))
            continue;
        struct cJSON *members = compose_object(s);
        if (members == NULL)
            return NULL;
        compose_put(s, members, name, compose_bool(s, false));
        return compose_both(s, a, compose_one(s, NULL, "properties", members));
    }
    return NULL;
}
