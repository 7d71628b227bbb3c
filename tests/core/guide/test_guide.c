/* test_guide.c - what a guide says against what it means: a forced token is all that the mask
 * allows a text to be, and what fits can be completed in so many tokens.
 */
#include "guide/guide.h"

#include "gguf/gguf.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct tokenizer *tokenizer;
static struct guide_tokens *tokens;
static struct mask_scratch *scratch;
static uint64_t *bits;
static uint64_t state = 3;

static void ok(enum status status, const struct error *err)
{
    ck_assert_msg(status == STATUS_OK, "%s", err->text);
}

static void open_all(void)
{
    struct gguf *gguf;
    struct error err;
    ok(gguf_map(&gguf, TEST_SOURCE_DIR "/models/smallmind-tiny.gguf", &err), &err);
    ok(tokenizer_create(&tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    ok(guide_tokens_create(&tokens, tokenizer, tokenizer_n_vocab(tokenizer), &err), &err);
    ok(mask_scratch_create(&scratch, tokens->vocabulary, &err), &err);
    bits = calloc(vocabulary_n_words(tokens->vocabulary), sizeof *bits);
    ck_assert_ptr_nonnull(bits);
}

static void close_all(void)
{
    free(bits);
    mask_scratch_destroy(scratch);
    guide_tokens_destroy(tokens);
    tokenizer_destroy(tokenizer);
}

static const char *const grammars[] = {
    ("root ::= \"{\\\"name\\\": \" word \", \\\"list\\\": [\" (word (\", \" word)*)? \"]}\"\n"
     "word ::= \"\\\"\" [a-z]{1,9} \"\\\"\""),
    "root ::= \"constant text alone, \" (\"of one kind\" | \"of two kinds\")",
    "root ::= (\"(\" root \")\" | [0-9]+ | \"[\" root \",\" root \"]\") \"\\n\"?",
    "root ::= [äöü]{2,5} \"ß is forced: \" [^a-z]{3}",
};
enum { GRAMMARS = sizeof grammars / sizeof *grammars };

static struct grammar *compile(const char *text)
{
    struct grammar *g;
    struct error err;
    ok(grammar_compile(&g, GRAMMAR_GBNF, text, strlen(text), tokens->vocabulary,
                       &grammar_limits_default, &err),
       &err);
    return g;
}

static struct guide *begin(struct grammar *grammar, size_t max_tokens)
{
    struct guide *g;
    struct error err;
    ok(guide_create(&g, grammar, &err), &err);
    g->tokens = tokens;
    ok(guide_begin(g, max_tokens, &err), &err);
    return g;
}

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* One of the tokens of the mask; GUIDE_NONE: it is empty. */
static int32_t draw(const struct guide *g)
{
    const size_t n_words = vocabulary_n_words(g->tokens->vocabulary);
    size_t n = 0;
    for (size_t k = 0; k < n_words; k++)
        n += (size_t)__builtin_popcountll(bits[k]);
    size_t left = n > 0 ? next() % n : 0;
    for (size_t i = 0; n > 0 && i < n_words * 64; i++)
        if ((bits[i / 64] >> i % 64 & 1) != 0 && left-- == 0)
            return (int32_t)i;
    return GUIDE_NONE;
}

/* Each token that may come begins with the forced one, or is a beginning of it. */
static void agrees(const struct guide *g, int32_t forced)
{
    const struct vocabulary_piece all = g->tokens->pieces[forced];
    size_t n = 0;
    ck_assert((bits[forced / 64] >> forced % 64 & 1) != 0);
    for (size_t i = 0; i < g->tokens->vocabulary->n_ids; i++) {
        if ((bits[i / 64] >> i % 64 & 1) == 0)
            continue;
        const struct vocabulary_piece piece = g->tokens->pieces[i];
        ck_assert_uint_le(piece.n, all.n); /* it is the longest */
        ck_assert_int_eq(memcmp(piece.bytes, all.bytes, piece.n), 0);
        n++;
    }
    ck_assert_uint_gt(n, 0);
    ck_assert(!guide_may_end(g));
}

START_TEST(a_forced_token_is_the_only_text_there_is)
{
    size_t n_forced = 0;
    struct grammar *grammar = compile(grammars[_i]);
    for (int text = 0; text < 40; text++) {
        struct guide *g = begin(grammar, 1000);
        for (int i = 0; i < 60 && !guide_must_end(g); i++) {
            const int32_t forced = guide_forced(g);
            guide_mask(g, scratch, true, true, bits);
            if (forced != GUIDE_NONE)
                agrees(g, forced);
            n_forced += forced != GUIDE_NONE;
            const int32_t id = forced != GUIDE_NONE && text % 2 == 0 ? forced : draw(g);
            ck_assert_int_ne(id, GUIDE_NONE);
            guide_take(g, id);
        }
        guide_destroy(g);
    }
    ck_assert_uint_gt(n_forced, _i == 2 ? 0 : 20);
    grammar_release(grammar);
}
END_TEST

/* Draws as the engine does, and refuses what does not fit. */
static void fill(struct guide *g, size_t n_most)
{
    size_t n = 0;
    for (; n < n_most && !guide_must_end(g); n++) {
        int32_t id = guide_forced(g);
        if (id == GUIDE_NONE) {
            guide_mask(g, scratch, true, true, bits);
            id = draw(g);
            ck_assert_int_ne(id, GUIDE_NONE);
            if (!guide_fits(g, id, n_most - n - 1))
                id = guide_completion(g);
            if (id == GUIDE_NONE) { /* it is complete, and nothing longer fits */
                ck_assert(guide_may_end(g));
                return;
            }
        }
        guide_take(g, id);
    }
    ck_assert(guide_may_end(g));
}

START_TEST(what_fits_is_completed_within_the_limit)
{
    struct grammar *grammar = compile(grammars[_i]);
    size_t fewest = 0;
    for (size_t n = 90; n > 0; n--) {
        struct guide *g = begin(grammar, n);
        if (g->closes)
            fill(g, n);
        ck_assert(!g->closes || fewest == 0);
        if (!g->closes && fewest == 0)
            fewest = n + 1;
        guide_destroy(g);
    }
    ck_assert_uint_lt(fewest, 30);
    grammar_release(grammar);
}
END_TEST

/* Their names are text only for who shows them; ends come where the text may end. */
START_TEST(control_tokens_are_text_where_they_are_shown)
{
    const int32_t end = tokens->ends[0];
    const struct vocabulary_piece name = tokens->pieces[end];
    struct grammar *grammar = compile("root ::= \"a\" [b-y]{2} \"!\"?");
    struct guide *g = begin(grammar, 10);
    ck_assert_uint_gt(name.n, 1);
    while (!guide_may_end(g)) {
        guide_mask(g, scratch, false, false, bits);
        ck_assert((bits[end / 64] >> end % 64 & 1) == 0);
        guide_take(g, draw(g));
    }
    guide_mask(g, scratch, false, false, bits);
    ck_assert((bits[end / 64] >> end % 64 & 1) == 1);
    guide_mask(g, scratch, true, false, bits);
    ck_assert((bits[end / 64] >> end % 64 & 1) == 0);
    guide_destroy(g);
    grammar_release(grammar);
}
END_TEST

START_TEST(what_is_banned_is_never_forced)
{
    struct grammar *grammar = compile(grammars[1]);
    struct guide *g = begin(grammar, 100);
    const int32_t first = guide_forced(g);
    ck_assert_int_ne(first, GUIDE_NONE);
    const struct logit_bias bias = {first, -INFINITY};
    g->biases = &bias;
    g->n_biases = 1;
    const int32_t other = guide_forced(g);
    ck_assert_int_ne(other, first);
    ck_assert_int_ne(other, GUIDE_NONE);
    ck_assert_uint_lt(tokens->pieces[other].n, tokens->pieces[first].n);
    ck_assert_int_ne(guide_completion(g), first);
    guide_destroy(g);
    grammar_release(grammar);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guide");
    TCase *tests = tcase_create("guide");
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, open_all, close_all);
    tcase_add_loop_test(tests, a_forced_token_is_the_only_text_there_is, 0, GRAMMARS);
    tcase_add_loop_test(tests, what_fits_is_completed_within_the_limit, 0, GRAMMARS);
    tcase_add_test(tests, control_tokens_are_text_where_they_are_shown);
    tcase_add_test(tests, what_is_banned_is_never_forced);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
