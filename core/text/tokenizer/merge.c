/* merge.c - the merging at the heart of both kinds of BPE: the best pair of neighbours is
 * joined, again and again, the leftmost of equally good ones first.
 *
 * Symbols stand in one dense array, linked to their neighbours. The pairs that can be joined wait
 * in a list a rank: a rank is taken in hand as a whole and its list, mostly in order already, is
 * walked from left to right. Pairs that turn up for the rank in hand or an earlier one (trained
 * merges make none such) go to a heap. A pair gone stale is recognised when its turn comes. So n
 * characters take O(n log n), however they look. A merger belongs to one encoding.
 */
#include "base/utf8.h"
#include "text/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

static const char lower_one_eighth[] = "\xe2\x96\x81"; /* U+2581: SentencePiece's space */
enum { SPACE_BYTES = 3 };

void merger_free(struct merger *merger)
{
    free(merger->symbols);
    free(merger->candidates);
    free(merger->heap);
    free(merger->buckets);
    free(merger->waiting);
    free(merger->text);
    free(merger->word.bytes);
    free(merger->cells);
    normalizer_free(&merger->normalizer);
}

/* Room for n symbols and for every pair they can come to form: n - 1 at first, and each join makes
 * at most two. */
static enum status reserve(struct merger *merger, size_t n, struct error *err)
{
    merger->n_symbols = 0;
    merger->n_candidates = 0;
    size_t n_ranks = merger->t->n_ranks ? merger->t->n_ranks : 1;
    if (!merger->buckets) {
        merger->buckets = calloc(n_ranks, sizeof *merger->buckets);
        merger->waiting = calloc(n_ranks, sizeof *merger->waiting);
        if (!merger->buckets || !merger->waiting)
            return error_no_memory(err, n_ranks * sizeof *merger->buckets, "encoding a text");
    }
    if (n <= merger->symbols_capacity)
        return STATUS_OK;
    size_t capacity = n < 1024 ? 1024 : n;
    free(merger->symbols); /* nothing in them is worth copying */
    free(merger->candidates);
    free(merger->heap);
    merger->symbols_capacity = 0;
    merger->symbols = malloc(capacity * sizeof *merger->symbols);
    merger->candidates = calloc(3 * capacity, sizeof *merger->candidates);
    merger->heap = calloc(3 * capacity, sizeof *merger->heap);
    if (!merger->symbols || !merger->candidates || !merger->heap)
        return error_no_memory(err, capacity * (sizeof *merger->symbols + 6 * sizeof *merger->heap),
                               "encoding a text");
    merger->symbols_capacity = capacity;
    return STATUS_OK;
}

/* In the heap a candidate's next is its rank. */
static uint64_t heap_key(const struct merge_candidate *c)
{
    return (uint64_t)c->next << 32 | c->left;
}

static void heap_push(struct merger *merger, struct merge_candidate c)
{
    struct merge_candidate *heap = merger->heap;
    size_t i = merger->n_heap++;
    for (; i > 0 && heap_key(&heap[(i - 1) / 2]) > heap_key(&c); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = c;
}

static struct merge_candidate heap_pop(struct merger *merger)
{
    struct merge_candidate *heap = merger->heap;
    struct merge_candidate top = heap[0];
    size_t n = --merger->n_heap;
    struct merge_candidate c = heap[n];
    size_t i = 0;
    for (size_t child = 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && heap_key(&heap[child + 1]) < heap_key(&heap[child]))
            child++;
        if (heap_key(&heap[child]) >= heap_key(&c))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = c;
    return top;
}

static void waiting_push(struct merger *merger, uint32_t rank)
{
    uint32_t *heap = merger->waiting;
    size_t i = merger->n_waiting++;
    for (; i > 0 && heap[(i - 1) / 2] > rank; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = rank;
}

static uint32_t waiting_pop(struct merger *merger)
{
    uint32_t *heap = merger->waiting;
    uint32_t top = heap[0];
    size_t n = --merger->n_waiting;
    uint32_t rank = heap[n];
    size_t i = 0;
    for (size_t child = 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= rank)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = rank;
    return top;
}

/* any: nothing is in hand yet, every rank goes to its list. */
static void add_candidate(struct merger *merger, struct merge_candidate c, uint32_t rank, bool any)
{
    if (!any && rank <= merger->rank) {
        c.next = rank;
        heap_push(merger, c);
        return;
    }
    struct bucket *bucket = &merger->buckets[rank];
    uint32_t i = (uint32_t)++merger->n_candidates; /* + 1, as next has it */
    merger->candidates[i - 1] = c;
    if (bucket->head == 0) {
        bucket->head = i;
        waiting_push(merger, rank);
    } else {
        struct merge_candidate *tail = &merger->candidates[bucket->tail - 1];
        tail->next = i;
        bucket->is_unsorted = bucket->is_unsorted || tail->left > c.left;
    }
    bucket->tail = i;
}

/* Takes the ascending run at the front of *list off it; returns the run's head, 0 when the list is
 * empty. */
static uint32_t take_run(struct merge_candidate *candidates, uint32_t *list)
{
    uint32_t head = *list, last = head;
    if (head == 0)
        return 0;
    while (candidates[last - 1].next != 0 &&
           candidates[candidates[last - 1].next - 1].left >= candidates[last - 1].left)
        last = candidates[last - 1].next;
    *list = candidates[last - 1].next;
    candidates[last - 1].next = 0;
    return head;
}

/* Merges two ascending lists, appends them at *link; returns where the next one is to be appended.
 */
static uint32_t *merge_runs(struct merge_candidate *candidates, uint32_t a, uint32_t b,
                            uint32_t *link)
{
    while (a != 0 && b != 0) {
        uint32_t *from = candidates[b - 1].left < candidates[a - 1].left ? &b : &a;
        *link = *from;
        link = &candidates[*from - 1].next;
        *from = *link;
    }
    *link = a != 0 ? a : b;
    while (*link != 0)
        link = &candidates[*link - 1].next;
    return link;
}

/* Natural merge sort by position: each pass halves the number of ascending runs, of which there are
 * few. */
static uint32_t sort_list(struct merge_candidate *candidates, uint32_t list)
{
    for (;;) {
        uint32_t sorted = 0, *link = &sorted, rest = list;
        size_t n_merged = 0;
        while (rest != 0) {
            uint32_t a = take_run(candidates, &rest);
            uint32_t b = take_run(candidates, &rest);
            link = merge_runs(candidates, a, b, link);
            n_merged++;
        }
        list = sorted;
        if (n_merged <= 1)
            return list;
    }
}

/* The next pair to look at: false when there is none. */
static bool next_candidate(struct merger *merger, struct merge_candidate *out)
{
    struct merge_candidate *candidates = merger->candidates;
    if (merger->head == 0 && merger->n_heap == 0) {
        if (merger->n_waiting == 0)
            return false;
        merger->rank = waiting_pop(merger);
        struct bucket *bucket = &merger->buckets[merger->rank];
        merger->head = bucket->is_unsorted ? sort_list(candidates, bucket->head) : bucket->head;
        *bucket = (struct bucket){0};
    }
    if (merger->n_heap > 0 &&
        (merger->head == 0 || heap_key(&merger->heap[0]) < ((uint64_t)merger->rank << 32 |
                                                            candidates[merger->head - 1].left))) {
        *out = heap_pop(merger);
        return true;
    }
    *out = candidates[merger->head - 1];
    merger->head = out->next;
    return true;
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
static void consider(struct merger *merger, int32_t left, int32_t right, bool first)
{
    if (left < 0 || right < 0)
        return;
    const struct tokenizer *t = merger->t;
    const struct symbol *a = &merger->symbols[left], *b = &merger->symbols[right];
    struct merge_candidate c = {.left = (uint32_t)left, .n = a->n + b->n};
    uint32_t rank;
    if (t->kind == TOKENIZER_SPM) {
        c.id = plain_token(t, merger->text + a->start, c.n);
        if (c.id == TOKEN_NONE)
            return;
        rank = t->ranks[c.id];
    } else {
        const struct pair *pair = pair_table_find(&t->pairs, a->id, b->id);
        if (!pair)
            return;
        c.id = pair->id;
        rank = pair->rank;
    }
    add_candidate(merger, c, rank, first);
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
        consider(merger, (int32_t)i - 1, (int32_t)i, true);
    struct merge_candidate c;
    while (next_candidate(merger, &c)) {
        int32_t at = (int32_t)c.left;
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
        consider(merger, left->prev, at, false);
        consider(merger, at, left->next, false);
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

/* A character that is not a token becomes its bytes, else the unknown token. */
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

/* Characters from begin to end of the escaped text, joined by merges. */
static enum status merge_characters(struct merger *merger, size_t begin, size_t end,
                                    struct error *err)
{
    if (begin == end)
        return STATUS_OK;
    enum status status = reserve(merger, end - begin, err);
    if (status != STATUS_OK)
        return status;
    for (size_t at = begin; at < end;) {
        uint32_t cp;
        size_t length = utf8_decode(merger->text + at, end - at, &cp);
        add_symbol(merger, at, length, plain_token(merger->t, merger->text + at, length));
        at += length;
    }
    merge(merger);
    return append_symbols(merger, merger->text, err);
}

/* Newlines as the longest tokens that are newlines alone. */
static enum status append_newlines(struct merger *merger, const char *newlines, size_t n,
                                   struct error *err)
{
    const struct tokenizer *t = merger->t;
    enum status status = STATUS_OK;
    for (size_t at = 0, n_taken; at < n && status == STATUS_OK; at += n_taken) {
        int32_t id = TOKEN_NONE;
        n_taken = n - at < t->max_newlines ? n - at : t->max_newlines;
        while (n_taken > 0 && (id = plain_token(t, newlines + at, n_taken)) == TOKEN_NONE)
            n_taken--;
        if (id != TOKEN_NONE) {
            merger->ids[merger->n_ids++] = id;
        } else {
            n_taken = 1;
            status = append_bytes(merger, newlines + at, n_taken, err);
        }
    }
    return status;
}

enum status merge_raw(struct merger *merger, const char *text, size_t n, struct error *err)
{
    size_t n_bytes = 0, at = 0;
    enum status status = escape_spaces(merger, text, n, false, &n_bytes, err);
    if (status != STATUS_OK || merger->t->merges_newlines)
        return status == STATUS_OK ? merge_characters(merger, 0, n_bytes, err) : status;
    while (at < n_bytes && status == STATUS_OK) {
        size_t begin = at;
        while (at < n_bytes && merger->text[at] != '\n')
            at++;
        status = merge_characters(merger, begin, at, err);
        begin = at;
        while (at < n_bytes && merger->text[at] == '\n')
            at++;
        if (status == STATUS_OK)
            status = append_newlines(merger, merger->text + begin, at - begin, err);
    }
    return status;
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
