/* wordpiece.c - cuts a text into words as BERT's tokenizer does, and each word into the longest
 * pieces of the vocabulary, from its beginning on.
 *
 * A GGUF writes U+2581 before the pieces that begin a word, and nothing before those that go on,
 * where BERT's own files write "##". Steps in BERT's order: clean, part ideographs, strip accents,
 * lower case, part punctuation. Words stand in buffers of the encoding; nothing is kept of a text.
 */
#include "text/tokenizer/wordpiece.h"

#include "text/tokenizer/bert_runs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_CODE_POINTS = 0x110000,
    N_RUNS = sizeof bert_runs / sizeof bert_runs[0],
    MAX_WORD = 100, /* characters: BERT takes longer words for unknown ones */
    DOTTED_I = 0x130,
    DOT_ABOVE = 0x307,
    SPACE_BYTES = 3 /* of U+2581 */
};

static const char word_begins[] = "\xe2\x96\x81";

static void fill_classes(uint8_t *classes)
{
    size_t cp = 0;
    for (size_t i = 0; i < N_RUNS; i++) {
        size_t length = bert_runs[i] >> 4;
        uint8_t kind = bert_runs[i] & 0xf;
        assert(kind < BERT_CLASSES && length <= N_CODE_POINTS - cp);
        if (kind != BERT_LETTER) /* else zero as it is */
            memset(classes + cp, kind, length);
        cp += length;
    }
    assert(cp == N_CODE_POINTS);
}

static bool is_piece(const struct tokenizer *t, size_t id)
{
    return t->types[id] == TOKEN_NORMAL || t->types[id] == TOKEN_UNUSED ||
           t->types[id] == TOKEN_USER_DEFINED;
}

enum status wordpiece_build(struct tokenizer *t, struct error *err)
{
    if (t->unknown == TOKEN_NONE)
        return error_set_param(err, STATUS_FORMAT, "tokenizer.ggml.unknown_token_id",
                               "the vocabulary has no unknown token: WordPiece has nothing to "
                               "write a word with that is not in it");
    t->bert_classes = calloc(N_CODE_POINTS, 1);
    if (!t->bert_classes)
        return error_no_memory(err, N_CODE_POINTS, "the table of BERT's classes");
    fill_classes(t->bert_classes);
    enum status status = trie_init(&t->trie, t->entries.offsets[t->n_vocab], t->texts.key, err);
    if (status != STATUS_OK)
        return status;
    for (size_t id = 0; id < t->n_vocab; id++) {
        struct gguf_string entry = strings_at(&t->entries, id);
        if (is_piece(t, id))
            trie_add(&t->trie, entry.bytes, entry.n, (int32_t)id);
    }
    t->word_start = TRIE_ROOT;
    for (size_t i = 0; i < SPACE_BYTES && (i == 0 || t->word_start != TRIE_NONE); i++)
        t->word_start = trie_step(&t->trie, t->word_start, (uint8_t)word_begins[i]);
    return STATUS_OK;
}

static bool begins_a_word(const char *text, size_t n)
{
    return n >= SPACE_BYTES && memcmp(text, word_begins, SPACE_BYTES) == 0;
}

/* The longest piece that text begins with, from a node on; its bytes in *n_found. */
static int32_t longest(const struct trie *trie, uint32_t node, const char *text, size_t n,
                       size_t *n_found)
{
    int32_t found = TOKEN_NONE;
    for (size_t i = 0; i < n; i++) {
        node = trie_step(trie, node, (uint8_t)text[i]);
        if (node == TRIE_NONE)
            break;
        if (trie->ids[node] != TOKEN_NONE) {
            found = trie->ids[node];
            *n_found = i + 1;
        }
    }
    return found;
}

/* A piece amid a word. An entry that begins with U+2581 begins words, unless it is that alone. */
static int32_t longest_within(const struct trie *trie, const char *text, size_t n, size_t *n_found)
{
    if (begins_a_word(text, n))
        n = SPACE_BYTES;
    return longest(trie, TRIE_ROOT, text, n, n_found);
}

/* A word of n bytes to its pieces, or to the unknown token where some part of it is none. */
static void append_word(struct merger *merger, const char *word, size_t n, size_t n_chars)
{
    const struct tokenizer *t = merger->t;
    size_t n_ids = merger->n_ids;
    uint32_t start = t->word_start;
    bool known = n_chars <= MAX_WORD && start != TRIE_NONE;
    for (size_t at = 0, n_piece = 0; at < n && known; at += n_piece) {
        int32_t id = at == 0 ? longest(&t->trie, start, word, n, &n_piece)
                             : longest_within(&t->trie, word + at, n - at, &n_piece);
        known = id != TOKEN_NONE;
        merger->ids[merger->n_ids++] = id;
    }
    if (!known) {
        merger->n_ids = n_ids;
        merger->ids[merger->n_ids++] = t->unknown;
    }
}

/* Lower case; of all characters one becomes two. */
static enum status add_lower(struct merger *merger, uint32_t cp, size_t *n_chars, struct error *err)
{
    enum status status = bytes_append_point(&merger->word, (int32_t)normalize_lower(cp), err);
    (*n_chars)++;
    if (status == STATUS_OK && cp == DOTTED_I) {
        status = bytes_append_point(&merger->word, DOT_ABOVE, err);
        (*n_chars)++;
    }
    return status;
}

static void end_word(struct merger *merger, size_t *n_chars)
{
    if (merger->word.n > 0)
        append_word(merger, merger->word.bytes, merger->word.n, *n_chars);
    merger->word.n = 0;
    *n_chars = 0;
}

/* What stands between spaces and ideographs, as code points, to its words. */
static enum status append_points(struct merger *merger, struct error *err)
{
    const struct tokenizer *t = merger->t;
    struct point_buffer *points = &merger->normalizer.points;
    bool strips = t->strips_accents && !merger->as_is, lowers = t->lowers && !merger->as_is;
    enum status status = STATUS_OK;
    if (strips)
        status = normalize_order(points, &merger->normalizer.scratch, err);
    size_t n_chars = 0;
    merger->word.n = 0;
    for (size_t i = 0; i < points->n && status == STATUS_OK; i++) {
        uint32_t cp = (uint32_t)points->items[i];
        uint8_t class = t->bert_classes[cp];
        if (strips && class == BERT_MARK)
            continue;
        if (class == BERT_SPACE || class == BERT_PUNCTUATION)
            end_word(merger, &n_chars);
        if (class == BERT_SPACE)
            continue;
        if (lowers) {
            status = add_lower(merger, cp, &n_chars, err);
        } else {
            status = bytes_append_point(&merger->word, (int32_t)cp, err);
            n_chars++;
        }
        if (class == BERT_PUNCTUATION)
            end_word(merger, &n_chars);
    }
    end_word(merger, &n_chars);
    points->n = 0;
    return status;
}

static enum status add_point(struct merger *merger, uint32_t cp, struct error *err)
{
    struct point_buffer *points = &merger->normalizer.points;
    if (merger->t->strips_accents && !merger->as_is && cp >= 0xc0)
        return normalize_decompose(points, cp, err);
    enum status status = points_reserve(points, 1, err);
    if (status == STATUS_OK)
        points->items[points->n++] = (int32_t)cp;
    return status;
}

enum status wordpiece_encode(struct merger *merger, const char *text, size_t n, struct error *err)
{
    const struct tokenizer *t = merger->t;
    enum status status = STATUS_OK;
    merger->normalizer.points.n = 0;
    for (size_t at = 0; at < n && status == STATUS_OK;) {
        uint32_t cp;
        at += utf8_decode(text + at, n - at, &cp);
        uint8_t class = t->bert_classes[cp];
        if (class == BERT_DROPPED)
            continue;
        if (class == BERT_SPACE || class == BERT_IDEOGRAPH)
            status = append_points(merger, err);
        if (status == STATUS_OK && class != BERT_SPACE)
            status = add_point(merger, cp, err);
        if (status == STATUS_OK && class == BERT_IDEOGRAPH)
            status = append_points(merger, err);
    }
    return status == STATUS_OK ? append_points(merger, err) : status;
}
