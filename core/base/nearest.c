/* nearest.c - the restricted Damerau-Levenshtein distance (Damerau, 1964: an adjacent swap counts
 * one). No state; any thread. */
#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static bool is_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t n = strnlen(a, NEAREST_MAX + 1), m = strnlen(b, NEAREST_MAX + 1);
    if (n > NEAREST_MAX || m > NEAREST_MAX)
        return SIZE_MAX;
    /* Three rows of the usual table: row i holds the slips from a's first i letters to b's j. */
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *here = rows[2];
    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    for (size_t i = 1; i <= n; i++) {
        here[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t same = is_same(a[i - 1], b[j - 1]) ? 0 : 1;
            here[j] = smallest(above[j] + 1, here[j - 1] + 1, above[j - 1] + same);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]) &&
                before[j - 2] + 1 < here[j])
                here[j] = before[j - 2] + 1;
        }
        size_t *free_row = before;
        before = above;
        above = here;
        here = free_row;
    }
    return above[m];
}

const char *nearest_name(const char *name, const char *const *names, size_t n)
{
    char front[NEAREST_MAX + 1];
    snprintf(front, sizeof front, "%s", name);
    const char *best = NULL;
    size_t fewest = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t slips = nearest_distance(front, names[i]);
        if (slips < fewest) {
            best = names[i];
            fewest = slips;
        }
    }
    if (best == NULL)
        return NULL;
    size_t n_name = strlen(front), n_best = strlen(best);
    return fewest * 3 <= (n_name > n_best ? n_name : n_best) ? best : NULL;
}
