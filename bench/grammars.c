/* grammars.c - times shapes of answers: how long a schema or a grammar takes to compile, and how
 * long the mask of a token takes, when it is made and when it is kept.
 *
 * Texts are drawn at random from what the masks allow, so that every kind of place comes up; the
 * second half of a shape's texts counts as warm. A tool: run by hand on a quiet machine.
 * Usage: bench_grammars MODEL.gguf [--tokens N] [--slow] FILE...: JSON Schemas, one a line (.jsonl,
 * .json: one), or one grammar (.gbnf). --tokens: of the first N tokens of the vocabulary; --slow:
 * each shape's own figures too */
#include "api/schema/schema.h"
#include "gguf/gguf.h"
#include "grammar/grammar.h"
#include "text/tokenizer/tokenizer.h"
#include "tool.h"

#include <cjson/cJSON.h>

enum { TEXTS = 12, TOKENS_MOST = 150, SAMPLES_MOST = 4000000 };

struct samples {
    double *at; /* us */
    size_t n;
};

struct bench {
    struct vocabulary *vocabulary;
    struct vocabulary_piece *pieces;
    struct mask_scratch *scratch;
    uint64_t *bits;
    struct samples compile, first, cold, warm;
    bool slow;
};

static void add(struct samples *s, double us)
{
    if (s->at == NULL)
        s->at = buffer(SAMPLES_MOST * sizeof *s->at);
    if (s->n < SAMPLES_MOST)
        s->at[s->n++] = us;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, struct samples *s)
{
    double sum = 0;
    if (s->n == 0)
        return;
    qsort(s->at, s->n, sizeof *s->at, by_value);
    for (size_t i = 0; i < s->n; i++)
        sum += s->at[i];
    printf("%-24s %8zu  mean %9.1f  median %9.1f  p90 %9.1f  p99 %9.1f  most %9.1f us\n", name,
           s->n, sum / (double)s->n, s->at[s->n / 2], s->at[s->n * 9 / 10], s->at[s->n * 99 / 100],
           s->at[s->n - 1]);
}

static void fail(const char *what, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static void read_vocabulary(struct bench *b, const char *path, size_t n_most)
{
    struct error err = {0};
    struct gguf *gguf = NULL;
    struct tokenizer *t = NULL;
    if (gguf_map(&gguf, path, &err) != STATUS_OK || tokenizer_create(&t, gguf, &err) != STATUS_OK)
        fail(path, &err);
    size_t n = tokenizer_n_vocab(t);
    n = n_most > 0 && n_most < n ? n_most : n;
    b->pieces = buffer(n * sizeof *b->pieces);
    for (size_t i = 0; i < n; i++) {
        const bool control = tokenizer_is_control(t, (int32_t)i);
        struct gguf_string piece = tokenizer_piece(t, (int32_t)i, true);
        b->pieces[i] = (struct vocabulary_piece){piece.bytes, piece.n, control};
    }
    double begin = now();
    if (vocabulary_create(&b->vocabulary, b->pieces, n, &err) != STATUS_OK ||
        mask_scratch_create(&b->scratch, b->vocabulary, &err) != STATUS_OK)
        fail(path, &err);
    printf("%zu tokens, %zu nodes, made in %.1f ms\n", n, b->vocabulary->n_nodes,
           1e3 * (now() - begin));
    b->bits = buffer((vocabulary_n_words(b->vocabulary) + 1) * sizeof *b->bits);
}

/* One of the n tokens that are set, at random. */
static size_t draw(const uint64_t *bits, size_t n)
{
    size_t left = noise() % n, i = 0;
    for (; left >= (size_t)__builtin_popcountll(bits[i]); i++)
        left -= (size_t)__builtin_popcountll(bits[i]);
    uint64_t word = bits[i];
    while (left-- > 0)
        word &= word - 1;
    return i * 64 + (size_t)__builtin_ctzll(word);
}

static void try_masks(struct bench *b, const struct grammar *g)
{
    struct error err;
    for (int text = 0; text < TEXTS; text++) {
        struct matcher *m = NULL;
        if (matcher_create(&m, g->automaton, &err) != STATUS_OK)
            fail("a matcher", &err);
        for (int i = 0; i < TOKENS_MOST; i++) {
            double begin = now();
            size_t n = masks_fill(g->masks, m, b->scratch, b->bits);
            add(text == 0 && i == 0 ? &b->first
                : text >= TEXTS / 2 ? &b->warm
                                    : &b->cold,
                1e6 * (now() - begin));
            if (n == 0 || m->overran)
                break;
            size_t id = draw(b->bits, n);
            matcher_take(m, b->pieces[id].bytes, b->pieces[id].n);
        }
        matcher_destroy(m);
    }
}

static void bench_one(struct bench *b, const char *text, size_t n, bool is_gbnf)
{
    struct grammar *g = NULL;
    struct grammar_builder *builder = NULL;
    struct error err = {0};
    size_t n_cold = b->cold.n, n_warm = b->warm.n;
    double begin = now();
    cJSON *schema = is_gbnf ? NULL : cJSON_ParseWithLength(text, n);
    enum status status = expr_builder_create(&builder, &grammar_limits_default, &err);
    if (status == STATUS_OK && is_gbnf)
        status = grammar_compile(&g, GRAMMAR_GBNF, text, n, b->vocabulary, &grammar_limits_default,
                                 &err);
    else if (status == STATUS_OK)
        status = grammar_build(&g, builder, schema_read(builder, schema), b->vocabulary,
                               &grammar_limits_default, &err);
    double us = 1e6 * (now() - begin);
    expr_builder_destroy(builder);
    cJSON_Delete(schema);
    if (status != STATUS_OK) {
        printf("refused: %s: %.60s\n", err.text, text);
        return;
    }
    add(&b->compile, us);
    try_masks(b, g);
    if (b->slow) {
        struct samples cold = {b->cold.at + n_cold, b->cold.n - n_cold};
        struct samples warm = {b->warm.at + n_warm, b->warm.n - n_warm};
        printf("%.70s: %zu states, %.0f us\n", text, g->automaton->n_states, us);
        print("  cold", &cold);
        print("  warm", &warm);
    }
    grammar_release(g);
}

static void bench_file(struct bench *b, const char *path)
{
    const char *end = strrchr(path, '.');
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    const bool lines = end != NULL && strcmp(end, ".jsonl") == 0;
    const bool is_gbnf = end != NULL && strcmp(end, ".gbnf") == 0;
    while ((n = getdelim(&line, &room, lines ? '\n' : '\0', file)) > 0)
        bench_one(b, line, (size_t)n, is_gbnf);
    free(line);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    size_t n_most = 0;
    int at = 2;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++)
        if (strcmp(argv[at], "--slow") == 0)
            b.slow = true;
        else if (at + 1 < argc)
            n_most = strtoul(argv[++at], NULL, 10);
    if (at >= argc) {
        fprintf(stderr, "usage: bench_grammars MODEL.gguf [--tokens N] [--slow] FILE...\n");
        return 1;
    }
    read_vocabulary(&b, argv[1], n_most);
    for (; at < argc; at++)
        bench_file(&b, argv[at]);
    print("compiled", &b.compile);
    print("first mask", &b.first);
    print("masks, first texts", &b.cold);
    print("masks, later texts", &b.warm);
    return 0;
}
