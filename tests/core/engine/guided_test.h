/* guided_test.h - jobs whose texts must keep to a grammar, and whether they do. */
#pragma once

#include "engine_test.h"

#include "grammar/grammar.h"

static inline struct grammar *grammar_of(struct engine *engine, enum grammar_language language,
                                         const char *text)
{
    const struct vocabulary *v;
    struct grammar *g;
    struct error err;
    ok(engine_vocabulary(engine, &v, &err), &err);
    ok(grammar_compile(&g, language, text, strlen(text), v, &grammar_limits_default, &err), &err);
    return g;
}

/* Everything may come that the grammar allows, at temperature 1. */
static inline struct request guided(struct grammar *grammar, size_t max_tokens, uint32_t seed)
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

static inline bool text_matches(const struct grammar *g, const char *text, size_t n)
{
    struct matcher *m;
    struct error err;
    ok(matcher_create(&m, g->automaton, &err), &err);
    bool matches = matcher_take(m, text, n) && matcher_may_end(m);
    matcher_destroy(m);
    return matches;
}

static inline bool job_matches(const struct job *job)
{
    return text_matches(job->grammar, job->text, job->n_text);
}

static inline void text_is(const struct job *job, const char *text)
{
    ck_assert_msg(job->n_text == strlen(text) && memcmp(job->text, text, job->n_text) == 0,
                  "\"%.*s\" instead of \"%s\"", (int)job->n_text, job->text, text);
}

/* Lists in lists, with numbers and words. */
static const char list_gbnf[] =
    "root ::= \"[\" (item (\", \" item)*)? \"]\"\n"
    "item ::= [0-9]{1,4} | root | \"\\\"\" [a-z ]{0,8} \"\\\"\" | \"{\\\"name\\\": \" root \"}\"";
/* Much of it is forced. */
static const char record_gbnf[] =
    "root ::= \"{\\\"first_name\\\": \\\"\" [a-z]{1,6} \"\\\", \\\"the_age_in_years\\\": \" "
    "[1-9][0-9] \", \\\"is_member\\\": \" (\"true\" | \"false\") \"}\"";
