/* llama.c - POST /embedding (/embeddings) of llama.cpp's server: a vector of vectors for each text,
 * and texts that are strings and ids together. The decoder on any thread, the writer on the loop
 * thread. */
#include "api/llama/llama.h"

#include "api/vectors/parts.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct field rows[] = {
    {"input", FIELD_ANY, .nullable = true, VECTORS(input)},
    {"content", FIELD_ANY, .nullable = true, VECTORS(content)},
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"embd_normalize", FIELD_ANY, .nullable = true, VECTORS(norm)},
    {"dimensions", FIELD_UINT, .min = 1, .max = 1048576, .nullable = true, VECTORS(dimensions)},
};
/* clang-format on */
const struct field_table vectors_llama_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};

static bool has_text(const struct cJSON *list)
{
    const struct cJSON *item;
    cJSON_ArrayForEach(item, list) if (cJSON_IsString(item)) return true;
    return false;
}

static enum status append(struct id_list *to, const int32_t *ids, size_t n, struct error *err)
{
    int32_t *grown = realloc(to->ids, (to->n + n + 1) * sizeof *grown);
    if (grown == NULL)
        return error_no_memory(err, (to->n + n + 1) * sizeof *grown, "a text's tokens");
    to->ids = grown;
    memcpy(to->ids + to->n, ids, n * sizeof *ids);
    to->n += n;
    return STATUS_OK;
}

/* One part of a text: a string, or an id. first: what the model puts in front comes with it. */
static enum status add_part(struct vectors_reading *r, struct id_list *to, const char *field,
                            struct cJSON *part, bool first, struct error *err)
{
    const struct tokenizer *tokenizer = r->source->tokenizer;
    struct id_list ids = {NULL, 0};
    enum status status;
    if (cJSON_IsString(part)) {
        status =
            builder_tokenize(field, part->valuestring, strlen(part->valuestring),
                             first ? TOKENIZER_ADD_SPECIAL : 0, tokenizer, &ids.ids, &ids.n, err);
    } else {
        struct cJSON one = {.type = cJSON_Array, .child = part}, *next = part->next;
        part->next = NULL;
        status = values_ids(field, &one, tokenizer, &ids, err);
        part->next = next;
    }
    if (status == STATUS_OK)
        status = append(to, ids.ids, ids.n, err);
    free(ids.ids);
    return status;
}

static enum status add_mixed(struct vectors_reading *r, struct generation *g, const char *field,
                             const struct cJSON *list, struct error *err)
{
    struct id_list ids = {NULL, 0};
    struct cJSON *part;
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(part, list)
    {
        status = add_part(r, &ids, field, part, part == list->child, err);
        if (status != STATUS_OK)
            break;
    }
    if (status == STATUS_OK)
        status = vectors_add_ids(r, g, field, ids.ids, ids.n, err);
    free(ids.ids);
    return status;
}

/* Ids with strings among them are one text; strings and lists alone are several. */
static bool is_mixed(const struct cJSON *list)
{
    bool numbers = false;
    const struct cJSON *item;
    if (!cJSON_IsArray(list) || !has_text(list))
        return false;
    cJSON_ArrayForEach(item, list) numbers |= cJSON_IsNumber(item);
    return numbers;
}

static enum status add_all(struct vectors_reading *r, struct generation *g, const char *field,
                           const struct cJSON *texts, struct error *err)
{
    const struct cJSON *text;
    enum status status = STATUS_OK;
    if (is_mixed(texts))
        return add_mixed(r, g, field, texts, err);
    if (!cJSON_IsArray(texts) || cJSON_IsNumber(cJSON_GetArrayItem(texts, 0)))
        return vectors_add_all(r, g, field, texts, err);
    cJSON_ArrayForEach(text, texts)
    {
        status = is_mixed(text) ? add_mixed(r, g, field, text, err)
                                : vectors_add(r, g, field, text, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

static enum status read_norm(const struct cJSON *value, enum vectors_norm *out, struct error *err)
{
    static const enum vectors_norm norms[] = {NORM_NONE, NORM_MAX_INT16, NORM_TAXICAB, NORM_EUCLID};
    *out = NORM_EUCLID;
    for (int i = -1; value != NULL && cJSON_IsNumber(value) && i <= 2; i++) {
        if (value->valuedouble == (double)i) {
            *out = norms[i + 1];
            return STATUS_OK;
        }
    }
    if (value == NULL)
        return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, "embd_normalize",
                           "embd_normalize must be -1 (none), 0 (the largest as an int16's), 1 "
                           "(taxicab) or 2 (Euclidean)");
}

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct vectors_reading r = {.source = NULL};
    struct vectors_wishes *wishes = NULL;
    enum status status = vectors_read(&r, &vectors_llama_fields, source, false, err);
    const struct vectors_values *v = &r.values;
    enum vectors_norm norm = NORM_EUCLID;
    const char *field = v->input == NULL && v->content != NULL ? "content" : "input";
    if (status == STATUS_OK)
        status = read_norm(v->norm, &norm, err);
    if (status == STATUS_OK)
        status = add_all(&r, g, field, v->input != NULL ? v->input : v->content, err);
    if (status == STATUS_OK && g->n_choices == 0)
        status =
            error_set_param(err, STATUS_INVALID, field, "%s must hold at least one text", field);
    if (status == STATUS_OK && (wishes = vectors_wish(&r, g, 0, err)) == NULL)
        status = STATUS_INVALID;
    if (status == STATUS_OK)
        wishes->norm = norm;
    return vectors_end(&r, g, status);
}

static size_t whole_bound(const struct generation *g)
{
    return vectors_bound(g) + 64;
}

static size_t whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "[");
    for (size_t i = 0; i < g->n_choices; i++) {
        json_name_uint(&w, i > 0 ? ",{" : "{", "index", i);
        json_name(&w, ",", "embedding");
        json_raw(&w, "[");
        vectors_put(&w, g, i);
        json_raw(&w, "]}");
    }
    json_raw(&w, "]\n");
    return w.full ? 0 : w.n;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return llama_completion.error(what, message, param, out, room);
}

const struct dialect vectors_llama = {.name = "llama embedding",
                                      .fields = &vectors_llama_fields,
                                      .decode = decode,
                                      .whole_bound = whole_bound,
                                      .whole = whole,
                                      .error = write_error,
                                      VECTORS_WRITERS};
