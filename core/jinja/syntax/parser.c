/* parser.c - reads statements. In the heap of the template that is read.
 *
 * What jinja2 has and templates of models do not need (other files, blocks of inheritance,
 * recursive loops) is refused by name, with its line. */
#include "jinja/syntax/syntax.h"

#include "jinja/text.h"

#include <string.h>

static struct jinja_node *read_body(struct jinja_parser *p, const char *const *ends);

static int line_of(const struct jinja_parser *p)
{
    return syntax_token(p)->line;
}

static void close_tag(struct jinja_parser *p)
{
    char found[64];
    if (syntax_token(p)->kind != JINJA_T_CLOSE_TAG)
        syntax_fault(p, "expected %%}, found %s", syntax_describe(syntax_token(p), found));
    p->at++;
}

/* The body after a tag, up to one of the names that end it, which is the next token then. */
static struct jinja_node *read_block(struct jinja_parser *p, const char *const *ends)
{
    syntax_skip(p, ":");
    close_tag(p);
    syntax_deeper(p);
    struct jinja_node *body = read_body(p, ends);
    syntax_back(p);
    return body;
}

/* The same, past the one name that ends it. */
static struct jinja_node *read_whole(struct jinja_parser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    struct jinja_node *body = read_block(p, ends);
    p->at++;
    return body;
}

static void refuse_constant(struct jinja_parser *p, const struct jinja_text *name)
{
    static const char *const words[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (jinja_is(name, words[i]))
            syntax_fault(p, "'%s' cannot be set", words[i]);
}

static struct jinja_node *name_node(struct jinja_parser *p)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_NAME, line_of(p));
    node->name = syntax_name(p);
    refuse_constant(p, node->name);
    return node;
}

/* A name, or names with commas between, in brackets or not. */
static struct jinja_node *read_target(struct jinja_parser *p, const char *end, bool in_brackets)
{
    struct jinja_node *tuple = syntax_node(p, JINJA_N_TUPLE, line_of(p)), **tail = &tuple->a;
    bool commas = false;
    syntax_deeper(p);
    while (!syntax_is(p, end) && syntax_token(p)->kind != JINJA_T_CLOSE_TAG) {
        if (syntax_skip(p, "(")) {
            *tail = read_target(p, ")", true);
            syntax_expect(p, ")");
        } else {
            *tail = name_node(p);
        }
        tail = &(*tail)->next;
        if (!syntax_skip(p, ","))
            break;
        commas = true;
    }
    syntax_back(p);
    if (commas)
        return syntax_done(p, tuple);
    if (tuple->a == NULL && !in_brackets)
        syntax_fault(p, "expected a name to set");
    return tuple->a != NULL ? tuple->a : tuple;
}

static struct jinja_node *read_set(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_SET, line), *target;
    const struct jinja_token *next = syntax_token(p) + 1;
    if (next->kind == JINJA_T_OPERATOR && strcmp(next->operator, ".") == 0) {
        target = syntax_node(p, JINJA_N_SET_MEMBER, line_of(p));
        target->name = syntax_name(p);
        p->at++;
        target->name2 = syntax_name(p);
    } else {
        target = read_target(p, "=", false);
    }
    node->a = target;
    if (syntax_skip(p, "=")) {
        node->b = syntax_tuple(p, true, false, NULL);
        return syntax_done(p, node);
    }
    node->kind = JINJA_N_SET_BLOCK;
    node->b = syntax_filters(p, NULL, false);
    node->c = read_whole(p, "endset");
    return syntax_done(p, node);
}

static struct jinja_node *read_for(struct jinja_parser *p, int line)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct jinja_node *node = syntax_node(p, JINJA_N_FOR, line);
    node->a = read_target(p, "in", false);
    syntax_expect(p, "in");
    node->b = syntax_tuple(p, false, false, "recursive");
    if (syntax_skip(p, "if"))
        node->e = syntax_expression(p, true);
    if (syntax_is(p, "recursive"))
        syntax_lacks(p, line, "recursive loops are not supported");
    p->n_loops++;
    node->c = read_block(p, ends);
    p->n_loops--;
    if (syntax_skip(p, "else"))
        node->d = read_whole(p, "endfor");
    else
        p->at++;
    return syntax_done(p, node);
}

static struct jinja_node *read_if(struct jinja_parser *p, int line)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *first = NULL, **place = &first;
    for (;;) { /* a row of elif is a list, however long */
        struct jinja_node *node = syntax_node(p, JINJA_N_IF, line);
        node->a = syntax_tuple(p, false, false, NULL);
        node->b = read_block(p, ends);
        *place = syntax_done(p, node);
        place = &node->next;
        line = line_of(p);
        if (!syntax_skip(p, "elif"))
            break;
    }
    if (syntax_skip(p, "else")) {
        struct jinja_node *node = syntax_node(p, JINJA_N_BLOCK, line);
        node->b = read_whole(p, "endif");
        *place = syntax_done(p, node);
    } else {
        p->at++;
    }
    struct jinja_node *whole = syntax_node(p, JINJA_N_IF, first->line);
    whole->a = first;
    return syntax_done(p, whole);
}

static struct jinja_node *read_with(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_WITH, line), **tail = &node->a;
    while (syntax_token(p)->kind != JINJA_T_CLOSE_TAG) {
        if (node->a != NULL)
            syntax_expect(p, ",");
        *tail = read_target(p, "=", false);
        syntax_expect(p, "=");
        (*tail)->next = syntax_expression(p, true);
        tail = &(*tail)->next->next;
    }
    node->c = read_whole(p, "endwith");
    return syntax_done(p, node);
}

static void read_parameters(struct jinja_parser *p, struct jinja_node *macro)
{
    struct jinja_node **tail = &macro->a;
    bool defaults = false;
    syntax_expect(p, "(");
    while (!syntax_is(p, ")")) {
        if (macro->a != NULL)
            syntax_expect(p, ",");
        struct jinja_node *parameter = syntax_node(p, JINJA_N_PARAMETER, line_of(p));
        parameter->name = syntax_name(p);
        refuse_constant(p, parameter->name);
        if (syntax_skip(p, "=")) {
            parameter->a = syntax_expression(p, true);
            defaults = true;
        } else if (defaults) {
            syntax_fault(p, "a parameter without a default after one that has one");
        }
        *tail = syntax_done(p, parameter);
        tail = &parameter->next;
    }
    syntax_expect(p, ")");
}

/* The parameters and the body of a macro, or of what calls one. */
static void read_macro_parts(struct jinja_parser *p, struct jinja_node *macro, bool parameters,
                             bool call, const char *end)
{
    struct jinja_node *outer = p->macro;
    unsigned loops = p->n_loops;
    p->macro = macro;
    if (parameters)
        read_parameters(p, macro);
    if (call) {
        char found[64];
        p->macro = outer;
        int line = line_of(p);
        macro->b = syntax_expression(p, true);
        if (macro->b->kind != JINJA_N_CALL)
            syntax_fault(p, "{%% call %%} at line %d needs a call, found %s", line,
                         syntax_describe(syntax_token(p), found));
        p->macro = macro;
    }
    p->n_loops = 0;
    macro->c = read_whole(p, end);
    p->n_loops = loops;
    p->macro = outer;
    if (outer != NULL) { /* a name inside is a name of the outer one's body too */
        outer->uses_caller = outer->uses_caller || macro->uses_caller;
        outer->uses_varargs = outer->uses_varargs || macro->uses_varargs;
        outer->uses_kwargs = outer->uses_kwargs || macro->uses_kwargs;
    }
    syntax_done(p, macro);
}

static struct jinja_node *read_macro(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_MACRO, line);
    node->name = syntax_name(p);
    refuse_constant(p, node->name);
    read_macro_parts(p, node, true, false, "endmacro");
    return node;
}

static struct jinja_node *read_call_block(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_CALL_BLOCK, line);
    read_macro_parts(p, node, syntax_is(p, "("), true, "endcall");
    return node;
}

static struct jinja_node *read_filter_block(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_FILTER_BLOCK, line);
    node->b = syntax_filters(p, NULL, true);
    node->c = read_whole(p, "endfilter");
    return syntax_done(p, node);
}

static struct jinja_node *read_generation(struct jinja_parser *p, int line)
{
    struct jinja_node *node = syntax_node(p, JINJA_N_SCOPE, line);
    unsigned loops = p->n_loops;
    p->n_loops = 0;
    node->c = read_whole(p, "endgeneration");
    p->n_loops = loops;
    return syntax_done(p, node);
}

static struct jinja_node *read_print(struct jinja_parser *p, int line)
{
    struct jinja_node *block = syntax_node(p, JINJA_N_BLOCK, line), **tail = &block->b;
    while (syntax_token(p)->kind != JINJA_T_CLOSE_TAG) {
        if (block->b != NULL)
            syntax_expect(p, ",");
        *tail = syntax_node(p, JINJA_N_OUTPUT, line);
        (*tail)->a = syntax_expression(p, true);
        tail = &syntax_done(p, *tail)->next;
    }
    return syntax_done(p, block);
}

static struct jinja_node *read_jump(struct jinja_parser *p, int line, bool on)
{
    if (p->n_loops == 0)
        syntax_fault(p, "'%s' outside of a loop", on ? "continue" : "break");
    return syntax_node(p, on ? JINJA_N_CONTINUE : JINJA_N_BREAK, line);
}

static struct jinja_node *read_statement(struct jinja_parser *p)
{
    static const char *const refused[] = {"include",    "import", "from",  "extends", "block",
                                          "autoescape", "do",     "trans", "debug"};
    int line = line_of(p);
    const struct jinja_text *name = syntax_name(p);
    if (jinja_is(name, "set"))
        return read_set(p, line);
    if (jinja_is(name, "for"))
        return read_for(p, line);
    if (jinja_is(name, "if"))
        return read_if(p, line);
    if (jinja_is(name, "macro"))
        return read_macro(p, line);
    if (jinja_is(name, "call"))
        return read_call_block(p, line);
    if (jinja_is(name, "filter"))
        return read_filter_block(p, line);
    if (jinja_is(name, "with"))
        return read_with(p, line);
    if (jinja_is(name, "generation"))
        return read_generation(p, line);
    if (jinja_is(name, "print"))
        return read_print(p, line);
    if (jinja_is(name, "break") || jinja_is(name, "continue"))
        return read_jump(p, line, jinja_is(name, "continue"));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (jinja_is(name, refused[i]))
            syntax_lacks(p, line, "the tag '%s' is not supported", refused[i]);
    p->at--;
    syntax_fault(p, "unknown tag '%.*s'", (int)(name->n < 100 ? name->n : 100), name->bytes);
}

/* Does the tag that was opened end the body? Its name is the next token then. */
static bool ends_body(const struct jinja_parser *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++)
        if (syntax_is(p, *ends))
            return true;
    return false;
}

static struct jinja_node *read_body(struct jinja_parser *p, const char *const *ends)
{
    struct jinja_node *first = NULL, **tail = &first;
    for (;;) {
        const struct jinja_token *token = syntax_token(p);
        struct jinja_node *node;
        if (token->kind == JINJA_T_END) {
            if (ends != NULL)
                syntax_fault(p, "the template ends where '%s' is needed", ends[0]);
            return first;
        }
        p->at++;
        if (token->kind == JINJA_T_DATA) {
            node = syntax_node(p, JINJA_N_DATA, token->line);
            node->value = jinja_string(token->text);
        } else if (token->kind == JINJA_T_OPEN_OUTPUT) {
            char found[64];
            node = syntax_node(p, JINJA_N_OUTPUT, token->line);
            node->a = syntax_tuple(p, true, false, NULL);
            syntax_done(p, node);
            if (syntax_token(p)->kind != JINJA_T_CLOSE_OUTPUT)
                syntax_fault(p, "expected }}, found %s", syntax_describe(syntax_token(p), found));
            p->at++;
        } else {
            if (ends_body(p, ends))
                return first;
            node = read_statement(p);
            close_tag(p);
        }
        *tail = node;
        tail = &node->next;
    }
}

struct jinja_node *parser_read(struct jinja_heap *heap, const char *text, size_t n,
                               struct jinja_names *names)
{
    struct jinja_parser p = {.heap = heap, .tokens = jinja_lex(heap, text, n)};
    struct jinja_node *body = read_body(&p, NULL);
    *names = p.names;
    return body;
}
