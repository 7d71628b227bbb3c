/* guide.h - keeps one sequence's text inside a grammar.
 *
 * Says which tokens may come next and is told each one that came. Tokens that end a text may come
 * where the grammar lets it end, and nowhere else; control tokens only where the request has them
 * shown, as text by their name. What it says follows from the text alone, never from when it is
 * asked. All memory is taken when it is created. One thread at a time.
 */
#pragma once

#include "grammar/grammar.h"
#include "guide/tokens.h"

struct guide_ids { /* borrowed */
    const int32_t *ids;
    size_t n;
};

struct guide {
    struct matcher *matcher;           /* owned */
    const struct grammar *grammar;     /* borrowed */
    const struct guide_tokens *tokens; /* borrowed; the rest is set before it is first asked */
    struct guide_ids shown;            /* control tokens that are text by their name */
    struct guide_ids stops;            /* tokens that end this text besides the model's */
};

/* STATUS_NO_MEMORY. */
enum status guide_create(struct guide **out, const struct grammar *grammar, struct error *err);
void guide_destroy(struct guide *guide); /* takes NULL */

/* Into bits [vocabulary_n_words]: the tokens that may come next. Of ends, the model's unless
 * ban_ends, the request's own unless ban_stops. Allocates nothing. */
void guide_mask(struct guide *guide, struct mask_scratch *scratch, bool ban_ends, bool ban_stops,
                uint64_t *bits);
/* A token that the last mask allows has come, and is not an end. */
void guide_take(struct guide *guide, const struct tokenizer *tokenizer, int32_t id);
bool guide_may_end(const struct guide *guide);
