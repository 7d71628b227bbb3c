/* turns.h - writes a conversation in OpenAI's shape, as api/chat reads it, from the parts of a body
 * whose API has another shape.
 *
 * Texts are copied as they stand in the body, escapes included. Any thread; the memory is the
 * caller's conversation until turns_free.
 */
#pragma once

#include "api/json/json.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct turns { /* zeroed first */
    char *memory;
    struct json_writer text;            /* the array */
    struct json_writer thoughts, calls; /* of the turn: what the model thought, unquoted; its calls
                                           of tools, separated by commas */
    const char *role;                   /* of the turn under way; NULL: none is */
    struct json_span first;             /* its first text, until there is a second */
    struct json_span call;              /* whose result it is; n = 0: none's */
    size_t n_texts, n_turns;
};

/* n_source: bytes of all that will be copied. */
enum status turns_begin(struct turns *t, size_t n_source, struct error *err);
/* The turn that what follows belongs to; role: static. joins: goes on with one of the same role. */
void turns_role(struct turns *t, const char *role, bool joins);
void turns_text(struct turns *t, struct json_span string);
void turns_thought(struct turns *t, struct json_span string); /* of earlier reasoning */
/* A call of a tool by the model, and the turn that has the tool's result; strings, input any. */
void turns_call(struct turns *t, struct json_span id, struct json_span name,
                struct json_span input);
void turns_result(struct turns *t, struct json_span id);
/* The array. n_turns says of how many turns. */
struct json_span turns_end(struct turns *t);
void turns_free(struct turns *t); /* takes a zeroed one */
