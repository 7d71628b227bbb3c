/* expressions.c - reads expressions, with Jinja's precedence:
 * if-else, or, and, not, comparisons, + -, ~, * / // %, **, signs, then what follows a value.
 * In the heap of the template that is read. */
#include "jinja/syntax/syntax.h"

#include "jinja/attributes.h"
#include "jinja/library/filters.h"
#include "jinja/text.h"

#include <assert.h>
#include <string.h>

static void append(struct jinja_node ***tail, struct jinja_node *node)
{
    assert(node != NULL);
    **tail = node;
    *tail = &node->next;
}

static struct jinja_node *two(struct jinja_parser *p, enum jinja_node_kind kind, int line,
                              struct jinja_node *a, struct jinja_node *b)
{
    struct jinja_node *node = syntax_node(p, kind, line);
    node->a = a;
    node->b = b;
    return syntax_done(p, node);
}

static int line_of(const struct jinja_parser *p)
{
    return syntax_token(p)->line;
}

static struct jinja_node *constant(struct jinja_parser *p, struct jinja_value value)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_CONSTANT, line_of(p));
    node->value = value;
    return node;
}

static struct jinja_node *read_list(struct jinja_parser *p)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_LIST, line_of(p)), **tail = &node->a;
    syntax_expect(p, "[");
    while (!syntax_is(p, "]")) {
        if (node->a != NULL)
            syntax_expect(p, ",");
        if (!syntax_is(p, "]"))
            append(&tail, syntax_expression(p, true));
    }
    syntax_expect(p, "]");
    return syntax_done(p, node);
}

static struct jinja_node *read_dict(struct jinja_parser *p)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_DICT, line_of(p)), **tail = &node->a;
    syntax_expect(p, "{");
    while (!syntax_is(p, "}")) {
        if (node->a != NULL)
            syntax_expect(p, ",");
        if (syntax_is(p, "}"))
            break;
        append(&tail, syntax_expression(p, true));
        syntax_expect(p, ":");
        append(&tail, syntax_expression(p, true));
    }
    syntax_expect(p, "}");
    return syntax_done(p, node);
}

static struct jinja_node *read_name(struct jinja_parser *p)
{
    int line = line_of(p);
    const struct jinja_text *name = syntax_name(p);
    struct jinja_value value = {.kind = JINJA_ABSENT};
    if (jinja_is(name, "true") || jinja_is(name, "True"))
        value = jinja_bool(true);
    else if (jinja_is(name, "false") || jinja_is(name, "False"))
        value = jinja_bool(false);
    else if (jinja_is(name, "none") || jinja_is(name, "None"))
        value = jinja_none();
    if (value.kind != JINJA_ABSENT)
        return constant(p, value);
    struct jinja_node *node = syntax_node(p, JINJA_N_NAME, line);
    node->name = name;
    if (jinja_is(name, "lipsum"))
        syntax_lacks(p, line, "the function 'lipsum' is not supported");
    if (p->macro != NULL) {
        p->macro->uses_caller = p->macro->uses_caller || jinja_is(name, "caller");
        p->macro->uses_varargs = p->macro->uses_varargs || jinja_is(name, "varargs");
        p->macro->uses_kwargs = p->macro->uses_kwargs || jinja_is(name, "kwargs");
    }
    return node;
}

static struct jinja_node *read_strings(struct jinja_parser *p)
{
    const struct jinja_text *text = syntax_token(p)->text;
    struct jinja_node *node = constant(p, jinja_string(text));
    while (syntax_token(p)[1].kind == JINJA_T_STRING) {
        p->at++;
        text = jinja_join(p->heap, text, syntax_token(p)->text);
    }
    p->at++;
    node->value = jinja_string(text);
    return node;
}

struct jinja_node *syntax_primary(struct jinja_parser *p)
{
    const struct jinja_token *token = syntax_token(p);
    struct jinja_node *node;
    char found[64];
    syntax_deeper(p);
    if (token->kind == JINJA_T_NAME) {
        node = read_name(p);
    } else if (token->kind == JINJA_T_STRING) {
        node = read_strings(p);
    } else if (token->kind == JINJA_T_NUMBER) {
        node = constant(p, token->number);
        p->at++;
    } else if (syntax_skip(p, "(")) {
        node = syntax_tuple(p, true, true, NULL);
        syntax_expect(p, ")");
    } else if (syntax_is(p, "[")) {
        node = read_list(p);
    } else if (syntax_is(p, "{")) {
        node = read_dict(p);
    } else {
        syntax_fault(p, "expected an expression, found %s", syntax_describe(token, found));
    }
    syntax_back(p);
    return node;
}

static struct jinja_node *read_subscribed(struct jinja_parser *p)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_SLICE, line_of(p));
    if (!syntax_is(p, ":")) {
        struct jinja_node *first = syntax_expression(p, true);
        if (!syntax_is(p, ":"))
            return first;
        node->a = first;
    }
    syntax_expect(p, ":");
    if (!syntax_is(p, ":") && !syntax_is(p, "]") && !syntax_is(p, ","))
        node->b = syntax_expression(p, true);
    if (syntax_skip(p, ":") && !syntax_is(p, "]") && !syntax_is(p, ","))
        node->c = syntax_expression(p, true);
    return syntax_done(p, node);
}

static struct jinja_node *read_subscript(struct jinja_parser *p, struct jinja_node *of)
{
    int line = line_of(p);
    if (syntax_skip(p, ".")) {
        if (syntax_token(p)->kind == JINJA_T_NUMBER) {
            struct jinja_node *index = constant(p, syntax_token(p)->number);
            p->at++;
            return two(p, JINJA_N_ITEM, line, of, index);
        }
        struct jinja_node *node = syntax_node(p, JINJA_N_ATTRIBUTE, line);
        node->name = syntax_name(p);
        node->a = of;
        return syntax_done(p, node);
    }
    syntax_expect(p, "[");
    struct jinja_node *tuple = syntax_node(p, JINJA_N_TUPLE, line), **tail = &tuple->a;
    while (!syntax_is(p, "]")) {
        if (tuple->a != NULL)
            syntax_expect(p, ",");
        append(&tail, read_subscribed(p));
    }
    syntax_expect(p, "]");
    bool one = tuple->a != NULL && tuple->a->next == NULL;
    return two(p, JINJA_N_ITEM, line, of, one ? tuple->a : syntax_done(p, tuple));
}

/* Is the next token a name with = after it? */
static bool at_keyword(const struct jinja_parser *p)
{
    const struct jinja_token *token = syntax_token(p);
    return token->kind == JINJA_T_NAME && token[1].kind == JINJA_T_OPERATOR &&
           strcmp(token[1].operator, "=") == 0;
}

static struct jinja_node *read_arguments(struct jinja_parser *p)
{
    struct jinja_node *first = NULL, **tail = &first;
    enum jinja_node_kind last = JINJA_N_POSITIONAL;
    syntax_expect(p, "(");
    while (!syntax_is(p, ")")) {
        if (first != NULL) {
            syntax_expect(p, ",");
            if (syntax_is(p, ")"))
                break;
        }
        struct jinja_node *node = syntax_node(p, JINJA_N_POSITIONAL, line_of(p));
        if (syntax_skip(p, "*")) {
            node->kind = JINJA_N_SPREAD;
        } else if (syntax_skip(p, "**")) {
            node->kind = JINJA_N_SPREAD_NAMED;
        } else if (at_keyword(p)) {
            node->kind = JINJA_N_KEYWORD;
            node->name = syntax_name(p);
            p->at++;
        }
        if (last == JINJA_N_SPREAD_NAMED || (node->kind < last && last != JINJA_N_SPREAD) ||
            (last == JINJA_N_SPREAD && node->kind < JINJA_N_KEYWORD) ||
            (node->kind == JINJA_N_SPREAD && last == JINJA_N_SPREAD))
            syntax_fault(p, "arguments by position come first, then those by name");
        last = node->kind;
        node->a = syntax_expression(p, true);
        append(&tail, syntax_done(p, node));
    }
    syntax_expect(p, ")");
    return first;
}

static struct jinja_node *read_call(struct jinja_parser *p, struct jinja_node *of)
{
    int line = line_of(p);
    if (of->kind == JINJA_N_ATTRIBUTE && jinja_lacks_method(of->name))
        syntax_lacks(p, line, "the method '%.*s' is not supported", (int)of->name->n,
                     of->name->bytes);
    return two(p, JINJA_N_CALL, line, of, read_arguments(p));
}

static struct jinja_node *read_postfix(struct jinja_parser *p, struct jinja_node *node)
{
    for (;;) {
        if (syntax_is(p, ".") || syntax_is(p, "["))
            node = read_subscript(p, node);
        else if (syntax_is(p, "("))
            node = read_call(p, node);
        else
            return node;
    }
}

/* A name after | or `is`, which may have dots. */
static const struct jinja_function *read_function(struct jinja_parser *p, bool test)
{
    int line = line_of(p);
    const struct jinja_text *name = syntax_name(p);
    const struct jinja_function *found = test ? filters_find_test(name) : filters_find(name);
    if (found == NULL || syntax_is(p, "."))
        syntax_lacks(p, line, "the %s '%.*s' is not supported", test ? "test" : "filter",
                     (int)(name->n < 100 ? name->n : 100), name->bytes);
    return found;
}

/* select('name') and its like, and map('name'): names that can be known now. */
static void check_named(struct jinja_parser *p, const struct jinja_node *filter)
{
    const char *name = filter->function->name;
    const struct jinja_node *argument = filter->b;
    bool by_attribute = strcmp(name, "selectattr") == 0 || strcmp(name, "rejectattr") == 0;
    bool map = strcmp(name, "map") == 0;
    if (by_attribute && argument != NULL)
        argument = argument->next;
    if ((!by_attribute && !map && strcmp(name, "select") != 0 && strcmp(name, "reject") != 0) ||
        argument == NULL || argument->kind != JINJA_N_POSITIONAL ||
        argument->a->kind != JINJA_N_CONSTANT || argument->a->value.kind != JINJA_STRING)
        return;
    const struct jinja_text *text = argument->a->value.text;
    if ((map ? filters_find(text) : filters_find_test(text)) == NULL)
        syntax_lacks(p, argument->line, "the %s '%.*s' is not supported", map ? "filter" : "test",
                     (int)(text->n < 100 ? text->n : 100), text->bytes);
}

struct jinja_node *syntax_filters(struct jinja_parser *p, struct jinja_node *node, bool first)
{
    while (first || syntax_skip(p, "|")) {
        struct jinja_node *filter = syntax_node(p, JINJA_N_FILTER, line_of(p));
        filter->function = read_function(p, false);
        filter->a = node;
        if (syntax_is(p, "("))
            filter->b = read_arguments(p);
        check_named(p, filter);
        node = syntax_done(p, filter);
        first = false;
    }
    return node;
}

static struct jinja_node *read_test(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node *test = syntax_node(p, JINJA_N_TEST, line_of(p));
    syntax_expect(p, "is");
    bool negated = syntax_skip(p, "not");
    test->function = read_function(p, true);
    test->a = node;
    enum jinja_token_kind next = syntax_token(p)->kind;
    if (syntax_is(p, "(")) {
        test->b = read_arguments(p);
    } else if (next == JINJA_T_STRING || next == JINJA_T_NUMBER || syntax_is(p, "[") ||
               syntax_is(p, "{") ||
               (next == JINJA_T_NAME && !syntax_is(p, "else") && !syntax_is(p, "or") &&
                !syntax_is(p, "and"))) {
        if (syntax_is(p, "is"))
            syntax_fault(p, "tests cannot be chained with is");
        test->b = syntax_node(p, JINJA_N_POSITIONAL, line_of(p));
        test->b->a = read_postfix(p, syntax_primary(p));
        syntax_done(p, test->b);
    }
    syntax_done(p, test);
    return negated ? two(p, JINJA_N_NOT, test->line, test, NULL) : test;
}

static struct jinja_node *read_unary(struct jinja_parser *p, bool with_filters)
{
    int line = line_of(p);
    struct jinja_node *node;
    syntax_deeper(p);
    if (syntax_skip(p, "-"))
        node = two(p, JINJA_N_NEGATE, line, read_unary(p, false), NULL);
    else if (syntax_skip(p, "+"))
        node = two(p, JINJA_N_PLUS, line, read_unary(p, false), NULL);
    else
        node = syntax_primary(p);
    node = read_postfix(p, node);
    while (with_filters) {
        if (syntax_is(p, "|"))
            node = syntax_filters(p, node, false);
        else if (syntax_is(p, "is"))
            node = read_test(p, node);
        else if (syntax_is(p, "("))
            node = read_call(p, node);
        else
            break;
    }
    syntax_back(p);
    return node;
}

/* One of the operators, which is then passed; NULL: none. */
static const char *read_operator(struct jinja_parser *p, const char *const *operators)
{
    if (syntax_token(p)->kind == JINJA_T_OPERATOR)
        for (; *operators != NULL; operators++)
            if (syntax_skip(p, *operators))
                return *operators;
    return NULL;
}

static struct jinja_node *read_power(struct jinja_parser *p)
{
    static const char *const operators[] = {"**", NULL};
    struct jinja_node *left = read_unary(p, true);
    for (int line = line_of(p); read_operator(p, operators) != NULL; line = line_of(p)) {
        left = two(p, JINJA_N_BINARY, line, left, read_unary(p, true));
        left->op = "**";
    }
    return left;
}

static struct jinja_node *read_product(struct jinja_parser *p)
{
    static const char *const operators[] = {"*", "/", "//", "%", NULL};
    struct jinja_node *left = read_power(p);
    const char *op;
    for (int line = line_of(p); (op = read_operator(p, operators)) != NULL; line = line_of(p)) {
        left = two(p, JINJA_N_BINARY, line, left, read_power(p));
        left->op = op;
    }
    return left;
}

static struct jinja_node *read_concat(struct jinja_parser *p)
{
    struct jinja_node *first = read_product(p);
    if (!syntax_is(p, "~"))
        return first;
    struct jinja_node *node = syntax_node(p, JINJA_N_CONCAT, line_of(p)), **tail = &node->a;
    append(&tail, first);
    while (syntax_skip(p, "~"))
        append(&tail, read_product(p));
    return syntax_done(p, node);
}

static struct jinja_node *read_sum(struct jinja_parser *p)
{
    static const char *const operators[] = {"+", "-", NULL};
    struct jinja_node *left = read_concat(p);
    const char *op;
    for (int line = line_of(p); (op = read_operator(p, operators)) != NULL; line = line_of(p)) {
        left = two(p, JINJA_N_BINARY, line, left, read_concat(p));
        left->op = op;
    }
    return left;
}

static const char *read_comparison(struct jinja_parser *p)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">=", NULL};
    const char *op = read_operator(p, operators);
    if (op != NULL)
        return op;
    if (syntax_skip(p, "in"))
        return "in";
    const struct jinja_token *next = syntax_token(p) + 1;
    if (syntax_is(p, "not") && next->kind == JINJA_T_NAME && jinja_is(next->text, "in")) {
        p->at += 2;
        return "not in";
    }
    return NULL;
}

static struct jinja_node *read_compare(struct jinja_parser *p)
{
    int line = line_of(p);
    struct jinja_node *first = read_sum(p), *operands = NULL, **tail = &operands;
    for (const char *op; (op = read_comparison(p)) != NULL;) {
        struct jinja_node *operand = syntax_node(p, JINJA_N_POSITIONAL, line_of(p));
        operand->op = op;
        operand->a = read_sum(p);
        append(&tail, syntax_done(p, operand));
    }
    return operands == NULL ? first : two(p, JINJA_N_COMPARE, line, first, operands);
}

static struct jinja_node *read_not(struct jinja_parser *p)
{
    int line = line_of(p);
    if (!syntax_skip(p, "not"))
        return read_compare(p);
    syntax_deeper(p);
    struct jinja_node *node = two(p, JINJA_N_NOT, line, read_not(p), NULL);
    syntax_back(p);
    return node;
}

static struct jinja_node *read_and(struct jinja_parser *p)
{
    struct jinja_node *left = read_not(p);
    for (int line = line_of(p); syntax_skip(p, "and"); line = line_of(p))
        left = two(p, JINJA_N_AND, line, left, read_not(p));
    return left;
}

static struct jinja_node *read_or(struct jinja_parser *p)
{
    struct jinja_node *left = read_and(p);
    for (int line = line_of(p); syntax_skip(p, "or"); line = line_of(p))
        left = two(p, JINJA_N_OR, line, left, read_and(p));
    return left;
}

struct jinja_node *syntax_expression(struct jinja_parser *p, bool with_choice)
{
    syntax_deeper(p);
    struct jinja_node *node = read_or(p);
    for (int line = line_of(p); with_choice && syntax_skip(p, "if"); line = line_of(p)) {
        struct jinja_node *choice = syntax_node(p, JINJA_N_CHOICE, line);
        choice->b = node;
        choice->a = read_or(p);
        if (syntax_skip(p, "else"))
            choice->c = syntax_expression(p, true);
        node = syntax_done(p, choice);
    }
    syntax_back(p);
    return node;
}

static bool ends_tuple(const struct jinja_parser *p, const char *end)
{
    enum jinja_token_kind kind = syntax_token(p)->kind;
    return kind == JINJA_T_CLOSE_OUTPUT || kind == JINJA_T_CLOSE_TAG || syntax_is(p, ")") ||
           (end != NULL && syntax_is(p, end));
}

struct jinja_node *syntax_tuple(struct jinja_parser *p, bool with_choice, bool in_brackets,
                                const char *end)
{
    struct jinja_node *tuple = syntax_node(p, JINJA_N_TUPLE, line_of(p)), **tail = &tuple->a;
    bool commas = false;
    char found[64];
    while (!ends_tuple(p, end)) {
        append(&tail, syntax_expression(p, with_choice));
        if (!syntax_skip(p, ","))
            break;
        commas = true;
    }
    if (commas)
        return syntax_done(p, tuple);
    if (tuple->a == NULL && !in_brackets)
        syntax_fault(p, "expected an expression, found %s",
                     syntax_describe(syntax_token(p), found));
    return tuple->a != NULL ? tuple->a : tuple;
}
