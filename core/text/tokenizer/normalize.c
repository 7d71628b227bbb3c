/* normalize.c - decomposing, ordering and composing, a stretch of the text at a time.
 *
 * A character below U+0300 never joins one before it, so the text is cut there, and what has no
 * other characters is not touched. utf8proc decomposes single characters and composes what is in
 * order; the ordering is ours, since utf8proc's takes quadratic time for long runs of marks. Any
 * thread; all state is in the caller's buffers.
 */
#include "text/tokenizer/normalize.h"

#include <utf8proc.h>

enum {
    MAX_DECOMPOSED = 18,  /* code points, of any character in any form */
    ENOUGH = 4096,        /* code points that are composed together, where the text can be cut */
    FIRST_JOINING = 0xcc, /* the first byte of U+0300 */
    FEW_MARKS = 16,       /* in one run: sorted in place */
    COMBINING_CLASSES = 256
};

enum status normalize_decompose(struct point_buffer *points, uint32_t cp, struct error *err)
{
    enum status status = points_reserve(points, MAX_DECOMPOSED, err);
    if (status != STATUS_OK)
        return status;
    int last_class = 0; /* of graphemes: not asked for */
    utf8proc_ssize_t n =
        utf8proc_decompose_char((int32_t)cp, points->items + points->n, MAX_DECOMPOSED,
                                UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &last_class);
    if (n >= 1 && n <= MAX_DECOMPOSED) {
        points->n += (size_t)n;
    } else { /* a character that the library does not know */
        points->items[points->n++] = (int32_t)cp;
    }
    return STATUS_OK;
}

static unsigned combining_class(int32_t cp)
{
    return cp < 0x300 ? 0 : (unsigned)utf8proc_get_property(cp)->combining_class & 0xff;
}

static void insert_in_order(int32_t *marks, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int32_t mark = marks[i];
        unsigned class = combining_class(mark);
        size_t at = i;
        for (; at > 0 && combining_class(marks[at - 1]) > class; at--)
            marks[at] = marks[at - 1];
        marks[at] = mark;
    }
}

/* Counts, then places: stable, and proportional to the run. */
static enum status count_in_order(int32_t *marks, size_t n, struct point_buffer *scratch,
                                  struct error *err)
{
    size_t starts[COMBINING_CLASSES + 1] = {0};
    scratch->n = 0;
    enum status status = points_reserve(scratch, n, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        starts[combining_class(marks[i]) + 1]++;
    for (size_t class = 1; class <= COMBINING_CLASSES; class ++)
        starts[class] += starts[class - 1];
    for (size_t i = 0; i < n; i++)
        scratch->items[starts[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, scratch->items, n * sizeof *marks);
    return STATUS_OK;
}

enum status normalize_order(struct point_buffer *points, struct point_buffer *scratch,
                            struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < points->n && status == STATUS_OK;) {
        if (combining_class(points->items[at]) == 0) {
            at++;
            continue;
        }
        size_t n = 1;
        while (at + n < points->n && combining_class(points->items[at + n]) != 0)
            n++;
        if (n <= FEW_MARKS)
            insert_in_order(points->items + at, n);
        else
            status = count_in_order(points->items + at, n, scratch, err);
        at += n;
    }
    return status;
}

uint32_t normalize_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + ('a' - 'A') : cp;
    int32_t lower = utf8proc_tolower((int32_t)cp);
    return lower > 0 ? (uint32_t)lower : cp;
}

void normalizer_free(struct normalizer *normalizer)
{
    free(normalizer->points.items);
    free(normalizer->scratch.items);
    free(normalizer->out.bytes);
}

/* Bytes of characters below U+0300, from here on. */
static size_t plain_bytes(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && (uint8_t)text[i] < FIRST_JOINING)
        i++;
    return i;
}

/* Does nothing before this character ever join it? Ideographs and Hangul's syllables: where long
 * stretches without a character below U+0300 can be cut. */
static bool stands_alone(uint32_t cp)
{
    return (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xac00 && cp <= 0xd7a3) || cp < 0x300;
}

/* Orders and composes what was decomposed, and writes it out. */
static enum status flush(struct normalizer *normalizer, struct error *err)
{
    struct point_buffer *points = &normalizer->points;
    enum status status = normalize_order(points, &normalizer->scratch, err);
    if (status != STATUS_OK)
        return status;
    utf8proc_ssize_t n = utf8proc_normalize_utf32(points->items, (utf8proc_ssize_t)points->n,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (n < 0) /* says so of code points that are none, which cannot come here */
        return error_set(err, STATUS_INTERNAL, "the text cannot be normalized: %s",
                         utf8proc_errmsg(n));
    for (size_t i = 0; i < (size_t)n && status == STATUS_OK; i++)
        status = bytes_append_point(&normalizer->out, points->items[i], err);
    points->n = 0;
    return status;
}

/* A stretch: one character and all that follow from U+0300 on. Returns its bytes in *n_taken. */
static enum status compose_stretch(struct normalizer *normalizer, const char *text, size_t n,
                                   size_t *n_taken, struct error *err)
{
    enum status status = STATUS_OK;
    size_t at = 0;
    while (at < n && status == STATUS_OK) {
        uint32_t cp;
        size_t length = utf8_decode(text + at, n - at, &cp);
        if (at > 0 && cp < 0x300)
            break;
        if (normalizer->points.n >= ENOUGH && stands_alone(cp))
            status = flush(normalizer, err);
        if (status == STATUS_OK)
            status = normalize_decompose(&normalizer->points, cp, err);
        at += length;
    }
    *n_taken = at;
    return status == STATUS_OK ? flush(normalizer, err) : status;
}

enum status normalizer_compose(struct normalizer *normalizer, const char *text, size_t n,
                               const char **composed, size_t *n_composed, struct error *err)
{
    *composed = text;
    *n_composed = n;
    if (plain_bytes(text, n) == n)
        return STATUS_OK;
    normalizer->out.n = 0;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < n && status == STATUS_OK;) {
        size_t n_plain = plain_bytes(text + at, n - at), n_taken = 0;
        size_t base = at + n_plain; /* the last plain character may take what follows */
        while (base > at && n_plain < n - at && ((uint8_t)text[--base] & 0xc0) == 0x80)
            continue;
        status = bytes_append(&normalizer->out, text + at, base - at, err);
        at = base;
        if (status == STATUS_OK && at < n)
            status = compose_stretch(normalizer, text + at, n - at, &n_taken, err);
        at += n_taken;
    }
    *composed = normalizer->out.bytes;
    *n_composed = normalizer->out.n;
    return status;
}
