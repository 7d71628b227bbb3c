/* ollama.c - POST /api/embed, and POST /api/embeddings of older clients, whose vector is not
 * normalized. The decoders on any thread, the writers on the loop thread. */
#include "api/ollama/ollama.h"

#include "api/vectors/parts.h"

#include <string.h>

#define IGNORED(name)                                                                              \
    {                                                                                              \
        (name), FIELD_NONE, .no_effect = true                                                      \
    }

/* clang-format off */
static const struct field rows[] = {
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"input", FIELD_ANY, .nullable = true, VECTORS(input)},
    {"truncate", FIELD_BOOL, .initial = 1, .nullable = true, VECTORS(truncate)},
    {"dimensions", FIELD_UINT, .max = 1048576, .nullable = true, VECTORS(dimensions)},
    IGNORED("options"), IGNORED("keep_alive"),
};
static const struct field one_rows[] = {
    {"model", FIELD_ANY, .nullable = true, VECTORS(model)},
    {"prompt", FIELD_ANY, .nullable = true, VECTORS(input)},
    IGNORED("options"), IGNORED("keep_alive"),
};
/* clang-format on */
const struct field_table vectors_ollama_fields = {
    .fields = rows, .n_fields = sizeof rows / sizeof rows[0], .lenient = true};
const struct field_table vectors_ollama_one_fields = {
    .fields = one_rows, .n_fields = sizeof one_rows / sizeof one_rows[0], .lenient = true};

static enum status decode_by(struct generation *g, const struct generation_source *source,
                             const struct field_table *table, bool one, struct error *err)
{
    struct vectors_reading r = {.source = NULL};
    struct vectors_wishes *wishes = NULL;
    enum status status = vectors_read(&r, table, source, false, err);
    const struct cJSON *input = r.values.input;
    r.truncate |= one;
    /* An empty text has no vector there: clients ask so whether the model is loaded. */
    if (status == STATUS_OK && input != NULL && !values_is_text(input, ""))
        status = one ? vectors_add(&r, g, "prompt", input, err)
                     : vectors_add_all(&r, g, "input", input, err);
    if (status == STATUS_OK && (wishes = vectors_wish(&r, g, 0, err)) == NULL)
        status = STATUS_INVALID;
    if (status == STATUS_OK && one)
        wishes->norm = NORM_NONE;
    return vectors_end(&r, g, status);
}

static enum status decode(struct generation *g, const struct generation_source *source,
                          struct error *err)
{
    return decode_by(g, source, &vectors_ollama_fields, false, err);
}

static enum status decode_one(struct generation *g, const struct generation_source *source,
                              struct error *err)
{
    return decode_by(g, source, &vectors_ollama_one_fields, true, err);
}

static size_t whole_bound(const struct generation *g)
{
    return vectors_bound(g) + 256 + json_string_bound(strlen(g->model));
}

/* ns from the first job's arrival to the last one's end. */
static uint64_t total_ns(const struct generation *g)
{
    uint64_t begin = g->choices[0].job->arrived_ns, end = begin;
    for (size_t i = 0; i < g->n_choices; i++)
        end = g->choices[i].job->read_ns > end ? g->choices[i].job->read_ns : end;
    return end - begin;
}

static size_t whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_text(&w, "{", "model", g->model);
    json_raw(&w, ",\"embeddings\":[");
    for (size_t i = 0; i < g->n_choices; i++) {
        json_raw(&w, i > 0 ? "," : "");
        vectors_put(&w, g, i);
    }
    json_raw(&w, "]");
    if (g->n_choices > 0) {
        json_name_uint(&w, ",", "total_duration", total_ns(g));
        json_name_uint(&w, ",", "load_duration", 0);
        json_name_uint(&w, ",", "prompt_eval_count", generation_usage(g).prompt);
    }
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

static size_t whole_one(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name(&w, "{", "embedding");
    if (g->n_choices > 0)
        vectors_put(&w, g, 0);
    else
        json_raw(&w, "[]");
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}

static size_t write_error(const struct api_error *what, const char *message, const char *param,
                          char *out, size_t room)
{
    return ollama_chat.error(what, message, param, out, room);
}

const struct dialect vectors_ollama = {.name = "ollama embed",
                                       .fields = &vectors_ollama_fields,
                                       .decode = decode,
                                       .whole_bound = whole_bound,
                                       .whole = whole,
                                       .error = write_error,
                                       VECTORS_WRITERS};
const struct dialect vectors_ollama_one = {.name = "ollama embeddings",
                                           .fields = &vectors_ollama_one_fields,
                                           .decode = decode_one,
                                           .whole_bound = whole_bound,
                                           .whole = whole_one,
                                           .error = write_error,
                                           VECTORS_WRITERS};
