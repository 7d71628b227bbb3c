/* cache.h - compiled grammars by what they were made of, so that requests share them.
 *
 * Bounded in bytes, which kept masks count towards: the grammar that was asked for longest ago goes
 * first, and lives on while jobs hold it. One grammar is made once, however many ask for it at the
 * same time: the others wait. Any thread. Knows nothing of languages: a key is bytes.
 */
#pragma once

#include "grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grammar_cache;

/* n_bytes: 0 keeps nothing. STATUS_NO_MEMORY. */
enum status grammar_cache_create(struct grammar_cache **out, size_t n_bytes, struct error *err);
/* Takes NULL. References that were handed out stay good. */
void grammar_cache_destroy(struct grammar_cache *cache);

/* A reference to the grammar with this key; NULL: it is not there. Does not wait for one that is
 * being made. */
struct grammar *grammar_cache_find(struct grammar_cache *cache, const char *key, size_t n_key);

typedef enum status grammar_make_fn(void *ctx, struct grammar **out, struct error *err);
/* A reference, to the one that is there or to what `make` makes; its failure is the caller's and is
 * not kept. STATUS_NO_MEMORY. */
enum status grammar_cache_get(struct grammar_cache *cache, const char *key, size_t n_key,
                              grammar_make_fn *make, void *ctx, struct grammar **out,
                              struct error *err);

struct grammar_cache_stats {
    uint64_t hits, compiles; /* requests that found theirs; grammars made, without failures */
    size_t n_bytes;          /* kept, as of the last time one was added */
};
void grammar_cache_stats(struct grammar_cache *cache, struct grammar_cache_stats *out);
