/* entities.c - what &amp; and &#38; stand for. In the heap's thread. */
#include "jinja/library/entities.h"

#include "base/utf8.h"
#include "jinja/library/entities_data.h"

#include <ctype.h>
#include <string.h>

enum { BEYOND = 0x110000, REPLACEMENT = 0xfffd, WORK = 16 /* steps of a reference */ };

/* What numbers of bytes in an old encoding mean. */
static const uint16_t windows[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
};

/* Characters that no text has. */
static bool is_invalid(uint32_t cp)
{
    return (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\f' && cp != '\r') || cp == 0x7f ||
           (cp >= 0xfdd0 && cp <= 0xfdef) || (cp & 0xfffe) == 0xfffe;
}

static void add_code(struct jinja_builder *b, uint32_t cp, bool request)
{
    char bytes[4];
    jinja_add(b, bytes, utf8_encode(cp, bytes), request);
}

static void add_number(struct jinja_builder *b, uint32_t number, bool request)
{
    if (number >= 0x80 && number < 0xa0)
        add_code(b, windows[number - 0x80], request);
    else if (number == 0 || number >= BEYOND || (number >= 0xd800 && number < 0xe000))
        add_code(b, REPLACEMENT, request);
    else if (!is_invalid(number))
        add_code(b, number, request);
}

/* The end of &#38; or &#x26; that begins at `at`; at: there is none. */
static size_t read_number(const struct jinja_text *text, size_t at, uint32_t *number)
{
    size_t i = at + 2;
    bool hex = i < text->n && (text->bytes[i] | 32) == 'x';
    i += hex;
    const size_t digits = i;
    *number = 0;
    for (; i < text->n; i++) {
        unsigned char c = (unsigned char)text->bytes[i];
        if (c >= 0x80 || !(hex ? isxdigit(c) : isdigit(c)))
            break;
        uint32_t digit = isdigit(c) ? c - 48u : (c | 32u) - 'a' + 10u;
        *number = *number * (hex ? 16 : 10) + digit;
        if (*number > BEYOND)
            *number = BEYOND;
    }
    if (i == digits)
        return at;
    return i + (i < text->n && text->bytes[i] == ';');
}

/* The place of a name among the entities, or how many there are. */
static size_t find(const char *name, size_t n)
{
    const size_t n_all = sizeof entities / sizeof entities[0];
    size_t low = 0, high = n_all;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(entities[middle].name, name, n);
        if (order == 0 && entities[middle].name[n] == '\0')
            return middle;
        if (order < 0)
            low = middle + 1;
        else /* it begins so and goes on, or comes later */
            high = middle;
    }
    return n_all;
}

/* The end of the longest name of a reference at `at`; at: there is none. */
static size_t read_name(const struct jinja_text *text, size_t at, size_t *entity)
{
    const char *name = text->bytes + at + 1;
    size_t left = text->n - at - 1, most = 0;
    while (most < left && most < ENTITIES_LONGEST &&
           (isalnum((unsigned char)name[most]) || name[most] == ';'))
        most++;
    for (size_t n = most; n >= ENTITIES_SHORTEST; n--) {
        *entity = find(name, n);
        if (*entity < sizeof entities / sizeof entities[0])
            return at + 1 + n;
    }
    return at;
}

void entities_add(struct jinja_builder *b, const struct jinja_text *text)
{
    for (size_t at = 0; at < text->n;) {
        const char *sign = memchr(text->bytes + at, '&', text->n - at);
        size_t begin = sign != NULL ? (size_t)(sign - text->bytes) : text->n;
        uint32_t number = 0;
        size_t entity = 0;
        jinja_add_part(b, text, at, begin);
        if (sign == NULL)
            return;
        jinja_steps(b->heap, WORK);
        bool numeric = begin + 1 < text->n && sign[1] == '#';
        size_t end = numeric ? read_number(text, begin, &number) : read_name(text, begin, &entity);
        bool request = jinja_from_request(text, begin, end);
        if (end == begin) {
            jinja_add_part(b, text, begin, begin + 1);
            end++;
        } else if (numeric) {
            add_number(b, number, request);
        } else {
            add_code(b, entities[entity].code, request);
            if (entities[entity].more != 0)
                add_code(b, entities[entity].more, request);
        }
        at = end;
    }
}
