/* automaton.c - nondeterministic rules become deterministic ones (subset construction).
 *
 * Works in the builder's memory and copies the result out of it. What the automaton then knows of
 * itself (distances, what follows) is analysis.c's. See automaton.h.
 */
#include "grammar/automaton.h"

#include "grammar/analysis.h"
#include "grammar/thompson.h"

#include <stdlib.h>
#include <string.h>

struct determinizing {
    struct grammar_builder *b;
    const struct grammar_limits *limits;
    size_t longest;
    struct nfa nfa;
    struct automaton *a;
    struct set_table states; /* set i is state i */
    struct set_table likes;  /* the same with each state by the one that it is like */
    size_t calls_room, states_room;
    uint32_t *rule_of;   /* [builder's rules]: the automaton's, plus one */
    uint32_t *source_of; /* [automaton's rules]: the builder's */
    struct closure closure;
};

/* --- states --- */

static bool more_states(struct determinizing *g, size_t n)
{
    struct automaton *a = g->a;
    if (n <= g->states_room)
        return true;
    size_t room = g->states_room > 0 ? 2 * g->states_room : 256;
    struct automaton_state *states = realloc(a->states, room * sizeof *states);
    if (states != NULL)
        a->states = states;
    uint32_t *next = realloc(a->next, room * a->n_classes * sizeof *next);
    if (next != NULL)
        a->next = next;
    if (states == NULL || next == NULL) {
        expr_fail(g->b, STATUS_NO_MEMORY, "out of memory: %zu states for a grammar", room);
        return false;
    }
    g->states_room = room;
    return true;
}

/* The state of what was found; 0: nothing was, or the builder has failed. */
static uint32_t closure_end(struct determinizing *g, uint32_t rule)
{
    struct automaton *a = g->a;
    if (g->closure.n_found == 0)
        return STATE_DEAD;
    closure_sort(&g->closure);
    uint32_t state = sets_find(g->b, &g->states, g->closure.found, g->closure.n_found);
    if (state == 0 || state < a->n_states)
        return state;
    size_t n_bytes = ((size_t)state + 1) * a->n_classes * sizeof *a->next;
    if (state >= g->limits->n_states || n_bytes > g->limits->n_bytes)
        expr_fail(g->b, STATUS_TOO_LARGE, "the grammar is too large: it needs more than %u states",
                  state);
    if (!more_states(g, (size_t)state + 1) || expr_status(g->b) != STATUS_OK)
        return STATE_DEAD;
    size_t n_like = 0;
    for (size_t i = 0; i < g->closure.n_found; i++)
        g->closure.found[n_like++] = g->nfa.states[g->closure.found[i]].like;
    closure_sort(&g->closure);
    a->states[state] = (struct automaton_state){
        .rule = rule, .likeness = sets_find(g->b, &g->likes, g->closure.found, n_like)};
    memset(&a->next[state * a->n_classes], 0, a->n_classes * sizeof *a->next);
    a->n_states = (size_t)state + 1;
    return state;
}

/* --- states --- */

/* The automaton's number of a builder's rule; its start is made later. */
static uint32_t number_rule(struct determinizing *g, uint32_t rule)
{
    struct automaton *a = g->a;
    if (g->rule_of[rule] == 0) {
        g->source_of[a->n_rules++] = rule;
        g->rule_of[rule] = (uint32_t)a->n_rules;
    }
    return g->rule_of[rule] - 1;
}

static void add_call(struct determinizing *g, uint32_t rule, uint32_t back)
{
    struct automaton *a = g->a;
    if (a->n_calls == g->calls_room) {
        size_t room = g->calls_room > 0 ? 2 * g->calls_room : 64;
        struct automaton_call *more = realloc(a->calls, room * sizeof *more);
        if (more == NULL) {
            expr_fail(g->b, STATUS_NO_MEMORY, "out of memory: %zu calls for a grammar", room);
            return;
        }
        a->calls = more;
        g->calls_room = room;
    }
    a->calls[a->n_calls++] = (struct automaton_call){.rule = rule, .back = back};
}

/* The calls of one state: of a rule's several calls one is made, which goes on wherever they do. */
static void make_calls(struct determinizing *g, uint32_t state, uint32_t rule)
{
    struct automaton *a = g->a;
    const struct state_set set = g->states.sets[state];
    const uint32_t first = (uint32_t)a->n_calls;
    for (uint32_t i = 0; i < set.n && expr_status(g->b) == STATUS_OK; i++) {
        const struct nfa_state call = g->nfa.states[set.at[i]];
        if (call.kind != NFA_CALL)
            continue;
        uint32_t callee = number_rule(g, call.rule);
        bool done = false;
        for (uint32_t k = first; k < a->n_calls; k++)
            done |= a->calls[k].rule == callee;
        if (done)
            continue;
        closure_begin(&g->closure);
        for (uint32_t k = i; k < set.n; k++) {
            const struct nfa_state *other = &g->nfa.states[set.at[k]];
            if (other->kind == NFA_CALL && other->rule == call.rule)
                closure_add(&g->closure, &g->nfa, other->next);
        }
        add_call(g, callee, closure_end(g, rule));
    }
    a->states[state].first_call = first;
    a->states[state].n_calls = (uint32_t)a->n_calls - first;
}

static void make_ways(struct determinizing *g, uint32_t state, uint32_t rule, const uint8_t *sample)
{
    struct automaton *a = g->a;
    const struct state_set set = g->states.sets[state];
    bool reads = false;
    for (uint32_t i = 0; i < set.n; i++) {
        a->states[state].accepts |= g->nfa.states[set.at[i]].kind == NFA_ACCEPT;
        reads |= g->nfa.states[set.at[i]].kind == NFA_BYTES;
    }
    for (size_t c = 0; reads && c < a->n_classes && expr_status(g->b) == STATUS_OK; c++) {
        closure_begin(&g->closure);
        for (uint32_t i = 0; i < set.n; i++) {
            const struct nfa_state *s = &g->nfa.states[set.at[i]];
            if (s->kind == NFA_BYTES && s->first <= sample[c] && sample[c] <= s->last)
                closure_add(&g->closure, &g->nfa, s->next);
        }
        uint32_t to = closure_end(g, rule);
        a->next[state * a->n_classes + c] = to;
    }
}

static void make_rule_states(struct determinizing *g, uint32_t number, const uint8_t *sample)
{
    struct automaton *a = g->a;
    uint32_t start = g->nfa.starts[g->source_of[number]];
    uint32_t first = a->n_states > 0 ? (uint32_t)a->n_states : 1;
    closure_begin(&g->closure);
    closure_add(&g->closure, &g->nfa, start);
    a->rules[number].start = closure_end(g, number);
    for (uint32_t s = first; s < a->n_states && expr_status(g->b) == STATUS_OK; s++) {
        make_ways(g, s, number, sample);
        make_calls(g, s, number);
    }
}

/* Every rule that the root can come to, as nondeterministic states: classes need all of them. */
static bool make_all(struct determinizing *g, uint32_t root)
{
    number_rule(g, root);
    size_t looked_at = 0;
    for (size_t i = 0; i < g->a->n_rules; i++) {
        thompson_rule(&g->nfa, g->b, g->source_of[i]);
        if (expr_status(g->b) != STATUS_OK)
            return false;
        for (; looked_at < g->nfa.n; looked_at++)
            if (g->nfa.states[looked_at].kind == NFA_CALL)
                number_rule(g, g->nfa.states[looked_at].rule);
    }
    return closure_room(&g->closure, &g->nfa, g->b);
}

static void build(struct determinizing *g, uint32_t root)
{
    struct automaton *a = g->a;
    uint8_t sample[256];
    size_t n_rules = expr_n_rules(g->b);
    g->rule_of = expr_alloc(g->b, n_rules, sizeof *g->rule_of);
    g->source_of = expr_alloc(g->b, n_rules, sizeof *g->source_of);
    if (g->rule_of == NULL || g->source_of == NULL ||
        !thompson_begin(&g->nfa, g->b, root, g->longest, 4 * g->limits->n_states) ||
        !make_all(g, root))
        return;
    a->rules = calloc(a->n_rules, sizeof *a->rules);
    if (a->rules == NULL)
        expr_fail(g->b, STATUS_NO_MEMORY, "out of memory: %zu rules of a grammar", a->n_rules);
    a->n_classes = nfa_classes(&g->nfa, 0, a->class_of, sample);
    if (a->rules == NULL || !more_states(g, 1))
        return;
    memset(a->states, 0, sizeof *a->states);
    memset(a->next, 0, a->n_classes * sizeof *a->next);
    a->states[STATE_DEAD].distance = DISTANCE_NONE;
    a->n_states = 1;
    for (uint32_t i = 0; i < a->n_rules && expr_status(g->b) == STATUS_OK; i++)
        make_rule_states(g, i, sample);
    a->n_likenesses = g->likes.n;
    if (expr_status(g->b) == STATUS_OK)
        automaton_analyse(a, g->b, g->source_of);
}

enum status automaton_build(struct automaton **out, struct grammar_builder *b, uint32_t root,
                            const struct grammar_limits *limits, size_t longest, struct error *err)
{
    struct automaton *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_no_memory(err, sizeof *a, "a grammar");
    struct determinizing g = {.b = b, .limits = limits, .longest = longest, .a = a};
    if (expr_status(b) == STATUS_OK)
        build(&g, root);
    if (expr_status(b) != STATUS_OK) {
        automaton_destroy(a);
        if (err != NULL)
            *err = *expr_error(b);
        return expr_status(b);
    }
    *out = a;
    return STATUS_OK;
}

void automaton_destroy(struct automaton *a)
{
    if (a == NULL)
        return;
    free(a->next);
    free(a->states);
    free(a->calls);
    free(a->rules);
    free(a);
}
