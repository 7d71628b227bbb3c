/* print.h - values as text: Python's str() and repr(), and JSON. In the heap's thread. */
#pragma once

#include "jinja/text.h"

void jinja_print_str(struct jinja_builder *b, struct jinja_value v);
void jinja_print_repr(struct jinja_builder *b, struct jinja_value v);
/* str(): a string is itself, but no longer marked safe. */
const struct jinja_text *jinja_print_text(struct jinja_heap *heap, struct jinja_value v);
/* str(), but a string that is marked safe stays so. */
const struct jinja_text *jinja_print_soft(struct jinja_heap *heap, struct jinja_value v);

struct jinja_print_json { /* json.dumps' arguments, as transformers' tojson passes them */
    bool ascii;
    const struct jinja_text *indent; /* NULL: one line */
    const struct jinja_text *comma, *colon;
    bool sort_keys;
};
void jinja_print_json(struct jinja_builder *b, struct jinja_value v,
                      const struct jinja_print_json *how);
