/* values.c - the keys and values of a GGUF file: read once, checked completely, then looked up
 * by name.
 *
 * Any thread; read-only once open. Knows value types, not what a key means.
 */
#include "gguf/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    uint8_t n_bytes; /* of one; 0: not fixed */
} types[GGUF_VALUE_TYPES] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *gguf_value_type_name(enum gguf_value_type type)
{
    return (unsigned)type < GGUF_VALUE_TYPES ? types[type].name : "unknown";
}

bool gguf_is_name(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return false;
    }
    return n > 0;
}

static enum status check_bools(const struct gguf_cursor *c, const uint8_t *bytes, size_t n,
                               struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] > 1)
            return error_set(err, STATUS_FORMAT, "%s has a bool of value %u; it must be 0 or 1",
                             c->what, bytes[i]);
    }
    return STATUS_OK;
}

/* The elements of an array of strings: remembers where each begins, so that element i is found at
 * once. */
static enum status read_strings(struct gguf_cursor *c, struct gguf_entry *entry, struct error *err)
{
    size_t n = entry->value.n;
    size_t start = c->pos;
    entry->offsets =
        malloc((n > 0 ? n : 1) * sizeof entry->offsets[0]); /* n <= remaining bytes / 8 */
    if (entry->offsets == NULL)
        return error_no_memory(err, n * sizeof entry->offsets[0], c->what);
    entry->value.offsets = entry->offsets;
    for (size_t i = 0; i < n; i++) {
        struct gguf_string s;
        entry->offsets[i] = c->pos - start;
        enum status status = gguf_take_string(c, GGUF_MAX_STRING, &s, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status read_array(struct gguf_cursor *c, struct gguf_entry *entry, struct error *err)
{
    uint32_t type;
    uint64_t n;
    enum status status;
    if ((status = gguf_take_u32(c, &type, err)) != STATUS_OK ||
        (status = gguf_take_u64(c, &n, err)) != STATUS_OK)
        return status;
    if (type == GGUF_ARRAY)
        return error_set(err, STATUS_UNSUPPORTED, "%s is an array of arrays, which no model needs",
                         c->what);
    if (type >= GGUF_VALUE_TYPES)
        return error_set(err, STATUS_FORMAT,
                         "%s is an array of elements of type %u; types are 0 to 12", c->what, type);
    size_t remaining = c->gguf->size - c->pos;
    size_t n_bytes =
        types[type].n_bytes != 0 ? types[type].n_bytes : 8; /* a string's length field */
    if (n > GGUF_MAX_ARRAY || n > remaining / n_bytes)
        return error_set(err, STATUS_FORMAT,
                         "%s declares %llu elements; at most %d are allowed, and what is left of "
                         "the file holds %zu",
                         c->what, (unsigned long long)n, GGUF_MAX_ARRAY, remaining / n_bytes);
    struct gguf_value *v = &entry->value;
    v->element_type = (enum gguf_value_type)type;
    v->n = (size_t)n;
    v->bytes = c->gguf->bytes + c->pos;
    if (type == GGUF_STRING)
        return read_strings(c, entry, err);
    status = gguf_take(c, v->n * n_bytes, &v->bytes, err);
    if (status == STATUS_OK && type == GGUF_BOOL)
        status = check_bools(c, v->bytes, v->n, err);
    return status;
}

static enum status read_value(struct gguf_cursor *c, size_t i, struct gguf_entry *entry,
                              struct error *err)
{
    enum status status;
    struct gguf_value *v = &entry->value;
    snprintf(c->what, sizeof c->what, "key number %zu", i + 1);
    if ((status = gguf_take_string(c, GGUF_MAX_KEY, &v->key, err)) != STATUS_OK)
        return status;
    if (!gguf_is_name(v->key.bytes, v->key.n))
        return error_set(err, STATUS_FORMAT,
                         "%s has a name of %zu bytes that is empty or not printable ASCII", c->what,
                         v->key.n);
    snprintf(c->what, sizeof c->what, "key '%.*s'", (int)(v->key.n < 96 ? v->key.n : 96),
             v->key.bytes);

    uint32_t type;
    if ((status = gguf_take_u32(c, &type, err)) != STATUS_OK)
        return status;
    if (type >= GGUF_VALUE_TYPES)
        return error_set(err, STATUS_FORMAT, "%s has a value of type %u; types are 0 to 12",
                         c->what, type);
    v->type = (enum gguf_value_type)type;
    v->element_type = v->type;
    v->n = 1;
    if (type == GGUF_ARRAY)
        return read_array(c, entry, err);
    if (type == GGUF_STRING) {
        struct gguf_string s;
        v->bytes = c->gguf->bytes + c->pos;
        return gguf_take_string(c, GGUF_MAX_STRING, &s, err);
    }
    status = gguf_take(c, types[type].n_bytes, &v->bytes, err);
    if (status == STATUS_OK && type == GGUF_BOOL)
        status = check_bools(c, v->bytes, 1, err);
    return status;
}

static int compare_strings(struct gguf_string a, struct gguf_string b)
{
    int order = memcmp(a.bytes, b.bytes, a.n < b.n ? a.n : b.n);
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_keys(const void *a, const void *b, void *values)
{
    const struct gguf_entry *entries = values;
    return compare_strings(entries[*(const uint32_t *)a].value.key,
                           entries[*(const uint32_t *)b].value.key);
}

/* A sorted index rather than a hash table: no choice of keys in a file can make it slow. */
static enum status sort_keys(struct gguf *g, struct error *err)
{
    g->values_by_key = malloc((g->n_values + 1) * sizeof g->values_by_key[0]);
    if (g->values_by_key == NULL)
        return error_no_memory(err, g->n_values * sizeof g->values_by_key[0], "the index of keys");
    for (size_t i = 0; i < g->n_values; i++)
        g->values_by_key[i] = (uint32_t)i;
    qsort_r(g->values_by_key, g->n_values, sizeof g->values_by_key[0], compare_keys, g->values);
    for (size_t i = 1; i < g->n_values; i++) {
        struct gguf_string a = g->values[g->values_by_key[i - 1]].value.key;
        struct gguf_string b = g->values[g->values_by_key[i]].value.key;
        if (compare_strings(a, b) == 0)
            return error_set(err, STATUS_FORMAT, "key '%.*s' appears more than once",
                             (int)(b.n < 96 ? b.n : 96), b.bytes);
    }
    return STATUS_OK;
}

enum status gguf_read_values(struct gguf_cursor *c, struct error *err)
{
    struct gguf *g = c->gguf;
    for (size_t i = 0; i < g->n_values; i++) {
        enum status status = read_value(c, i, &g->values[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return sort_keys(g, err);
}

size_t gguf_n_values(const struct gguf *gguf)
{
    return gguf->n_values;
}

const struct gguf_value *gguf_value_at(const struct gguf *gguf, size_t i)
{
    return &gguf->values[i].value;
}

const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key)
{
    struct gguf_string wanted = {key, strlen(key)};
    size_t low = 0, high = gguf->n_values;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gguf_value *v = &gguf->values[gguf->values_by_key[middle]].value;
        int order = compare_strings(wanted, v->key);
        if (order == 0)
            return v;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The value of a key, or *out = NULL: then either *found = false, or it is an error. */
static enum status look_up(const struct gguf *gguf, const char *key, const char *wanted,
                           const struct gguf_value **out, bool *found, struct error *err)
{
    *out = gguf_find(gguf, key);
    if (found != NULL)
        *found = *out != NULL;
    if (*out == NULL && found == NULL)
        return error_set_param(err, STATUS_FORMAT, key, "key '%s' is missing; %s is needed", key,
                               wanted);
    return STATUS_OK;
}

static enum status wrong_type(const struct gguf_value *v, const char *key, const char *wanted,
                              struct error *err)
{
    bool array = v->type == GGUF_ARRAY;
    return error_set_param(err, STATUS_FORMAT, key, "key '%s' is %s%s; %s is needed", key,
                           array ? "an array of " : "", gguf_value_type_name(v->element_type),
                           wanted);
}

/* Any integer type as a signed and an unsigned half; false for other types. */
static bool integer_of(const struct gguf_value *v, uint64_t *out, bool *negative)
{
    int64_t s = 0;
    *negative = false;
    switch (v->type) {
    case GGUF_U8:
        *out = v->bytes[0];
        return true;
    case GGUF_U16:
        *out = gguf_load_u16(v->bytes);
        return true;
    case GGUF_U32:
        *out = gguf_load_u32(v->bytes);
        return true;
    case GGUF_U64:
        *out = gguf_load_u64(v->bytes);
        return true;
    case GGUF_I8:
        s = v->bytes[0] - (v->bytes[0] > INT8_MAX ? 256 : 0);
        break;
    case GGUF_I16:
        s = (int16_t)gguf_load_u16(v->bytes);
        break;
    case GGUF_I32:
        s = (int32_t)gguf_load_u32(v->bytes);
        break;
    case GGUF_I64:
        s = (int64_t)gguf_load_u64(v->bytes);
        break;
    case GGUF_F32:
    case GGUF_F64:
    case GGUF_BOOL:
    case GGUF_STRING:
    case GGUF_ARRAY:
    case GGUF_VALUE_TYPES:
    default:
        return false;
    }
    *negative = s < 0;
    *out = (uint64_t)s;
    return true;
}

enum status gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *out, bool *found,
                         struct error *err)
{
    const struct gguf_value *v;
    enum status status = look_up(gguf, key, "an integer", &v, found, err);
    if (v == NULL)
        return status;
    uint64_t value;
    bool negative;
    if (!integer_of(v, &value, &negative))
        return wrong_type(v, key, "an integer", err);
    if (negative)
        return error_set_param(err, STATUS_FORMAT, key, "key '%s' is %lld; 0 or more is needed",
                               key, (long long)(int64_t)value);
    *out = value;
    return STATUS_OK;
}

enum status gguf_get_f32(const struct gguf *gguf, const char *key, float *out, bool *found,
                         struct error *err)
{
    const struct gguf_value *v;
    enum status status = look_up(gguf, key, "an f32", &v, found, err);
    if (v == NULL)
        return status;
    if (v->type != GGUF_F32)
        return wrong_type(v, key, "an f32", err);
    *out = gguf_f32_at(v, 0);
    return STATUS_OK;
}

enum status gguf_get_bool(const struct gguf *gguf, const char *key, bool *out, bool *found,
                          struct error *err)
{
    const struct gguf_value *v;
    enum status status = look_up(gguf, key, "a bool", &v, found, err);
    if (v == NULL)
        return status;
    if (v->type != GGUF_BOOL)
        return wrong_type(v, key, "a bool", err);
    *out = v->bytes[0] != 0;
    return STATUS_OK;
}

enum status gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *out,
                            bool *found, struct error *err)
{
    const struct gguf_value *v;
    enum status status = look_up(gguf, key, "a string", &v, found, err);
    if (v == NULL)
        return status;
    if (v->type != GGUF_STRING)
        return wrong_type(v, key, "a string", err);
    *out = (struct gguf_string){(const char *)v->bytes + 8, (size_t)gguf_load_u64(v->bytes)};
    return STATUS_OK;
}

enum status gguf_get_array(const struct gguf *gguf, const char *key,
                           enum gguf_value_type element_type, const struct gguf_value **out,
                           bool *found, struct error *err)
{
    const struct gguf_value *v;
    char wanted[48];
    snprintf(wanted, sizeof wanted, "an array of %s", gguf_value_type_name(element_type));
    enum status status = look_up(gguf, key, wanted, &v, found, err);
    if (v == NULL)
        return status;
    if (v->type != GGUF_ARRAY || v->element_type != element_type)
        return wrong_type(v, key, wanted, err);
    *out = v;
    return STATUS_OK;
}

struct gguf_string gguf_string_at(const struct gguf_value *array, size_t i)
{
    const uint8_t *p = array->bytes + array->offsets[i];
    return (struct gguf_string){(const char *)p + 8, (size_t)gguf_load_u64(p)};
}

float gguf_f32_at(const struct gguf_value *array, size_t i)
{
    uint32_t bits = gguf_load_u32(array->bytes + 4 * i);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t gguf_i32_at(const struct gguf_value *array, size_t i)
{
    return (int32_t)gguf_load_u32(array->bytes + 4 * i);
}
