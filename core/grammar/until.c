/* until.c - the triggers' tree, where a failed beginning falls back to, and states of it. See
 * until.h. */
#include "grammar/until.h"

enum { NODES_MOST = 20000 };

struct until_node {
    uint32_t to[256]; /* by byte; 0: the root */
    uint32_t back;    /* the longest other beginning that ends here too */
    size_t ends;      /* the longest trigger that ends here; EXPR_NONE: none */
    uint32_t state;   /* where it begins as states */
};

struct until_tree {
    struct until_node *nodes; /* [n]; the first is the root */
    uint32_t *order;          /* [n]: by depth */
    size_t n;
};

static void add_trigger(struct until_tree *t, const struct expr_bytes *trigger, size_t which)
{
    uint32_t at = 0;
    for (size_t i = 0; i < trigger->n; i++) {
        uint32_t *to = &t->nodes[at].to[(uint8_t)trigger->bytes[i]];
        if (*to == 0) {
            t->nodes[t->n].ends = EXPR_NONE;
            *to = (uint32_t)t->n++;
        }
        at = *to;
    }
    if (t->nodes[at].ends == EXPR_NONE)
        t->nodes[at].ends = which;
}

/* Fills in each node's ways that its own texts do not have: those of where it falls back to. */
static void find_ways(struct until_tree *t)
{
    size_t n_order = 0;
    t->order[n_order++] = 0;
    for (size_t i = 0; i < n_order; i++) {
        struct until_node *node = &t->nodes[t->order[i]];
        const struct until_node *back = &t->nodes[node->back];
        if (node->ends == EXPR_NONE && i > 0)
            node->ends = back->ends;
        for (int byte = 0; byte < 256; byte++) {
            uint32_t below = node->to[byte], fallen = i > 0 ? back->to[byte] : 0;
            if (below == 0) {
                node->to[byte] = fallen;
                continue;
            }
            t->nodes[below].back = fallen;
            t->order[n_order++] = below;
        }
    }
}

/* Where a byte leads, as a state; false: nowhere. */
static bool leads(const struct until_tree *t, const struct expr *e, uint32_t to, uint32_t next,
                  uint32_t *state)
{
    const struct until_node *node = &t->nodes[to];
    *state = node->ends == EXPR_NONE ? node->state : next;
    return node->ends == EXPR_NONE || node->ends == e->until.which;
}

/* The ways of one node, hung onto its state: runs of bytes that lead to the same place. */
static void make_ways(struct nfa *nfa, struct grammar_builder *b, const struct until_tree *t,
                      const struct expr *e, const struct until_node *node, uint32_t next)
{
    const bool may_end = e->until.which == EXPR_NONE;
    uint32_t ways = may_end ? next : 0, n_ways = may_end;
    for (int first = 0, last; first < 256; first = last + 1) {
        uint32_t to, other;
        const bool does = leads(t, e, node->to[first], next, &to);
        for (last = first; last < 255; last++)
            if (leads(t, e, node->to[last + 1], next, &other) != does || other != to)
                break;
        if (!does)
            continue;
        uint32_t way = nfa_add(
            nfa, b,
            (struct nfa_state){
                .kind = NFA_BYTES, .first = (uint8_t)first, .last = (uint8_t)last, .next = to});
        ways = n_ways++ == 0
                   ? way
                   : nfa_add(nfa, b,
                             (struct nfa_state){.kind = NFA_SPLIT, .next = way, .other = ways});
    }
    if (expr_status(b) == STATUS_OK && n_ways > 0)
        nfa->states[node->state].next = nfa->states[node->state].other = ways;
}

uint32_t until_make(struct nfa *nfa, struct grammar_builder *b, const struct expr *e, uint32_t next)
{
    size_t most = 1;
    for (size_t i = 0; i < e->until.n && most <= NODES_MOST; i++)
        most += e->until.triggers[i].n;
    if (most > NODES_MOST)
        expr_fail(b, STATUS_TOO_LARGE, "the triggers of a grammar have more than %d bytes",
                  NODES_MOST);
    struct until_tree t = {.nodes = expr_alloc(b, most, sizeof *t.nodes),
                           .order = expr_alloc(b, most, sizeof *t.order),
                           .n = 1};
    if (t.nodes == NULL || t.order == NULL)
        return 0;
    t.nodes[0].ends = EXPR_NONE;
    for (size_t i = 0; i < e->until.n; i++)
        add_trigger(&t, &e->until.triggers[i], i);
    find_ways(&t);
    for (size_t i = 0; i < t.n; i++) /* a state to go to before its ways are known */
        t.nodes[i].state = nfa_add(nfa, b, (struct nfa_state){.kind = NFA_SPLIT});
    for (size_t i = 0; i < t.n && expr_status(b) == STATUS_OK; i++) {
        struct nfa_state *state = &nfa->states[t.nodes[i].state];
        state->next = state->other = t.nodes[i].state;
        make_ways(nfa, b, &t, e, &t.nodes[i], next);
    }
    return expr_status(b) == STATUS_OK ? t.nodes[0].state : 0;
}
