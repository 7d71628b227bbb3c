/* wordpiece.h - BERT's words, and the longest pieces that make each of them.
 *
 * The vocabulary's side is built once and read-only; a working set belongs to one encoding.
 */
#pragma once

#include "text/tokenizer/internal.h"

/* The order is that of CLASSES in tools/bert_classes.py. */
enum bert_class {
    BERT_LETTER,
    BERT_DROPPED,
    BERT_SPACE,
    BERT_PUNCTUATION, /* a word by itself */
    BERT_IDEOGRAPH,   /* likewise, whatever stands beside it */
    BERT_MARK,        /* an accent, where accents are stripped */
    BERT_CLASSES
};

enum status wordpiece_build(struct tokenizer *t, struct error *err);

/* Appends the ids of a text without special tokens to merger->ids. */
enum status wordpiece_encode(struct merger *merger, const char *text, size_t n, struct error *err);
