/* schema.c - what a schema says: references, combinations and types, down to one value each. See
 * schema.h. */
#include "api/schema/internal.h"

#include <string.h>

static const struct expr *schema_expr(struct schema *s, const struct cJSON *schema);

/* --- references --- */

/* A schema that is referred to is a rule, so that it may refer to itself. */
static const struct expr *referred(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *target = schema_resolve(s, schema);
    if (target == NULL)
        return TEXT(s, "");
    for (size_t i = 0; i < s->n_known; i++)
        if (s->known[i].schema == target)
            return expr_rule(s->b, s->known[i].rule);
    if (s->n_known == s->room) {
        struct known *more = expr_alloc(s->b, s->room = 2 * s->room + 8, sizeof *more);
        if (more == NULL)
            return TEXT(s, "");
        if (s->n_known > 0)
            memcpy(more, s->known, s->n_known * sizeof *more);
        s->known = more;
    }
    const char *name = cJSON_GetStringValue(schema_member(schema, "$ref"));
    uint32_t rule = rule_declare(s->b, name, strlen(name));
    s->known[s->n_known++] = (struct known){target, rule};
    rule_define(s->b, rule, schema_expr(s, target));
    return expr_rule(s->b, rule);
}

/* --- values --- */

/* Given values: those that all other keywords allow. */
static const struct expr *given(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *values = schema_member(schema, "enum");
    const struct cJSON *value = schema_member(schema, "const");
    struct expr_list list = {0};
    if (values != NULL && !cJSON_IsArray(values))
        expr_fail(s->b, STATUS_INVALID, "\"enum\" of the schema must be an array");
    else if (values == NULL && schema_allows(s, schema, value))
        return literal_value(s, value);
    else if (values == NULL)
        return nothing_left(s, "const");
    else
        for (const struct cJSON *one = values->child; one; one = one->next)
            if (schema_allows(s, schema, one))
                expr_list_add(s->b, &list, literal_value(s, one));
    if (list.n == 0)
        return nothing_left(s, "enum");
    return expr_choice(s->b, list.at, list.n);
}

/* true, false and null, unless "not" takes them away; of objects and arrays it cannot. */
static void add_words(struct schema *s, const struct cJSON *schema, unsigned of_types,
                      struct expr_list *list)
{
    static const struct {
        const char *text;
        struct cJSON value;
        unsigned type;
    } words[] = {{"true", {.type = cJSON_True}, T_BOOLEAN},
                 {"false", {.type = cJSON_False}, T_BOOLEAN},
                 {"null", {.type = cJSON_NULL}, T_NULL}};
    const struct cJSON *without = schema_member(schema, "not");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        bool away = (of_types & words[i].type) == 0;
        for (const struct cJSON *one = without ? without->child : NULL; one; one = one->next) {
            const struct cJSON *values = schema_member(one, "enum");
            for (const struct cJSON *v = values ? values->child : NULL; v != NULL; v = v->next) {
                away |= cJSON_Compare(v, &words[i].value, true);
                if ((type_of_value(v) & of_types & (T_OBJECT | T_ARRAY)) != 0)
                    schema_lacks(s, "not", " of objects or arrays");
            }
        }
        if (!away)
            expr_list_add(s->b, list, TEXT(s, words[i].text));
    }
}

static const struct expr *typed(struct schema *s, const struct cJSON *schema, unsigned of_types)
{
    struct expr_list list = {0};
    if (of_types & T_OBJECT)
        expr_list_add(s->b, &list, object_expr(s, schema));
    if (of_types & T_ARRAY)
        expr_list_add(s->b, &list, array_expr(s, schema));
    if (of_types & T_STRING)
        expr_list_add(s->b, &list, string_expr(s, schema));
    if (of_types & T_NUMBER)
        expr_list_add(s->b, &list, number_expr(s, schema));
    else if (of_types & T_INTEGER)
        expr_list_add(s->b, &list, integer_expr(s, schema));
    add_words(s, schema, of_types, &list);
    return expr_choice(s->b, list.at, list.n);
}

/* --- combinations --- */

static const struct expr *any_branch(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *branches = schema_member(schema, "anyOf");
    struct expr_list list = {0};
    for (const struct cJSON *one = branches->child; one && expr_status(s->b) == STATUS_OK;
         one = one->next)
        expr_list_add(
            s->b, &list,
            schema_expr(s, compose_all(s, schema, (const char *const[]){"anyOf", NULL}, &one, 1)));
    return expr_choice(s->b, list.at, list.n);
}

/* Each branch, without what others hold too. */
static const struct expr *one_branch(struct schema *s, const struct cJSON *schema)
{
    const struct cJSON *branches = schema_member(schema, "oneOf");
    struct expr_list list = {0};
    for (const struct cJSON *a = branches->child; a && expr_status(s->b) == STATUS_OK;
         a = a->next) {
        const struct cJSON *branch = a;
        for (const struct cJSON *z = branches->child; z != NULL && branch != NULL; z = z->next)
            if (z != a && !schemas_exclude(s, branch, z))
                branch = schema_keep_out(s, branch, z);
        if (branch == NULL) {
            schema_lacks(s, "oneOf", " whose branches do not exclude each other");
            break;
        }
        expr_list_add(s->b, &list,
                      schema_expr(s, compose_all(s, schema, (const char *const[]){"oneOf", NULL},
                                                 &branch, 1)));
    }
    return expr_choice(s->b, list.at, list.n);
}

static bool is_choice(struct schema *s, const struct cJSON *schema, const char *keyword)
{
    const struct cJSON *branches = schema_member(schema, keyword);
    if (branches != NULL && (!cJSON_IsArray(branches) || branches->child == NULL))
        expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be an array of schemas",
                  keyword);
    return branches != NULL;
}

static const struct expr *object_schema(struct schema *s, const struct cJSON *schema)
{
    const unsigned spoken_of = schema_keywords(s, schema);
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (only_refers(schema))
        return referred(s, schema);
    if (schema_member(schema, "$ref") || schema_member(schema, "allOf") ||
        schema_has_conditions(schema)) {
        const struct cJSON *plain = schema_plain(s, schema);
        return plain != NULL ? schema_expr(s, plain) : TEXT(s, "");
    }
    const bool any = is_choice(s, schema, "anyOf"), one = is_choice(s, schema, "oneOf");
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (schema_member(schema, "enum") != NULL || schema_member(schema, "const") != NULL)
        return given(s, schema);
    if (any)
        return any_branch(s, schema);
    if (one)
        return one_branch(s, schema);
    unsigned of_types = schema_types(s, schema, spoken_of);
    const bool free = of_types == T_ALL && spoken_of == 0 && !schema_member(schema, "not");
    return free ? any_value(s) : typed(s, schema, of_types);
}

static const struct expr *schema_expr(struct schema *s, const struct cJSON *schema)
{
    const struct expr *e;
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (++s->depth > SCHEMA_DEPTH)
        expr_fail(s->b, STATUS_TOO_LARGE, "the schema is nested more than %d deep", SCHEMA_DEPTH);
    if (cJSON_IsTrue(schema))
        e = any_value(s);
    else if (cJSON_IsFalse(schema))
        e = nothing_left(s, "false");
    else if (cJSON_IsObject(schema))
        e = object_schema(s, schema);
    else {
        expr_fail(s->b, STATUS_INVALID, "a schema must be an object, true or false");
        e = TEXT(s, "");
    }
    s->depth--;
    return e;
}

/* --- the whole --- */

static struct schema begin(struct grammar_builder *b, const struct cJSON *schema)
{
    return (struct schema){.b = b,
                           .read = schema_expr,
                           .root = schema,
                           .merged = cJSON_CreateArray(),
                           .string = NO_RULE,
                           .number = NO_RULE,
                           .value = NO_RULE,
                           .object = NO_RULE,
                           .array = NO_RULE,
                           .space = NO_RULE};
}

const struct expr *schema_read_part(struct grammar_builder *b, const struct cJSON *root,
                                    const struct cJSON *part)
{
    struct schema s = begin(b, root);
    if (s.merged == NULL)
        expr_fail(b, STATUS_NO_MEMORY, "out of memory for a schema");
    const struct expr *e = schema_expr(&s, part);
    cJSON_Delete(s.merged);
    return e;
}

const struct expr *schema_read(struct grammar_builder *b, const struct cJSON *schema)
{
    return schema_read_part(b, schema, schema);
}

const struct expr *schema_any_object(struct grammar_builder *b)
{
    struct schema s = begin(b, NULL);
    const struct expr *e = any_object(&s);
    cJSON_Delete(s.merged);
    return e;
}
