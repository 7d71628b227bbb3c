/* letters.c - searches the tables of characters, and converts texts' case. Pure; any thread. */
#include "jinja/library/letters.h"

#include "base/utf8.h"

struct letters_shift { /* characters first, first + step, ..., last move by distance */
    uint32_t first, last;
    uint32_t step;
    int32_t distance;
};

struct letters_several {
    uint32_t from, to[3];
};

#include "jinja/library/letters_data.h"

unsigned letters_flags(uint32_t cp)
{
    size_t low = 0, high = sizeof letters_runs / sizeof letters_runs[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (letters_runs[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof letters_runs / sizeof letters_runs[0] && letters_runs[low].first <= cp
               ? letters_runs[low].flags
               : 0;
}

bool letters_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= '\t' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1f);
    return (letters_flags(cp) & LETTERS_SPACE) != 0;
}

#define TABLE(name)                                                                                \
    {                                                                                              \
        letters_##name, sizeof letters_##name / sizeof letters_##name[0],                          \
            letters_##name##_several,                                                              \
            sizeof letters_##name##_several / sizeof letters_##name##_several[0]                   \
    }
static const struct {
    const struct letters_shift *shifts;
    size_t n_shifts;
    const struct letters_several *several;
    size_t n_several;
} tables[] = {
    [LETTERS_TO_UPPER] = TABLE(upper),
    [LETTERS_TO_LOWER] = TABLE(lower),
    [LETTERS_TO_TITLE] = TABLE(title),
    [LETTERS_TO_FOLD] = TABLE(fold),
};

static unsigned convert_wide(uint32_t cp, enum letters_case to, uint32_t out[3])
{
    for (size_t i = 0; i < tables[to].n_several; i++) {
        const struct letters_several *entry = &tables[to].several[i];
        if (entry->from != cp || cp == 0)
            continue;
        unsigned n = 0;
        while (n < 3 && entry->to[n] != 0) {
            out[n] = entry->to[n];
            n++;
        }
        return n;
    }
    const struct letters_shift *shifts = tables[to].shifts;
    size_t low = 0, high = tables[to].n_shifts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shifts[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    out[0] = cp;
    if (low < tables[to].n_shifts && shifts[low].first <= cp &&
        (cp - shifts[low].first) % shifts[low].step == 0)
        out[0] = (uint32_t)((int64_t)cp + shifts[low].distance);
    return 1;
}

unsigned letters_convert(uint32_t cp, enum letters_case to, uint32_t out[3])
{
    if (cp >= 0x80)
        return convert_wide(cp, to, out);
    bool up = to == LETTERS_TO_UPPER || to == LETTERS_TO_TITLE;
    out[0] = up && cp >= 'a' && cp <= 'z' ? cp - 32 : !up && cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return 1;
}

/* Characters that a word's end does not end at. */
static bool is_case_ignorable(uint32_t cp)
{
    return cp == '\'' || cp == '.' || cp == ':' || cp == '^' || cp == '`' || cp == 0xa8 ||
           cp == 0xad || cp == 0xaf || cp == 0xb4 || cp == 0xb7 || cp == 0xb8 || cp == 0x2019 ||
           (cp >= 0x300 && cp < 0x370);
}

/* A capital sigma at the end of a word has a small form of its own. */
static bool sigma_is_final(const struct jinja_text *text, size_t at, size_t size)
{
    size_t i = at, n;
    uint32_t cp = 0;
    bool cased = false;
    while (i > 0) {
        i = jinja_char_before(text, i);
        cp = jinja_char_at(text, i, &n);
        if (!is_case_ignorable(cp)) {
            cased = (letters_flags(cp) & LETTERS_CASED) != 0;
            break;
        }
    }
    if (!cased)
        return false;
    for (i = at + size; i < text->n; i += n) {
        cp = jinja_char_at(text, i, &n);
        if (!is_case_ignorable(cp))
            return (letters_flags(cp) & LETTERS_CASED) == 0;
    }
    return true;
}

void letters_add(struct jinja_builder *b, const struct jinja_text *text, size_t begin, size_t end,
                 enum letters_case to)
{
    for (size_t at = begin, size; at < end; at += size) {
        uint32_t cp = jinja_char_at(text, at, &size), out[3] = {0};
        unsigned n = letters_convert(cp, to, out);
        if (cp == 0x3a3 && to == LETTERS_TO_LOWER && sigma_is_final(text, at, size))
            out[0] = 0x3c2;
        bool request = jinja_from_request(text, at, at + size);
        for (unsigned i = 0; i < n; i++) {
            char bytes[4];
            jinja_add(b, bytes, utf8_encode(out[i], bytes), request);
        }
        jinja_steps(b->heap, 1);
    }
}

const struct jinja_text *letters_text(struct jinja_heap *heap, const struct jinja_text *text,
                                      enum letters_case to)
{
    struct jinja_builder b = {.heap = heap};
    letters_add(&b, text, 0, text->n, to);
    return jinja_marked(heap, jinja_finish(&b), text->markup);
}
