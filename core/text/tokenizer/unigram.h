/* unigram.h - SentencePiece's Unigram ("t5"): the likeliest pieces of each word.
 *
 * The vocabulary's side is built once and read-only; a working set belongs to one encoding.
 */
#pragma once

#include "text/tokenizer/internal.h"

enum status unigram_load(struct tokenizer *t, const struct gguf *gguf, struct error *err);
void unigram_free(struct unigram *unigram); /* takes NULL */

/* Bytes that a byte of text can become before it is tokenized. */
size_t unigram_max_growth(const struct unigram *unigram);

/* Appends the ids of a text without special tokens to merger->ids. */
enum status unigram_encode(struct merger *merger, const char *text, size_t n, bool space_in_front,
                           struct error *err);
