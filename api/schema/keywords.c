/* keywords.c - every keyword of a schema, and the types that it speaks of. See schema.h. */
#include "api/schema/internal.h"

#include <string.h>

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
    {"externalDocs", DESCRIBES, 0},
    {"xml", DESCRIBES, 0},
    {"components", DESCRIBES, 0}, /* where a document of OpenAPI keeps what is referred to */
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
    {"not", COMBINES, 0},
    {"if", COMBINES, 0},
    {"then", COMBINES, 0},
    {"else", COMBINES, 0},
    {"$anchor", DESCRIBES, 0},
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
unsigned schema_keywords(struct schema *s, const struct cJSON *schema)
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
            expr_fail(s->b, STATUS_UNSUPPORTED, "the keyword \"%.60s\" of the schema is not known",
                      one->string);
    }
    return spoken_of;
}

static unsigned type_bit(struct schema *s, const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].bit;
    expr_fail(s->b, STATUS_INVALID, "the type \"%.40s\" of the schema is not one of JSON's",
              name != NULL ? name : "?");
    return 0;
}

unsigned schema_types(struct schema *s, const struct cJSON *schema, unsigned spoken_of)
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

bool schema_only_describes(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return keywords[i].kind == DESCRIBES;
    return true; /* x-... */
}
