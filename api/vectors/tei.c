/* tei.c - Text Embeddings Inference's POST /embed. The decoder on any thread, the writer on the
 * loop thread. */
#include "api/tgi/tgi.h"

#include "api/vectors/parts.h"

#include <string.h>

/* clang-format off */
static const struct field rows[] = {
    {"inputs", FIELD_ANY, VECTORS(input)},
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"normalize", FIELD_BOOL, .initial = 1, .nullable = true, VECTORS(normalize)},
    {"truncate", FIELD_BOOL, .initial = 1, .nullable = true, VECTORS(truncate)},
    {"truncation_direction", FIELD_ANY, .nullable = true, VECTORS(direction)},
    {"dimensions", FIELD_UINT, .min = 1, .max = 1048576, .nullable = true, VECTORS(dimensions)},
    {"prompt_name", FIELD_NONE, .refused = "a GGUF file names no prompts: put it before the text"},
};
/* clang-format on */
const struct field_table vectors_tei_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    struct vectors_reading r = {.source = NULL};
    struct vectors_wishes *wishes = NULL;
    enum status status = vectors_read(&r, &vectors_tei_fields, source, false, err);
    const struct cJSON *direction = r.values.direction;
    if (status == STATUS_OK && direction != NULL && !values_is_text(direction, "right") &&
        !values_is_text(direction, "Right"))
        status = error_set_param(err, STATUS_UNSUPPORTED, "truncation_direction",
                                 "truncation_direction: only \"right\" is supported");
    if (status == STATUS_OK)
        status = vectors_add_all(&r, g, "inputs", r.values.input, err);
    if (status == STATUS_OK && g->n_choices == 0)
        status =
            error_set_param(err, STATUS_INVALID, "inputs", "inputs must hold at least one text");
    if (status == STATUS_OK && (wishes = vectors_wish(&r, g, 0, err)) == NULL)
        status = STATUS_INVALID;
    if (status == STATUS_OK)
        wishes->norm = r.values.normalize ? NORM_EUCLID : NORM_NONE;
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
        json_raw(&w, i > 0 ? "," : "");
        vectors_put(&w, g, i);
    }
    json_raw(&w, "]\n");
    return w.full ? 0 : w.n;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return tgi_generate.error(what, message, param, out, room);
}

const struct dialect vectors_tei = {.name = "tei embed",
                                    .fields = &vectors_tei_fields,
                                    .decode = decode,
                                    .whole_bound = whole_bound,
                                    .whole = whole,
                                    .error = write_error,
                                    VECTORS_WRITERS};
