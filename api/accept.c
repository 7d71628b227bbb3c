/* accept.c - which form of answer an Accept header prefers (RFC 9110, sections 12.4.2 and 12.5.1).
 * Pure; any thread. */
#include "api/accept.h"

#include <string.h>
#include <strings.h>

struct media_range {  /* one element of the list */
    const char *type; /* "text/plain", without parameters; not terminated */
    size_t n_type;
    int quality; /* thousandths; -1: the weight is malformed, the element is ignored */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* "0", "0.5", "1.000": thousandths; -1 when it is none of these. */
static int read_quality(const char *text, size_t n)
{
    if (n == 0 || n > 5 || (text[0] != '0' && text[0] != '1') || (n > 1 && text[1] != '.'))
        return -1;
    int value = (text[0] - '0') * 1000, unit = 100;
    for (size_t i = 2; i < n; i++, unit /= 10) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value += (text[i] - '0') * unit;
    }
    return value <= 1000 ? value : -1;
}

/* The end of what begins at p: the next `stop` or ',' outside of quotes. */
static const char *part_end(const char *p, char stop)
{
    for (bool quoted = false; *p != '\0'; p++) {
        if (quoted && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == stop || *p == ','))
            break;
    }
    return p;
}

static size_t trimmed(const char **begin, const char *end)
{
    while (*begin < end && is_space(**begin))
        (*begin)++;
    while (end > *begin && is_space(end[-1]))
        end--;
    return (size_t)(end - *begin);
}

/* Reads the element at *p and moves past its comma; false at the end of the list. */
static bool next_range(const char **p, struct media_range *out)
{
    if (**p == '\0')
        return false;
    const char *end = part_end(*p, ';');
    out->type = *p;
    out->n_type = trimmed(&out->type, end);
    out->quality = 1000;
    while (*end == ';') {
        const char *name = end + 1;
        end = part_end(name, ';');
        size_t n = trimmed(&name, end);
        if (n >= 2 && (name[0] == 'q' || name[0] == 'Q') && name[1] == '=')
            out->quality = read_quality(name + 2, n - 2);
    }
    *p = *end == ',' ? end + 1 : end;
    return true;
}

/* How exactly a range names a type: 3 itself, 2 its kind, 1 anything, 0 not at all. */
static int specificity(const struct media_range *range, const char *type)
{
    size_t n_kind = (size_t)(strchr(type, '/') - type) + 1;
    if (range->n_type == strlen(type) && strncasecmp(range->type, type, range->n_type) == 0)
        return 3;
    if (range->n_type == n_kind + 1 && range->type[n_kind] == '*' &&
        strncasecmp(range->type, type, n_kind) == 0)
        return 2;
    return range->n_type == 3 && memcmp(range->type, "*/*", 3) == 0;
}

size_t accept_choose(const char *accept, const char *const *types, size_t n_types)
{
    struct {
        int quality, specificity;
        size_t place;
    } found[ACCEPT_TYPES_MAX] = {{0, 0, 0}};
    struct media_range range;
    for (size_t place = 0; accept != NULL && next_range(&accept, &range); place++) {
        for (size_t i = 0; i < n_types && range.quality >= 0; i++) {
            int exact = specificity(&range, types[i]);
            if (exact > found[i].specificity) {
                found[i].specificity = exact;
                found[i].quality = range.quality;
                found[i].place = place;
            }
        }
    }
    size_t best = 0;
    for (size_t i = 1; i < n_types; i++)
        if (found[i].quality > found[best].quality ||
            (found[i].quality > 0 && found[i].quality == found[best].quality &&
             found[i].place < found[best].place))
            best = i;
    return best;
}

enum answer_form accept_form(bool stream, const char *accept)
{
    /* In this order where nothing else decides: a text/... that could be either is plain text. */
    static const char *const types[] = {"application/json", "text/plain", "text/event-stream"};
    static const enum answer_form forms[] = {ANSWER_JSON, ANSWER_TEXT, ANSWER_SSE};
    return stream ? ANSWER_SSE : forms[accept_choose(accept, types, 3)];
}
