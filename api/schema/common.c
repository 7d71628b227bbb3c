/* common.c - members of a schema, and how it is refused. See schema.h. */
#include "api/schema/internal.h"

#include <math.h>

void schema_lacks(struct schema *s, const char *keyword, const char *why)
{
    expr_fail(s->b, STATUS_UNSUPPORTED, "\"%s\" of a JSON Schema%s is not supported", keyword, why);
}

const struct expr *nothing_left(struct schema *s, const char *keyword)
{
    expr_hint(s->b, "\"%s\" of the schema leaves no value", keyword);
    return expr_choice(s->b, NULL, 0);
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
        expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be a natural number", name);
        return otherwise;
    }
    return value->valuedouble < 1e9 ? (uint32_t)value->valuedouble : 1000000000;
}
