/* opening.c - finds the opening's texts among what came from the request. See opening.h. */
#include "api/chat/opening.h"

#include "base/chars.h"
#include "jinja/text.h"

#include <string.h>

static const struct jinja_text *text_of(struct jinja_heap *heap, const struct jinja_dict *message,
                                        const char *member)
{
    const struct jinja_value *v = jinja_dict_text(heap, message, member, strlen(member));
    return v != NULL && v->kind == JINJA_STRING ? v->text : NULL;
}

static bool is_system(struct jinja_heap *heap, const struct jinja_dict *message)
{
    const struct jinja_text *role = text_of(heap, message, "role");
    return role != NULL && ((role->n == 6 && memcmp(role->bytes, "system", 6) == 0) ||
                            (role->n == 9 && memcmp(role->bytes, "developer", 9) == 0));
}

struct chat_opening chat_opening_of(struct jinja_heap *heap, struct jinja_value messages)
{
    struct chat_opening opening = {NULL, NULL};
    for (size_t i = 0; i < messages.list->n; i++) {
        const struct jinja_dict *message = messages.list->items[i].dict;
        const struct jinja_text *content = text_of(heap, message, "content");
        if (!is_system(heap, message)) {
            opening.first_other = content;
            break;
        }
        opening.system = content;
    }
    return opening;
}

/* Templates often trim what they show. */
static void trim(const struct jinja_text *text, const char **begin, size_t *n)
{
    const char *at = text->bytes, *end = text->bytes + text->n;
    while (at < end && chars_have(" \t\n\v\f\r", *at))
        at++;
    while (end > at && chars_have(" \t\n\v\f\r", end[-1]))
        end--;
    *begin = at;
    *n = (size_t)(end - at);
}

/* The first place from `from` on where it stands in a span; SIZE_MAX: nowhere. */
static size_t find(const struct jinja_text *wanted, size_t from, const char *text,
                   const struct tokenizer_span *spans, size_t n_spans)
{
    const char *core;
    size_t n;
    trim(wanted, &core, &n);
    for (size_t i = 0; i < n_spans && n > 0; i++) {
        const size_t begin = spans[i].begin > from ? spans[i].begin : from;
        const char *found =
            begin < spans[i].end ? memmem(text + begin, spans[i].end - begin, core, n) : NULL;
        if (found != NULL)
            return (size_t)(found - text);
    }
    return SIZE_MAX;
}

size_t chat_opening_end(const struct chat_opening *opening, const char *text,
                        const struct tokenizer_span *spans, size_t n_spans)
{
    size_t from = 0;
    if (opening->first_other == NULL)
        return 0;
    if (opening->system != NULL) {
        const char *core;
        size_t n, at = find(opening->system, 0, text, spans, n_spans);
        trim(opening->system, &core, &n);
        if (at == SIZE_MAX)
            return 0;
        from = at + n;
    }
    const size_t end = find(opening->first_other, from, text, spans, n_spans);
    return end == SIZE_MAX ? 0 : end;
}
