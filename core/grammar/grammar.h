/* grammar.h - the shape that an answer must have: compiled once, shared by requests.
 *
 * From a text in one of the languages below, or from a builder (JSON Schema is read elsewhere, with
 * JSON). Read-only for its users but for the masks that it keeps, which are its own affair: any
 * thread. Knows nothing of models, jobs or HTTP.
 */
#pragma once

#include "grammar/masks.h"

#include <stdatomic.h>

enum grammar_language {
    GRAMMAR_GBNF,  /* llama.cpp's */
    GRAMMAR_REGEX, /* that must match all of the answer */
};

struct grammar {
    struct automaton *automaton;         /* owned */
    struct masks *masks;                 /* owned */
    const struct vocabulary *vocabulary; /* borrowed */
    _Atomic size_t n_holders;
};

/* vocabulary: borrowed for the grammar's life. STATUS_INVALID (its text), STATUS_UNSUPPORTED (what
 * it uses and is not built here, by name), STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status grammar_compile(struct grammar **out, enum grammar_language language, const char *text,
                            size_t n, const struct vocabulary *vocabulary,
                            const struct grammar_limits *limits, struct error *err);
/* One of the texts. */
enum status grammar_of_choices(struct grammar **out, const struct vocabulary_piece *choices,
                               size_t n, const struct vocabulary *vocabulary,
                               const struct grammar_limits *limits, struct error *err);
/* Of what a builder holds; the builder stays the caller's. */
enum status grammar_build(struct grammar **out, struct grammar_builder *b, const struct expr *root,
                          const struct vocabulary *vocabulary, const struct grammar_limits *limits,
                          struct error *err);

/* Who has made one holds it once; each holder releases it once, and with the last it is gone. */
struct grammar *grammar_retain(struct grammar *grammar);
void grammar_release(struct grammar *grammar); /* takes NULL */
/* That it takes now: the automaton, and the masks that it has kept. */
size_t grammar_bytes(const struct grammar *grammar);
