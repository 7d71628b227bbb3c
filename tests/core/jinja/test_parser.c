/* test_parser.c - a template as a tree: precedence, blocks, names that are one text each, and what
 * is refused by name and line. */
#include "core/jinja/syntax_test.h"
#include "jinja/syntax/parser.h"
#include "jinja/text.h"

static void say_nodes(struct syntax_run *run, const struct jinja_node *node);

static void say_parts(struct syntax_run *run, const char *head, const struct jinja_node *node)
{
    const struct jinja_node *parts[] = {node->a, node->b, node->c, node->d, node->e};
    syntax_say(run, "(%s", head);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const struct jinja_node *part = parts[i]; part != NULL; part = part->next) {
            ck_assert_uint_gt(node->depth, part->depth);
            syntax_say(run, " ");
            say_nodes(run, part);
        }
    syntax_say(run, ")");
}

static const char *head_of(const struct jinja_node *node)
{
    static const char *const heads[] = {
        [JINJA_N_LIST] = "list",
        [JINJA_N_TUPLE] = "tuple",
        [JINJA_N_DICT] = "dict",
        [JINJA_N_AND] = "and",
        [JINJA_N_OR] = "or",
        [JINJA_N_NOT] = "not",
        [JINJA_N_NEGATE] = "neg",
        [JINJA_N_PLUS] = "pos",
        [JINJA_N_CONCAT] = "~",
        [JINJA_N_COMPARE] = "compare",
        [JINJA_N_CHOICE] = "choose",
        [JINJA_N_ITEM] = "item",
        [JINJA_N_SLICE] = "slice",
        [JINJA_N_CALL] = "call",
        [JINJA_N_IF] = "if",
        [JINJA_N_BLOCK] = "block",
        [JINJA_N_FOR] = "for",
        [JINJA_N_SET] = "set",
        [JINJA_N_WITH] = "with",
        [JINJA_N_OUTPUT] = "out",
        [JINJA_N_BREAK] = "break",
        [JINJA_N_SCOPE] = "scope",
        [JINJA_N_CONTINUE] = "next",
        [JINJA_N_SPREAD] = "*",
        [JINJA_N_MACRO] = "macro",
        [JINJA_N_SET_BLOCK] = "setb",
        [JINJA_N_CALL_BLOCK] = "callb",
        [JINJA_N_PARAMETER] = "par",
        [JINJA_N_SPREAD_NAMED] = "**",
        [JINJA_N_FILTER_BLOCK] = "filterb",
    };
    return heads[node->kind];
}

static void say_node(struct syntax_run *run, const struct jinja_node *node)
{
    const int n = node->name != NULL ? (int)node->name->n : 0;
    const char *name = node->name != NULL ? node->name->bytes : "";
    char head[64];
    switch ((int)node->kind) {
    case JINJA_N_CONSTANT:
    case JINJA_N_DATA:
        if (node->value.kind == JINJA_INT)
            syntax_say(run, "%lld", (long long)node->value.integer);
        else if (node->value.kind == JINJA_STRING)
            syntax_say(run, "'%.*s'", (int)node->value.text->n, node->value.text->bytes);
        else
            syntax_say(run, "%s", jinja_type_name(node->value));
        return;
    case JINJA_N_NAME:
        syntax_say(run, "%.*s", n, name);
        return;
    case JINJA_N_POSITIONAL:
        say_nodes(run, node->a);
        return;
    case JINJA_N_BINARY:
        say_parts(run, node->op, node);
        return;
    case JINJA_N_FILTER:
    case JINJA_N_TEST:
        snprintf(head, sizeof head, "%s%s", node->kind == JINJA_N_FILTER ? "|" : "is ",
                 node->function->name);
        break;
    case JINJA_N_ATTRIBUTE:
        snprintf(head, sizeof head, ".%.*s", n, name);
        break;
    case JINJA_N_KEYWORD:
        snprintf(head, sizeof head, "%.*s=", n, name);
        break;
    case JINJA_N_SET_MEMBER:
        snprintf(head, sizeof head, "%.*s.%.*s", n, name, (int)node->name2->n, node->name2->bytes);
        break;
    default:
        snprintf(head, sizeof head, "%s%s%.*s", head_of(node), n > 0 ? ":" : "", n, name);
    }
    say_parts(run, head, node);
}

static void say_nodes(struct syntax_run *run, const struct jinja_node *node)
{
    say_node(run, node);
}

static void say_tree(struct jinja_heap *heap, void *context)
{
    struct syntax_run *run = context;
    struct jinja_names names = {0};
    const struct jinja_node *body = parser_read(heap, run->text, run->n, &names);
    for (const struct jinja_node *node = body; node != NULL; node = node->next) {
        say_nodes(run, node);
        syntax_say(run, "%s", node->next != NULL ? " " : "");
    }
    for (size_t i = 0; i < names.n; i++) /* every name once, and found by its bytes */
        ck_assert_ptr_eq(parser_name(&names, names.at[i]), names.at[i]);
}

static const struct {
    const char *text, *tree;
} cases[] = {
    {"", ""},
    {"a{{ b }}", "'a' (out b)"},
    {"{{ 1 + 2 * 3 - 4 }}", "(out (- (+ 1 (* 2 3)) 4))"},
    {"{{ -2 ** 2 }}", "(out (** (neg 2) 2))"},
    {"{{ a ~ b + c ~ d }}", "(out (+ (~ a b) (~ c d)))"},
    {"{{ not a in b and c or d }}", "(out (or (and (not (compare a b)) c) d))"},
    {"{{ a < b <= c }}", "(out (compare a b c))"},
    {"{{ a if b else c if d else e }}", "(out (choose b a (choose d c e)))"},
    {"{{ a.b[0](1, k=2)|upper is string }}",
     "(out (is string (|upper (call (item (.b a) 0) 1 (k= 2)))))"},
    {"{{ -a|abs }}", "(out (|abs (neg a)))"},
    {"{{ a[1:], a[::2] }}", "(out (tuple (item a (slice 1)) (item a (slice 2))))"},
    {"{{ {'a': [1, (2,)]} }}", "(out (dict 'a' (list 1 (tuple 2))))"},
    {"{% if a %}1{% elif b %}2{% else %}3{% endif %}", "(if (if a '1') (if b '2') (block '3'))"},
    {"{% for a, b in c if b %}{% break %}{% else %}x{% endfor %}",
     "(for (tuple a b) c (break) 'x' b)"},
    {"{% set a.b = 1 %}", "(set (a.b) 1)"},
    {"{% set a %}x{% endset %}", "(setb a 'x')"},
};

START_TEST(a_text_becomes_a_tree)
{
    struct syntax_run run;
    syntax_do(&run, cases[_i].text, strlen(cases[_i].text), say_tree);
    ck_assert_msg(strcmp(run.out, cases[_i].tree) == 0, "%s\n%s\n%s", cases[_i].text, run.out,
                  cases[_i].tree);
}
END_TEST

static const struct {
    const char *text, *word;
} faults[] = {
    {"\n{{ a|nonsense }}", "nonsense"},
    {"\n{{ a is nonsense }}", "nonsense"},
    {"\n{% include 'a' %}", "include"},
    {"\n{% extends 'a' %}", "extends"},
    {"\n{% nonsense %}", "nonsense"},
    {"\n{% for a in b recursive %}{% endfor %}", "recursive"},
    {"\n{% break %}", "break"},
    {"\n{% endif %}", "endif"},
    {"\n{{ a b }}", "b"},
    {"\n{{ }}", "}}"},
    {"\n{{ a(b=1, 2) }}", "position"},
    {"\n{{ lipsum() }}", "lipsum"},
    {"\n{{ a|map('nonsense') }}", "nonsense"},
};

START_TEST(what_is_wrong_is_said_by_word_and_line)
{
    struct syntax_run run;
    syntax_do(&run, faults[_i].text, strlen(faults[_i].text), say_tree);
    ck_assert_msg(strstr(run.out, "line 2") != NULL && strstr(run.out, faults[_i].word) != NULL,
                  "%s: %s", faults[_i].text, run.out);
}
END_TEST

static void read_alone(struct jinja_heap *heap, void *context)
{
    struct syntax_run *run = context;
    struct jinja_names names = {0};
    parser_read(heap, run->text, run->n, &names);
    syntax_say(run, "read");
}

/* Deep nesting is refused before the stack ends. */
START_TEST(depth_is_bounded)
{
    static const struct {
        const char *one, *end;
    } deep[] = {{"(", ""},
                {"[", ""},
                {"{1:", ""},
                {"-", "a"},
                {"not ", "a"},
                {"a[", ""},
                {"a(", ""},
                {"a if b else ", "a"},
                {"{% if a %}", ""},
                {"{% for a in b %}", ""},
                {"a|upper|", "upper"},
                {"a.b.", "c"},
                {"1 ** ", "1"},
                {"1 + ", "1"}};
    enum { N = 20000 };
    for (size_t i = 0; i < sizeof deep / sizeof deep[0]; i++) {
        struct syntax_run run;
        const size_t n_one = strlen(deep[i].one);
        const bool tags = deep[i].one[1] == '%';
        char *text = malloc(N * n_one + 32);
        ck_assert_ptr_nonnull(text);
        size_t n = 0;
        n += (size_t)sprintf(text, "%s", tags ? "" : "{{ ");
        for (size_t k = 0; k < N; k++, n += n_one)
            memcpy(text + n, deep[i].one, n_one);
        n += (size_t)sprintf(text + n, "%s }}", deep[i].end);
        syntax_do(&run, text, n, read_alone);
        ck_assert_msg(strcmp(run.out, "read") != 0, "%s: it is read", deep[i].one);
        free(text);
    }
}
END_TEST

START_TEST(any_text_may_be_cut)
{
    for (size_t n = 0; n <= strlen(cases[_i].text); n++) {
        struct syntax_run run;
        syntax_do(&run, cases[_i].text, n, read_alone);
        ck_assert(run.out[0] != '\0');
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/jinja/parser");
    TCase *tc = tcase_create("parser");
    const int n = sizeof cases / sizeof cases[0];
    tcase_add_loop_test(tc, a_text_becomes_a_tree, 0, n);
    tcase_add_loop_test(tc, any_text_may_be_cut, 0, n);
    tcase_add_loop_test(tc, what_is_wrong_is_said_by_word_and_line, 0,
                        sizeof faults / sizeof faults[0]);
    tcase_add_test(tc, depth_is_bounded);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
