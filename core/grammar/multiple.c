/* multiple.c - remainders, for each number of decimals. See multiple.h. */
#include "grammar/multiple.h"

enum { STATES_MOST = 60000, DECIMALS_MOST = 9 };

#define NOTHING UINT32_MAX /* no state */

struct remainders {
    struct nfa *nfa;
    struct grammar_builder *b;
    uint32_t m, n_decimals;
    uint32_t first; /* state of remainder r after d decimals: first + d * m + r */
    uint32_t next;
};

/* `way`, or what was open before. */
static uint32_t either(struct remainders *g, uint32_t way, uint32_t before)
{
    if (before == NOTHING)
        return way;
    return nfa_add(g->nfa, g->b,
                   (struct nfa_state){.kind = NFA_SPLIT, .next = way, .other = before});
}

static uint32_t one_digit(struct remainders *g, uint32_t digit, uint32_t next)
{
    const uint8_t byte = (uint8_t)('0' + digit);
    return nfa_add(
        g->nfa, g->b,
        (struct nfa_state){.kind = NFA_BYTES, .first = byte, .last = byte, .next = next});
}

/* What may follow remainder r after d decimals. */
static uint32_t ways_of(struct remainders *g, uint32_t d, uint32_t r)
{
    uint64_t whole = r; /* as if zeros followed */
    uint32_t ways = NOTHING;
    for (uint32_t i = d; i < g->n_decimals; i++)
        whole = whole * 10 % g->m;
    if (whole % g->m == 0)
        ways = either(g, g->next, ways);
    if (d > 0 && d == g->n_decimals) { /* more of them are zeros */
        ways = r == 0 ? either(g, one_digit(g, 0, g->first + d * g->m), ways) : ways;
        return ways;
    }
    const uint32_t to = g->first + (d > 0 ? d + 1 : 0) * g->m;
    for (uint32_t digit = 0; digit <= 9; digit++)
        ways = either(g, one_digit(g, digit, to + (uint32_t)((r * 10ull + digit) % g->m)), ways);
    if (d > 0 || g->n_decimals == 0)
        return ways;
    uint32_t fraction = NOTHING; /* the point, and a first decimal */
    for (uint32_t digit = 0; digit <= 9; digit++)
        fraction =
            either(g, one_digit(g, digit, g->first + g->m + (uint32_t)((r * 10ull + digit) % g->m)),
                   fraction);
    return either(
        g,
        nfa_add(g->nfa, g->b,
                (struct nfa_state){.kind = NFA_BYTES, .first = '.', .last = '.', .next = fraction}),
        ways);
}

/* 0 and what may follow it, or a number that does not begin with it. */
static uint32_t beginning(struct remainders *g, uint32_t zero)
{
    uint32_t begin = one_digit(g, 0, zero);
    for (uint32_t digit = 1; digit <= 9; digit++)
        begin = either(g, one_digit(g, digit, g->first + digit % g->m), begin);
    return begin;
}

uint32_t multiple_make(struct nfa *nfa, struct grammar_builder *b, const struct expr *e,
                       uint32_t next)
{
    struct remainders g = {
        .nfa = nfa, .b = b, .m = e->multiple.m, .n_decimals = e->multiple.n_decimals, .next = next};
    const size_t n = (size_t)g.m * (g.n_decimals + 1u);
    if (g.n_decimals > DECIMALS_MOST || n > STATES_MOST) {
        expr_fail(b, STATUS_TOO_LARGE, "the grammar is too large: multiples of so large a number");
        return 0;
    }
    /* after a first 0 comes the point or the end: a state of its own, without digits */
    const uint32_t zero = nfa_add(nfa, b, (struct nfa_state){.kind = NFA_SPLIT});
    for (size_t i = 0; i < n; i++) {
        const uint32_t at = nfa_add(nfa, b, (struct nfa_state){.kind = NFA_SPLIT});
        g.first = i == 0 ? at : g.first;
    }
    for (uint32_t i = 0; i < n && expr_status(b) == STATUS_OK; i++) {
        const uint32_t ways = ways_of(&g, i / g.m, i % g.m);
        struct nfa_state *state = &nfa->states[g.first + i];
        state->next = state->other = ways != NOTHING ? ways : g.first + i;
    }
    uint32_t point = NOTHING;
    for (uint32_t digit = 0; g.n_decimals > 0 && digit <= 9; digit++)
        point = either(&g, one_digit(&g, digit, g.first + g.m + digit % g.m), point);
    if (point != NOTHING)
        point = nfa_add(
            nfa, b,
            (struct nfa_state){.kind = NFA_BYTES, .first = '.', .last = '.', .next = point});
    const uint32_t begin = beginning(&g, zero);
    if (expr_status(b) != STATUS_OK)
        return 0;
    nfa->states[zero].next = next;
    nfa->states[zero].other = point != NOTHING ? point : next;
    return begin;
}
