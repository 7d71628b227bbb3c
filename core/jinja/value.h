/* value.h - the values of a rendering, and the heap they live in.
 *
 * Values are Python's, as far as templates can tell, and never change once made (namespaces and
 * iterators aside), so that they are shared freely. Everything is carved from the heap and goes
 * with it; a failure leaves by jinja_fail, which jumps to where the heap was entered. One thread at
 * a time.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jinja_limits {
    size_t memory_bytes, output_bytes;
    uint64_t max_steps;
    unsigned max_depth; /* of expressions and calls inside each other */
    uint64_t time_ns;   /* 0: none */
};

struct jinja_heap;
struct jinja_iter;

/* Memory: zeroed and aligned for any value. */
void *jinja_alloc(struct jinja_heap *heap, size_t n, size_t size);
/* The same block with more room; in place where it was the last one. */
void *jinja_grow(struct jinja_heap *heap, void *block, size_t old_bytes, size_t new_bytes);
/* One unit of work: ends the rendering beyond the limits of steps or time. */
void jinja_steps(struct jinja_heap *heap, size_t n);
void jinja_enter(struct jinja_heap *heap); /* one level deeper; jinja_leave is its other end */
void jinja_leave(struct jinja_heap *heap);
void jinja_at_line(struct jinja_heap *heap, int line); /* for errors */
size_t jinja_output_limit(const struct jinja_heap *heap);
_Noreturn void jinja_fail(struct jinja_heap *heap, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void jinja_fail_as(struct jinja_heap *heap, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct jinja_span { /* bytes [begin, end) that came from the request */
    size_t begin, end;
};

struct jinja_text { /* UTF-8 */
    const char *bytes;
    size_t n, n_chars;
    const struct jinja_span *spans; /* ascending, apart */
    size_t n_spans;
    bool markup; /* marked safe: what is added to it is escaped */
};

enum jinja_kind {
    JINJA_ABSENT, /* an argument that was not given */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIGINT, /* beyond 64 bits: its digits */
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, /* dict.keys(), .values(), .items() */
    JINJA_RANGE,
    JINJA_ITERATOR,
    JINJA_NAMESPACE,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_MACRO,
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER,
    JINJA_SLICE,
};

struct jinja_value {
    enum jinja_kind kind;
    bool request; /* a number that came from the request */
    union {
        bool truth;
        int64_t integer;
        double number;
        const struct jinja_text *text; /* of UNDEFINED: the name, or NULL; of BIGINT: the digits */
        const struct jinja_list *list;
        const struct jinja_dict *dict;
        const struct jinja_view *view;
        const struct jinja_range *range;
        const struct jinja_method *method;
        const struct jinja_function *function;
        const struct jinja_macro *macro;
        struct jinja_dict *names; /* a namespace's */
        struct jinja_iter *iter;
        struct jinja_loop *loop;
        struct jinja_cycler *cycler;
        const struct jinja_slice *slice;
    };
    union {
        const struct jinja_text *spelling; /* of a FLOAT that was read; else NULL */
        const char *note; /* of UNDEFINED: the object's type, or all of the message */
    };
};

struct jinja_list { /* and tuple */
    const struct jinja_value *items;
    size_t n;
    bool group; /* groupby's pair: .grouper and .list */
};

struct jinja_pair {
    struct jinja_value key, value;
};

struct jinja_dict { /* in the order of insertion */
    struct jinja_pair *pairs;
    size_t n, room;
    uint32_t *slots; /* open addressing, index + 1; NULL while small */
    size_t n_slots;
};

enum jinja_view_of { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS };
struct jinja_view {
    const struct jinja_dict *dict;
    enum jinja_view_of of;
};

struct jinja_range {
    int64_t start, step;
    size_t n;
    int64_t stop; /* as it was given */
};

struct jinja_slice {
    struct jinja_value start, stop, step;
};

struct jinja_cycler {
    struct jinja_list items;
    size_t at;
};

/* Making values. */
struct jinja_value jinja_none(void);
struct jinja_value jinja_bool(bool truth);
struct jinja_value jinja_int(int64_t value);
struct jinja_value jinja_float(double value);
struct jinja_value jinja_undefined(const struct jinja_text *name, const char *note);
struct jinja_value jinja_string(const struct jinja_text *text);
struct jinja_value jinja_chars(struct jinja_heap *heap, const char *literal); /* the template's */
struct jinja_value jinja_list(struct jinja_heap *heap, const struct jinja_value *items, size_t n);
struct jinja_value jinja_tuple(struct jinja_heap *heap, const struct jinja_value *items, size_t n);
struct jinja_value jinja_pair_of(struct jinja_heap *heap, struct jinja_value a,
                                 struct jinja_value b);
struct jinja_value jinja_dict_value(const struct jinja_dict *dict);

/* A list that grows. */
struct jinja_items {
    struct jinja_value *items;
    size_t n, room;
};
void jinja_push(struct jinja_heap *heap, struct jinja_items *to, struct jinja_value value);

/* Dicts. A key that cannot be one (a list) fails. */
struct jinja_dict *jinja_dict_new(struct jinja_heap *heap);
void jinja_dict_set(struct jinja_heap *heap, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value);
const struct jinja_value *jinja_dict_get(struct jinja_heap *heap, const struct jinja_dict *dict,
                                         struct jinja_value key);
const struct jinja_value *jinja_dict_text(struct jinja_heap *heap, const struct jinja_dict *dict,
                                          const char *bytes, size_t n);

/* Asking values. */
bool jinja_truth(struct jinja_value v);
bool jinja_is_number(struct jinja_value v);              /* bool, int, float */
bool jinja_as_int(struct jinja_value v, int64_t *out);   /* bool or int */
bool jinja_as_double(struct jinja_value v, double *out); /* bool, int or float */
int64_t jinja_need_int(struct jinja_heap *heap, struct jinja_value v);
const char *jinja_type_name(struct jinja_value v); /* Python's: "str", "dict" */
bool jinja_equal(struct jinja_heap *heap, struct jinja_value a, struct jinja_value b);
/* -1, 0, 1; fails for what has no order. op: for the message */
int jinja_order(struct jinja_heap *heap, struct jinja_value a, struct jinja_value b,
                const char *op);
bool jinja_length(struct jinja_value v, size_t *out); /* false: it has none */
/* UNDEFINED is used where a value is needed. */
_Noreturn void jinja_fail_undefined(struct jinja_heap *heap, struct jinja_value v);
