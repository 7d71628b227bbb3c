/* trie.c - edges in one hash table, keyed as the vocabulary's other tables, the root's in an array.
 *
 * Nodes are numbered in the order they are made. Knows nothing of what the entries mean.
 */
#include "text/tokenizer/trie.h"

#include "text/tokenizer/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 1 << 24 }; /* real vocabularies: 2 million */

struct trie_edge {
    uint32_t from_byte; /* from << 8 | byte */
    uint32_t to;        /* TRIE_NONE: free */
};

enum status trie_init(struct trie *trie, size_t max_bytes, uint64_t key, struct error *err)
{
    if (max_bytes >= MAX_NODES)
        return error_set_param(err, STATUS_TOO_LARGE, "tokenizer.ggml.tokens",
                               "the tokens have %zu bytes of text, more than the %d that this kind "
                               "of tokenizer takes",
                               max_bytes, MAX_NODES - 1);
    size_t n_slots = 16, n_nodes = max_bytes + 1;
    while (n_slots < n_nodes + n_nodes / 2)
        n_slots *= 2;
    trie->edges = calloc(n_slots, sizeof *trie->edges);
    trie->ids = malloc(n_nodes * sizeof *trie->ids);
    if (!trie->edges || !trie->ids)
        return error_no_memory(err, n_slots * sizeof *trie->edges, "the vocabulary's beginnings");
    trie->mask = n_slots - 1;
    trie->key = key;
    trie->ids[TRIE_ROOT] = TOKEN_NONE;
    trie->n_nodes = 1;
    return STATUS_OK;
}

void trie_free(struct trie *trie)
{
    free(trie->edges);
    free(trie->ids);
}

static size_t slot(const struct trie *trie, uint32_t from_byte)
{
    size_t i = (size_t)table_hash_number(trie->key, from_byte) & trie->mask;
    while (trie->edges[i].to != TRIE_NONE && trie->edges[i].from_byte != from_byte)
        i = (i + 1) & trie->mask;
    return i;
}

uint32_t trie_step(const struct trie *trie, uint32_t node, uint8_t byte)
{
    return node == TRIE_ROOT ? trie->root[byte] : trie->edges[slot(trie, node << 8 | byte)].to;
}

void trie_add(struct trie *trie, const char *text, size_t n, int32_t id)
{
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)text[i];
        uint32_t *to =
            node == TRIE_ROOT ? &trie->root[byte] : &trie->edges[slot(trie, node << 8 | byte)].to;
        if (*to == TRIE_NONE) {
            if (node != TRIE_ROOT)
                trie->edges[slot(trie, node << 8 | byte)].from_byte = node << 8 | byte;
            *to = (uint32_t)trie->n_nodes++;
            trie->ids[*to] = TOKEN_NONE;
        }
        node = *to;
    }
    if (node != TRIE_ROOT && trie->ids[node] == TOKEN_NONE)
        trie->ids[node] = id;
}
