/* nfa.c - a growing array of states, a table of sets by their content, closures over splits. See
 * nfa.h. */
#include "grammar/nfa.h"

#include <stdlib.h>
#include <string.h>

uint32_t nfa_add(struct nfa *nfa, struct grammar_builder *b, struct nfa_state state)
{
    if (nfa->n >= nfa->n_most)
        expr_fail(b, STATUS_TOO_LARGE, "the grammar is too large: it needs more than %zu states",
                  nfa->n_most);
    if (nfa->n == nfa->room) {
        size_t room = nfa->room > 0 ? 2 * nfa->room : 256;
        struct nfa_state *more = expr_alloc(b, room, sizeof *more);
        if (more == NULL)
            return 0;
        if (nfa->n > 0)
            memcpy(more, nfa->states, nfa->n * sizeof *more);
        nfa->states = more;
        nfa->room = room;
    }
    if (expr_status(b) != STATUS_OK)
        return 0;
    state.like = (uint32_t)nfa->n;
    nfa->states[nfa->n] = state;
    return (uint32_t)nfa->n++;
}

size_t nfa_classes(const struct nfa *nfa, size_t first, uint8_t class_of[256], uint8_t sample[256])
{
    bool begins[257] = {true};
    for (size_t i = first; i < nfa->n; i++)
        if (nfa->states[i].kind == NFA_BYTES) {
            begins[nfa->states[i].first] = true;
            begins[nfa->states[i].last + 1] = true;
        }
    size_t n = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (begins[byte])
            sample[n++] = (uint8_t)byte;
        class_of[byte] = (uint8_t)(n - 1);
    }
    return n;
}

/* --- sets --- */

static uint32_t hash_set(const uint32_t *at, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

static bool table_grow(struct grammar_builder *b, struct set_table *t)
{
    size_t room = t->room > 0 ? 2 * t->room : 256;
    struct state_set *sets = expr_alloc(b, room, sizeof *sets);
    uint32_t *buckets = expr_alloc(b, room, sizeof *buckets);
    if (sets == NULL || buckets == NULL)
        return false;
    if (t->n > 0)
        memcpy(sets, t->sets, t->n * sizeof *sets);
    t->sets = sets;
    t->room = t->n_buckets = room;
    t->buckets = buckets;
    for (size_t i = 1; i < t->n; i++) {
        uint32_t *bucket = &buckets[hash_set(sets[i].at, sets[i].n) & (room - 1)];
        sets[i].hash_next = *bucket;
        *bucket = (uint32_t)i;
    }
    return true;
}

/* 0 is the table's place for no set. */
uint32_t sets_find(struct grammar_builder *b, struct set_table *t, const uint32_t *at, size_t n)
{
    if (t->n + 1 >= t->room && !table_grow(b, t))
        return 0;
    t->n = t->n > 0 ? t->n : 1;
    uint32_t *bucket = &t->buckets[hash_set(at, n) & (t->n_buckets - 1)];
    for (uint32_t i = *bucket; i != 0; i = t->sets[i].hash_next)
        if (t->sets[i].n == n && memcmp(t->sets[i].at, at, n * sizeof *at) == 0)
            return i;
    uint32_t *copy = expr_alloc(b, n, sizeof *copy);
    if (copy == NULL)
        return 0;
    memcpy(copy, at, n * sizeof *at);
    t->sets[t->n] = (struct state_set){.at = copy, .n = (uint32_t)n, .hash_next = *bucket};
    *bucket = (uint32_t)t->n;
    return (uint32_t)t->n++;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* --- closures --- */

bool closure_room(struct closure *c, const struct nfa *nfa, struct grammar_builder *b)
{
    if (nfa->n <= c->room)
        return true;
    c->marks = expr_alloc(b, nfa->n, sizeof *c->marks);
    c->found = expr_alloc(b, nfa->n, sizeof *c->found);
    c->stack = expr_alloc(b, nfa->n, sizeof *c->stack);
    c->room = nfa->n;
    c->round = 0;
    return c->marks != NULL && c->found != NULL && c->stack != NULL;
}

void closure_begin(struct closure *c)
{
    c->n_found = 0;
    c->round++;
}

void closure_sort(struct closure *c)
{
    if (c->n_found > 1)
        qsort(c->found, c->n_found, sizeof *c->found, by_number);
}

void closure_add(struct closure *c, const struct nfa *nfa, uint32_t state)
{
    size_t n_stack = 0;
    if (c->marks[state] == c->round)
        return;
    c->marks[state] = c->round;
    c->stack[n_stack++] = state;
    while (n_stack > 0) {
        uint32_t at = c->stack[--n_stack];
        const struct nfa_state *s = &nfa->states[at];
        if (s->kind != NFA_SPLIT) {
            c->found[c->n_found++] = at;
            continue;
        }
        const uint32_t ways[] = {s->next, s->other};
        for (int i = 0; i < 2; i++)
            if (c->marks[ways[i]] != c->round) {
                c->marks[ways[i]] = c->round;
                c->stack[n_stack++] = ways[i];
            }
    }
}
