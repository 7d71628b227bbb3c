/* values.c - lists of ids, stop strings and logit biases. What is borrowed stays in cJSON's tree.
 * Any thread. */
#include "api/json/values.h"

#include "api/builder.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status values_ids(const char *field, const struct cJSON *value,
                       const struct tokenizer *tokenizer, struct id_list *out, struct error *err)
{
    size_t n_vocab = tokenizer_n_vocab(tokenizer), n = (size_t)cJSON_GetArraySize(value), i = 0;
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    if (ids == NULL)
        return error_no_memory(err, n * sizeof *ids, "a list of tokens");
    const struct cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(id >= 0 && id < (double)n_vocab && id == floor(id))) {
            free(ids);
            if (!cJSON_IsNumber(item))
                return error_set_param(err, STATUS_INVALID, field,
                                       "%s[%zu] must be a token id, not %s", field, i,
                                       fields_type_name(item));
            return error_set_param(
                err, STATUS_INVALID, field,
                "%s[%zu] must be a token id, an integer from 0 to %zu, not %.17g", field, i,
                n_vocab - 1, item->valuedouble);
        }
        ids[i++] = (int32_t)id;
    }
    *out = (struct id_list){ids, n};
    return STATUS_OK;
}

enum status values_stop_ids(const char *field, const struct cJSON *value,
                            const struct tokenizer *tokenizer, struct stop_id_list *out,
                            struct error *err)
{
    struct id_list list;
    if (!cJSON_IsArray(value))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be an array of token ids, not %s", field,
                               fields_type_name(value));
    if (cJSON_GetArraySize(value) > JOB_STOP_IDS_MAX)
        return error_set_param(err, STATUS_INVALID, field, "%s holds more than %d ids", field,
                               JOB_STOP_IDS_MAX);
    enum status status = values_ids(field, value, tokenizer, &list, err);
    if (status != STATUS_OK)
        return status;
    memcpy(out->ids, list.ids, list.n * sizeof *list.ids);
    out->n = list.n;
    free(list.ids);
    return STATUS_OK;
}

static enum status add_stop(const char *field, const struct cJSON *item, struct stop_list *list,
                            struct error *err)
{
    if (!cJSON_IsString(item))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be a string or an array of strings; %s is neither", field,
                               fields_type_name(item));
    size_t n = strlen(item->valuestring);
    if (n == 0)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s holds an empty string, which would stop everything", field);
    if (list->n == JOB_STOPS_MAX)
        return error_set_param(err, STATUS_INVALID, field, "%s holds more than %d strings", field,
                               JOB_STOPS_MAX);
    list->stops[list->n++] = (struct stop_string){item->valuestring, n};
    return STATUS_OK;
}

enum status values_stops(const char *field, const struct cJSON *value, struct stop_list *out,
                         struct error *err)
{
    struct stop_list list = {.n = 0};
    enum status status = STATUS_OK;
    if (cJSON_IsArray(value)) {
        const struct cJSON *item;
        cJSON_ArrayForEach(item, value)
        {
            status = add_stop(field, item, &list, err);
            if (status != STATUS_OK)
                return status;
        }
    } else {
        status = add_stop(field, value, &list, err);
    }
    if (status == STATUS_OK)
        *out = list;
    return status;
}

/* An id as a name: decimal digits as one writes a number. */
static bool read_id(const char *name, size_t n_vocab, int32_t *out)
{
    size_t value = 0, n = strlen(name);
    if (n == 0 || n > 10 || (n > 1 && name[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        value = value * 10 + (size_t)(name[i] - '0');
    }
    if (value >= n_vocab)
        return false;
    *out = (int32_t)value;
    return true;
}

static enum status read_bias(const char *field, const struct cJSON *item, size_t n_vocab,
                             struct logit_bias *out, struct error *err)
{
    if (!read_id(item->string, n_vocab, &out->id))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s: '%.40s' is not a token id; ids are \"0\" to \"%zu\"", field,
                               item->string, n_vocab - 1);
    double bias = cJSON_IsNumber(item) ? item->valuedouble : cJSON_IsFalse(item) ? -100 : NAN;
    if (!(bias >= -100 && bias <= 100))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s: the bias of %s must be a number from -100 to 100, or false to "
                               "ban it",
                               field, item->string);
    out->bias = (float)bias;
    return STATUS_OK;
}

enum status values_biases(const char *field, const struct cJSON *value, size_t n_vocab,
                          struct bias_list *out, struct error *err)
{
    if (!cJSON_IsObject(value))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be an object of token ids and numbers, not %s", field,
                               fields_type_name(value));
    struct bias_list list = {NULL, 0};
    size_t n = (size_t)cJSON_GetArraySize(value);
    list.biases = malloc((n + 1) * sizeof *list.biases);
    if (list.biases == NULL)
        return error_no_memory(err, n * sizeof *list.biases, "logit biases");
    enum status status = STATUS_OK;
    const struct cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        struct logit_bias bias = {0, 0};
        status = read_bias(field, item, n_vocab, &bias, err);
        if (status != STATUS_OK)
            goto fail;
        list.biases[list.n++] = bias;
    }
    int32_t twice;
    if (!builder_order_biases(list.biases, list.n, &twice)) {
        status = error_set_param(err, STATUS_INVALID, field,
                                 "%s: token %" PRId32 " appears more than once", field, twice);
        goto fail;
    }
    *out = list;
    return STATUS_OK;
fail:
    free(list.biases);
    return status;
}

const struct cJSON *values_member(const struct cJSON *object, const char *name)
{
    const struct cJSON *found =
        object != NULL ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
    return cJSON_IsNull(found) ? NULL : found;
}

bool values_is_text(const struct cJSON *value, const char *text)
{
    return cJSON_IsString(value) && strcmp(value->valuestring, text) == 0;
}

enum status values_check_object(const struct cJSON *value, const char *field, struct error *err)
{
    if (value == NULL || cJSON_IsObject(value))
        return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, field, "%s must be an object, not %s", field,
                           fields_type_name(value));
}
