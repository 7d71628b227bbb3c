/* schema.h - a JSON Schema (draft 2020-12, as people write it) as the shape of JSON texts.
 *
 * The texts have their members in the schema's order, and white space as people and models write
 * it, bounded. What a schema says and no automaton can hold is refused by name, never ignored;
 * what only describes ($comment, title, examples, x-...) is. A keyword of one type, where no type
 * is said, means that type. Failures stay in the builder. Pure; one thread. Knows nothing of
 * requests.
 */
#pragma once

#include "grammar/expr.h"

#include <stdbool.h>

struct cJSON;

/* schema: borrowed for the call. */
const struct expr *schema_read(struct grammar_builder *b, const struct cJSON *schema);
/* Any JSON object at all, members nested. */
const struct expr *schema_any_object(struct grammar_builder *b);
/* A part of a schema, whose references are of the root's. */
const struct expr *schema_read_part(struct grammar_builder *b, const struct cJSON *root,
                                    const struct cJSON *part);

/* --- for those who write a schema's values in other words than JSON's --- */

/* What "#/..." points at; NULL: nothing, or another document. */
const struct cJSON *schema_at(const struct cJSON *root, const char *reference);
/* Whether a keyword only tells people something. */
bool schema_only_describes(const char *keyword);
/* The regular expression of a format's strings; NULL: it is unknown here. */
const char *schema_format_pattern(const char *format);
