/* tokens.c - from a tokenizer to the tree of its tokens. See tokens.h. Any thread. */
#include "guide/tokens.h"

#include <stdlib.h>

static void fill(struct guide_tokens *tokens, const struct tokenizer *tokenizer, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++) {
        const int32_t id = (int32_t)i;
        struct gguf_string piece = tokenizer_piece(tokenizer, id, true);
        tokens->pieces[i] = (struct vocabulary_piece){piece.bytes, piece.n,
                                                      tokenizer_is_control(tokenizer, id) ||
                                                          tokenizer_is_end(tokenizer, id)};
    }
    tokens->n_ends = tokenizer_ends(tokenizer, &tokens->ends);
}

static bool has_text(const struct vocabulary *v, uint32_t node)
{
    bool found = false;
    for (uint32_t i = v->nodes[node].first_token; i < v->nodes[node + 1].first_token; i++)
        found |= (v->control[v->tokens[i] / 64] >> v->tokens[i] % 64 & 1) == 0;
    return found;
}

static void find_bytes(struct guide_tokens *tokens)
{
    const struct vocabulary *v = tokens->vocabulary;
    bool spelled[256] = {false};
    for (int tree = 0; tree < 2; tree++) {
        const uint32_t root = v->roots[tree], end = v->nodes[root].end;
        for (int byte = 0; byte < 256; byte++)
            tokens->first[tree][byte] = GUIDE_NO_NODE;
        for (uint32_t i = root + 1; i < end; i = v->nodes[i].end) {
            tokens->first[tree][v->nodes[i].byte] = i;
            spelled[v->nodes[i].byte] |= has_text(v, i);
        }
    }
    tokens->spells_all = true;
    for (int byte = 0; byte < 256; byte++)
        tokens->spells_all &= spelled[byte];
}

enum status guide_tokens_create(struct guide_tokens **out, const struct tokenizer *tokenizer,
                                size_t n_ids, struct error *err)
{
    struct guide_tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens != NULL)
        tokens->pieces = calloc(n_ids + 1, sizeof *tokens->pieces);
    enum status status = STATUS_OK;
    if (tokens == NULL || tokens->pieces == NULL)
        status = error_no_memory(err, n_ids * sizeof *tokens->pieces, "the tree of tokens");
    if (status == STATUS_OK) {
        fill(tokens, tokenizer, n_ids);
        status = vocabulary_create(&tokens->vocabulary, tokens->pieces, n_ids, err);
    }
    if (status == STATUS_OK)
        find_bytes(tokens);
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
    free(tokens->pieces);
    free(tokens);
}
