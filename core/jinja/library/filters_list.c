/* filters_list.c - filters that take lists and dicts apart and put them in order. In the heap's
 * thread. */
#include "jinja/library/filters.h"

#include "jinja/attributes.h"
#include "jinja/iterate.h"
#include "jinja/library/letters.h"
#include "jinja/operators.h"
#include "jinja/print.h"

#include <ctype.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,               \
                                   const struct jinja_value *a, const struct jinja_args *args)

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT && v.kind != JINJA_NONE;
}

struct jinja_value filters_dig(struct jinja_heap *heap, struct jinja_value v,
                               struct jinja_value attribute, struct jinja_value fallback)
{
    if (!is_given(attribute))
        return v;
    if (attribute.kind != JINJA_STRING)
        return jinja_item(heap, v, attribute);
    const struct jinja_text *path = attribute.text;
    for (size_t at = 0, end; at <= path->n; at = end + 1) {
        bool digits = true;
        for (end = at; end < path->n && path->bytes[end] != '.'; end++)
            digits = digits && isdigit((unsigned char)path->bytes[end]);
        struct jinja_value key = jinja_string(jinja_part(heap, path, at, end));
        if (digits && end > at && end - at < 10) {
            int64_t i = 0;
            for (size_t k = at; k < end; k++)
                i = i * 10 + (path->bytes[k] - '0');
            key = jinja_int(i);
        }
        v = jinja_item(heap, v, key);
        if (v.kind == JINJA_UNDEFINED && is_given(fallback))
            v = fallback;
    }
    return v;
}

static struct jinja_value folded(struct jinja_heap *heap, struct jinja_value v, bool case_sensitive)
{
    if (case_sensitive || v.kind != JINJA_STRING)
        return v;
    return jinja_string(letters_text(heap, v.text, LETTERS_TO_LOWER));
}

FILTER(fallback)
{
    (void)args;
    if (self.kind == JINJA_UNDEFINED || (args_bool(a[1], false) && !jinja_truth(self)))
        return a[0].kind == JINJA_ABSENT ? jinja_chars(heap, "") : a[0];
    return self;
}

FILTER(length)
{
    (void)a, (void)args;
    size_t n;
    if (!jinja_length(self, &n))
        jinja_fail(heap, "object of type '%s' has no len()", jinja_type_name(self));
    return jinja_int((int64_t)n);
}

FILTER(first)
{
    (void)a, (void)args;
    struct jinja_value v;
    if (!jinja_next(jinja_iterate(heap, self), &v))
        return jinja_undefined(NULL, "No first item, sequence was empty.");
    return v;
}

FILTER(last)
{
    (void)a, (void)args;
    if (self.kind == JINJA_ITERATOR)
        jinja_fail(heap, "'generator' object is not reversible");
    if (self.kind == JINJA_STRING && self.text->n > 0)
        return jinja_item(heap, self, jinja_int(-1));
    struct jinja_items items = jinja_collect(heap, self);
    return items.n == 0 ? jinja_undefined(NULL, "No last item, sequence was empty.")
                        : items.items[items.n - 1];
}

FILTER(list)
{
    (void)a, (void)args;
    struct jinja_items items = jinja_collect(heap, self);
    return jinja_list(heap, items.items, items.n);
}

FILTER(reverse)
{
    (void)a, (void)args;
    if (self.kind == JINJA_STRING) {
        struct jinja_slice *slice = jinja_alloc(heap, 1, sizeof *slice);
        *slice = (struct jinja_slice){jinja_none(), jinja_none(), jinja_int(-1)};
        return jinja_item(heap, self, (struct jinja_value){.kind = JINJA_SLICE, .slice = slice});
    }
    if (self.kind != JINJA_ITERATOR)
        return jinja_reversed(heap, self);
    struct jinja_items items = jinja_collect(heap, self);
    struct jinja_value backwards = jinja_reversed(heap, jinja_list(heap, items.items, items.n));
    struct jinja_items turned = jinja_collect(heap, backwards);
    return jinja_list(heap, turned.items, turned.n);
}

FILTER(attr)
{
    (void)args;
    struct jinja_value v = jinja_attribute(heap, self, args_text(heap, a[0]));
    /* Items are not attributes. */
    if (self.kind == JINJA_DICT && v.kind != JINJA_METHOD)
        return jinja_undefined(a[0].text, jinja_type_name(self));
    return v;
}

static bool over_pairs(struct jinja_iter *iter, struct jinja_value *out)
{
    if (iter->over.kind == JINJA_UNDEFINED)
        return false;
    if (iter->over.kind != JINJA_DICT)
        jinja_fail(iter->heap, "Can only get item pairs from a mapping.");
    if (iter->at >= iter->over.dict->n)
        return false;
    const struct jinja_pair *pair = &iter->over.dict->pairs[iter->at++];
    *out = jinja_pair_of(iter->heap, pair->key, pair->value);
    return true;
}

FILTER(items)
{
    (void)a, (void)args;
    return jinja_generator(heap, over_pairs, self, NULL);
}

/* Keys and values in the order of keys; equal ones stay as they were. */
static void sort_pairs(struct jinja_heap *heap, struct jinja_pair *pairs, size_t n, bool reverse)
{
    struct jinja_pair *from = pairs, *to = jinja_alloc(heap, n, sizeof *to);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t middle = begin + width < n ? begin + width : n;
            size_t end = begin + 2 * width < n ? begin + 2 * width : n;
            for (size_t i = begin, k = middle, at = begin; at < end; at++) {
                bool right = i == middle;
                if (!right && k < end)
                    right = reverse ? jinja_order(heap, from[i].key, from[k].key, "<") < 0
                                    : jinja_order(heap, from[k].key, from[i].key, "<") < 0;
                to[at] = right ? from[k++] : from[i++];
            }
        }
        struct jinja_pair *other = from;
        from = to;
        to = other;
    }
    if (from != pairs)
        memcpy(pairs, from, n * sizeof *pairs);
}

static struct jinja_value values_of(struct jinja_heap *heap, const struct jinja_pair *pairs,
                                    size_t n)
{
    struct jinja_value *values = jinja_alloc(heap, n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = pairs[i].value;
    return jinja_list(heap, values, n);
}

/* The keys that sort() compares: one attribute, or a list of those between commas. */
static struct jinja_value sort_key(struct jinja_heap *heap, struct jinja_value v,
                                   struct jinja_value attribute, bool case_sensitive)
{
    if (attribute.kind != JINJA_STRING)
        return folded(heap, filters_dig(heap, v, attribute, jinja_none()), case_sensitive);
    struct jinja_items keys = {0};
    const struct jinja_text *text = attribute.text;
    for (size_t at = 0, end; at <= text->n; at = end + 1) {
        for (end = at; end < text->n && text->bytes[end] != ','; end++)
            ;
        struct jinja_value part = jinja_string(jinja_part(heap, text, at, end));
        jinja_push(heap, &keys,
                   folded(heap, filters_dig(heap, v, part, jinja_none()), case_sensitive));
    }
    return jinja_list(heap, keys.items, keys.n);
}

FILTER(sort)
{
    (void)args;
    struct jinja_items items = jinja_collect(heap, self);
    struct jinja_pair *pairs = jinja_alloc(heap, items.n, sizeof *pairs);
    for (size_t i = 0; i < items.n; i++)
        pairs[i] = (struct jinja_pair){sort_key(heap, items.items[i], a[2], args_bool(a[1], false)),
                                       items.items[i]};
    sort_pairs(heap, pairs, items.n, args_bool(a[0], false));
    return values_of(heap, pairs, items.n);
}

FILTER(dictsort)
{
    (void)args;
    if (self.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(heap, self);
    if (self.kind != JINJA_DICT)
        jinja_fail(heap, "'%s' object has no attribute 'items'", jinja_type_name(self));
    bool by_value = a[1].kind != JINJA_ABSENT && jinja_is(args_text(heap, a[1]), "value");
    if (!by_value && a[1].kind != JINJA_ABSENT && !jinja_is(a[1].text, "key"))
        jinja_fail(heap, "You can only sort by either \"key\" or \"value\"");
    size_t n = self.dict->n;
    struct jinja_pair *pairs = jinja_alloc(heap, n, sizeof *pairs);
    for (size_t i = 0; i < n; i++) {
        const struct jinja_pair *pair = &self.dict->pairs[i];
        pairs[i].key = folded(heap, by_value ? pair->value : pair->key, args_bool(a[0], false));
        pairs[i].value = jinja_pair_of(heap, pair->key, pair->value);
    }
    sort_pairs(heap, pairs, n, args_bool(a[2], false));
    return values_of(heap, pairs, n);
}

FILTER(groupby)
{
    (void)args;
    struct jinja_items items = jinja_collect(heap, self), groups = {0};
    struct jinja_pair *pairs = jinja_alloc(heap, items.n, sizeof *pairs);
    bool case_sensitive = args_bool(a[2], false);
    for (size_t i = 0; i < items.n; i++)
        pairs[i] = (struct jinja_pair){
            folded(heap, filters_dig(heap, items.items[i], a[0], a[1]), case_sensitive),
            items.items[i]};
    sort_pairs(heap, pairs, items.n, false);
    for (size_t begin = 0, end; begin < items.n; begin = end) {
        for (end = begin + 1; end < items.n; end++)
            if (!jinja_equal(heap, pairs[begin].key, pairs[end].key))
                break;
        struct jinja_value *two = jinja_alloc(heap, 2, sizeof *two);
        struct jinja_list *group = jinja_alloc(heap, 1, sizeof *group);
        two[0] = filters_dig(heap, pairs[begin].value, a[0], a[1]);
        two[1] = values_of(heap, pairs + begin, end - begin);
        *group = (struct jinja_list){.items = two, .n = 2, .group = true};
        jinja_push(heap, &groups, (struct jinja_value){.kind = JINJA_TUPLE, .list = group});
    }
    return jinja_list(heap, groups.items, groups.n);
}

FILTER(unique)
{
    (void)args;
    struct jinja_items kept = {0};
    struct jinja_dict *seen = jinja_dict_new(heap);
    struct jinja_iter *iter = jinja_iterate(heap, self);
    for (struct jinja_value v; jinja_next(iter, &v);) {
        struct jinja_value key =
            folded(heap, filters_dig(heap, v, a[1], jinja_none()), args_bool(a[0], false));
        if (jinja_dict_get(heap, seen, key) != NULL)
            continue;
        jinja_dict_set(heap, seen, key, jinja_none());
        jinja_push(heap, &kept, v);
    }
    struct jinja_iter *out = jinja_iterate(heap, jinja_list(heap, kept.items, kept.n));
    return (struct jinja_value){.kind = JINJA_ITERATOR, .iter = out};
}

static struct jinja_value extreme(struct jinja_heap *heap, struct jinja_value self,
                                  const struct jinja_value *a, bool most)
{
    struct jinja_value best = {.kind = JINJA_ABSENT}, best_key = best, v;
    struct jinja_iter *iter = jinja_iterate(heap, self);
    while (jinja_next(iter, &v)) {
        struct jinja_value key =
            folded(heap, filters_dig(heap, v, a[1], jinja_none()), args_bool(a[0], false));
        int order = best.kind == JINJA_ABSENT ? 0
                    : most                    ? jinja_order(heap, key, best_key, ">")
                                              : jinja_order(heap, key, best_key, "<");
        if (best.kind == JINJA_ABSENT || order == (most ? 1 : -1)) {
            best = v;
            best_key = key;
        }
    }
    return best.kind != JINJA_ABSENT
               ? best
               : jinja_undefined(NULL, "No aggregated item, sequence was empty.");
}

FILTER(least)
{
    (void)args;
    return extreme(heap, self, a, false);
}

FILTER(most)
{
    (void)args;
    return extreme(heap, self, a, true);
}

FILTER(sum)
{
    (void)args;
    struct jinja_value total = a[1].kind == JINJA_ABSENT ? jinja_int(0) : a[1], v;
    if (total.kind == JINJA_STRING)
        jinja_fail(heap, "sum() can't sum strings [use ''.join(seq) instead]");
    struct jinja_iter *iter = jinja_iterate(heap, self);
    while (jinja_next(iter, &v))
        total = operators_binary(heap, "+", total, filters_dig(heap, v, a[0], jinja_none()));
    return total;
}

FILTER(batch)
{
    (void)args;
    struct jinja_items batches = {0}, items = jinja_collect(heap, self);
    int64_t size = jinja_need_int(heap, a[0]);
    for (size_t at = 0; at < items.n;) {
        struct jinja_items row = {0};
        do
            jinja_push(heap, &row, items.items[at++]);
        while (at < items.n && (int64_t)row.n != size);
        while (is_given(a[1]) && (int64_t)row.n < size)
            jinja_push(heap, &row, a[1]);
        jinja_push(heap, &batches, jinja_list(heap, row.items, row.n));
    }
    struct jinja_iter *out = jinja_iterate(heap, jinja_list(heap, batches.items, batches.n));
    return (struct jinja_value){.kind = JINJA_ITERATOR, .iter = out};
}

FILTER(slice)
{
    (void)args;
    struct jinja_items rows = {0}, items = jinja_collect(heap, self);
    int64_t n = jinja_need_int(heap, a[0]);
    if (n <= 0)
        jinja_fail(heap, "slice needs a number of slices above 0");
    size_t each = items.n / (size_t)n, longer = items.n % (size_t)n, at = 0;
    for (size_t i = 0; i < (size_t)n; i++) {
        struct jinja_items row = {0};
        for (size_t k = 0; k < each + (i < longer); k++)
            jinja_push(heap, &row, items.items[at++]);
        if (is_given(a[1]) && i >= longer)
            jinja_push(heap, &row, a[1]);
        jinja_push(heap, &rows, jinja_list(heap, row.items, row.n));
    }
    struct jinja_iter *out = jinja_iterate(heap, jinja_list(heap, rows.items, rows.n));
    return (struct jinja_value){.kind = JINJA_ITERATOR, .iter = out};
}

const struct jinja_function filters_of_lists[] = {
    {"default", fallback, "default_value boolean", 0, NULL},
    {"d", fallback, "default_value boolean", 0, NULL},
    {"length", length, "", 0, NULL},
    {"count", length, "", 0, NULL},
    {"first", first, "", 0, NULL},
    {"last", last, "", 0, NULL},
    {"list", list, "", 0, NULL},
    {"reverse", reverse, "", 0, NULL},
    {"attr", attr, "name", 1, NULL},
    {"items", items, "", 0, NULL},
    {"sort", sort, "reverse case_sensitive attribute", 0, NULL},
    {"dictsort", dictsort, "case_sensitive by reverse", 0, NULL},
    {"groupby", groupby, "attribute default case_sensitive", 1, NULL},
    {"unique", unique, "case_sensitive attribute", 0, NULL},
    {"min", least, "case_sensitive attribute", 0, NULL},
    {"max", most, "case_sensitive attribute", 0, NULL},
    {"sum", sum, "attribute start", 0, NULL},
    {"batch", batch, "linecount fill_with", 1, NULL},
    {"slice", slice, "slices fill_with", 1, NULL},
};
const size_t filters_n_of_lists = sizeof filters_of_lists / sizeof filters_of_lists[0];
