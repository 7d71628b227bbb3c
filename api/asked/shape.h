/* shape.h - the shape that a body asks of its answer, whatever the API calls it.
 *
 * A dialect hands over the values of its fields; what comes out is one of five kinds, and one way
 * leads from there to a grammar that is compiled once and shared (api/asked/shaping.h). Errors are
 * STATUS_INVALID and STATUS_UNSUPPORTED and name the field, STATUS_NO_MEMORY. Any thread.
 */
#pragma once

#include "api/json/fields.h"
#include "grammar/expr.h"

#include <stddef.h>

struct api_limits;
struct cJSON;

enum shape_kind {
    SHAPE_NONE,
    SHAPE_OBJECT,  /* any JSON object */
    SHAPE_SCHEMA,  /* what a JSON Schema says */
    SHAPE_GRAMMAR, /* what a GBNF grammar says */
    SHAPE_REGEX,   /* what a regular expression matches from end to end */
    SHAPE_CHOICE,  /* one of several texts */
};

enum { SHAPE_FIELD_MAX = 64, SHAPE_PATH_MAX = 96 };

struct answer_shape { /* zeroed first; shape_free it */
    enum shape_kind kind;
    const struct cJSON *value;   /* the schema, the text, the list; borrowed */
    struct cJSON *owned;         /* value, where it was made here; NULL */
    char field[SHAPE_FIELD_MAX]; /* whose it is, for an error's param: "response_format" */
    char path[SHAPE_PATH_MAX];   /* and where inside: "response_format.json_schema.schema" */
};

struct shape_reading {
    struct answer_shape *shape;      /* what is read goes there */
    const struct api_limits *limits; /* of a schema that is a text */
    const char *field;
};

/* Gives the shape: value is what `inside` the field (".json_schema.schema", or "") says. One that
 * is there already is refused: an answer has one shape. A schema may be a text that holds it. */
enum status shape_set(const struct shape_reading *r, enum shape_kind kind, const char *inside,
                      const struct cJSON *value, struct error *err);

/* The same of texts that come from elsewhere than a body: n of them for a choice, else one. */
enum status shape_set_texts(const struct shape_reading *r, enum shape_kind kind,
                            const char *const *texts, size_t n, struct error *err);

/* {"type": "text" | "json_object" | "json_schema", ...}, as OpenAI's chats (the schema inside
 * "json_schema"), Responses and Anthropic's Messages (beside "type") and llama.cpp's server (a
 * schema with json_object too) have it. value NULL: nothing is asked for. */
enum status shape_read_format(const struct shape_reading *r, const struct cJSON *value,
                              struct error *err);
/* {"json" | "regex" | "choice" | "grammar" | "json_object": ...}, as vLLM has it. */
enum status shape_read_structured(const struct shape_reading *r, const struct cJSON *value,
                                  struct error *err);

/* The answer's texts, as expressions of the builder, in which failures stay. */
const struct expr *shape_expr(struct grammar_builder *b, const struct answer_shape *shape);

/* All that it says, as a text that tells it from every other; malloc'ed. NULL: there is no memory.
 */
char *shape_text(const struct answer_shape *shape);

void shape_free(struct answer_shape *shape); /* takes a zeroed one */
