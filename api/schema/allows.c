/* allows.c - whether a schema allows one given value: "enum" and "const" beside other keywords, and
 * what excludes what. See internal.h. */
#include "api/schema/internal.h"

#include "grammar/regular.h"

#include <math.h>
#include <string.h>

static bool all_of(struct schema *s, const struct cJSON *list, const struct cJSON *value)
{
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        if (!schema_allows(s, one, value))
            return false;
    return true;
}

static size_t how_many(struct schema *s, const struct cJSON *list, const struct cJSON *value)
{
    size_t n = 0;
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        n += schema_allows(s, one, value);
    return n;
}

static bool is_listed(const struct cJSON *list, const struct cJSON *value)
{
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        if (cJSON_Compare(one, value, true))
            return true;
    return false;
}

unsigned type_of_value(const struct cJSON *value)
{
    if (cJSON_IsNumber(value))
        return value->valuedouble == floor(value->valuedouble) ? T_INTEGER | T_NUMBER : T_NUMBER;
    return cJSON_IsObject(value)   ? T_OBJECT
           : cJSON_IsArray(value)  ? T_ARRAY
           : cJSON_IsString(value) ? T_STRING
           : cJSON_IsBool(value)   ? T_BOOLEAN
                                   : T_NULL;
}

static size_t n_characters(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* --- keywords of one type --- */

static bool allows_number(struct schema *s, const struct cJSON *keyword, double value)
{
    const char *name = keyword->string;
    const double bound = keyword->valuedouble;
    if (!cJSON_IsNumber(keyword))
        return true;
    if (strcmp(name, "minimum") == 0)
        return value >= bound;
    if (strcmp(name, "maximum") == 0)
        return value <= bound;
    if (strcmp(name, "exclusiveMinimum") == 0)
        return value > bound;
    if (strcmp(name, "exclusiveMaximum") == 0)
        return value < bound;
    if (strcmp(name, "multipleOf") == 0 && bound <= 0)
        schema_lacks(s, "multipleOf", " of nothing");
    return strcmp(name, "multipleOf") != 0 || value / bound == floor(value / bound);
}

static bool allows_text(struct schema *s, const struct cJSON *keyword, const char *text)
{
    const char *name = keyword->string;
    if (strcmp(name, "minLength") == 0)
        return (double)n_characters(text) >= keyword->valuedouble;
    if (strcmp(name, "maxLength") == 0)
        return (double)n_characters(text) <= keyword->valuedouble;
    if (strcmp(name, "pattern") != 0 && strcmp(name, "format") != 0)
        return true;
    bool out = true;
    for (const struct cJSON *one = cJSON_IsArray(keyword) ? keyword->child : keyword; one && out;
         one = cJSON_IsArray(keyword) ? one->next : NULL) {
        const char *written = cJSON_GetStringValue(one);
        if (written == NULL)
            expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be a string", name);
        else
            out = regular_matches(s->b,
                                  strcmp(name, "pattern") == 0 ? string_pattern(s, written)
                                                               : string_format(s, written),
                                  text, strlen(text));
    }
    return out;
}

static bool allows_items(struct schema *s, const struct cJSON *schema, const struct cJSON *value)
{
    const struct cJSON *prefix = schema_member(schema, "prefixItems");
    const struct cJSON *items = schema_member(schema, "items");
    const struct cJSON *contains = schema_member(schema, "contains");
    const struct cJSON *place = prefix ? prefix->child : NULL;
    size_t n = 0, n_contained = 0;
    if (cJSON_IsArray(items)) {
        place = items->child;
        items = schema_member(schema, "additionalItems");
    }
    for (const struct cJSON *one = value->child; one != NULL; one = one->next, n++) {
        const struct cJSON *like = place != NULL ? place : items;
        if (like != NULL && !schema_allows(s, like, one))
            return false;
        place = place != NULL ? place->next : NULL;
        n_contained += contains != NULL && schema_allows(s, contains, one);
        for (const struct cJSON *other = one->next; other != NULL; other = other->next)
            if (cJSON_IsTrue(schema_member(schema, "uniqueItems")) &&
                cJSON_Compare(one, other, true))
                return false;
    }
    return n >= schema_count(s, schema, "minItems", 0) &&
           n <= schema_count(s, schema, "maxItems", EXPR_MANY) &&
           (contains == NULL || (n_contained >= schema_count(s, schema, "minContains", 1) &&
                                 n_contained <= schema_count(s, schema, "maxContains", EXPR_MANY)));
}

static bool allows_member(struct schema *s, const struct cJSON *schema, const struct cJSON *member)
{
    const struct cJSON *listed = schema_member(schema_member(schema, "properties"), member->string);
    const struct cJSON *patterns = schema_member(schema, "patternProperties");
    const struct cJSON *additional = schema_member(schema, "additionalProperties");
    bool known = listed != NULL;
    if (listed != NULL && !schema_allows(s, listed, member))
        return false;
    for (const struct cJSON *one = patterns ? patterns->child : NULL; one != NULL; one = one->next)
        if (name_matches(s, member->string, one->string)) {
            known = true;
            if (!schema_allows(s, one, member))
                return false;
        }
    if (additional == NULL)
        additional = schema_member(schema, "unevaluatedProperties");
    return known || additional == NULL || schema_allows(s, additional, member);
}

static bool allows_members(struct schema *s, const struct cJSON *schema, const struct cJSON *value)
{
    const struct cJSON *required = schema_member(schema, "required");
    const struct cJSON *names = schema_member(schema, "propertyNames");
    const size_t n = (size_t)cJSON_GetArraySize(value);
    for (const struct cJSON *one = required ? required->child : NULL; one != NULL; one = one->next)
        if (cJSON_IsString(one) && schema_member(value, one->valuestring) == NULL)
            return false;
    for (const struct cJSON *one = value->child; one != NULL; one = one->next) {
        if (!allows_member(s, schema, one))
            return false;
        struct cJSON name = {.type = cJSON_String, .valuestring = one->string};
        if (names != NULL && !schema_allows(s, names, &name))
            return false;
    }
    return n >= schema_count(s, schema, "minProperties", 0) &&
           n <= schema_count(s, schema, "maxProperties", EXPR_MANY);
}

/* --- the whole --- */

/* "not" as an array: none of {"enum": ...}, {"pattern": ...} and {"multipleOf": 1}. */
static bool taken_away(struct schema *s, const struct cJSON *list, const struct cJSON *value)
{
    for (const struct cJSON *one = list->child; one != NULL; one = one->next) {
        const struct cJSON *values = schema_member(one, "enum");
        if (values != NULL ? is_listed(values, value) : schema_allows(s, one, value))
            return true;
    }
    return false;
}

static bool allows_object(struct schema *s, const struct cJSON *schema, const struct cJSON *value)
{
    const struct cJSON *given = schema_member(schema, "enum"),
                       *one_value = schema_member(schema, "const"),
                       *any = schema_member(schema, "anyOf"), *one = schema_member(schema, "oneOf"),
                       *without = schema_member(schema, "not");
    const unsigned type = type_of_value(value);
    if ((given != NULL && !is_listed(given, value)) ||
        (one_value != NULL && !cJSON_Compare(one_value, value, true)) ||
        (any != NULL && how_many(s, any, value) == 0) ||
        (one != NULL && how_many(s, one, value) != 1) ||
        (without != NULL && taken_away(s, without, value)))
        return false;
    if (schema_member(schema, "type") != NULL && (schema_types(s, schema, 0) & type) == 0)
        return false;
    if (type == T_ARRAY)
        return allows_items(s, schema, value);
    if (type == T_OBJECT)
        return allows_members(s, schema, value);
    for (const struct cJSON *k = schema->child; k != NULL; k = k->next)
        if (type == T_STRING ? !allows_text(s, k, value->valuestring)
                             : (type & T_NUMBER) && !allows_number(s, k, value->valuedouble))
            return false;
    return true;
}

bool schema_allows(struct schema *s, const struct cJSON *schema, const struct cJSON *value)
{
    bool out = false;
    if (++s->depth > SCHEMA_DEPTH)
        expr_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep", SCHEMA_DEPTH);
    const struct cJSON *target = schema;
    if (expr_status(s->b) == STATUS_OK && schema_member(schema, "$ref") != NULL)
        target = schema_resolve(s, schema);
    if (expr_status(s->b) == STATUS_OK && target != schema && !schema_allows(s, target, value))
        out = false;
    else if (expr_status(s->b) == STATUS_OK && cJSON_IsObject(schema)) {
        const struct cJSON *all = schema_member(schema, "allOf");
        const struct cJSON *plain =
            schema_has_conditions(schema) ? schema_rewrite(s, schema) : schema;
        if (plain != schema)
            out = plain != NULL && schema_allows(s, plain, value);
        else
            out = (all == NULL || all_of(s, all, value)) && allows_object(s, schema, value);
    } else {
        out = cJSON_IsTrue(schema);
    }
    s->depth--;
    return out && expr_status(s->b) == STATUS_OK;
}
