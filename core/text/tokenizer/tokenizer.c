/* tokenizer.c - the tokenizer's face: creation, look-ups, and the way of a text to ids and back.
 *
 * Encoding first finds the special tokens, then hands what lies between them to the merging,
 * byte-level texts by way of the pre-tokenizer. Any thread; each encoding has its own working
 * memory. Knows nothing of models, requests or streams.
 */
#include "text/tokenizer/tokenizer.h"
#include "base/utf8.h"
#include "text/tokenizer/internal.h"
#include "text/tokenizer/unigram.h"
#include "text/tokenizer/wordpiece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static enum status take_key(struct tokenizer *t, struct error *err)
{
    uint64_t key;
    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        return error_errno(err, errno, "cannot get a random number");
    t->texts.key = t->pairs.key = t->special.key = key;
    return STATUS_OK;
}

enum status tokenizer_create(struct tokenizer **out, const struct gguf *gguf, struct error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return error_no_memory(err, sizeof *t, "the tokenizer");
    enum status status = take_key(t, err);
    if (status == STATUS_OK)
        status = tokenizer_load(t, gguf, err);
    if (status != STATUS_OK) {
        tokenizer_destroy(t);
        return status;
    }
    *out = t;
    return STATUS_OK;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    pretokenizer_destroy(tokenizer->pretokenizer);
    special_free(&tokenizer->special);
    trie_free(&tokenizer->trie);
    unigram_free(tokenizer->unigram);
    free(tokenizer->bert_classes);
    free(tokenizer->entries.bytes);
    free(tokenizer->entries.offsets);
    free(tokenizer->pieces.bytes);
    free(tokenizer->pieces.offsets);
    free(tokenizer->types);
    free(tokenizer->flags);
    free(tokenizer->ranks);
    free(tokenizer->texts.slots);
    free(tokenizer->pairs.slots);
    free(tokenizer);
}

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->n_vocab;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int32_t tokenizer_sep(const struct tokenizer *t)
{
    return t->sep;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->adds_eos;
}

static bool is_known(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_vocab;
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return is_known(t, id) && t->flags[id] & TOKEN_FLAG_END;
}

size_t tokenizer_ends(const struct tokenizer *t, const int32_t **ids)
{
    *ids = t->ends;
    return t->n_ends;
}

bool tokenizer_is_end_by_text(const struct tokenizer *t, int32_t id)
{
    return tokenizer_is_end(t, id) && t->flags[id] & TOKEN_FLAG_BY_TEXT;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
    if (!is_known(t, id))
        return false;
    uint8_t type = t->types[id];
    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_UNUSED ||
           type == TOKEN_UNDEFINED;
}

size_t tokenizer_max_piece(const struct tokenizer *t)
{
    return t->max_piece;
}

static const struct {
    const char *model, *name; /* in files, and for people */
} kinds[] = {
    [TOKENIZER_SPM] = {"llama", "SentencePiece"},
    [TOKENIZER_BYTES] = {"gpt2", "byte-level BPE"},
    [TOKENIZER_RAW] = {"gemma4", "BPE over characters"},
    [TOKENIZER_WORDPIECE] = {"bert", "WordPiece"},
    [TOKENIZER_UNIGRAM] = {"t5", "SentencePiece Unigram"},
};

const char *tokenizer_model(const struct tokenizer *t)
{
    return kinds[t->kind].model;
}

const char *tokenizer_kind_name(const struct tokenizer *t)
{
    return kinds[t->kind].name;
}

const char *tokenizer_pre(const struct tokenizer *t)
{
    return t->pretokenizer ? pretokenizer_name(t->pretokenizer) : "";
}

/* Every byte becomes at most one id, but for SentencePiece's spaces, which are three bytes where
 * they are not a token; one more stands in front of each fragment, and there are no more fragments
 * than special tokens fit the text, and one. Normalizing can make a text longer. */
size_t tokenizer_max_ids(const struct tokenizer *t, size_t n_bytes)
{
    size_t per_space = 1, n_fragments = 0, n_ids;
    if (t->kind == TOKENIZER_WORDPIECE || t->composes)
        per_space = NORMALIZE_MAX_GROWTH;
    if (t->kind == TOKENIZER_UNIGRAM)
        per_space = unigram_max_growth(t->unigram);
    if (tokenizer_names_bytes(t) && text_table_find(t, "\xe2\x96\x81", 3) == TOKEN_NONE)
        per_space *= 3;
    if (t->adds_space)
        n_fragments = 1 + (t->min_special ? n_bytes / t->min_special : 0);
    if (__builtin_mul_overflow(n_bytes, per_space, &n_ids) ||
        __builtin_add_overflow(n_ids, per_space * n_fragments + 2, &n_ids))
        return SIZE_MAX;
    return n_ids;
}

/* A text without special tokens. */
static enum status encode_fragment(struct merger *merger, struct pretokenizer_run *run,
                                   const char *text, size_t n, bool space_in_front,
                                   struct error *err)
{
    const struct tokenizer *t = merger->t;
    if (t->kind == TOKENIZER_SPM)
        return merge_spm(merger, text, n, space_in_front, err);
    if (t->kind == TOKENIZER_RAW)
        return merge_raw(merger, text, n, err);
    if (t->kind == TOKENIZER_WORDPIECE)
        return wordpiece_encode(merger, text, n, err);
    if (t->kind == TOKENIZER_UNIGRAM)
        return unigram_encode(merger, text, n, space_in_front, err);
    enum status status = STATUS_OK;
    if (t->composes && !merger->as_is)
        status = normalizer_compose(&merger->normalizer, text, n, &text, &n, err);
    if (status == STATUS_OK)
        status = pretokenizer_run_start(run, text, n, err);
    while (status == STATUS_OK) {
        const char *word;
        size_t n_word;
        status = pretokenizer_run_next(run, &word, &n_word, err);
        if (status != STATUS_OK || n_word == 0)
            return status;
        status = merge_bytes(merger, word, n_word, err);
    }
    return status;
}

static bool is_blank(char c) /* the white space that special tokens swallow: ASCII's */
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text between and around the special tokens found; of overlapping ones the leftmost counts. */
static enum status encode_fragments(struct merger *merger, struct pretokenizer_run *run,
                                    const char *text, size_t n,
                                    const struct special_matches *matches, struct error *err)
{
    const struct tokenizer *t = merger->t;
    enum status status = STATUS_OK;
    size_t at = 0;
    bool after_special = true; /* or first */
    for (size_t i = matches->n; i-- > 0 && status == STATUS_OK;) {
        struct special_match match = matches->items[i];
        if (match.start < at)
            continue;
        if (match.start > at)
            status = encode_fragment(merger, run, text + at, match.start - at,
                                     t->adds_space && after_special, err);
        merger->ids[merger->n_ids++] = match.id;
        after_special = true;
        at = match.start + strings_at(&t->entries, (size_t)match.id).n;
        while (t->flags[match.id] & TOKEN_FLAG_RSTRIP && at < n && is_blank(text[at]))
            at++;
    }
    if (status == STATUS_OK && at < n)
        status =
            encode_fragment(merger, run, text + at, n - at, t->adds_space && after_special, err);
    return status;
}

/* Whether the text itself begins, or ends, with this special token, which then is not added once
 * more. */
static bool begins_with(const struct special_matches *matches, int32_t id)
{
    if (matches->n == 0)
        return false;
    const struct special_match *first = &matches->items[matches->n - 1]; /* starts descend */
    return first->start == 0 && first->id == id;
}

static bool ends_with(const struct tokenizer *t, const struct special_matches *matches,
                      size_t n_bytes, int32_t id)
{
    if (matches->n == 0)
        return false;
    const struct special_match *last = &matches->items[0];
    return last->id == id && last->start + strings_at(&t->entries, (size_t)id).n == n_bytes;
}

/* The token that a text is ended with, by default. */
static int32_t closing(const struct tokenizer *t)
{
    return t->adds_eos ? t->eos : t->adds_sep ? t->sep : TOKEN_NONE;
}

static enum status encode(const struct tokenizer *t, const char *text, size_t n_bytes,
                          unsigned flags, const struct tokenizer_span *plain, size_t n_plain,
                          int32_t *ids, size_t *n_ids, struct error *err)
{
    if (n_bytes > TOKENIZER_MAX_TEXT)
        return error_set(err, STATUS_TOO_LARGE, "the text has %zu bytes; at most %d are allowed",
                         n_bytes, TOKENIZER_MAX_TEXT);
    size_t n_valid = utf8_check(text, n_bytes);
    if (n_valid < n_bytes)
        return error_set(err, STATUS_INVALID, "the text is not UTF-8 at byte %zu", n_valid);
    struct merger merger = {.t = t, .ids = ids, .as_is = flags & TOKENIZER_NO_NORMALIZE};
    int32_t last = closing(t);
    struct special_matches matches = {0};
    struct pretokenizer_run *run = NULL;
    enum status status = n_plain == 0
                             ? special_find(&t->special, text, n_bytes,
                                            flags & TOKENIZER_PARSE_SPECIAL, &matches, err)
                             : special_find_around(t, text, n_bytes, plain, n_plain, &matches, err);
    if (status == STATUS_OK && t->pretokenizer)
        status = pretokenizer_run_create(&run, t->pretokenizer, err);
    if (status == STATUS_OK) {
        if (flags & TOKENIZER_ADD_SPECIAL && t->adds_bos && !begins_with(&matches, t->bos))
            ids[merger.n_ids++] = t->bos;
        status = encode_fragments(&merger, run, text, n_bytes, &matches, err);
    }
    if (status == STATUS_OK) {
        if (flags & TOKENIZER_ADD_SPECIAL && last != TOKEN_NONE &&
            !ends_with(t, &matches, n_bytes, last))
            ids[merger.n_ids++] = last;
        *n_ids = merger.n_ids;
    }
    pretokenizer_run_destroy(run);
    free(matches.items);
    merger_free(&merger);
    return status;
}

enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t n_bytes,
                             unsigned flags, int32_t *ids, size_t *n_ids, struct error *err)
{
    return encode(t, text, n_bytes, flags, NULL, 0, ids, n_ids, err);
}

enum status tokenizer_encode_around(const struct tokenizer *t, const char *text, size_t n_bytes,
                                    unsigned flags, const struct tokenizer_span *plain,
                                    size_t n_plain, int32_t *ids, size_t *n_ids, struct error *err)
{
    return encode(t, text, n_bytes, flags | TOKENIZER_PARSE_SPECIAL, plain, n_plain, ids, n_ids,
                  err);
}

struct gguf_string tokenizer_piece(const struct tokenizer *t, int32_t id, bool with_control)
{
    bool shown = with_control || (is_known(t, id) && t->flags[id] & TOKEN_FLAG_SHOWN);
    if (!is_known(t, id) || (!shown && tokenizer_is_control(t, id)))
        return (struct gguf_string){"", 0};
    return strings_at(&t->pieces, (size_t)id);
}

/* Did encoding begin anew after this token? The unknown one is found in a text as the special ones
 * are; where the vocabulary lacks bytes it also stands for a character, within a word. */
static bool ends_fragment(const struct tokenizer *t, uint8_t type)
{
    return type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED ||
           (type == TOKEN_UNKNOWN && t->byte_ids[0x80] != TOKEN_NONE);
}

/* The inverse of encoding: the space is taken off wherever it was put in front of a fragment. */
size_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n_ids, char *out)
{
    size_t n = 0;
    bool after_special = true; /* or first */
    for (size_t i = 0; i < n_ids; i++) {
        struct gguf_string piece = tokenizer_piece(t, ids[i], true);
        uint8_t type = is_known(t, ids[i]) ? t->types[ids[i]] : TOKEN_UNDEFINED;
        bool is_special = ends_fragment(t, type);
        if (t->strips_space && after_special && !is_special && piece.n > 0 &&
            piece.bytes[0] == ' ') {
            piece.bytes++;
            piece.n--;
        }
        if (out)
            memcpy(out + n, piece.bytes, piece.n);
        n += piece.n;
        after_special = is_special;
    }
    return n;
}

struct gguf_string tokenizer_entry(const struct tokenizer *t, int32_t id)
{
    return is_known(t, id) ? strings_at(&t->entries, (size_t)id) : (struct gguf_string){"", 0};
}
