/* vocabulary.c - sorts the tokens and lays the trees out. See vocabulary.h. */
#include "grammar/vocabulary.h"

#include "base/utf8.h"
#include "grammar/kinds.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_MOST = 4096 }; /* bytes: a node's depth is 16 bits */

struct entry {
    const char *bytes;
    size_t n;
    uint32_t id;
    bool plain;
};

static int by_bytes(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->plain != y->plain)
        return x->plain ? -1 : 1;
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

/* --- kinds --- */

/* The character at *bytes, its kind and its bytes. */
static size_t next_kind(const char *bytes, size_t n, unsigned *kind)
{
    uint32_t cp;
    if ((uint8_t)bytes[0] < 128) {
        *kind = kind_of((uint8_t)bytes[0]);
        return 1;
    }
    size_t length = utf8_decode(bytes, n, &cp);
    *kind = length > 0 ? KIND_BEYOND : KIND_PARTIAL;
    return length > 0 ? length : 1;
}

static bool is_plain(const char *bytes, size_t n)
{
    static const uint64_t special =
        (uint64_t)1 << KIND_LINE | (uint64_t)1 << KIND_CONTROL | (uint64_t)1 << KIND_PARTIAL;
    unsigned kind;
    for (size_t i = 0; i < n;) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            return false;
        i += next_kind(bytes + i, n - i, &kind);
        if ((special >> kind & 1) != 0)
            return false;
    }
    return true;
}

struct laying {
    struct vocabulary *v;
    uint32_t open[PIECE_MOST + 1]; /* the present token's nodes; the first is the root */
    struct vocabulary_below rest[PIECE_MOST + 1]; /* of a token: what comes from a byte on */
    size_t n_nodes, n_tokens;                     /* so far */
};

/* Tells the nodes on a token's way what comes after each of them. From the middle of a character
 * on, its other bytes are none. */
static void add_below(struct laying *l, const struct entry *entry)
{
    l->rest[entry->n] = (struct vocabulary_below){0};
    for (size_t i = entry->n; i-- > 0;) {
        unsigned kind;
        const size_t length = next_kind(entry->bytes + i, entry->n - i, &kind);
        const struct vocabulary_below *more = &l->rest[i + length];
        struct vocabulary_below *below = &l->v->below[l->open[i]];
        l->rest[i].kinds = more->kinds | (uint64_t)1 << kind;
        l->rest[i].n = more->n + 1;
        below->kinds |= l->rest[i].kinds;
        below->n = l->rest[i].n > below->n ? l->rest[i].n : below->n;
    }
}

/* --- the trees --- */

static void add_to_slices(struct vocabulary *v, uint32_t id, size_t n_characters)
{
    for (size_t n = n_characters; n <= VOCABULARY_SLICES; n++)
        v->slices[(n - 1) * vocabulary_n_words(v) + id / 64] |= (uint64_t)1 << id % 64;
}

/* The nodes of sorted entries, as one tree; returns its root. */
static uint32_t lay_out(struct laying *l, const struct entry *entries, size_t n)
{
    struct vocabulary_node *nodes = l->v->nodes;
    const uint32_t root = (uint32_t)l->n_nodes++;
    size_t depth = 0;
    l->open[0] = root;
    nodes[root] = (struct vocabulary_node){.first_token = (uint32_t)l->n_tokens};
    for (size_t i = 0; i < n; i++) {
        size_t same = i > 0 ? in_common(&entries[i - 1], &entries[i]) : 0;
        for (; depth > same; depth--)
            nodes[l->open[depth]].end = (uint32_t)l->n_nodes;
        for (; depth < entries[i].n; depth++) {
            l->open[depth + 1] = (uint32_t)l->n_nodes;
            nodes[l->n_nodes++] =
                (struct vocabulary_node){.first_token = (uint32_t)l->n_tokens,
                                         .depth = (uint16_t)(depth + 1),
                                         .byte = (uint8_t)entries[i].bytes[depth]};
        }
        add_below(l, &entries[i]);
        if (entries[i].plain)
            add_to_slices(l->v, entries[i].id, l->rest[0].n);
        l->v->tokens[l->n_tokens++] = entries[i].id;
    }
    for (; depth > 0; depth--)
        nodes[l->open[depth]].end = (uint32_t)l->n_nodes;
    nodes[root].end = (uint32_t)l->n_nodes;
    return root;
}

static size_t count_nodes(const struct entry *entries, size_t n)
{
    size_t n_nodes = 2;
    for (size_t i = 0; i < n; i++)
        n_nodes += entries[i].n - (i > 0 && entries[i - 1].plain == entries[i].plain
                                       ? in_common(&entries[i - 1], &entries[i])
                                       : 0);
    return n_nodes;
}

static size_t sort_entries(struct entry *entries, const struct vocabulary_piece *pieces,
                           size_t n_ids)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (pieces[i].bytes != NULL && pieces[i].n > 0 && pieces[i].n <= PIECE_MOST)
            entries[n++] = (struct entry){.bytes = pieces[i].bytes,
                                          .n = pieces[i].n,
                                          .id = (uint32_t)i,
                                          .plain = is_plain(pieces[i].bytes, pieces[i].n)};
    if (n > 0)
        qsort(entries, n, sizeof *entries, by_bytes);
    return n;
}

static bool make_room(struct vocabulary *v, size_t n_nodes)
{
    v->nodes = calloc(n_nodes + 1, sizeof *v->nodes);
    v->below = calloc(n_nodes + 1, sizeof *v->below);
    v->tokens = calloc(v->n_tokens + 1, sizeof *v->tokens);
    v->control = calloc(vocabulary_n_words(v) + 1, sizeof *v->control);
    v->slices = calloc(VOCABULARY_SLICES * vocabulary_n_words(v) + 1, sizeof *v->slices);
    return v->nodes != NULL && v->below != NULL && v->tokens != NULL && v->control != NULL &&
           v->slices != NULL;
}

/* Both trees of what is sorted: plain tokens come first. */
static void lay_out_all(struct laying *l, const struct entry *entries)
{
    struct vocabulary *v = l->v;
    size_t n_plain = 0;
    while (n_plain < v->n_tokens && entries[n_plain].plain)
        n_plain++;
    v->roots[0] = lay_out(l, entries, n_plain);
    v->roots[1] = lay_out(l, entries + n_plain, v->n_tokens - n_plain);
    v->n_nodes = l->n_nodes;
    v->nodes[v->n_nodes] =
        (struct vocabulary_node){.end = (uint32_t)v->n_nodes, .first_token = (uint32_t)v->n_tokens};
}

enum status vocabulary_create(struct vocabulary **out, const struct vocabulary_piece *pieces,
                              size_t n_ids, struct error *err)
{
    enum status status = STATUS_OK;
    struct vocabulary *v = calloc(1, sizeof *v);
    struct entry *entries = calloc(n_ids + 1, sizeof *entries);
    struct laying *laying = calloc(1, sizeof *laying);
    if (v == NULL || entries == NULL || laying == NULL) {
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
    if (!make_room(v, n_nodes)) {
        status = error_no_memory(err, n_nodes * sizeof *v->nodes, "the tree of tokens");
        goto end;
    }
    laying->v = v;
    lay_out_all(laying, entries);
    for (size_t i = 0; i < n_ids; i++)
        v->control[i / 64] |= (uint64_t)pieces[i].control << i % 64;
    *out = v;
    v = NULL;
end:
    vocabulary_destroy(v);
    free(entries);
    free(laying);
    return status;
}

void vocabulary_destroy(struct vocabulary *v)
{
    if (v == NULL)
        return;
    free(v->nodes);
    free(v->below);
    free(v->tokens);
    free(v->control);
    free(v->slices);
    free(v);
}
