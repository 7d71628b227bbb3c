/* analysis.c - fixed points over an automaton. See analysis.h. */
#include "grammar/analysis.h"

#include <string.h>

static uint32_t sum(uint32_t a, uint32_t b)
{
    uint32_t out;
    return a == DISTANCE_NONE || b == DISTANCE_NONE || __builtin_add_overflow(a, b, &out)
               ? DISTANCE_NONE
               : out;
}

/* --- distances --- */

static uint32_t distance_now(const struct automaton *a, uint32_t state)
{
    const struct automaton_state *s = &a->states[state];
    uint32_t best = s->accepts ? 0 : DISTANCE_NONE;
    for (size_t c = 0; best > 0 && c < a->n_classes; c++) {
        uint32_t to = sum(1, a->states[a->next[state * a->n_classes + c]].distance);
        best = to < best ? to : best;
    }
    for (uint32_t i = 0; best > 0 && i < s->n_calls; i++) {
        const struct automaton_call *call = &a->calls[s->first_call + i];
        uint32_t start = a->rules[call->rule].start;
        uint32_t to = sum(a->states[start].distance, a->states[call->back].distance);
        best = to < best ? to : best;
    }
    return best;
}

/* Until nothing gets shorter: from the last state to the first, since ways mostly lead forward. */
static void find_distances(struct automaton *a)
{
    for (uint32_t i = 0; i < a->n_states; i++)
        a->states[i].distance = DISTANCE_NONE;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = (uint32_t)a->n_states; i-- > 1;) {
            uint32_t distance = distance_now(a, i);
            changed |= distance < a->states[i].distance;
            a->states[i].distance = distance;
        }
    }
    for (size_t r = 0; r < a->n_rules; r++)
        a->rules[r].nullable = a->states[a->rules[r].start].distance == 0;
}

/* Ways and calls that can never be completed are no ways. */
static void cut_dead_ends(struct automaton *a)
{
    for (uint32_t i = 1; i < a->n_states; i++) {
        struct automaton_state *s = &a->states[i];
        uint32_t kept = 0;
        s->reads = false;
        for (size_t c = 0; c < a->n_classes; c++) {
            uint32_t *to = &a->next[i * a->n_classes + c];
            if (a->states[*to].distance == DISTANCE_NONE)
                *to = STATE_DEAD;
            s->reads |= *to != STATE_DEAD;
        }
        for (uint32_t k = 0; k < s->n_calls; k++) {
            const struct automaton_call call = a->calls[s->first_call + k];
            if (sum(a->states[a->rules[call.rule].start].distance, a->states[call.back].distance) !=
                DISTANCE_NONE)
                a->calls[s->first_call + kept++] = call;
        }
        s->n_calls = kept;
        s->closed = s->reads && !s->accepts && kept == 0;
    }
}

/* --- heights --- */

enum { HEIGHT_NONE = STACK_DEPTH + 1 }; /* more than there may be */

/* A state where a rule can only end. */
static bool only_ends(const struct automaton_state *s)
{
    return s->accepts && !s->reads && s->n_calls == 0;
}

static uint16_t call_height(const struct automaton *a, const struct automaton_call *call)
{
    const uint16_t back = a->states[call->back].height;
    uint16_t inside = a->states[a->rules[call->rule].start].height;
    if (!call->is_last && inside < HEIGHT_NONE)
        inside++;
    return inside > back ? inside : back;
}

static uint16_t height_now(const struct automaton *a, uint32_t state)
{
    const struct automaton_state *s = &a->states[state];
    uint16_t best = s->accepts ? 0 : HEIGHT_NONE;
    for (size_t c = 0; best > 0 && c < a->n_classes; c++) {
        const uint16_t to = a->states[a->next[state * a->n_classes + c]].height;
        best = to < best ? to : best;
    }
    for (uint32_t i = 0; best > 0 && i < s->n_calls; i++) {
        const uint16_t to = call_height(a, &a->calls[s->first_call + i]);
        best = to < best ? to : best;
    }
    return best;
}

/* As distances, but only where anything is called. */
static void find_heights(struct automaton *a)
{
    for (uint32_t i = 1; i < a->n_states; i++) {
        const struct automaton_state *s = &a->states[i];
        for (uint32_t k = 0; k < s->n_calls; k++) {
            struct automaton_call *call = &a->calls[s->first_call + k];
            call->is_last = only_ends(&a->states[call->back]);
            a->rules[s->rule].height = HEIGHT_NONE;
        }
    }
    a->states[STATE_DEAD].height = HEIGHT_NONE;
    for (uint32_t i = 1; i < a->n_states; i++)
        a->states[i].height = a->rules[a->states[i].rule].height;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = (uint32_t)a->n_states; i-- > 1;) {
            const uint16_t height = a->states[i].height > 0 ? height_now(a, i) : 0;
            changed |= height < a->states[i].height;
            a->states[i].height = height;
        }
    }
    for (size_t r = 0; r < a->n_rules; r++)
        a->rules[r].height = 0;
    for (uint32_t i = 1; i < a->n_states; i++) {
        const struct automaton_state *s = &a->states[i];
        struct automaton_rule *rule = &a->rules[s->rule];
        rule->height = s->height > rule->height ? s->height : rule->height;
        for (uint32_t k = 0; k < s->n_calls; k++) {
            struct automaton_call *call = &a->calls[s->first_call + k];
            call->height = call_height(a, call);
        }
    }
}

/* --- rules that begin with themselves --- */

struct beginnings { /* of one rule: what may be called before anything is read */
    struct automaton *a;
    uint32_t *stack, *seen; /* [n_states] */
    uint32_t round;
};

/* Calls each(context, rule) for every rule that rule r may begin with; states may come twice. */
static void each_beginning(struct beginnings *g, uint32_t r, void (*each)(void *, uint32_t),
                           void *context)
{
    const struct automaton *a = g->a;
    size_t n = 0;
    g->round++;
    g->stack[n++] = a->rules[r].start;
    g->seen[a->rules[r].start] = g->round;
    while (n > 0) {
        const struct automaton_state *s = &a->states[g->stack[--n]];
        for (uint32_t i = 0; i < s->n_calls; i++) {
            const struct automaton_call *call = &a->calls[s->first_call + i];
            each(context, call->rule);
            if (a->rules[call->rule].nullable && g->seen[call->back] != g->round) {
                g->seen[call->back] = g->round;
                g->stack[n++] = call->back;
            }
        }
    }
}

struct rule_counting {
    uint32_t *n_users, *n_open, *users, *at;
    uint32_t rule;
    uint32_t found;
};

static void count_user(void *context, uint32_t callee)
{
    struct rule_counting *c = context;
    c->n_users[callee]++;
    c->n_open[c->rule]++;
}

static void add_user(void *context, uint32_t callee)
{
    struct rule_counting *c = context;
    c->users[c->at[callee]++] = c->rule;
}

static void find_open(void *context, uint32_t callee)
{
    struct rule_counting *c = context;
    if (c->n_open[callee] > 0)
        c->found = callee;
}

/* Takes away rules that begin with no other that is left; a rest begins in circles. */
static void refuse_left_recursion(struct automaton *a, struct grammar_builder *b,
                                  const uint32_t *source_of)
{
    struct beginnings g = {.a = a,
                           .stack = expr_alloc(b, a->n_states, sizeof *g.stack),
                           .seen = expr_alloc(b, a->n_states, sizeof *g.seen)};
    struct rule_counting c = {.n_users = expr_alloc(b, a->n_rules + 1, sizeof(uint32_t)),
                              .n_open = expr_alloc(b, a->n_rules, sizeof(uint32_t)),
                              .at = expr_alloc(b, a->n_rules, sizeof(uint32_t))};
    uint32_t *ready = expr_alloc(b, a->n_rules, sizeof *ready);
    if (expr_status(b) != STATUS_OK)
        return;
    for (c.rule = 0; c.rule < a->n_rules; c.rule++)
        each_beginning(&g, c.rule, count_user, &c);
    size_t n_all = 0;
    for (size_t r = 0; r < a->n_rules; r++) {
        c.at[r] = (uint32_t)n_all;
        n_all += c.n_users[r];
    }
    c.users = expr_alloc(b, n_all + 1, sizeof *c.users);
    if (c.users == NULL)
        return;
    for (c.rule = 0; c.rule < a->n_rules; c.rule++)
        each_beginning(&g, c.rule, add_user, &c);
    size_t n_ready = 0, n_done = 0;
    for (uint32_t r = 0; r < a->n_rules; r++)
        if (c.n_open[r] == 0)
            ready[n_ready++] = r;
    for (; n_done < n_ready; n_done++) {
        uint32_t r = ready[n_done], end = c.at[r];
        for (uint32_t i = end - c.n_users[r]; i < end; i++)
            if (--c.n_open[c.users[i]] == 0)
                ready[n_ready++] = c.users[i];
    }
    if (n_done == a->n_rules)
        return;
    for (uint32_t r = 0; r < a->n_rules; r++)
        c.found = c.n_open[r] > 0 ? r : c.found;
    for (size_t i = 0; i < a->n_rules; i++) /* from a rule that leads to a circle, into it */
        each_beginning(&g, c.found, find_open, &c);
    expr_fail(b, STATUS_INVALID, "the rule \"%s\" begins with itself (left recursion)",
              rule_name(b, source_of[c.found]));
}

/* --- what follows --- */

static bool join(uint64_t *into, const uint64_t *from)
{
    bool changed = false;
    for (int i = 0; i < 4; i++) {
        changed |= (from[i] & ~into[i]) != 0;
        into[i] |= from[i];
    }
    return changed;
}

struct firsts {
    uint64_t (*of)[4]; /* [n_states]: bytes that may come next, calls' included */
};

/* Beginnings until they do not grow. */
static void find_firsts(const struct automaton *a, struct firsts *f)
{
    for (uint32_t i = 1; i < a->n_states; i++)
        for (int byte = 0; byte < 256; byte++)
            if (automaton_next(a, i, (uint8_t)byte) != STATE_DEAD)
                f->of[i][byte / 64] |= (uint64_t)1 << byte % 64;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = (uint32_t)a->n_states; i-- > 1;)
            for (uint32_t k = 0; k < a->states[i].n_calls; k++) {
                const struct automaton_call *call = &a->calls[a->states[i].first_call + k];
                changed |= join(f->of[i], f->of[a->rules[call->rule].start]);
                if (a->rules[call->rule].nullable)
                    changed |= join(f->of[i], f->of[call->back]);
            }
    }
}

static void find_follows(struct automaton *a, const struct firsts *f)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 1; i < a->n_states; i++)
            for (uint32_t k = 0; k < a->states[i].n_calls; k++) {
                const struct automaton_call *call = &a->calls[a->states[i].first_call + k];
                uint64_t *follow = a->rules[call->rule].follow;
                changed |= join(follow, f->of[call->back]);
                if (a->states[call->back].distance == 0)
                    changed |= join(follow, a->rules[a->states[i].rule].follow);
            }
    }
}

void automaton_analyse(struct automaton *a, struct grammar_builder *b, const uint32_t *source_of)
{
    find_distances(a);
    if (a->states[a->rules[0].start].distance == DISTANCE_NONE) {
        if (expr_hinted(b)[0] != '\0')
            expr_fail(b, STATUS_INVALID, "no text satisfies the grammar: %s", expr_hinted(b));
        else
            expr_fail(b, STATUS_INVALID,
                      "no text satisfies the grammar: the rule \"%s\" never ends",
                      rule_name(b, source_of[0]));
        return;
    }
    cut_dead_ends(a);
    refuse_left_recursion(a, b, source_of);
    find_heights(a);
    if (a->states[a->rules[0].start].height > STACK_DEPTH)
        expr_fail(b, STATUS_TOO_LARGE,
                  "the grammar is nested too deeply: each of its texts opens more than %d rules "
                  "inside rules",
                  STACK_DEPTH);
    struct firsts f = {.of = expr_alloc(b, a->n_states, sizeof *f.of)};
    if (f.of == NULL)
        return;
    find_firsts(a, &f);
    find_follows(a, &f);
}
