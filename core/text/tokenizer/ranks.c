/* ranks.c - which neighbours are joined first: SentencePiece's scores and byte-level merges,
 * checked and turned into ranks.
 *
 * Creation only. Nothing in the file is trusted; each refusal names the key.
 */
#include "text/tokenizer/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

enum status tokenizer_check_length(const struct tokenizer *t, const char *key,
                                   const struct gguf_value *array, struct error *err)
{
    if (array->n == t->n_vocab)
        return STATUS_OK;
    return error_set_param(err, STATUS_FORMAT, key,
                           "%s has %zu elements and " KEY("tokens") " %zu: the two must be equal",
                           key, array->n, t->n_vocab);
}

/* Scores as integers in the order of joining: the highest score becomes the smallest. */
static uint32_t order_of_score(float score)
{
    uint32_t bits;
    score += 0.0F; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
    return ~ascending;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Numbers the distinct values from the smallest on, in place: merging keeps a list for each. */
static enum status rank_scores(struct tokenizer *t, struct error *err)
{
    uint32_t *sorted = malloc(t->n_vocab * sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, t->n_vocab * sizeof *sorted, "the vocabulary's scores");
    memcpy(sorted, t->ranks, t->n_vocab * sizeof *sorted);
    qsort(sorted, t->n_vocab, sizeof *sorted, compare_u32);
    t->n_ranks = 1;
    for (size_t i = 1; i < t->n_vocab; i++)
        if (sorted[i] != sorted[t->n_ranks - 1])
            sorted[t->n_ranks++] = sorted[i];
    for (size_t id = 0; id < t->n_vocab; id++) {
        const uint32_t *place =
            bsearch(&t->ranks[id], sorted, t->n_ranks, sizeof *sorted, compare_u32);
        t->ranks[id] = (uint32_t)(place - sorted);
    }
    free(sorted);
    return STATUS_OK;
}

enum status tokenizer_load_scores(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    const struct gguf_value *scores = NULL;
    bool found = false;
    enum status status = gguf_get_array(gguf, KEY("scores"), GGUF_F32, &scores, &found, err);
    if (status == STATUS_OK && found)
        status = tokenizer_check_length(t, KEY("scores"), scores, err);
    if (status != STATUS_OK)
        return status;
    t->ranks = malloc(t->n_vocab * sizeof *t->ranks);
    if (!t->ranks)
        return error_no_memory(err, t->n_vocab * sizeof *t->ranks, "the vocabulary's scores");
    for (size_t id = 0; id < t->n_vocab; id++) {
        float score = found ? gguf_f32_at(scores, id) : 0.0F;
        if (isnan(score))
            return error_set_param(err, STATUS_FORMAT, KEY("scores"),
                                   "element %zu of " KEY("scores") " is not a number", id);
        t->ranks[id] = order_of_score(score);
    }
    return rank_scores(t, err);
}

static enum status bad_merge(size_t i, struct gguf_string merge, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_FORMAT, KEY("merges"),
                           "merge %zu of " KEY("merges") " (\"%.*s\") %s", i,
                           merge.n > 64 ? 64 : (int)merge.n, merge.bytes, why);
}

/* "left right": both and what they join to must be entries. */
static enum status load_merge(struct tokenizer *t, size_t i, struct gguf_string merge,
                              struct error *err)
{
    char joined[TOKENIZER_MAX_ENTRY];
    const char *space = merge.n > 1 ? memchr(merge.bytes + 1, ' ', merge.n - 1) : NULL;
    if (!space)
        return bad_merge(i, merge, "is not two tokens with a space between", err);
    size_t n_left = (size_t)(space - merge.bytes), n_right = merge.n - n_left - 1;
    int32_t left = text_table_find(t, merge.bytes, n_left);
    int32_t right = text_table_find(t, space + 1, n_right);
    if (left == TOKEN_NONE || right == TOKEN_NONE)
        return bad_merge(i, merge, "joins a token that is not in " KEY("tokens"), err);
    if (n_left + n_right > TOKENIZER_MAX_ENTRY)
        return bad_merge(i, merge, "makes a token that is too long", err);
    memcpy(joined, merge.bytes, n_left);
    memcpy(joined + n_left, space + 1, n_right);
    int32_t id = text_table_find(t, joined, n_left + n_right);
    if (id == TOKEN_NONE)
        return bad_merge(i, merge, "makes a token that is not in " KEY("tokens"), err);
    t->merges_newlines = t->merges_newlines || memchr(joined, '\n', n_left + n_right) != NULL;
    if (t->types[id] != TOKEN_CONTROL &&
        t->types[id] != TOKEN_UNKNOWN) /* text never becomes control */
        pair_table_add(&t->pairs, (struct pair){(uint32_t)left, (uint32_t)right, (uint32_t)i, id});
    return STATUS_OK;
}

enum status tokenizer_load_merges(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    const struct gguf_value *merges;
    enum status status = gguf_get_array(gguf, KEY("merges"), GGUF_STRING, &merges, NULL, err);
    if (status != STATUS_OK)
        return status;
    if (merges->n > TOKENIZER_MAX_VOCAB)
        return error_set_param(err, STATUS_FORMAT, KEY("merges"),
                               "%s has %zu elements; at most %d are allowed", KEY("merges"),
                               merges->n, TOKENIZER_MAX_VOCAB);
    t->n_ranks = merges->n;
    status = pair_table_init(&t->pairs, merges->n, err);
    for (size_t i = 0; i < merges->n && status == STATUS_OK; i++)
        status = load_merge(t, i, gguf_string_at(merges, i), err);
    return status;
}
