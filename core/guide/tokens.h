/* tokens.h - a model's tokens as grammars see them.
 *
 * The tree of all tokens' bytes, control tokens under their names, and those that end a text. Made
 * once for a model, read-only after, shared by all threads. Knows nothing of sequences.
 */
#pragma once

#include "grammar/vocabulary.h"
#include "text/tokenizer/tokenizer.h"

#define GUIDE_NO_NODE UINT32_MAX

struct guide_tokens {
    struct vocabulary *vocabulary;   /* owned; ends are control tokens there */
    struct vocabulary_piece *pieces; /* [n_ids] owned; their bytes are the tokenizer's */
    uint32_t first[2][256];          /* of both trees, the nodes of one byte; GUIDE_NO_NODE */
    bool spells_all;                 /* each byte is a token */
    const int32_t *ends;             /* [n_ends] tokens that end a text; the tokenizer's */
    size_t n_ends;
};

/* n_ids: of the model, which may have more than its tokenizer. The tokenizer stays borrowed.
 * STATUS_NO_MEMORY, STATUS_TOO_LARGE. */
enum status guide_tokens_create(struct guide_tokens **out, const struct tokenizer *tokenizer,
                                size_t n_ids, struct error *err);
void guide_tokens_destroy(struct guide_tokens *tokens); /* takes NULL */
