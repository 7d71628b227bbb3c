/* format.h - Python's two ways to fill values into a text: "%s" % v and "{}".format(v). */
#pragma once

#include "jinja/args.h"
#include "jinja/text.h"

/* text % v; v: a tuple, a dict, or one value. */
const struct jinja_text *format_percent(struct jinja_heap *heap, const struct jinja_text *text,
                                        struct jinja_value v);
struct jinja_value format_method(struct jinja_heap *heap, struct jinja_value self,
                                 const struct jinja_value *a, const struct jinja_args *args);
struct jinja_value format_map_method(struct jinja_heap *heap, struct jinja_value self,
                                     const struct jinja_value *a, const struct jinja_args *args);
