/* test_lexer.c - a template's text as tokens: what is data, what is code, the whitespace between,
 * and the line that each stands in. */
#include "core/jinja/syntax_test.h"
#include "jinja/syntax/lexer.h"

static void say_token(struct syntax_run *run, const struct jinja_token *token)
{
    const int n = token->text != NULL ? (int)token->text->n : 0;
    const char *text = token->text != NULL ? token->text->bytes : "";
    switch (token->kind) {
    case JINJA_T_END:
        syntax_say(run, "end");
        break;
    case JINJA_T_DATA:
        syntax_say(run, "[%.*s] ", n, text);
        break;
    case JINJA_T_OPEN_OUTPUT:
        syntax_say(run, "{{ ");
        break;
    case JINJA_T_CLOSE_OUTPUT:
        syntax_say(run, "}} ");
        break;
    case JINJA_T_OPEN_TAG:
        syntax_say(run, "{%% ");
        break;
    case JINJA_T_CLOSE_TAG:
        syntax_say(run, "%%} ");
        break;
    case JINJA_T_NAME:
        syntax_say(run, "%.*s ", n, text);
        break;
    case JINJA_T_STRING:
        syntax_say(run, "\"%.*s\" ", n, text);
        break;
    case JINJA_T_NUMBER:
        if (token->number.kind == JINJA_INT)
            syntax_say(run, "%lld ", (long long)token->number.integer);
        else if (token->number.kind == JINJA_FLOAT)
            syntax_say(run, "%g. ", token->number.number);
        else
            syntax_say(run, "big ");
        break;
    case JINJA_T_OPERATOR:
        syntax_say(run, "%s ", token->operator);
        break;
    }
}

static void say_all(struct jinja_heap *heap, void *context)
{
    struct syntax_run *run = context;
    const struct jinja_tokens tokens = jinja_lex(heap, run->text, run->n);
    for (size_t i = 0; i < tokens.n; i++) {
        ck_assert(i == 0 || tokens.at[i].line >= tokens.at[i - 1].line);
        say_token(run, &tokens.at[i]);
    }
}

static void say_lines(struct jinja_heap *heap, void *context)
{
    struct syntax_run *run = context;
    const struct jinja_tokens tokens = jinja_lex(heap, run->text, run->n);
    for (size_t i = 0; i < tokens.n; i++)
        if (tokens.at[i].kind == JINJA_T_NAME)
            syntax_say(run, "%.*s%d ", (int)tokens.at[i].text->n, tokens.at[i].text->bytes,
                       tokens.at[i].line);
}

static const struct {
    const char *text, *tokens;
} cases[] = {
    {"", "end"},
    {"plain } %} text {", "[plain } %} text {] end"},
    {"a{{ b }}c", "[a] {{ b }} [c] end"},
    {"{{1_000 0x1F 0b11 0o17 1.5e2}}", "{{ 1000 31 3 15 150. }} end"},
    {"{{ 99999999999999999999 }}", "{{ big }} end"},
    {"{{ 'a\\n\\'\\x41\\u00e9' \"b'\" }}", "{{ \"a\n'A\xc3\xa9\" \"b'\" }} end"},
    {"{{ a**b//c!=d<=e~f|g.h }}", "{{ a ** b // c != d <= e ~ f | g . h }} end"},
    {"{{ {'a': '}}'} }}", "{{ { \"a\" : \"}}\" } }} end"},
    {"{{ '{% x %}' }}", "{{ \"{% x %}\" }} end"},
    {"a {# {{ b }} #} c", "[a ] [ c] end"},
    {"a {#- b -#} c", "[a] [c] end"},
    {"a {{- b -}} c", "[a] {{ b }} [c] end"},
    {"  {% if a %}  \nb", "{% if a %} [  \nb] end"},
    {"  {% if a %}\nb", "{% if a %} [b] end"},
    {"\n  {%+ if a +%}\nb", "[\n  ] {% if a %} [\nb] end"},
    {"x\t{% if a -%} \n\n b", "[x\t] {% if a %} [b] end"},
    {"{% raw %}{{ a }}{% endraw %}b", "[{{ a }}] [b] end"},
    {"{%- raw -%} {% x {%- endraw -%} b", "[{% x] [b] end"},
    {"\n", "end"},
    {"a\n", "[a] end"},
    {"a\n\n", "[a\n] end"},
    {"\xe6\x97\xa5{{ \xc3\xa9t\xc3\xa9 }}", "[\xe6\x97\xa5] {{ \xc3\xa9t\xc3\xa9 }} end"},
};

START_TEST(a_text_becomes_tokens)
{
    struct syntax_run run;
    syntax_do(&run, cases[_i].text, strlen(cases[_i].text), say_all);
    ck_assert_msg(strcmp(run.out, cases[_i].tokens) == 0, "%s\n%s\n%s", cases[_i].text, run.out,
                  cases[_i].tokens);
}
END_TEST

START_TEST(each_token_knows_its_line)
{
    static const char text[] = "{{ a }}\n{{ b\n c }}\n{# \n #}{%- if\n\nd -%}\n\n{{ 'x\ny' ~ e }}";
    struct syntax_run run;
    syntax_do(&run, text, sizeof text - 1, say_lines);
    ck_assert_str_eq(run.out, "a1 b2 c3 if5 d7 e10 ");
}
END_TEST

START_TEST(what_never_ends_is_said_with_its_line)
{
    static const char *const open[] = {"a\n{{ b",   "a\n{% b",  "a\n{# b",      "a\n{{ 'b",
                                       "a\n{{ (b]", "a\n{{ b)", "a\n{% raw %}", "a\n{{ ? }}"};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        struct syntax_run run;
        syntax_do(&run, open[i], strlen(open[i]), say_all);
        ck_assert_msg(strstr(run.out, "line 2") != NULL, "%s: %s", open[i], run.out);
    }
}
END_TEST

/* Every beginning of every case: tokens or a fault, and no byte after the text is read. */
START_TEST(any_text_may_be_cut)
{
    const char *text = cases[_i].text;
    for (size_t n = 0; n <= strlen(text); n++) {
        struct syntax_run run;
        syntax_do(&run, text, n, say_all);
        ck_assert(run.out[0] != '\0');
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/jinja/lexer");
    TCase *tc = tcase_create("lexer");
    const int n = sizeof cases / sizeof cases[0];
    tcase_add_loop_test(tc, a_text_becomes_tokens, 0, n);
    tcase_add_loop_test(tc, any_text_may_be_cut, 0, n);
    tcase_add_test(tc, each_token_knows_its_line);
    tcase_add_test(tc, what_never_ends_is_said_with_its_line);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
