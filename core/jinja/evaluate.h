/* evaluate.h - a rendering, and what an expression is worth in it. In the heap's thread. */
#pragma once

#include "jinja/args.h"
#include "jinja/syntax/parser.h"
#include "jinja/text.h"

struct jinja_scope { /* names that are set in a block */
    struct jinja_scope *outer;
    struct jinja_binding {
        const struct jinja_text *name; /* the template's own text for it */
        struct jinja_value value;
    } * at;
    size_t n, room;
};

struct jinja_run {
    struct jinja_heap *heap;
    const struct jinja_names *names;
    const struct jinja_dict *variables;
    struct jinja_scope *scope;
    struct jinja_builder *out;                              /* where output goes */
    int64_t now;                                            /* seconds since the epoch */
    enum { JINJA_GO_ON, JINJA_BREAK, JINJA_CONTINUE } jump; /* out of the loop's body */
    struct { /* the template's own texts for these names; NULL: it does not use them */
        const struct jinja_text *loop, *caller, *varargs, *kwargs;
    } special;
    /* Renders a body into out (statements.c). */
    void (*render)(struct jinja_run *run, const struct jinja_node *body);
};

struct jinja_macro {
    const struct jinja_text *name;
    const struct jinja_node *node; /* a MACRO or a CALL_BLOCK */
    struct jinja_scope *scope;     /* it was made in */
};

struct jinja_value evaluate(struct jinja_run *run, const struct jinja_node *node);
/* An expression of FILTER nodes that begins with nothing, on a value. */
struct jinja_value evaluate_filters(struct jinja_run *run, const struct jinja_node *filters,
                                    struct jinja_value v);
/* A CALL node with a caller. */
struct jinja_value evaluate_call(struct jinja_run *run, const struct jinja_node *call,
                                 struct jinja_value caller);
/* A body's output as a text. */
struct jinja_value evaluate_body(struct jinja_run *run, const struct jinja_node *body);

void evaluate_set(struct jinja_run *run, const struct jinja_text *name, struct jinja_value value);
void evaluate_open(struct jinja_run *run, struct jinja_scope *scope); /* zeroed, the caller's */
void evaluate_close(struct jinja_run *run);

/* Functions that every template has; NULL: there is none of that name. */
const struct jinja_function *functions_find(const struct jinja_text *name);
