/* read.c - what all bodies that ask for vectors have alike: what the model can do, texts, wishes.
 * Any thread; holds nothing between calls. */
#include "api/vectors/parts.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status check_able(const struct api_limits *limits, bool ranks, struct error *err)
{
    if (ranks && limits->pooling != POOLING_RANK)
        return error_set(err, STATUS_UNABLE,
                         "this model ranks no documents: its file has no head that gives scores");
    if (!ranks && limits->pooling == POOLING_NONE)
        return error_set(err, STATUS_UNABLE,
                         "this model makes no embeddings; a service that is started with --pooling "
                         "mean, last or cls makes them of any model's hidden states");
    if (!ranks && limits->pooling == POOLING_RANK)
        return error_set(err, STATUS_UNABLE,
                         "this model makes no embeddings: it ranks documents (POST /rerank)");
    return STATUS_OK;
}

enum status vectors_read(struct vectors_reading *r, const struct field_table *table,
                         const struct generation_source *source, bool ranks, struct error *err)
{
    const struct api_limits *limits = source->limits;
    const struct field_limits bounds = {
        .max_depth = limits->max_json_depth,
        .max_nodes = limits->max_json_nodes,
        .bounds = {[BOUND_VOCABULARY] = tokenizer_n_vocab(source->tokenizer),
                   [BOUND_CONTEXT] = limits->n_context},
    };
    r->source = source;
    r->table = table;
    enum status status = check_able(limits, ranks, err);
    if (status == STATUS_OK)
        status =
            fields_read(table, &bounds, source->body, source->n_body, &r->values, &r->found, err);
    if (status != STATUS_OK)
        return status;
    const struct cJSON *model = r->values.model;
    if (model != NULL && !cJSON_IsString(model))
        return error_set_param(err, STATUS_INVALID, "model", "model must be a string, not %s",
                               fields_type_name(model));
    r->truncate = r->values.truncate;
    r->most = (size_t)r->values.truncate_tokens;
    return STATUS_OK;
}

bool vectors_has(const struct vectors_reading *r, size_t offset)
{
    return fields_has(r->table, &r->found, offset);
}

static enum status add(struct vectors_reading *r, struct generation *g, const char *field,
                       struct builder_values *values, struct error *err)
{
    const struct api_limits *limits = r->source->limits;
    const struct builder_names names = {field, field, field, field, field};
    values->pooling = limits->pooling;
    values->has_max_tokens = true;
    values->max_tokens = 0;
    values->truncate_to = r->most > 0 ? r->most : r->truncate ? SIZE_MAX : 0;
    return builder_add(g, values, &names, r->source->tokenizer, limits, err);
}

enum status vectors_add_ids(struct vectors_reading *r, struct generation *g, const char *field,
                            const int32_t *ids, size_t n, struct error *err)
{
    struct builder_values values;
    builder_defaults(&values);
    values.ids = ids;
    values.n_ids = n;
    return add(r, g, field, &values, err);
}

enum status vectors_add(struct vectors_reading *r, struct generation *g, const char *field,
                        const struct cJSON *text, struct error *err)
{
    struct builder_values values;
    if (cJSON_IsString(text)) {
        builder_defaults(&values);
        values.text = text->valuestring;
        values.n_text = strlen(text->valuestring);
        return add(r, g, field, &values, err);
    }
    if (!cJSON_IsArray(text))
        return error_set_param(err, STATUS_INVALID, field,
                               "%s must be a string, an array of token ids, or an array of these, "
                               "not %s",
                               field, fields_type_name(text));
    struct id_list ids = {NULL, 0};
    enum status status = values_ids(field, text, r->source->tokenizer, &ids, err);
    if (status == STATUS_OK)
        status = vectors_add_ids(r, g, field, ids.ids, ids.n, err);
    free(ids.ids);
    return status;
}

enum status vectors_add_all(struct vectors_reading *r, struct generation *g, const char *field,
                            const struct cJSON *texts, struct error *err)
{
    if (texts == NULL)
        return error_set_param(err, STATUS_INVALID, field,
                               "%s is missing: give a text, or an array of texts", field);
    if (!cJSON_IsArray(texts) || (texts->child != NULL && cJSON_IsNumber(texts->child)))
        return vectors_add(r, g, field, texts, err);
    const struct cJSON *text;
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(text, texts)
    {
        status = vectors_add(r, g, field, text, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

struct vectors_wishes *vectors_wish(const struct vectors_reading *r, struct generation *g,
                                    size_t n_extra, struct error *err)
{
    const size_t n_vector = r->source->limits->n_vector;
    if (r->values.dimensions > n_vector) {
        error_set_param(err, STATUS_INVALID, "dimensions",
                        "dimensions must be at most %zu, which this model's vectors have, not %llu",
                        n_vector, (unsigned long long)r->values.dimensions);
        return NULL;
    }
    struct vectors_wishes *wishes = calloc(1, sizeof *wishes + n_extra);
    if (wishes == NULL) {
        error_no_memory(err, sizeof *wishes + n_extra, "a request's wishes");
        return NULL;
    }
    wishes->norm = NORM_EUCLID;
    wishes->n_dimensions = r->values.dimensions > 0 ? (size_t)r->values.dimensions : n_vector;
    g->wishes = wishes;
    return wishes;
}

enum status vectors_end(struct vectors_reading *r, struct generation *g, enum status status)
{
    const struct cJSON *model = r->values.model;
    if (status == STATUS_OK) {
        if (model != NULL)
            snprintf(g->asked_model, sizeof g->asked_model, "%s", model->valuestring);
        snprintf(g->ignored, sizeof g->ignored, "%s", r->found.ignored);
    } else {
        generation_free(g, true);
    }
    fields_free(&r->found);
    return status;
}
