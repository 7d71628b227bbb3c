/* shaped.c - --schema, --grammar, --regex and --choice go the way of a request's fields. */
#include "cli/shaped.h"

#include "api/asked/shaping.h"
#include "api/generation.h"
#include "api/json/json.h"
#include "base/utf8.h"
#include "cli/terminal.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_NODES = 1000000 };
static const struct api_limits limits = {.max_json_depth = 512, .max_json_nodes = SCHEMA_NODES};

/* The shape that a file's text describes; errors from there on are about the file. */
static enum status of_file(struct answer_shape *shape, enum shape_kind kind, const char *flag,
                           const char *path, struct error *err)
{
    const struct shape_reading reading = {shape, &limits, flag};
    char *text = NULL;
    size_t n = 0;
    enum status status = terminal_read(path, &text, &n, err);
    if (status != STATUS_OK)
        return status;
    if (utf8_check(text, n) < n || memchr(text, '\0', n) != NULL)
        status = error_set_param(err, STATUS_INVALID, flag, "%s is not a text in UTF-8", path);
    const char *const texts[] = {text};
    struct error why;
    if (status == STATUS_OK && kind == SHAPE_SCHEMA &&
        json_check(text, n, limits.max_json_depth, limits.max_json_nodes, &why) != STATUS_OK)
        status = error_set_param(err, STATUS_INVALID, flag, "%s: %s", path, why.text);
    if (status == STATUS_OK)
        status = shape_set_texts(&reading, kind, texts, 1, err);
    if (status == STATUS_OK)
        snprintf(shape->path, sizeof shape->path, "%s", path);
    free(text);
    return status;
}

static enum status read_flags(struct answer_shape *shape, const struct settings *s,
                              struct error *err)
{
    const struct shape_reading regex = {shape, &limits, "regex"};
    const struct shape_reading choice = {shape, &limits, "choice"};
    enum status status = STATUS_OK;
    if (s->schema != NULL)
        status = of_file(shape, SHAPE_SCHEMA, "schema", s->schema, err);
    if (status == STATUS_OK && s->grammar != NULL)
        status = of_file(shape, SHAPE_GRAMMAR, "grammar", s->grammar, err);
    if (status == STATUS_OK && s->regex != NULL)
        status = shape_set_texts(&regex, SHAPE_REGEX, &s->regex, 1, err);
    if (status == STATUS_OK && s->regex != NULL)
        snprintf(shape->path, sizeof shape->path, "the expression");
    if (status == STATUS_OK && s->choices.n > 0)
        status = shape_set_texts(&choice, SHAPE_CHOICE, s->choices.items, s->choices.n, err);
    return status;
}

enum status shaped_grammar(struct grammar **out, const struct settings *s, struct engine *engine,
                           struct error *err)
{
    struct answer_shape shape = {.kind = SHAPE_NONE};
    struct shaping shaping = {.limits = {.n_bytes = s->grammar_memory,
                                         .n_states = s->grammar_states,
                                         .depth = (unsigned)s->grammar_depth},
                              .vocabulary = engine_vocabulary,
                              .engine = engine};
    enum status status = read_flags(&shape, s, err);
    *out = NULL;
    if (status == STATUS_OK && shape.kind != SHAPE_NONE) {
        status = grammar_cache_create(&shaping.cache, 0, err); /* there is no later request */
        if (status == STATUS_OK)
            status = shaping_grammar(&shaping, &shape, SHAPING_NOTHING, NULL, true, out, err);
        grammar_cache_destroy(shaping.cache);
    }
    shape_free(&shape);
    return status;
}
