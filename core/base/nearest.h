/* nearest.h - which known name a mistyped one most likely meant.
 *
 * Pure; any thread.
 */
#pragma once

#include <stddef.h>

enum { NEAREST_MAX = 64 }; /* bytes of a name that are compared */

/* Single typing slips (a letter added, lost, replaced, two swapped; case counts for nothing) that
 * lead from one to the other; SIZE_MAX when either is longer than NEAREST_MAX. */
size_t nearest_distance(const char *a, const char *b);

/* The name with the fewest slips, the first among equals; NULL when even that one takes slips in
 * more than a third of the longer name's letters, since it is then hardly what was meant; of a name
 * that is too long only the front is compared. names: [n]. */
const char *nearest_name(const char *name, const char *const *names, size_t n);
