/* steady.h - which kinds of characters change nothing of what a state allows.
 *
 * Inside a string, letters lead from one place to a place like it: all tokens of letters may come,
 * and none has to be looked at. For each state: a set of kinds, and how many characters of them may
 * come in any order, at least. It is found when it is first asked for. Shared by all threads.
 */
#pragma once

#include "grammar/automaton.h"

enum { STEADY_EVER = 255 }; /* characters: as many as there are */

struct steady {
    const struct automaton *automaton; /* borrowed */
    _Atomic uint64_t *of;              /* [n_states] kinds, then characters; owned */
};

enum status steady_init(struct steady *s, const struct automaton *a, struct error *err);
void steady_free(struct steady *s);

/* Kinds of which *n characters may come from the state on, each in a state that reads on; those of
 * bytes that are no characters only with STEADY_EVER. *ends: no more than *n of them may, and
 * nothing else is to be found on the way: no end, no call. */
uint64_t steady_kinds(const struct steady *s, uint32_t state, unsigned *n, bool *ends);
