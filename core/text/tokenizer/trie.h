/* trie.h - the beginnings of a vocabulary's entries, a byte a step: which tokens does a text begin
 * with?
 *
 * For the kinds that look tokens up by prefix (WordPiece, Unigram). Built once, read-only after.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIE_ROOT = 0, TRIE_NONE = 0 }; /* no step leads to the root */

struct trie {
    struct trie_edge *edges; /* [mask + 1], owned */
    size_t mask;
    int32_t *ids; /* [n_nodes] token that ends here, TOKEN_NONE; owned */
    size_t n_nodes;
    uint32_t root[256]; /* the root's children */
    uint64_t key;       /* as a vocabulary's tables have it */
};

/* max_bytes: of all texts that will be added, together. */
enum status trie_init(struct trie *trie, size_t max_bytes, uint64_t key, struct error *err);
void trie_free(struct trie *trie);

/* Of equal texts the first added counts. */
void trie_add(struct trie *trie, const char *text, size_t n, int32_t id);

/* The node that a byte leads to, TRIE_NONE where no entry goes on so. */
uint32_t trie_step(const struct trie *trie, uint32_t node, uint8_t byte);
