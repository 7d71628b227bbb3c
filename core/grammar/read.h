/* read.h - the texts that a grammar is written in, as rules of a builder.
 *
 * Each adds what it reads to the builder and returns the expression for the whole; failures stay in
 * the builder, with the line (GBNF) or the byte (expressions) where they are. One thread.
 */
#pragma once

#include "grammar/expr.h"

/* llama.cpp's GBNF: its rule "root". */
const struct expr *gbnf_read(struct grammar_builder *b, const char *text, size_t n);

/* A regular expression as ECMA-262 with the "u" flag writes it, of which what no automaton can do
 * (back references, looking around, word borders) is refused by name. whole: it must match all of
 * a text, else any part of it unless anchors say more. */
const struct expr *regex_read(struct grammar_builder *b, const char *text, size_t n, bool whole);
