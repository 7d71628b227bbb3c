/* filters.h - the filters and tests that templates may use, by name. In the heap's thread. */
#pragma once

#include "jinja/args.h"
#include "jinja/text.h"

/* NULL: there is none of that name. */
const struct jinja_function *filters_find(const struct jinja_text *name);
const struct jinja_function *filters_find_test(const struct jinja_text *name);

extern const struct jinja_function filters_of_texts[], filters_of_lists[], filters_tests[];
extern const size_t filters_n_of_texts, filters_n_of_lists, filters_n_tests;

/* value.attribute where that is "a.b.0" or an index; ABSENT or NONE: the value itself. */
struct jinja_value filters_dig(struct jinja_heap *heap, struct jinja_value v,
                               struct jinja_value attribute, struct jinja_value fallback);
