/* filters.c - finds filters and tests by name, and the filters that use others: map, select and
 * their like, which answer generators. In the heap's thread. */
#include "jinja/library/filters.h"

#include "jinja/iterate.h"

struct chosen {                   /* what a generator does with each item */
    struct jinja_value attribute; /* ABSENT: the item itself */
    struct jinja_value fallback;
    const struct jinja_function *function; /* NULL: truth, or (map) nothing */
    struct jinja_args args;
    bool keep; /* items for which the test says so */
};

static bool map_next(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct chosen *how = iter->context;
    struct jinja_value item;
    if (!jinja_next(jinja_iterate(iter->heap, iter->over), &item))
        return false;
    item = filters_dig(iter->heap, item, how->attribute, how->fallback);
    *out = how->function == NULL ? item : args_call(iter->heap, how->function, item, &how->args);
    return true;
}

static bool select_next(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct chosen *how = iter->context;
    struct jinja_iter *over = jinja_iterate(iter->heap, iter->over);
    while (jinja_next(over, out)) {
        struct jinja_value v = filters_dig(iter->heap, *out, how->attribute, how->fallback);
        if (how->function != NULL)
            v = args_call(iter->heap, how->function, v, &how->args);
        if (jinja_truth(v) == how->keep)
            return true;
    }
    return false;
}

static struct jinja_value generate(struct jinja_heap *heap, struct jinja_value self,
                                   struct chosen how,
                                   bool (*advance)(struct jinja_iter *, struct jinja_value *))
{
    struct chosen *kept = jinja_alloc(heap, 1, sizeof *kept);
    struct jinja_value *items = jinja_alloc(heap, how.args.n, sizeof *items);
    struct jinja_pair *named = jinja_alloc(heap, how.args.n_named, sizeof *named);
    *kept = how;
    for (size_t i = 0; i < how.args.n; i++)
        items[i] = how.args.at[i];
    for (size_t i = 0; i < how.args.n_named; i++)
        named[i] = how.args.named[i];
    kept->args.at = items;
    kept->args.named = named;
    struct jinja_value over = {
        .kind = JINJA_ITERATOR,
        .iter = jinja_iterate(heap, jinja_truth(self) ? self : jinja_list(heap, NULL, 0))};
    return jinja_generator(heap, advance, over, kept);
}

static const struct jinja_function *find_named(struct jinja_heap *heap, struct jinja_value name,
                                               bool test)
{
    const struct jinja_text *text = args_text(heap, name);
    const struct jinja_function *found = test ? filters_find_test(text) : filters_find(text);
    if (found == NULL)
        jinja_fail(heap, "No %s named '%.*s'", test ? "test" : "filter",
                   (int)(text->n < 100 ? text->n : 100), text->bytes);
    return found;
}

static struct jinja_value map(struct jinja_heap *heap, struct jinja_value self,
                              const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a;
    struct chosen how = {0};
    if (args->n > 0) {
        how.function = find_named(heap, args->at[0], false);
        how.args = (struct jinja_args){args->at + 1, args->n - 1, args->named, args->n_named};
        return generate(heap, self, how, map_next);
    }
    for (size_t i = 0; i < args->n_named; i++) {
        const struct jinja_text *name = args->named[i].key.text;
        if (jinja_is(name, "attribute"))
            how.attribute = args->named[i].value;
        else if (jinja_is(name, "default"))
            how.fallback = args->named[i].value;
        else
            jinja_fail(heap, "Unexpected keyword argument '%.*s'",
                       (int)(name->n < 100 ? name->n : 100), name->bytes);
    }
    if (how.attribute.kind == JINJA_ABSENT)
        jinja_fail(heap, "map requires a filter argument");
    return generate(heap, self, how, map_next);
}

static struct jinja_value choose(struct jinja_heap *heap, struct jinja_value self,
                                 const struct jinja_args *args, bool by_attribute, bool keep)
{
    struct chosen how = {.keep = keep};
    size_t off = by_attribute;
    if (by_attribute && args->n == 0)
        jinja_fail(heap, "Missing parameter for attribute name");
    if (by_attribute)
        how.attribute = args->at[0];
    if (args->n > off) {
        how.function = find_named(heap, args->at[off], true);
        how.args =
            (struct jinja_args){args->at + off + 1, args->n - off - 1, args->named, args->n_named};
    }
    return generate(heap, self, how, select_next);
}

#define CHOICE(name, by_attribute, keep)                                                           \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)     \
    {                                                                                              \
        (void)a;                                                                                   \
        return choose(heap, self, args, by_attribute, keep);                                       \
    }
CHOICE(select_items, false, true)
CHOICE(reject, false, false)
CHOICE(selectattr, true, true)
CHOICE(rejectattr, true, false)

static const struct jinja_function own[] = {
    {"map", map, NULL, 0, NULL},
    {"select", select_items, NULL, 0, NULL},
    {"reject", reject, NULL, 0, NULL},
    {"selectattr", selectattr, NULL, 0, NULL},
    {"rejectattr", rejectattr, NULL, 0, NULL},
};

const struct jinja_function *filters_find(const struct jinja_text *name)
{
    const struct jinja_function *found =
        args_find(filters_of_texts, filters_n_of_texts, name->bytes, name->n);
    if (found == NULL)
        found = args_find(filters_of_lists, filters_n_of_lists, name->bytes, name->n);
    return found != NULL ? found : args_find(own, sizeof own / sizeof own[0], name->bytes, name->n);
}

/* What is not a text has no name, and what cannot be a key of a dict cannot be asked for. */
static bool can_be_name(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_LIST || v.kind == JINJA_DICT)
        jinja_fail(heap, "unhashable type: '%s'", jinja_type_name(v));
    return v.kind == JINJA_STRING;
}

/* `filter` and `test` ask whether there is one of a name. */
static struct jinja_value is_filter(struct jinja_heap *heap, struct jinja_value self,
                                    const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a, (void)args;
    return jinja_bool(can_be_name(heap, self) && filters_find(self.text) != NULL);
}

static struct jinja_value is_test(struct jinja_heap *heap, struct jinja_value self,
                                  const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a, (void)args;
    return jinja_bool(can_be_name(heap, self) && filters_find_test(self.text) != NULL);
}

const struct jinja_function *filters_find_test(const struct jinja_text *name)
{
    static const struct jinja_function of_names[] = {
        {"filter", is_filter, "", 0, NULL},
        {"test", is_test, "", 0, NULL},
    };
    const struct jinja_function *found =
        args_find(filters_tests, filters_n_tests, name->bytes, name->n);
    return found != NULL ? found : args_find(of_names, 2, name->bytes, name->n);
}
