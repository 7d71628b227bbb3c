/* write.c - JSON text into the caller's memory, one whole piece at a time. Never allocates: it
 * runs for every token of every stream. Knows no field. Any thread. */
#include "api/json/json.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put(struct json_writer *w, const char *bytes, size_t n)
{
    if (w->full || w->room - w->n < n) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->n, bytes, n);
    w->n += n;
}

bool json_keep(struct json_writer *w, size_t before)
{
    if (!w->full)
        return true;
    w->n = before;
    return false;
}

void json_raw(struct json_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

void json_bytes(struct json_writer *w, const char *bytes, size_t n)
{
    put(w, bytes, n);
}

/* Well-formed text, escaped, without quotes: what must be escaped, and nothing else. */
static void put_escaped(struct json_writer *w, const char *utf8, size_t n)
{
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(w, utf8 + begin, i - begin);
        begin = i + 1;
        static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* character, escape */
        const char *found = NULL;
        for (size_t k = 0; k < sizeof letters - 1 && found == NULL; k += 2)
            found = (unsigned char)letters[k] == c ? letters + k + 1 : NULL;
        char escape[8];
        if (found != NULL)
            snprintf(escape, sizeof escape, "\\%c", *found);
        else
            snprintf(escape, sizeof escape, "\\u%04x", c);
        json_raw(w, escape);
    }
    put(w, utf8 + begin, n - begin);
}

/* In slices, so that ill-formed bytes can be replaced on the stack. */
static void put_text(struct json_writer *w, const char *bytes, size_t n)
{
    enum { SLICE = 256 };
    struct utf8_stream stream = {.n_held = 0};
    char text[3 * (SLICE + 3)];
    for (size_t i = 0; i < n; i += SLICE) {
        size_t n_slice = n - i < SLICE ? n - i : SLICE;
        put_escaped(w, text, utf8_stream_push(&stream, bytes + i, n_slice, text));
    }
    put_escaped(w, text, utf8_stream_end(&stream, text));
}

void json_inside(struct json_writer *w, const char *bytes, size_t n)
{
    size_t before = w->n;
    put_text(w, bytes, n);
    if (w->full)
        w->n = before;
}

void json_string(struct json_writer *w, const char *bytes, size_t n)
{
    json_string2(w, bytes, n, NULL, 0);
}

void json_string2(struct json_writer *w, const char *first, size_t n_first, const char *second,
                  size_t n_second)
{
    size_t begin = w->n;
    put(w, "\"", 1);
    put_text(w, first, n_first);
    put_text(w, second, n_second);
    put(w, "\"", 1);
    if (w->full)
        w->n = begin;
}

void json_int(struct json_writer *w, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    json_raw(w, digits);
}

void json_uint(struct json_writer *w, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    json_raw(w, digits);
}

void json_double(struct json_writer *w, double value, int decimals)
{
    char digits[352]; /* the longest double has 309 digits before its point */
    if (!isfinite(value)) {
        json_raw(w, "null");
        return;
    }
    snprintf(digits, sizeof digits, "%.*f", decimals < 20 ? decimals : 20, value);
    json_raw(w, digits);
}

void json_float(struct json_writer *w, float value)
{
    char digits[32];
    if (!isfinite(value)) {
        json_raw(w, "null");
        return;
    }
    snprintf(digits, sizeof digits, "%.9g", (double)value);
    json_raw(w, digits);
}

void json_bool(struct json_writer *w, bool value)
{
    json_raw(w, value ? "true" : "false");
}

void json_name(struct json_writer *w, const char *before, const char *name)
{
    json_raw(w, before);
    json_string(w, name, strlen(name));
    json_raw(w, ":");
}

void json_name_text(struct json_writer *w, const char *before, const char *name, const char *text)
{
    json_name(w, before, name);
    json_string(w, text, strlen(text));
}

void json_name_uint(struct json_writer *w, const char *before, const char *name, uint64_t value)
{
    json_name(w, before, name);
    json_uint(w, value);
}

void json_name_bool(struct json_writer *w, const char *before, const char *name, bool value)
{
    json_name(w, before, name);
    json_bool(w, value);
}

void json_name_double(struct json_writer *w, const char *before, const char *name, double value,
                      int decimals)
{
    json_name(w, before, name);
    json_double(w, value, decimals);
}

size_t json_string_bound(size_t n)
{
    return 6 * n + 2;
}
