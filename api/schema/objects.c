/* objects.c - objects of JSON: the schema's members in its order, then others where they may come.
 *
 * What may follow member i is one rule, called from each member that i can come after: the
 * automaton grows with the number of members, not with that of their subsets. Where the number of
 * members is bounded, there is a rule for each member and each number. See schema.h.
 */
#include "api/schema/internal.h"

#include "base/utf8.h"
#include "grammar/regular.h"

#include <stdlib.h>
#include <string.h>

enum {
    PATTERNS_MOST = 8,
    PATTERNS_MIXED = 3, /* of which one name may match several */
};

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

/* --- members by the patterns of their names --- */

/* Each character in one way, so that names can be told apart. */
static const struct expr *any_name(struct schema *s)
{
    return expr_repeat(s->b, character_of(s, NULL, 0, true), 0, EXPR_MANY);
}

struct name_patterns {
    const struct cJSON *at[PATTERNS_MOST]; /* members of "patternProperties" */
    const struct expr *inside[PATTERNS_MOST];
    size_t n;
    const struct expr *listed;  /* names of "properties", inside the quotes; NULL: none */
    const struct expr *allowed; /* by "propertyNames"; NULL: all */
};

/* The names that a schema of names allows, between the quotes. */
static const struct expr *names_inside(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *names = schema_plain(s, schema);
    const struct cJSON *values = schema_member(names, "enum"),
                       *value = schema_member(names, "const");
    const struct cJSON *branches = schema_member(names, "anyOf");
    struct expr_list list = {0};
    if (values != NULL || value != NULL) {
        for (const struct cJSON *one = values ? values->child : value; one != NULL;
             one = values ? one->next : NULL)
            if (cJSON_IsString(one) && schema_allows(s, names, one))
                expr_list_add(s->b, &list,
                              literal_characters(s, one->valuestring, strlen(one->valuestring)));
    } else if (branches != NULL) {
        const char *const without[] = {"anyOf", NULL};
        for (const struct cJSON *one = branches->child;
             one != NULL && expr_status(s->b) == STATUS_OK; one = one->next)
            expr_list_add(s->b, &list, names_inside(s, compose_all(s, names, without, &one, 1)));
    } else if (names != NULL && !cJSON_IsFalse(names)) {
        if (schema_member(names, "oneOf"))
            schema_lacks(s, "oneOf", " of members' names");
        const struct expr *inside = cJSON_IsObject(names) ? string_inside(s, names, true) : NULL;
        if (schema_member(names, "type") == NULL || (schema_types(s, names, 0) & T_STRING) != 0)
            expr_list_add(s->b, &list, inside != NULL ? inside : any_name(s));
    }
    return expr_choice(s->b, list.at, list.n);
}

static struct name_patterns read_patterns(struct schema *s, const struct cJSON *schema)
{
    struct name_patterns p = {.n = 0};
    const struct cJSON *patterns = schema_member(schema, "patternProperties");
    const struct cJSON *properties = schema_member(schema, "properties");
    const struct cJSON *names = schema_member(schema, "propertyNames");
    struct expr_list list = {0};
    for (const struct cJSON *one = patterns ? patterns->child : NULL; one != NULL;
         one = one->next) {
        if (p.n == PATTERNS_MOST) {
            schema_lacks(s, "patternProperties", " of more than 8 patterns");
            break;
        }
        p.at[p.n] = one;
        p.inside[p.n++] = pattern_inside(s, one->string);
    }
    for (const struct cJSON *one = properties ? properties->child : NULL; one; one = one->next)
        expr_list_add(s->b, &list, literal_characters(s, one->string, strlen(one->string)));
    p.listed = list.n > 0 ? expr_choice(s->b, list.at, list.n) : NULL;
    if (names != NULL && !cJSON_IsTrue(names))
        p.allowed = names_inside(s, names);
    return p;
}

/* Members whose names match the patterns of a set, and no other one. */
static void add_group(struct schema *s, const struct name_patterns *p, size_t set,
                      const struct cJSON *additional, struct expr_list *out)
{
    const struct expr *name = any_name(s);
    const struct cJSON *value = set == 0 ? additional : NULL;
    if (p->allowed != NULL)
        name = expr_both(s->b, name, p->allowed);
    for (size_t i = 0; i < p->n; i++) {
        const bool in = (set >> i & 1) != 0;
        name = in ? expr_both(s->b, name, p->inside[i]) : expr_but(s->b, name, p->inside[i]);
        if (in)
            value = value == NULL ? p->at[i] : compose_both(s, value, p->at[i]);
    }
    if (p->listed != NULL)
        name = expr_but(s->b, name, p->listed);
    if (cJSON_IsFalse(value) || regular_is_empty(s->b, name) || expr_status(s->b) != STATUS_OK)
        return;
    expr_list_add(s->b, out,
                  named(s, quoted(s, name),
                        value == NULL || cJSON_IsTrue(value) ? any_value(s) : s->read(s, value)));
}

/* Sets of patterns that some name may match at once: all of few, else each alone. */
static const struct expr *members_by_pattern(struct schema *s, const struct cJSON *schema,
                                             const struct cJSON *additional)
{
    const struct name_patterns p = read_patterns(s, schema);
    struct expr_list list = {0};
    const bool few = p.n <= PATTERNS_MIXED;
    for (size_t i = 0; !few && i < p.n; i++)
        for (size_t k = i + 1; k < p.n; k++)
            if (!regular_is_empty(s->b, expr_both(s->b, p.inside[i], p.inside[k])))
                schema_lacks(s, "patternProperties", " of many patterns that overlap");
    for (size_t set = 0; set < (size_t)1 << p.n && expr_status(s->b) == STATUS_OK; set++)
        if (few || (set & (set - 1)) == 0)
            add_group(s, &p, set, additional, &list);
    return list.n > 0 ? expr_choice(s->b, list.at, list.n) : NULL;
}

static const struct expr *other_member(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *patterns = schema_member(schema, "patternProperties");
    const struct cJSON *additional = schema_member(schema, "additionalProperties");
    const struct cJSON *names = schema_member(schema, "propertyNames");
    if (additional == NULL)
        additional = schema_member(schema, "unevaluatedProperties");
    if ((patterns != NULL && patterns->child != NULL) || (names != NULL && !cJSON_IsTrue(names)))
        return members_by_pattern(s, schema, additional);
    if (cJSON_IsFalse(additional))
        return NULL;
    const struct expr *value =
        additional == NULL || cJSON_IsTrue(additional) ? any_value(s) : s->read(s, additional);
    return named(s, other_name(s, schema_member(schema, "properties")), value);
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

/* What a listed member is by its name's patterns too. */
static const struct cJSON *listed_value(struct schema *s, const struct cJSON *schema,
                                        const struct cJSON *member)
{
    const struct cJSON *patterns = schema_member(schema, "patternProperties");
    const struct cJSON *names = schema_member(schema, "propertyNames"), *out = member;
    const struct cJSON name = {.type = cJSON_String, .valuestring = member->string};
    if (names != NULL && !schema_allows(s, names, &name))
        return compose_bool(s, false);
    for (const struct cJSON *one = patterns ? patterns->child : NULL; one && out; one = one->next)
        if (name_matches(s, member->string, one->string))
            out = compose_both(s, out, one);
    return out;
}

/* What a member is that is not listed: by its name's patterns, or as all others. */
static const struct cJSON *unlisted_value(struct schema *s, const struct cJSON *schema,
                                          const char *name, const struct cJSON *additional)
{
    const struct cJSON *patterns = schema_member(schema, "patternProperties"), *out = NULL;
    const struct cJSON *any = compose_bool(s, true);
    for (const struct cJSON *one = patterns ? patterns->child : NULL; one; one = one->next)
        if (name_matches(s, name, one->string))
            out = out == NULL ? one : compose_both(s, out, one);
    if (out == NULL)
        out = additional != NULL ? additional : any;
    return out;
}

static void list_members(struct schema *s, struct schema_object *o, const struct cJSON *schema)
{
    const struct cJSON *properties = schema_member(schema, "properties");
    const struct cJSON *required = schema_member(schema, "required");
    const struct cJSON *additional = schema_member(schema, "additionalProperties");
    size_t most = 0;
    if (additional == NULL)
        additional = schema_member(schema, "unevaluatedProperties");
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
        const struct cJSON *value = listed_value(s, schema, one);
        if (value != NULL && (!cJSON_IsFalse(value) || needed))
            add_member(s, o, one->string, s->read(s, value), needed);
    }
    for (const struct cJSON *one = required ? required->child : NULL; one; one = one->next) {
        if (!cJSON_IsString(one) || is_listed(properties, one->valuestring))
            continue; /* needed and not described: any other member of this name */
        const struct cJSON *like = unlisted_value(s, schema, one->valuestring, additional);
        if (cJSON_IsFalse(like))
            add_member(s, o, one->valuestring, nothing_left(s, "required"), true);
        else if (like != NULL)
            add_member(s, o, one->valuestring, s->read(s, like), true);
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

/* Other members up to the end: some have come already. Two of them may have the same name, so that
 * only one counts for the least number. */
static const struct expr *others(struct schema *s, const struct schema_object *o, size_t count,
                                 bool has_other)
{
    const uint32_t least = o->min > count ? o->min - (uint32_t)count : 0;
    const uint32_t most = o->max == EXPR_MANY ? EXPR_MANY
                          : o->max > count    ? o->max - (uint32_t)count
                                              : 0;
    if (least > (has_other ? 0u : 1u) || least > most || (o->other == NULL && least > 0))
        return expr_choice(s->b, NULL, 0);
    if (o->other == NULL)
        return TEXT(s, "");
    const struct expr *more = SEQUENCE(s, TEXT(s, ","), space(s), o->other);
    return expr_repeat(s->b, more, least, most);
}

/* The rule for members from i on, where at least one has come. */
static void define_after(struct schema *s, const struct schema_object *o, size_t i, size_t count)
{
    struct expr_list list = {0};
    if (i == o->n) {
        expr_list_add(s->b, &list, SEQUENCE(s, others(s, o, count, false), space(s)));
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
    struct schema_object o = {.min = schema_count(s, schema, "minProperties", 0),
                              .max = schema_count(s, schema, "maxProperties", EXPR_MANY)};
    if (o.min > o.max)
        expr_fail(s->b, STATUS_INVALID,
                  "\"minProperties\" of the schema is above \"maxProperties\"");
    list_members(s, &o, schema);
    o.other = other_member(s, schema);
    if (o.min > o.n + 1 && o.other != NULL)
        schema_lacks(s, "minProperties", " of several members whose names are not listed");
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
        expr_list_add(s->b, &list,
                      SEQUENCE(s, space(s), o.other, others(s, &o, 1, true), space(s)));
    if (!needed && o.min == 0)
        expr_list_add(s->b, &list, space(s));
    return SEQUENCE(s, TEXT(s, "{"), expr_choice(s->b, list.at, list.n), TEXT(s, "}"));
}
