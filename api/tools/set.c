/* set.c - tools as a request names them: names, schemas, and what each parameter's values are. See
 * set.h. */
#include "api/tools/set.h"

#include "api/json/json.h"
#include "api/schema/schema.h"
#include "base/append.h"
#include "base/chars.h"

#include <cjson/cJSON.h>

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { REFERENCES = 32 }; /* followed one from the other */

static const struct cJSON *member(const struct cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

/* --- what a parameter's values are --- */

enum { KIND_STRING = 1, KIND_NULL = 2, KIND_OTHER = 4, KIND_ALL = 7 };

static unsigned kind_of_name(const char *type)
{
    if (type == NULL)
        return KIND_ALL;
    return strcmp(type, "string") == 0 ? KIND_STRING
           : strcmp(type, "null") == 0 ? KIND_NULL
                                       : KIND_OTHER;
}

static unsigned kind_of_value(const struct cJSON *value)
{
    return cJSON_IsString(value) ? KIND_STRING : cJSON_IsNull(value) ? KIND_NULL : KIND_OTHER;
}

static unsigned kinds_of(const struct cJSON *root, const struct cJSON *schema, unsigned depth);

static unsigned kinds_of_all(const struct cJSON *root, const struct cJSON *list, unsigned depth)
{
    unsigned kinds = 0;
    for (const struct cJSON *one = list->child; one != NULL; one = one->next)
        kinds |= kinds_of(root, one, depth);
    return kinds;
}

/* Kinds of values that a schema may allow. */
static unsigned kinds_of(const struct cJSON *root, const struct cJSON *schema, unsigned depth)
{
    const struct cJSON *found;
    unsigned kinds = KIND_ALL;
    if (depth == REFERENCES || !cJSON_IsObject(schema))
        return KIND_ALL;
    if ((found = member(schema, "$ref")) != NULL) {
        const struct cJSON *target = schema_at(root, cJSON_GetStringValue(found));
        kinds &= target != NULL ? kinds_of(root, target, depth + 1) : KIND_ALL;
    }
    if ((found = member(schema, "type")) != NULL) {
        unsigned named = cJSON_IsString(found) ? kind_of_name(found->valuestring) : 0;
        for (const struct cJSON *one = found->child; one != NULL; one = one->next)
            named |= kind_of_name(cJSON_GetStringValue(one));
        if (cJSON_IsTrue(member(schema, "nullable")))
            named |= KIND_NULL;
        kinds &= named;
    }
    if ((found = member(schema, "const")) != NULL)
        kinds &= kind_of_value(found);
    if ((found = member(schema, "enum")) != NULL) {
        unsigned named = 0;
        for (const struct cJSON *one = found->child; one != NULL; one = one->next)
            named |= kind_of_value(one);
        kinds &= named;
    }
    if ((found = member(schema, "anyOf")) != NULL || (found = member(schema, "oneOf")) != NULL)
        kinds &= kinds_of_all(root, found, depth + 1);
    if ((found = member(schema, "allOf")) != NULL)
        for (const struct cJSON *one = found->child; one != NULL; one = one->next)
            kinds &= kinds_of(root, one, depth + 1);
    return kinds;
}

/* Whether a schema says nothing of the values but in words. */
static bool says_nothing(const struct cJSON *schema)
{
    if (!cJSON_IsObject(schema))
        return cJSON_IsTrue(schema);
    for (const struct cJSON *one = schema->child; one != NULL; one = one->next)
        if (!schema_only_describes(one->string))
            return false;
    return true;
}

/* Whether a schema bounds its strings, wherever it speaks of them. */
static bool bounds_strings(const struct cJSON *schema, unsigned depth)
{
    static const char *const words[] = {"enum",      "const",     "pattern", "format",
                                        "minLength", "maxLength", "$ref",    "allOf"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (member(schema, words[i]) != NULL)
            return true;
    const struct cJSON *list = member(schema, "anyOf");
    list = list != NULL ? list : member(schema, "oneOf");
    for (const struct cJSON *one = list != NULL ? list->child : NULL; one != NULL; one = one->next)
        if (depth == REFERENCES || bounds_strings(one, depth + 1))
            return true;
    return false;
}

static enum tool_value value_of(const struct cJSON *root, const struct cJSON *schema)
{
    unsigned kinds = kinds_of(root, schema, 0);
    if (schema == NULL)
        return VALUE_ANY;
    if (kinds == KIND_STRING && member(schema, "allOf") == NULL)
        return VALUE_TEXT;
    if (kinds == (KIND_STRING | KIND_NULL) && !bounds_strings(schema, 0))
        return VALUE_NULLABLE;
    return says_nothing(schema) ? VALUE_ANY : VALUE_JSON;
}

/* --- a tool --- */

static bool is_listed(const struct cJSON *list, const char *name)
{
    for (const struct cJSON *one = list != NULL ? list->child : NULL; one; one = one->next)
        if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0)
            return true;
    return false;
}

static enum status add_parameter(struct tool *tool, const char *key, const struct cJSON *schema,
                                 bool needed, struct error *err)
{
    struct tool_parameter *p = &tool->parameters[tool->n_parameters];
    size_t n_key = strlen(key), room = json_string_bound(n_key) + 3;
    *p = (struct tool_parameter){.key = key,
                                 .n_key = n_key,
                                 .lead = malloc(room),
                                 .value = value_of(tool->schema, schema),
                                 .schema = schema,
                                 .needed = needed};
    if (p->lead == NULL)
        return error_no_memory(err, room, "a tool");
    struct json_writer w = {.out = p->lead, .room = room};
    json_string(&w, p->key, n_key);
    json_raw(&w, ": ");
    p->n_lead = w.n;
    tool->n_parameters++;
    return STATUS_OK;
}

const struct cJSON *tool_schema(const struct tool *tool)
{
    const struct cJSON *schema = tool->schema;
    for (unsigned i = 0; i < REFERENCES && member(schema, "$ref") != NULL; i++) {
        const struct cJSON *target =
            schema_at(tool->schema, cJSON_GetStringValue(member(schema, "$ref")));
        schema = target != NULL ? target : schema;
    }
    return schema;
}

/* The members of its arguments, in the schema's order; then those that are needed and not
 * described. */
static enum status read_parameters(struct tool *tool, struct error *err)
{
    const struct cJSON *schema = tool_schema(tool);
    const struct cJSON *properties = member(schema, "properties");
    const struct cJSON *required = member(schema, "required");
    const struct cJSON *additional = member(schema, "additionalProperties");
    size_t n = properties != NULL ? (size_t)cJSON_GetArraySize(properties) : 0;
    tool->open = additional != NULL ? !cJSON_IsFalse(additional) : n == 0;
    tool->other_schema = cJSON_IsObject(additional) ? additional : NULL;
    tool->other = value_of(tool->schema, tool->other_schema);
    n += required != NULL ? (size_t)cJSON_GetArraySize(required) : 0;
    if (n == 0)
        return STATUS_OK;
    tool->parameters = calloc(n, sizeof *tool->parameters);
    if (tool->parameters == NULL)
        return error_no_memory(err, n * sizeof *tool->parameters, "a tool");
    enum status status = STATUS_OK;
    const struct cJSON *one = properties != NULL ? properties->child : NULL;
    for (; one != NULL && status == STATUS_OK; one = one->next)
        status = add_parameter(tool, one->string, one, is_listed(required, one->string), err);
    one = required != NULL ? required->child : NULL;
    for (; one != NULL && status == STATUS_OK; one = one->next)
        if (cJSON_IsString(one) && member(properties, one->valuestring) == NULL)
            status = add_parameter(tool, one->valuestring, tool->other_schema, true, err);
    return status;
}

static bool is_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !chars_have("_.-/:", name[i]))
            return false;
    return n > 0 && n <= TOOL_NAME_MAX;
}

static enum status check(const struct tool_set *set, const char *field, const struct cJSON *name,
                         const struct cJSON *parameters, struct error *err)
{
    const struct cJSON *type = member(parameters, "type");
    if (set->n_tools == TOOLS_MAX)
        return error_set_param(err, STATUS_INVALID, field, "there are more than %d tools",
                               TOOLS_MAX);
    if (!cJSON_IsString(name) || !is_name(name->valuestring))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s.name must be a string of 1 to %d letters, digits, '_', '-', "
                               "'.', '/' and ':'",
                               field, TOOL_NAME_MAX);
    if (tool_set_find(set, name->valuestring, strlen(name->valuestring)) != NULL)
        return error_set_param(err, STATUS_INVALID, field, "%s.name: there is another tool \"%s\"",
                               field, name->valuestring);
    if (parameters != NULL && !cJSON_IsNull(parameters) && !cJSON_IsObject(parameters))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s: its parameters must be a JSON Schema, an object", field);
    if (cJSON_IsString(type) && strcmp(type->valuestring, "object") != 0)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s: its parameters must be a schema of type \"object\"", field);
    return STATUS_OK;
}

enum status tool_check_description(const char *field, const struct cJSON *description,
                                   struct error *err)
{
    if (description == NULL || cJSON_IsString(description) || cJSON_IsNull(description))
        return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, field, "%s.description must be a string", field);
}

/* Arguments are an object, also where the schema does not say so. */
static bool copy_schema(struct tool *tool, const struct cJSON *parameters)
{
    static const char *const said[] = {"type", "$ref", "anyOf", "oneOf", "allOf"};
    if (!cJSON_IsObject(parameters) || parameters->child == NULL)
        return true;
    tool->schema = cJSON_Duplicate(parameters, true);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (member(tool->schema, said[i]) != NULL)
            return true;
    return tool->schema != NULL && cJSON_AddStringToObject(tool->schema, "type", "object") != NULL;
}

static void free_tool(struct tool *tool)
{
    for (size_t i = 0; i < tool->n_parameters; i++)
        free(tool->parameters[i].lead);
    free(tool->parameters);
    free(tool->name);
    cJSON_Delete(tool->schema);
}

enum status tool_set_add(struct tool_set *set, const char *field, const struct cJSON *name,
                         const struct cJSON *parameters, struct error *err)
{
    enum status status = check(set, field, name, parameters, err);
    if (status != STATUS_OK)
        return status;
    struct tool *tools = realloc(set->tools, (set->n_tools + 1) * sizeof *tools);
    if (tools == NULL)
        return error_no_memory(err, (set->n_tools + 1) * sizeof *tools, "tools");
    set->tools = tools;
    struct tool *tool = &tools[set->n_tools];
    *tool = (struct tool){.name = strdup(name->valuestring), .n_name = strlen(name->valuestring)};
    if (tool->name == NULL || !copy_schema(tool, parameters))
        status = error_no_memory(err, tool->n_name, "a tool");
    if (status == STATUS_OK)
        status = read_parameters(tool, err);
    if (status == STATUS_OK)
        set->n_tools++;
    else
        free_tool(tool);
    return status;
}

/* --- the set --- */

const struct tool *tool_set_find(const struct tool_set *set, const char *name, size_t n)
{
    for (size_t i = 0; i < set->n_tools; i++)
        if (set->tools[i].n_name == n && memcmp(set->tools[i].name, name, n) == 0)
            return &set->tools[i];
    return NULL;
}

bool tool_set_may_call(const struct tool_set *set, const struct tool *tool)
{
    return set->choice != TOOLS_NONE && !tool->barred;
}

enum status tool_set_only(struct tool_set *set, const char *field, const char *name,
                          struct error *err)
{
    const struct tool *only = tool_set_find(set, name, strlen(name));
    if (only == NULL)
        return error_set_param(err, STATUS_INVALID, field, "%s: there is no tool \"%.100s\"", field,
                               name);
    for (size_t i = 0; i < set->n_tools; i++)
        set->tools[i].barred = &set->tools[i] != only;
    return STATUS_OK;
}

enum status tool_set_allow(struct tool_set *set, const char *field, const struct cJSON *name,
                           struct error *err)
{
    for (size_t i = 0; cJSON_IsString(name) && i < set->n_tools; i++) {
        if (strcmp(set->tools[i].name, name->valuestring) != 0)
            continue;
        set->tools[i].barred = false;
        return STATUS_OK;
    }
    return error_set_param(err, STATUS_INVALID, field, "%s names a tool that there is not", field);
}

bool tool_set_tells(const struct tool_set *set)
{
    return set->n_tools > 0 || (set->family != NULL && set->family->channels);
}

void tool_set_free(struct tool_set *set)
{
    for (size_t i = 0; i < set->n_tools; i++)
        free_tool(&set->tools[i]);
    free(set->tools);
    *set = (struct tool_set){.family = NULL};
}

void tool_call_id(const struct tool_set *set, const char *prefix, const char *request,
                  size_t choice, size_t index, char out[TOOL_ID_MAX])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    enum { LENGTH = 9 };
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)choice << 32 ^ index;
    size_t n = 0;
    for (const char *c = request; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    hash ^= hash >> 29; /* the last letters reach all bits */
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    if (strncmp(set->family->name, "mistral", 7) != 0)
        append_text(out, TOOL_ID_MAX, &n, "%s", prefix);
    for (int i = 0; i < LENGTH; i++, hash /= sizeof letters - 1)
        out[n++] = letters[hash % (sizeof letters - 1)];
    out[n] = '\0';
}
