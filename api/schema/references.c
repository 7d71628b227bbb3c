/* references.c - what a $ref points at: a part of the document, by its place, its anchor or its id.
 * See internal.h. */
#include "api/schema/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool only_refers(const struct cJSON *schema)
{
    bool refers = false;
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next) {
        if (one->string != NULL && strcmp(one->string, "$ref") == 0)
            refers = true;
        else if (one->string == NULL || !schema_only_describes(one->string))
            return false;
    }
    return refers;
}

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

/* The schema, of those inside, whose keyword has this text; NULL: none. */
static const struct cJSON *find_named(const struct cJSON *at, const char *keyword, const char *text,
                                      size_t n, unsigned depth)
{
    const char *own = cJSON_GetStringValue(schema_member(at, keyword));
    if (own != NULL && strlen(own) == n && memcmp(own, text, n) == 0)
        return at;
    for (const struct cJSON *one = at->child; one != NULL && depth < SCHEMA_DEPTH;
         one = one->next) {
        const struct cJSON *found = find_named(one, keyword, text, n, depth + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static size_t count_named(const struct cJSON *at, const char *keyword, const char *text,
                          unsigned depth)
{
    const char *own = cJSON_GetStringValue(schema_member(at, keyword));
    size_t n = own != NULL && strcmp(own, text) == 0;
    for (const struct cJSON *one = at->child; one != NULL && depth < SCHEMA_DEPTH; one = one->next)
        n += count_named(one, keyword, text, depth + 1);
    return n;
}

/* What "#...", "id" or "id#..." points at: an id as it is written, no address is made of it. */
static const struct cJSON *target_of(const struct cJSON *root, const char *to)
{
    const char *part = strchr(to, '#');
    const size_t n = part != NULL ? (size_t)(part - to) : strlen(to);
    const struct cJSON *base = n == 0 ? root : find_named(root, "$id", to, n, 0);
    if (base == NULL || part == NULL || part[1] == '\0')
        return base;
    if (part[1] == '/')
        return pointed_at(base, part + 1);
    return count_named(root, "$anchor", part + 1, 0) == 1 /* else documents inside have their own */
               ? find_named(base, "$anchor", part + 1, strlen(part + 1), 0)
               : NULL;
}

const struct cJSON *schema_at(const struct cJSON *root, const char *reference)
{
    return reference != NULL && root != NULL ? target_of(root, reference) : NULL;
}

const struct cJSON *schema_resolve(struct schema *s, const struct cJSON *schema)
{
    const char *to = cJSON_GetStringValue(schema_member(schema, "$ref"));
    const struct cJSON *target = schema_at(s->root, to);
    if (target == NULL && to != NULL && to[0] != '#')
        expr_fail(s->b, STATUS_UNSUPPORTED,
                  "a \"$ref\" to another document (%.80s) is not supported", to);
    else if (target == NULL)
        expr_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads nowhere: %.80s",
                  to != NULL ? to : "it is no string");
    for (int i = 0; i < SCHEMA_DEPTH && target != NULL; i++) { /* alone, it only points on */
        if (!only_refers(target))
            return target;
        to = cJSON_GetStringValue(schema_member(target, "$ref"));
        const struct cJSON *next = schema_at(s->root, to);
        if (next == NULL)
            return target; /* it fails where it is read */
        target = next;
    }
    expr_fail(s->b, STATUS_INVALID, "\"$ref\" of the schema leads in a circle");
    return NULL;
}
