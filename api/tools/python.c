/* python.c - arguments as Python writes them, name=value, to JSON. See values.h. */
#include "api/tools/match.h"
#include "api/tools/values.h"
#include "base/chars.h"

#include <ctype.h>
#include <string.h>

enum { PYTHON_NEXT, PYTHON_VALUE, PYTHON_DONE };

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* NAME= of a parameter. */
static enum matching match_key(const struct tool_reader *r, const char *text, size_t n, size_t *at,
                               struct tool_piece *name, const struct tool_parameter **known)
{
    size_t end = *at;
    while (end < n && end - *at < TOOL_NAME_MAX && is_name(text[end]))
        end++;
    if (end == n)
        return MATCH_MORE;
    if (end == *at || text[end] != '=')
        return MATCH_NO;
    *name = (struct tool_piece){text + *at, end - *at};
    *known = NULL;
    for (size_t i = 0; i < r->tool->n_parameters && *known == NULL; i++) {
        const struct tool_parameter *one = &r->tool->parameters[i];
        if (one->n_key == name->n && memcmp(one->key, name->bytes, name->n) == 0)
            *known = one;
    }
    if (*known == NULL && !r->tool->open)
        return MATCH_NO;
    *at = end + 1;
    return MATCH_YES;
}

static enum values_step next_key(struct tool_reader *r, const char *text, size_t n)
{
    struct tool_values *v = &r->values;
    struct tool_piece name = {NULL, 0};
    const struct tool_parameter *known = NULL;
    size_t at = r->at;
    while (at < n && chars_have(v->n_told > 0 ? " \t\r\n," : " \t\r\n", text[at]))
        at++;
    if (at == n)
        return VALUES_MORE;
    if (text[at] == ')') {
        values_queue_text(r, v->n_told > 0 ? "}" : "{}");
        r->at = at;
        v->stage = PYTHON_DONE;
        return VALUES_EVENT;
    }
    enum matching found = match_key(r, text, n, &at, &name, &known);
    if (found != MATCH_YES)
        return found == MATCH_NO ? VALUES_BAD : VALUES_MORE;
    values_queue_text(r, v->n_told++ > 0 ? ", \"" : "{\"");
    values_queue(r, name.bytes, name.n);
    values_queue_text(r, "\": ");
    r->at = at;
    v->stage = PYTHON_VALUE;
    return VALUES_EVENT;
}

/* An escape in a string, of which the next byte is there. */
static enum values_step next_escape(struct tool_reader *r, const char *text, size_t n,
                                    struct tool_event *out)
{
    char c = text[r->at + 1];
    if (chars_have("nrtbfu\\\"", c))
        return values_tell(r, text, r->at + 2, out);
    if (c == 'x') {
        if (n - r->at < 4)
            return VALUES_MORE;
        if (chars_hex(text[r->at + 2]) < 0 || chars_hex(text[r->at + 3]) < 0)
            return VALUES_BAD;
        values_queue_text(r, "\\u00");
        r->at += 2;
        return VALUES_EVENT; /* the digits are themselves */
    }
    if (c == '\'' || c == '/') {
        r->at++;
        return values_tell(r, text, r->at + 1, out);
    }
    values_queue_text(r, "\\\\"); /* Python leaves it */
    r->at++;
    return VALUES_EVENT;
}

static enum values_step next_of_string(struct tool_reader *r, const char *text, size_t n,
                                       struct tool_event *out)
{
    size_t end = r->at;
    while (end < n && text[end] != r->values.quote && text[end] != '\\')
        end++;
    if (end > r->at)
        return values_escape(r, text, end, out);
    if (text[end] == '\\')
        return n - end < 2 ? VALUES_MORE : next_escape(r, text, n, out);
    r->values.quote = '\0';
    r->at++;
    values_queue_text(r, "\"");
    return VALUES_EVENT;
}

static enum values_step next_of_value(struct tool_reader *r, const char *text, size_t n,
                                      struct tool_event *out)
{
    struct tool_values *v = &r->values;
    while (v->word && r->at < n && isalpha((unsigned char)text[r->at]))
        r->at++;
    if (r->at == n)
        return VALUES_MORE;
    v->word = false;
    if (v->quote != '\0')
        return next_of_string(r, text, n, out);
    char c = text[r->at];
    const char *told = values_word(c);
    if (v->depth == 0 && (c == ',' || c == ')')) {
        v->stage = PYTHON_NEXT;
        return next_key(r, text, n);
    }
    if (told != NULL)
        v->word = true;
    else if (c == '"' || c == '\'') {
        v->quote = c;
        told = "\"";
    } else if (c == '(' || c == '[' || c == '{') {
        v->depth++;
        told = c == '{' ? "{" : "[";
    } else if (c == ')' || c == ']' || c == '}') {
        if (v->depth-- == 0)
            return VALUES_BAD;
        told = c == '}' ? "}" : "]";
    }
    if (told == NULL)
        return values_tell(r, text, r->at + 1, out);
    r->at++;
    values_queue_text(r, told);
    return VALUES_EVENT;
}

enum values_step python_next(struct tool_reader *r, const char *text, size_t n,
                             struct tool_event *out)
{
    if (r->values.stage == PYTHON_NEXT)
        return next_key(r, text, n);
    if (r->values.stage == PYTHON_VALUE)
        return next_of_value(r, text, n, out);
    return VALUES_DONE;
}
