/* text.c - strings with their origins. Owned by the heap's thread; knows nothing of templates. */
#include "jinja/text.h"

#include "base/checked.h"
#include "base/utf8.h"

#include <string.h>

static void reserve(struct jinja_builder *b, size_t n)
{
    if (n <= b->room - b->n)
        return;
    if (b->limit != 0 && n > b->limit - b->n)
        jinja_fail_as(b->heap, STATUS_TOO_LARGE, "its text is longer than %zu bytes, the limit",
                      b->limit);
    size_t room = b->room < 48 ? 48 : b->room;
    while (room - b->n < n && room <= SIZE_MAX / 2)
        room *= 2;
    if (room - b->n < n)
        room = SIZE_MAX; /* refused by the heap */
    b->bytes = jinja_grow(b->heap, b->bytes, b->room, room);
    b->room = room;
}

static void add_span(struct jinja_builder *b, size_t begin, size_t end)
{
    if (b->n_spans > 0 && b->spans[b->n_spans - 1].end == begin) {
        b->spans[b->n_spans - 1].end = end;
        return;
    }
    if (b->n_spans == b->room_spans) {
        size_t room = b->room_spans == 0 ? 2 : b->room_spans * 2, size = sizeof b->spans[0];
        b->spans = jinja_grow(b->heap, b->spans, b->room_spans * size, room * size);
        b->room_spans = room;
    }
    b->spans[b->n_spans++] = (struct jinja_span){begin, end};
}

void jinja_add(struct jinja_builder *b, const char *bytes, size_t n, bool request)
{
    if (n == 0)
        return;
    reserve(b, n);
    memcpy(b->bytes + b->n, bytes, n);
    if (request)
        add_span(b, b->n, b->n + n);
    b->n += n;
    jinja_steps(b->heap, n / 64);
}

void jinja_add_chars(struct jinja_builder *b, const char *literal)
{
    jinja_add(b, literal, strlen(literal), false);
}

/* The first span that ends after the byte. */
static size_t first_span(const struct jinja_text *text, size_t begin)
{
    size_t low = 0, high = text->n_spans;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (text->spans[middle].end <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void jinja_add_part(struct jinja_builder *b, const struct jinja_text *text, size_t begin,
                    size_t end)
{
    if (begin >= end)
        return;
    size_t at = b->n;
    jinja_add(b, text->bytes + begin, end - begin, false);
    for (size_t i = first_span(text, begin); i < text->n_spans && text->spans[i].begin < end; i++) {
        size_t from = text->spans[i].begin > begin ? text->spans[i].begin : begin;
        size_t to = text->spans[i].end < end ? text->spans[i].end : end;
        add_span(b, at + from - begin, at + to - begin);
        jinja_steps(b->heap, 1);
    }
}

void jinja_add_text(struct jinja_builder *b, const struct jinja_text *text)
{
    jinja_add_part(b, text, 0, text->n);
}

void jinja_add_repeated(struct jinja_builder *b, const struct jinja_text *text, size_t times)
{
    size_t n;
    if (text->n == 0 || times == 0)
        return;
    if (!checked_mul(text->n, times, &n))
        n = SIZE_MAX;
    reserve(b, n); /* or it is too much already */
    for (size_t i = 0; i < times; i++) {
        if (i % 16 == 0)
            jinja_steps(b->heap, 1);
        jinja_add_text(b, text);
    }
}

const struct jinja_text *jinja_finish(struct jinja_builder *b)
{
    struct jinja_text *text = jinja_alloc(b->heap, 1, sizeof *text);
    *text = (struct jinja_text){.bytes = b->n > 0 ? b->bytes : "",
                                .n = b->n,
                                .n_chars = jinja_count_chars(b->bytes, b->n),
                                .spans = b->spans,
                                .n_spans = b->n_spans};
    return text;
}

const struct jinja_text *jinja_text_new(struct jinja_heap *heap, const char *bytes, size_t n,
                                        bool request)
{
    struct jinja_builder b = {.heap = heap};
    jinja_add(&b, bytes, n, request);
    return jinja_finish(&b);
}

const struct jinja_text *jinja_part(struct jinja_heap *heap, const struct jinja_text *text,
                                    size_t begin, size_t end)
{
    if (begin == 0 && end == text->n)
        return text;
    struct jinja_text *part = jinja_alloc(heap, 1, sizeof *part);
    if (begin >= end) {
        *part = (struct jinja_text){.bytes = "", .markup = text->markup};
        return part;
    }
    struct jinja_builder b = {.heap = heap};
    for (size_t i = first_span(text, begin); i < text->n_spans && text->spans[i].begin < end; i++) {
        size_t from = text->spans[i].begin > begin ? text->spans[i].begin : begin;
        size_t to = text->spans[i].end < end ? text->spans[i].end : end;
        add_span(&b, from - begin, to - begin);
    }
    bool ascii = text->n == text->n_chars;
    jinja_steps(heap, ascii ? 1 : (end - begin) / 64 + 1);
    *part = (struct jinja_text){
        .bytes = text->bytes + begin,
        .n = end - begin,
        .n_chars = ascii ? end - begin : jinja_count_chars(text->bytes + begin, end - begin),
        .spans = b.spans,
        .n_spans = b.n_spans,
        .markup = text->markup};
    return part;
}

const struct jinja_text *jinja_join(struct jinja_heap *heap, const struct jinja_text *a,
                                    const struct jinja_text *b)
{
    if (a->n == 0)
        return b;
    if (b->n == 0)
        return a;
    struct jinja_builder joined = {.heap = heap};
    jinja_add_text(&joined, a);
    jinja_add_text(&joined, b);
    return jinja_finish(&joined);
}

const struct jinja_text *jinja_marked(struct jinja_heap *heap, const struct jinja_text *text,
                                      bool markup)
{
    if (text->markup == markup)
        return text;
    struct jinja_text *copy = jinja_alloc(heap, 1, sizeof *copy);
    *copy = *text;
    copy->markup = markup;
    return copy;
}

const struct jinja_text *jinja_escape(struct jinja_heap *heap, const struct jinja_text *text)
{
    if (text->markup)
        return text;
    struct jinja_builder b = {.heap = heap};
    size_t from = 0;
    for (size_t i = 0; i < text->n; i++) {
        char c = text->bytes[i];
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&#34;"
                             : c == '\'' ? "&#39;"
                                         : NULL;
        if (entity == NULL)
            continue;
        jinja_add_part(&b, text, from, i);
        jinja_add(&b, entity, strlen(entity), jinja_from_request(text, i, i + 1));
        from = i + 1;
    }
    jinja_add_part(&b, text, from, text->n);
    return jinja_marked(heap, jinja_finish(&b), true);
}

bool jinja_from_request(const struct jinja_text *text, size_t begin, size_t end)
{
    size_t i = first_span(text, begin);
    return i < text->n_spans && text->spans[i].begin < end;
}

size_t jinja_count_chars(const char *bytes, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return chars;
}

size_t jinja_char_offset(const struct jinja_text *text, size_t at_char)
{
    if (at_char >= text->n_chars)
        return text->n;
    if (text->n == text->n_chars)
        return at_char;
    size_t at = 0;
    while (at_char > 0) {
        at += jinja_char_size(text, at);
        at_char--;
    }
    return at;
}

size_t jinja_char_size(const struct jinja_text *text, size_t at)
{
    size_t end = at + 1;
    while (end < text->n && ((unsigned char)text->bytes[end] & 0xc0) == 0x80)
        end++;
    return end - at;
}

size_t jinja_char_before(const struct jinja_text *text, size_t end)
{
    do
        end--;
    while (end > 0 && ((unsigned char)text->bytes[end] & 0xc0) == 0x80);
    return end;
}

uint32_t jinja_char_at(const struct jinja_text *text, size_t at, size_t *size)
{
    uint32_t cp = (unsigned char)text->bytes[at];
    *size = 1;
    if (cp >= 0x80) {
        size_t n = utf8_decode(text->bytes + at, text->n - at, &cp);
        *size = n == 0 ? 1 : n;
    }
    return cp;
}

ptrdiff_t jinja_find(struct jinja_heap *heap, const struct jinja_text *text,
                     const struct jinja_text *needle, size_t from, size_t to)
{
    if (to > text->n || from > to || needle->n > to - from)
        return JINJA_NOWHERE;
    if (needle->n == 0)
        return (ptrdiff_t)from;
    const char *found = memmem(text->bytes + from, to - from, needle->bytes, needle->n);
    size_t looked = found == NULL ? to - from : (size_t)(found - text->bytes) - from;
    jinja_steps(heap, looked / 64 + 1);
    return found == NULL ? JINJA_NOWHERE : found - text->bytes;
}

ptrdiff_t jinja_find_last(struct jinja_heap *heap, const struct jinja_text *text,
                          const struct jinja_text *needle, size_t from, size_t to)
{
    if (to > text->n || from > to || needle->n > to - from)
        return JINJA_NOWHERE;
    for (size_t at = to - needle->n + 1; at-- > from;) {
        jinja_steps(heap, 1);
        if (memcmp(text->bytes + at, needle->bytes, needle->n) == 0)
            return (ptrdiff_t)at;
    }
    return JINJA_NOWHERE;
}

bool jinja_same(const struct jinja_text *a, const struct jinja_text *b)
{
    return a == b || (a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0);
}

bool jinja_is(const struct jinja_text *a, const char *literal)
{
    return strlen(literal) == a->n && memcmp(a->bytes, literal, a->n) == 0;
}
