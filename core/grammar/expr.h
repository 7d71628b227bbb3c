/* expr.h - a grammar as expressions over characters, before it becomes an automaton.
 *
 * Every front end (GBNF, regular expressions, choices, JSON Schema) writes with this one hand: a
 * builder owns all expressions and rules until it is destroyed. A failure (memory, a limit) stays
 * in the builder and is reported by grammar_build: what comes after it does nothing, so that
 * callers need not look after each call. One thread.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grammar_limits {
    size_t n_bytes;  /* of memory while it is built, and of the automaton */
    size_t n_states; /* of the automaton */
    unsigned depth;  /* of expressions inside each other */
};
extern const struct grammar_limits grammar_limits_default;

struct expr_range { /* code points first..last */
    uint32_t first, last;
};

struct expr_bytes {
    const char *bytes;
    size_t n;
};

enum expr_kind {
    EXPR_TEXT,     /* the bytes themselves; none: the empty text */
    EXPR_CLASS,    /* one character of the ranges */
    EXPR_SEQUENCE, /* all parts, in order */
    EXPR_CHOICE,   /* one of the parts; none: nothing matches */
    EXPR_REPEAT,   /* parts[0], min to max times */
    EXPR_RULE,     /* what a rule says */
    EXPR_UNTIL,    /* bytes without certain texts, or up to the first of them */
    EXPR_MULTIPLE, /* decimal digits of a multiple of a number */
    EXPR_BOTH,     /* what two parts both match */
    EXPR_BUT,      /* what the first of two parts matches and the second does not */
};

#define EXPR_MANY UINT32_MAX /* a max without end */
#define EXPR_NONE SIZE_MAX

struct expr {
    enum expr_kind kind;
    unsigned depth; /* of the expressions below, itself included */
    union {
        struct {
            const char *bytes;
            size_t n;
        } text;
        struct {
            const struct expr_range *ranges; /* ascending, apart */
            size_t n;
        } class;
        struct {
            const struct expr *const *at;
            size_t n;
        } parts; /* SEQUENCE, CHOICE, BOTH, BUT */
        struct {
            const struct expr *of;
            uint32_t min, max;
        } repeat;
        uint32_t rule;
        struct {
            const struct expr_bytes *triggers;
            size_t n;
            size_t which; /* ends with this trigger; EXPR_NONE: none of them occurs */
        } until;
        struct {
            uint32_t m, n_decimals;
        } multiple;
    };
};

struct grammar_builder;

enum status expr_builder_create(struct grammar_builder **out, const struct grammar_limits *limits,
                                struct error *err);
void expr_builder_destroy(struct grammar_builder *b); /* takes NULL */

/* The first failure; STATUS_OK while there is none. */
enum status expr_status(const struct grammar_builder *b);
const struct error *expr_error(const struct grammar_builder *b);
void expr_fail(struct grammar_builder *b, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Why some part matches nothing, should the whole match nothing; the first counts. */
void expr_hint(struct grammar_builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *expr_hinted(const struct grammar_builder *b); /* "": nothing was */

/* Memory of the builder's lifetime, zeroed; after a failure NULL. */
void *expr_alloc(struct grammar_builder *b, size_t n, size_t size);

/* Expressions. What is handed in is copied, but for expressions, which the builder has already.
 * After a failure they return an expression that may be used and means nothing. */
const struct expr *expr_text(struct grammar_builder *b, const char *bytes, size_t n);
const struct expr *expr_string(struct grammar_builder *b, const char *text); /* NUL-terminated */
/* ranges in any order, overlapping or not; negated: every other Unicode scalar value. */
const struct expr *expr_class(struct grammar_builder *b, const struct expr_range *ranges, size_t n,
                              bool negated);
const struct expr *expr_sequence(struct grammar_builder *b, const struct expr *const *parts,
                                 size_t n);
const struct expr *expr_choice(struct grammar_builder *b, const struct expr *const *parts,
                               size_t n);
const struct expr *expr_repeat(struct grammar_builder *b, const struct expr *of, uint32_t min,
                               uint32_t max);
const struct expr *expr_optional(struct grammar_builder *b, const struct expr *of);
const struct expr *expr_rule(struct grammar_builder *b, uint32_t rule);
/* Bytes that both match, and those that a matches and z does not: neither may have rules. */
const struct expr *expr_both(struct grammar_builder *b, const struct expr *a, const struct expr *z);
const struct expr *expr_but(struct grammar_builder *b, const struct expr *a, const struct expr *z);

/* Digits without a sign, with a fraction where n_decimals > 0: the multiples of m / 10^n_decimals.
 */
const struct expr *expr_multiple(struct grammar_builder *b, uint32_t m, uint32_t n_decimals);

/* Any bytes, UTF-8 or not, in which none of the triggers occurs. */
const struct expr *expr_until(struct grammar_builder *b, const struct expr_bytes *triggers,
                              size_t n);
/* Any bytes up to the first trigger, which is triggers[which], and with it. Where two end at the
 * same byte, the longer one counts. What expr_until gives, with a trigger after it, is the same
 * but for triggers that overlap themselves or each other. */
const struct expr *expr_through(struct grammar_builder *b, const struct expr_bytes *triggers,
                                size_t n, size_t which);

/* Lists of expressions that grow. */
struct expr_list {
    const struct expr **at;
    size_t n, room;
};
void expr_list_add(struct grammar_builder *b, struct expr_list *list, const struct expr *e);

/* Rules: declared, used, and defined once. Names are for errors, and copied. */
uint32_t rule_declare(struct grammar_builder *b, const char *name, size_t n);
void rule_define(struct grammar_builder *b, uint32_t rule, const struct expr *e);
size_t expr_n_rules(const struct grammar_builder *b);
const char *rule_name(const struct grammar_builder *b, uint32_t rule);
const struct expr *rule_expr(const struct grammar_builder *b, uint32_t rule); /* NULL: undefined */
