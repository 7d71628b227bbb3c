/* key_reader.c - typed reads of an architecture's keys. See key_reader.h. */
#include "model/key_reader.h"

#include <stdio.h>
#include <string.h>

const char *full_key(struct key_reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch->name, suffix);
    return r->key;
}

enum status read_size(struct key_reader *r, const char *suffix, size_t low, size_t high,
                      size_t fallback, size_t *out)
{
    uint64_t value = fallback;
    bool found;
    enum status status =
        gguf_get_u64(r->gguf, full_key(r, suffix), &value, fallback != 0 ? &found : NULL, r->err);
    if (status != STATUS_OK)
        return status;
    if (value < low || value > high)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %llu; it must be %zu to %zu", r->key,
                               (unsigned long long)value, low, high);
    *out = (size_t)value;
    return STATUS_OK;
}

enum status read_real(struct key_reader *r, const char *suffix, double low, double high, float *out)
{
    float value = *out;
    bool found;
    enum status status = gguf_get_f32(r->gguf, full_key(r, suffix), &value, &found, r->err);
    if (status != STATUS_OK)
        return status;
    if (found && !((double)value >= low && (double)value <= high))
        return error_set_param(r->err, STATUS_FORMAT, r->key, "key '%s' is %g; it must be %g to %g",
                               r->key, (double)value, low, high);
    *out = value;
    return STATUS_OK;
}

bool has_key(struct key_reader *r, const char *suffix)
{
    return gguf_find(r->gguf, full_key(r, suffix)) != NULL;
}

/* Element i of an array of integers or bools; SIZE_MAX: it is negative, or the array holds none. */
static size_t element_at(const struct gguf_value *v, size_t i)
{
    uint64_t u;
    int64_t signed_value;
    switch ((int)v->element_type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return v->bytes[i];
    case GGUF_I32:
        signed_value = gguf_i32_at(v, i);
        return signed_value < 0 ? SIZE_MAX : (size_t)signed_value;
    case GGUF_U32:
        return (uint32_t)gguf_i32_at(v, i);
    case GGUF_U64:
    case GGUF_I64:
        memcpy(&u, v->bytes + 8 * i, sizeof u);
        return (size_t)u;
    default:
        return SIZE_MAX;
    }
}

enum status read_each(struct key_reader *r, const char *suffix, const struct shape *s, size_t low,
                      size_t high, size_t fallback, uint32_t *out)
{
    const struct gguf_value *v = gguf_find(r->gguf, full_key(r, suffix));
    size_t one;
    if (v == NULL || v->type != GGUF_ARRAY) {
        enum status status = read_size(r, suffix, low, high, fallback, &one);
        for (size_t i = 0; status == STATUS_OK && i < s->n_layers; i++)
            out[i] = (uint32_t)one;
        return status;
    }
    if (v->n < s->n_layers || v->n > s->n_layers + s->n_skipped)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' has %zu values; the model has %zu layers", r->key, v->n,
                               s->n_layers);
    for (size_t i = 0; i < s->n_layers; i++) {
        size_t value = element_at(v, i);
        if (value < low || value > high)
            return error_set_param(r->err, STATUS_FORMAT, r->key,
                                   "key '%s': value %zu is out of range; it must be %zu to %zu",
                                   r->key, i, low, high);
        out[i] = (uint32_t)value;
    }
    return STATUS_OK;
}

enum status read_alike(struct key_reader *r, const struct shape *s, const char *suffix, size_t high,
                       size_t fallback, size_t *out)
{
    uint32_t each[MODEL_MAX_LAYERS] = {0};
    enum status status = read_each(r, suffix, s, 1, high, fallback, each);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 1; i < s->n_layers; i++) {
        if (each[i] != each[0])
            return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                                   "key '%s' differs by layer, which is not supported", r->key);
    }
    *out = each[0];
    return STATUS_OK;
}
