/* lookahead.h - what may come after a place in a text, tried out and forgotten.
 *
 * Steps over a matcher that leave it as it was: bytes that must come, bytes that complete the text
 * soonest. It stands in its caller's storage and allocates nothing. One thread, and between begin
 * and end the matcher is its own.
 */
#pragma once

#include "grammar/matcher.h"

struct lookahead {
    struct matcher *m; /* borrowed */
    size_t n_nodes;    /* of its tree of stacks, at the beginning */
    struct matcher_places now, other;
    struct matcher_place room[2][MATCHER_PLACES];
};

void lookahead_begin(struct lookahead *l, struct matcher *m);
void lookahead_end(struct lookahead *l);

/* False: such bytes are none of the grammar's; it then stands where it stood before the wrong one.
 */
bool lookahead_take(struct lookahead *l, const char *bytes, size_t n);
bool lookahead_may_end(const struct lookahead *l);
/* No place was lost: all that its grammar allows may come, and its distances hold. */
bool lookahead_is_exact(const struct lookahead *l);
bool lookahead_must_end(const struct lookahead *l); /* nothing may come any more */
bool lookahead_may_come(const struct lookahead *l, uint8_t byte);
uint32_t lookahead_distance(const struct lookahead *l); /* as matcher_distance */
/* The one byte that can come; -1: there are several, or the text may end here. */
int lookahead_only(const struct lookahead *l);
/* The byte with which a shortest completion goes on, of several the lowest; -1: there is none. */
int lookahead_shortest(const struct lookahead *l);
