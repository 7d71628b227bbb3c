/* nearest.h - which known name a mistyped one most likely meant.
 *
 * Pure; any thread.
 */
#pragma once

#include <stddef.h>

enum { NEAREST_MAX = 64 }; /* bytes of a name that are compared; longer ones have no near name */

/* Single typing slips (a letter added, lost, replaced, two swapped) that lead from one to the
 * other. */
size_t nearest_distance(const char *a, const char *b);

/* The name with the fewest slips (the first among equals), or NULL when none is near: more slips
 * than a third of the longer name, and more than 2. names: [n]. */
const char *nearest_name(const char *name, const char *const *names, size_t n);
