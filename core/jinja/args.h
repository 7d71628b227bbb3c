/* args.h - arguments of calls, and what can be called that is built in. In the heap's thread. */
#pragma once

#include "jinja/value.h"

struct jinja_args {
    const struct jinja_value *at; /* by position */
    size_t n;
    const struct jinja_pair *named; /* by name: keys are strings */
    size_t n_named;
};

enum { JINJA_PARAMS_MAX = 8 };

/* self: the value left of `|` or `is`, or the method's object. a: one a parameter, JINJA_ABSENT
 * where it was not given. args: all of them, for those without parameters (params NULL). */
typedef struct jinja_value (*jinja_builtin)(struct jinja_heap *heap, struct jinja_value self,
                                            const struct jinja_value *a,
                                            const struct jinja_args *args);

/* A built-in function's head. */
#define JINJA_METHOD(name)                                                                         \
    struct jinja_value name(struct jinja_heap *heap, struct jinja_value self,                      \
                            const struct jinja_value *a, const struct jinja_args *args)

struct jinja_function {
    const char *name;
    jinja_builtin run;
    const char *params; /* names with a blank between; NULL: any */
    unsigned required;
    const char *type; /* of a method: the type it belongs to */
};

struct jinja_method {
    const struct jinja_function *function;
    struct jinja_value self;
};

struct jinja_value args_call(struct jinja_heap *heap, const struct jinja_function *function,
                             struct jinja_value self, const struct jinja_args *args);
const struct jinja_function *args_find(const struct jinja_function *table, size_t n,
                                       const char *name, size_t n_name);

const struct jinja_text *args_text(struct jinja_heap *heap, struct jinja_value v); /* must be str */
int64_t args_int(struct jinja_heap *heap, struct jinja_value v, int64_t fallback);
bool args_bool(struct jinja_value v, bool fallback);
