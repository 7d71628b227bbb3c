/* iterate.c - walking through values. In the heap's thread. */
#include "jinja/iterate.h"

#include "jinja/text.h"

static bool over_list(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct jinja_list *list = iter->over.list;
    if (iter->at >= list->n)
        return false;
    *out = list->items[iter->at++];
    return true;
}

static bool over_chars(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct jinja_text *text = iter->over.text;
    if (iter->at >= text->n)
        return false;
    size_t end = iter->at + jinja_char_size(text, iter->at);
    const struct jinja_text *one = jinja_part(iter->heap, text, iter->at, end);
    *out = jinja_string(jinja_marked(iter->heap, one, false)); /* as Python's own str has it */
    iter->at = end;
    return true;
}

static bool over_dict(struct jinja_iter *iter, struct jinja_value *out)
{
    if (iter->at >= iter->over.dict->n)
        return false;
    *out = iter->over.dict->pairs[iter->at++].key;
    return true;
}

static bool over_view(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct jinja_view *view = iter->over.view;
    if (iter->at >= view->dict->n)
        return false;
    const struct jinja_pair *pair = &view->dict->pairs[iter->at++];
    *out = view->of == JINJA_KEYS     ? pair->key
           : view->of == JINJA_VALUES ? pair->value
                                      : jinja_pair_of(iter->heap, pair->key, pair->value);
    return true;
}

struct jinja_value jinja_range_item(const struct jinja_range *range, size_t i)
{
    return jinja_int(range->start + (int64_t)i * range->step);
}

static bool over_range(struct jinja_iter *iter, struct jinja_value *out)
{
    if (iter->at >= iter->over.range->n)
        return false;
    *out = jinja_range_item(iter->over.range, iter->at++);
    return true;
}

static bool over_nothing(struct jinja_iter *iter, struct jinja_value *out)
{
    (void)iter;
    (void)out;
    return false;
}

bool jinja_can_iterate(struct jinja_value v)
{
    size_t n;
    return jinja_length(v, &n) || v.kind == JINJA_ITERATOR || v.kind == JINJA_LOOP;
}

struct jinja_iter *jinja_iterate(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_ITERATOR)
        return v.iter;
    if (!jinja_can_iterate(v) || v.kind == JINJA_LOOP)
        jinja_fail(heap, "'%s' object is not iterable", jinja_type_name(v));
    struct jinja_iter *iter = jinja_alloc(heap, 1, sizeof *iter);
    iter->heap = heap;
    iter->over = v;
    iter->advance = v.kind == JINJA_STRING                          ? over_chars
                    : v.kind == JINJA_DICT                          ? over_dict
                    : v.kind == JINJA_VIEW                          ? over_view
                    : v.kind == JINJA_RANGE                         ? over_range
                    : v.kind == JINJA_LIST || v.kind == JINJA_TUPLE ? over_list
                                                                    : over_nothing;
    return iter;
}

bool jinja_next(struct jinja_iter *iter, struct jinja_value *out)
{
    jinja_steps(iter->heap, 1);
    jinja_enter(iter->heap);
    bool more = iter->advance(iter, out);
    jinja_leave(iter->heap);
    return more;
}

struct jinja_items jinja_collect(struct jinja_heap *heap, struct jinja_value v)
{
    if (v.kind == JINJA_LIST || v.kind == JINJA_TUPLE) { /* never changed: shared */
        struct jinja_items shared = {.n = v.list->n};
        shared.items = jinja_alloc(heap, v.list->n, sizeof shared.items[0]);
        shared.room = v.list->n;
        for (size_t i = 0; i < v.list->n; i++)
            shared.items[i] = v.list->items[i];
        jinja_steps(heap, v.list->n / 8 + 1);
        return shared;
    }
    struct jinja_items items = {0};
    struct jinja_iter *iter = jinja_iterate(heap, v);
    struct jinja_value item;
    while (jinja_next(iter, &item))
        jinja_push(heap, &items, item);
    return items;
}

struct jinja_value jinja_generator(struct jinja_heap *heap,
                                   bool (*advance)(struct jinja_iter *, struct jinja_value *),
                                   struct jinja_value over, void *context)
{
    struct jinja_iter *iter = jinja_alloc(heap, 1, sizeof *iter);
    *iter = (struct jinja_iter){.heap = heap, .advance = advance, .over = over, .context = context};
    return (struct jinja_value){.kind = JINJA_ITERATOR, .iter = iter};
}

static bool over_reversed(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct jinja_list *list = iter->over.list;
    if (iter->at >= list->n)
        return false;
    *out = list->items[list->n - ++iter->at];
    return true;
}

struct jinja_value jinja_reversed(struct jinja_heap *heap, struct jinja_value v)
{
    struct jinja_items items = jinja_collect(heap, v);
    return jinja_generator(heap, over_reversed, jinja_list(heap, items.items, items.n), NULL);
}

bool jinja_contains(struct jinja_heap *heap, struct jinja_value v, struct jinja_value item)
{
    if (v.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING)
            jinja_fail(heap, "'in <string>' requires string as left operand, not %s",
                       jinja_type_name(item));
        return jinja_find(heap, v.text, item.text, 0, v.text->n) != JINJA_NOWHERE;
    }
    if (v.kind == JINJA_DICT || (v.kind == JINJA_VIEW && v.view->of == JINJA_KEYS))
        return jinja_dict_get(heap, v.kind == JINJA_DICT ? v.dict : v.view->dict, item) != NULL;
    if (!jinja_can_iterate(v) || v.kind == JINJA_LOOP)
        jinja_fail(heap, "argument of type '%s' is not iterable", jinja_type_name(v));
    struct jinja_iter *iter = jinja_iterate(heap, v);
    struct jinja_value other;
    while (jinja_next(iter, &other))
        if (jinja_equal(heap, other, item))
            return true;
    return false;
}
