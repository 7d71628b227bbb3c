/* guide.h - keeps one sequence's text inside a grammar.
 *
 * Says which tokens may come next, or which one must, and is told each that came. Tokens that end a
 * text may come where the grammar lets it end, and nowhere else; control tokens only where the
 * request has them shown, as text by their name. Where only one text can go on, its tokens are
 * known without the model: the longest that spell it (forced). A text that can be completed within
 * its limit stays so: a token that leaves no room for the rest is found out (guide_fits), and the
 * shortest completion is at hand (guide_completion). What it says follows from the text and the
 * limit alone, never from when it is asked. All memory is taken when it is created. One thread at a
 * time.
 */
#pragma once

#include "grammar/grammar.h"
#include "guide/tokens.h"
#include "text/sampler.h"

struct guide_ids { /* borrowed */
    const int32_t *ids;
    size_t n;
};

struct guide {
    struct matcher *matcher;           /* owned */
    const struct grammar *grammar;     /* borrowed */
    const struct guide_tokens *tokens; /* borrowed; this and the next four are set before use */
    struct guide_ids shown;            /* control tokens that are text by their name */
    struct guide_ids stops;            /* tokens that end this text besides the model's */
    const struct logit_bias *biases;   /* [n_biases] sorted by id; those of -INFINITY never come */
    size_t n_biases;
    bool closes; /* the whole fitted into the text's limit */
    bool closed; /* the last token completed the text */
};

enum { GUIDE_SHOWN_MAX = 64, GUIDE_NONE = TOKEN_NONE };

/* STATUS_NO_MEMORY. */
enum status guide_create(struct guide **out, const struct grammar *grammar, struct error *err);
/* Another one of the same text, that stands at its beginning; other has begun. */
enum status guide_create_like(struct guide **out, const struct guide *other, struct error *err);
void guide_destroy(struct guide *guide); /* takes NULL */

/* Before the first token: the text has so many at most. STATUS_INVALID: no token can begin it. */
enum status guide_begin(struct guide *guide, size_t max_tokens, struct error *err);

/* Into bits [vocabulary_n_words]: the tokens that may come next. Of ends, the model's unless
 * ban_ends, the request's own unless ban_stops. Allocates nothing. */
void guide_mask(struct guide *guide, struct mask_scratch *scratch, bool ban_ends, bool ban_stops,
                uint64_t *bits);
/* The token that must come; GUIDE_NONE: the model chooses. */
int32_t guide_forced(struct guide *guide);
/* Whether the token may come, and so many after it can complete the text; the latter does not
 * count where they never could. */
bool guide_fits(struct guide *guide, int32_t id, size_t n_left);
/* The next token of the shortest completion; GUIDE_NONE: no token spells it. */
int32_t guide_completion(struct guide *guide);

/* A token has come that is not an end. False: it may not come, and nothing has changed. */
bool guide_take(struct guide *guide, int32_t id);
/* Whether the last mask is not all that may come: finding it would have taken too long. */
bool guide_is_too_ambiguous(const struct guide *guide);
/* Whether the last mask lacks tokens only because the text is nested as deep as it may be. */
bool guide_is_too_deep(const struct guide *guide);
bool guide_may_end(const struct guide *guide);
bool guide_must_end(const struct guide *guide); /* nothing else may come */
bool guide_is_end(const struct guide *guide, int32_t id);
