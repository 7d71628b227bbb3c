/* statements.c - renders statements. In the heap's thread.
 *
 * A loop's names go with each pass, as jinja2 has it; a macro reads the scope it was made in as it
 * is when it is called. */
#include "jinja/statements.h"

#include "jinja/iterate.h"
#include "jinja/loop.h"
#include "jinja/print.h"

static struct jinja_scope *new_scope(struct jinja_run *run)
{
    return jinja_alloc(run->heap, 1, sizeof(struct jinja_scope));
}

/* Gives a target its value: a name, or names that a sequence is spread over. */
static void assign(struct jinja_run *run, const struct jinja_node *target, struct jinja_value v)
{
    if (target->kind == JINJA_N_NAME) {
        evaluate_set(run, target->name, v);
        return;
    }
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(run->heap, v);
    struct jinja_items items = jinja_collect(run->heap, v);
    size_t i = 0;
    jinja_enter(run->heap);
    for (const struct jinja_node *part = target->a; part != NULL; part = part->next, i++) {
        if (i >= items.n)
            jinja_fail(run->heap, "not enough values to unpack (got %zu)", items.n);
        assign(run, part, items.items[i]);
    }
    if (i < items.n)
        jinja_fail(run->heap, "too many values to unpack (expected %zu)", i);
    jinja_leave(run->heap);
}

static void set_member(struct jinja_run *run, const struct jinja_node *target, struct jinja_value v)
{
    struct jinja_node name = {.kind = JINJA_N_NAME, .name = target->name, .line = target->line};
    struct jinja_value space = evaluate(run, &name);
    jinja_at_line(run->heap, target->line);
    if (space.kind != JINJA_NAMESPACE)
        jinja_fail(run->heap, "cannot assign attribute on non-namespace object");
    jinja_dict_set(run->heap, space.names, jinja_string(target->name2), v);
}

static void set(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v;
    if (node->kind == JINJA_N_SET) {
        v = evaluate(run, node->b);
    } else {
        evaluate_open(run, new_scope(run));
        v = evaluate_body(run, node->c);
        v = evaluate_filters(run, node->b, v);
        evaluate_close(run);
    }
    jinja_at_line(run->heap, node->line);
    if (node->a->kind == JINJA_N_SET_MEMBER)
        set_member(run, node->a, v);
    else
        assign(run, node->a, v);
}

struct condition { /* of `for x in y if ...` */
    struct jinja_run *run;
    const struct jinja_node *node;
    struct jinja_scope *outer;
};

static bool filtered(struct jinja_iter *iter, struct jinja_value *out)
{
    const struct condition *how = iter->context;
    struct jinja_run *run = how->run;
    struct jinja_iter *over = jinja_iterate(iter->heap, iter->over);
    struct jinja_scope *now = run->scope, *scope = new_scope(run);
    while (jinja_next(over, out)) {
        scope->n = 0;
        scope->outer = how->outer;
        run->scope = scope;
        assign(run, how->node->a, *out);
        bool wanted = jinja_truth(evaluate(run, how->node->e));
        run->scope = now;
        if (wanted)
            return true;
    }
    return false;
}

static struct jinja_value loop_over(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value over = evaluate(run, node->b);
    jinja_at_line(run->heap, node->line);
    struct jinja_value iter = {.kind = JINJA_ITERATOR, .iter = jinja_iterate(run->heap, over)};
    if (node->e == NULL)
        return over;
    struct condition *how = jinja_alloc(run->heap, 1, sizeof *how);
    *how = (struct condition){run, node, run->scope};
    return jinja_generator(run->heap, filtered, iter, how);
}

static void render_for(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_loop *loop = jinja_alloc(run->heap, 1, sizeof *loop);
    struct jinja_scope *scope = new_scope(run);
    loop->over = loop_over(run, node);
    loop->iter = jinja_iterate(run->heap, loop->over);
    loop->index = SIZE_MAX;
    bool any = false;
    evaluate_open(run, scope);
    while (jinja_loop_next(loop)) {
        scope->n = 0;
        if (run->special.loop != NULL)
            evaluate_set(run, run->special.loop,
                         (struct jinja_value){.kind = JINJA_LOOP, .loop = loop});
        jinja_at_line(run->heap, node->line);
        assign(run, node->a, loop->now);
        statements_render(run, node->c);
        bool over = run->jump == JINJA_BREAK;
        any = any || run->jump == JINJA_GO_ON; /* a pass that is left early does not count */
        run->jump = JINJA_GO_ON;
        if (over)
            break;
    }
    scope->n = 0;
    if (!any)
        statements_render(run, node->d);
    evaluate_close(run);
}

static void render_if(struct jinja_run *run, const struct jinja_node *node)
{
    for (const struct jinja_node *branch = node->a; branch != NULL; branch = branch->next) {
        if (branch->kind == JINJA_N_BLOCK || jinja_truth(evaluate(run, branch->a))) {
            statements_render(run, branch->b);
            return;
        }
    }
}

static void render_with(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope, *scope = new_scope(run);
    scope->outer = outer;
    for (const struct jinja_node *target = node->a; target != NULL; target = target->next->next) {
        run->scope = outer;
        struct jinja_value v = evaluate(run, target->next);
        run->scope = scope;
        assign(run, target, v);
    }
    run->scope = scope;
    statements_render(run, node->c);
    run->scope = outer;
}

static struct jinja_value make_macro(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_macro *macro = jinja_alloc(run->heap, 1, sizeof *macro);
    *macro = (struct jinja_macro){node->name, node, run->scope};
    if (macro->name == NULL)
        macro->name = jinja_text_new(run->heap, "caller", 6, false);
    return (struct jinja_value){.kind = JINJA_MACRO, .macro = macro};
}

static void render_scope(struct jinja_run *run, const struct jinja_node *node)
{
    evaluate_open(run, new_scope(run));
    if (node->kind == JINJA_N_FILTER_BLOCK) {
        struct jinja_value text = evaluate_body(run, node->c);
        jinja_print_str(run->out, evaluate_filters(run, node->b, text));
    } else {
        statements_render(run, node->c);
    }
    evaluate_close(run);
}

static void render_statement(struct jinja_run *run, const struct jinja_node *node)
{
    switch ((int)node->kind) {
    case JINJA_N_DATA:
        jinja_add_text(run->out, node->value.text);
        break;
    case JINJA_N_OUTPUT: {
        struct jinja_value v = evaluate(run, node->a);
        jinja_at_line(run->heap, node->line);
        jinja_print_str(run->out, v);
        break;
    }
    case JINJA_N_IF:
        render_if(run, node);
        break;
    case JINJA_N_BLOCK:
        statements_render(run, node->b);
        break;
    case JINJA_N_FOR:
        render_for(run, node);
        break;
    case JINJA_N_WITH:
        render_with(run, node);
        break;
    case JINJA_N_MACRO:
        evaluate_set(run, node->name, make_macro(run, node));
        break;
    case JINJA_N_CALL_BLOCK:
        jinja_print_str(run->out, evaluate_call(run, node->b, make_macro(run, node)));
        break;
    case JINJA_N_FILTER_BLOCK:
    case JINJA_N_SCOPE:
        render_scope(run, node);
        break;
    case JINJA_N_BREAK:
    case JINJA_N_CONTINUE:
        run->jump = node->kind == JINJA_N_BREAK ? JINJA_BREAK : JINJA_CONTINUE;
        break;
    default:
        set(run, node);
    }
}

void statements_render(struct jinja_run *run, const struct jinja_node *body)
{
    jinja_enter(run->heap);
    for (const struct jinja_node *node = body; node != NULL && run->jump == JINJA_GO_ON;
         node = node->next) {
        jinja_steps(run->heap, 1);
        render_statement(run, node);
    }
    jinja_leave(run->heap);
}
