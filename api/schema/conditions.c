/* conditions.c - conditions of a schema (not, if, dependentRequired, ...) as choices of schemas,
 * for which it takes the schema of all values that another does not allow. See internal.h.
 *
 * A negation holds where one of the keywords fails: a choice of schemas, each of one type. What can
 * only be taken away from a type's texts (given values, patterns) stays as "not": an array of
 * {"enum": ...} and {"pattern": ...}, which strings, numbers and given values look at.
 */
#include "api/schema/internal.h"

#include <string.h>

enum { PARTS_MOST = 64 };

static const char *const conditions[] = {
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", NULL};

bool schema_has_conditions(const struct cJSON *schema)
{
    for (size_t i = 0; conditions[i] != NULL; i++) {
        const struct cJSON *value = schema_member(schema, conditions[i]);
        if (value != NULL && !(i == 0 && cJSON_IsArray(value)))
            return true;
    }
    return false;
}

/* --- negation --- */

struct negating {
    struct schema *s;
    const char *keyword; /* that asks: for refusals */
    const struct cJSON *parts[PARTS_MOST];
    size_t n;
};

static void refuse(struct negating *g, const char *name)
{
    expr_fail(g->s->b, STATUS_UNSUPPORTED,
              "\"%s\" of a JSON Schema, with \"%.60s\" inside, is not supported", g->keyword, name);
}

static void add(struct negating *g, const struct cJSON *part)
{
    if (g->n == PARTS_MOST)
        refuse(g, "properties");
    else if (part != NULL && !cJSON_IsFalse(part))
        g->parts[g->n++] = part;
}

/* {"type": type, keyword: value + step}, where the bound is one that counts. */
static void add_bound(struct negating *g, const struct cJSON *value, const char *type,
                      const char *keyword, double step)
{
    struct cJSON *out = compose_object(g->s);
    if (!cJSON_IsNumber(value))
        refuse(g, value->string);
    else if (out != NULL && (step == 0 || value->valuedouble + step >= 0)) {
        compose_put_string(g->s, out, "type", type);
        compose_put_number(g->s, out, keyword, value->valuedouble + step);
        add(g, out);
    }
}

static const struct {
    const char *name, *type, *opposite;
    double step;
} bounds[] = {
    {"minimum", "number", "exclusiveMaximum", 0},
    {"exclusiveMinimum", "number", "maximum", 0},
    {"maximum", "number", "exclusiveMinimum", 0},
    {"exclusiveMaximum", "number", "minimum", 0},
    {"minLength", "string", "maxLength", -1},
    {"maxLength", "string", "minLength", 1},
    {"minItems", "array", "maxItems", -1},
    {"maxItems", "array", "minItems", 1},
    {"minProperties", "object", "maxProperties", -1},
    {"maxProperties", "object", "minProperties", 1},
};

static bool negate_bound(struct negating *g, const struct cJSON *value)
{
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (strcmp(value->string, bounds[i].name) == 0) {
            add_bound(g, value, bounds[i].type, bounds[i].opposite, bounds[i].step);
            return true;
        }
    return false;
}

/* An object whose member `name` is like value; NULL: there is one. */
static const struct cJSON *with_member(struct schema *s, const char *name,
                                       const struct cJSON *value)
{
    struct cJSON *members = compose_object(s), *needed = compose_array(s);
    if (members == NULL || needed == NULL)
        return NULL;
    compose_put(s, members, name, value);
    const struct cJSON *out = compose_one(s, "object", "properties", members);
    struct cJSON *text = cJSON_CreateString(name);
    if (text == NULL || !cJSON_AddItemToArray(needed, text)) {
        cJSON_Delete(text);
        expr_fail(s->b, STATUS_NO_MEMORY, "out of memory for a schema");
        return NULL;
    }
    if (!cJSON_IsFalse(value))
        compose_put(s, (struct cJSON *)(uintptr_t)out, "required", needed);
    return out;
}

/* Values taken away from whatever may be: "not" as an array. */
static void add_without(struct negating *g, const char *type, const char *keyword,
                        const struct cJSON *value)
{
    struct cJSON *list = compose_array(g->s);
    compose_add(g->s, list, compose_one(g->s, NULL, keyword, value));
    add(g, compose_one(g->s, type, "not", list));
}

static void negate_type(struct negating *g, const struct cJSON *schema)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {{"object", T_OBJECT}, {"array", T_ARRAY},     {"string", T_STRING},
                 {"number", T_NUMBER}, {"boolean", T_BOOLEAN}, {"null", T_NULL}};
    unsigned bits = schema_types(g->s, schema, 0);
    struct cJSON *out = compose_object(g->s), *list = compose_array(g->s);
    if (out == NULL || list == NULL)
        return;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((bits & (types[i].bit | (types[i].bit == T_NUMBER ? T_INTEGER : 0u))) == 0)
            cJSON_AddItemToArray(list, cJSON_CreateString(types[i].name));
    compose_put(g->s, out, "type", list);
    if (list->child != NULL)
        add(g, out);
    if ((bits & T_INTEGER) != 0 && (bits & T_NUMBER) == 0) { /* numbers that are no integers */
        struct cJSON *one = cJSON_CreateNumber(1);
        if (one != NULL && cJSON_AddItemToArray(g->s->merged, one))
            add_without(g, "number", "multipleOf", one);
    }
}

static void negate_members(struct negating *g, const struct cJSON *properties)
{
    for (const struct cJSON *one = properties->child; one != NULL; one = one->next) {
        const struct cJSON *value = negate(g->s, one, g->keyword);
        if (value != NULL && !cJSON_IsFalse(value))
            add(g, with_member(g->s, one->string, value));
    }
}

static void negate_required(struct negating *g, const struct cJSON *required)
{
    for (const struct cJSON *one = required->child; one != NULL; one = one->next)
        if (cJSON_IsString(one))
            add(g, with_member(g->s, one->valuestring, compose_bool(g->s, false)));
}

static void negate_combination(struct negating *g, const struct cJSON *list)
{
    const struct cJSON *parts[PARTS_MOST];
    size_t n = 0;
    for (const struct cJSON *one = list->child; one != NULL && n < PARTS_MOST; one = one->next)
        parts[n++] = negate(g->s, one, g->keyword);
    if (n == PARTS_MOST)
        refuse(g, list->string);
    if (expr_status(g->s->b) != STATUS_OK)
        return;
    if (strcmp(list->string, "anyOf") == 0)
        add(g, compose_list(g->s, "allOf", parts, n));
    for (size_t i = 0; strcmp(list->string, "allOf") == 0 && i < n; i++)
        add(g, parts[i]);
}

static void negate_keyword(struct negating *g, const struct cJSON *schema,
                           const struct cJSON *value)
{
    const char *name = value->string;
    if (schema_only_describes(name) || negate_bound(g, value))
        return;
    if (strcmp(name, "type") == 0)
        negate_type(g, schema);
    else if (strcmp(name, "enum") == 0 && cJSON_IsArray(value))
        add_without(g, NULL, "enum", value);
    else if (strcmp(name, "const") == 0) {
        struct cJSON *list = compose_array(g->s);
        compose_add(g->s, list, value);
        add_without(g, NULL, "enum", list);
    } else if (strcmp(name, "pattern") == 0 && cJSON_IsString(value))
        add_without(g, "string", "pattern", value);
    else if (strcmp(name, "required") == 0 && cJSON_IsArray(value))
        negate_required(g, value);
    else if (strcmp(name, "properties") == 0)
        negate_members(g, value);
    else if (strcmp(name, "contains") == 0 && !schema_member(schema, "minContains") &&
             !schema_member(schema, "maxContains"))
        add(g, compose_one(g->s, "array", "items", negate(g->s, value, g->keyword)));
    else if (strcmp(name, "items") == 0 && !cJSON_IsArray(value) &&
             !schema_member(schema, "prefixItems"))
        add(g, compose_one(g->s, "array", "contains", negate(g->s, value, g->keyword)));
    else if ((strcmp(name, "allOf") == 0 || strcmp(name, "anyOf") == 0) && cJSON_IsArray(value))
        negate_combination(g, value);
    else if (strcmp(name, "not") == 0 && !cJSON_IsArray(value))
        add(g, value);
    else
        refuse(g, name);
}

const struct cJSON *negate(struct schema *s, const struct cJSON *schema, const char *keyword)
{
    struct negating g = {.s = s, .keyword = keyword};
    if (++s->depth > SCHEMA_DEPTH)
        expr_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep", SCHEMA_DEPTH);
    if (cJSON_IsObject(schema) && schema_member(schema, "$ref") != NULL) {
        const struct cJSON *target = schema_resolve(s, schema);
        if (target != NULL)
            schema = compose_all(s, schema, (const char *const[]){"$ref", NULL}, &target, 1);
    }
    if (cJSON_IsObject(schema) && schema_has_conditions(schema))
        schema = schema_rewrite(s, schema);
    if (schema == NULL || expr_status(s->b) != STATUS_OK)
        return NULL;
    if (!cJSON_IsObject(schema)) {
        s->depth--;
        return compose_bool(s, cJSON_IsFalse(schema));
    }
    schema_keywords(s, schema);
    for (const struct cJSON *one = schema->child; one && expr_status(s->b) == STATUS_OK;
         one = one->next)
        negate_keyword(&g, schema, one);
    s->depth--;
    if (expr_status(s->b) != STATUS_OK)
        return NULL;
    if (g.n == 0)
        return compose_bool(s, false);
    return g.n == 1 ? g.parts[0] : compose_list(s, "anyOf", g.parts, g.n);
}

/* --- conditions --- */

static const struct cJSON *if_then_else(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *condition = schema_member(schema, "if");
    const struct cJSON *then = schema_member(schema, "then"),
                       *other = schema_member(schema, "else");
    if (condition == NULL || (then == NULL && other == NULL))
        return NULL;
    const struct cJSON *opposite = negate(s, condition, "if");
    if (opposite == NULL)
        return NULL;
    const struct cJSON *ways[] = {
        then != NULL ? compose_both(s, condition, then) : condition,
        other != NULL ? compose_both(s, opposite, other) : opposite,
    };
    return compose_list(s, "anyOf", ways, 2);
}

/* Where there is a member of this name, what follows from that; else no such member. */
static const struct cJSON *dependent(struct schema *s, const struct cJSON *follows)
{
    struct cJSON *members = compose_object(s), *name = compose_array(s);
    struct cJSON *needs = compose_object(s);
    if (members == NULL || name == NULL || needs == NULL)
        return NULL;
    compose_put(s, members, follows->string, compose_bool(s, false));
    struct cJSON *text = cJSON_CreateString(follows->string);
    if (text == NULL || !cJSON_AddItemToArray(name, text))
        return NULL;
    for (const struct cJSON *one = cJSON_IsArray(follows) ? follows->child : NULL; one;
         one = one->next)
        compose_add(s, name, one);
    compose_put(s, needs, "required", name);
    const struct cJSON *ways[] = {compose_one(s, NULL, "properties", members),
                                  cJSON_IsArray(follows) ? needs : compose_both(s, needs, follows)};
    return compose_list(s, "anyOf", ways, 2);
}

const struct cJSON *schema_rewrite(struct schema *s, const struct cJSON *schema)
{
    static const char *const dependents[] = {"dependentRequired", "dependentSchemas",
                                             "dependencies"};
    const struct cJSON *parts[PARTS_MOST], *without = schema_member(schema, "not");
    const struct cJSON *unevaluated = schema_member(schema, "unevaluatedProperties");
    /* a condition that fails has evaluated nothing, and its opposite lists its members */
    if (unevaluated != NULL && !cJSON_IsTrue(unevaluated) &&
        (schema_member(schema, "if") != NULL || cJSON_IsObject(without)))
        schema_lacks(s, "unevaluatedProperties", " beside \"if\" or \"not\"");
    const struct cJSON *choice = if_then_else(s, schema);
    size_t n = 0;
    if (choice != NULL)
        parts[n++] = choice;
    if (without != NULL && !cJSON_IsArray(without))
        parts[n++] = negate(s, without, "not");
    for (size_t i = 0; i < sizeof dependents / sizeof *dependents; i++) {
        const struct cJSON *all = schema_member(schema, dependents[i]);
        for (const struct cJSON *one = all ? all->child : NULL; one != NULL; one = one->next) {
            if (n == PARTS_MOST)
                schema_lacks(s, dependents[i], " of so many members");
            else
                parts[n++] = dependent(s, one);
        }
    }
    if (expr_status(s->b) != STATUS_OK)
        return NULL;
    const bool keeps_not = cJSON_IsArray(without);
    return compose_all(s, schema, keeps_not ? conditions + 1 : conditions, parts, n);
}
