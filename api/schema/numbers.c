/* numbers.c - numbers of JSON within bounds.
 *
 * A bound is taken by its decimal digits. A bounded number that is no integer has no exponent. See
 * schema.h.
 */
#include "api/schema/internal.h"

#include "grammar/read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 19, MULTIPLE_MOST = 5000, FRACTION = 20 };

/* |x| as digits: of its integer part without leading zeros ("0"), of its fraction without trailing
 * ones (""). */
struct decimal {
    char whole[340], fraction[340];
};

static void tighten_low(struct number_bounds *b, double value, bool open)
{
    if (!b->has_low || value > b->low || (value == b->low && open)) {
        b->low = value;
        b->low_open = open;
    }
    b->has_low = true;
}

static void tighten_high(struct number_bounds *b, double value, bool open)
{
    if (!b->has_high || value < b->high || (value == b->high && open)) {
        b->high = value;
        b->high_open = open;
    }
    b->has_high = true;
}

struct number_bounds number_bounds(struct schema *s, const struct cJSON *schema)
{
    static const char *const names[] = {"minimum", "exclusiveMinimum", "maximum",
                                        "exclusiveMaximum"};
    struct number_bounds b = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct cJSON *value = schema_member(schema, names[i]);
        bool open = i % 2 == 1;
        if (value == NULL)
            continue;
        if (cJSON_IsBool(value) && open) { /* as draft 4 had it */
            const struct cJSON *closed = schema_member(schema, names[i - 1]);
            if (!cJSON_IsTrue(value) || !cJSON_IsNumber(closed))
                continue;
            value = closed;
        }
        if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble))
            expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be a number", names[i]);
        else if (i < 2)
            tighten_low(&b, value->valuedouble, open);
        else
            tighten_high(&b, value->valuedouble, open);
    }
    return b;
}

/* The shortest decimal that reads as the same number. */
static struct decimal decimal_of(double value)
{
    struct decimal d = {0};
    char text[64];
    int digits = 0;
    value = fabs(value);
    do
        snprintf(text, sizeof text, "%.*e", digits, value);
    while (strtod(text, NULL) != value && ++digits < 17);
    long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    char figures[32];
    size_t n = 0;
    for (const char *c = text; *c != 'e'; c++)
        if (*c != '.')
            figures[n++] = *c;
    while (n > 1 && figures[n - 1] == '0')
        n--;
    size_t n_whole = 0, n_fraction = 0;
    for (long i = 0; i <= exponent && n_whole < 320; i++)
        d.whole[n_whole++] = (size_t)i < n ? figures[i] : '0';
    if (n_whole == 0)
        d.whole[n_whole++] = '0';
    for (long i = -1; i > exponent && n_fraction < 320; i--)
        d.fraction[n_fraction++] = '0';
    for (size_t i = exponent < 0 ? 0 : (size_t)exponent + 1; i < n; i++)
        d.fraction[n_fraction++] = figures[i];
    if (strcmp(d.fraction, "0") == 0)
        d.fraction[0] = '\0';
    return d;
}

/* --- digits --- */

static const struct expr *digit(struct schema *s, char first, char last)
{
    struct expr_range range = {(uint32_t)first, (uint32_t)last};
    return expr_class(s->b, &range, 1, false);
}

static const struct expr *digits(struct schema *s, uint32_t min, uint32_t max)
{
    return expr_repeat(s->b, digit(s, '0', '9'), min, max);
}

static const struct expr *text_n(struct schema *s, const char *text, size_t n)
{
    return expr_text(s->b, text, n);
}

/* Numbers of n digits from low to high, both with n digits. */
static const struct expr *same_length(struct schema *s, const char *low, const char *high, size_t n)
{
    char nines[DIGITS + 1], zeros[DIGITS + 1];
    if (n == 0)
        return TEXT(s, "");
    if (low[0] == high[0])
        return SEQUENCE(s, text_n(s, low, 1), same_length(s, low + 1, high + 1, n - 1));
    memset(nines, '9', n);
    memset(zeros, '0', n);
    struct expr_list list = {0};
    char from = low[0], to = high[0];
    if (memcmp(low + 1, zeros, n - 1) != 0)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, digit(s, from, from), same_length(s, low + 1, nines, n - 1))),
            from++;
    if (memcmp(high + 1, nines, n - 1) != 0)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, digit(s, to, to), same_length(s, zeros, high + 1, n - 1))),
            to--;
    if (from <= to)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, digit(s, from, to), digits(s, (uint32_t)n - 1, (uint32_t)n - 1)));
    return expr_choice(s->b, list.at, list.n);
}

/* Natural numbers from low to high, without leading zeros; high NULL: without end. */
static const struct expr *natural(struct schema *s, const char *low, const char *high)
{
    char first[DIGITS + 2], last[DIGITS + 2];
    struct expr_list list = {0};
    size_t n = strlen(low), n_high = high != NULL ? strlen(high) : n;
    if (n > DIGITS || n_high > DIGITS) {
        schema_lacks(s, "maximum", " of more than 19 digits");
        return TEXT(s, "");
    }
    for (; n <= n_high; n++) {
        memset(first, '0', n);
        first[0] = n == 1 ? '0' : '1';
        memset(last, '9', n);
        bool is_first = n == strlen(low), is_last = high != NULL && n == n_high;
        expr_list_add(s->b, &list,
                      same_length(s, is_first ? low : first, is_last ? high : last, n));
    }
    if (high == NULL)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, digit(s, '1', '9'),
                               digits(s, (uint32_t)n - 1, DIGITS > n ? DIGITS : (uint32_t)n)));
    return expr_choice(s->b, list.at, list.n);
}

/* --- integers --- */

static const struct expr *nothing(struct schema *s)
{
    return expr_choice(s->b, NULL, 0);
}

/* Those of |x| in low..high (has_high), with a sign. */
static const struct expr *signed_integers(struct schema *s, const char *sign, double low,
                                          double high, bool has_high)
{
    if (has_high && low > high)
        return nothing(s);
    struct decimal from = decimal_of(low), to = decimal_of(has_high ? high : 0);
    return SEQUENCE(s, TEXT(s, sign), natural(s, from.whole, has_high ? to.whole : NULL));
}

/* The multiples of m within bounds, one by one: where they are few. */
static const struct expr *listed_multiples(struct schema *s, double m, double low, double high)
{
    struct expr_list list = {0};
    char text[32];
    const double first = ceil(low / m), n = floor(high / m) - first + 1;
    for (long i = 0; i < (long)n; i++) {
        double x = (first + (double)i) * m;
        snprintf(text, sizeof text, "%.0f", x == 0 ? 0.0 : x);
        expr_list_add(s->b, &list, TEXT(s, text));
    }
    return expr_choice(s->b, list.at, list.n);
}

/* Multiples of a number that decimals and binary numbers both hold: m / 10^k. */
static const struct expr *multiples(struct schema *s, double m)
{
    uint32_t k = 0;
    double whole = m;
    for (; k < 6 && whole != floor(whole); k++)
        whole *= 10;
    const double halves = m * 4096; /* a fraction of two's powers */
    if (!(m > 0) || whole != floor(whole) || halves != floor(halves)) {
        schema_lacks(s, "multipleOf", " of a fraction that binary numbers do not hold");
        return TEXT(s, "");
    }
    if (whole > MULTIPLE_MOST) {
        schema_lacks(s, "multipleOf", " of so large a number");
        return TEXT(s, "");
    }
    return SEQUENCE(s, expr_optional(s->b, TEXT(s, "-")), expr_multiple(s->b, (uint32_t)whole, k));
}

/* Less what "not" takes away: the given numbers however they are written, integers. */
static const struct expr *less(struct schema *s, const struct cJSON *schema, const struct expr *e)
{
    const struct cJSON *without = schema_member(schema, "not");
    const struct expr *zeros = expr_optional(
        s->b, SEQUENCE(s, TEXT(s, "."), expr_repeat(s->b, digit(s, '0', '0'), 1, EXPR_MANY)));
    struct expr_list list = {0};
    for (const struct cJSON *one = without ? without->child : NULL; one != NULL; one = one->next) {
        const struct cJSON *values = schema_member(one, "enum");
        if (schema_member(one, "multipleOf") != NULL)
            expr_list_add(
                s->b, &list,
                SEQUENCE(s, expr_optional(s->b, TEXT(s, "-")), digits(s, 1, EXPR_MANY), zeros));
        for (const struct cJSON *value = values ? values->child : NULL; value;
             value = value->next) {
            if (!cJSON_IsNumber(value))
                continue;
            const struct decimal d = decimal_of(value->valuedouble);
            expr_list_add(
                s->b, &list,
                SEQUENCE(s,
                         value->valuedouble < 0    ? TEXT(s, "-")
                         : value->valuedouble == 0 ? expr_optional(s->b, TEXT(s, "-"))
                                                   : TEXT(s, ""),
                         TEXT(s, d.whole),
                         d.fraction[0] == '\0'
                             ? zeros
                             : SEQUENCE(s, TEXT(s, "."), TEXT(s, d.fraction),
                                        expr_repeat(s->b, digit(s, '0', '0'), 0, EXPR_MANY))));
        }
    }
    return list.n > 0 ? expr_but(s->b, e, expr_choice(s->b, list.at, list.n)) : e;
}

static const struct expr *bounded_integers(struct schema *s, const struct number_bounds *b,
                                           double low, double high)
{
    struct expr_list list = {0};
    if (!b->has_high || high >= 0)
        expr_list_add(s->b, &list,
                      signed_integers(s, "", b->has_low && low > 0 ? low : 0, high, b->has_high));
    if (!b->has_low || low < 0)
        expr_list_add(
            s->b, &list,
            signed_integers(s, "-", b->has_high && high < 0 ? -high : 1, -low, b->has_low));
    return expr_choice(s->b, list.at, list.n);
}

const struct expr *integer_expr(struct schema *s, const struct cJSON *schema)
{
    enum { LISTED_MOST = 2000 };
    struct number_bounds b = number_bounds(s, schema);
    const struct cJSON *multiple = schema_member(schema, "multipleOf");
    const double low = b.low_open ? floor(b.low) + 1 : ceil(b.low);
    const double high = b.high_open ? ceil(b.high) - 1 : floor(b.high);
    if (b.has_low && b.has_high && low > high)
        return nothing_left(s, "maximum");
    if (multiple == NULL || (cJSON_IsNumber(multiple) && multiple->valuedouble == 1))
        return less(s, schema, bounded_integers(s, &b, low, high));
    double m = cJSON_IsNumber(multiple) ? multiple->valuedouble : 0;
    for (int i = 0; i < 12 && m > 0 && m != floor(m); i++)
        m *= 2; /* an integer that is a multiple of 2.5 is one of 5 */
    if (b.has_low && b.has_high && m >= 1 && m == floor(m) && (high - low) / m <= LISTED_MOST)
        return less(s, schema, listed_multiples(s, m, low, high));
    const struct expr *e = multiples(s, m);
    if (b.has_low || b.has_high)
        e = expr_both(s->b, e, bounded_integers(s, &b, low, high));
    return less(s, schema, e);
}

/* --- numbers that may have a fraction --- */

const struct expr *any_number(struct schema *s)
{
    static const char number[] =
        "-?(0|[1-9]\\d{0,19})(\\.\\d{1,20})?([eE][+-]?(\\d{1,2}|[01]\\d\\d|2[0-7]\\d))?";
    if (s->number == NO_RULE) {
        s->number = rule_declare(s->b, "number", 6);
        rule_define(s->b, s->number, regex_read(s->b, number, sizeof number - 1, true));
    }
    return expr_rule(s->b, s->number);
}

/* What may follow an integer part: fractions of more than .f (open), or at least it. */
static const struct expr *fraction_above(struct schema *s, const char *f, bool open)
{
    struct expr_list list = {0};
    size_t n = strlen(f);
    for (size_t i = 0; i < n; i++) /* the same digits, then a higher one */
        if (f[i] < '9')
            expr_list_add(s->b, &list,
                          SEQUENCE(s, TEXT(s, "."), text_n(s, f, i),
                                   digit(s, (char)(f[i] + 1), '9'), digits(s, 0, FRACTION)));
    if (open) /* the same, then anything but zeros */
        expr_list_add(s->b, &list,
                      SEQUENCE(s, TEXT(s, "."), text_n(s, f, n),
                               expr_repeat(s->b, digit(s, '0', '0'), 0, FRACTION),
                               digit(s, '1', '9'), digits(s, 0, FRACTION)));
    else if (n > 0)
        expr_list_add(s->b, &list,
                      SEQUENCE(s, TEXT(s, "."), text_n(s, f, n), digits(s, 0, FRACTION)));
    else
        expr_list_add(s->b, &list,
                      expr_optional(s->b, SEQUENCE(s, TEXT(s, "."), digits(s, 1, FRACTION))));
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *fraction_below(struct schema *s, const char *f, bool open)
{
    struct expr_list list = {0};
    size_t n = strlen(f);
    for (size_t i = 0; i < n; i++) { /* the same digits, then a lower one, or their end */
        if (f[i] > '0')
            expr_list_add(s->b, &list,
                          SEQUENCE(s, TEXT(s, "."), text_n(s, f, i),
                                   digit(s, '0', (char)(f[i] - 1)), digits(s, 0, FRACTION)));
        expr_list_add(s->b, &list,
                      i == 0 ? TEXT(s, "") : SEQUENCE(s, TEXT(s, "."), text_n(s, f, i)));
    }
    if (!open) {
        const struct expr *zeros = expr_repeat(s->b, digit(s, '0', '0'), n > 0 ? 0 : 1, FRACTION);
        const struct expr *same = SEQUENCE(s, TEXT(s, "."), text_n(s, f, n), zeros);
        expr_list_add(s->b, &list, n > 0 ? same : expr_optional(s->b, same));
    }
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *any_fraction(struct schema *s)
{
    return expr_optional(s->b, SEQUENCE(s, TEXT(s, "."), digits(s, 1, FRACTION)));
}

static const struct expr *whole_then(struct schema *s, const char *whole, const struct expr *rest)
{
    return SEQUENCE(s, TEXT(s, whole), rest);
}

/* |x| with a sign, from low to high: both are at least 0. */
static const struct expr *magnitudes(struct schema *s, const char *sign,
                                     const struct number_bounds *b)
{
    struct decimal low = decimal_of(b->has_low ? b->low : 0), high = decimal_of(b->high);
    double low_whole = floor(b->has_low ? b->low : 0), high_whole = floor(b->high);
    struct expr_list list = {0};
    if (b->has_high && low_whole == high_whole) {
        const struct expr *below = fraction_below(s, high.fraction, b->high_open);
        if (low.fraction[0] != '\0' || b->low_open)
            below = expr_both(s->b, below, fraction_above(s, low.fraction, b->low_open));
        expr_list_add(s->b, &list, whole_then(s, high.whole, below));
    } else {
        struct decimal next = decimal_of(low_whole + 1), before = decimal_of(high_whole - 1);
        expr_list_add(s->b, &list,
                      whole_then(s, low.whole, fraction_above(s, low.fraction, b->low_open)));
        if (!b->has_high || low_whole + 1 < high_whole)
            expr_list_add(s->b, &list,
                          SEQUENCE(s, natural(s, next.whole, b->has_high ? before.whole : NULL),
                                   any_fraction(s)));
        if (b->has_high)
            expr_list_add(
                s->b, &list,
                whole_then(s, high.whole, fraction_below(s, high.fraction, b->high_open)));
    }
    return SEQUENCE(s, TEXT(s, sign), expr_choice(s->b, list.at, list.n));
}

static const struct expr *bounded_numbers(struct schema *s, const struct number_bounds *b)
{
    struct expr_list list = {0};
    if (!b->has_high || b->high > 0 || (b->high == 0 && !b->high_open)) {
        struct number_bounds above = *b;
        if (!b->has_low || b->low < 0)
            above.has_low = above.low_open = false, above.low = 0;
        expr_list_add(s->b, &list, magnitudes(s, "", &above));
    }
    if (!b->has_low || b->low < 0) { /* the same, mirrored */
        struct number_bounds below = {.has_low = b->has_high && b->high < 0,
                                      .low = b->has_high && b->high < 0 ? -b->high : 0,
                                      .low_open = b->has_high && b->high < 0 && b->high_open,
                                      .has_high = b->has_low,
                                      .high = -b->low,
                                      .high_open = b->low_open};
        if (b->has_high && b->high <= 0 && b->high_open) /* no -0 where 0 is not allowed */
            below.has_low = below.low_open = true;
        expr_list_add(s->b, &list, magnitudes(s, "-", &below));
    }
    return expr_choice(s->b, list.at, list.n);
}

const struct expr *number_expr(struct schema *s, const struct cJSON *schema)
{
    const struct number_bounds b = number_bounds(s, schema);
    const struct cJSON *multiple = schema_member(schema, "multipleOf");
    const bool bounded = b.has_low || b.has_high;
    if (b.has_low && b.has_high &&
        (b.low > b.high || (b.low == b.high && (b.low_open || b.high_open))))
        return nothing_left(s, "maximum");
    if (multiple != NULL && cJSON_IsNumber(multiple) &&
        multiple->valuedouble == floor(multiple->valuedouble))
        return integer_expr(s, schema);
    if (multiple != NULL) {
        const struct expr *e = multiples(s, cJSON_IsNumber(multiple) ? multiple->valuedouble : 0);
        return less(s, schema, bounded ? expr_both(s->b, e, bounded_numbers(s, &b)) : e);
    }
    if (bounded)
        return less(s, schema, bounded_numbers(s, &b));
    if (schema_member(schema, "not") == NULL)
        return any_number(s);
    static const char plain[] = "-?(0|[1-9]\\d{0,19})(\\.\\d{1,20})?";
    return less(s, schema, regex_read(s->b, plain, sizeof plain - 1, true));
}
