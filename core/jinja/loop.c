/* loop.c - what `loop` answers. Looks one item ahead only when it is asked for what comes. */
#include "jinja/loop.h"

#include "jinja/evaluate.h"
#include "jinja/text.h"

bool jinja_loop_next(struct jinja_loop *loop)
{
    struct jinja_value v;
    if (loop->has_next) {
        v = loop->next;
        loop->has_next = false;
    } else if (!jinja_next(loop->iter, &v)) {
        return false;
    }
    loop->index++; /* begins at SIZE_MAX */
    loop->before = loop->now;
    loop->now = v;
    return true;
}

static bool peek(struct jinja_loop *loop)
{
    if (!loop->has_next)
        loop->has_next = jinja_next(loop->iter, &loop->next);
    return loop->has_next;
}

static size_t length(struct jinja_heap *heap, struct jinja_loop *loop)
{
    if (loop->has_length)
        return loop->length;
    if (!jinja_length(loop->over, &loop->length)) { /* the rest is read to be counted */
        struct jinja_value rest = {.kind = JINJA_ITERATOR, .iter = loop->iter};
        struct jinja_items items = jinja_collect(heap, rest);
        loop->iter = jinja_iterate(heap, jinja_list(heap, items.items, items.n));
        loop->length = items.n + loop->index + 1 + loop->has_next;
    }
    loop->has_length = true;
    return loop->length;
}

bool jinja_loop_attribute(struct jinja_heap *heap, struct jinja_loop *loop,
                          const struct jinja_text *name, struct jinja_value *out)
{
    size_t number;
    if (jinja_is(name, "index"))
        number = loop->index + 1;
    else if (jinja_is(name, "index0"))
        number = loop->index;
    else if (jinja_is(name, "length"))
        number = length(heap, loop);
    else if (jinja_is(name, "revindex"))
        number = length(heap, loop) - loop->index;
    else if (jinja_is(name, "revindex0"))
        number = length(heap, loop) - loop->index - 1;
    else if (jinja_is(name, "depth") || jinja_is(name, "depth0"))
        number = jinja_is(name, "depth");
    else if (jinja_is(name, "first") || jinja_is(name, "last")) {
        *out = jinja_bool(jinja_is(name, "first") ? loop->index == 0 : !peek(loop));
        return true;
    } else if (jinja_is(name, "previtem")) {
        *out = loop->index == 0 ? jinja_undefined(NULL, "there is no previous item") : loop->before;
        return true;
    } else if (jinja_is(name, "nextitem")) {
        *out = peek(loop) ? loop->next : jinja_undefined(NULL, "there is no next item");
        return true;
    } else {
        return false;
    }
    *out = jinja_int((int64_t)number);
    return true;
}

static struct jinja_value cycle(struct jinja_heap *heap, struct jinja_value self,
                                const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a;
    if (args->n == 0 || args->n_named > 0)
        jinja_fail(heap, "no items for cycling given");
    return args->at[self.loop->index % args->n];
}

static struct jinja_value changed(struct jinja_heap *heap, struct jinja_value self,
                                  const struct jinja_value *a, const struct jinja_args *args)
{
    (void)a;
    struct jinja_value *items = jinja_alloc(heap, args->n, sizeof *items);
    for (size_t i = 0; i < args->n; i++)
        items[i] = args->at[i];
    struct jinja_value now = jinja_tuple(heap, items, args->n);
    struct jinja_loop *loop = self.loop;
    if (loop->has_changed && jinja_equal(heap, loop->changed, now))
        return jinja_bool(false);
    loop->has_changed = true;
    loop->changed = now;
    return jinja_bool(true);
}

const struct jinja_function jinja_loop_methods[] = {
    {"cycle", cycle, NULL, 0, "LoopContext"},
    {"changed", changed, NULL, 0, "LoopContext"},
};
const size_t jinja_loop_n_methods = sizeof jinja_loop_methods / sizeof jinja_loop_methods[0];

bool jinja_loop_macro_attribute(struct jinja_heap *heap, const struct jinja_macro *macro,
                                const struct jinja_text *name, struct jinja_value *out)
{
    const struct jinja_node *node = macro->node;
    struct jinja_items names = {0};
    for (const struct jinja_node *p = node->a; p != NULL; p = p->next)
        jinja_push(heap, &names, jinja_string(p->name));
    if (jinja_is(name, "name"))
        *out = jinja_string(macro->name);
    else if (jinja_is(name, "arguments"))
        *out = jinja_tuple(heap, names.items, names.n);
    else if (jinja_is(name, "catch_kwargs"))
        *out = jinja_bool(node->uses_kwargs);
    else if (jinja_is(name, "catch_varargs"))
        *out = jinja_bool(node->uses_varargs);
    else if (jinja_is(name, "caller"))
        *out = jinja_bool(node->uses_caller);
    else
        return false;
    return true;
}
