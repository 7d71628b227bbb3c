/* analysis.h - what an automaton knows of itself before it is used.
 *
 * Distances to the end, the stack's height until there, rules that may be empty, bytes that may
 * follow a rule; ways that lead to nothing are cut off, so that whatever is accepted can be
 * completed. Refuses rules that begin with themselves (a stack without end) and a grammar that no
 * text satisfies, or none within the stack's depth.
 */
#pragma once

#include "grammar/automaton.h"

/* source_of: the builder's rule of each of the automaton's. A failure goes into the builder. */
void automaton_analyse(struct automaton *a, struct grammar_builder *b, const uint32_t *source_of);
