/* numbers.c - Python's integers (64 bits to calculate with) and floats. In the heap's thread. */
#include "jinja/numbers.h"

#include "jinja/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double numbers_read_double(const char *digits)
{
    return strtod(digits, NULL);
}

struct jinja_value numbers_read_int(struct jinja_heap *heap, const char *digits, size_t n, int base,
                                    bool request)
{
    bool negative = n > 0 && digits[0] == '-';
    size_t i = n > 0 && (digits[0] == '-' || digits[0] == '+');
    uint64_t value = 0;
    bool beyond = false;
    for (; i < n; i++) {
        char c = digits[i];
        unsigned digit =
            c >= '0' && c <= '9' ? (unsigned)(c - '0') : ((unsigned char)c | 32u) - 'a' + 10u;
        beyond = beyond || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
                 __builtin_add_overflow(value, (uint64_t)digit, &value);
    }
    if (!beyond && value <= (uint64_t)INT64_MAX + negative) {
        struct jinja_value v = jinja_int(negative ? (int64_t)(0 - value) : (int64_t)value);
        v.request = request;
        return v;
    }
    if (base != 10)
        jinja_fail(heap, "an integer beyond 64 bits in base %d", base);
    size_t begin = digits[0] == '-' || digits[0] == '+';
    while (begin + 1 < n && digits[begin] == '0')
        begin++;
    struct jinja_builder b = {.heap = heap};
    if (negative)
        jinja_add(&b, "-", 1, request);
    jinja_add(&b, digits + begin, n - begin, request);
    return (struct jinja_value){.kind = JINJA_BIGINT, .request = request, .text = jinja_finish(&b)};
}

size_t numbers_write_double(double value, char out[NUMBERS_DOUBLE_CHARS])
{
    if (isnan(value) || isinf(value))
        return (size_t)snprintf(out, NUMBERS_DOUBLE_CHARS, "%s",
                                isnan(value) ? "nan"
                                : value > 0  ? "inf"
                                             : "-inf");
    char digits[NUMBERS_DOUBLE_CHARS];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    char *mark = strchr(digits, 'e');
    int exponent = atoi(mark + 1);
    *mark = '\0';
    bool negative = digits[0] == '-';
    char *mantissa = digits + negative; /* d.ddd */
    size_t n = strlen(mantissa);
    if (n > 1)
        memmove(mantissa + 1, mantissa + 2, n-- - 1); /* with its NUL */
    if (exponent < -4 || exponent >= 16)
        return (size_t)snprintf(out, NUMBERS_DOUBLE_CHARS, "%s%c%s%se%c%02d", negative ? "-" : "",
                                mantissa[0], n > 1 ? "." : "", mantissa + 1,
                                exponent < 0 ? '-' : '+', abs(exponent));
    if (exponent < 0)
        return (size_t)snprintf(out, NUMBERS_DOUBLE_CHARS, "%s0.%.*s%s", negative ? "-" : "",
                                -exponent - 1, "000", mantissa);
    size_t whole = (size_t)exponent + 1;
    if (n <= whole)
        return (size_t)snprintf(out, NUMBERS_DOUBLE_CHARS, "%s%s%.*s.0", negative ? "-" : "",
                                mantissa, (int)(whole - n), "0000000000000000");
    return (size_t)snprintf(out, NUMBERS_DOUBLE_CHARS, "%s%.*s.%s", negative ? "-" : "", (int)whole,
                            mantissa, mantissa + whole);
}

struct jinja_value numbers_truncate(struct jinja_heap *heap, double value)
{
    if (isnan(value) || isinf(value))
        jinja_fail(heap, "cannot convert float %s to integer", isnan(value) ? "NaN" : "infinity");
    double whole = trunc(value);
    if (whole >= -9223372036854775808.0 && whole < 9223372036854775808.0)
        return jinja_int((int64_t)whole);
    char digits[400];
    int n = snprintf(digits, sizeof digits, "%.0f", whole);
    return numbers_read_int(heap, digits, (size_t)n, 10, false);
}

double numbers_round(double value, int64_t places)
{
    if (isnan(value) || isinf(value) || places > 300)
        return value;
    if (places < -300)
        return 0.0 * value;
    if (places >= 0) { /* the C library rounds the exact digits half to even */
        char digits[700];
        snprintf(digits, sizeof digits, "%.*f", (int)places, value);
        return strtod(digits, NULL);
    }
    double scale = pow(10, (double)-places), whole = value / scale, rounded = nearbyint(whole);
    return rounded * scale;
}

static _Noreturn void fail_beyond(struct jinja_heap *heap)
{
    jinja_fail(heap, "arithmetic on integers beyond 64 bits is not supported");
}

static struct jinja_value power(struct jinja_heap *heap, int64_t a, int64_t b)
{
    if (b < 0) {
        if (a == 0)
            jinja_fail(heap, "0.0 cannot be raised to a negative power");
        return jinja_float(pow((double)a, (double)b));
    }
    int64_t result = 1;
    while (b > 0) {
        if ((b & 1) != 0 && __builtin_mul_overflow(result, a, &result))
            fail_beyond(heap);
        b >>= 1;
        if (b > 0 && __builtin_mul_overflow(a, a, &a))
            fail_beyond(heap);
    }
    return jinja_int(result);
}

static struct jinja_value calculate_ints(struct jinja_heap *heap, const char *op, int64_t a,
                                         int64_t b)
{
    int64_t result = 0;
    bool beyond = false;
    if (op[0] == '+')
        beyond = __builtin_add_overflow(a, b, &result);
    else if (op[0] == '-')
        beyond = __builtin_sub_overflow(a, b, &result);
    else if (strcmp(op, "*") == 0)
        beyond = __builtin_mul_overflow(a, b, &result);
    else if (strcmp(op, "**") == 0)
        return power(heap, a, b);
    else if (b == 0)
        jinja_fail(heap, strcmp(op, "/") == 0 ? "division by zero"
                                              : "integer division or modulo by zero");
    else if (strcmp(op, "/") == 0)
        return jinja_float((double)a / (double)b);
    else if (b == -1)
        beyond = op[0] != '%' && __builtin_sub_overflow(0, a, &result);
    else if (op[0] == '%')
        result = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    else
        result = a / b - (a % b != 0 && (a < 0) != (b < 0));
    if (beyond)
        fail_beyond(heap);
    return jinja_int(result);
}

static double modulo(double a, double b)
{
    double rest = fmod(a, b);
    if (rest == 0)
        return copysign(0.0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

static struct jinja_value calculate_floats(struct jinja_heap *heap, const char *op, double a,
                                           double b)
{
    if (strcmp(op, "**") == 0) {
        if (a == 0 && b < 0)
            jinja_fail(heap, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b))
            jinja_fail(heap, "complex numbers are not supported");
        double result = pow(a, b);
        if (isinf(result) && !isinf(a) && !isinf(b))
            jinja_fail(heap, "numerical result out of range");
        return jinja_float(result);
    }
    if (op[0] == '+')
        return jinja_float(a + b);
    if (op[0] == '-')
        return jinja_float(a - b);
    if (op[0] == '*')
        return jinja_float(a * b);
    if (b == 0)
        jinja_fail(heap, strcmp(op, "/") == 0    ? "float division by zero"
                         : strcmp(op, "//") == 0 ? "float floor division by zero"
                                                 : "float modulo");
    if (op[0] == '%')
        return jinja_float(modulo(a, b));
    if (strcmp(op, "/") == 0)
        return jinja_float(a / b);
    double whole = (a - modulo(a, b)) / b;
    return jinja_float(whole - floor(whole) > 0.5 ? floor(whole) + 1 : floor(whole));
}

struct jinja_value numbers_calculate(struct jinja_heap *heap, const char *op, struct jinja_value a,
                                     struct jinja_value b)
{
    int64_t i, k;
    if (jinja_as_int(a, &i) && jinja_as_int(b, &k))
        return calculate_ints(heap, op, i, k);
    if (a.kind != JINJA_FLOAT && b.kind != JINJA_FLOAT)
        fail_beyond(heap);
    double x = 0, y = 0;
    jinja_as_double(a, &x);
    jinja_as_double(b, &y);
    return calculate_floats(heap, op, x, y);
}

struct jinja_value numbers_negate(struct jinja_heap *heap, struct jinja_value v)
{
    int64_t i;
    if (v.kind == JINJA_FLOAT)
        return jinja_float(-v.number);
    if (jinja_as_int(v, &i) && i != INT64_MIN)
        return jinja_int(-i);
    if (v.kind == JINJA_BIGINT && v.text->bytes[0] == '-')
        return numbers_read_int(heap, v.text->bytes + 1, v.text->n - 1, 10, v.request);
    if (v.kind == JINJA_BIGINT || jinja_as_int(v, &i)) {
        struct jinja_builder b = {.heap = heap};
        if (v.kind != JINJA_INT)
            jinja_add_chars(&b, "-");
        if (v.kind == JINJA_BIGINT)
            jinja_add_text(&b, v.text);
        else
            jinja_add_chars(&b, "9223372036854775808");
        return numbers_read_int(heap, b.bytes, b.n, 10, v.request);
    }
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, v);
    if (!jinja_is_number(v))
        jinja_fail(heap, "bad operand type for unary -: '%s'", jinja_type_name(v));
    fail_beyond(heap);
}
