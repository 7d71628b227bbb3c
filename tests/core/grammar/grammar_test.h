/* grammar_test.h - grammars of tests, a vocabulary whose tokens cross their borders, and where
 * texts stand in them.
 */
#pragma once

#include "grammar/grammar.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct vocabulary *vocabulary;
static struct vocabulary_piece pieces[4000];
static char *owned[4000]; /* the pieces' bytes */
static size_t n_pieces;

static uint64_t random_state;

static inline uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* All bytes, and runs of characters that the grammars below know: many cross their borders. */
static inline void make_vocabulary(void)
{
    static const char *const parts[] = {
        "\"", "{",    "}",    "[",    "]",    ",",     ":",   " ",
        "a",  "b",    "ab",   "1",    "0",    "-",     ".",   "e",
        "(",  ")",    "+",    "\\",   "true", "é",     "\n",  "x",
        "y",  "\xC3", "\xA9", "null", "root", "\\u00", "The", "\xE6\x97\xA5",
        "_"};
    struct error err;
    random_state = 7;
    for (size_t i = 0; i < 256; i++) {
        char *byte = malloc(1);
        ck_assert_ptr_nonnull(byte);
        byte[0] = (char)i;
        owned[n_pieces] = byte;
        pieces[n_pieces++] = (struct vocabulary_piece){.bytes = byte, .n = 1};
    }
    pieces[n_pieces++] = (struct vocabulary_piece){0};
    while (n_pieces < 3000) {
        char *text = calloc(1, 64);
        ck_assert_ptr_nonnull(text);
        for (uint32_t k = 0, n = 1 + random_below(7); k < n; k++)
            strcat(text, parts[random_below(sizeof parts / sizeof *parts)]);
        owned[n_pieces] = text;
        pieces[n_pieces++] = (struct vocabulary_piece){.bytes = text, .n = strlen(text)};
    }
    ck_assert_int_eq(vocabulary_create(&vocabulary, pieces, n_pieces, &err), STATUS_OK);
}

static inline void forget_vocabulary(void)
{
    vocabulary_destroy(vocabulary);
    for (size_t i = 0; i < n_pieces; i++)
        free(owned[i]);
    n_pieces = 0;
}

static inline struct grammar *compiled(enum grammar_language language, const char *text)
{
    struct grammar *g = NULL;
    struct error err;
    enum status status = grammar_compile(&g, language, text, strlen(text), vocabulary,
                                         &grammar_limits_default, &err);
    ck_assert_msg(status == STATUS_OK, "%s: %s", text, err.text);
    return g;
}

static inline struct matcher *matcher_of(const struct grammar *g)
{
    struct matcher *m = NULL;
    struct error err;
    ck_assert_int_eq(matcher_create(&m, g->automaton, &err), STATUS_OK);
    return m;
}

static inline bool accepts(const struct grammar *g, const char *text)
{
    struct matcher *m = matcher_of(g);
    bool out = matcher_take(m, text, strlen(text)) && matcher_may_end(m);
    matcher_destroy(m);
    return out;
}

static const char ARITHMETIC[] = "root ::= sum\n"
                                 "sum ::= product ((\"+\" | \"-\") product)*\n"
                                 "product ::= [0-9]+ | \"(\" sum \")\" # a comment\n";
static const char JSON[] =
    "root   ::= object\n"
    "value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n"
    "array  ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
    "string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
    "[0-9a-fA-F]{4}) )* \"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "
    "[1-9]{0,15})? ws\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
