/* attributes.h - what stands after a dot or in brackets: attributes, methods, items, slices. */
#pragma once

#include "jinja/args.h"
#include "jinja/text.h"

/* v.name: the attribute first, then the item. UNDEFINED where there is neither. */
struct jinja_value jinja_attribute(struct jinja_heap *heap, struct jinja_value v,
                                   const struct jinja_text *name);
/* v[key]: the item first, then, for a string, the attribute. */
struct jinja_value jinja_item(struct jinja_heap *heap, struct jinja_value v,
                              struct jinja_value key);

/* A method that Python has and this does not, by any type: found when a template is parsed. */
bool jinja_lacks_method(const struct jinja_text *name);
