/* vocabulary.c - sorts the tokens and lays the tree out. See vocabulary.h. */
#include "grammar/vocabulary.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_MOST = 4096 }; /* bytes: a node's depth is 16 bits */

struct entry {
    const char *bytes;
    size_t n;
    uint32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order != 0)
        return order;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t in_common(const struct entry *a, const struct entry *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->bytes[n] == b->bytes[n])
        n++;
    return n;
}

/* The nodes of sorted entries; open: [PIECE_MOST + 1] nodes above the present one. */
static void lay_out(struct vocabulary *v, const struct entry *entries, size_t n, uint32_t *open)
{
    size_t depth = 0, n_nodes = 1;
    v->nodes[0] = (struct vocabulary_node){0};
    for (size_t i = 0; i < n; i++) {
        size_t same = i > 0 ? in_common(&entries[i - 1], &entries[i]) : 0;
        for (; depth > same; depth--)
            v->nodes[open[depth]].end = (uint32_t)n_nodes;
        for (; depth < entries[i].n; n_nodes++) {
            open[depth + 1] = (uint32_t)n_nodes;
            v->nodes[n_nodes] = (struct vocabulary_node){.first_token = (uint32_t)i,
                                                         .depth = (uint16_t)(depth + 1),
                                                         .byte = (uint8_t)entries[i].bytes[depth]};
            depth++;
        }
        v->tokens[i] = entries[i].id;
    }
    for (; depth > 0; depth--)
        v->nodes[open[depth]].end = (uint32_t)n_nodes;
    v->nodes[0].end = (uint32_t)n_nodes;
    v->nodes[n_nodes] =
        (struct vocabulary_node){.end = (uint32_t)n_nodes, .first_token = (uint32_t)n};
    v->n_nodes = n_nodes;
}

static size_t count_nodes(const struct entry *entries, size_t n)
{
    size_t n_nodes = 1;
    for (size_t i = 0; i < n; i++)
        n_nodes += entries[i].n - (i > 0 ? in_common(&entries[i - 1], &entries[i]) : 0);
    return n_nodes;
}

static size_t sort_entries(struct entry *entries, const struct vocabulary_piece *pieces,
                           size_t n_ids)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (pieces[i].bytes != NULL && pieces[i].n > 0 && pieces[i].n <= PIECE_MOST)
            entries[n++] = (struct entry){pieces[i].bytes, pieces[i].n, (uint32_t)i};
    if (n > 0)
        qsort(entries, n, sizeof *entries, by_bytes);
    return n;
}

enum status vocabulary_create(struct vocabulary **out, const struct vocabulary_piece *pieces,
                              size_t n_ids, struct error *err)
{
    enum status status = STATUS_OK;
    struct vocabulary *v = calloc(1, sizeof *v);
    struct entry *entries = calloc(n_ids + 1, sizeof *entries);
    uint32_t *open = calloc(PIECE_MOST + 1, sizeof *open);
    if (v == NULL || entries == NULL || open == NULL) {
        status = error_no_memory(err, n_ids * sizeof *entries, "the tree of tokens");
        goto end;
    }
    v->n_ids = n_ids;
    v->n_tokens = sort_entries(entries, pieces, n_ids);
    for (size_t i = 0; i < v->n_tokens; i++)
        v->longest = entries[i].n > v->longest ? entries[i].n : v->longest;
    size_t n_nodes = count_nodes(entries, v->n_tokens);
    if (n_nodes >= UINT32_MAX) {
        status =
            error_set(err, STATUS_TOO_LARGE, "the vocabulary has more than %u bytes", UINT32_MAX);
        goto end;
    }
    v->nodes = calloc(n_nodes + 1, sizeof *v->nodes);
    v->tokens = calloc(v->n_tokens + 1, sizeof *v->tokens);
    v->control = calloc(vocabulary_n_words(v) + 1, sizeof *v->control);
    if (v->nodes == NULL || v->tokens == NULL || v->control == NULL) {
        status = error_no_memory(err, n_nodes * sizeof *v->nodes, "the tree of tokens");
        goto end;
    }
    lay_out(v, entries, v->n_tokens, open);
    for (size_t i = 0; i < n_ids; i++)
        v->control[i / 64] |= (uint64_t)pieces[i].control << i % 64;
    *out = v;
    v = NULL;
end:
    vocabulary_destroy(v);
    free(entries);
    free(open);
    return status;
}

void vocabulary_destroy(struct vocabulary *v)
{
    if (v == NULL)
        return;
    free(v->nodes);
    free(v->tokens);
    free(v->control);
    free(v);
}
