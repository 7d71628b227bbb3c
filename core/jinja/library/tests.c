/* tests.c - what may stand after `is`. In the heap's thread. */
#include "jinja/iterate.h"
#include "jinja/library/filters.h"
#include "jinja/library/strings.h"
#include "jinja/operators.h"
#include "jinja/print.h"

#define TEST(name, answer)                                                                         \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)     \
    {                                                                                              \
        (void)heap, (void)a, (void)args;                                                           \
        return jinja_bool(answer);                                                                 \
    }

/* self % by == rest, in Python's arithmetic. */
static bool leaves(struct jinja_heap *heap, struct jinja_value self, struct jinja_value by,
                   int64_t rest)
{
    return jinja_equal(heap, operators_binary(heap, "%", self, by), jinja_int(rest));
}

static bool is_sequence(struct jinja_value v)
{
    size_t n;
    return jinja_length(v, &n) && v.kind != JINJA_VIEW;
}

static bool is_callable(struct jinja_value v)
{
    return v.kind == JINJA_FUNCTION || v.kind == JINJA_METHOD || v.kind == JINJA_MACRO ||
           v.kind == JINJA_UNDEFINED || v.kind == JINJA_JOINER;
}

static bool is_same(struct jinja_heap *heap, struct jinja_value a, struct jinja_value b)
{
    if (a.kind != b.kind)
        return false;
    if (a.kind <= JINJA_FLOAT)
        return jinja_equal(heap, a, b);
    return a.list == b.list;
}

TEST(odd, leaves(heap, self, jinja_int(2), 1))
TEST(even, leaves(heap, self, jinja_int(2), 0))
TEST(divisible, leaves(heap, self, a[0], 0))
TEST(defined, self.kind != JINJA_UNDEFINED)
TEST(undefined, self.kind == JINJA_UNDEFINED)
TEST(none, self.kind == JINJA_NONE)
TEST(boolean, self.kind == JINJA_BOOL)
TEST(is_false, self.kind == JINJA_BOOL && !self.truth)
TEST(is_true, self.kind == JINJA_BOOL && self.truth)
TEST(integer, self.kind == JINJA_INT || self.kind == JINJA_BIGINT)
TEST(is_float, self.kind == JINJA_FLOAT)
TEST(number, jinja_is_number(self))
TEST(string, self.kind == JINJA_STRING)
TEST(mapping, self.kind == JINJA_DICT)
TEST(sequence, is_sequence(self))
TEST(iterable, jinja_can_iterate(self))
TEST(callable, is_callable(self))
TEST(sameas, is_same(heap, self, a[0]))
TEST(escaped, self.kind == JINJA_STRING && self.text->markup)
TEST(lower, strings_has_case(jinja_print_text(heap, self), false))
TEST(upper, strings_has_case(jinja_print_text(heap, self), true))
TEST(in, operators_compare(heap, "in", self, a[0]))
TEST(equal, operators_compare(heap, "==", self, a[0]))
TEST(unequal, operators_compare(heap, "!=", self, a[0]))
TEST(less, operators_compare(heap, "<", self, a[0]))
TEST(at_most, operators_compare(heap, "<=", self, a[0]))
TEST(greater, operators_compare(heap, ">", self, a[0]))
TEST(at_least, operators_compare(heap, ">=", self, a[0]))

const struct jinja_function filters_tests[] = {
    {"odd", odd, "", 0, NULL},
    {"even", even, "", 0, NULL},
    {"divisibleby", divisible, "num", 1, NULL},
    {"defined", defined, "", 0, NULL},
    {"undefined", undefined, "", 0, NULL},
    {"none", none, "", 0, NULL},
    {"boolean", boolean, "", 0, NULL},
    {"false", is_false, "", 0, NULL},
    {"true", is_true, "", 0, NULL},
    {"integer", integer, "", 0, NULL},
    {"float", is_float, "", 0, NULL},
    {"number", number, "", 0, NULL},
    {"string", string, "", 0, NULL},
    {"mapping", mapping, "", 0, NULL},
    {"sequence", sequence, "", 0, NULL},
    {"iterable", iterable, "", 0, NULL},
    {"callable", callable, "", 0, NULL},
    {"sameas", sameas, "other", 1, NULL},
    {"escaped", escaped, "", 0, NULL},
    {"lower", lower, "", 0, NULL},
    {"upper", upper, "", 0, NULL},
    {"in", in, "seq", 1, NULL},
    {"==", equal, "other", 1, NULL},
    {"eq", equal, "other", 1, NULL},
    {"equalto", equal, "other", 1, NULL},
    {"!=", unequal, "other", 1, NULL},
    {"ne", unequal, "other", 1, NULL},
    {"<", less, "other", 1, NULL},
    {"lt", less, "other", 1, NULL},
    {"lessthan", less, "other", 1, NULL},
    {"<=", at_most, "other", 1, NULL},
    {"le", at_most, "other", 1, NULL},
    {">", greater, "other", 1, NULL},
    {"gt", greater, "other", 1, NULL},
    {"greaterthan", greater, "other", 1, NULL},
    {">=", at_least, "other", 1, NULL},
    {"ge", at_least, "other", 1, NULL},
};
const size_t filters_n_tests = sizeof filters_tests / sizeof filters_tests[0];
