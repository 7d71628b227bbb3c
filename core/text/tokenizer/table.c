/* table.c - the two hash tables of a vocabulary: text to id, and pair of ids to merge.
 *
 * Open addressing with linear probing, at most half full, filled once at creation. Any thread may
 * look up. Knows nothing of texts to encode.
 */
#include "text/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15U;
    h ^= h >> 29;
    return h;
}

uint64_t table_hash(uint64_t key, const char *bytes, size_t n)
{
    uint64_t h = key ^ n;
    while (n >= 8) {
        uint64_t part;
        memcpy(&part, bytes, 8);
        h = mix((h ^ part) * 0xd6e8feb86659fd93U);
        bytes += 8;
        n -= 8;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, n);
    return mix((h ^ rest) * 0xd6e8feb86659fd93U);
}

uint64_t table_hash_number(uint64_t key, uint64_t number)
{
    return mix((key ^ number) * 0xd6e8feb86659fd93U);
}

/* The smallest power of two that leaves half of the slots free. */
static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

enum status text_table_build(struct tokenizer *t, struct error *err)
{
    size_t size = table_size(t->n_vocab);
    t->texts.slots = calloc(size, sizeof *t->texts.slots);
    if (!t->texts.slots)
        return error_no_memory(err, size * sizeof *t->texts.slots, "the vocabulary's index");
    t->texts.mask = size - 1;
    for (size_t id = 0; id < t->n_vocab; id++) {
        struct gguf_string entry = strings_at(&t->entries, id);
        if (entry.n == 0 || text_table_find(t, entry.bytes, entry.n) != TOKEN_NONE)
            continue; /* of equal entries the lowest id is the one that texts become */
        size_t i = table_hash(t->texts.key, entry.bytes, entry.n) & t->texts.mask;
        while (t->texts.slots[i])
            i = (i + 1) & t->texts.mask;
        t->texts.slots[i] = (uint32_t)id + 1;
        t->has_length[entry.n] = 1;
    }
    return STATUS_OK;
}

int32_t text_table_find(const struct tokenizer *t, const char *text, size_t n)
{
    if (n > t->max_entry || !t->has_length[n])
        return TOKEN_NONE;
    size_t i = table_hash(t->texts.key, text, n) & t->texts.mask;
    for (; t->texts.slots[i]; i = (i + 1) & t->texts.mask) {
        uint32_t id = t->texts.slots[i] - 1;
        struct gguf_string entry = strings_at(&t->entries, id);
        if (entry.n == n && memcmp(entry.bytes, text, n) == 0)
            return (int32_t)id;
    }
    return TOKEN_NONE;
}

/* Where the search for a pair begins. */
static size_t pair_slot(const struct pair_table *table, uint32_t left, uint32_t right)
{
    return (size_t)table_hash_number(table->key, (uint64_t)left << 32 | right) & table->mask;
}

enum status pair_table_init(struct pair_table *table, size_t n_pairs, struct error *err)
{
    size_t size = table_size(n_pairs);
    table->slots = malloc(size * sizeof *table->slots);
    if (!table->slots)
        return error_no_memory(err, size * sizeof *table->slots, "the vocabulary's merges");
    memset(table->slots, 0xff, size * sizeof *table->slots);
    table->mask = size - 1;
    return STATUS_OK;
}

void pair_table_add(struct pair_table *table, struct pair pair)
{
    size_t i = pair_slot(table, pair.left, pair.right);
    for (; table->slots[i].left != UINT32_MAX; i = (i + 1) & table->mask)
        if (table->slots[i].left == pair.left && table->slots[i].right == pair.right)
            return;
    table->slots[i] = pair;
}

const struct pair *pair_table_find(const struct pair_table *table, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    size_t i = pair_slot(table, (uint32_t)left, (uint32_t)right);
    for (; table->slots[i].left != UINT32_MAX; i = (i + 1) & table->mask)
        if (table->slots[i].left == (uint32_t)left && table->slots[i].right == (uint32_t)right)
            return &table->slots[i];
    return NULL;
}
