/* operators.h - +, -, *, /, //, %, **, ~ and comparisons of any values. In the heap's thread. */
#pragma once

#include "jinja/value.h"

struct jinja_value operators_binary(struct jinja_heap *heap, const char *op, struct jinja_value a,
                                    struct jinja_value b);
/* "==", "!=", "<", "<=", ">", ">=", "in", "not in" */
bool operators_compare(struct jinja_heap *heap, const char *op, struct jinja_value a,
                       struct jinja_value b);
