/* merge.c - several schemas that hold at once, as one. See internal.h.
 *
 * Two keywords that no single one can say are refused by name; what leaves no value is false.
 */
#include "api/schema/internal.h"

#include <math.h>
#include <string.h>

enum { CHOICES_MOST = 256 };

struct merging {
    struct schema *s;
    struct cJSON *into; /* what holds so far */
    bool nothing;       /* no value is left */
};

static bool holds(const struct cJSON *list, const struct cJSON *value)
{
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        if (cJSON_Compare(one, value, true))
            return true;
    return false;
}

#define IS_ONE_OF(name, ...) is_one_of(name, (const char *const[]){__VA_ARGS__, NULL})

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* --- keyword by keyword --- */

static bool has_type(const struct cJSON *types, const char *name)
{
    for (const struct cJSON *one = cJSON_IsArray(types) ? types->child : types; one != NULL;
         one = cJSON_IsArray(types) ? one->next : NULL)
        if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0)
            return true;
    return false;
}

/* The types that both lists allow: an integer is a number. */
static void merge_types(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    static const char *const names[] = {"object", "array",   "string", "integer",
                                        "number", "boolean", "null"};
    struct cJSON *out = compose_array(g->s);
    for (size_t i = 0; out != NULL && i < sizeof names / sizeof *names; i++) {
        const bool integer = strcmp(names[i], "integer") == 0;
        const bool a = has_type(have, names[i]) || (integer && has_type(have, "number"));
        const bool z = has_type(more, names[i]) || (integer && has_type(more, "number"));
        const bool number = has_type(have, "number") && has_type(more, "number");
        if (a && z && !(integer && number))
            cJSON_AddItemToArray(out, cJSON_CreateString(names[i]));
    }
    g->nothing |= out == NULL || out->child == NULL;
    compose_put(g->s, g->into, "type", out);
}

static void merge_values(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    struct cJSON *out = compose_array(g->s);
    if (!cJSON_IsArray(have) || !cJSON_IsArray(more)) {
        expr_fail(g->s->b, STATUS_INVALID, "\"enum\" of the schema must be an array");
        return;
    }
    for (const struct cJSON *one = have->child; one != NULL; one = one->next)
        if (holds(more, one))
            compose_add(g->s, out, one);
    g->nothing |= out == NULL || out->child == NULL;
    compose_put(g->s, g->into, "enum", out);
}

/* What both lists have; a value that is no list counts as a list of itself. */
static void join_lists(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    const struct cJSON *lists[] = {have, more};
    struct cJSON *out = compose_array(g->s);
    for (int i = 0; i < 2; i++) {
        const struct cJSON *list = lists[i];
        if (!cJSON_IsArray(list) && (out == NULL || !holds(out, list)))
            compose_add(g->s, out, list);
        for (const struct cJSON *one = cJSON_IsArray(list) ? list->child : NULL; one && out;
             one = one->next)
            if (!holds(out, one))
                compose_add(g->s, out, one);
    }
    compose_put(g->s, g->into, more->string, out);
}

/* One of each, whatever the pair: {"anyOf": [a, ...]} and {"anyOf": [z, ...]}. */
static void merge_choices(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    struct cJSON *out = compose_array(g->s);
    size_t n = (size_t)cJSON_GetArraySize(have) * (size_t)cJSON_GetArraySize(more);
    if (n > CHOICES_MOST) {
        schema_lacks(g->s, more->string, " of so many branches, several times at once,");
        return;
    }
    for (const struct cJSON *a = have->child; a != NULL; a = a->next)
        for (const struct cJSON *z = more->child; z != NULL; z = z->next)
            compose_add(g->s, out, compose_both(g->s, a, z));
    compose_put(g->s, g->into, more->string, out);
}

static void merge_multiples(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    double a = have->valuedouble, z = more->valuedouble, rest = z;
    if (!(a >= 1 && z >= 1 && a == floor(a) && z == floor(z) && a < 1e6 && z < 1e6)) {
        schema_lacks(g->s, "multipleOf", " of fractions, in several parts of \"allOf\",");
        return;
    }
    for (double x = a; x > 0;) { /* Euclid: rest becomes what both are multiples of */
        const double next = fmod(rest, x);
        rest = x;
        x = next;
    }
    compose_put_number(g->s, g->into, "multipleOf", a / rest * z);
}

/* --- members and items --- */

/* A member that only one of two schemas lists: what the other says of such members. */
static const struct cJSON *listed_once(struct merging *g, const struct cJSON *value,
                                       const struct cJSON *other)
{
    const struct cJSON *additional = schema_member(other, "additionalProperties");
    const struct cJSON *patterns = schema_member(other, "patternProperties");
    bool matched = false;
    const struct cJSON *out = value;
    for (const struct cJSON *one = patterns ? patterns->child : NULL; one && out; one = one->next)
        if (name_matches(g->s, value->string, one->string)) {
            out = compose_both(g->s, out, one);
            matched = true;
        }
    return matched || additional == NULL ? out : compose_both(g->s, additional, out);
}

static void merge_properties(struct merging *g, const struct cJSON *more)
{
    const struct cJSON *a = schema_member(g->into, "properties");
    const struct cJSON *z = schema_member(more, "properties");
    struct cJSON *out = compose_object(g->s);
    if ((a == NULL && z == NULL) || out == NULL)
        return;
    for (const struct cJSON *one = a ? a->child : NULL; one != NULL; one = one->next) {
        const struct cJSON *same = z ? cJSON_GetObjectItemCaseSensitive(z, one->string) : NULL;
        compose_put(g->s, out, one->string,
                    same ? compose_both(g->s, one, same) : listed_once(g, one, more));
    }
    for (const struct cJSON *one = z ? z->child : NULL; one != NULL; one = one->next)
        if (a == NULL || cJSON_GetObjectItemCaseSensitive(a, one->string) == NULL)
            compose_put(g->s, out, one->string, listed_once(g, one, g->into));
    compose_put(g->s, g->into, "properties", out);
}

/* Members by pattern: both lists, unless one says more of names that the other does not list. */
static void merge_patterns(struct merging *g, const struct cJSON *more)
{
    const struct cJSON *a = schema_member(g->into, "patternProperties");
    const struct cJSON *z = schema_member(more, "patternProperties");
    struct cJSON *out = compose_object(g->s);
    const struct cJSON *others[] = {schema_member(g->into, "additionalProperties"),
                                    schema_member(more, "additionalProperties")};
    if ((a == NULL && z == NULL) || out == NULL || (a && z && cJSON_Compare(a, z, true)))
        return;
    if ((z != NULL && others[0] != NULL && !cJSON_IsTrue(others[0])) ||
        (a != NULL && others[1] != NULL && !cJSON_IsTrue(others[1])))
        schema_lacks(g->s, "patternProperties", " beside \"additionalProperties\" of another part");
    for (const struct cJSON *one = a ? a->child : NULL; one != NULL; one = one->next)
        compose_put(g->s, out, one->string, one);
    for (const struct cJSON *one = z ? z->child : NULL; one != NULL; one = one->next) {
        const struct cJSON *same = cJSON_GetObjectItemCaseSensitive(out, one->string);
        compose_put(g->s, out, one->string, same ? compose_both(g->s, same, one) : one);
    }
    compose_put(g->s, g->into, "patternProperties", out);
}

static const struct cJSON *item_at(const struct cJSON *schema, const struct cJSON *prefix, int i)
{
    const struct cJSON *one = prefix != NULL ? cJSON_GetArrayItem(prefix, i) : NULL;
    return one != NULL ? one : schema_member(schema, "items");
}

static void merge_items(struct merging *g, const struct cJSON *more)
{
    const struct cJSON *a = schema_member(g->into, "prefixItems");
    const struct cJSON *z = schema_member(more, "prefixItems");
    struct cJSON *out = compose_array(g->s);
    if (a == NULL && z == NULL)
        return;
    if (cJSON_IsArray(schema_member(g->into, "items")) ||
        cJSON_IsArray(schema_member(more, "items"))) {
        schema_lacks(g->s, "items", " as an array, beside \"prefixItems\" of another part,");
        return;
    }
    const int n_a = a ? cJSON_GetArraySize(a) : 0, n_z = z ? cJSON_GetArraySize(z) : 0;
    for (int i = 0; i < n_a || i < n_z; i++) {
        const struct cJSON *of_a = item_at(g->into, a, i), *of_z = item_at(more, z, i);
        compose_add(g->s, out,
                    of_a == NULL   ? of_z
                    : of_z == NULL ? of_a
                                   : compose_both(g->s, of_a, of_z));
    }
    compose_put(g->s, g->into, "prefixItems", out);
}

/* --- parts --- */

static void merge_bound(struct merging *g, const struct cJSON *have, const struct cJSON *more,
                        bool least)
{
    const char *name = more->string;
    if (!cJSON_IsNumber(have) || !cJSON_IsNumber(more))
        schema_lacks(g->s, name, " in several parts of \"allOf\" that is no number");
    else if (least ? more->valuedouble > have->valuedouble : more->valuedouble < have->valuedouble)
        compose_put(g->s, g->into, name, more);
}

/* One keyword that both have. */
static void merge_keyword(struct merging *g, const struct cJSON *have, const struct cJSON *more)
{
    const char *name = more->string;
    if (cJSON_Compare(have, more, true) || schema_only_describes(name) ||
        IS_ONE_OF(name, "properties", "patternProperties", "prefixItems", "nullable"))
        return;
    if (strcmp(name, "type") == 0)
        merge_types(g, have, more);
    else if (strcmp(name, "enum") == 0)
        merge_values(g, have, more);
    else if (IS_ONE_OF(name, "required", "pattern", "format", "not"))
        join_lists(g, have, more);
    else if (IS_ONE_OF(name, "anyOf", "oneOf"))
        merge_choices(g, have, more);
    else if (strcmp(name, "multipleOf") == 0)
        merge_multiples(g, have, more);
    else if (IS_ONE_OF(name, "minimum", "exclusiveMinimum", "minLength", "minItems",
                       "minProperties"))
        merge_bound(g, have, more, true);
    else if (IS_ONE_OF(name, "maximum", "exclusiveMaximum", "maxLength", "maxItems",
                       "maxProperties"))
        merge_bound(g, have, more, false);
    else if (IS_ONE_OF(name, "items", "additionalProperties", "unevaluatedProperties",
                       "propertyNames") &&
             !cJSON_IsArray(have) && !cJSON_IsArray(more)) {
        compose_put(g->s, g->into, name, compose_both(g->s, have, more));
    } else if (strcmp(name, "uniqueItems") == 0)
        compose_put(g->s, g->into, "uniqueItems", cJSON_IsTrue(more) ? more : have);
    else
        schema_lacks(g->s, name, " in several parts of \"allOf\", unlike each other,");
}

/* A given value is a list of one; a null beside a type is one of the types. */
static void put_part(struct merging *g, const struct cJSON *part, const struct cJSON *one)
{
    const char *name = one->string;
    struct cJSON *list = NULL;
    if (strcmp(name, "const") == 0) {
        list = compose_array(g->s);
        compose_add(g->s, list, one);
        name = "enum";
    } else if (strcmp(name, "type") == 0 && cJSON_IsTrue(schema_member(part, "nullable"))) {
        list = compose_array(g->s);
        for (const struct cJSON *type = cJSON_IsArray(one) ? one->child : one; type != NULL;
             type = cJSON_IsArray(one) ? type->next : NULL)
            compose_add(g->s, list, type);
        cJSON_AddItemToArray(list, cJSON_CreateString("null"));
    } else if (strcmp(name, "nullable") == 0 && schema_member(part, "type") != NULL) {
        return;
    }
    const struct cJSON *have = cJSON_GetObjectItemCaseSensitive(g->into, name);
    const struct cJSON *value = list != NULL ? list : one;
    if (have == NULL) {
        compose_put(g->s, g->into, name, value);
        return;
    }
    struct cJSON named = *value; /* with its name, which what is made here lacks */
    named.string = (char *)(uintptr_t)name;
    merge_keyword(g, have, &named);
}

static void merge_into(struct merging *g, const struct cJSON *more, bool is_part)
{
    const struct cJSON *unevaluated = schema_member(more, "unevaluatedProperties");
    if (cJSON_IsFalse(more))
        g->nothing = true;
    if (!cJSON_IsObject(more))
        return;
    if (is_part && unevaluated != NULL && !cJSON_IsTrue(unevaluated))
        schema_lacks(g->s, "unevaluatedProperties", " inside of a part or a branch");
    if (is_part && schema_member(more, "unevaluatedItems") != NULL)
        schema_lacks(g->s, "unevaluatedItems", " inside of a part or a branch");
    merge_properties(g, more); /* it looks at both sides' additionalProperties */
    merge_patterns(g, more);
    merge_items(g, more);
    for (const struct cJSON *one = more->child; one && expr_status(g->s->b) == STATUS_OK;
         one = one->next)
        if (strcmp(one->string, "allOf") != 0 && !schema_only_describes(one->string))
            put_part(g, more, one);
}

static void merge_parts(struct merging *g, const struct cJSON *parts)
{
    for (const struct cJSON *one = parts->child; one && expr_status(g->s->b) == STATUS_OK;
         one = one->next)
        merge_into(g, schema_plain(g->s, one), true);
}

/* All that a schema says and its parts: which of them comes first decides on the order of members.
 */
static const struct cJSON *merge_all(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *parts = schema_member(schema, "allOf");
    struct merging g = {.s = s, .into = compose_object(s)};
    bool parts_first = false;
    for (const struct cJSON *one = schema->child; one && strcmp(one->string, "properties") != 0;
         one = one->next)
        parts_first |= one == parts;
    if (!cJSON_IsArray(parts))
        expr_fail(s->b, STATUS_INVALID, "\"allOf\" of the schema must be an array of schemas");
    if (g.into == NULL || expr_status(s->b) != STATUS_OK)
        return NULL;
    if (parts_first)
        merge_parts(&g, parts);
    merge_into(&g, schema, false);
    if (!parts_first)
        merge_parts(&g, parts);
    if (g.nothing)
        nothing_left(s, "allOf");
    return g.nothing ? compose_bool(s, false) : g.into;
}

const struct cJSON *schema_plain(struct schema *s, const struct cJSON *schema)
{
    if (!cJSON_IsObject(schema) || expr_status(s->b) != STATUS_OK)
        return expr_status(s->b) == STATUS_OK ? schema : NULL;
    if (++s->depth > SCHEMA_DEPTH)
        expr_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep", SCHEMA_DEPTH);
    schema_keywords(s, schema);
    if (schema_has_conditions(schema)) {
        schema = schema_rewrite(s, schema);
    } else if (schema_member(schema, "$ref") != NULL) {
        const struct cJSON *target = schema_resolve(s, schema);
        schema = target == NULL
                     ? NULL
                     : compose_all(s, schema, (const char *const[]){"$ref", NULL}, &target, 1);
    } else if (schema_member(schema, "allOf") != NULL) {
        schema = merge_all(s, schema);
        s->depth--;
        return expr_status(s->b) == STATUS_OK ? schema : NULL;
    } else {
        s->depth--;
        return schema;
    }
    const struct cJSON *out = schema != NULL ? schema_plain(s, schema) : NULL;
    s->depth--;
    return out;
}
