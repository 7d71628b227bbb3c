/* grammar.c - from a text to an automaton and its masks. See grammar.h. */
#include "grammar/grammar.h"

#include "grammar/read.h"

#include <stdlib.h>

enum status grammar_build(struct grammar **out, struct grammar_builder *b, const struct expr *root,
                          const struct vocabulary *vocabulary, const struct grammar_limits *limits,
                          struct error *err)
{
    struct grammar *g = calloc(1, sizeof *g);
    if (g == NULL)
        return error_no_memory(err, sizeof *g, "a grammar");
    g->vocabulary = vocabulary;
    atomic_init(&g->n_holders, 1);
    uint32_t rule = rule_declare(b, "root", 4);
    rule_define(b, rule, root);
    enum status status = automaton_build(&g->automaton, b, rule, limits, vocabulary->longest, err);
    if (status == STATUS_OK)
        status = masks_create(&g->masks, g->automaton, vocabulary, limits->n_bytes, err);
    if (status != STATUS_OK) {
        grammar_release(g);
        return status;
    }
    *out = g;
    return STATUS_OK;
}

enum status grammar_compile(struct grammar **out, enum grammar_language language, const char *text,
                            size_t n, const struct vocabulary *vocabulary,
                            const struct grammar_limits *limits, struct error *err)
{
    struct grammar_builder *b;
    enum status status = expr_builder_create(&b, limits, err);
    if (status != STATUS_OK)
        return status;
    const struct expr *root =
        language == GRAMMAR_GBNF ? gbnf_read(b, text, n) : regex_read(b, text, n, true);
    status = grammar_build(out, b, root, vocabulary, limits, err);
    expr_builder_destroy(b);
    return status;
}

enum status grammar_of_choices(struct grammar **out, const struct vocabulary_piece *choices,
                               size_t n, const struct vocabulary *vocabulary,
                               const struct grammar_limits *limits, struct error *err)
{
    struct grammar_builder *b;
    enum status status = expr_builder_create(&b, limits, err);
    if (status != STATUS_OK)
        return status;
    struct expr_list list = {0};
    for (size_t i = 0; i < n; i++)
        expr_list_add(b, &list, expr_text(b, choices[i].bytes, choices[i].n));
    status = grammar_build(out, b, expr_choice(b, list.at, list.n), vocabulary, limits, err);
    expr_builder_destroy(b);
    return status;
}

struct grammar *grammar_retain(struct grammar *g)
{
    atomic_fetch_add_explicit(&g->n_holders, 1, memory_order_relaxed);
    return g;
}

void grammar_release(struct grammar *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->n_holders, 1, memory_order_acq_rel) > 1)
        return;
    masks_destroy(g->masks);
    automaton_destroy(g->automaton);
    free(g);
}

size_t grammar_bytes(const struct grammar *g)
{
    const struct automaton *a = g->automaton;
    return sizeof *g + sizeof *a + masks_bytes(g->masks) +
           a->n_states * (a->n_classes * sizeof *a->next + sizeof *a->states) +
           a->n_calls * sizeof *a->calls + a->n_rules * sizeof *a->rules;
}
