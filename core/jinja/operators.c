/* operators.c - what Python's operators do with values of any type. In the heap's thread. */
#include "jinja/operators.h"

#include "jinja/iterate.h"
#include "jinja/library/format.h"
#include "jinja/numbers.h"
#include "jinja/text.h"

#include <string.h>

static struct jinja_value add_lists(struct jinja_heap *heap, struct jinja_value a,
                                    struct jinja_value b)
{
    size_t n = a.list->n + b.list->n;
    struct jinja_value *items = jinja_alloc(heap, n, sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = i < a.list->n ? a.list->items[i] : b.list->items[i - a.list->n];
    jinja_steps(heap, n / 8 + 1);
    return (a.kind == JINJA_LIST ? jinja_list : jinja_tuple)(heap, items, n);
}

static struct jinja_value add_texts(struct jinja_heap *heap, const struct jinja_text *a,
                                    const struct jinja_text *b)
{
    if (!a->markup && !b->markup)
        return jinja_string(jinja_join(heap, a, b));
    const struct jinja_text *joined =
        jinja_join(heap, jinja_escape(heap, a), jinja_escape(heap, b));
    return jinja_string(jinja_marked(heap, joined, true));
}

static struct jinja_value repeated(struct jinja_heap *heap, struct jinja_value v, int64_t times)
{
    size_t n = times > 0 ? (size_t)times : 0;
    if (v.kind == JINJA_STRING) {
        struct jinja_builder b = {.heap = heap};
        jinja_add_repeated(&b, v.text, n);
        return jinja_string(jinja_marked(heap, jinja_finish(&b), v.text->markup));
    }
    size_t each = v.list->n;
    if (each > 0 && n > SIZE_MAX / each)
        n = SIZE_MAX / each;
    struct jinja_value *items = jinja_alloc(heap, n * each, sizeof *items);
    jinja_steps(heap, n * each / 8 + 1);
    for (size_t i = 0; i < n * each; i++)
        items[i] = v.list->items[i % each];
    return (v.kind == JINJA_LIST ? jinja_list : jinja_tuple)(heap, items, n * each);
}

static bool is_sequence(struct jinja_value v)
{
    return v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
}

struct jinja_value operators_binary(struct jinja_heap *heap, const char *op, struct jinja_value a,
                                    struct jinja_value b)
{
    int64_t times;
    if (jinja_is_number(a) && jinja_is_number(b))
        return numbers_calculate(heap, op, a, b);
    if (a.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, a);
    if (op[0] == '%' && a.kind == JINJA_STRING)
        return jinja_string(format_percent(heap, a.text, b));
    if (b.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, b);
    if (op[0] == '+' && a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        return add_texts(heap, a.text, b.text);
    if (op[0] == '+' && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return add_lists(heap, a, b);
    if (strcmp(op, "*") == 0 && is_sequence(a) && jinja_as_int(b, &times))
        return repeated(heap, a, times);
    if (strcmp(op, "*") == 0 && is_sequence(b) && jinja_as_int(a, &times))
        return repeated(heap, b, times);
    if (op[0] == '+' && a.kind == JINJA_STRING)
        jinja_fail(heap, "can only concatenate str (not \"%s\") to str", jinja_type_name(b));
    jinja_fail(heap, "unsupported operand type(s) for %s: '%s' and '%s'", op, jinja_type_name(a),
               jinja_type_name(b));
}

bool operators_compare(struct jinja_heap *heap, const char *op, struct jinja_value a,
                       struct jinja_value b)
{
    if (strcmp(op, "==") == 0)
        return jinja_equal(heap, a, b);
    if (strcmp(op, "!=") == 0)
        return !jinja_equal(heap, a, b);
    if (strcmp(op, "in") == 0)
        return jinja_contains(heap, b, a);
    if (strcmp(op, "not in") == 0)
        return !jinja_contains(heap, b, a);
    int order = jinja_order(heap, a, b, op);
    if (order == 2) /* NaN */
        return false;
    return op[0] == '<' ? order < 0 || (op[1] == '=' && order == 0)
                        : order > 0 || (op[1] == '=' && order == 0);
}
