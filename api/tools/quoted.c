/* quoted.c - objects whose names stand bare and whose strings have marks of their own (Gemma's) to
 * JSON. See values.h. */
#include "api/tools/match.h"
#include "api/tools/values.h"
#include "base/chars.h"

#include <ctype.h>
#include <string.h>

enum { QUOTED_BEGIN, QUOTED_KEY, QUOTED_COLON, QUOTED_VALUE, QUOTED_STRING, QUOTED_DONE };
enum { DEPTH_MOST = 63 };

static const char *mark_of(const struct tool_reader *r)
{
    return r->set->family->tags->value_close;
}

static bool in_list(const struct tool_values *v)
{
    return (v->lists >> v->depth & 1) != 0;
}

static enum values_step open(struct tool_reader *r, char c)
{
    struct tool_values *v = &r->values;
    if (v->depth == DEPTH_MOST)
        return VALUES_BAD;
    v->depth++;
    v->lists = (v->lists & ~(UINT64_C(1) << v->depth)) | (uint64_t)(c == '[') << v->depth;
    v->stage = c == '[' ? QUOTED_VALUE : QUOTED_KEY;
    values_queue_text(r, c == '[' ? "[" : "{");
    r->at++;
    return VALUES_EVENT;
}

static enum values_step shut(struct tool_reader *r, char c)
{
    struct tool_values *v = &r->values;
    if (in_list(v) != (c == ']'))
        return VALUES_BAD;
    v->depth--;
    v->stage = v->depth == 0 ? QUOTED_DONE : QUOTED_VALUE;
    values_queue_text(r, c == ']' ? "]" : "}");
    r->at++;
    return VALUES_EVENT;
}

static enum values_step next_key(struct tool_reader *r, const char *text, size_t n)
{
    size_t end;
    while (r->at < n && chars_have(" \t\r\n", text[r->at]))
        r->at++;
    if (r->at == n)
        return VALUES_MORE;
    if (text[r->at] == '}')
        return shut(r, '}');
    if (text[r->at] == '"') { /* as JSON has it */
        r->values.stage = QUOTED_COLON;
        r->values.quote = '"';
        r->at++;
        values_queue_text(r, "\"");
        return VALUES_EVENT;
    }
    for (end = r->at; end < n && text[end] != ':'; end++)
        if ((unsigned char)text[end] < 0x20 || chars_have("\"\\,}", text[end]) ||
            end - r->at > 4 * TOOL_NAME_MAX)
            return VALUES_BAD;
    if (end == n)
        return VALUES_MORE;
    values_queue_text(r, "\"");
    values_queue(r, text + r->at, end - r->at);
    values_queue_text(r, "\": ");
    r->at = end + 1;
    r->values.stage = QUOTED_VALUE;
    return VALUES_EVENT;
}

static enum values_step next_of_string(struct tool_reader *r, const char *text, size_t n,
                                       struct tool_event *out)
{
    const char *mark = mark_of(r);
    size_t n_mark = strlen(mark);
    const char *found = memmem(text + r->at, n - r->at, mark, n_mark);
    size_t end =
        found != NULL ? (size_t)(found - text) : n - match_held(mark, n_mark, text, r->at, n);
    if (end > r->at)
        return values_escape(r, text, end, out);
    if (found == NULL)
        return VALUES_MORE;
    r->at += n_mark;
    r->values.stage = QUOTED_VALUE;
    values_queue_text(r, "\"");
    return VALUES_EVENT;
}

/* The rest of a string, or name, of JSON. */
static enum values_step next_of_json(struct tool_reader *r, const char *text, size_t n,
                                     struct tool_event *out)
{
    struct tool_values *v = &r->values;
    size_t end = r->at;
    while (end < n && v->quote != '\0') {
        if (v->escaped)
            v->escaped = false;
        else if (text[end] == '\\')
            v->escaped = true;
        else if (text[end] == '"')
            v->quote = '\0';
        end++;
    }
    return end > r->at ? values_tell(r, text, end, out) : VALUES_MORE;
}

static enum values_step next_colon(struct tool_reader *r, const char *text, size_t n)
{
    while (r->at < n && chars_have(" \t\r\n", text[r->at]))
        r->at++;
    if (r->at == n)
        return VALUES_MORE;
    if (text[r->at++] != ':')
        return VALUES_BAD;
    values_queue_text(r, ": ");
    r->values.stage = QUOTED_VALUE;
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
    char c = text[r->at];
    if (c == '"') {
        v->quote = c;
        r->at++;
        values_queue_text(r, "\"");
        return VALUES_EVENT;
    }
    if (c == '{' || c == '[')
        return open(r, c);
    if (c == '}' || c == ']')
        return shut(r, c);
    size_t end = r->at;
    enum matching found = match_text(mark_of(r), text, n, &end);
    if (found == MATCH_MORE)
        return VALUES_MORE;
    const char *told = values_word(c);
    if (found == MATCH_YES) {
        r->at = end;
        v->stage = QUOTED_STRING;
        values_queue_text(r, "\"");
        return VALUES_EVENT;
    }
    if (c == ',') {
        v->stage = in_list(v) ? QUOTED_VALUE : QUOTED_KEY;
        told = ", ";
    } else if (told != NULL)
        v->word = true;
    else
        return values_tell(r, text, r->at + 1, out);
    r->at++;
    values_queue_text(r, told);
    return VALUES_EVENT;
}

enum values_step quoted_next(struct tool_reader *r, const char *text, size_t n,
                             struct tool_event *out)
{
    if (r->values.quote != '\0')
        return next_of_json(r, text, n, out);
    switch (r->values.stage) {
    case QUOTED_BEGIN:
        if (r->at == n)
            return VALUES_MORE;
        return text[r->at] == '{' ? open(r, '{') : VALUES_BAD;
    case QUOTED_KEY:
        return next_key(r, text, n);
    case QUOTED_COLON:
        return next_colon(r, text, n);
    case QUOTED_VALUE:
        return next_of_value(r, text, n, out);
    case QUOTED_STRING:
        return next_of_string(r, text, n, out);
    default:
        return VALUES_DONE;
    }
}
