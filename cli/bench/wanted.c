/* wanted.c - the words of --cells: beginnings of cells' names, between commas. Pure. */
#include "cli/bench/bench.h"

#include <string.h>

static const char *skip_gap(const char *text)
{
    return text + strspn(text, ", ");
}

bool wanted_next(const char **words, const char **word, size_t *n)
{
    const char *begin = skip_gap(*words), *end = begin + strcspn(begin, ",");
    *words = end;
    while (end > begin && end[-1] == ' ')
        end--;
    *word = begin;
    *n = (size_t)(end - begin);
    return end > begin;
}

bool wanted_begins(const char *name, const char *word, size_t n)
{
    return strncmp(name, word, n) == 0 && (name[n] == ' ' || name[n] == '\0');
}

bool wanted_cell(const struct bench *bench, const char *name)
{
    const char *words = bench->settings->cells, *word;
    size_t n;
    if (words == NULL)
        return true;
    while (wanted_next(&words, &word, &n))
        if (wanted_begins(name, word, n))
            return true;
    return false;
}

bool wanted_whole(const struct bench *bench, const char *name)
{
    const char *words = bench->settings->cells, *word;
    size_t n;
    while (words != NULL && wanted_next(&words, &word, &n))
        if (strlen(name) == n && strncmp(name, word, n) == 0)
            return true;
    return false;
}
