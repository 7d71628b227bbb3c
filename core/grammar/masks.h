/* masks.h - which tokens may come next.
 *
 * What a state allows does not depend on the stack below it but for tokens that reach beyond its
 * rule's end. So each state's mask is made once, when it is first asked for, and kept: the tokens
 * that stay inside, and those that leave the rule, which are looked at with the stack at hand.
 * Where the stack is nearly as high as it may be, what is kept does not hold, and all is looked at
 * so. The same mask comes out whether it was kept or not. Shared by all threads; what an asking
 * thread needs besides stands in a scratch of its own.
 */
#pragma once

#include "grammar/matcher.h"
#include "grammar/vocabulary.h"

struct masks;
struct mask_scratch;

/* Borrows both. n_bytes: of kept masks at most; what is beyond is made anew each time.
 * STATUS_NO_MEMORY. */
enum status masks_create(struct masks **out, const struct automaton *a, const struct vocabulary *v,
                         size_t n_bytes, struct error *err);
void masks_destroy(struct masks *masks); /* takes NULL */

size_t masks_bytes(struct masks *masks); /* that are kept now */

/* For grammars of one vocabulary; one thread at a time. STATUS_NO_MEMORY. */
enum status mask_scratch_create(struct mask_scratch **out, const struct vocabulary *v,
                                struct error *err);
void mask_scratch_destroy(struct mask_scratch *scratch); /* takes NULL */

/* bits: [vocabulary_n_words], bit i of word i / 64: the token's bytes may come next. Tokens that
 * end a text are the caller's (matcher_may_end), and so are control tokens, whose names are bytes
 * here: vocabulary.control. Returns how many are set. Allocates nothing from
 * the heap. */
/* Where the grammar is so ambiguous that this would take too long it is given up: m->overran, and
 * what is set is only a part. */
size_t masks_fill(struct masks *masks, struct matcher *m, struct mask_scratch *scratch,
                  uint64_t *bits);
