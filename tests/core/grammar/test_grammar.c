/* test_grammar.c - facts about shapes: what each language accepts, that a mask is what trying every
 * token gives, however it was made, and that nothing is unbounded. */
#include "grammar_test.h"

#include "grammar/read.h"
#include "grammar/regular.h"

/* --- languages --- */

struct word {
    enum grammar_language language;
    const char *grammar, *text;
    bool right;
};

static const struct word words[] = {
    {GRAMMAR_REGEX, "a|bc", "a", true},
    {GRAMMAR_REGEX, "a|bc", "bc", true},
    {GRAMMAR_REGEX, "a|bc", "b", false},
    {GRAMMAR_REGEX, "", "", true},
    {GRAMMAR_REGEX, "(ab)*", "ababab", true},
    {GRAMMAR_REGEX, "(ab)*", "aba", false},
    {GRAMMAR_REGEX, "(a*)*b", "aaaab", true},
    {GRAMMAR_REGEX, "a{2,3}", "a", false},
    {GRAMMAR_REGEX, "a{2,3}", "aaa", true},
    {GRAMMAR_REGEX, "a{2,3}", "aaaa", false},
    {GRAMMAR_REGEX, "a{2,}", "aaaaaa", true},
    {GRAMMAR_REGEX, "a{2}b{0}c", "aac", true},
    {GRAMMAR_REGEX, "a{,2}", "a{,2}", true},
    {GRAMMAR_REGEX, "[a-c\\d]+?", "a1c9", true},
    {GRAMMAR_REGEX, "[^a-c]", "d", true},
    {GRAMMAR_REGEX, "[^a-c]", "b", false},
    {GRAMMAR_REGEX, "[^a-c]", "\xF0\x9F\x98\x80", true},
    {GRAMMAR_REGEX, "[\xC3\xA0-\xC3\xBF]", "\xC3\xA9", true},
    {GRAMMAR_REGEX, "[\xC3\xA0-\xC3\xBF]", "\xC3\x9F", false},
    {GRAMMAR_REGEX, ".", "\xC3", false},
    {GRAMMAR_REGEX, ".", "\n", false},
    {GRAMMAR_REGEX, ".", "\xED\x9F\xBF", true},
    {GRAMMAR_REGEX, ".", "\xED\xA0\x80", false}, /* a surrogate */
    {GRAMMAR_REGEX, ".", "\xF4\x8F\xBF\xBF", true},
    {GRAMMAR_REGEX, ".", "\xF4\x90\x80\x80", false},
    {GRAMMAR_REGEX, ".", "\xC0\x80", false}, /* too long a form */
    {GRAMMAR_REGEX, ".", "\xE0\x9F\xBF", false},
    {GRAMMAR_REGEX, "\\u00e9\\u{1F600}\\uD83D\\uDE00", "\xC3\xA9\xF0\x9F\x98\x80\xF0\x9F\x98\x80",
     true},
    {GRAMMAR_REGEX, "^\\d{4}-\\d\\d$", "2026-11", true},
    {GRAMMAR_REGEX, "(?:a|(?<name>b))c", "bc", true},
    {GRAMMAR_REGEX, "\\.\\-\\/\\n", ".-/\n", true},
    {GRAMMAR_REGEX, "[a\\-z]", "-", true},
    {GRAMMAR_REGEX, "[a-]", "-", true},
    {GRAMMAR_REGEX, "[\\w.]+@[\\w.]+", "a.b@c.d", true},
    {GRAMMAR_GBNF, ARITHMETIC, "(1+23)-4", true},
    {GRAMMAR_GBNF, ARITHMETIC, "(1+23", false},
    {GRAMMAR_GBNF, ARITHMETIC, "((((7))))", true},
    {GRAMMAR_GBNF, JSON, "{\"a\": [1, -2.5e3, {\"b\": null}], \"c\": \"\\u00e9\\n\"}", true},
    {GRAMMAR_GBNF, JSON, "{\"a\": [1, 2}", false},
    {GRAMMAR_GBNF, JSON, "{\"a\" : 1}", true},
    {GRAMMAR_GBNF, JSON, "{\"a\":  1}", false},
    {GRAMMAR_GBNF, JSON, "{\"a\": \"\n\"}", false},
    {GRAMMAR_GBNF, "root ::= \"a\" | \"b\"\n | \"c\"\nother ::= \"x\"", "c", true},
    {GRAMMAR_GBNF, "root ::= (\"a\"\n\"b\")+", "abab", true},
    {GRAMMAR_GBNF, "root ::= a{2,}\na ::= \"x\" | \"\"", "xxx", true},
    {GRAMMAR_GBNF, "root ::= [\\x41-\\u005A]+ \"\\u00e9\"", "AZ\xC3\xA9", true},
    {GRAMMAR_GBNF, "root ::= a a\na ::= b*\nb ::= \"x\" a \"y\"", "xxyyxy", true},
    {GRAMMAR_GBNF, "root ::= a a\na ::= b*\nb ::= \"x\" a \"y\"", "xxyyx", false},
    {GRAMMAR_GBNF, "root ::= \"a\" root \"b\" | \"\"", "aaabbb", true},
    {GRAMMAR_GBNF, "root ::= \"a\" root | \"b\"", "aaab", true},
};

START_TEST(a_text_is_of_the_language_or_not)
{
    const struct word *w = &words[_i];
    struct grammar *g = compiled(w->language, w->grammar);
    ck_assert_msg(accepts(g, w->text) == w->right, "%s: %s", w->grammar, w->text);
    grammar_release(g);
}
END_TEST

static const struct fault {
    enum grammar_language language;
    const char *grammar;
    enum status status;
    const char *says;
} faults[] = {
    {GRAMMAR_REGEX, "(a", STATUS_INVALID, "closed by )"},
    {GRAMMAR_REGEX, "a)", STATUS_INVALID, "closes nothing"},
    {GRAMMAR_REGEX, "*a", STATUS_INVALID, "nothing to repeat"},
    {GRAMMAR_REGEX, "[z-a]", STATUS_INVALID, "backwards"},
    {GRAMMAR_REGEX, "[a", STATUS_INVALID, "ends early"},
    {GRAMMAR_REGEX, "a{3,2}", STATUS_INVALID, "less than its least"},
    {GRAMMAR_REGEX, "(?=a)b", STATUS_UNSUPPORTED, "looking around"},
    {GRAMMAR_REGEX, "(a)\\1", STATUS_UNSUPPORTED, "back references"},
    {GRAMMAR_REGEX, "\\bx", STATUS_UNSUPPORTED, "word borders"},
    {GRAMMAR_REGEX, "\\p{L}", STATUS_UNSUPPORTED, "Unicode property"},
    {GRAMMAR_REGEX, "a^b", STATUS_UNSUPPORTED, "anchor"},
    {GRAMMAR_REGEX, "[]", STATUS_INVALID, "never ends"},
    {GRAMMAR_REGEX, "\xFF", STATUS_INVALID, "UTF-8"},
    {GRAMMAR_REGEX, "(a{1000}){1000}", STATUS_TOO_LARGE, "too large"},
    {GRAMMAR_REGEX, "(a|b)*a(a|b){30}", STATUS_TOO_LARGE, "too large"},
    {GRAMMAR_GBNF, "", STATUS_INVALID, "no rule \"root\""},
    {GRAMMAR_GBNF, "root ::= other", STATUS_INVALID, "\"other\" is used and not defined"},
    {GRAMMAR_GBNF, "root ::= \"a\"\nroot ::= \"b\"", STATUS_INVALID, "line 2"},
    {GRAMMAR_GBNF, "root ::= root \"a\" | \"b\"", STATUS_INVALID, "begins with itself"},
    {GRAMMAR_GBNF, "root ::= \"c\" a\na ::= b \"x\" | \"y\"\nb ::= e a\ne ::= \"q\" | \"\"",
     STATUS_INVALID, "begins with itself"},
    {GRAMMAR_GBNF, "root ::= \"a\" root", STATUS_INVALID, "never ends"},
    {GRAMMAR_GBNF, "root ::= \"a", STATUS_INVALID, "ends inside a string"},
    {GRAMMAR_GBNF, "root ::= \"\\q\"", STATUS_INVALID, "unknown escape"},
    {GRAMMAR_GBNF, "root ::= <[5]>", STATUS_UNSUPPORTED, "tokens"},
    {GRAMMAR_GBNF, "root = \"a\"", STATUS_INVALID, "\"::=\""},
    {GRAMMAR_GBNF, "root ::= \"a\" )", STATUS_INVALID, "not expected"},
    {GRAMMAR_GBNF, "root ::= \"\\ud800\"", STATUS_INVALID, "no Unicode character"},
};

START_TEST(what_is_wrong_is_said)
{
    const struct fault *f = &faults[_i];
    struct grammar *g = NULL;
    struct error err = {0};
    enum status status = grammar_compile(&g, f->language, f->grammar, strlen(f->grammar),
                                         vocabulary, &grammar_limits_default, &err);
    ck_assert_msg(status == f->status && strstr(err.text, f->says) != NULL, "%s: %d %s", f->grammar,
                  status, err.text);
    ck_assert_ptr_null(g);
}
END_TEST

START_TEST(nesting_is_bounded)
{
    char text[4000];
    struct grammar *g = NULL;
    struct error err;
    memset(text, '(', 2000);
    memset(text + 2000, ')', 2000);
    ck_assert_int_eq(grammar_compile(&g, GRAMMAR_REGEX, text, sizeof text, vocabulary,
                                     &grammar_limits_default, &err),
                     STATUS_TOO_LARGE);
    g = compiled(GRAMMAR_GBNF, ARITHMETIC);
    struct matcher *m = matcher_of(g);
    size_t depth = 0;
    while (depth < 10000 && matcher_take(m, "(", 1))
        depth++;
    ck_assert_uint_gt(depth, 200);
    ck_assert_uint_le(depth, STACK_DEPTH);
    ck_assert(matcher_take(m, "1", 1));
    for (size_t i = 0; i < depth; i++)
        ck_assert(matcher_take(m, ")", 1));
    ck_assert(matcher_may_end(m));
    matcher_destroy(m);
    grammar_release(g);
}
END_TEST

/* --- tokens --- */

START_TEST(choices_are_texts)
{
    static const struct vocabulary_piece choices[] = {
        {.bytes = "yes", .n = 3}, {.bytes = "no", .n = 2}, {.bytes = "not sure", .n = 8}};
    struct grammar *g = NULL;
    struct error err;
    ck_assert_int_eq(grammar_of_choices(&g, choices, 3, vocabulary, &grammar_limits_default, &err),
                     STATUS_OK);
    ck_assert(accepts(g, "yes") && accepts(g, "no") && accepts(g, "not sure"));
    ck_assert(!accepts(g, "ye") && !accepts(g, "nope") && !accepts(g, ""));
    grammar_release(g);
}
END_TEST

START_TEST(control_tokens_are_their_names_and_set_apart)
{
    const struct vocabulary_piece own[] = {
        {"a", 1, false}, {"<|x|>", 5, true}, {"<", 1, false}, {NULL, 0, true}};
    struct vocabulary *v = NULL;
    struct grammar *g = NULL;
    struct mask_scratch *scratch = NULL;
    struct error err;
    uint64_t bits = 0;
    ck_assert_int_eq(vocabulary_create(&v, own, 4, &err), STATUS_OK);
    ck_assert_uint_eq(v->control[0], 1 << 1 | 1 << 3);
    ck_assert_int_eq(
        grammar_compile(&g, GRAMMAR_REGEX, "<\\|x\\|>a", 9, v, &grammar_limits_default, &err),
        STATUS_OK);
    ck_assert_int_eq(mask_scratch_create(&scratch, v, &err), STATUS_OK);
    struct matcher *m = matcher_of(g);
    ck_assert_uint_eq(masks_fill(g->masks, m, scratch, &bits), 2);
    ck_assert_uint_eq(bits, 1 << 1 | 1 << 2);
    matcher_destroy(m);
    mask_scratch_destroy(scratch);
    grammar_release(g);
    vocabulary_destroy(v);
}
END_TEST

/* --- triggers --- */

/* Where the first trigger ends in the text, and which; the length, and n, where none occurs. */
static size_t first_trigger(const struct expr_bytes *triggers, size_t n, const char *text,
                            size_t length, size_t *which)
{
    *which = n;
    for (size_t end = 1; end <= length && *which == n; end++)
        for (size_t i = 0; i < n; i++)
            if (triggers[i].n <= end &&
                memcmp(text + end - triggers[i].n, triggers[i].bytes, triggers[i].n) == 0 &&
                (*which == n || triggers[i].n > triggers[*which].n)) {
                *which = i;
                length = end;
            }
    return length;
}

static struct grammar *until(const struct expr_bytes *triggers, size_t n, size_t which)
{
    struct grammar_builder *b = NULL;
    struct grammar *g = NULL;
    struct error err;
    ck_assert_int_eq(expr_builder_create(&b, &grammar_limits_default, &err), STATUS_OK);
    const struct expr *e =
        which == n ? expr_until(b, triggers, n) : expr_through(b, triggers, n, which);
    ck_assert_int_eq(grammar_build(&g, b, e, vocabulary, &grammar_limits_default, &err), STATUS_OK);
    expr_builder_destroy(b);
    return g;
}

START_TEST(free_text_ends_at_the_first_trigger)
{
    random_state = 3 + (uint64_t)_i;
    char room[3][6], text[12];
    struct expr_bytes triggers[3];
    const size_t n = 1 + random_below(3);
    for (size_t i = 0; i < n; i++) {
        size_t length = 1 + random_below(5);
        for (size_t k = 0; k < length; k++)
            room[i][k] = (char)(random_below(2) == 0 ? 'a' : 0xFF);
        triggers[i] = (struct expr_bytes){room[i], length};
    }
    for (size_t which = 0; which <= n; which++) {
        struct grammar *g = NULL;
        size_t found, same = 0;
        for (size_t i = 0; i < which && which < n; i++)
            same |= triggers[i].n == triggers[which].n &&
                    memcmp(room[i], room[which], triggers[i].n) == 0;
        if (same ||
            (which < n && first_trigger(triggers, n, room[which], triggers[which].n, &found) <
                              triggers[which].n) ||
            (which < n && found != which))
            continue; /* another one always comes before it */
        g = until(triggers, n, which);
        for (int round = 0; round < 300; round++) {
            size_t length = random_below(sizeof text);
            for (size_t k = 0; k < length; k++)
                text[k] = (char)(random_below(8) == 0 ? 'b' : random_below(2) == 0 ? 'a' : 0xFF);
            struct matcher *m = matcher_of(g);
            bool right =
                first_trigger(triggers, n, text, length, &found) == length && found == which;
            ck_assert((matcher_take(m, text, length) && matcher_may_end(m)) == right);
            matcher_destroy(m);
        }
        grammar_release(g);
    }
}
END_TEST

START_TEST(a_call_after_free_text_and_free_text_again)
{
    static const struct expr_bytes open = {"<call>", 6};
    struct grammar_builder *b = NULL;
    struct grammar *g = NULL;
    struct error err;
    ck_assert_int_eq(expr_builder_create(&b, &grammar_limits_default, &err), STATUS_OK);
    const struct expr *call[] = {expr_through(b, &open, 1, 0), regex_read(b, "[0-9]+", 6, true),
                                 expr_string(b, "</call>")};
    const struct expr *all[] = {expr_repeat(b, expr_sequence(b, call, 3), 0, EXPR_MANY),
                                expr_until(b, &open, 1)};
    ck_assert_int_eq(
        grammar_build(&g, b, expr_sequence(b, all, 2), vocabulary, &grammar_limits_default, &err),
        STATUS_OK);
    ck_assert(accepts(g, "") && accepts(g, "free <call text\xFF</call>"));
    ck_assert(accepts(g, "<<call>12</call>and <call>3</call> <ca"));
    ck_assert(!accepts(g, "<call>") && !accepts(g, "a<call>x</call>"));
    ck_assert(!accepts(g, "<call>1</call><call>"));
    expr_builder_destroy(b);
    grammar_release(g);
}
END_TEST

/* --- two expressions at once --- */

static const struct {
    const char *a, *z, *text;
    bool of_a, of_z;
} pairs[] = {
    {"[a-z]+", ".{2,3}", "ab", true, true},
    {"[a-z]+", ".{2,3}", "a", true, false},
    {"[a-z]+", ".{2,3}", "abcd", true, false},
    {"[a-z]+", ".{2,3}", "a1", false, true},
    {"(ab)*", "(abab)*", "abab", true, true},
    {"(ab)*", "(abab)*", "ababab", true, false},
    {"[^x]*", ".*\xC3\xA9.*", "a\xC3\xA9", true, true},
    {"[^x]*", ".*\xC3\xA9.*", "\xC3\xA8", true, false},
    {"a|b|c", "b", "b", true, true},
    {"a|b|c", "b", "c", true, false},
    {"a|b|c", "", "a", true, false},
};

START_TEST(both_match_or_one_without_the_other)
{
    struct grammar_builder *b = NULL;
    struct error err;
    const char *text = pairs[_i].text;
    ck_assert_int_eq(expr_builder_create(&b, &grammar_limits_default, &err), STATUS_OK);
    const struct expr *a = regex_read(b, pairs[_i].a, strlen(pairs[_i].a), true);
    const struct expr *z = regex_read(b, pairs[_i].z, strlen(pairs[_i].z), true);
    const struct expr *made[] = {a, z, expr_both(b, a, z), expr_but(b, a, z), expr_but(b, z, a)};
    const bool right[] = {pairs[_i].of_a, pairs[_i].of_z, pairs[_i].of_a && pairs[_i].of_z,
                          pairs[_i].of_a && !pairs[_i].of_z, pairs[_i].of_z && !pairs[_i].of_a};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        struct grammar *g = NULL;
        ck_assert(regular_matches(b, made[i], text, strlen(text)) == right[i]);
        ck_assert_int_eq(expr_status(b), STATUS_OK);
        if (regular_is_empty(b, made[i]))
            continue;
        ck_assert_int_eq(grammar_build(&g, b, made[i], vocabulary, &grammar_limits_default, &err),
                         STATUS_OK);
        ck_assert(accepts(g, text) == right[i]);
        grammar_release(g);
    }
    ck_assert(regular_is_empty(b, expr_but(b, a, a)) && !regular_is_empty(b, expr_both(b, a, a)));
    expr_builder_destroy(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grammar");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, make_vocabulary, forget_vocabulary);
    tcase_add_loop_test(tc, a_text_is_of_the_language_or_not, 0, sizeof words / sizeof *words);
    tcase_add_loop_test(tc, what_is_wrong_is_said, 0, sizeof faults / sizeof *faults);
    tcase_add_test(tc, nesting_is_bounded);
    tcase_add_test(tc, choices_are_texts);
    tcase_add_test(tc, control_tokens_are_their_names_and_set_apart);
    tcase_add_loop_test(tc, free_text_ends_at_the_first_trigger, 0, 60);
    tcase_add_test(tc, a_call_after_free_text_and_free_text_again);
    tcase_add_loop_test(tc, both_match_or_one_without_the_other, 0, sizeof pairs / sizeof *pairs);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
