/* tokens.c - from a tokenizer to the tree of its tokens. See tokens.h. Any thread. */
#include "guide/tokens.h"

#include <stdlib.h>

static void fill(struct guide_tokens *tokens, const struct tokenizer *tokenizer, size_t n_ids,
                 struct vocabulary_piece *pieces)
{
    for (size_t i = 0; i < n_ids; i++) {
        const int32_t id = (int32_t)i;
        struct gguf_string piece = tokenizer_piece(tokenizer, id, true);
        pieces[i] = (struct vocabulary_piece){piece.bytes, piece.n,
                                              tokenizer_is_control(tokenizer, id) ||
                                                  tokenizer_is_end(tokenizer, id)};
    }
    tokens->n_ends = tokenizer_ends(tokenizer, &tokens->ends);
}

enum status guide_tokens_create(struct guide_tokens **out, const struct tokenizer *tokenizer,
                                size_t n_ids, struct error *err)
{
    struct guide_tokens *tokens = calloc(1, sizeof *tokens);
    struct vocabulary_piece *pieces = calloc(n_ids + 1, sizeof *pieces);
    enum status status = STATUS_OK;
    if (tokens == NULL || pieces == NULL)
        status = error_no_memory(err, n_ids * sizeof *pieces, "the tree of tokens");
    if (status == STATUS_OK) {
        fill(tokens, tokenizer, n_ids, pieces);
        status = vocabulary_create(&tokens->vocabulary, pieces, n_ids, err);
    }
    free(pieces);
    if (status != STATUS_OK) {
        guide_tokens_destroy(tokens);
        return status;
    }
    *out = tokens;
    return STATUS_OK;
}

void guide_tokens_destroy(struct guide_tokens *tokens)
{
    if (tokens == NULL)
        return;
    vocabulary_destroy(tokens->vocabulary);
    free(tokens);
}
