/* padding.c - the str methods that bring a text to a width. In the heap's thread. */
#include "jinja/library/padding.h"

#include "jinja/library/strings.h"
#include "jinja/text.h"

static const struct jinja_text *padded(struct jinja_heap *heap, const struct jinja_text *text,
                                       size_t left, size_t right, const struct jinja_text *fill)
{
    struct jinja_builder b = {.heap = heap};
    jinja_add_repeated(&b, fill, left);
    jinja_add_text(&b, text);
    jinja_add_repeated(&b, fill, right);
    return jinja_marked(heap, jinja_finish(&b), text->markup);
}

static const struct jinja_text *fill_of(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_ABSENT)
        return jinja_text_new(heap, " ", 1, false);
    if (args_text(heap, v)->n_chars != 1)
        jinja_fail(heap, "The fill character must be exactly one character long");
    return v.text;
}

/* The padding that a width needs beside the text. */
static size_t lack(const struct jinja_text *text, int64_t width)
{
    return width > (int64_t)text->n_chars ? (size_t)width - text->n_chars : 0;
}

const struct jinja_text *strings_center(struct jinja_heap *heap, const struct jinja_text *text,
                                        int64_t width, const struct jinja_text *fill)
{
    size_t n = lack(text, width);
    size_t left = n / 2 + (n & (size_t)width & 1);
    return padded(heap, text, left, n - left, fill);
}

JINJA_METHOD(padding_center)
{
    (void)args;
    return jinja_string(
        strings_center(heap, self.text, jinja_need_int(heap, a[0]), fill_of(heap, a[1])));
}

JINJA_METHOD(padding_ljust)
{
    (void)args;
    return jinja_string(padded(heap, self.text, 0, lack(self.text, jinja_need_int(heap, a[0])),
                               fill_of(heap, a[1])));
}

JINJA_METHOD(padding_rjust)
{
    (void)args;
    return jinja_string(padded(heap, self.text, lack(self.text, jinja_need_int(heap, a[0])), 0,
                               fill_of(heap, a[1])));
}

JINJA_METHOD(padding_zfill)
{
    (void)args;
    const struct jinja_text *text = self.text, *zero = jinja_text_new(heap, "0", 1, false);
    size_t n = lack(text, jinja_need_int(heap, a[0]));
    size_t sign = text->n > 0 && (text->bytes[0] == '-' || text->bytes[0] == '+');
    struct jinja_builder b = {.heap = heap};
    jinja_add_part(&b, text, 0, sign);
    jinja_add_repeated(&b, zero, n);
    jinja_add_part(&b, text, sign, text->n);
    return jinja_string(jinja_finish(&b));
}

JINJA_METHOD(padding_expandtabs)
{
    (void)args;
    int64_t width = args_int(heap, a[0], 8), column = 0;
    const struct jinja_text *blank = jinja_text_new(heap, " ", 1, false);
    struct jinja_builder b = {.heap = heap};
    for (size_t at = 0, size; at < self.text->n; at += size) {
        uint32_t cp = jinja_char_at(self.text, at, &size);
        if (cp == '\t') {
            int64_t n = width > 0 ? width - column % width : 0;
            jinja_add_repeated(&b, blank, (size_t)n);
            column += n;
            continue;
        }
        jinja_add_part(&b, self.text, at, at + size);
        column = cp == '\n' || cp == '\r' ? 0 : column + 1;
    }
    return jinja_string(jinja_finish(&b));
}
