/* strings.c - Python's str methods, but for those that only ask (str_tests.c) and format
 * (format.c). Offsets are bytes inside, characters outside. In the heap's thread. */
#include "jinja/library/strings.h"

#include "jinja/iterate.h"
#include "jinja/library/format.h"
#include "jinja/library/letters.h"
#include "jinja/library/padding.h"
#include "jinja/library/string_tests.h"

#include <string.h>

#define METHOD(name)                                                                               \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)

const struct jinja_text *strings_like(struct jinja_heap *heap, const struct jinja_text *text,
                                      const struct jinja_text *other)
{
    return text->markup ? jinja_escape(heap, other) : other;
}

static bool is_one_of(const struct jinja_text *chars, const char *at, size_t size, uint32_t cp)
{
    if (chars == NULL)
        return letters_is_space(cp);
    for (size_t i = 0, n; i < chars->n; i += n) {
        n = jinja_char_size(chars, i);
        if (n == size && memcmp(chars->bytes + i, at, n) == 0)
            return true;
    }
    return false;
}

const struct jinja_text *strings_strip(struct jinja_heap *heap, const struct jinja_text *text,
                                       const struct jinja_text *chars, enum strings_side side)
{
    size_t begin = 0, end = text->n, size;
    while ((side & STRINGS_LEFT) != 0 && begin < end) {
        uint32_t cp = jinja_char_at(text, begin, &size);
        if (!is_one_of(chars, text->bytes + begin, size, cp))
            break;
        begin += size;
        jinja_steps(heap, 1);
    }
    while ((side & STRINGS_RIGHT) != 0 && end > begin) {
        size_t at = jinja_char_before(text, end);
        uint32_t cp = jinja_char_at(text, at, &size);
        if (!is_one_of(chars, text->bytes + at, size, cp))
            break;
        end = at;
        jinja_steps(heap, 1);
    }
    return jinja_part(heap, text, begin, end);
}

static struct jinja_value strip_by(struct jinja_heap *heap, struct jinja_value self,
                                   struct jinja_value chars, enum strings_side side)
{
    bool none = chars.kind == JINJA_ABSENT || chars.kind == JINJA_NONE;
    return jinja_string(strings_strip(heap, self.text, none ? NULL : args_text(heap, chars), side));
}

METHOD(strip)
{
    (void)args;
    return strip_by(heap, self, a[0], STRINGS_BOTH);
}

METHOD(lstrip)
{
    (void)args;
    return strip_by(heap, self, a[0], STRINGS_LEFT);
}

METHOD(rstrip)
{
    (void)args;
    return strip_by(heap, self, a[0], STRINGS_RIGHT);
}

static void push_part(struct jinja_heap *heap, struct jinja_items *parts,
                      const struct jinja_text *text, size_t begin, size_t end)
{
    jinja_push(heap, parts, jinja_string(jinja_part(heap, text, begin, end)));
}

static void split_at_blanks(struct jinja_heap *heap, const struct jinja_text *text, int64_t max,
                            struct jinja_items *parts)
{
    size_t at = 0, size;
    for (;;) {
        while (at < text->n && letters_is_space(jinja_char_at(text, at, &size)))
            at += size;
        if (at >= text->n)
            return;
        size_t begin = at;
        if (max-- == 0) {
            push_part(heap, parts, text, begin, text->n);
            return;
        }
        while (at < text->n && !letters_is_space(jinja_char_at(text, at, &size)))
            at += size;
        push_part(heap, parts, text, begin, at);
    }
}

static void rsplit_at_blanks(struct jinja_heap *heap, const struct jinja_text *text, int64_t max,
                             struct jinja_items *parts)
{
    size_t end = text->n, size;
    for (;;) {
        while (end > 0 &&
               letters_is_space(jinja_char_at(text, jinja_char_before(text, end), &size)))
            end = jinja_char_before(text, end);
        if (end == 0)
            return;
        if (max-- == 0) {
            push_part(heap, parts, text, 0, end);
            return;
        }
        size_t begin = end;
        while (begin > 0 &&
               !letters_is_space(jinja_char_at(text, jinja_char_before(text, begin), &size)))
            begin = jinja_char_before(text, begin);
        push_part(heap, parts, text, begin, end);
        end = begin;
    }
}

static void reverse(struct jinja_items *items)
{
    for (size_t i = 0; i < items->n / 2; i++) {
        struct jinja_value other = items->items[i];
        items->items[i] = items->items[items->n - 1 - i];
        items->items[items->n - 1 - i] = other;
    }
}

static struct jinja_value split_by(struct jinja_heap *heap, struct jinja_value self,
                                   const struct jinja_value *a, bool from_right)
{
    struct jinja_items parts = {0};
    const struct jinja_text *text = self.text;
    int64_t max = args_int(heap, a[1], -1);
    if (a[0].kind == JINJA_ABSENT || a[0].kind == JINJA_NONE) {
        (from_right ? rsplit_at_blanks : split_at_blanks)(heap, text, max, &parts);
    } else {
        const struct jinja_text *by = args_text(heap, a[0]);
        if (by->n == 0)
            jinja_fail(heap, "empty separator");
        size_t begin = 0, end = text->n;
        ptrdiff_t at;
        for (; max != 0; max--) {
            at = (from_right ? jinja_find_last : jinja_find)(heap, text, by, begin, end);
            if (at == JINJA_NOWHERE)
                break;
            if (from_right) {
                push_part(heap, &parts, text, (size_t)at + by->n, end);
                end = (size_t)at;
            } else {
                push_part(heap, &parts, text, begin, (size_t)at);
                begin = (size_t)at + by->n;
            }
        }
        push_part(heap, &parts, text, begin, end);
    }
    if (from_right)
        reverse(&parts);
    return jinja_list(heap, parts.items, parts.n);
}

METHOD(split)
{
    (void)args;
    return split_by(heap, self, a, false);
}

METHOD(rsplit)
{
    (void)args;
    return split_by(heap, self, a, true);
}

static bool ends_line(uint32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

struct jinja_items strings_lines(struct jinja_heap *heap, const struct jinja_text *text,
                                 bool keep_ends)
{
    struct jinja_items lines = {0};
    size_t begin = 0;
    for (size_t at = 0, size; at < text->n;) {
        uint32_t cp = jinja_char_at(text, at, &size);
        jinja_steps(heap, 1);
        if (!ends_line(cp)) {
            at += size;
            continue;
        }
        size_t end = at;
        at += size;
        at += cp == '\r' && at < text->n && text->bytes[at] == '\n';
        push_part(heap, &lines, text, begin, keep_ends ? at : end);
        begin = at;
    }
    if (begin < text->n)
        push_part(heap, &lines, text, begin, text->n);
    return lines;
}

METHOD(splitlines)
{
    (void)args;
    struct jinja_items lines = strings_lines(heap, self.text, args_bool(a[0], false));
    return jinja_list(heap, lines.items, lines.n);
}

const struct jinja_text *strings_replace(struct jinja_heap *heap, const struct jinja_text *text,
                                         const struct jinja_text *old, const struct jinja_text *new,
                                         int64_t count)
{
    struct jinja_builder b = {.heap = heap};
    size_t from = 0;
    if (old->n == 0) { /* between all characters */
        size_t at = 0;
        for (; count != 0; count--) {
            jinja_add_text(&b, new);
            if (at >= text->n)
                break;
            size_t size = jinja_char_size(text, at);
            jinja_add_part(&b, text, at, at + size);
            at += size;
        }
        from = at;
    }
    while (old->n > 0 && count-- != 0) {
        ptrdiff_t at = jinja_find(heap, text, old, from, text->n);
        if (at == JINJA_NOWHERE)
            break;
        jinja_add_part(&b, text, from, (size_t)at);
        jinja_add_text(&b, new);
        from = (size_t)at + old->n;
    }
    if (from == 0 && b.n == 0)
        return text;
    jinja_add_part(&b, text, from, text->n);
    return jinja_marked(heap, jinja_finish(&b), text->markup);
}

METHOD(replace)
{
    (void)args;
    const struct jinja_text *old = args_text(heap, a[0]), *new = args_text(heap, a[1]);
    return jinja_string(strings_replace(heap, self.text, old, strings_like(heap, self.text, new),
                                        args_int(heap, a[2], -1)));
}

/* A slice's bounds, in characters, as bytes; false: nothing lies between. */
static bool bounds(struct jinja_heap *heap, const struct jinja_text *text,
                   const struct jinja_value *a, size_t *from, size_t *to)
{
    int64_t n = (int64_t)text->n_chars;
    int64_t begin = args_int(heap, a[0], 0), end = args_int(heap, a[1], n);
    begin = begin < 0 ? (begin + n < 0 ? 0 : begin + n) : begin;
    end = end < 0 ? (end + n < 0 ? 0 : end + n) : end > n ? n : end;
    if (begin > end)
        return false;
    *from = jinja_char_offset(text, (size_t)begin);
    *to = jinja_char_offset(text, (size_t)end);
    return true;
}

static bool affixed(struct jinja_heap *heap, struct jinja_value self, const struct jinja_value *a,
                    bool at_end)
{
    size_t from, to;
    if (a[0].kind == JINJA_TUPLE) {
        for (size_t i = 0; i < a[0].list->n; i++) {
            struct jinja_value one[] = {a[0].list->items[i], a[1], a[2]};
            if (one[0].kind != JINJA_STRING)
                jinja_fail(heap, "tuple for startswith must only contain str, not %s",
                           jinja_type_name(one[0]));
            if (affixed(heap, self, one, at_end))
                return true;
        }
        return false;
    }
    const struct jinja_text *affix = args_text(heap, a[0]);
    if (!bounds(heap, self.text, a + 1, &from, &to) || affix->n > to - from)
        return false;
    const char *at = self.text->bytes + (at_end ? to - affix->n : from);
    return memcmp(at, affix->bytes, affix->n) == 0;
}

METHOD(startswith)
{
    (void)args;
    return jinja_bool(affixed(heap, self, a, false));
}

METHOD(endswith)
{
    (void)args;
    return jinja_bool(affixed(heap, self, a, true));
}

static struct jinja_value find_by(struct jinja_heap *heap, struct jinja_value self,
                                  const struct jinja_value *a, bool last, bool must)
{
    size_t from, to;
    const struct jinja_text *needle = args_text(heap, a[0]);
    ptrdiff_t at = JINJA_NOWHERE;
    if (bounds(heap, self.text, a + 1, &from, &to))
        at = (last ? jinja_find_last : jinja_find)(heap, self.text, needle, from, to);
    if (at == JINJA_NOWHERE && must)
        jinja_fail(heap, "substring not found");
    return jinja_int(
        at == JINJA_NOWHERE ? -1 : (int64_t)jinja_count_chars(self.text->bytes, (size_t)at));
}

METHOD(find)
{
    (void)args;
    return find_by(heap, self, a, false, false);
}

METHOD(rfind)
{
    (void)args;
    return find_by(heap, self, a, true, false);
}

METHOD(index_of)
{
    (void)args;
    return find_by(heap, self, a, false, true);
}

METHOD(rindex_of)
{
    (void)args;
    return find_by(heap, self, a, true, true);
}

METHOD(count)
{
    (void)args;
    size_t from, to;
    const struct jinja_text *needle = args_text(heap, a[0]);
    if (!bounds(heap, self.text, a + 1, &from, &to))
        return jinja_int(0);
    if (needle->n == 0)
        return jinja_int((int64_t)jinja_count_chars(self.text->bytes + from, to - from) + 1);
    int64_t n = 0;
    ptrdiff_t at;
    while ((at = jinja_find(heap, self.text, needle, from, to)) != JINJA_NOWHERE) {
        from = (size_t)at + needle->n;
        n++;
    }
    return jinja_int(n);
}

METHOD(upper)
{
    (void)a, (void)args;
    return jinja_string(letters_text(heap, self.text, LETTERS_TO_UPPER));
}

METHOD(lower)
{
    (void)a, (void)args;
    return jinja_string(letters_text(heap, self.text, LETTERS_TO_LOWER));
}

METHOD(casefold)
{
    (void)a, (void)args;
    return jinja_string(letters_text(heap, self.text, LETTERS_TO_FOLD));
}

const struct jinja_text *strings_capitalize(struct jinja_heap *heap, const struct jinja_text *text)
{
    struct jinja_builder b = {.heap = heap};
    size_t first = text->n == 0 ? 0 : jinja_char_size(text, 0);
    letters_add(&b, text, 0, first, LETTERS_TO_TITLE);
    letters_add(&b, text, first, text->n, LETTERS_TO_LOWER);
    return jinja_marked(heap, jinja_finish(&b), text->markup);
}

METHOD(capitalize)
{
    (void)a, (void)args;
    return jinja_string(strings_capitalize(heap, self.text));
}

METHOD(title)
{
    (void)a, (void)args;
    struct jinja_builder b = {.heap = heap};
    bool inside = false;
    for (size_t at = 0, size; at < self.text->n; at += size) {
        uint32_t cp = jinja_char_at(self.text, at, &size);
        letters_add(&b, self.text, at, at + size, inside ? LETTERS_TO_LOWER : LETTERS_TO_TITLE);
        inside = (letters_flags(cp) & LETTERS_CASED) != 0;
    }
    return jinja_string(jinja_marked(heap, jinja_finish(&b), self.text->markup));
}

METHOD(swapcase)
{
    (void)a, (void)args;
    struct jinja_builder b = {.heap = heap};
    for (size_t at = 0, size; at < self.text->n; at += size) {
        bool upper = (letters_flags(jinja_char_at(self.text, at, &size)) & LETTERS_UPPER) != 0;
        letters_add(&b, self.text, at, at + size, upper ? LETTERS_TO_LOWER : LETTERS_TO_UPPER);
    }
    return jinja_string(jinja_marked(heap, jinja_finish(&b), self.text->markup));
}

const struct jinja_text *strings_join(struct jinja_heap *heap, const struct jinja_text *between,
                                      const struct jinja_value *items, size_t n)
{
    struct jinja_builder b = {.heap = heap};
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind != JINJA_STRING)
            jinja_fail(heap, "sequence item %zu: expected str instance, %s found", i,
                       jinja_type_name(items[i]));
        if (i > 0)
            jinja_add_text(&b, between);
        jinja_add_text(&b, strings_like(heap, between, items[i].text));
    }
    return jinja_marked(heap, jinja_finish(&b), between->markup);
}

METHOD(join)
{
    (void)args;
    struct jinja_items items = jinja_collect(heap, a[0]);
    return jinja_string(strings_join(heap, self.text, items.items, items.n));
}

static struct jinja_value part_by(struct jinja_heap *heap, struct jinja_value self,
                                  struct jinja_value by, bool last)
{
    const struct jinja_text *text = self.text, *needle = args_text(heap, by);
    if (needle->n == 0)
        jinja_fail(heap, "empty separator");
    ptrdiff_t at = (last ? jinja_find_last : jinja_find)(heap, text, needle, 0, text->n);
    struct jinja_value *parts = jinja_alloc(heap, 3, sizeof *parts), none = jinja_chars(heap, "");
    if (at == JINJA_NOWHERE) {
        parts[0] = last ? none : self;
        parts[1] = none;
        parts[2] = last ? self : none;
    } else {
        parts[0] = jinja_string(jinja_part(heap, text, 0, (size_t)at));
        parts[1] = jinja_string(jinja_part(heap, text, (size_t)at, (size_t)at + needle->n));
        parts[2] = jinja_string(jinja_part(heap, text, (size_t)at + needle->n, text->n));
    }
    return jinja_tuple(heap, parts, 3);
}

METHOD(partition)
{
    (void)args;
    return part_by(heap, self, a[0], false);
}

METHOD(rpartition)
{
    (void)args;
    return part_by(heap, self, a[0], true);
}

METHOD(removeprefix)
{
    (void)args;
    size_t n = args_text(heap, a[0])->n;
    struct jinja_value whole[] = {a[0], {.kind = JINJA_ABSENT}, {.kind = JINJA_ABSENT}};
    return affixed(heap, self, whole, false)
               ? jinja_string(jinja_part(heap, self.text, n, self.text->n))
               : self;
}

METHOD(removesuffix)
{
    (void)args;
    size_t n = args_text(heap, a[0])->n;
    struct jinja_value whole[] = {a[0], {.kind = JINJA_ABSENT}, {.kind = JINJA_ABSENT}};
    return affixed(heap, self, whole, true)
               ? jinja_string(jinja_part(heap, self.text, 0, self.text->n - n))
               : self;
}

#define ROW(name, run, params, required)                                                           \
    {                                                                                              \
        name, run, params, required, "str"                                                         \
    }
const struct jinja_function strings_methods[] = {
    ROW("split", split, "sep maxsplit", 0),
    ROW("rsplit", rsplit, "sep maxsplit", 0),
    ROW("strip", strip, "chars", 0),
    ROW("lstrip", lstrip, "chars", 0),
    ROW("rstrip", rstrip, "chars", 0),
    ROW("splitlines", splitlines, "keepends", 0),
    ROW("replace", replace, "old new count", 2),
    ROW("startswith", startswith, "prefix start end", 1),
    ROW("endswith", endswith, "suffix start end", 1),
    ROW("find", find, "sub start end", 1),
    ROW("rfind", rfind, "sub start end", 1),
    ROW("index", index_of, "sub start end", 1),
    ROW("rindex", rindex_of, "sub start end", 1),
    ROW("count", count, "sub start end", 1),
    ROW("upper", upper, "", 0),
    ROW("lower", lower, "", 0),
    ROW("casefold", casefold, "", 0),
    ROW("capitalize", capitalize, "", 0),
    ROW("title", title, "", 0),
    ROW("swapcase", swapcase, "", 0),
    ROW("join", join, "iterable", 1),
    ROW("center", padding_center, "width fillchar", 1),
    ROW("ljust", padding_ljust, "width fillchar", 1),
    ROW("rjust", padding_rjust, "width fillchar", 1),
    ROW("zfill", padding_zfill, "width", 1),
    ROW("partition", partition, "sep", 1),
    ROW("rpartition", rpartition, "sep", 1),
    ROW("removeprefix", removeprefix, "prefix", 1),
    ROW("removesuffix", removesuffix, "suffix", 1),
    ROW("expandtabs", padding_expandtabs, "tabsize", 0),
    ROW("format", format_method, NULL, 0),
    ROW("format_map", format_map_method, "mapping", 1),
    ROW("isalnum", tests_isalnum, "", 0),
    ROW("isalpha", tests_isalpha, "", 0),
    ROW("isascii", tests_isascii, "", 0),
    ROW("isdecimal", tests_isdecimal, "", 0),
    ROW("isdigit", tests_isdigit, "", 0),
    ROW("isidentifier", tests_isidentifier, "", 0),
    ROW("islower", tests_islower, "", 0),
    ROW("isnumeric", tests_isnumeric, "", 0),
    ROW("isprintable", tests_isprintable, "", 0),
    ROW("isspace", tests_isspace, "", 0),
    ROW("istitle", tests_istitle, "", 0),
    ROW("isupper", tests_isupper, "", 0),
};
const size_t strings_n_methods = sizeof strings_methods / sizeof strings_methods[0];
