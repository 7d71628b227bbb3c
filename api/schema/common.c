/* common.c - members of a schema, references, and how it is refused. See schema.h. */
#include "api/schema/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void schema_lacks(struct schema *s, const char *keyword, const char *why)
{
    expr_fail(s->b, STATUS_UNSUPPORTED, "\"%s\" of a JSON Schema%s is not supported", keyword, why);
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

const struct cJSON *schema_at(const struct cJSON *root, const char *reference)
{
    return reference != NULL && reference[0] == '#' ? pointed_at(root, reference + 1) : NULL;
}

const struct cJSON *schema_resolve(struct schema *s, const struct cJSON *schema)
{
    for (int i = 0; i < SCHEMA_DEPTH; i++) {
        const struct cJSON *ref = schema_member(schema, "$ref");
        if (ref == NULL)
            return schema;
        const char *to = cJSON_GetStringValue(ref);
        const struct cJSON *target = schema_at(s->root, to);
        if (target == NULL) {
            if (to != NULL && to[0] != '#')
                expr_fail(s->b, STATUS_UNSUPPORTED,
                          "a \"$ref\" to another document (%.80s) is not supported", to);
            else
                expr_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads nowhere: %.80s",
                          to != NULL ? to : "it is no string");
            return NULL;
        }
        schema = target;
    }
    expr_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads in a circle");
    return NULL;
}
