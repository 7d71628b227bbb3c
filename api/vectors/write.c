/* write.c - vectors as JSON: numbers from which the same floats are read back, or their bytes in
 * base64. Loop thread; allocates nothing. */
#include "api/vectors/parts.h"

#include <math.h>
#include <string.h>

enum { NUMBER_BOUND = 20 };

struct scaled { /* a vector as it is answered */
    const float *values;
    size_t n;
    double factor;
};

static double length_of(const float *x, size_t n, enum vectors_norm norm)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double value = fabs((double)x[i]);
        if (norm == NORM_EUCLID)
            sum += value * value;
        else if (norm == NORM_TAXICAB)
            sum += value;
        else
            sum = value > sum ? value : sum;
    }
    return norm == NORM_EUCLID ? sqrt(sum) : norm == NORM_TAXICAB ? sum : sum / 32760;
}

static struct scaled scale(const struct generation *g, size_t i)
{
    const struct vectors_wishes *wishes = g->wishes;
    struct scaled out = {g->choices[i].job->vector, wishes->n_dimensions, 1};
    if (wishes->norm == NORM_NONE)
        return out;
    double length = length_of(out.values, out.n, wishes->norm);
    out.factor = length > 0 ? 1 / length : 0;
    return out;
}

static float value_at(const struct scaled *s, size_t i)
{
    return (float)((double)s->values[i] * s->factor);
}

/* Most are below 1: nine digits of theirs are an integer, and printing that costs a tenth of what a
 * general conversion does. */
static void put_number(struct json_writer *w, float value)
{
    char text[NUMBER_BOUND];
    double x = fabs((double)value);
    size_t n = 0;
    if (!(x >= 1e-5 && x < 0.9999)) {
        json_float(w, value);
        return;
    }
    if (value < 0)
        text[n++] = '-';
    text[n++] = '0';
    text[n++] = '.';
    while (x < 0.1) {
        x *= 10;
        text[n++] = '0';
    }
    uint64_t digits = (uint64_t)(x * 1e9 + 0.5);
    if (digits >= 1000000000) { /* 0.1 less almost nothing, rounded up */
        json_float(w, value);
        return;
    }
    for (size_t i = 9; i-- > 0; digits /= 10)
        text[n + i] = (char)('0' + digits % 10);
    n += 9;
    while (text[n - 1] == '0')
        n--;
    text[n] = '\0';
    json_raw(w, text);
}

/* Little-endian floats, as every client reads them. */
static void put_base64(struct json_writer *w, const struct scaled *s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t held = 0;
    size_t n_bits = 0, n_letters = 0;
    char text[5] = "";
    json_raw(w, "\"");
    for (size_t i = 0; i < s->n * 4; i++) {
        uint32_t bits;
        float value = value_at(s, i / 4);
        memcpy(&bits, &value, sizeof bits);
        held = held << 8 | (bits >> 8 * (i % 4) & 0xff);
        for (n_bits += 8; n_bits >= 6; n_bits -= 6) {
            text[n_letters++] = letters[held >> (n_bits - 6) & 63];
            if (n_letters == 4)
                json_raw(w, text);
            n_letters %= 4;
        }
    }
    if (n_bits > 0)
        text[n_letters++] = letters[held << (6 - n_bits) & 63];
    for (; n_letters > 0 && n_letters < 4;)
        text[n_letters++] = '=';
    if (n_letters > 0)
        json_raw(w, text);
    json_raw(w, "\"");
}

void vectors_put(struct json_writer *w, const struct generation *g, size_t i)
{
    const struct vectors_wishes *wishes = g->wishes;
    const struct scaled s = scale(g, i);
    if (wishes->base64) {
        put_base64(w, &s);
        return;
    }
    json_raw(w, "[");
    for (size_t k = 0; k < s.n; k++) {
        if (k > 0)
            json_raw(w, ",");
        put_number(w, value_at(&s, k));
    }
    json_raw(w, "]");
}

size_t vectors_bound(const struct generation *g)
{
    const struct vectors_wishes *wishes = g->wishes;
    return g->n_choices * (wishes->n_dimensions * NUMBER_BOUND + 64);
}

enum answer_form vectors_form(const struct generation *g, const char *accept)
{
    (void)g, (void)accept;
    return ANSWER_JSON;
}

size_t vectors_no_event_min(const struct generation *g)
{
    (void)g;
    return 0;
}

size_t vectors_no_event(struct generation *g, char *out, size_t room)
{
    (void)g, (void)out, (void)room;
    return 0;
}
