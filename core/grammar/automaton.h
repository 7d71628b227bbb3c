/* automaton.h - a grammar ready to be matched: a pushdown automaton over bytes.
 *
 * Each rule that is not inlined is a deterministic automaton of its own, whose states may besides
 * call another rule and go on at a state of theirs once that has ended. Rules that call nothing but
 * small ones are inlined, so that a grammar without recursion is often one automaton. Made once by
 * automaton_build, read-only after, shared by all threads.
 */
#pragma once

#include "grammar/expr.h"

#define STATE_DEAD    0u
#define DISTANCE_NONE UINT32_MAX

enum { STACK_DEPTH = 500 }; /* rules inside rules that a text may open */

struct automaton_call {
    uint32_t rule, back; /* back: the state after its end */
    uint16_t height;     /* that the stack must have room for, to end this rule and the caller's */
    bool is_last;        /* the caller can only end after it: no stack is needed */
};

struct automaton_state {
    uint32_t first_call, n_calls;
    uint32_t rule;     /* that it belongs to */
    uint32_t distance; /* bytes that must still come until the rule can end */
    uint32_t likeness; /* states of one likeness allow the same tokens of at most the longest
                          token's length, though their distances differ */
    uint16_t height;   /* stacks upon the present one that every way to the rule's end needs */
    bool accepts;      /* the rule may end here */
    bool reads;        /* some byte leads on */
    bool closed;       /* it can only read */
};

struct automaton_rule {
    uint32_t start;
    uint64_t follow[4]; /* bytes that may come after it, wherever it is called */
    uint16_t height;    /* the most of its states */
    bool nullable;
};

struct automaton {
    uint8_t class_of[256]; /* bytes that no state tells apart are of one class */
    size_t n_classes;
    uint32_t *next; /* [n_states][n_classes] */
    struct automaton_state *states;
    size_t n_states; /* the first is dead */
    struct automaton_call *calls;
    size_t n_calls;
    struct automaton_rule *rules; /* the first is the root */
    size_t n_rules;
    size_t n_likenesses;
};

/* longest: bytes of the longest token that will be asked for. STATUS_INVALID (a rule that is
 * undefined, begins with itself, or can never end), STATUS_TOO_LARGE, STATUS_NO_MEMORY, and the
 * builder's own failure. */
enum status automaton_build(struct automaton **out, struct grammar_builder *b, uint32_t root,
                            const struct grammar_limits *limits, size_t longest, struct error *err);
void automaton_destroy(struct automaton *a); /* takes NULL */

/* That no state of its rule exceeds. */
static inline uint32_t rule_height(const struct automaton *a, uint32_t state)
{
    return a->rules[a->states[state].rule].height;
}

/* At most DISTANCE_NONE - 1. */
static inline uint32_t distance_sum(uint32_t a, uint32_t b)
{
    uint32_t out;
    return __builtin_add_overflow(a, b, &out) || out == DISTANCE_NONE ? DISTANCE_NONE - 1 : out;
}

static inline uint32_t automaton_next(const struct automaton *a, uint32_t state, uint8_t byte)
{
    return a->next[(size_t)state * a->n_classes + a->class_of[byte]];
}
