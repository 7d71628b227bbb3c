/* internal.h - what the files of the tokenizer share: the vocabulary in memory and the
 * parts that read it.
 *
 * Everything in struct tokenizer is written by tokenizer_create and only read after, by any thread;
 * what an encoding writes is in its own struct merger. Not for other rooms: those see tokenizer.h.
 */
#pragma once

#include "text/tokenizer/normalize.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/trie.h"

enum {
    TOKENIZER_MAX_ENTRY = 4096,    /* bytes of one vocabulary entry */
    TOKENIZER_MAX_VOCAB = 1 << 24, /* entries, and merges likewise */
    TOKENIZER_MAX_TEXT =
        1 << 29, /* bytes of one text: what it grows to must fit 32-bit positions */
};

enum tokenizer_kind {
    TOKENIZER_SPM,       /* "llama": SentencePiece's BPE, by scores */
    TOKENIZER_BYTES,     /* "gpt2": BPE over words in the alphabet of bytes, by merges */
    TOKENIZER_RAW,       /* "gemma4": BPE over characters, by merges */
    TOKENIZER_WORDPIECE, /* "bert" */
    TOKENIZER_UNIGRAM,   /* "t5" */
};

enum token_type { /* as in the file */
                  TOKEN_UNDEFINED,
                  TOKEN_NORMAL,
                  TOKEN_UNKNOWN,
                  TOKEN_CONTROL,
                  TOKEN_USER_DEFINED,
                  TOKEN_UNUSED,
                  TOKEN_BYTE,
                  TOKEN_TYPES,
};

enum token_flags {
    TOKEN_FLAG_END = 1,     /* generation stops here */
    TOKEN_FLAG_RSTRIP = 2,  /* swallows the white space that follows it in a text */
    TOKEN_FLAG_BY_TEXT = 4, /* an end that no key of the file names */
    TOKEN_FLAG_SHOWN = 8,   /* a control token whose name is part of an answer's text */
};

/* Strings end to end in one block. */
struct strings {
    char *bytes;       /* owned */
    uint32_t *offsets; /* [n + 1], owned */
};

static inline struct gguf_string strings_at(const struct strings *strings, size_t i)
{
    return (struct gguf_string){strings->bytes + strings->offsets[i],
                                strings->offsets[i + 1] - strings->offsets[i]};
}

/* Text to id: open addressing, a slot holds id + 1, 0 when free. The lowest id of equal texts is
 * found. */
struct text_table {
    uint32_t *slots; /* [mask + 1], owned */
    size_t mask;
    uint64_t key;
};

/* Two ids to the merge that joins them: open addressing, free where left is UINT32_MAX. */
struct pair {
    uint32_t left, right;
    uint32_t rank; /* lower is joined first */
    int32_t id;    /* of the joined token */
};

struct pair_table {
    struct pair *slots; /* [mask + 1], owned */
    size_t mask;
    uint64_t key;
};

/* Finds special tokens: an Aho-Corasick automaton over their texts reversed, so that a walk from
 * the text's end knows at each byte the longest token that begins there. Node 0 is the root. */
struct special_node {
    int32_t fail;
    int32_t any;  /* id of the longest special token here, TOKEN_NONE */
    int32_t user; /* the same among user-defined ones */
};

struct special {
    struct special_node *nodes; /* owned */
    struct special_edge *edges; /* [mask + 1], owned */
    size_t mask;
    uint64_t key;
    int32_t root[256]; /* child of the root, 0 when none */
    bool has_any, has_user;
};

struct special_match {
    uint32_t start; /* byte of the text */
    int32_t id;
    bool crosses; /* it reaches over a plain part's border (special_find_around) */
};

struct special_matches {
    struct special_match *items; /* owned; starts descending */
    size_t n, capacity;
};

struct tokenizer {
    enum tokenizer_kind kind;
    size_t n_vocab;
    struct strings entries; /* as in the file */
    struct strings pieces;  /* the text each token stands for; control tokens: their name */
    uint8_t *types;         /* [n_vocab] enum token_type */
    uint8_t *flags;         /* [n_vocab] enum token_flags */
    uint32_t
        *ranks; /* [n_vocab] SentencePiece: place of its score among all, lower is joined first */
    size_t n_ranks; /* ranks that merges have, byte-level ones too */
    struct text_table texts;
    struct pair_table pairs; /* byte-level */
    struct special special;
    struct pretokenizer *pretokenizer; /* byte-level */
    struct trie trie;                  /* WordPiece, Unigram */
    struct unigram *unigram;           /* Unigram; owned */
    size_t max_newlines;               /* RAW: of the longest token of newlines alone */
    bool merges_newlines;              /* RAW: merges make tokens that have newlines */
    uint32_t word_start;               /* WordPiece: the trie's node of U+2581 */
    uint8_t *bert_classes;             /* WordPiece: [0x110000] enum bert_class, owned */
    bool lowers, strips_accents;       /* WordPiece */
    bool composes;                     /* texts are brought into form NFC first */
    int32_t byte_ids[256];             /* TOKEN_NONE where the vocabulary lacks one */
    int32_t bos, eos, sep, unknown;
    int32_t ends[TOKENIZER_MAX_ENDS]; /* [n_ends], ascending */
    size_t n_ends;
    bool adds_bos, adds_eos, adds_sep;
    bool adds_space;   /* in front of each text */
    bool strips_space; /* decoding takes the space in front off */
    size_t max_entry, max_piece;
    size_t min_special; /* bytes of the shortest special token, 0 when there is none */
    uint8_t has_length[TOKENIZER_MAX_ENTRY +
                       1]; /* is there an entry of so many bytes: most look-ups end here */
};

/* Are bytes entries of their own, <0xNN>? */
static inline bool tokenizer_names_bytes(const struct tokenizer *t)
{
    return t->kind == TOKENIZER_SPM || t->kind == TOKENIZER_RAW || t->kind == TOKENIZER_UNIGRAM;
}

/* load.c */
enum status tokenizer_load(struct tokenizer *t, const struct gguf *gguf, struct error *err);

/* The text of a byte in the alphabet that byte-level vocabularies are written in: 1 or 2 bytes. */
size_t tokenizer_byte_text(uint8_t byte, char out[2]);

/* ends.c: flags the tokens that end a generation by their text, beside those that keys named, and
 * lists them all. */
void tokenizer_find_ends(struct tokenizer *t);

/* ranks.c: which pairs are joined, and in which order. */
/* An array has one element for each token, or is refused. */
enum status tokenizer_check_length(const struct tokenizer *t, const char *key,
                                   const struct gguf_value *array, struct error *err);
enum status tokenizer_load_scores(struct tokenizer *t, const struct gguf *gguf, struct error *err);
enum status tokenizer_load_merges(struct tokenizer *t, const struct gguf *gguf, struct error *err);

/* pieces.c: fills pieces, max_piece from entries and types. */
enum status tokenizer_make_pieces(struct tokenizer *t, struct error *err);

/* table.c */
enum status text_table_build(struct tokenizer *t, struct error *err);
int32_t text_table_find(const struct tokenizer *t, const char *text,
                        size_t n); /* TOKEN_NONE when unknown */
enum status pair_table_init(struct pair_table *table, size_t n_pairs, struct error *err);
void pair_table_add(struct pair_table *table,
                    struct pair pair); /* the first of equal pairs stays */
const struct pair *pair_table_find(const struct pair_table *table, int32_t left,
                                   int32_t right); /* or NULL */

/* The key is new for each tokenizer: a file cannot choose where things lie, so none can make
 * look-ups slow. */
uint64_t table_hash(uint64_t key, const char *bytes, size_t n);
uint64_t table_hash_number(uint64_t key, uint64_t number);

/* special.c */
enum status special_build(struct tokenizer *t, struct error *err);
void special_free(struct special *special);
enum status special_find(const struct special *special, const char *text, size_t n, bool any,
                         struct special_matches *matches, struct error *err);
/* All kinds, but control tokens (and the unknown one) only where no byte lies in a plain part; a
 * user-defined one that begins in another part than it ends in gives way to a control token. */
enum status special_find_around(const struct tokenizer *t, const char *text, size_t n,
                                const struct tokenizer_span *plain, size_t n_plain,
                                struct special_matches *matches, struct error *err);

/* merge.c: one encoding's working memory, grown on demand and reused from word to word.
 */
struct symbol {
    uint32_t start, n; /* bytes of the text; n = 0: joined into its left neighbour */
    int32_t prev, next;
    int32_t id; /* TOKEN_NONE when the vocabulary has no such text */
};

/* Two neighbours that can be joined; in a list of its rank by way of next, or in the heap. */
struct merge_candidate {
    uint32_t left; /* symbol */
    uint32_t n;    /* bytes joined: tells whether the two are still as they were */
    int32_t id;    /* what they become */
    uint32_t next; /* candidate + 1 in the list, 0 for none; in the heap the rank */
};

struct bucket { /* the candidates of one rank; all zero when there are none */
    uint32_t head, tail;
    bool is_unsorted;
};

/* The best way to a byte of a word: Unigram's. */
struct unigram_cell {
    double score;
    uint32_t from; /* where its last piece begins */
    int32_t id;    /* of that piece; TOKEN_NONE: no way found yet */
};

struct merger {
    const struct tokenizer *t;
    struct symbol *symbols; /* owned */
    size_t n_symbols, symbols_capacity;
    struct merge_candidate *candidates; /* owned */
    size_t n_candidates;
    struct merge_candidate *heap; /* those no later than the rank in hand; owned */
    size_t n_heap;
    struct bucket *buckets; /* [t->n_ranks], owned */
    uint32_t *waiting; /* a heap of the ranks whose buckets hold something, [t->n_ranks]; owned */
    size_t n_waiting;
    uint32_t rank; /* in hand */
    uint32_t head; /* what is left of its list */
    char *text;    /* SentencePiece: the fragment with its spaces replaced; owned */
    size_t text_capacity;
    struct normalizer normalizer;
    struct byte_buffer word;    /* one word as it is looked up */
    struct unigram_cell *cells; /* [cells_capacity], owned */
    size_t cells_capacity;
    bool as_is;   /* nothing is normalized */
    int32_t *ids; /* borrowed: the caller's */
    size_t n_ids;
};

void merger_free(struct merger *merger);

/* Appends the ids of one fragment or word to merger->ids. STATUS_INVALID where the vocabulary has
 * no way to write it. */
enum status merge_spm(struct merger *merger, const char *text, size_t n, bool space_in_front,
                      struct error *err);
/* The same by merges, nothing in front. */
enum status merge_raw(struct merger *merger, const char *text, size_t n, struct error *err);
enum status merge_bytes(struct merger *merger, const char *word, size_t n, struct error *err);
