/* test_masks.c - a mask is what trying every token gives, however it was made, kept or not, and
 * however deep the text is; and from everywhere there is a way to the end.
 */
#include "grammar_test.h"

#include "grammar/lookahead.h"

#include <stdio.h>

static const struct {
    enum grammar_language language;
    const char *grammar;
} shapes[] = {
    {GRAMMAR_GBNF, JSON},
    {GRAMMAR_GBNF, ARITHMETIC},
    {GRAMMAR_GBNF, "root ::= \"a\" root \"b\" | \"\""},
    {GRAMMAR_GBNF, "root ::= (a | b)+\na ::= \"x\" a \"y\" | \"a\"\nb ::= \"x\" b | \"b\""},
    {GRAMMAR_GBNF,
     "root ::= \"\\\"\" [^\"]{3,100} \"\\\"\" | [a-b]{50} | (\"a\" | \"ab\" | \"b\"){2,60}"},
    {GRAMMAR_REGEX, "(a|ab|x)*(b|bb)?(\\d{1,3}\\.){3}\\d+"},
    {GRAMMAR_REGEX, "[^\"\\\\]*"},
    /* strings of JSON, of so many characters and no more */
    {GRAMMAR_REGEX, "\"([^\\x00-\\x1F\"\\\\]|\\\\[\"n]){2,5}\"[,:]?"},
    {GRAMMAR_REGEX, "([^\\x00-\\x1F\"\\\\]{3}){1,70}"},
    {GRAMMAR_GBNF,
     "root ::= (s \",\"){1,3}\ns ::= \"\\\"\" [^\\x00-\\x1F\"\\\\]{0,4} \"\\\"\" | \"[\" s \"]\""},
    {GRAMMAR_GBNF, "root ::= [a-zA-Z_]{2,3} t?\nt ::= [0-9]{1,2} root | \"(\" root \")\""},
};

/* What trying each token gives. */
static void mask_by_trial(struct matcher *m, uint64_t *bits)
{
    static struct lookahead l;
    memset(bits, 0, vocabulary_n_words(vocabulary) * sizeof *bits);
    for (size_t id = 0; id < n_pieces; id++) {
        if (pieces[id].bytes == NULL)
            continue;
        lookahead_begin(&l, m);
        if (lookahead_take(&l, pieces[id].bytes, pieces[id].n))
            bits[id / 64] |= (uint64_t)1 << id % 64;
        lookahead_end(&l);
    }
}

static size_t nth_set(const uint64_t *bits, size_t n)
{
    size_t i = 0;
    for (;; i++)
        if ((bits[i / 64] >> i % 64 & 1) != 0 && n-- == 0)
            return i;
}

START_TEST(a_mask_is_what_trying_every_token_gives)
{
    struct grammar *g = compiled(shapes[_i].language, shapes[_i].grammar);
    struct mask_scratch *scratch = NULL;
    struct error err;
    ck_assert_int_eq(mask_scratch_create(&scratch, vocabulary, &err), STATUS_OK);
    size_t n_words = vocabulary_n_words(vocabulary);
    uint64_t *bits = calloc(n_words, sizeof *bits), *right = calloc(n_words, sizeof *right);
    ck_assert(bits != NULL && right != NULL);
    random_state = 11;
    for (int walk = 0; walk < 12; walk++) {
        struct matcher *m = matcher_of(g);
        for (int step = 0; step < 60; step++) {
            size_t n = masks_fill(g->masks, m, scratch, bits);
            mask_by_trial(m, right);
            ck_assert_mem_eq(bits, right, n_words * sizeof *bits);
            ck_assert(n > 0 || matcher_may_end(m)); /* never a dead end */
            if (n == 0)
                break;
            uint32_t distance = matcher_distance(m);
            ck_assert_uint_ne(distance, DISTANCE_NONE);
            ck_assert((distance == 0) == matcher_may_end(m));
            size_t id = nth_set(bits, random_below((uint32_t)n));
            ck_assert(matcher_take(m, pieces[id].bytes, pieces[id].n));
        }
        matcher_destroy(m);
    }
    mask_scratch_destroy(scratch);
    free(bits);
    free(right);
    grammar_release(g);
}
END_TEST

/* Whatever was generated: by the way that the distance goes down it ends in so many bytes. */
START_TEST(a_text_can_always_be_completed_in_its_distance)
{
    struct grammar *g = compiled(shapes[_i].language, shapes[_i].grammar);
    random_state = 5;
    for (int walk = 0; walk < 20; walk++) {
        struct matcher *m = matcher_of(g);
        for (int step = 0; step < 40; step++) {
            char byte = (char)random_below(256);
            (void)matcher_take(m, &byte, 1);
        }
        for (uint32_t left = matcher_distance(m); left > 0; left--) {
            bool closer = false;
            for (int byte = 0; byte < 256 && !closer; byte++) {
                struct matcher_place at[MATCHER_PLACES];
                struct matcher_places kept = m->now;
                size_t n_nodes = m->n_nodes;
                memcpy(at, kept.at, kept.n * sizeof *at);
                char c = (char)byte;
                if (!matcher_take(m, &c, 1))
                    continue;
                closer = matcher_distance(m) == left - 1;
                if (!closer) {
                    memcpy(m->now.at, at, kept.n * sizeof *at);
                    m->now.n = kept.n;
                    m->now.ended = kept.ended;
                    matcher_forget(m, n_nodes);
                }
            }
            ck_assert(closer);
        }
        ck_assert(matcher_may_end(m));
        matcher_destroy(m);
    }
    grammar_release(g);
}
END_TEST

/* --- deep texts --- */

/* `opens` goes deeper, from wherever it has led. */
static const struct {
    const char *grammar, *begin, *opens;
} deep[] = {
    {ARITHMETIC, "", "("},
    {JSON, "{\"a\":", "["},
    {JSON, "{\"a\":", "{\"b\":"},
    {"root ::= \"a\" root \"b\" | \"c\"", "", "a"},
    /* what it needs comes only later: after a string of anything, one more rule */
    {"root ::= \"(\" [^()]* \",\" word root \")\" | word\nword ::= [a-z]{1,2} tail\n"
     "tail ::= \"x\" word | \"1\"",
     "", "(ab,a1"},
    /* many rules at one byte, and several texts at once */
    {"root ::= a | b\na ::= c \"y\"\nc ::= d \"e\"\nd ::= \"(\" root \")\" | \"x\"\n"
     "b ::= \"(\" (a | b) \")\" | [a-z]* \"1\"",
     "", "("},
};

static bool take(struct matcher *m, const char *text)
{
    return matcher_take(m, text, strlen(text));
}

static struct mask_scratch *scratch_of(void)
{
    struct mask_scratch *scratch = NULL;
    struct error err;
    ck_assert_int_eq(mask_scratch_create(&scratch, vocabulary, &err), STATUS_OK);
    return scratch;
}

static uint64_t *a_mask(void)
{
    uint64_t *bits = calloc(vocabulary_n_words(vocabulary), sizeof *bits);
    ck_assert_ptr_nonnull(bits);
    return bits;
}

static uint32_t depth_of(const struct matcher *m)
{
    uint32_t most = 0;
    for (size_t i = 0; i < m->now.n; i++) {
        const uint32_t depth = m->nodes[m->now.at[i].node].depth;
        most = depth > most ? depth : most;
    }
    return most;
}

/* At every depth near the most: the mask, and that something leads to an end. */
START_TEST(deep_texts_have_masks_by_trial)
{
    struct grammar *g = compiled(GRAMMAR_GBNF, deep[_i].grammar);
    struct mask_scratch *scratch = scratch_of();
    const size_t n_bytes = vocabulary_n_words(vocabulary) * sizeof(uint64_t);
    uint64_t *bits = a_mask(), *right = a_mask();
    struct matcher *m = matcher_of(g);
    random_state = 3;
    ck_assert(take(m, deep[_i].begin));
    for (size_t n = 0; take(m, deep[_i].opens); n++) {
        ck_assert_uint_le(depth_of(m), STACK_DEPTH);
        if (depth_of(m) + 24 < STACK_DEPTH && n % 100 != 0)
            continue;
        masks_fill(g->masks, m, scratch, bits);
        mask_by_trial(m, right);
        ck_assert_mem_eq(bits, right, n_bytes);
    }
    ck_assert_uint_gt(depth_of(m) + 8, STACK_DEPTH);
    for (int step = 0; step < 600 && !matcher_may_end(m); step++) {
        size_t n = masks_fill(g->masks, m, scratch, bits);
        mask_by_trial(m, right);
        ck_assert_mem_eq(bits, right, n_bytes);
        ck_assert_uint_gt(n, 0);
        size_t id = nth_set(bits, random_below((uint32_t)n));
        ck_assert(matcher_take(m, pieces[id].bytes, pieces[id].n));
    }
    matcher_destroy(m);
    mask_scratch_destroy(scratch);
    free(bits);
    free(right);
    grammar_release(g);
}
END_TEST

/* A cache that a deep text filled gives a shallow one what its own would, and without room too. */
START_TEST(kept_masks_owe_nothing_to_who_asked)
{
    struct grammar_limits none = grammar_limits_default;
    struct grammar *g[2] = {compiled(GRAMMAR_GBNF, deep[_i].grammar),
                            compiled(GRAMMAR_GBNF, deep[_i].grammar)};
    struct masks *unkept = NULL;
    struct error err;
    none.n_bytes = 1;
    ck_assert_int_eq(masks_create(&unkept, g[0]->automaton, vocabulary, none.n_bytes, &err),
                     STATUS_OK);
    struct mask_scratch *scratch = scratch_of();
    const size_t n_bytes = vocabulary_n_words(vocabulary) * sizeof(uint64_t);
    uint64_t *bits = a_mask(), *other = a_mask();
    struct matcher *m = matcher_of(g[0]);
    ck_assert(take(m, deep[_i].begin));
    for (size_t n = 0; n < 5000 && take(m, deep[_i].opens); n++)
        if (n % 16 == 15)
            masks_fill(g[0]->masks, m, scratch, bits);
    for (size_t n = 0; n < 3; n++) {
        masks_fill(g[0]->masks, m, scratch, bits);
        masks_fill(g[1]->masks, m, scratch, other);
        ck_assert_mem_eq(bits, other, n_bytes);
        masks_fill(unkept, m, scratch, other);
        ck_assert_mem_eq(bits, other, n_bytes);
        matcher_destroy(m);
        m = matcher_of(g[0]);
        ck_assert(take(m, deep[_i].begin));
        ck_assert(n == 0 || take(m, deep[_i].opens));
    }
    matcher_destroy(m);
    masks_destroy(unkept);
    mask_scratch_destroy(scratch);
    free(bits);
    free(other);
    grammar_release(g[0]);
    grammar_release(g[1]);
}
END_TEST

/* Each of its rules needs the next one, and may begin anew. */
static enum status compile_stairs(int n_rules, struct error *err)
{
    char text[40000];
    size_t n = 0;
    struct grammar *g = NULL;
    for (int i = 0; i < n_rules; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "r%d ::= \"(\" r%d \")\" | \"[\" r%d r0 \"]\"\n", i, i + 1, i + 1);
    snprintf(text + n, sizeof text - n, "r%d ::= \"1\"\nroot ::= r0 \".\"\n", n_rules);
    enum status status = grammar_compile(&g, GRAMMAR_GBNF, text, strlen(text), vocabulary,
                                         &grammar_limits_default, err);
    grammar_release(g);
    return status;
}

START_TEST(a_grammar_that_only_goes_deeper_is_refused)
{
    struct error err;
    ck_assert_int_eq(compile_stairs(STACK_DEPTH - 10, &err), STATUS_OK);
    ck_assert_int_eq(compile_stairs(STACK_DEPTH + 10, &err), STATUS_TOO_LARGE);
    ck_assert_msg(strstr(err.text, "nested too deeply") != NULL, "%s", err.text);
}
END_TEST

/* So many ways at once that finding what may come has to be given up: in bounded work, and what is
 * set is right. */
START_TEST(too_many_ways_are_given_up)
{
    static const char *const grammars[] = {"root ::= s\ns ::= . s? s? s?",
                                           "root ::= s+\ns ::= t | t s t\nt ::= .+ s?"};
    struct grammar *g = compiled(GRAMMAR_GBNF, grammars[_i]);
    struct mask_scratch *scratch = scratch_of();
    uint64_t *bits = a_mask(), *right = a_mask();
    struct matcher *m = matcher_of(g);
    bool overran = false;
    random_state = 9;
    for (int step = 0; step < 40 && !overran; step++) {
        size_t n = masks_fill(g->masks, m, scratch, bits);
        ck_assert_uint_lt(m->work, 5000000);
        ck_assert_uint_gt(n, 0);
        overran = m->overran;
        mask_by_trial(m, right);
        for (size_t i = 0; i < vocabulary_n_words(vocabulary); i++)
            ck_assert((bits[i] & ~right[i]) == 0 && (overran || bits[i] == right[i]));
        size_t id = nth_set(bits, random_below((uint32_t)n));
        ck_assert(matcher_take(m, pieces[id].bytes, pieces[id].n));
        ck_assert(matcher_may_end(m));
    }
    ck_assert(overran);
    matcher_destroy(m);
    mask_scratch_destroy(scratch);
    free(bits);
    free(right);
    grammar_release(g);
}
END_TEST

START_TEST(a_long_repetition_keeps_few_masks)
{
    struct grammar *g = compiled(GRAMMAR_REGEX, "\"[a-z ]{0,5000}\"");
    ck_assert_uint_gt(g->automaton->n_states, 5000);
    ck_assert_uint_lt(g->automaton->n_likenesses, 200);
    grammar_release(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("masks");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, make_vocabulary, forget_vocabulary);
    tcase_add_loop_test(tc, a_mask_is_what_trying_every_token_gives, 0,
                        sizeof shapes / sizeof *shapes);
    tcase_add_loop_test(tc, a_text_can_always_be_completed_in_its_distance, 0,
                        sizeof shapes / sizeof *shapes);
    tcase_add_loop_test(tc, deep_texts_have_masks_by_trial, 0, sizeof deep / sizeof *deep);
    tcase_add_loop_test(tc, kept_masks_owe_nothing_to_who_asked, 0, sizeof deep / sizeof *deep);
    tcase_add_test(tc, a_grammar_that_only_goes_deeper_is_refused);
    tcase_add_loop_test(tc, too_many_ways_are_given_up, 0, 2);
    tcase_add_test(tc, a_long_repetition_keeps_few_masks);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
