/* evaluate.c - what expressions are worth. In the heap's thread.
 *
 * Walks the tree; how deep it may go is the heap's limit (jinja_enter). Names are searched in the
 * scopes outwards, then among the rendering's variables, then among the functions. */
#include "jinja/evaluate.h"

#include "jinja/attributes.h"
#include "jinja/iterate.h"
#include "jinja/numbers.h"
#include "jinja/operators.h"
#include "jinja/print.h"

#include <stdio.h>
#include <string.h>

void evaluate_open(struct jinja_run *run, struct jinja_scope *scope)
{
    scope->outer = run->scope;
    run->scope = scope;
}

void evaluate_close(struct jinja_run *run)
{
    run->scope = run->scope->outer;
}

void evaluate_set(struct jinja_run *run, const struct jinja_text *name, struct jinja_value value)
{
    struct jinja_scope *scope = run->scope;
    for (size_t i = 0; i < scope->n; i++) {
        if (scope->at[i].name == name) {
            scope->at[i].value = value;
            return;
        }
    }
    if (scope->n == scope->room) {
        size_t room = scope->room == 0 ? 4 : scope->room * 2, size = sizeof scope->at[0];
        scope->at = jinja_grow(run->heap, scope->at, scope->room * size, room * size);
        scope->room = room;
    }
    scope->at[scope->n++] = (struct jinja_binding){name, value};
}

static struct jinja_value look_up(struct jinja_run *run, const struct jinja_text *name)
{
    for (const struct jinja_scope *scope = run->scope; scope != NULL; scope = scope->outer) {
        for (size_t i = 0; i < scope->n; i++)
            if (scope->at[i].name == name)
                return scope->at[i].value;
        jinja_steps(run->heap, 1);
    }
    const struct jinja_value *found = jinja_dict_get(run->heap, run->variables, jinja_string(name));
    if (found != NULL)
        return *found;
    const struct jinja_function *function = functions_find(name);
    if (function != NULL)
        return (struct jinja_value){.kind = JINJA_FUNCTION, .function = function};
    return jinja_undefined(name, NULL);
}

struct jinja_value evaluate_body(struct jinja_run *run, const struct jinja_node *body)
{
    struct jinja_builder *outer = run->out;
    struct jinja_builder out = {.heap = run->heap, .limit = jinja_output_limit(run->heap)};
    run->out = &out;
    run->render(run, body);
    run->out = outer;
    return jinja_string(jinja_finish(&out));
}

/* --- arguments and calls --- */

struct gathered {
    struct jinja_items at;
    struct jinja_dict *named; /* NULL: none */
};

static void add_named(struct jinja_run *run, struct gathered *to, struct jinja_value key,
                      struct jinja_value value)
{
    if (key.kind != JINJA_STRING)
        jinja_fail(run->heap, "keywords must be strings");
    if (to->named == NULL)
        to->named = jinja_dict_new(run->heap);
    if (jinja_dict_get(run->heap, to->named, key) != NULL)
        jinja_fail(run->heap, "got multiple values for keyword argument '%.*s'",
                   (int)(key.text->n < 100 ? key.text->n : 100), key.text->bytes);
    jinja_dict_set(run->heap, to->named, key, value);
}

static struct gathered gather(struct jinja_run *run, const struct jinja_node *arguments)
{
    struct gathered to = {0};
    for (const struct jinja_node *node = arguments; node != NULL; node = node->next) {
        struct jinja_value v = evaluate(run, node->a);
        if (node->kind == JINJA_N_KEYWORD) {
            add_named(run, &to, jinja_string(node->name), v);
        } else if (node->kind == JINJA_N_SPREAD) {
            struct jinja_iter *iter = jinja_iterate(run->heap, v);
            for (struct jinja_value item; jinja_next(iter, &item);)
                jinja_push(run->heap, &to.at, item);
        } else if (node->kind == JINJA_N_SPREAD_NAMED) {
            if (v.kind != JINJA_DICT)
                jinja_fail(run->heap, "argument after ** must be a mapping, not %s",
                           jinja_type_name(v));
            for (size_t i = 0; i < v.dict->n; i++)
                add_named(run, &to, v.dict->pairs[i].key, v.dict->pairs[i].value);
        } else {
            jinja_push(run->heap, &to.at, v);
        }
    }
    return to;
}

static struct jinja_args args_of(const struct gathered *from)
{
    struct jinja_args args = {.at = from->at.items, .n = from->at.n};
    if (from->named != NULL) {
        args.named = from->named->pairs;
        args.n_named = from->named->n;
    }
    return args;
}

/* A named argument, which is then used up; NULL: it was not given. */
static const struct jinja_value *take_named(const struct jinja_args *args, bool *used,
                                            const struct jinja_text *name)
{
    for (size_t i = 0; i < args->n_named; i++) {
        if (!used[i] && jinja_same(args->named[i].key.text, name)) {
            used[i] = true;
            return &args->named[i].value;
        }
    }
    return NULL;
}

static void bind_parameters(struct jinja_run *run, const struct jinja_node *node,
                            const struct jinja_args *args, bool *used, bool *has_caller)
{
    size_t i = 0;
    for (const struct jinja_node *p = node->a; p != NULL; p = p->next, i++) {
        const struct jinja_value *given =
            i < args->n ? &args->at[i] : take_named(args, used, p->name);
        *has_caller = *has_caller || p->name == run->special.caller;
        if (given != NULL)
            evaluate_set(run, p->name, *given);
    }
    i = 0;
    for (const struct jinja_node *p = node->a; p != NULL; p = p->next, i++) {
        bool bound = false;
        for (size_t k = 0; k < run->scope->n; k++)
            bound = bound || run->scope->at[k].name == p->name;
        if (!bound)
            evaluate_set(run, p->name,
                         p->a != NULL ? evaluate(run, p->a) : jinja_undefined(p->name, NULL));
    }
}

/* Arguments that are left when the parameters have their values. */
static void bind_rest(struct jinja_run *run, const struct jinja_macro *macro,
                      const struct jinja_args *args, bool *used, bool has_caller)
{
    const struct jinja_node *node = macro->node;
    size_t n_parameters = 0;
    for (const struct jinja_node *p = node->a; p != NULL; p = p->next)
        n_parameters++;
    const char *name = macro->name->bytes;
    int n_name = (int)(macro->name->n < 100 ? macro->name->n : 100);
    if (node->uses_caller && !has_caller) {
        const struct jinja_value *given = take_named(args, used, run->special.caller);
        evaluate_set(run, run->special.caller,
                     given != NULL && given->kind != JINJA_NONE
                         ? *given
                         : jinja_undefined(NULL, "No caller defined"));
    }
    struct jinja_dict *rest = jinja_dict_new(run->heap);
    for (size_t i = 0; i < args->n_named; i++) {
        const struct jinja_text *key = args->named[i].key.text;
        if (used[i])
            continue;
        if (!node->uses_kwargs)
            jinja_fail(run->heap, "macro '%.*s' takes no keyword argument '%.*s'", n_name, name,
                       (int)(key->n < 100 ? key->n : 100), key->bytes);
        jinja_dict_set(run->heap, rest, args->named[i].key, args->named[i].value);
    }
    if (node->uses_kwargs)
        evaluate_set(run, run->special.kwargs, jinja_dict_value(rest));
    size_t n_rest = args->n > n_parameters ? args->n - n_parameters : 0;
    if (n_rest > 0 && !node->uses_varargs)
        jinja_fail(run->heap, "macro '%.*s' takes not more than %zu argument(s)", n_name, name,
                   n_parameters);
    if (node->uses_varargs)
        evaluate_set(run, run->special.varargs,
                     jinja_tuple(run->heap, n_rest > 0 ? args->at + n_parameters : NULL, n_rest));
}

static struct jinja_value call_macro(struct jinja_run *run, const struct jinja_macro *macro,
                                     const struct jinja_args *args)
{
    struct jinja_scope *outer = run->scope, *scope = jinja_alloc(run->heap, 1, sizeof *scope);
    bool *used = jinja_alloc(run->heap, args->n_named, sizeof *used), has_caller = false;
    jinja_enter(run->heap);
    scope->outer = macro->scope;
    run->scope = scope;
    bind_parameters(run, macro->node, args, used, &has_caller);
    bind_rest(run, macro, args, used, has_caller);
    struct jinja_value text = evaluate_body(run, macro->node->c);
    run->scope = outer;
    jinja_leave(run->heap);
    return text;
}

static struct jinja_value call_value(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    switch ((int)v.kind) {
    case JINJA_FUNCTION:
        return args_call(run->heap, v.function, jinja_int(run->now), args);
    case JINJA_METHOD:
        return args_call(run->heap, v.method->function, v.method->self, args);
    case JINJA_MACRO:
        return call_macro(run, v.macro, args);
    case JINJA_JOINER:
        if (v.cycler->at++ == 0)
            return jinja_chars(run->heap, "");
        return v.cycler->items.items[0];
    case JINJA_UNDEFINED:
        jinja_fail_undefined(run->heap, v);
    default:
        jinja_fail(run->heap, "'%s' object is not callable", jinja_type_name(v));
    }
}

struct jinja_value evaluate_call(struct jinja_run *run, const struct jinja_node *call,
                                 struct jinja_value caller)
{
    struct jinja_value function = evaluate(run, call->a);
    struct gathered gathered = gather(run, call->b);
    jinja_at_line(run->heap, call->line);
    if (caller.kind != JINJA_ABSENT)
        add_named(run, &gathered, jinja_chars(run->heap, "caller"), caller);
    struct jinja_args args = args_of(&gathered);
    return call_value(run, function, &args);
}

static struct jinja_value apply(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value v)
{
    struct gathered gathered = gather(run, node->b);
    struct jinja_args args = args_of(&gathered);
    jinja_at_line(run->heap, node->line);
    return args_call(run->heap, node->function, v, &args);
}

struct jinja_value evaluate_filters(struct jinja_run *run, const struct jinja_node *filters,
                                    struct jinja_value v)
{
    if (filters == NULL)
        return v;
    jinja_enter(run->heap);
    v = apply(run, filters, evaluate_filters(run, filters->a, v));
    jinja_leave(run->heap);
    return v;
}

/* --- operators and literals --- */

static struct jinja_value build_sequence(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_items items = {0};
    for (const struct jinja_node *item = node->a; item != NULL; item = item->next)
        jinja_push(run->heap, &items, evaluate(run, item));
    return (node->kind == JINJA_N_LIST ? jinja_list : jinja_tuple)(run->heap, items.items, items.n);
}

static struct jinja_value build_dict(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_dict *dict = jinja_dict_new(run->heap);
    for (const struct jinja_node *key = node->a; key != NULL; key = key->next->next) {
        struct jinja_value k = evaluate(run, key);
        jinja_dict_set(run->heap, dict, k, evaluate(run, key->next));
    }
    return jinja_dict_value(dict);
}

static struct jinja_value build_slice(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_slice *slice = jinja_alloc(run->heap, 1, sizeof *slice);
    slice->start = node->a == NULL ? jinja_none() : evaluate(run, node->a);
    slice->stop = node->b == NULL ? jinja_none() : evaluate(run, node->b);
    slice->step = node->c == NULL ? jinja_none() : evaluate(run, node->c);
    return (struct jinja_value){.kind = JINJA_SLICE, .slice = slice};
}

static struct jinja_value concatenate(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_builder b = {.heap = run->heap};
    for (const struct jinja_node *part = node->a; part != NULL; part = part->next) {
        struct jinja_value v = evaluate(run, part);
        jinja_print_str(&b, v);
    }
    return jinja_string(jinja_finish(&b));
}

static struct jinja_value compare(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value left = evaluate(run, node->a);
    for (const struct jinja_node *operand = node->b; operand != NULL; operand = operand->next) {
        struct jinja_value right = evaluate(run, operand->a);
        jinja_at_line(run->heap, node->line);
        if (!operators_compare(run->heap, operand->op, left, right))
            return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static struct jinja_value choose(struct jinja_run *run, const struct jinja_node *node)
{
    if (jinja_truth(evaluate(run, node->a)))
        return evaluate(run, node->b);
    if (node->c != NULL)
        return evaluate(run, node->c);
    return jinja_undefined(NULL, "the inline if-expression evaluated to false and no else section "
                                 "was defined");
}

static struct jinja_value calculate(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value a = evaluate(run, node->a), b = {.kind = JINJA_ABSENT};
    if (node->kind == JINJA_N_BINARY)
        b = evaluate(run, node->b);
    jinja_at_line(run->heap, node->line);
    if (node->kind == JINJA_N_BINARY)
        return operators_binary(run->heap, node->op, a, b);
    if (node->kind == JINJA_N_NEGATE)
        return numbers_negate(run->heap, a);
    if (a.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(run->heap, a);
    if (!jinja_is_number(a))
        jinja_fail(run->heap, "bad operand type for unary +: '%s'", jinja_type_name(a));
    return a.kind == JINJA_BOOL ? jinja_int(a.truth) : a;
}

static struct jinja_value subscript(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value of = evaluate(run, node->a);
    struct jinja_value key = {.kind = JINJA_ABSENT};
    if (node->kind == JINJA_N_ITEM)
        key = evaluate(run, node->b);
    jinja_at_line(run->heap, node->line);
    return node->kind == JINJA_N_ITEM ? jinja_item(run->heap, of, key)
                                      : jinja_attribute(run->heap, of, node->name);
}

static struct jinja_value evaluate_kind(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v;
    switch ((int)node->kind) {
    case JINJA_N_CONSTANT:
        return node->value;
    case JINJA_N_NAME:
        return look_up(run, node->name);
    case JINJA_N_LIST:
    case JINJA_N_TUPLE:
        return build_sequence(run, node);
    case JINJA_N_DICT:
        return build_dict(run, node);
    case JINJA_N_SLICE:
        return build_slice(run, node);
    case JINJA_N_AND:
        v = evaluate(run, node->a);
        return jinja_truth(v) ? evaluate(run, node->b) : v;
    case JINJA_N_OR:
        v = evaluate(run, node->a);
        return jinja_truth(v) ? v : evaluate(run, node->b);
    case JINJA_N_NOT:
        return jinja_bool(!jinja_truth(evaluate(run, node->a)));
    case JINJA_N_CONCAT:
        return concatenate(run, node);
    case JINJA_N_COMPARE:
        return compare(run, node);
    case JINJA_N_CHOICE:
        return choose(run, node);
    case JINJA_N_ATTRIBUTE:
    case JINJA_N_ITEM:
        return subscript(run, node);
    case JINJA_N_CALL:
        return evaluate_call(run, node, (struct jinja_value){.kind = JINJA_ABSENT});
    case JINJA_N_FILTER:
    case JINJA_N_TEST:
        return apply(run, node, evaluate(run, node->a));
    default:
        return calculate(run, node);
    }
}

struct jinja_value evaluate(struct jinja_run *run, const struct jinja_node *node)
{
    jinja_enter(run->heap);
    struct jinja_value v = evaluate_kind(run, node);
    jinja_leave(run->heap);
    return v;
}
