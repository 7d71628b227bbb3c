/* functions.c - the functions that every template has: range, dict, namespace, cycler, joiner,
 * raise_exception and strftime_now. In the heap's thread. */
#include "jinja/evaluate.h"

#include "jinja/iterate.h"
#include "jinja/library/dates.h"
#include "jinja/print.h"

#include <string.h>

#define FUNCTION(name)                                                                             \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)

enum { RANGE_MAX = 100000 }; /* as jinja2's sandbox has it */

FUNCTION(range)
{
    (void)self, (void)args;
    int64_t start = 0, stop = jinja_need_int(heap, a[0]), step = 1;
    if (a[1].kind != JINJA_ABSENT) {
        start = stop;
        stop = jinja_need_int(heap, a[1]);
    }
    if (a[2].kind != JINJA_ABSENT)
        step = jinja_need_int(heap, a[2]);
    if (step == 0)
        jinja_fail(heap, "range() arg 3 must not be zero");
    uint64_t n = 0;
    if (step > 0 && start < stop)
        n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    else if (step < 0 && start > stop)
        n = ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    if (n > RANGE_MAX)
        jinja_fail(heap, "Range too big. The sandbox blocks ranges larger than %d.", RANGE_MAX);
    struct jinja_range *made = jinja_alloc(heap, 1, sizeof *made);
    *made = (struct jinja_range){start, step, (size_t)n, stop};
    return (struct jinja_value){.kind = JINJA_RANGE, .range = made};
}

/* The pairs of dict() and namespace(): of a mapping or of pairs, then those by name. */
static struct jinja_dict *pairs_of(struct jinja_heap *heap, const struct jinja_args *args)
{
    struct jinja_dict *dict = jinja_dict_new(heap);
    if (args->n > 1)
        jinja_fail(heap, "dict expected at most 1 argument, got %zu", args->n);
    if (args->n == 1 && args->at[0].kind == JINJA_DICT) {
        const struct jinja_dict *from = args->at[0].dict;
        for (size_t i = 0; i < from->n; i++)
            jinja_dict_set(heap, dict, from->pairs[i].key, from->pairs[i].value);
    } else if (args->n == 1) {
        if (args->at[0].kind == JINJA_UNDEFINED)
            jinja_fail_undefined(heap, args->at[0]);
        struct jinja_iter *iter = jinja_iterate(heap, args->at[0]);
        for (struct jinja_value v; jinja_next(iter, &v);) {
            struct jinja_items pair = jinja_collect(heap, v);
            if (pair.n != 2)
                jinja_fail(heap, "dictionary update sequence elements must have 2 items");
            jinja_dict_set(heap, dict, pair.items[0], pair.items[1]);
        }
    }
    for (size_t i = 0; i < args->n_named; i++)
        jinja_dict_set(heap, dict, args->named[i].key, args->named[i].value);
    return dict;
}

FUNCTION(dict)
{
    (void)self, (void)a;
    return jinja_dict_value(pairs_of(heap, args));
}

FUNCTION(namespace)
{
    (void)self, (void)a;
    return (struct jinja_value){.kind = JINJA_NAMESPACE, .names = pairs_of(heap, args)};
}

FUNCTION(cycler)
{
    (void)self, (void)a;
    if (args->n == 0)
        jinja_fail(heap, "at least one item has to be provided");
    struct jinja_cycler *made = jinja_alloc(heap, 1, sizeof *made);
    struct jinja_value *items = jinja_alloc(heap, args->n, sizeof *items);
    for (size_t i = 0; i < args->n; i++)
        items[i] = args->at[i];
    made->items = (struct jinja_list){.items = items, .n = args->n};
    return (struct jinja_value){.kind = JINJA_CYCLER, .cycler = made};
}

FUNCTION(joiner)
{
    (void)self, (void)args;
    struct jinja_cycler *made = jinja_alloc(heap, 1, sizeof *made);
    struct jinja_value *between = jinja_alloc(heap, 1, sizeof *between);
    *between = a[0].kind == JINJA_ABSENT ? jinja_chars(heap, ", ") : a[0];
    made->items = (struct jinja_list){.items = between, .n = 1};
    return (struct jinja_value){.kind = JINJA_JOINER, .cycler = made};
}

FUNCTION(raise_exception)
{
    (void)self, (void)args;
    const struct jinja_text *text = jinja_print_text(heap, a[0]);
    jinja_at_line(heap, 0);
    jinja_fail(heap, "%.*s", (int)(text->n < 300 ? text->n : 300), text->bytes);
}

FUNCTION(strftime_now)
{
    (void)args;
    struct jinja_builder b = {.heap = heap};
    dates_format(&b, args_text(heap, a[0]), self.integer);
    return jinja_string(jinja_finish(&b));
}

const struct jinja_function *functions_find(const struct jinja_text *name)
{
    static const struct jinja_function table[] = {
        {"range", range, "start stop step", 1, NULL},
        {"dict", dict, NULL, 0, NULL},
        {"namespace", namespace, NULL, 0, NULL},
        {"cycler", cycler, NULL, 0, NULL},
        {"joiner", joiner, "sep", 0, NULL},
        {"raise_exception", raise_exception, "message", 1, NULL},
        {"strftime_now", strftime_now, "format", 1, NULL},
    };
    return args_find(table, sizeof table / sizeof table[0], name->bytes, name->n);
}
