/* quoted_grammar.c - values whose strings have marks of their own (Gemma's), as expressions. What
 * a schema says beyond types, members and elements is written as JSON, which quoted.c reads too. */
#include "api/tools/internal.h"

#include "api/schema/schema.h"

#include <cjson/cJSON.h>

#include <string.h>

enum { QUOTED_DEPTH = 16 };

struct writing {
    struct grammar_builder *b;
    const char *mark;
    const struct cJSON *root;
    unsigned depth;
    bool has_any;
    uint32_t any; /* the rule of any value */
};

static const struct cJSON *member(const struct cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

static const struct expr *value_of(struct writing *w, const struct cJSON *schema);

static const struct expr *string_of(struct writing *w, const struct cJSON *schema)
{
    return SEQUENCE(w->b, TEXT(w->b, w->mark),
                    call_bare_string(w->b, w->root, schema, w->mark, false));
}

static const struct expr *json_of(struct writing *w, const struct cJSON *schema)
{
    return schema_read_part(w->b, w->root, schema);
}

static const struct expr *of_type(struct writing *w, const char *type)
{
    const struct cJSON name = {.type = cJSON_String,
                               .valuestring = (char *)(uintptr_t)type,
                               .string = (char *)(uintptr_t) "type"};
    struct cJSON schema = {.type = cJSON_Object};
    schema.child = (struct cJSON *)(uintptr_t)&name;
    return schema_read_part(w->b, NULL, &schema);
}

/* Another member's name. */
static const struct expr *other_key(struct grammar_builder *b)
{
    static const struct expr_range begin[] = {{'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct expr_range more[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    return SEQUENCE(b, expr_class(b, begin, 3, false),
                    expr_repeat(b, expr_class(b, more, 4, false), 0, 63), TEXT(b, ":"));
}

static const struct expr *listed(struct grammar_builder *b, const char *open,
                                 const struct expr *item, uint32_t min, uint32_t max,
                                 const char *close)
{
    const struct expr *more = SEQUENCE(b, TEXT(b, ","), item);
    const struct expr *some = max == 0
                                  ? TEXT(b, "")
                                  : SEQUENCE(b, item,
                                             expr_repeat(b, more, min > 0 ? min - 1 : 0,
                                                         max == EXPR_MANY ? EXPR_MANY : max - 1));
    return SEQUENCE(b, TEXT(b, open), min > 0 ? some : expr_optional(b, some), TEXT(b, close));
}

/* Any value: one rule. */
static const struct expr *any_of(struct writing *w)
{
    struct grammar_builder *b = w->b;
    if (!w->has_any) {
        w->has_any = true;
        w->any = rule_declare(b, "value", 5);
        const struct expr *any = expr_rule(b, w->any);
        rule_define(b, w->any,
                    CHOICE(b, string_of(w, NULL), of_type(w, "number"), TEXT(b, "true"),
                           TEXT(b, "false"), TEXT(b, "null"), TEXT(b, "None"),
                           listed(b, "[", any, 0, EXPR_MANY, "]"),
                           listed(b, "{", SEQUENCE(b, other_key(b), any), 0, EXPR_MANY, "}")));
    }
    return expr_rule(b, w->any);
}

/* Whether all keywords are among those, or say nothing. */
static bool has_only(const struct cJSON *schema, const char *const *words, size_t n)
{
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next) {
        bool known = schema_only_describes(one->string);
        for (size_t i = 0; i < n; i++)
            known |= strcmp(one->string, words[i]) == 0;
        if (!known)
            return false;
    }
    return true;
}

/* A name that can stand bare. */
static bool is_bare(const char *name)
{
    return name[0] != '\0' && strpbrk(name, ":,{}[]\"\\<> \t\r\n") == NULL;
}

static const struct expr *object_of(struct writing *w, const struct cJSON *schema)
{
    static const char *const words[] = {"type",  "properties", "required", "additionalProperties",
                                        "$defs", "definitions"};
    struct grammar_builder *b = w->b;
    const struct cJSON *properties = member(schema, "properties");
    const struct cJSON *required = member(schema, "required");
    const struct cJSON *additional = member(schema, "additionalProperties");
    bool simple = has_only(schema, words, sizeof words / sizeof words[0]);
    for (const struct cJSON *one = properties ? properties->child : NULL; one; one = one->next)
        simple &= is_bare(one->string);
    for (const struct cJSON *one = required ? required->child : NULL; one; one = one->next)
        simple &= cJSON_IsString(one) && member(properties, one->valuestring) != NULL;
    if (!simple)
        return json_of(w, schema);
    size_t n = properties != NULL ? (size_t)cJSON_GetArraySize(properties) : 0;
    struct tool_members m = {.items = expr_alloc(b, n + 1, sizeof *m.items),
                             .needed = expr_alloc(b, n + 1, sizeof *m.needed)};
    if (m.items == NULL || m.needed == NULL)
        return TEXT(b, "");
    for (const struct cJSON *one = properties ? properties->child : NULL; one; one = one->next) {
        m.items[m.n] = SEQUENCE(b, TEXT(b, one->string), TEXT(b, ":"), value_of(w, one));
        for (const struct cJSON *name = required ? required->child : NULL; name; name = name->next)
            m.needed[m.n] |= strcmp(name->valuestring, one->string) == 0;
        m.n++;
    }
    if (cJSON_IsObject(additional) || cJSON_IsTrue(additional) || n == 0)
        m.other = cJSON_IsFalse(additional)
                      ? NULL
                      : SEQUENCE(b, other_key(b),
                                 value_of(w, cJSON_IsObject(additional) ? additional : NULL));
    return SEQUENCE(b, TEXT(b, "{"), call_members(b, &m), TEXT(b, "}"));
}

static uint32_t count(const struct cJSON *schema, const char *name, uint32_t otherwise)
{
    const struct cJSON *value = member(schema, name);
    return cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble < 1e6
               ? (uint32_t)value->valuedouble
               : otherwise;
}

static const struct expr *array_of(struct writing *w, const struct cJSON *schema)
{
    static const char *const words[] = {"type", "items", "minItems", "maxItems"};
    uint32_t min = count(schema, "minItems", 0), max = count(schema, "maxItems", EXPR_MANY);
    if (!has_only(schema, words, sizeof words / sizeof words[0]) || min > max)
        return json_of(w, schema);
    return listed(w->b, "[", value_of(w, member(schema, "items")), min, max, "]");
}

static const struct expr *value_of(struct writing *w, const struct cJSON *schema)
{
    const char *type = cJSON_GetStringValue(member(schema, "type"));
    if (schema == NULL || cJSON_IsTrue(schema) || (cJSON_IsObject(schema) && !schema->child))
        return any_of(w);
    if (type == NULL || w->depth == QUOTED_DEPTH)
        return json_of(w, schema);
    w->depth++;
    const struct expr *out = strcmp(type, "string") == 0   ? string_of(w, schema)
                             : strcmp(type, "object") == 0 ? object_of(w, schema)
                             : strcmp(type, "array") == 0  ? array_of(w, schema)
                                                           : json_of(w, schema);
    w->depth--;
    return out;
}

const struct expr *call_quoted(struct grammar_builder *b, const struct tool_family *family,
                               const struct cJSON *root, const struct cJSON *schema)
{
    struct writing w = {.b = b, .mark = family->tags->value_close, .root = root};
    return schema != NULL
               ? object_of(&w, schema)
               : listed(b, "{", SEQUENCE(b, other_key(b), any_of(&w)), 0, EXPR_MANY, "}");
}
