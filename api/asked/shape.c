/* shape.c - five kinds of shapes from the fields of many APIs. See shape.h. */
#include "api/asked/shape.h"

#include "api/generation.h"
#include "api/json/json.h"
#include "api/json/values.h"
#include "api/schema/schema.h"
#include "grammar/read.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one value --- */

/* A schema that is written in a text, which the shape then owns. */
static enum status parse_schema(const struct shape_reading *r, const char *path, const char *text,
                                struct cJSON **out, struct error *err)
{
    const size_t n = strlen(text);
    struct error why;
    if (json_check(text, n, r->limits->max_json_depth, r->limits->max_json_nodes, &why) !=
        STATUS_OK)
        return error_set_param(err, STATUS_INVALID, r->field,
                               "%s is a text that holds no schema: %s", path, why.text);
    if (json_has_nul((struct json_span){text, n}))
        return error_set_param(err, STATUS_INVALID, r->field,
                               "%s holds the character \\u0000; texts must do without it", path);
    *out = cJSON_ParseWithLength(text, n);
    return *out != NULL ? STATUS_OK : error_no_memory(err, n, "a schema");
}

static enum status check_schema(const struct shape_reading *r, const char *path,
                                const struct cJSON *value, struct error *err)
{
    if (cJSON_IsObject(value) || cJSON_IsBool(value))
        return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, r->field, "%s must be a JSON Schema, not %s", path,
                           fields_type_name(value));
}

static enum status check_text(const struct shape_reading *r, const char *path,
                              const struct cJSON *value, struct error *err)
{
    if (!cJSON_IsString(value))
        return error_set_param(err, STATUS_INVALID, r->field, "%s must be a string, not %s", path,
                               fields_type_name(value));
    return STATUS_OK;
}

static enum status check_choice(const struct shape_reading *r, const char *path,
                                const struct cJSON *value, struct error *err)
{
    const struct cJSON *item;
    if (!cJSON_IsArray(value) || value->child == NULL)
        return error_set_param(err, STATUS_INVALID, r->field,
                               "%s must be an array of one or more strings, not %s", path,
                               cJSON_IsArray(value) ? "an empty one" : fields_type_name(value));
    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsString(item))
            return error_set_param(err, STATUS_INVALID, r->field, "%s must hold strings, not %s",
                                   path, fields_type_name(item));
    }
    return STATUS_OK;
}

enum status shape_set(const struct shape_reading *r, enum shape_kind kind, const char *inside,
                      const struct cJSON *value, struct error *err)
{
    struct answer_shape *shape = r->shape;
    struct answer_shape found = {.kind = kind, .value = value};
    enum status status = STATUS_OK;
    snprintf(found.field, sizeof found.field, "%s", r->field);
    snprintf(found.path, sizeof found.path, "%s%s", r->field, inside);
    if (shape->kind != SHAPE_NONE)
        return error_set_param(err, STATUS_INVALID, r->field,
                               "%s and %s both give the answer a shape; it has one", shape->path,
                               found.path);
    if (kind == SHAPE_SCHEMA && cJSON_IsString(value)) {
        status = parse_schema(r, found.path, value->valuestring, &found.owned, err);
        found.value = found.owned;
    }
    if (status == STATUS_OK && kind == SHAPE_SCHEMA)
        status = check_schema(r, found.path, found.value, err);
    if (kind == SHAPE_GRAMMAR || kind == SHAPE_REGEX)
        status = check_text(r, found.path, value, err);
    if (kind == SHAPE_CHOICE)
        status = check_choice(r, found.path, value, err);
    if (status == STATUS_OK)
        *shape = found;
    else
        shape_free(&found);
    return status;
}

enum status shape_set_texts(const struct shape_reading *r, enum shape_kind kind,
                            const char *const *texts, size_t n, struct error *err)
{
    struct cJSON *value = kind == SHAPE_CHOICE ? cJSON_CreateStringArray(texts, (int)n)
                                               : cJSON_CreateString(texts[0]);
    if (value == NULL)
        return error_no_memory(err, n * sizeof *value, "the shape of an answer");
    enum status status = shape_set(r, kind, "", value, err);
    if (status == STATUS_OK && r->shape->value == value)
        r->shape->owned = value;
    else
        cJSON_Delete(value);
    return status;
}

void shape_free(struct answer_shape *shape)
{
    cJSON_Delete(shape->owned);
    *shape = (struct answer_shape){.kind = SHAPE_NONE};
}

/* --- objects that say which --- */

enum status shape_read_format(const struct shape_reading *r, const struct cJSON *value,
                              struct error *err)
{
    const struct cJSON *type = values_member(value, "type");
    const struct cJSON *schema = values_member(value, "schema");
    const struct cJSON *wrapped = values_member(value, "json_schema");
    enum status status = values_check_object(value, r->field, err);
    if (status != STATUS_OK || value == NULL || values_is_text(type, "text"))
        return status;
    if (values_is_text(type, "json_object"))
        return schema != NULL ? shape_set(r, SHAPE_SCHEMA, ".schema", schema, err)
                              : shape_set(r, SHAPE_OBJECT, "", value, err);
    if (!values_is_text(type, "json_schema"))
        return error_set_param(
            err, cJSON_IsString(type) ? STATUS_UNSUPPORTED : STATUS_INVALID, r->field,
            "%s.type must be \"text\", \"json_object\" or \"json_schema\"", r->field);
    if (wrapped != NULL && !cJSON_IsObject(wrapped))
        return error_set_param(err, STATUS_INVALID, r->field,
                               "%s.json_schema must be an object, not %s", r->field,
                               fields_type_name(wrapped));
    if (wrapped != NULL)
        schema = values_member(wrapped, "schema");
    if (schema == NULL)
        return error_set_param(err, STATUS_INVALID, r->field, "%s%s is missing", r->field,
                               wrapped != NULL ? ".json_schema.schema" : ".schema");
    return shape_set(r, SHAPE_SCHEMA, wrapped != NULL ? ".json_schema.schema" : ".schema", schema,
                     err);
}

/* What changes the texts in a way that this server has not. */
static enum status check_structured(const struct shape_reading *r, const struct cJSON *value,
                                    struct error *err)
{
    static const char *const lacking[] = {"structural_tag", "whitespace_pattern",
                                          "disable_any_whitespace",
                                          "disable_additional_properties"};
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++) {
        const struct cJSON *member = values_member(value, lacking[i]);
        if (member != NULL && !cJSON_IsFalse(member))
            return error_set_param(err, STATUS_UNSUPPORTED, r->field,
                                   "%s.%s: this server does not support it", r->field, lacking[i]);
    }
    return STATUS_OK;
}

enum status shape_read_structured(const struct shape_reading *r, const struct cJSON *value,
                                  struct error *err)
{
    static const struct {
        const char *name, *inside;
        enum shape_kind kind;
    } members[] = {{"json", ".json", SHAPE_SCHEMA},
                   {"regex", ".regex", SHAPE_REGEX},
                   {"choice", ".choice", SHAPE_CHOICE},
                   {"grammar", ".grammar", SHAPE_GRAMMAR},
                   {"json_object", ".json_object", SHAPE_OBJECT}};
    enum status status = values_check_object(value, r->field, err);
    if (status == STATUS_OK)
        status = check_structured(r, value, err);
    for (size_t i = 0; status == STATUS_OK && i < sizeof members / sizeof members[0]; i++) {
        const struct cJSON *member = values_member(value, members[i].name);
        if (member != NULL && !cJSON_IsFalse(member))
            status = shape_set(r, members[i].kind, members[i].inside, member, err);
    }
    if (status == STATUS_OK && value != NULL && r->shape->kind == SHAPE_NONE)
        status = error_set_param(err, STATUS_INVALID, r->field,
                                 "%s must have one of json, regex, choice, grammar and json_object",
                                 r->field);
    return status;
}

/* --- texts --- */

char *shape_text(const struct answer_shape *shape)
{
    const bool is_text = shape->kind == SHAPE_GRAMMAR || shape->kind == SHAPE_REGEX;
    char *printed = is_text ? NULL : cJSON_PrintUnformatted(shape->value);
    const char *text = is_text ? shape->value->valuestring : printed;
    if (shape->kind == SHAPE_OBJECT)
        text = "";
    size_t room = text != NULL ? strlen(text) + 16 : 0;
    char *out = text != NULL ? malloc(room) : NULL;
    if (out != NULL)
        snprintf(out, room, "%d:%s", (int)shape->kind, text);
    cJSON_free(printed);
    return out;
}

static const struct expr *choice_expr(struct grammar_builder *b, const struct cJSON *list)
{
    struct expr_list texts = {0};
    const struct cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        expr_list_add(b, &texts, expr_string(b, item->valuestring));
    }
    return expr_choice(b, texts.at, texts.n);
}

const struct expr *shape_expr(struct grammar_builder *b, const struct answer_shape *shape)
{
    const struct cJSON *value = shape->value;
    switch (shape->kind) {
    case SHAPE_NONE:
        break;
    case SHAPE_OBJECT:
        return schema_any_object(b);
    case SHAPE_SCHEMA:
        return schema_read(b, value);
    case SHAPE_GRAMMAR:
        return gbnf_read(b, value->valuestring, strlen(value->valuestring));
    case SHAPE_REGEX:
        return regex_read(b, value->valuestring, strlen(value->valuestring), true);
    case SHAPE_CHOICE:
        return choice_expr(b, value);
    }
    return expr_string(b, "");
}
