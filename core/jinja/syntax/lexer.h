/* lexer.h - a template's text as tokens: its own text, and what stands inside the tags.
 *
 * Whitespace is already as trim_blocks, lstrip_blocks and the signs beside the tags want it. The
 * text must outlive the tokens. Knows no grammar.
 */
#pragma once

#include "jinja/value.h"

enum jinja_token_kind {
    JINJA_T_END,
    JINJA_T_DATA,
    JINJA_T_OPEN_OUTPUT,  /* {{ */
    JINJA_T_CLOSE_OUTPUT, /* }} */
    JINJA_T_OPEN_TAG,     /* {% */
    JINJA_T_CLOSE_TAG,    /* %} */
    JINJA_T_NAME,
    JINJA_T_STRING, /* unescaped */
    JINJA_T_NUMBER,
    JINJA_T_OPERATOR,
};

struct jinja_token {
    enum jinja_token_kind kind;
    int line;
    const struct jinja_text *text; /* DATA, NAME, STRING */
    struct jinja_value number;
    char operator[3]; /* "**", "(", ... */
};

struct jinja_tokens {
    struct jinja_token *at;
    size_t n;
};

/* Fails with STATUS_FORMAT. The last one is JINJA_T_END. */
struct jinja_tokens jinja_lex(struct jinja_heap *heap, const char *text, size_t n);
