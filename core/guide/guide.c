/* guide.c - masks, ends and steps of one sequence. See guide.h. */
#include "guide/guide.h"

#include <assert.h>
#include <stdlib.h>

static bool bit_of(const uint64_t *bits, int32_t id)
{
    return (bits[id / 64] >> id % 64 & 1) != 0;
}

static void set_bits(const struct guide *g, const struct guide_ids *ids, bool on, uint64_t *bits)
{
    for (size_t i = 0; i < ids->n; i++) {
        const int32_t id = ids->ids[i];
        if (id < 0 || (size_t)id >= g->tokens->vocabulary->n_ids)
            continue;
        const uint64_t bit = (uint64_t)1 << id % 64;
        bits[id / 64] = on ? bits[id / 64] | bit : bits[id / 64] & ~bit;
    }
}

enum status guide_create(struct guide **out, const struct grammar *grammar, struct error *err)
{
    struct guide *g = calloc(1, sizeof *g);
    if (g == NULL)
        return error_no_memory(err, sizeof *g, "a place in a grammar");
    enum status status = matcher_create(&g->matcher, grammar->automaton, err);
    if (status != STATUS_OK) {
        free(g);
        return status;
    }
    g->grammar = grammar;
    *out = g;
    return STATUS_OK;
}

void guide_destroy(struct guide *g)
{
    if (g == NULL)
        return;
    matcher_destroy(g->matcher);
    free(g);
}

void guide_mask(struct guide *g, struct mask_scratch *scratch, bool ban_ends, bool ban_stops,
                uint64_t *bits)
{
    const struct guide_ids ends = {g->tokens->ends, g->tokens->n_ends};
    const size_t n_words = vocabulary_n_words(g->tokens->vocabulary);
    bool is_shown[64] = {false};
    assert(g->shown.n <= sizeof is_shown);
    masks_fill(g->grammar->masks, g->matcher, scratch, bits);
    for (size_t i = 0; i < g->shown.n; i++)
        is_shown[i] = bit_of(bits, g->shown.ids[i]);
    for (size_t k = 0; k < n_words; k++)
        bits[k] &= ~g->tokens->vocabulary->control[k];
    for (size_t i = 0; i < g->shown.n; i++)
        if (is_shown[i])
            set_bits(g, &(struct guide_ids){&g->shown.ids[i], 1}, true, bits);
    const bool may_end = guide_may_end(g);
    set_bits(g, &ends, may_end && !ban_ends, bits);
    set_bits(g, &g->stops, may_end && !ban_stops, bits);
}

void guide_take(struct guide *g, const struct tokenizer *tokenizer, int32_t id)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, true);
    bool taken = matcher_take(g->matcher, piece.bytes, piece.n);
    assert(taken);
    (void)taken;
}

bool guide_may_end(const struct guide *g)
{
    return matcher_may_end(g->matcher);
}
