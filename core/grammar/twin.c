/* twin.c - pairs of sets of states. See twin.h. */
#include "grammar/twin.h"

#include <string.h>

enum { STATES_MOST = 30000 };

static bool add_state(struct twin *p, const struct state_set *set, uint32_t number)
{
    if (number < p->n)
        return true;
    if (number >= STATES_MOST)
        expr_fail(p->b, STATUS_TOO_LARGE,
                  "the grammar is too large: expressions that hold together need more than %d "
                  "states",
                  STATES_MOST);
    if (number >= p->room) {
        size_t room = p->room > 0 ? 2 * p->room : 64;
        struct twin_state *more = expr_alloc(p->b, room, sizeof *more);
        if (more == NULL)
            return false;
        if (p->n > 0)
            memcpy(more, p->states, p->n * sizeof *more);
        p->states = more;
        p->room = room;
    }
    bool ends[2] = {false, false};
    for (uint32_t i = 0; i < set->n; i++)
        for (int k = 0; k < 2; k++)
            ends[k] |= set->at[i] == p->ends[k];
    p->states[number] = (struct twin_state){
        .to = expr_alloc(p->b, p->n_classes, sizeof(uint32_t)),
        .accepts = ends[0] && ends[1] != p->without,
        .lives = ends[0] && ends[1] != p->without,
    };
    p->n = (size_t)number + 1;
    return expr_status(p->b) == STATUS_OK;
}

/* The state of what was found; 0: nothing was, or the builder has failed. */
static uint32_t end_closure(struct twin *p, struct closure *c, struct set_table *sets)
{
    if (c->n_found == 0)
        return 0;
    closure_sort(c);
    uint32_t number = sets_find(p->b, sets, c->found, c->n_found);
    return number > 0 && add_state(p, &sets->sets[number], number) ? number : 0;
}

/* Which states lead to one that accepts, until no more do. */
static void find_living(struct twin *p)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = p->n; i-- > 1;)
            for (size_t c = 0; !p->states[i].lives && c < p->n_classes; c++) {
                const uint32_t to = p->states[i].to[c];
                if (to != 0 && p->states[to].lives)
                    changed = p->states[i].lives = true;
            }
    }
}

bool twin_find(struct twin *p)
{
    struct closure c = {0};
    struct set_table sets = {0};
    uint8_t class_of[256];
    p->n_classes = nfa_classes(p->of, 0, class_of, p->sample);
    p->n = 1;
    p->room = 64;
    p->states = expr_alloc(p->b, p->room, sizeof *p->states);
    if (p->states == NULL || !closure_room(&c, p->of, p->b))
        return false;
    closure_begin(&c);
    closure_add(&c, p->of, p->starts[0]);
    closure_add(&c, p->of, p->starts[1]);
    end_closure(p, &c, &sets);
    for (size_t i = 1; i < p->n && expr_status(p->b) == STATUS_OK; i++)
        for (size_t k = 0; k < p->n_classes && expr_status(p->b) == STATUS_OK; k++) {
            const struct state_set set = sets.sets[i];
            closure_begin(&c);
            for (uint32_t m = 0; m < set.n; m++) {
                const struct nfa_state *s = &p->of->states[set.at[m]];
                if (s->kind == NFA_CALL)
                    expr_fail(p->b, STATUS_UNSUPPORTED,
                              "what calls other rules cannot be compared");
                else if (s->kind == NFA_BYTES && s->first <= p->sample[k] &&
                         p->sample[k] <= s->last)
                    closure_add(&c, p->of, s->next);
            }
            uint32_t to = end_closure(p, &c, &sets);
            p->states[i].to[k] = to;
        }
    if (expr_status(p->b) != STATUS_OK)
        return false;
    find_living(p);
    return true;
}

static uint32_t living(const struct twin *p, uint32_t state)
{
    return state != 0 && p->states[state].lives ? state : 0;
}

/* The ways of one state, hung onto what stands for it. */
static void make_ways(struct twin *p, struct nfa *nfa, const struct twin_state *state,
                      uint32_t next)
{
    uint32_t ways = next;
    bool has_way = state->accepts;
    for (size_t first = 0, after; first < p->n_classes; first = after) {
        const uint32_t to = living(p, state->to[first]);
        for (after = first + 1; after < p->n_classes && living(p, state->to[after]) == to;)
            after++;
        if (to == 0)
            continue;
        const unsigned end = after < p->n_classes ? p->sample[after] : 256u;
        const uint32_t way = nfa_add(nfa, p->b,
                                     (struct nfa_state){.kind = NFA_BYTES,
                                                        .first = p->sample[first],
                                                        .last = (uint8_t)(end - 1),
                                                        .next = p->states[to].made});
        ways = has_way ? nfa_add(nfa, p->b,
                                 (struct nfa_state){.kind = NFA_SPLIT, .next = way, .other = ways})
                       : way;
        has_way = true;
    }
    if (expr_status(p->b) == STATUS_OK && has_way)
        nfa->states[state->made].next = nfa->states[state->made].other = ways;
}

uint32_t twin_make(struct twin *p, struct nfa *nfa, uint32_t next)
{
    for (size_t i = 1; i < p->n; i++) { /* each leads to itself, which is nowhere, at first */
        const uint32_t made = (uint32_t)nfa->n;
        p->states[i].made =
            nfa_add(nfa, p->b, (struct nfa_state){.kind = NFA_SPLIT, .next = made, .other = made});
    }
    for (size_t i = 1; i < p->n && expr_status(p->b) == STATUS_OK; i++)
        if (p->states[i].lives)
            make_ways(p, nfa, &p->states[i], next);
    return expr_status(p->b) == STATUS_OK ? p->states[1].made : 0;
}
