/* tokenizer.h - text to token ids and back, exactly as the model's makers meant it.
 *
 * SentencePiece's BPE ("llama") and Unigram ("t5"), BPE over bytes ("gpt2", with its
 * pre-tokenizers) and over characters ("gemma4"), WordPiece ("bert"): from a GGUF's tokenizer keys
 * alone, so that it works on a vocabulary-only file of any architecture. Where a model's own
 * tokenizer normalizes, so does this one. Built once, read-only after, shared by all threads.
 * Encoding allocates (per call, never per token of output) and is O(n log n) for any input; pieces
 * are looked up without allocating.
 */
#pragma once

#include "base/error.h"
#include "gguf/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_NONE = -1 };

enum tokenizer_flags {
    TOKENIZER_ADD_SPECIAL = 1,   /* BOS before and EOS (or SEP) after, as the model says */
    TOKENIZER_PARSE_SPECIAL = 2, /* special tokens in the text become control tokens */
    TOKENIZER_NO_NORMALIZE = 4,  /* the text as it stands, where the model's own tokenizer would
                                    bring it into a normal form (or lower case) first */
};

struct tokenizer; /* opaque */

/* Copies all it needs: gguf may be closed after. STATUS_FORMAT, STATUS_UNSUPPORTED (with the list
 * of what is known), STATUS_NO_MEMORY. */
enum status tokenizer_create(struct tokenizer **out, const struct gguf *gguf, struct error *err);
void tokenizer_destroy(struct tokenizer *tokenizer); /* takes NULL */

size_t tokenizer_n_vocab(const struct tokenizer *t);
int32_t tokenizer_bos(const struct tokenizer *t); /* TOKEN_NONE when the model has none */
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_sep(const struct tokenizer *t);   /* between two texts of an encoder */
bool tokenizer_adds_bos(const struct tokenizer *t); /* by default, with ADD_SPECIAL */
bool tokenizer_adds_eos(const struct tokenizer *t);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id); /* generation stops here */
/* All of them, ascending; how many, TOKENIZER_MAX_ENDS at most. */
enum { TOKENIZER_MAX_ENDS = 48 };
size_t tokenizer_ends(const struct tokenizer *t, const int32_t **ids);
/* An end by its text alone ("<|im_end|>", "<end_of_turn>"): no key of the file names it. */
bool tokenizer_is_end_by_text(const struct tokenizer *t, int32_t id);
bool tokenizer_is_control(const struct tokenizer *t, int32_t id); /* has no text in an answer */
size_t tokenizer_max_piece(const struct tokenizer *t);            /* bytes of the longest piece */
const char *
tokenizer_model(const struct tokenizer *t); /* "llama", "gpt2", "gemma4", "bert", "t5" */
const char *tokenizer_kind_name(const struct tokenizer *t); /* for people */
const char *tokenizer_pre(const struct tokenizer *t); /* "gpt-2", ...; "" where none cuts words */

/* The most ids that n bytes can become, special ones included: what encode's ids need room for. */
size_t tokenizer_max_ids(const struct tokenizer *t, size_t n_bytes);

/* text must be UTF-8 (STATUS_INVALID names the byte where it is not, or the byte of a character
 * that the vocabulary has no way to write); STATUS_TOO_LARGE above 512 MiB, STATUS_NO_MEMORY. ids:
 * room for tokenizer_max_ids(). A BOS or EOS that the text itself begins or ends with is not added
 * once more. Of special tokens the leftmost, then the longest is taken;
 * user-defined ones are found without PARSE_SPECIAL too. */
enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t n_bytes,
                             unsigned flags, int32_t *ids, size_t *n_ids, struct error *err);

struct tokenizer_span { /* bytes [begin, end) of a text */
    size_t begin, end;
};
/* The same with TOKENIZER_PARSE_SPECIAL, but plain parts of the text (ascending, apart) are text
 * and nothing else: a control token needs all of its bytes outside of them. The text is still one:
 * words reach over the parts' borders as they do anywhere. */
enum status tokenizer_encode_around(const struct tokenizer *t, const char *text, size_t n_bytes,
                                    unsigned flags, const struct tokenizer_span *plain,
                                    size_t n_plain, int32_t *ids, size_t *n_ids, struct error *err);

/* The bytes of one token, borrowed from the tokenizer; control tokens: their name when
 * with_control, else nothing, but for those that part an answer into channels (gpt-oss). An id
 * outside the vocabulary: nothing. Bytes of one token need not be whole characters. */
struct gguf_string tokenizer_piece(const struct tokenizer *t, int32_t id, bool with_control);

/* The bytes of a run of ids, control tokens' names included, less the one space that encoding put
 * in front, where the vocabulary adds it: at the beginning and after each special token. So the
 * ids of a text decode to the text, as it was normalized (TOKENIZER_NO_NORMALIZE: as it was); those
 * of "bert" to its words. Ids outside the vocabulary add nothing. out: room for what the
 * same call with NULL returns, never more than n_ids * tokenizer_max_piece(). */
size_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n_ids, char *out);

/* The text form of the vocabulary entry, as it stands in the file. */
struct gguf_string tokenizer_entry(const struct tokenizer *t, int32_t id);
