/* steady.c - where characters of each kind lead, followed along a chain of states. See steady.h. */
#include "grammar/steady.h"

#include "grammar/kinds.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    CHAIN = 160, /* states that are followed at once */
    SURE = 64,   /* characters that are known of those whose chain was cut */
};

#define KNOWN      ((uint64_t)1 << 63)
#define ENDS       ((uint64_t)1 << 62)
#define COUNT_AT   48
#define KINDS_MASK (((uint64_t)1 << KINDS) - 1)

_Static_assert(KINDS <= COUNT_AT, "kinds and a count share a word");

enum status steady_init(struct steady *s, const struct automaton *a, struct error *err)
{
    s->automaton = a;
    s->of = calloc(a->n_states + 1, sizeof *s->of);
    return s->of != NULL ? STATUS_OK
                         : error_no_memory(err, a->n_states * sizeof *s->of, "a grammar");
}

void steady_free(struct steady *s)
{
    free(s->of);
    s->of = NULL;
}

/* --- one step --- */

/* Where all bytes of first..last lead alike; STATE_DEAD: they do not. */
static uint32_t leads(const struct automaton *a, uint32_t state, unsigned first, unsigned last)
{
    const uint32_t to = automaton_next(a, state, (uint8_t)first);
    for (unsigned byte = first + 1; byte <= last; byte++)
        if (automaton_next(a, state, (uint8_t)byte) != to)
            return STATE_DEAD;
    return to;
}

/* Where every character beyond ASCII leads, by its UTF-8. */
static uint32_t beyond(const struct automaton *a, uint32_t state)
{
    static const struct {
        uint8_t first, last, second, second_last, n_more; /* bytes after the second */
    } forms[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1},
                 {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
                 {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                 {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
    uint32_t all = STATE_DEAD;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        uint32_t to = leads(a, state, forms[i].first, forms[i].last);
        to = leads(a, to, forms[i].second, forms[i].second_last);
        for (unsigned k = 0; k < forms[i].n_more; k++)
            to = leads(a, to, 0x80, 0xBF);
        if (to == STATE_DEAD || (i > 0 && to != all))
            return STATE_DEAD;
        all = to;
    }
    return all;
}

static unsigned weight(unsigned kind)
{
    return kind == KIND_LOWER ? 4 : kind == KIND_UPPER || kind == KIND_DIGIT ? 2 : 1;
}

/* The kinds that lead from state to one and the same, the most there are. */
static uint64_t step(const struct automaton *a, uint32_t state, uint32_t *target)
{
    uint32_t to[KINDS];
    bool met[KINDS] = {false};
    for (unsigned byte = 0; byte < 128; byte++) {
        const unsigned kind = kind_of(byte);
        const uint32_t next = automaton_next(a, state, (uint8_t)byte);
        to[kind] = !met[kind] || to[kind] == next ? next : STATE_DEAD;
        met[kind] = true;
    }
    to[KIND_BEYOND] = beyond(a, state);
    to[KIND_PARTIAL] = leads(a, state, 0x80, 0xFF);
    if (to[KIND_PARTIAL] != state)
        to[KIND_PARTIAL] = STATE_DEAD;
    unsigned best = 0;
    uint64_t kinds = 0;
    for (unsigned k = 0; k < KINDS; k++) {
        unsigned sum = 0;
        if (to[k] == STATE_DEAD || (kinds >> k & 1) != 0)
            continue;
        uint64_t same = 0;
        for (unsigned i = k; i < KINDS; i++)
            if (to[i] == to[k]) {
                same |= (uint64_t)1 << i;
                sum += weight(i);
            }
        if (sum <= best)
            continue;
        best = sum;
        kinds = same;
        *target = to[k];
    }
    return kinds;
}

/* Every byte of these kinds leads nowhere. */
static bool is_dead(const struct automaton *a, uint32_t state, uint64_t kinds)
{
    const uint64_t beyond_ascii = (uint64_t)1 << KIND_BEYOND | (uint64_t)1 << KIND_PARTIAL;
    bool dead = true;
    for (unsigned byte = 0; byte < 256; byte++)
        if (byte < 128 ? (kinds >> kind_of(byte) & 1) != 0 : (kinds & beyond_ascii) != 0)
            dead &= automaton_next(a, state, (uint8_t)byte) == STATE_DEAD;
    return dead;
}

/* --- chains --- */

static uint64_t load(const struct steady *s, uint32_t state)
{
    return atomic_load_explicit(&s->of[state], memory_order_relaxed);
}

/* What is known of a state whose characters of these kinds lead to `next`. */
static uint64_t before(const struct automaton *a, uint32_t state, uint64_t kinds, uint32_t next,
                       uint64_t after)
{
    uint64_t count = after >> COUNT_AT & 0xFF;
    bool ends = a->states[state].closed && a->states[next].closed;
    if (kinds == 0)
        return KNOWN;
    if (count == 0 || (kinds & ~after) != 0) {
        count = 0;
        ends = ends && is_dead(a, next, kinds);
    } else {
        ends = ends && (after & ENDS) != 0 && count < STEADY_EVER - 1;
    }
    count += count < STEADY_EVER - 1;
    return KNOWN | (ends ? ENDS : 0) | count << COUNT_AT | kinds;
}

static uint64_t find(const struct steady *s, uint32_t state)
{
    uint32_t chain[CHAIN + 1] = {state};
    uint64_t kinds[CHAIN], after = 0;
    size_t n = 0;
    bool ever = false;
    for (; n < CHAIN && after == 0 && !ever; n++) {
        chain[n + 1] = chain[n];
        kinds[n] = step(s->automaton, chain[n], &chain[n + 1]);
        ever = kinds[n] != 0 && chain[n + 1] == chain[n];
        after = kinds[n] == 0 ? KNOWN : load(s, chain[n + 1]);
    }
    const size_t n_sure = after != 0 || ever ? n : n - SURE;
    if (ever)
        after = kinds[n - 1] | (uint64_t)STEADY_EVER << COUNT_AT;
    while (n-- > 0) {
        after = before(s->automaton, chain[n], kinds[n], chain[n + 1], after);
        if (n < n_sure)
            atomic_store_explicit(&s->of[chain[n]], after, memory_order_relaxed);
    }
    return after;
}

uint64_t steady_kinds(const struct steady *s, uint32_t state, unsigned *n, bool *ends)
{
    uint64_t out = load(s, state);
    if (out == 0)
        out = find(s, state);
    *n = (unsigned)(out >> COUNT_AT & 0xFF);
    *ends = (out & ENDS) != 0;
    return out & KINDS_MASK;
}
