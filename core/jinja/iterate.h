/* iterate.h - walking through values, and generators, which can be walked once. In the heap's
 * thread. */
#pragma once

#include "jinja/value.h"

struct jinja_iter {
    struct jinja_heap *heap;
    /* The next value; false at the end. */
    bool (*advance)(struct jinja_iter *iter, struct jinja_value *out);
    struct jinja_value over; /* what is walked through */
    size_t at;
    void *context; /* advance's own */
};

/* Fails for what cannot be walked through. An iterator is its own. */
struct jinja_iter *jinja_iterate(struct jinja_heap *heap, struct jinja_value v);
bool jinja_can_iterate(struct jinja_value v);
bool jinja_next(struct jinja_iter *iter, struct jinja_value *out);

/* All of them, as list() does. */
struct jinja_items jinja_collect(struct jinja_heap *heap, struct jinja_value v);

/* A generator. */
struct jinja_value jinja_generator(struct jinja_heap *heap,
                                   bool (*advance)(struct jinja_iter *, struct jinja_value *),
                                   struct jinja_value over, void *context);
/* From the last to the first; v has a length and items. */
struct jinja_value jinja_reversed(struct jinja_heap *heap, struct jinja_value v);

struct jinja_value jinja_range_item(const struct jinja_range *range, size_t i);
bool jinja_contains(struct jinja_heap *heap, struct jinja_value v, struct jinja_value item);
