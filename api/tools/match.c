/* match.c - see match.h. */
#include "api/tools/match.h"

#include "base/chars.h"

#include <string.h>

enum matching match_text(const char *literal, const char *text, size_t n, size_t *at)
{
    size_t n_literal = strlen(literal), left = n - *at;
    if (memcmp(text + *at, literal, left < n_literal ? left : n_literal) != 0)
        return MATCH_NO;
    if (left < n_literal)
        return MATCH_MORE;
    *at += n_literal;
    return MATCH_YES;
}

size_t match_held(const char *literal, size_t n_literal, const char *text, size_t begin, size_t n)
{
    size_t left = n - begin, most = n_literal > 0 ? n_literal - 1 : 0;
    for (size_t k = left < most ? left : most; k > 0; k--)
        if (memcmp(text + n - k, literal, k) == 0)
            return k;
    return 0;
}

const char *match_after_arguments(const char *pattern)
{
    const char *found = strstr(pattern, "$A");
    return found != NULL ? found + 2 : "";
}

static bool is_id(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A run of such bytes, at least one, that something else ends. */
static enum matching match_run(bool (*is)(char), const char *text, size_t n, size_t *at)
{
    size_t end = *at;
    while (end < n && is(text[end]))
        end++;
    if (end == n)
        return MATCH_MORE;
    if (end == *at)
        return MATCH_NO;
    *at = end;
    return MATCH_YES;
}

/* The name of a tool that may be called, after which the pattern goes on. */
static enum matching match_name(const char *rest, const struct tool_set *set, const char *text,
                                size_t n, size_t *at, const struct tool **tool)
{
    enum matching best = MATCH_NO;
    for (size_t i = 0; i < set->n_tools; i++) {
        const struct tool *one = &set->tools[i];
        size_t end = *at;
        enum matching found = MATCH_NO;
        if (!tool_set_may_call(set, one))
            continue;
        found = match_text(one->name, text, n, &end);
        if (found == MATCH_YES)
            found = match_pattern(rest, set, text, n, &end, tool);
        if (found == MATCH_YES) {
            *at = end;
            *tool = one;
            return MATCH_YES;
        }
        best = found > best ? found : best;
    }
    return best;
}

/* Whether arguments can begin with this byte. */
static bool may_begin(const struct tool_family *family, char c)
{
    return family->form == FORM_PYTHON || c == (family->form == FORM_TAGS ? '<' : '{');
}

/* pattern..last, without the last. */
static enum matching match_span(const char *pattern, const char *last, const struct tool_set *set,
                                const char *text, size_t n, size_t *at, const struct tool **tool)
{
    size_t end = *at;
    for (const char *p = pattern; p < last; p++) {
        enum matching found = MATCH_YES;
        if (*p == '\n') {
            size_t most = end + PATTERN_SPACE_MAX;
            while (end < n && end < most && chars_have(" \t\r\n", text[end]))
                end++;
        } else if (*p == ' ') {
            end += end < n && text[end] == ' ';
        } else if (*p == '\1') {
            const char *close = strchr(p, '\2');
            found = match_span(p + 1, close, set, text, n, &end, tool);
            if (found == MATCH_NO)
                found = MATCH_YES; /* it is missing */
            p = close;
        } else if (*p == '$' && p[1] == 'A') {
            if (set != NULL)
                found = end == n                            ? MATCH_MORE
                        : may_begin(set->family, text[end]) ? MATCH_YES
                                                            : MATCH_NO;
            p = last;
        } else if (*p == '$' && p[1] == 'N') {
            found = match_name(p + 2, set, text, n, &end, tool);
            p = last;
        } else if (*p == '$') {
            found = match_run(*++p == 'D' ? is_digit : is_id, text, n, &end);
        } else if (end == n) {
            found = MATCH_MORE;
        } else if (text[end++] != *p) {
            found = MATCH_NO;
        }
        if (found != MATCH_YES)
            return found;
    }
    *at = end;
    return MATCH_YES;
}

enum matching match_pattern(const char *pattern, const struct tool_set *set, const char *text,
                            size_t n, size_t *at, const struct tool **tool)
{
    return match_span(pattern, pattern + strlen(pattern), set, text, n, at, tool);
}
