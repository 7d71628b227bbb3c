/* regular.c - an expression's states, followed along a text or to their end. See regular.h. */
#include "grammar/regular.h"

#include "grammar/thompson.h"

enum { STATES_MOST = 100000 };

static bool begin(struct grammar_builder *b, const struct expr *e, struct nfa *nfa,
                  struct closure *c)
{
    uint32_t start;
    *c = (struct closure){0};
    if (!thompson_one(nfa, b, e, STATES_MOST, &start) || !closure_room(c, nfa, b))
        return false;
    closure_begin(c);
    closure_add(c, nfa, start);
    return true;
}

static bool has_end(const struct nfa *nfa, const struct closure *c)
{
    for (size_t i = 0; i < c->n_found; i++)
        if (nfa->states[c->found[i]].kind == NFA_ACCEPT)
            return true;
    return false;
}

bool regular_matches(struct grammar_builder *b, const struct expr *e, const char *bytes, size_t n)
{
    struct nfa nfa;
    struct closure c, other = {0};
    if (!begin(b, e, &nfa, &c) || !closure_room(&other, &nfa, b))
        return false;
    for (size_t i = 0; i < n && c.n_found > 0; i++) {
        closure_begin(&other);
        for (size_t k = 0; k < c.n_found; k++) {
            const struct nfa_state *s = &nfa.states[c.found[k]];
            const uint8_t byte = (uint8_t)bytes[i];
            if (s->kind == NFA_BYTES && s->first <= byte && byte <= s->last)
                closure_add(&other, &nfa, s->next);
        }
        struct closure swap = c;
        c = other;
        other = swap;
    }
    return has_end(&nfa, &c);
}

bool regular_is_empty(struct grammar_builder *b, const struct expr *e)
{
    struct nfa nfa;
    struct closure c;
    if (!begin(b, e, &nfa, &c))
        return false;
    for (size_t i = 0; i < c.n_found; i++) { /* what is found grows: each state once */
        const struct nfa_state s = nfa.states[c.found[i]];
        if (s.kind == NFA_BYTES && s.first <= s.last)
            closure_add(&c, &nfa, s.next);
    }
    return !has_end(&nfa, &c);
}
