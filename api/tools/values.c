/* values.c - see values.h: JSON as it is, and what becomes JSON: tags, Python's keywords, and
 * objects whose strings have marks of their own. */
#include "api/tools/values.h"

#include "api/json/json.h"
#include "api/tools/match.h"
#include "base/chars.h"

#include <stdio.h>
#include <string.h>

enum { EITHER_NODES = 100000, DEPTH_MOST = 63 };

static bool is_space(char c)
{
    return chars_have(" \t\r\n", c);
}

/* --- JSON --- */

static enum values_step json_next(struct tool_reader *r, const char *text, size_t n,
                                  struct tool_event *out)
{
    struct tool_values *v = &r->values;
    size_t end = r->at;
    if (v->stage == 1)
        return VALUES_DONE;
    while (end < n && v->stage == 0) {
        char c = text[end++];
        if (v->escaped)
            v->escaped = false;
        else if (v->quote != '\0' && c == '\\')
            v->escaped = true;
        else if (c == '"')
            v->quote = v->quote == '\0' ? '"' : '\0';
        else if (v->quote != '\0')
            continue;
        else if (c == '{' || c == '[')
            v->depth++;
        else if ((c == '}' || c == ']') && --v->depth == 0)
            v->stage = 1;
    }
    return end > r->at ? values_tell(r, text, end, out) : VALUES_MORE;
}

/* --- tags --- */

/* stages; those of values have the numbers of enum tool_value */
enum {
    TAGS_TEXT = VALUE_TEXT,
    TAGS_JSON = VALUE_JSON,
    TAGS_NULLABLE = VALUE_NULLABLE,
    TAGS_ANY = VALUE_ANY,
    TAGS_NEXT,
    TAGS_DONE
};

/* A parameter's name up to the end of its opening tag; *known: which it is, NULL: another. */
static enum matching match_key(const struct tool_reader *r, const char *text, size_t n, size_t *at,
                               struct tool_piece *name, const struct tool_parameter **known)
{
    const struct tool_tags *tags = r->set->family->tags;
    enum matching best = MATCH_NO;
    size_t begin = *at, end = begin;
    for (size_t i = 0; i < r->tool->n_parameters; i++) {
        const struct tool_parameter *one = &r->tool->parameters[i];
        end = begin;
        enum matching found = match_text(one->key, text, n, &end);
        if (found == MATCH_YES)
            found = match_pattern(tags->key_close, NULL, text, n, &end, NULL);
        best = found > best ? found : best;
        if (found != MATCH_YES)
            continue;
        *known = one;
        *at = end;
        return MATCH_YES;
    }
    *known = NULL;
    end = begin;
    while (end < n && end - begin < TOOL_NAME_MAX && text[end] > ' ' && text[end] < 127 &&
           !chars_have("<>\"\\=", text[end]))
        end++;
    if (!r->tool->open || end == begin)
        return end == n ? MATCH_MORE : best;
    *name = (struct tool_piece){text + begin, end - begin};
    enum matching found =
        end == n ? MATCH_MORE : match_pattern(tags->key_close, NULL, text, n, &end, NULL);
    if (found == MATCH_YES)
        *at = end;
    return found > best ? found : best;
}

/* The next parameter, or the end of them. */
static enum values_step next_tag(struct tool_reader *r, const char *text, size_t n, bool finished)
{
    struct tool_values *v = &r->values;
    const struct tool_tags *tags = r->set->family->tags;
    const struct tool_parameter *known = NULL;
    struct tool_piece name = {NULL, 0};
    size_t at = r->at;
    while (at < n && is_space(text[at]))
        at++;
    enum matching found = match_text(tags->key_open, text, n, &at);
    if (found == MATCH_NO) {
        values_queue_text(r, v->n_told > 0 ? "}" : "{}");
        v->stage = TAGS_DONE;
        return VALUES_EVENT;
    }
    if (found == MATCH_YES)
        found = match_key(r, text, n, &at, &name, &known);
    if (found == MATCH_NO)
        return VALUES_BAD;
    if (found == MATCH_MORE || (tags->lines && at == n && !finished))
        return VALUES_MORE;
    at += tags->lines && at < n && text[at] == '\n';
    v->stage = known != NULL ? known->value : r->tool->other;
    values_queue_text(r, v->n_told++ > 0 ? ", " : "{");
    if (known != NULL) {
        values_queue(r, known->lead, known->n_lead);
    } else {
        values_queue_text(r, "\"");
        values_queue(r, name.bytes, name.n);
        values_queue_text(r, "\": ");
    }
    v->word = true; /* the value's first byte comes */
    r->at = at;
    return VALUES_EVENT;
}

/* Where the value ends as far as it is known, without the line end before its closing tag; *after:
 * after the tag, 0: it is still to come. */
static size_t value_end(const struct tool_reader *r, const char *text, size_t n, bool finished,
                        size_t *after)
{
    const struct tool_tags *tags = r->set->family->tags;
    size_t n_close = strlen(tags->value_close);
    const char *found = memmem(text + r->at, n - r->at, tags->value_close, n_close);
    size_t end = found != NULL ? (size_t)(found - text) : n;
    *after = found != NULL ? end + n_close : 0;
    if (found == NULL && !finished)
        end -= match_held(tags->value_close, n_close, text, r->at, n);
    if (tags->lines && (found != NULL || !finished) && end > r->at && text[end - 1] == '\n')
        end--;
    return end;
}

static enum values_step text_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                                  struct tool_event *out)
{
    struct tool_values *v = &r->values;
    size_t after, end = value_end(r, text, n, finished, &after);
    if (v->word) {
        v->word = false;
        values_queue_text(r, "\"");
        return VALUES_EVENT;
    }
    if (end > r->at)
        return values_escape(r, text, end, out);
    if (after == 0)
        return VALUES_MORE;
    values_queue_text(r, "\"");
    v->stage = TAGS_NEXT;
    r->at = after;
    return VALUES_EVENT;
}

static enum values_step json_value_next(struct tool_reader *r, const char *text, size_t n,
                                        bool finished, struct tool_event *out)
{
    struct tool_values *v = &r->values;
    size_t after, end = value_end(r, text, n, finished, &after);
    while (r->at < end && v->word && is_space(text[r->at]))
        r->at++;
    size_t to = end;
    while (to > r->at && is_space(text[to - 1]))
        to--;
    if (to > r->at) {
        const char *word =
            v->word && !chars_have("tfn", text[r->at]) ? values_word(text[r->at]) : NULL;
        if (word != NULL && after == 0 && !finished)
            return VALUES_MORE; /* the whole of it first */
        v->word = false;
        if (word == NULL)
            return values_tell(r, text, to, out);
        values_queue_text(r, word);
        r->at = to;
        return VALUES_EVENT;
    }
    if (after == 0)
        return VALUES_MORE;
    r->at = after;
    v->stage = TAGS_NEXT;
    return next_tag(r, text, n, finished);
}

/* Whether a whole value that may be text is none, after all. */
static bool is_json(struct json_span value, enum tool_value kind)
{
    static const char *const words[] = {"None", "null", "True", "False"};
    const size_t n_words = kind == VALUE_NULLABLE ? 2 : sizeof words / sizeof words[0];
    for (size_t i = 0; i < n_words; i++)
        if (value.n == strlen(words[i]) && memcmp(value.at, words[i], value.n) == 0)
            return true;
    return kind == VALUE_ANY && value.n > 0 && value.at[0] != '"' &&
           json_check(value.at, value.n, JSON_DEPTH_MAX, EITHER_NODES, NULL) == STATUS_OK;
}

/* A value that may be text or not: the whole of it decides. */
static enum values_step either_next(struct tool_reader *r, const char *text, size_t n,
                                    bool finished, struct tool_event *out)
{
    size_t after, begin = r->at, end = value_end(r, text, n, finished, &after);
    if (after == 0 && !finished)
        return VALUES_MORE;
    while (begin < end && is_space(text[begin]))
        begin++;
    while (end > begin && is_space(text[end - 1]))
        end--;
    const struct json_span value = {text + begin, end - begin};
    if (after != 0 &&
        is_json(value, r->values.stage == TAGS_NULLABLE ? VALUE_NULLABLE : VALUE_ANY)) {
        r->values.stage = TAGS_JSON;
        return json_value_next(r, text, n, finished, out);
    }
    r->values.stage = TAGS_TEXT;
    return text_next(r, text, n, finished, out);
}

void values_begin(struct tool_reader *r)
{
    r->values = (struct tool_values){.stage = 0};
    if (r->set->family->form == FORM_TAGS)
        r->values.stage = TAGS_NEXT;
}

static enum values_step tags_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                                  struct tool_event *out)
{
    switch (r->values.stage) {
    case TAGS_NEXT:
        return next_tag(r, text, n, finished);
    case TAGS_TEXT:
        return text_next(r, text, n, finished, out);
    case TAGS_JSON:
        return json_value_next(r, text, n, finished, out);
    case TAGS_NULLABLE:
    case TAGS_ANY:
        return either_next(r, text, n, finished, out);
    default:
        return VALUES_DONE;
    }
}

enum values_step values_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                             struct tool_event *out)
{
    out->n = 0;
    switch (r->set->family->form) {
    case FORM_TAGS:
        return tags_next(r, text, n, finished, out);
    case FORM_PYTHON:
        return python_next(r, text, n, out);
    case FORM_QUOTED:
        return quoted_next(r, text, n, out);
    case FORM_JSON:
        break;
    }
    return json_next(r, text, n, out);
}
