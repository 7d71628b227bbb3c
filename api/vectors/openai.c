/* openai.c - POST /v1/embeddings. The decoder on any thread, the writer on the loop thread. */
#include "api/openai/openai.h"

#include "api/json/error_body.h"
#include "api/vectors/parts.h"

#include <string.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }

/* clang-format off */
static const struct field rows[] = {
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"input", FIELD_ANY, VECTORS(input)},
    {"encoding_format", FIELD_ANY, .nullable = true, VECTORS(encoding)},
    {"dimensions", FIELD_UINT, .min = 1, .max = 1048576, .nullable = true, VECTORS(dimensions)},
    {"truncate_prompt_tokens", FIELD_UINT, .min = 1, .max = 16777216, .minus_one_most = true,
     .nullable = true, VECTORS(truncate_tokens)},
    {"normalize", FIELD_BOOL, .initial = 1, .nullable = true, VECTORS(normalize)},
    IGNORED("user"), IGNORED("input_type"), IGNORED("task"), IGNORED("priority"),
};
/* clang-format on */
const struct field_table vectors_openai_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};

static enum status read_encoding(const struct cJSON *value, bool *base64, struct error *err)
{
    if (value == NULL || values_is_text(value, "float") || values_is_text(value, "base64")) {
        *base64 = values_is_text(value, "base64");
        return STATUS_OK;
    }
    return error_set_param(err, STATUS_INVALID, "encoding_format",
                           "encoding_format must be \"float\" or \"base64\"");
}

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct vectors_reading r = {.source = NULL};
    struct vectors_wishes *wishes = NULL;
    bool base64 = false;
    enum status status = vectors_read(&r, &vectors_openai_fields, source, false, err);
    if (status == STATUS_OK)
        status = read_encoding(r.values.encoding, &base64, err);
    if (status == STATUS_OK)
        status = vectors_add_all(&r, g, "input", r.values.input, err);
    if (status == STATUS_OK && g->n_choices == 0)
        status = error_set_param(err, STATUS_INVALID, "input", "input must hold at least one text");
    if (status == STATUS_OK && (wishes = vectors_wish(&r, g, 0, err)) == NULL)
        status = STATUS_INVALID;
    if (status == STATUS_OK) {
        wishes->base64 = base64;
        wishes->norm = r.values.normalize ? NORM_EUCLID : NORM_NONE;
    }
    return vectors_end(&r, g, status);
}

static size_t whole_bound(const struct generation *g)
{
    return vectors_bound(g) + 256 + json_string_bound(strlen(g->model));
}

static size_t whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    const struct generation_usage usage = generation_usage(g);
    json_raw(&w, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < g->n_choices; i++) {
        json_name_text(&w, i > 0 ? ",{" : "{", "object", "embedding");
        json_name_uint(&w, ",", "index", i);
        json_name(&w, ",", "embedding");
        vectors_put(&w, g, i);
        json_raw(&w, "}");
    }
    json_name_text(&w, "],", "model", g->model);
    json_name_uint(&w, ",\"usage\":{", "prompt_tokens", usage.prompt);
    json_name_uint(&w, ",", "total_tokens", usage.prompt);
    json_raw(&w, "}}\n");
    return w.full ? 0 : w.n;
}

const struct dialect vectors_openai = {.name = "openai embeddings",
                                       .fields = &vectors_openai_fields,
                                       .decode = decode,
                                       .whole_bound = whole_bound,
                                       .whole = whole,
                                       .error = json_error,
                                       VECTORS_WRITERS};
