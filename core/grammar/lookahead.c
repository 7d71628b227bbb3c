/* lookahead.c - see lookahead.h. */
#include "grammar/lookahead.h"

#include <string.h>

enum { BYTE_NONE = -1 };

void lookahead_begin(struct lookahead *l, struct matcher *m)
{
    l->m = m;
    l->n_nodes = m->n_nodes;
    l->now = m->now;
    l->now.at = l->room[0];
    l->now.room = MATCHER_PLACES;
    l->other = (struct matcher_places){.at = l->room[1], .room = MATCHER_PLACES};
    memcpy(l->now.at, m->now.at, m->now.n * sizeof *l->now.at);
}

void lookahead_end(struct lookahead *l)
{
    matcher_forget(l->m, l->n_nodes);
}

static bool take_byte(struct lookahead *l, uint8_t byte)
{
    l->other.n = 0;
    l->other.ended = false;
    l->other.ambiguous = l->now.ambiguous;
    places_step(l->m, l->now.at, l->now.n, byte, &l->other);
    if (l->other.n == 0 && !l->other.ended)
        return false;
    struct matcher_places swap = l->now;
    l->now = l->other;
    l->other = swap;
    return true;
}

bool lookahead_take(struct lookahead *l, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!take_byte(l, (uint8_t)bytes[i]))
            return false;
    return true;
}

bool lookahead_may_end(const struct lookahead *l)
{
    return l->now.ended;
}

bool lookahead_is_exact(const struct lookahead *l)
{
    return !l->now.ambiguous;
}

bool lookahead_must_end(const struct lookahead *l)
{
    return l->now.ended && l->now.n == 0;
}

bool lookahead_may_come(const struct lookahead *l, uint8_t byte)
{
    for (size_t i = 0; i < l->now.n; i++)
        if (automaton_next(l->m->automaton, l->now.at[i].state, byte) != STATE_DEAD)
            return true;
    return false;
}

uint32_t lookahead_distance(const struct lookahead *l)
{
    return places_distance(l->m, &l->now);
}

static const uint32_t *next_of(const struct lookahead *l, size_t i)
{
    const struct automaton *a = l->m->automaton;
    return a->next + (size_t)l->now.at[i].state * a->n_classes;
}

/* The lowest byte of a class; *last: its highest. Every class has one. */
static uint8_t bytes_of(const struct automaton *a, size_t class, uint8_t *last)
{
    const uint8_t *first = memchr(a->class_of, (int)class, sizeof a->class_of);
    const uint8_t *end = memrchr(a->class_of, (int)class, sizeof a->class_of);
    *last = (uint8_t)(end - a->class_of);
    return (uint8_t)(first - a->class_of);
}

int lookahead_only(const struct lookahead *l)
{
    const struct automaton *a = l->m->automaton;
    size_t found = a->n_classes;
    if (l->now.ended)
        return BYTE_NONE;
    for (size_t i = 0; i < l->now.n; i++) {
        const uint32_t *next = next_of(l, i);
        for (size_t c = 0; c < a->n_classes; c++) {
            if (next[c] == STATE_DEAD || c == found)
                continue;
            if (found < a->n_classes)
                return BYTE_NONE;
            found = c;
        }
    }
    if (found == a->n_classes)
        return BYTE_NONE;
    uint8_t last, first = bytes_of(a, found, &last);
    return first == last ? first : BYTE_NONE;
}

int lookahead_shortest(const struct lookahead *l)
{
    const struct automaton *a = l->m->automaton;
    uint32_t best = DISTANCE_NONE;
    int byte = BYTE_NONE;
    for (size_t i = 0; i < l->now.n; i++) {
        const uint32_t *next = next_of(l, i), below = l->m->nodes[l->now.at[i].node].distance;
        for (size_t c = 0; c < a->n_classes; c++) {
            if (next[c] == STATE_DEAD)
                continue;
            const struct automaton_state *to = &a->states[next[c]];
            const uint32_t distance = distance_sum(to->distance, below);
            if (distance > best || !stack_holds(l->m, l->now.at[i].node, to->height))
                continue;
            uint8_t last, first = bytes_of(a, c, &last);
            byte = distance < best || first < byte ? first : byte;
            best = distance;
        }
    }
    return byte;
}
