/* string_tests.c - the str methods that answer yes or no. In the heap's thread. */
#include "jinja/library/string_tests.h"

#include "jinja/library/letters.h"
#include "jinja/library/strings.h"
#include "jinja/text.h"

/* Every character has one of the flags, and there is one. */
static struct jinja_value all_have(struct jinja_heap *heap, const struct jinja_text *text,
                                   unsigned flags)
{
    for (size_t at = 0, size; at < text->n; at += size) {
        jinja_steps(heap, 1);
        if ((letters_flags(jinja_char_at(text, at, &size)) & flags) == 0)
            return jinja_bool(false);
    }
    return jinja_bool(text->n > 0);
}

#define ALL_HAVE(name, flags)                                                                      \
    JINJA_METHOD(name)                                                                             \
    {                                                                                              \
        (void)a, (void)args;                                                                       \
        return all_have(heap, self.text, flags);                                                   \
    }
ALL_HAVE(tests_isalnum, LETTERS_ALPHA | LETTERS_DECIMAL | LETTERS_DIGIT | LETTERS_NUMERIC)
ALL_HAVE(tests_isalpha, LETTERS_ALPHA)
ALL_HAVE(tests_isdecimal, LETTERS_DECIMAL)
ALL_HAVE(tests_isdigit, LETTERS_DIGIT)
ALL_HAVE(tests_isnumeric, LETTERS_NUMERIC)
ALL_HAVE(tests_isspace, LETTERS_SPACE)

JINJA_METHOD(tests_isascii)
{
    (void)heap, (void)a, (void)args;
    return jinja_bool(self.text->n == self.text->n_chars);
}

JINJA_METHOD(tests_isidentifier)
{
    (void)heap, (void)a, (void)args;
    for (size_t at = 0, size; at < self.text->n; at += size) {
        uint32_t cp = jinja_char_at(self.text, at, &size);
        unsigned flags = letters_flags(cp);
        if (cp != '_' && (flags & LETTERS_ALPHA) == 0 &&
            (at == 0 || (flags & LETTERS_DECIMAL) == 0))
            return jinja_bool(false);
    }
    return jinja_bool(self.text->n > 0);
}

bool strings_has_case(const struct jinja_text *text, bool upper)
{
    bool any = false;
    for (size_t at = 0, size; at < text->n; at += size) {
        unsigned flags = letters_flags(jinja_char_at(text, at, &size));
        if ((flags & LETTERS_TITLED) != 0 || (flags & (upper ? LETTERS_LOWER : LETTERS_UPPER)) != 0)
            return false;
        any = any || (flags & LETTERS_CASED) != 0;
    }
    return any;
}

JINJA_METHOD(tests_islower)
{
    (void)heap, (void)a, (void)args;
    return jinja_bool(strings_has_case(self.text, false));
}

JINJA_METHOD(tests_isupper)
{
    (void)heap, (void)a, (void)args;
    return jinja_bool(strings_has_case(self.text, true));
}

JINJA_METHOD(tests_isprintable)
{
    (void)heap, (void)a, (void)args;
    for (size_t at = 0, size; at < self.text->n; at += size)
        if ((letters_flags(jinja_char_at(self.text, at, &size)) & LETTERS_HIDDEN) != 0)
            return jinja_bool(false);
    return jinja_bool(true);
}

JINJA_METHOD(tests_istitle)
{
    (void)heap, (void)a, (void)args;
    bool inside = false, any = false;
    for (size_t at = 0, size; at < self.text->n; at += size) {
        unsigned flags = letters_flags(jinja_char_at(self.text, at, &size));
        bool begins = (flags & (LETTERS_UPPER | LETTERS_TITLED)) != 0;
        if ((begins && inside) || ((flags & LETTERS_LOWER) != 0 && !inside))
            return jinja_bool(false);
        inside = (flags & LETTERS_CASED) != 0;
        any = any || inside;
    }
    return jinja_bool(any);
}
