/* nfa.c - a growing array of states. See nfa.h. */
#include "grammar/nfa.h"

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
