/* loop.h - the `loop` variable: where a for loop stands; and what macros say of themselves. In the
 * heap's thread. */
#pragma once

#include "jinja/args.h"
#include "jinja/iterate.h"

struct jinja_loop {
    struct jinja_iter *iter;
    struct jinja_value over; /* what is walked through; its length where it has one */
    bool has_length, has_next, has_changed;
    size_t index, length, depth; /* from 0 */
    struct jinja_value before, now, next, changed;
};

/* Moves on; false at the end. */
bool jinja_loop_next(struct jinja_loop *loop);
bool jinja_loop_attribute(struct jinja_heap *heap, struct jinja_loop *loop,
                          const struct jinja_text *name, struct jinja_value *out);
extern const struct jinja_function jinja_loop_methods[];
extern const size_t jinja_loop_n_methods;

struct jinja_macro;
/* What a macro says of itself: its name, its arguments' names, what else it takes. */
bool jinja_loop_macro_attribute(struct jinja_heap *heap, const struct jinja_macro *macro,
                                const struct jinja_text *name, struct jinja_value *out);
