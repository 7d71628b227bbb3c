/* test_engine_guided.c - texts that must keep to a grammar. */
#include "engine_test.h"

#include "grammar/grammar.h"

static const struct vocabulary *vocabulary_of(struct engine *engine)
{
    const struct vocabulary *v;
    struct error err;
    ok(engine_vocabulary(engine, &v, &err), &err);
    return v;
}

static struct grammar *grammar_of(struct engine *engine, enum grammar_language language,
                                  const char *text)
{
    struct grammar *g;
    struct error err;
    ok(grammar_compile(&g, language, text, strlen(text), vocabulary_of(engine),
                       &grammar_limits_default, &err),
       &err);
    return g;
}

static struct request guided(struct grammar *grammar, size_t max_tokens, uint32_t seed)
{
    struct request r = simple(5, max_tokens, seed);
    r.ignore_eos = false;
    r.temperature = 1;
    r.top_k = 0;
    r.top_p = 1;
    r.min_p = 0;
    r.grammar = grammar;
    return r;
}

static bool text_matches(const struct grammar *g, const struct job *job)
{
    struct matcher *m;
    struct error err;
    ok(matcher_create(&m, g->automaton, &err), &err);
    bool matches = matcher_take(m, job->text, job->n_text) && matcher_may_end(m);
    matcher_destroy(m);
    return matches;
}

START_TEST(every_way_of_drawing_keeps_to_the_grammar)
{
    const struct engine_options o = options_of(1, 2);
    struct engine *engine = engine_open(&o);
    struct grammar *g = grammar_of(
        engine, GRAMMAR_GBNF,
        "root ::= \"[\" (item (\", \" item)*)? \"]\"\nitem ::= [0-9]{1,4} | root | \"\\\"\" "
        "[a-z ]{0,8} \"\\\"\"");
    for (uint32_t i = 0; i < 24; i++) {
        struct request r = guided(g, 300, i);
        r.temperature = i % 3 == 0 ? 0 : 1;
        r.top_k = i % 4 == 1 ? 5 : 0;
        r.top_p = i % 4 == 2 ? 0.9f : 1;
        r.typical_p = i % 8 == 3 ? 0.9f : 1;
        r.repetition_penalty = i % 5 == 0 ? 1.2f : 1;
        struct job *job = run_request(engine, &r);
        ck_assert_int_ne(job->finish, FINISH_ERROR);
        if (job->finish == FINISH_STOP)
            ck_assert(text_matches(g, job));
        job_destroy(job);
    }
    grammar_release(g);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_guided");
    TCase *tests = tcase_create("guided");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, world_open, world_close);
    tcase_add_test(tests, every_way_of_drawing_keeps_to_the_grammar);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
