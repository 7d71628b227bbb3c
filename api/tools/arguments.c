/* arguments.c - the arguments of a call as expressions, in each form. See internal.h. */
#include "api/tools/internal.h"

#include "api/schema/schema.h"

#include <cjson/cJSON.h>

#include <string.h>

static const struct cJSON *member(const struct cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

/* Another name: of letters, digits and '_'. */
static const struct expr *other_name(struct grammar_builder *b)
{
    static const struct expr_range begin[] = {{'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct expr_range more[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    return SEQUENCE(b, expr_class(b, begin, 3, false),
                    expr_repeat(b, expr_class(b, more, 4, false), 0, 63));
}

/* What a tag, a keyword or a bare name stands for is the schema's own properties: what else a
 * schema can say of an object as a whole has no place there. */
static void check_object(struct grammar_builder *b, const struct tool *tool)
{
    static const char *const known[] = {"type",  "properties", "required", "additionalProperties",
                                        "$defs", "definitions"};
    const struct cJSON *schema = tool_schema(tool);
    for (const struct cJSON *one = schema != NULL ? schema->child : NULL; one; one = one->next) {
        bool is_known = schema_only_describes(one->string);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is_known |= strcmp(one->string, known[i]) == 0;
        if (!is_known)
            expr_fail(b, STATUS_UNSUPPORTED,
                      "\"%.40s\" of the parameters as a whole is not supported in the syntax in "
                      "which this model calls tools",
                      one->string);
    }
}

static bool is_plain(const struct cJSON *schema)
{
    return schema != NULL && member(schema, "enum") == NULL && member(schema, "const") == NULL;
}

/* Whether a schema names the type, alone or among others. */
static bool names_type(const struct cJSON *schema, const char *type)
{
    const struct cJSON *types = member(schema, "type");
    bool found = cJSON_IsString(types) && strcmp(types->valuestring, type) == 0;
    for (const struct cJSON *one = types != NULL ? types->child : NULL; one; one = one->next)
        found |= cJSON_IsString(one) && strcmp(one->valuestring, type) == 0;
    return found;
}

/* A value as JSON; Python's words too. */
static const struct expr *json_value(struct grammar_builder *b, const struct cJSON *root,
                                     const struct cJSON *schema)
{
    struct expr_list list = {0};
    expr_list_add(b, &list,
                  schema != NULL ? schema_read_part(b, root, schema)
                                 : schema_read_part(b, NULL, &(struct cJSON){.type = cJSON_True}));
    if (is_plain(schema) && names_type(schema, "boolean")) {
        expr_list_add(b, &list, TEXT(b, "True"));
        expr_list_add(b, &list, TEXT(b, "False"));
    }
    if (is_plain(schema) && names_type(schema, "null"))
        expr_list_add(b, &list, TEXT(b, "None"));
    return expr_choice(b, list.at, list.n);
}

/* --- tags --- */

static const struct expr *tag_value(struct grammar_builder *b, const struct tool_tags *tags,
                                    const struct cJSON *root, const struct cJSON *schema,
                                    enum tool_value value)
{
    const struct expr *line = tags->lines ? expr_optional(b, TEXT(b, "\n")) : TEXT(b, "");
    if (value == VALUE_TEXT)
        return SEQUENCE(b, line, call_bare_string(b, root, schema, tags->value_close, tags->lines));
    if (value != VALUE_JSON)
        return SEQUENCE(b, line, call_through(b, tags->value_close));
    return SEQUENCE(
        b, line, call_before_mark(b, json_value(b, root, schema), tags->value_close, tags->lines));
}

static const struct expr *tag_arguments(struct grammar_builder *b, const struct tool_tags *tags,
                                        const struct tool *tool)
{
    struct expr_list list = {0};
    for (size_t i = 0; i < tool->n_parameters; i++) {
        const struct tool_parameter *p = &tool->parameters[i];
        const struct expr *one =
            SEQUENCE(b, TEXT(b, tags->key_open), TEXT(b, p->key),
                     call_pattern(b, tags->key_close, NULL, NULL),
                     tag_value(b, tags, tool->schema, p->schema, p->value), call_space(b));
        expr_list_add(b, &list, p->needed ? one : expr_optional(b, one));
    }
    if (tool->open) {
        const struct expr *other = SEQUENCE(
            b, TEXT(b, tags->key_open), other_name(b), call_pattern(b, tags->key_close, NULL, NULL),
            tag_value(b, tags, tool->schema, tool->other_schema, tool->other), call_space(b));
        expr_list_add(b, &list, expr_repeat(b, other, 0, EXPR_MANY));
    }
    return expr_sequence(b, list.at, list.n);
}

/* --- Python's --- */

/* 'text', of which nothing but a quote, a backslash and control characters needs an escape. */
static const struct expr *single_quoted(struct grammar_builder *b)
{
    static const struct expr_range special[] = {{0, 0x1f}, {'\'', '\''}, {'\\', '\\'}};
    const struct expr *escape = CHOICE(b, TEXT(b, "\\'"), TEXT(b, "\\\\"), TEXT(b, "\\n"));
    return SEQUENCE(
        b, TEXT(b, "'"),
        expr_repeat(b, CHOICE(b, expr_class(b, special, 3, true), escape), 0, EXPR_MANY),
        TEXT(b, "'"));
}

static const struct expr *python_value(struct grammar_builder *b, const struct cJSON *root,
                                       const struct cJSON *schema)
{
    bool free_string =
        schema == NULL || (cJSON_IsString(member(schema, "type")) && names_type(schema, "string"));
    for (const struct cJSON *one = schema != NULL ? schema->child : NULL; one; one = one->next)
        free_string &= strcmp(one->string, "type") == 0 || schema_only_describes(one->string);
    const struct expr *value = json_value(b, root, schema);
    return free_string ? CHOICE(b, value, single_quoted(b)) : value;
}

static const struct expr *python_arguments(struct grammar_builder *b, const struct tool *tool)
{
    struct tool_members m = {.n = tool->n_parameters};
    m.items = expr_alloc(b, m.n + 1, sizeof *m.items);
    m.needed = expr_alloc(b, m.n + 1, sizeof *m.needed);
    if (m.items == NULL || m.needed == NULL)
        return TEXT(b, "");
    for (size_t i = 0; i < m.n; i++) {
        const struct tool_parameter *p = &tool->parameters[i];
        m.items[i] =
            SEQUENCE(b, TEXT(b, p->key), TEXT(b, "="), python_value(b, tool->schema, p->schema));
        m.needed[i] = p->needed;
    }
    if (tool->open)
        m.other = SEQUENCE(b, other_name(b), TEXT(b, "="),
                           python_value(b, tool->schema, tool->other_schema));
    return call_members(b, &m);
}

/* --- all --- */

const struct expr *call_arguments(struct grammar_builder *b, const struct tool_family *family,
                                  const struct tool *tool)
{
    if (family->form != FORM_JSON)
        check_object(b, tool);
    switch (family->form) {
    case FORM_TAGS:
        return tag_arguments(b, family->tags, tool);
    case FORM_PYTHON:
        return python_arguments(b, tool);
    case FORM_QUOTED:
        return call_quoted(b, family, tool->schema, tool_schema(tool));
    case FORM_JSON:
        break;
    }
    return tool->schema != NULL ? schema_read(b, tool->schema) : schema_any_object(b);
}
