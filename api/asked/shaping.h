/* shaping.h - from the shape that a body asks for to the grammar of its answer's text.
 *
 * A grammar is compiled once for all requests that ask for the same, and kept in a cache. What the
 * model thinks before its answer is free: the shape begins after it. Compiling takes long, so on
 * the thread of connections only what is there already is handed out. Errors name the shape's
 * field: STATUS_INVALID (what is too large, too), STATUS_UNSUPPORTED, STATUS_NO_MEMORY.
 */
#pragma once

#include "api/asked/shape.h"
#include "api/reasoning.h"
#include "grammar/cache.h"

#include <stdbool.h>

struct engine;

struct shaping { /* what shapes are compiled with; borrowed */
    struct grammar_cache *cache;
    struct grammar_limits limits;
    /* The model's tokens: engine_vocabulary. */
    enum status (*vocabulary)(struct engine *engine, const struct vocabulary **out,
                              struct error *err);
    struct engine *engine;
};

enum shaping_before { /* what comes before the shape's text */
                      SHAPING_NOTHING,
                      SHAPING_MAY_THINK, /* it may begin with the opening tag */
                      SHAPING_THINKS,    /* it goes on after the opening tag */
};
/* As a choice begins: tags and stage as reasoning_begin leaves them, with the prompt that it read,
 * after which an answer without thoughts was asked for where it ends with the closing tag. */
enum shaping_before shaping_before(const struct reasoning *reasoning, const char *prompt,
                                   size_t n_prompt);

/* A reference to the grammar; tags: of what comes before. STATUS_OK with NULL: it is not there, and
 * may_compile is false. */
enum status shaping_grammar(const struct shaping *shaping, const struct answer_shape *shape,
                            enum shaping_before before, const struct reasoning_tags *tags,
                            bool may_compile, struct grammar **out, struct error *err);
