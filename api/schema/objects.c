/* objects.c - objects of JSON: the schema's members in its order, then others where they may come.
 *
 * What may follow member i is one rule, called from each member that i can come after: the
 * automaton grows with the number of members, not with that of their subsets. Where the number of
 * members is bounded, there is a rule for each member and each number. See schema.h.
 */
#include "api/schema/internal.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct schema_property {
    const struct expr *expr; /* "name": value */
    bool needed;
};

struct schema_object {
    struct schema_property *members;
    size_t n;
    const struct expr *other; /* a member of another name; NULL: none may come */
    uint32_t min, max;        /* members */
    uint32_t *rules;          /* [n + 1][counts]: what may come after some members */
    size_t counts;            /* numbers of members that are told apart */
};

static const struct expr *named(struct schema *s, const struct expr *name, const struct expr *value)
{
    return SEQUENCE(s, name, TEXT(s, ":"), space(s), value);
}

/* --- names that are none of the listed ones --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What may follow `depth` bytes that names[0..n) have in common, so that none of them comes out. */
static const struct expr *not_named(struct schema *s, const char *const *names, size_t n,
                                    size_t depth)
{
    const struct expr *more = expr_repeat(s->b, any_character(s), 0, EXPR_MANY);
    struct expr_list list = {0};
    struct expr_range *taken = expr_alloc(s->b, n + 1, sizeof *taken);
    size_t n_taken = 0, i = 0;
    if (taken == NULL)
        return more;
    if (n > 0 && names[0][depth] == '\0')
        i = 1; /* it must not end here */
    else
        expr_list_add(s->b, &list, TEXT(s, ""));
    while (i < n && expr_status(s->b) == STATUS_OK) {
        uint32_t cp = 0;
        size_t length = utf8_decode(names[i] + depth, strlen(names[i] + depth), &cp), begin = i;
        if (length == 0) {
            expr_fail(s->b, STATUS_INVALID, "a name of the schema is not UTF-8");
            break;
        }
        while (i < n && strncmp(names[i] + depth, names[begin] + depth, length) == 0)
            i++;
        struct expr_range one = {cp, cp};
        taken[n_taken++] = one;
        expr_list_add(s->b, &list,
                      SEQUENCE(s, character_of(s, &one, 1, false),
                               not_named(s, names + begin, i - begin, depth + length)));
    }
    expr_list_add(s->b, &list, SEQUENCE(s, character_of(s, taken, n_taken, true), more));
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *other_name(struct schema *s, const struct cJSON *properties)
{
    size_t n = 0, most = properties != NULL ? (size_t)cJSON_GetArraySize(properties) : 0;
    if (most == 0)
        return any_string(s);
    const char **names = expr_alloc(s->b, most, sizeof *names);
    if (names == NULL)
        return any_string(s);
    for (const struct cJSON *one = properties->child; one != NULL; one = one->next)
        names[n++] = one->string;
    qsort(names, n, sizeof *names, by_text);
    return SEQUENCE(s, TEXT(s, "\""), not_named(s, names, n, 0), TEXT(s, "\""));
}

/* The schema of names, which are strings whatever it says. */
static const struct cJSON *only_strings(struct schema *s, const struct cJSON *names)
{
    struct cJSON *out = cJSON_CreateObject(), *all = cJSON_CreateArray();
    struct cJSON *copy = cJSON_Duplicate(names, true);
    if (out == NULL || !cJSON_AddItemToArray(s->merged, out) || copy == NULL ||
        !cJSON_AddItemToArray(all, copy) || !cJSON_AddItemToObject(out, "allOf", all) ||
        cJSON_AddStringToObject(out, "type", "string") == NULL)
        expr_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
    return out;
}

static const struct expr *other_member(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *properties = schema_member(schema, "properties");
    const struct cJSON *patterns = schema_member(schema, "patternProperties");
    const struct cJSON *additional = schema_member(schema, "additionalProperties");
    const struct cJSON *names = schema_member(schema, "propertyNames");
    if (additional == NULL)
        additional = schema_member(schema, "unevaluatedProperties");
    if (patterns != NULL && patterns->child != NULL) {
        if (properties != NULL && properties->child != NULL)
            schema_lacks(s, "patternProperties", " beside \"properties\"");
        if (patterns->child->next != NULL)
            schema_lacks(s, "patternProperties", " of several patterns");
        const struct expr *name =
            SEQUENCE(s, TEXT(s, "\""), pattern_expr(s, patterns->child->string), TEXT(s, "\""));
        return cJSON_IsFalse(patterns->child) ? NULL : named(s, name, s->read(s, patterns->child));
    }
    if (cJSON_IsFalse(additional))
        return NULL;
    const struct expr *value =
        additional == NULL || cJSON_IsTrue(additional) ? any_value(s) : s->read(s, additional);
    if (cJSON_IsFalse(names))
        return NULL;
    if (names == NULL || cJSON_IsTrue(names))
        return named(s, other_name(s, properties), value);
    if (properties != NULL)
        schema_lacks(s, "propertyNames", " beside \"properties\"");
    return named(s, s->read(s, only_strings(s, names)), value);
}

/* --- members in their order --- */

static bool is_needed(const struct cJSON *required, const char *name)
{
    for (const struct cJSON *one = required != NULL ? required->child : NULL; one; one = one->next)
        if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0)
            return true;
    return false;
}

static bool is_listed(const struct cJSON *properties, const char *name)
{
    return properties != NULL && cJSON_GetObjectItemCaseSensitive(properties, name) != NULL;
}

static void add_member(struct schema *s, struct schema_object *o, const char *name,
                       const struct expr *value, bool needed)
{
    o->members[o->n].expr = named(s, literal_string(s, name), value);
    o->members[o->n++].needed = needed;
}

static void list_members(struct schema *s, struct schema_object *o, const struct cJSON *schema)
{
    const struct cJSON *properties = schema_member(schema, "properties");
    const struct cJSON *required = schema_member(schema, "required");
    const struct cJSON *additional = schema_member(schema, "additionalProperties");
    size_t most = 0;
    if ((properties != NULL && !cJSON_IsObject(properties)) ||
        (required != NULL && !cJSON_IsArray(required))) {
        expr_fail(s->b, STATUS_INVALID,
                  "\"properties\" of the schema must be an object and \"required\" an array");
        return;
    }
    most += properties != NULL ? (size_t)cJSON_GetArraySize(properties) : 0;
    most += required != NULL ? (size_t)cJSON_GetArraySize(required) : 0;
    o->members = expr_alloc(s->b, most + 1, sizeof *o->members);
    if (o->members == NULL)
        return;
    for (const struct cJSON *one = properties ? properties->child : NULL; one; one = one->next) {
        bool needed = is_needed(required, one->string);
        if (!cJSON_IsFalse(one) || needed)
            add_member(s, o, one->string, s->read(s, one), needed);
    }
    for (const struct cJSON *one = required ? required->child : NULL; one; one = one->next) {
        if (!cJSON_IsString(one) || is_listed(properties, one->valuestring))
            continue; /* needed and not described: any other member of this name */
        if (cJSON_IsFalse(additional))
            expr_fail(s->b, STATUS_INVALID,
                      "\"%.60s\" is required by the schema and not among its properties",
                      one->valuestring);
        else
            add_member(s, o, one->valuestring,
                       cJSON_IsObject(additional) ? s->read(s, additional) : any_value(s), true);
    }
}

/* --- rules: what may come after members before i, of which so many came --- */

static size_t count_place(const struct schema_object *o, size_t count)
{
    return count < o->counts ? count : o->counts - 1;
}

static const struct expr *after(struct schema *s, const struct schema_object *o, size_t i,
                                size_t count)
{
    return expr_rule(s->b, o->rules[i * o->counts + count_place(o, count)]);
}

static bool may_add(const struct schema_object *o, size_t count)
{
    return o->max == EXPR_MANY || count < o->max;
}

/* Other members up to the end: some have come already. */
static const struct expr *others(struct schema *s, const struct schema_object *o, size_t count)
{
    uint32_t least = o->min > count ? o->min - (uint32_t)count : 0;
    uint32_t most = o->max == EXPR_MANY ? EXPR_MANY : o->max > count ? o->max - (uint32_t)count : 0;
    if (o->other == NULL)
        return least > 0 ? expr_choice(s->b, NULL, 0) : TEXT(s, "");
    const struct expr *more = SEQUENCE(s, TEXT(s, ","), space(s), o->other);
    return least <= most ? expr_repeat(s->b, more, least, most) : expr_choice(s->b, NULL, 0);
}

/* The rule for members from i on, where at least one has come. */
static void define_after(struct schema *s, const struct schema_object *o, size_t i, size_t count)
{
    struct expr_list list = {0};
    if (i == o->n) {
        expr_list_add(s->b, &list, SEQUENCE(s, others(s, o, count), space(s)));
    } else {
        if (may_add(o, count))
            expr_list_add(s->b, &list,
                          SEQUENCE(s, TEXT(s, ","), space(s), o->members[i].expr,
                                   after(s, o, i + 1, count + 1)));
        if (!o->members[i].needed)
            expr_list_add(s->b, &list, after(s, o, i + 1, count));
    }
    rule_define(s->b, o->rules[i * o->counts + count], expr_choice(s->b, list.at, list.n));
}

static bool make_rules(struct schema *s, struct schema_object *o)
{
    const size_t needed = o->max != EXPR_MANY ? o->max + 1u : o->min + 1u;
    o->counts = needed < o->n + 2 ? needed : o->n + 2;
    o->counts = o->counts > 0 ? o->counts : 1;
    if (o->min == 0 && o->max == EXPR_MANY)
        o->counts = 1;
    size_t n_rules = (o->n + 1) * o->counts;
    o->rules = expr_alloc(s->b, n_rules, sizeof *o->rules);
    for (size_t i = 0; o->rules != NULL && i < n_rules; i++)
        o->rules[i] = rule_declare(s->b, "members", 7);
    if (o->rules == NULL || expr_status(s->b) != STATUS_OK)
        return false;
    for (size_t i = o->n + 1; i-- > 0;)
        for (size_t count = 0; count < o->counts; count++)
            define_after(s, o, i, count);
    return true;
}

const struct expr *object_expr(struct schema *s, const struct cJSON *schema)
{
    static const char *const lacking[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++)
        if (schema_member(schema, lacking[i]) != NULL)
            schema_lacks(s, lacking[i], "");
    struct schema_object o = {.min = schema_count(s, schema, "minProperties", 0),
                              .max = schema_count(s, schema, "maxProperties", EXPR_MANY)};
    if (o.min > o.max)
        expr_fail(s->b, STATUS_INVALID,
                  "\"minProperties\" of the schema is above \"maxProperties\"");
    list_members(s, &o, schema);
    o.other = other_member(s, schema);
    if (expr_status(s->b) != STATUS_OK || !make_rules(s, &o))
        return TEXT(s, "");
    /* the first member: any that nothing needed stands before; none, if none is needed */
    struct expr_list list = {0};
    bool needed = false;
    for (size_t i = 0; i < o.n && !needed && o.max > 0; i++) {
        needed = o.members[i].needed;
        expr_list_add(s->b, &list,
                      SEQUENCE(s, space(s), o.members[i].expr, after(s, &o, i + 1, 1)));
    }
    if (!needed && o.other != NULL && o.max > 0)
        expr_list_add(s->b, &list, SEQUENCE(s, space(s), o.other, others(s, &o, 1), space(s)));
    if (!needed && o.min == 0)
        expr_list_add(s->b, &list, space(s));
    return SEQUENCE(s, TEXT(s, "{"), expr_choice(s->b, list.at, list.n), TEXT(s, "}"));
}
