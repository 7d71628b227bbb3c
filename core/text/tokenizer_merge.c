/* tokenizer_merge.c - the merging at the heart of both kinds of BPE: the best pair of neighbours is
 * joined, again and again.
 *
 * Symbols stand in one dense array, linked to their neighbours; a heap holds the pairs that may be
 * joined, those gone stale are recognised when they come up. So n characters take O(n log n),
 * however they look. A merger belongs to one encoding.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

static const char lower_one_eighth[] = "\xe2\x96\x81"; /* U+2581: SentencePiece's space */
enum { SPACE_BYTES = 3 };

void merger_free(struct merger *merger)
{
    free(merger->symbols);
    free(merger->heap);
    free(merger->text);
}

/* Room for n symbols and for every pair they can come to form: n - 1 at first, and a join turns one
 * into at most two. */
static enum status reserve(struct merger *merger, size_t n, struct error *err)
{
    merger->n_symbols = 0;
    merger->n_heap = 0;
    if (n <= merger->symbols_capacity)
        return STATUS_OK;
    size_t capacity = n < 1024 ? 1024 : n;
    free(merger->symbols); /* nothing in them is worth copying */
    free(merger->heap);
    merger->symbols_capacity = 0;
    merger->symbols = malloc(capacity * sizeof *merger->symbols);
    merger->heap = malloc(2 * capacity * sizeof *merger->heap);
    if (!merger->symbols || !merger->heap)
        return error_no_memory(err, capacity * (sizeof *merger->symbols + 2 * sizeof *merger->heap),
                               "encoding a text");
    merger->symbols_capacity = capacity;
    return STATUS_OK;
}

/* A heap of four children a node: half the levels of two, and a node's children share a cache line.
 */
static void heap_push(struct merger *merger, struct candidate c)
{
    struct candidate *heap = merger->heap;
    size_t i = merger->n_heap++;
    while (i > 0 && heap[(i - 1) / 4].key > c.key) {
        heap[i] = heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    heap[i] = c;
}

static struct candidate heap_pop(struct merger *merger)
{
    struct candidate *heap = merger->heap;
    struct candidate top = heap[0];
    size_t n = --merger->n_heap;
    struct candidate c = heap[n];
    size_t i = 0;
    for (;;) {
        size_t first = 4 * i + 1;
        if (first >= n)
            break;
        size_t last = first + 4 < n ? first + 4 : n;
        size_t best = first;
        for (size_t j = first + 1; j < last; j++)
            if (heap[j].key < heap[best].key)
                best = j;
        if (heap[best].key >= c.key)
            break;
        heap[i] = heap[best];
        i = best;
    }
    heap[i] = c;
    return top;
}

/* The token of a text that merging may make: the text of a control token stays text. */
static int32_t plain_token(const struct tokenizer *t, const char *text, size_t n)
{
    int32_t id = text_table_find(t, text, n);
    if (id == TOKEN_NONE)
        return id;
    uint8_t type = t->types[id];
    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_BYTE ? TOKEN_NONE : id;
}

/* Can these neighbours be joined, and how soon? SentencePiece asks for the joined text, byte-level
 * BPE for the pair. */
static void consider(struct merger *merger, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return;
    const struct tokenizer *t = merger->t;
    const struct symbol *a = &merger->symbols[left], *b = &merger->symbols[right];
    struct candidate c = {.n = a->n + b->n};
    uint32_t priority;
    if (t->is_spm) {
        c.id = plain_token(t, merger->text + a->start, c.n);
        if (c.id == TOKEN_NONE)
            return;
        priority = t->priority[c.id];
    } else {
        const struct pair *pair = pair_table_find(&t->pairs, a->id, b->id);
        if (!pair)
            return;
        c.id = pair->id;
        priority = pair->rank;
    }
    c.key = (uint64_t)priority << 32 | (uint32_t)left;
    heap_push(merger, c);
}

static void add_symbol(struct merger *merger, size_t start, size_t n, int32_t id)
{
    int32_t i = (int32_t)merger->n_symbols++;
    merger->symbols[i] = (struct symbol){(uint32_t)start, (uint32_t)n, i - 1, i + 1, id};
}

static void merge(struct merger *merger)
{
    struct symbol *symbols = merger->symbols;
    size_t n = merger->n_symbols;
    symbols[n - 1].next = -1;
    for (size_t i = 1; i < n; i++)
        consider(merger, (int32_t)i - 1, (int32_t)i);
    while (merger->n_heap > 0) {
        struct candidate c = heap_pop(merger);
        int32_t at = (int32_t)(uint32_t)c.key;
        struct symbol *left = &symbols[at];
        if (left->n == 0 || left->next < 0)
            continue;
        struct symbol *right = &symbols[left->next];
        if (left->n + right->n != c.n) /* one of them has grown since */
            continue;
        left->n = c.n;
        left->id = c.id;
        left->next = right->next;
        right->n = 0;
        if (left->next >= 0)
            symbols[left->next].prev = at;
        consider(merger, left->prev, at);
        consider(merger, at, left->next);
    }
}

static enum status no_token(uint8_t byte, struct error *err)
{
    return error_set(
        err, STATUS_INVALID,
        "the model's vocabulary has no token for byte 0x%02x of the text, and none for the "
        "unknown",
        byte);
}

/* A character that is no token becomes its bytes, else the unknown token. */
static enum status append_bytes(struct merger *merger, const char *bytes, size_t n,
                                struct error *err)
{
    const struct tokenizer *t = merger->t;
    size_t n_ids = merger->n_ids;
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->byte_ids[(uint8_t)bytes[i]];
        if (id == TOKEN_NONE) {
            if (t->unknown == TOKEN_NONE)
                return no_token((uint8_t)bytes[i], err);
            merger->ids[merger->n_ids++] = t->unknown;
            return STATUS_OK;
        }
        merger->ids[n_ids++] = id;
    }
    merger->n_ids = n_ids;
    return STATUS_OK;
}

static enum status append_symbols(struct merger *merger, const char *text, struct error *err)
{
    for (int32_t i = 0; i >= 0; i = merger->symbols[i].next) {
        const struct symbol *symbol = &merger->symbols[i];
        if (symbol->id != TOKEN_NONE) {
            merger->ids[merger->n_ids++] = symbol->id;
            continue;
        }
        enum status status = append_bytes(merger, text + symbol->start, symbol->n, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The fragment with its spaces written as the vocabulary writes them. */
static enum status escape_spaces(struct merger *merger, const char *text, size_t n,
                                 bool space_in_front, size_t *n_out, struct error *err)
{
    size_t n_spaces = space_in_front;
    for (size_t i = 0; i < n; i++)
        n_spaces += text[i] == ' ';
    size_t needed = n + SPACE_BYTES * n_spaces;
    if (needed > merger->text_capacity) {
        free(merger->text);
        merger->text_capacity = 0;
        merger->text = malloc(needed);
        if (!merger->text)
            return error_no_memory(err, needed, "encoding a text");
        merger->text_capacity = needed;
    }
    char *out = merger->text;
    if (space_in_front) {
        memcpy(out, lower_one_eighth, SPACE_BYTES);
        out += SPACE_BYTES;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ') {
            memcpy(out, lower_one_eighth, SPACE_BYTES);
            out += SPACE_BYTES;
        } else {
            *out++ = text[i];
        }
    }
    *n_out = (size_t)(out - merger->text);
    return STATUS_OK;
}

enum status merge_spm(struct merger *merger, const char *text, size_t n, bool space_in_front,
                      struct error *err)
{
    const struct tokenizer *t = merger->t;
    size_t n_bytes = 0;
    enum status status = escape_spaces(merger, text, n, space_in_front, &n_bytes, err);
    if (status != STATUS_OK)
        return status;
    status =
        reserve(merger, n + space_in_front, err); /* a character is a byte or more of the text */
    if (status != STATUS_OK)
        return status;
    for (size_t at = 0; at < n_bytes;) {
        uint32_t cp;
        size_t length = utf8_decode(merger->text + at, n_bytes - at, &cp);
        add_symbol(merger, at, length, plain_token(t, merger->text + at, length));
        at += length;
    }
    merge(merger);
    return append_symbols(merger, merger->text, err);
}

/* A word that is a token as a whole, where the rules say to look for it. */
static int32_t whole_word(const struct tokenizer *t, const char *word, size_t n)
{
    char text[TOKENIZER_MAX_ENTRY + 2];
    size_t n_text = 0;
    for (size_t i = 0; i < n && n_text <= TOKENIZER_MAX_ENTRY; i++)
        n_text += tokenizer_byte_text((uint8_t)word[i], text + n_text);
    return plain_token(t, text, n_text);
}

enum status merge_bytes(struct merger *merger, const char *word, size_t n, struct error *err)
{
    const struct tokenizer *t = merger->t;
    if (pretokenizer_keeps_words(t->pretokenizer)) {
        int32_t id = whole_word(t, word, n);
        if (id != TOKEN_NONE) {
            merger->ids[merger->n_ids++] = id;
            return STATUS_OK;
        }
    }
    enum status status = reserve(merger, n, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        add_symbol(merger, i, 1, t->byte_ids[(uint8_t)word[i]]);
    merge(merger);
    return append_symbols(merger, word, err);
}
