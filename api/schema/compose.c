/* compose.c - schemas made of others' parts. See internal.h.
 *
 * What is made here belongs to s->merged. It refers to the parts and copies none: a part may be
 * used in many places, and must not be changed.
 */
#include "api/schema/internal.h"

#include <string.h>

static void no_memory(struct schema *s)
{
    expr_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
}

static struct cJSON *owned(struct schema *s, struct cJSON *value)
{
    if (value != NULL && cJSON_AddItemToArray(s->merged, value))
        return value;
    cJSON_Delete(value);
    no_memory(s);
    return NULL;
}

struct cJSON *compose_object(struct schema *s)
{
    return owned(s, cJSON_CreateObject());
}

struct cJSON *compose_array(struct schema *s)
{
    return owned(s, cJSON_CreateArray());
}

const struct cJSON *compose_bool(struct schema *s, bool value)
{
    return owned(s, cJSON_CreateBool(value));
}

void compose_add(struct schema *s, struct cJSON *array, const struct cJSON *value)
{
    if (array == NULL || value == NULL ||
        !cJSON_AddItemReferenceToArray(array, (struct cJSON *)(uintptr_t)value))
        no_memory(s);
}

void compose_put(struct schema *s, struct cJSON *object, const char *name,
                 const struct cJSON *value)
{
    const struct cJSON *before = cJSON_GetObjectItemCaseSensitive(object, name);
    if (object == NULL || value == NULL ||
        !cJSON_AddItemReferenceToObject(object, name, (struct cJSON *)(uintptr_t)value))
        no_memory(s);
    else if (before != NULL) /* which may be the value, or its name */
        cJSON_DeleteItemFromObjectCaseSensitive(object, name);
}

void compose_put_number(struct schema *s, struct cJSON *object, const char *name, double value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (cJSON_AddNumberToObject(object, name, value) == NULL)
        no_memory(s);
}

void compose_put_string(struct schema *s, struct cJSON *object, const char *name, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (cJSON_AddStringToObject(object, name, value) == NULL)
        no_memory(s);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

const struct cJSON *compose_all(struct schema *s, const struct cJSON *base,
                                const char *const *without, const struct cJSON *const *parts,
                                size_t n)
{
    bool alone = n == 1;
    for (const struct cJSON *one = base ? base->child : NULL; one != NULL && alone; one = one->next)
        alone = is_one_of(one->string, without) || schema_only_describes(one->string);
    if (alone)
        return parts[0];
    struct cJSON *out = compose_object(s), *all = compose_array(s);
    if (out == NULL || all == NULL)
        return NULL;
    const struct cJSON *before = schema_member(base, "allOf");
    for (const struct cJSON *one = before ? before->child : NULL; one != NULL; one = one->next)
        compose_add(s, all, one);
    for (size_t i = 0; i < n; i++)
        compose_add(s, all, parts[i]);
    bool parts_first = false, began = false; /* members come in the schema's order */
    for (const struct cJSON *one = base ? base->child : NULL; one != NULL && !began;
         one = one->next) {
        parts_first |= is_one_of(one->string, without) || one == before;
        began = strcmp(one->string, "properties") == 0;
    }
    if (parts_first)
        compose_put(s, out, "allOf", all);
    for (const struct cJSON *one = base ? base->child : NULL; one != NULL; one = one->next)
        if (!is_one_of(one->string, without) && !schema_only_describes(one->string) &&
            one != before)
            compose_put(s, out, one->string, one);
    if (!parts_first)
        compose_put(s, out, "allOf", all);
    return expr_status(s->b) == STATUS_OK ? out : NULL;
}

const struct cJSON *compose_both(struct schema *s, const struct cJSON *a, const struct cJSON *z)
{
    const struct cJSON *parts[] = {a, z};
    if (cJSON_IsTrue(a) || cJSON_IsFalse(z))
        return z;
    if (cJSON_IsTrue(z) || cJSON_IsFalse(a))
        return a;
    return compose_all(s, NULL, (const char *const[]){NULL}, parts, 2);
}

const struct cJSON *compose_list(struct schema *s, const char *keyword,
                                 const struct cJSON *const *parts, size_t n)
{
    struct cJSON *out = compose_object(s), *list = compose_array(s);
    for (size_t i = 0; i < n; i++)
        compose_add(s, list, parts[i]);
    compose_put(s, out, keyword, list);
    return expr_status(s->b) == STATUS_OK ? out : NULL;
}

const struct cJSON *compose_one(struct schema *s, const char *type, const char *keyword,
                                const struct cJSON *value)
{
    struct cJSON *out = compose_object(s);
    if (out == NULL)
        return NULL;
    if (type != NULL)
        compose_put_string(s, out, "type", type);
    compose_put(s, out, keyword, value);
    return out;
}
