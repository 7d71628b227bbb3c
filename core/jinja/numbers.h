/* numbers.h - Python's numbers: read, written, and calculated with. In the heap's thread. */
#pragma once

#include "jinja/value.h"

/* digits: NUL-terminated, checked. */
double numbers_read_double(const char *digits);
/* A sign and digits of a base; beyond 64 bits, base 10 alone, they stay digits. */
struct jinja_value numbers_read_int(struct jinja_heap *heap, const char *digits, size_t n, int base,
                                    bool request);

enum { NUMBERS_DOUBLE_CHARS = 40 };
/* Python's repr(): the shortest digits that give the same number back. Returns the length. */
size_t numbers_write_double(double value, char out[NUMBERS_DOUBLE_CHARS]);
/* int() of a float, and of a float's floor; fails beyond 64 bits. */
struct jinja_value numbers_truncate(struct jinja_heap *heap, double value);
double numbers_round(double value, int64_t places); /* half to even, as the number's digits are */

/* a op b for numbers; op: "+", "-", "*", "/", "//", "%", "**". */
struct jinja_value numbers_calculate(struct jinja_heap *heap, const char *op, struct jinja_value a,
                                     struct jinja_value b);
struct jinja_value numbers_negate(struct jinja_heap *heap, struct jinja_value v);
