/* unigram.c - normalizes a text, cuts it into words, and finds each word's pieces with the highest
 * sum of scores (Viterbi's way, one walk of the vocabulary's trie at each character).
 *
 * Does what the `tokenizers` package does, which such models are trained and used with: a cluster
 * of few bytes is replaced as a whole by what its shortest beginning stands for, everything else
 * character by character; a word is what stands between spaces, with U+2581 in front; characters
 * that no piece covers become one unknown token, or their bytes where the vocabulary has those.
 */
#include "text/tokenizer/unigram.h"

#include "text/tokenizer/charsmap.h"
#include "text/tokenizer/classes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define KEY(name) "tokenizer.ggml." name

enum { FEW_BYTES = 6, WORD_START = 0x2581, WORD_START_BYTES = 3 };

static const double unknown_penalty = 10; /* below the lowest score, as SentencePiece has it */

struct unigram {
    struct charsmap map;
    struct char_table *classes; /* owned */
    float *scores;              /* [n_vocab], owned */
    double unknown_score;
    bool merges_spaces; /* runs of them count as one, and none stands at an end */
    bool has_bytes;     /* each byte is a token */
};

void unigram_free(struct unigram *unigram)
{
    if (!unigram)
        return;
    charsmap_free(&unigram->map);
    char_table_destroy(unigram->classes);
    free(unigram->scores);
    free(unigram);
}

size_t unigram_max_growth(const struct unigram *unigram)
{
    return unigram->map.max_growth;
}

static enum status load_map(struct unigram *unigram, const struct gguf *gguf, struct error *err)
{
    static const char key[] = KEY("precompiled_charsmap");
    const struct gguf_value *bytes = gguf_find(gguf, key);
    bool is_signed = bytes && bytes->type == GGUF_ARRAY && bytes->element_type == GGUF_I8;
    bool found = false;
    enum status status =
        gguf_get_array(gguf, key, is_signed ? GGUF_I8 : GGUF_U8, &bytes, &found, err);
    if (status != STATUS_OK)
        return status;
    return charsmap_create(&unigram->map, found ? bytes->bytes : NULL, found ? bytes->n : 0, err);
}

static enum status load_scores(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    struct unigram *unigram = t->unigram;
    const struct gguf_value *scores;
    enum status status = gguf_get_array(gguf, KEY("scores"), GGUF_F32, &scores, NULL, err);
    if (status == STATUS_OK)
        status = tokenizer_check_length(t, KEY("scores"), scores, err);
    if (status != STATUS_OK)
        return status;
    unigram->scores = malloc(t->n_vocab * sizeof *unigram->scores);
    if (!unigram->scores)
        return error_no_memory(err, t->n_vocab * sizeof *unigram->scores, "the scores");
    float lowest = INFINITY;
    for (size_t id = 0; id < t->n_vocab; id++) {
        float score = gguf_f32_at(scores, id);
        if (!isfinite(score))
            return error_set_param(err, STATUS_FORMAT, KEY("scores"),
                                   "element %zu of " KEY("scores") " is not a finite number", id);
        unigram->scores[id] = score;
        lowest = score < lowest ? score : lowest;
    }
    unigram->unknown_score = (double)lowest - unknown_penalty;
    return STATUS_OK;
}

static enum status build_trie(struct tokenizer *t, struct error *err)
{
    enum status status = trie_init(&t->trie, t->entries.offsets[t->n_vocab], t->texts.key, err);
    if (status != STATUS_OK)
        return status;
    for (size_t id = 0; id < t->n_vocab; id++) {
        uint8_t type = t->types[id];
        struct gguf_string entry = strings_at(&t->entries, id);
        if (type == TOKEN_NORMAL || type == TOKEN_UNUSED || type == TOKEN_USER_DEFINED)
            trie_add(&t->trie, entry.bytes, entry.n, (int32_t)id);
    }
    return STATUS_OK;
}

enum status unigram_load(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    if (t->unknown == TOKEN_NONE)
        return error_set_param(err, STATUS_FORMAT, KEY("unknown_token_id"),
                               "the vocabulary has no unknown token: Unigram has nothing to write "
                               "a character with that is not in it");
    t->unigram = calloc(1, sizeof *t->unigram);
    if (!t->unigram)
        return error_no_memory(err, sizeof *t->unigram, "the tokenizer");
    bool found = false;
    t->unigram->merges_spaces = true;
    enum status status = gguf_get_bool(gguf, KEY("remove_extra_whitespaces"),
                                       &t->unigram->merges_spaces, &found, err);
    if (status == STATUS_OK)
        status = load_map(t->unigram, gguf, err);
    if (status == STATUS_OK)
        status = load_scores(t, gguf, err);
    if (status == STATUS_OK)
        status = char_table_create(&t->unigram->classes, LISTS_NONE, err);
    if (status == STATUS_OK)
        status = build_trie(t, err);
    t->unigram->has_bytes = true;
    for (size_t byte = 0; byte < 256; byte++) {
        int32_t id = t->byte_ids[byte];
        t->unigram->has_bytes =
            t->unigram->has_bytes && id != TOKEN_NONE && t->types[id] == TOKEN_BYTE;
    }
    return status;
}

static bool is_start(const char *text, size_t n)
{
    return n >= WORD_START_BYTES && memcmp(text, "\xe2\x96\x81", WORD_START_BYTES) == 0;
}

/* Takes a way to the cell's place if it is the first or better than the one before. */
static void offer(struct unigram_cell *cell, double score, size_t from, int32_t id)
{
    if (cell->id == TOKEN_NONE || score > cell->score)
        *cell = (struct unigram_cell){score, (uint32_t)from, id};
}

/* Writes a piece's ids from its end to its beginning, as they are found. */
static void append_backwards(struct merger *merger, const char *piece, size_t n)
{
    const struct tokenizer *t = merger->t;
    const struct unigram_cell *cells = merger->cells;
    size_t first = merger->n_ids;
    for (size_t end = n; end > 0;) {
        size_t begin = cells[end].from;
        if (cells[end].id != t->unknown) {
            merger->ids[merger->n_ids++] = cells[end].id;
        } else { /* neighbours that are unknown are one */
            while (begin > 0 && cells[begin].id == t->unknown)
                begin = cells[begin].from;
            for (size_t i = end; t->unigram->has_bytes && i-- > begin;)
                merger->ids[merger->n_ids++] = t->byte_ids[(uint8_t)piece[i]];
            if (!t->unigram->has_bytes)
                merger->ids[merger->n_ids++] = t->unknown;
        }
        end = begin;
    }
    for (size_t last = merger->n_ids; first + 1 < last; first++) {
        int32_t id = merger->ids[first];
        merger->ids[first] = merger->ids[--last];
        merger->ids[last] = id;
    }
}

static enum status reserve_cells(struct merger *merger, size_t n, struct error *err)
{
    if (n > merger->cells_capacity) {
        free(merger->cells);
        merger->cells_capacity = 0;
        merger->cells = malloc(2 * n * sizeof *merger->cells);
        if (!merger->cells)
            return error_no_memory(err, 2 * n * sizeof *merger->cells, "encoding a text");
        merger->cells_capacity = 2 * n;
    }
    for (size_t i = 0; i < n; i++)
        merger->cells[i] = (struct unigram_cell){.id = TOKEN_NONE};
    return STATUS_OK;
}

static enum status append_piece(struct merger *merger, const char *piece, size_t n,
                                struct error *err)
{
    const struct tokenizer *t = merger->t;
    const struct unigram *unigram = t->unigram;
    enum status status = reserve_cells(merger, n + 1, err);
    if (status != STATUS_OK)
        return status;
    merger->cells[0].score = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp, node = TRIE_ROOT;
        size_t length = utf8_decode(piece + at, n - at, &cp);
        double score = merger->cells[at].score;
        bool is_covered = false;
        for (size_t end = at; end < n;) {
            node = trie_step(&t->trie, node, (uint8_t)piece[end++]);
            if (node == TRIE_NONE)
                break;
            int32_t id = t->trie.ids[node];
            if (id == TOKEN_NONE)
                continue;
            offer(&merger->cells[end], score + (double)unigram->scores[id], at, id);
            is_covered = is_covered || end == at + length;
        }
        if (!is_covered)
            offer(&merger->cells[at + length], score + unigram->unknown_score, at, t->unknown);
        at += length;
    }
    append_backwards(merger, piece, n);
    return STATUS_OK;
}

/* A word, cut before each U+2581 that it has itself. */
static enum status end_word(struct merger *merger, struct error *err)
{
    struct byte_buffer *word = &merger->word;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < word->n && status == STATUS_OK;) {
        size_t end = at + 1;
        while (end < word->n && !is_start(word->bytes + end, word->n - end))
            end++;
        status = append_piece(merger, word->bytes + at, end - at, err);
        at = end;
    }
    word->n = 0;
    return status;
}

/* Is this a space, where words end? Where spaces are kept, only the one of ASCII is. */
static bool is_space(const struct unigram *unigram, uint32_t cp)
{
    return cp == ' ' ||
           (unigram->merges_spaces && char_table_class(unigram->classes, cp) == CHAR_SPACE);
}

/* A text that is normalized, to the end of its last complete word. */
static enum status add_text(struct merger *merger, const char *text, size_t n, bool *starts,
                            struct error *err)
{
    const struct unigram *unigram = merger->t->unigram;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < n && status == STATUS_OK;) {
        uint32_t cp;
        size_t length = utf8_decode(text + at, n - at, &cp);
        if (is_space(unigram, cp)) {
            status = end_word(merger, err);
            if (status == STATUS_OK && !unigram->merges_spaces)
                status = bytes_append_point(&merger->word, WORD_START, err);
            *starts = true;
        } else {
            if (merger->word.n == 0 && *starts && cp != WORD_START)
                status = bytes_append_point(&merger->word, WORD_START, err);
            if (status == STATUS_OK)
                status = bytes_append(&merger->word, text + at, length, err);
        }
        at += length;
    }
    return status;
}

/* Bytes of the cluster of characters that people take for one. */
static size_t cluster(const char *text, size_t n)
{
    uint32_t cp, next;
    int32_t state = 0;
    size_t end = utf8_decode(text, n, &cp);
    while (end < n) {
        size_t length = utf8_decode(text + end, n - end, &next);
        if ((cp < 0x80 && next < 0x80 && cp != '\r') ||
            utf8proc_grapheme_break_stateful((int32_t)cp, (int32_t)next, &state))
            break;
        cp = next;
        end += length;
    }
    return end;
}

/* A cluster as the map has it, else each of its characters. */
static enum status add_cluster(struct merger *merger, const char *text, size_t n, bool *starts,
                               struct error *err)
{
    const struct charsmap *map = &merger->t->unigram->map;
    const char *value = n < FEW_BYTES ? charsmap_find(map, text, n) : NULL;
    if (value)
        return add_text(merger, value, strlen(value), starts, err);
    enum status status = STATUS_OK;
    for (size_t at = 0; at < n && status == STATUS_OK;) {
        uint32_t cp;
        size_t length = utf8_decode(text + at, n - at, &cp);
        value = charsmap_find(map, text + at, length);
        status = value ? add_text(merger, value, strlen(value), starts, err)
                       : add_text(merger, text + at, length, starts, err);
        at += length;
    }
    return status;
}

enum status unigram_encode(struct merger *merger, const char *text, size_t n, bool space_in_front,
                           struct error *err)
{
    bool starts = space_in_front; /* the next word has U+2581 in front */
    enum status status = STATUS_OK;
    merger->word.n = 0;
    if (merger->as_is)
        status = add_text(merger, text, n, &starts, err);
    for (size_t at = 0; at < n && !merger->as_is && status == STATUS_OK;) {
        size_t length = cluster(text + at, n - at);
        status = add_cluster(merger, text + at, length, &starts, err);
        at += length;
    }
    return status == STATUS_OK ? end_word(merger, err) : status;
}
