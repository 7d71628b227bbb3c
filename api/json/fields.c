/* fields.c - reads a JSON object by a table of fields, with messages that name the field, what it
 * got and what would be right. The one user of cJSON beside the readers of FIELD_ANY. Any thread.
 */
#include "api/json/fields.h"

#include "base/nearest.h"

#include <cjson/cJSON.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const uint64_t exact_limit = UINT64_C(1) << 53; /* integers that every JSON reader keeps */

const char *fields_type_name(const struct cJSON *value)
{
    if (cJSON_IsObject(value))
        return "an object";
    if (cJSON_IsArray(value))
        return "an array";
    if (cJSON_IsString(value))
        return "a string";
    if (cJSON_IsNumber(value))
        return "a number";
    return cJSON_IsNull(value) ? "null" : cJSON_IsTrue(value) ? "true" : "false";
}

const struct field *fields_row(const struct field_table *table, size_t i)
{
    while (table != NULL && i >= table->n_fields) {
        i -= table->n_fields;
        table = table->more;
    }
    return table != NULL ? &table->fields[i] : NULL;
}

bool fields_has(const struct field_table *table, const struct fields_found *found, size_t offset)
{
    const struct field *field;
    for (size_t i = 0; (field = fields_row(table, i)) != NULL; i++)
        if (field->offset == offset && field->kind != FIELD_NONE &&
            (found->seen[i / 64] >> i % 64 & 1))
            return true;
    return false;
}

const char *fields_meant(const struct field_table *table, const char *name)
{
    const char *names[FIELDS_MAX];
    const struct field *field;
    size_t n = 0;
    for (size_t i = 0; i < table->n_aliases; i++)
        if (strcmp(table->aliases[i].other, name) == 0)
            return table->aliases[i].name;
    while ((field = fields_row(table, n)) != NULL)
        names[n++] = field->name;
    return nearest_name(name, names, n);
}

void fields_default(const struct field_table *table, void *values)
{
    const struct field *field;
    for (size_t i = 0; (field = fields_row(table, i)) != NULL; i++) {
        char *place = (char *)values + field->offset;
        switch (field->kind) {
        case FIELD_BOOL:
            *(bool *)place = field->initial != 0;
            break;
        case FIELD_UINT:
        case FIELD_SEED:
            *(uint64_t *)(void *)place = (uint64_t)field->initial;
            break;
        case FIELD_NUMBER:
            *(double *)(void *)place = field->initial;
            break;
        case FIELD_ANY:
            *(const struct cJSON **)(void *)place = NULL;
            break;
        case FIELD_RAW:
            *(struct json_span *)(void *)place = (struct json_span){NULL, 0};
            break;
        case FIELD_NONE:
            break;
        }
    }
}

static enum status refuse_type(const struct field *field, const char *expected,
                               const struct cJSON *value, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, field->name, "%s must be %s, not %s", field->name,
                           expected, fields_type_name(value));
}

/* How a number of the text is quoted in a message. */
static int quoted_length(struct json_span number)
{
    return number.n < 24 ? (int)number.n : 24;
}

static uint64_t largest(const struct field *field, const struct field_limits *limits)
{
    return field->bound == BOUND_FIXED ? (uint64_t)field->max : limits->bounds[field->bound];
}

static enum status read_uint(const struct field *field, const struct field_limits *limits,
                             const struct cJSON *value, struct json_span raw, uint64_t *out,
                             struct error *err)
{
    uint64_t max = largest(field, limits);
    static const char *const whose[BOUND_COUNT] = {[BOUND_FIXED] = "",
                                                   [BOUND_VOCABULARY] = ", the vocabulary",
                                                   [BOUND_CONTEXT] = ", the context"};
    if (!cJSON_IsNumber(value))
        return refuse_type(field, "an integer", value, err);
    bool negative;
    uint64_t magnitude;
    enum json_integer kind = json_integer(raw, &negative, &magnitude);
    if (kind == JSON_INTEGER && (!negative || magnitude == 0) &&
        magnitude >= (uint64_t)field->min && magnitude <= max) {
        *out = magnitude;
        return STATUS_OK;
    }
    return error_set_param(err, STATUS_INVALID, field->name,
                           "%s must be an integer from %.0f to %" PRIu64 "%s, not %.*s",
                           field->name, field->min, max, whose[field->bound], quoted_length(raw),
                           raw.at);
}

static enum status read_number(const struct field *field, const struct cJSON *value,
                               struct json_span raw, double *out, struct error *err)
{
    if (!cJSON_IsNumber(value))
        return refuse_type(field, "a number", value, err);
    double number = value->valuedouble;
    if (!isfinite(number) || number < field->min || number > field->max)
        return error_set_param(err, STATUS_INVALID, field->name,
                               "%s must be a number from %g to %g, not %.*s", field->name,
                               field->min, field->max, quoted_length(raw), raw.at);
    *out = number;
    return STATUS_OK;
}

/* 1 to 20 digits that fit 64 bits. */
static bool read_decimal(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 20)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static enum status read_seed(const struct field *field, const struct cJSON *value,
                             struct json_span raw, uint64_t *out, struct error *err)
{
    if (cJSON_IsString(value) && read_decimal(value->valuestring, out))
        return STATUS_OK;
    bool negative;
    uint64_t magnitude;
    if (cJSON_IsNumber(value) && json_integer(raw, &negative, &magnitude) == JSON_INTEGER &&
        (field->of_64_bits ? !negative || magnitude <= (uint64_t)1 << 63
                           : (!negative || magnitude == 0) && magnitude <= exact_limit)) {
        *out = negative ? 0 - magnitude : magnitude;
        return STATUS_OK;
    }
    const char *right =
        field->of_64_bits
            ? "an integer of 64 bits, or a string of decimal digits up to \"18446744073709551615\""
            : "an integer from 0 to 9007199254740992 (2^53), or a string of decimal digits up to "
              "\"18446744073709551615\"";
    if (cJSON_IsNumber(value) || cJSON_IsString(value)) /* a string is quoted with its marks */
        return error_set_param(err, STATUS_INVALID, field->name, "%s must be %s, not %.*s",
                               field->name, right, quoted_length(raw), raw.at);
    return refuse_type(field, right, value, err);
}

static enum status read_field(const struct field *field, const struct field_limits *limits,
                              const struct cJSON *value, struct json_span raw, void *values,
                              struct error *err)
{
    void *place = (char *)values + field->offset;
    switch (field->kind) {
    case FIELD_BOOL:
        if (!cJSON_IsBool(value))
            return refuse_type(field, "true or false", value, err);
        *(bool *)place = cJSON_IsTrue(value);
        return STATUS_OK;
    case FIELD_UINT:
        return read_uint(field, limits, value, raw, place, err);
    case FIELD_NUMBER:
        return read_number(field, value, raw, place, err);
    case FIELD_SEED:
        return read_seed(field, value, raw, place, err);
    case FIELD_RAW:
        *(struct json_span *)place = raw;
        return STATUS_OK;
    case FIELD_NONE:
        return STATUS_OK;
    case FIELD_ANY:
        break;
    }
    *(const struct cJSON **)place = value;
    return STATUS_OK;
}

/* Asks for nothing: what a client that fills in every field of its API sends. */
static bool asks_nothing(const struct cJSON *value)
{
    if (cJSON_IsString(value))
        return value->valuestring[0] == '\0';
    if (cJSON_IsNumber(value))
        return value->valuedouble == 0;
    return cJSON_IsNull(value) || cJSON_IsFalse(value) ||
           ((cJSON_IsArray(value) || cJSON_IsObject(value)) && value->child == NULL);
}

static enum status unknown(const struct field_table *table, const char *name,
                           struct fields_found *found, struct error *err)
{
    char shown[NEAREST_MAX + 1];
    if (table->lenient) {
        if (found->ignored[0] == '\0')
            snprintf(found->ignored, sizeof found->ignored, "%s", name);
        return STATUS_OK;
    }
    snprintf(shown, sizeof shown, "%s", name);
    const char *meant = fields_meant(table, name);
    if (meant == NULL)
        return error_set_param(err, STATUS_INVALID, shown, "unknown field '%s'", shown);
    return error_set_param(err, STATUS_INVALID, shown, "unknown field '%s'; did you mean '%s'?",
                           shown, meant);
}

struct body_reading { /* of a body */
    const struct field_table *table;
    const struct field_limits *limits;
    void *values;
    struct fields_found *found;
    const char *inside;                /* the object that is read; NULL: the body */
    const char *last;                  /* that was read before; NULL: none */
    uint64_t present[FIELDS_MAX / 64]; /* rows that were there, null or not */
};

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The row of a name in the object that is read, and its number in the whole chain. */
static const struct field *find_row(const struct body_reading *r, const char *name, size_t *row)
{
    *row = 0;
    for (const struct field_table *t = r->table; t != NULL; t = t->more) {
        for (size_t i = 0; is_same(t->inside, r->inside) && i < t->n_fields; i++) {
            if (strcmp(t->fields[i].name, name) == 0) {
                *row += i;
                return &t->fields[i];
            }
        }
        *row += t->n_fields;
    }
    return NULL;
}

static bool has_object(const struct field_table *table, const char *name)
{
    while (table != NULL && !(table->inside != NULL && strcmp(table->inside, name) == 0))
        table = table->more;
    return table != NULL;
}

/* The same as a field that is not there. */
static bool is_absent(const struct field *field, const struct cJSON *item)
{
    if (cJSON_IsNull(item))
        return field->nullable;
    if (!cJSON_IsNumber(item))
        return false;
    return (field->minus_one && item->valuedouble == -1) ||
           (field->below_absent && item->valuedouble < field->min &&
            item->valuedouble == floor(item->valuedouble));
}

static enum status read_members(struct body_reading *r, const struct cJSON *object,
                                struct json_span text, struct error *err);

/* An object whose members are rows of the chain. */
static enum status read_object(struct body_reading *r, const struct cJSON *item,
                               struct json_span raw, struct error *err)
{
    if (cJSON_IsNull(item))
        return STATUS_OK;
    if (!cJSON_IsObject(item))
        return error_set_param(err, STATUS_INVALID, item->string, "%s must be an object, not %s",
                               item->string, fields_type_name(item));
    if (is_same(r->last, item->string))
        return error_set_param(err, STATUS_INVALID, item->string, "%s appears more than once",
                               item->string);
    r->inside = r->last = item->string;
    enum status status = read_members(r, item, raw, err);
    r->inside = NULL;
    return status;
}

static enum status read_member(struct body_reading *r, const struct cJSON *item,
                               struct json_span name, struct json_span raw, struct error *err)
{
    if (json_has_nul(name))
        return error_set(err, STATUS_INVALID, "a field's name holds \\u0000, which no field has");
    size_t i;
    const struct field *field = find_row(r, item->string, &i);
    if (field == NULL && r->inside == NULL && has_object(r->table, item->string))
        return read_object(r, item, raw, err);
    if (field == NULL)
        return unknown(r->table, item->string, r->found, err);
    assert(i < FIELDS_MAX);
    uint64_t bit = UINT64_C(1) << i % 64;
    if (r->present[i / 64] & bit)
        return error_set_param(err, STATUS_INVALID, field->name, "%s appears more than once",
                               field->name);
    r->present[i / 64] |= bit;
    if (json_has_nul(raw))
        return error_set_param(err, STATUS_INVALID, field->name,
                               "%s holds the character \\u0000; texts must do without it",
                               field->name);
    if (field->refused != NULL)
        return asks_nothing(item) || is_absent(field, item)
                   ? STATUS_OK
                   : error_set_param(err, STATUS_UNSUPPORTED, field->name, "%s: %s", field->name,
                                     field->refused);
    if (field->no_effect || is_absent(field, item))
        return STATUS_OK;
    r->found->seen[i / 64] |= bit;
    if (field->minus_one_most && cJSON_IsNumber(item) && item->valuedouble == -1) {
        *(uint64_t *)(void *)((char *)r->values + field->offset) = largest(field, r->limits);
        return STATUS_OK;
    }
    return read_field(field, r->limits, item, raw, r->values, err);
}

static enum status read_members(struct body_reading *r, const struct cJSON *object,
                                struct json_span text, struct error *err)
{
    /* cJSON keeps the members in the order of the text. */
    const struct cJSON *item = object->child;
    struct json_span name, raw;
    enum status status = STATUS_OK;
    for (size_t at = 0;
         status == STATUS_OK && item != NULL && json_next_member(text.at, text.n, &at, &name, &raw);
         item = item->next)
        status = read_member(r, item, name, raw, err);
    return status;
}

enum status fields_read(const struct field_table *table, const struct field_limits *limits,
                        const char *body, size_t n, void *values, struct fields_found *found,
                        struct error *err)
{
    struct body_reading r = {.table = table, .limits = limits, .values = values, .found = found};
    fields_default(table, values);
    enum status status = json_check(body, n, limits->max_depth, limits->max_nodes, err);
    if (status != STATUS_OK)
        return status;
    found->root = cJSON_ParseWithLength(body, n);
    if (found->root == NULL)
        return error_no_memory(err, n, "a request's body");
    if (!cJSON_IsObject(found->root))
        status = error_set(err, STATUS_INVALID, "the body must be a JSON object, not %s",
                           fields_type_name(found->root));
    else
        status = read_members(&r, found->root, (struct json_span){body, n}, err);
    if (status != STATUS_OK)
        fields_free(found);
    return status;
}

void fields_free(struct fields_found *found)
{
    cJSON_Delete(found->root);
    *found = (struct fields_found){.root = NULL};
}
