/* wanted.c - the words of --cells: beginnings of cells' names, between commas. Pure. */
#include "cli/bench/bench.h"

#include <string.h>

static const char *skip_gap(const char *text)
{
    return text + strspn(text, ", ");
}

bool bench_next_word(const char **words, const char **word, size_t *n)
{
    const char *begin = skip_gap(*words), *end = begin + strcspn(begin, ",");
    *words = end;
    while (end > begin && end[-1] == ' ')
        end--;
    *word = begin;
    *n = (size_t)(end - begin);
    return end > begin;
}

bool bench_begins(const char *name, const char *word, size_t n)
{
    return strncmp(name, word, n) == 0 && (name[n] == ' ' || name[n] == '\0');
}

bool bench_wanted(const struct bench *bench, const char *name)
{
    const char *words = bench->settings->cells, *word;
    size_t n;
    if (words == NULL)
        return true;
    while (bench_next_word(&words, &word, &n))
        if (bench_begins(name, word, n))
            return true;
    return false;
}
