/* test_sampler.c - each filter against its definition in plain double precision, and the same ids
 * from every kernel table. */
#include "base/cpu.h"
#include "text/candidates.h"
#include "text/philox.h"
#include "text/sampler.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB_MAX = 5000 };

static struct cpu cpu;
static const struct kernels *kernels;

static void setup(void)
{
    struct error err;
    cpu_detect(&cpu);
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
}

static struct sampler *open_sampler(size_t n_vocab)
{
    struct sampler *s;
    struct error err;
    ck_assert_int_eq(sampler_create(&s, n_vocab, kernels, &err), STATUS_OK);
    return s;
}

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static float uniform(uint64_t *state)
{
    return (float)random_below(state, 1 << 24) * 0x1p-24f;
}

static const struct sampling plain = {
    .temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1};

static int32_t draw(struct sampler *s, float *logits, const struct sampling *p,
                    const int32_t *tokens, size_t n_tokens)
{
    int32_t id = -1;
    struct error err;
    enum status status = sampler_draw(s, logits, p, tokens, n_tokens, NULL, 0, &id, &err);
    ck_assert_msg(status == STATUS_OK, "%s", err.text);
    return id;
}

/* --- the definition --- */

struct entry {
    double logit, p, score;
    int id;
};

struct reference {
    struct entry *list;
    size_t n;
    double doubt; /* how near a decision was to falling the other way */
};

static int by_logit(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit)
                                : (x->id > y->id) - (x->id < y->id);
}

static int by_score(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score) : by_logit(a, b);
}

static void normalize(struct reference *r, double temperature)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < r->n; i++)
        max = fmax(max, r->list[i].logit);
    for (size_t i = 0; i < r->n; i++)
        sum += r->list[i].p = exp((r->list[i].logit - max) / temperature);
    for (size_t i = 0; i < r->n; i++)
        r->list[i].p /= sum;
}

static void doubt(struct reference *r, double a, double b)
{
    r->doubt = fmin(r->doubt, fabs(a - b));
}

/* Keeps the first entries until their probabilities together pass p. */
static void keep_until(struct reference *r, double p)
{
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        sum += r->list[i].p;
        doubt(r, sum, p);
        if (sum > p) {
            r->n = i + 1;
            return;
        }
    }
}

static void ref_typical(struct reference *r, double p)
{
    double entropy = 0;
    normalize(r, 1);
    for (size_t i = 0; i < r->n; i++)
        entropy -= r->list[i].p > 0 ? r->list[i].p * log(r->list[i].p) : 0;
    for (size_t i = 0; i < r->n; i++)
        r->list[i].score = fabs(-log(r->list[i].p) - entropy);
    qsort(r->list, r->n, sizeof *r->list, by_score);
    keep_until(r, p);
    qsort(r->list, r->n, sizeof *r->list, by_logit);
}

static void ref_penalties(double *logits, const struct sampling *p, const int32_t *tokens,
                          size_t n_tokens)
{
    static int counts[VOCAB_MAX];
    memset(counts, 0, sizeof counts);
    size_t n = n_tokens < p->repetition_window ? n_tokens : p->repetition_window;
    for (size_t i = n_tokens - n; i < n_tokens; i++)
        counts[tokens[i]] += i >= p->penalties_from;
    for (size_t i = 0; i < VOCAB_MAX; i++) {
        if (counts[i] == 0)
            continue;
        double rp = (double)p->repetition_penalty;
        logits[i] = logits[i] > 0 ? logits[i] / rp : logits[i] * rp;
        logits[i] -= counts[i] * (double)p->frequency_penalty + (double)p->presence_penalty;
    }
}

static void ref_filter(struct reference *r, const float *logits, size_t n_vocab,
                       const struct sampling *p, const int32_t *tokens, size_t n_tokens)
{
    static double work[VOCAB_MAX];
    r->n = 0;
    r->doubt = INFINITY;
    for (size_t i = 0; i < n_vocab; i++)
        work[i] = (double)logits[i];
    for (size_t i = 0; i < p->n_biases; i++)
        work[p->biases[i].id] += (double)p->biases[i].bias;
    ref_penalties(work, p, tokens, n_tokens);
    for (size_t i = 0; i < n_vocab; i++)
        if (isfinite(work[i]))
            r->list[r->n++] = (struct entry){.logit = (double)(float)work[i], .id = (int)i};
    bool top_k = p->top_k > 0 && p->top_k < n_vocab;
    if (top_k || p->typical_p < 1 || p->top_p < 1)
        qsort(r->list, r->n, sizeof *r->list, by_logit);
    if (top_k && r->n > p->top_k)
        r->n = p->top_k;
    if (p->typical_p < 1)
        ref_typical(r, (double)p->typical_p);
    normalize(r, 1);
    if (p->top_p < 1)
        keep_until(r, (double)p->top_p);
    double max = 0;
    for (size_t i = 0; i < r->n; i++)
        max = fmax(max, r->list[i].p);
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (p->min_p > 0)
            doubt(r, r->list[i].p / max, (double)p->min_p);
        if (r->list[i].p >= (double)p->min_p * max)
            r->list[n++] = r->list[i];
    }
    r->n = n;
}

/* The id that u falls on, or -1 when it is too near a border to say. */
static int ref_draw(struct reference *r, const struct sampling *p, double u)
{
    if (r->doubt < 2e-5)
        return -1;
    normalize(r, (double)p->temperature);
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        sum += r->list[i].p;
        if (fabs(sum - u) < 2e-5)
            return -1;
        if (sum > u)
            return r->list[i].id;
    }
    return r->list[r->n - 1].id;
}

/* --- facts --- */

static void random_parameters(struct sampling *p, uint64_t *state, size_t n_vocab)
{
    static const float temperatures[] = {0.3f, 0.8f, 1, 1.7f, 5};
    *p = plain;
    p->temperature = temperatures[random_below(state, 5)];
    if (random_below(state, 2))
        p->top_k = 1 + random_below(state, (uint32_t)n_vocab + 5);
    if (random_below(state, 4) == 0)
        p->top_k = 40;
    if (random_below(state, 2))
        p->top_p = uniform(state);
    if (random_below(state, 2))
        p->min_p = 0.3f * uniform(state);
    if (random_below(state, 3) == 0)
        p->typical_p = 0.05f + 0.95f * uniform(state);
    if (random_below(state, 2)) {
        p->repetition_penalty = 0.5f + 2 * uniform(state);
        p->presence_penalty = 2 * uniform(state) - 1;
        p->frequency_penalty = 2 * uniform(state) - 1;
        p->repetition_window = random_below(state, 80);
        p->penalties_from = random_below(state, 2) ? random_below(state, 120) : 0;
    }
    p->seed = (uint64_t)random_below(state, UINT32_MAX) << 20;
    p->choice = random_below(state, 3);
}

START_TEST(every_mix_of_filters_agrees_with_the_definition)
{
    static const size_t sizes[] = {7, 32, 257, 2048, VOCAB_MAX};
    static const float spreads[] = {0.01f, 1, 4, 10, 6};
    size_t n_vocab = sizes[_i], n_decided = 0;
    float *logits = malloc(n_vocab * sizeof *logits);
    struct reference r = {.list = malloc(n_vocab * sizeof *r.list)};
    struct sampler *s = open_sampler(n_vocab);
    uint64_t state = 40 + (uint64_t)_i;
    enum { ROUNDS = 700 };
    for (int round = 0; round < ROUNDS; round++) {
        float spread = spreads[random_below(&state, 5)];
        for (size_t i = 0; i < n_vocab; i++)
            logits[i] = spread * (uniform(&state) + uniform(&state) - 1);
        for (size_t i = 0; round % 3 == 0 && i < n_vocab; i++)
            logits[i] = rintf(logits[i] * 2) / 2; /* many ties */
        int32_t tokens[100];
        size_t n_tokens = random_below(&state, 100);
        for (size_t i = 0; i < n_tokens; i++)
            tokens[i] = (int32_t)random_below(&state, (uint32_t)(n_vocab < 60 ? n_vocab : 60));
        struct logit_bias biases[] = {{1, 0.75f}, {3, -INFINITY}, {5, -2}};
        struct sampling p;
        random_parameters(&p, &state, n_vocab);
        if (random_below(&state, 2)) {
            p.biases = biases;
            p.n_biases = 3;
        }
        ref_filter(&r, logits, n_vocab, &p, tokens, n_tokens);
        int expected = ref_draw(&r, &p, philox_uniform(p.seed, p.choice, n_tokens));
        int got = draw(s, logits, &p, tokens, n_tokens);
        if (expected < 0)
            continue;
        ck_assert_msg(got == expected, "round %d: %d, not %d (k %u p %g min %g typ %g t %g)", round,
                      got, expected, p.top_k, (double)p.top_p, (double)p.min_p, (double)p.typical_p,
                      (double)p.temperature);
        n_decided++;
    }
    ck_assert_uint_gt(n_decided, n_vocab > 1000 ? ROUNDS / 4 : ROUNDS / 2);
    sampler_destroy(s);
    free(r.list);
    free(logits);
}
END_TEST

START_TEST(every_kernel_table_gives_the_same_ids_and_log_probabilities)
{
    enum { N = 3001 };
    static float logits[N];
    const struct kernels *ref;
    struct error err;
    ck_assert_int_eq(kernels_select(&ref, KERNELS_REF, &cpu, &err), STATUS_OK);
    struct sampler *a = open_sampler(N), *b;
    ck_assert_int_eq(sampler_create(&b, N, ref, &err), STATUS_OK);
    uint64_t state = 3;
    for (int round = 0; round < 400; round++) {
        struct sampling p;
        random_parameters(&p, &state, N);
        for (size_t i = 0; i < N; i++)
            logits[i] = 8 * (uniform(&state) + uniform(&state) - 1);
        const struct logit_bias ban = {17, -INFINITY};
        p.biases = &ban;
        p.n_biases = (size_t)round % 2;
        int32_t tokens[] = {1, 2, 3, 2};
        int32_t id = draw(a, logits, &p, tokens, 4);
        ck_assert_int_eq(id, draw(b, logits, &p, tokens, 4));
        struct logprob x[20], y[20];
        float lx = sampler_logprobs(a, logits, id, 20, x),
              ly = sampler_logprobs(b, logits, id, 20, y);
        ck_assert_int_eq(memcmp(&lx, &ly, sizeof lx), 0);
        ck_assert_int_eq(memcmp(x, y, sizeof x), 0);
    }
    sampler_destroy(a);
    sampler_destroy(b);
}
END_TEST

START_TEST(the_generator_is_philox_as_published)
{
    /* Known answers of the authors' Random123 library. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32(known[i].counter, known[i].key, out);
        ck_assert_int_eq(memcmp(out, known[i].out, sizeof out), 0);
    }
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert(philox_uniform(1, 0, i) >= 0 && philox_uniform(1, 0, i) < 1);
}
END_TEST

START_TEST(seed_choice_and_position_each_change_the_draw)
{
    enum { N = 1000 };
    static float logits[N]; /* all equal */
    struct sampler *s = open_sampler(N);
    int32_t tokens[8] = {0};
    struct sampling p = plain;
    int32_t first = draw(s, logits, &p, tokens, 4);
    ck_assert_int_eq(first, draw(s, logits, &p, tokens, 4));
    ck_assert_int_ne(first, draw(s, logits, &p, tokens, 5));
    p.choice = 1;
    ck_assert_int_ne(first, draw(s, logits, &p, tokens, 4));
    p.choice = 0;
    p.seed = 1;
    ck_assert_int_ne(first, draw(s, logits, &p, tokens, 4));
    sampler_destroy(s);
}
END_TEST

START_TEST(ids_come_as_often_as_their_probability_says)
{
    float logits[] = {logf(0.5f), logf(0.25f), logf(0.125f), logf(0.1f), logf(0.025f)};
    const double p_of[] = {0.5, 0.25, 0.125, 0.1, 0.025};
    enum { DRAWS = 20000 };
    int counts[5] = {0};
    struct sampler *s = open_sampler(5);
    struct sampling p = plain;
    for (p.seed = 0; p.seed < DRAWS; p.seed++)
        counts[draw(s, logits, &p, NULL, 0)]++;
    for (int i = 0; i < 5; i++) {
        double sigma = sqrt((double)DRAWS * p_of[i] * (1 - p_of[i]));
        ck_assert(fabs(counts[i] - (double)DRAWS * p_of[i]) < 5 * sigma);
    }
    sampler_destroy(s);
}
END_TEST

START_TEST(greedy_takes_the_highest_and_of_equals_the_lowest_id)
{
    float logits[100] = {0};
    logits[70] = logits[31] = logits[99] = 2;
    struct sampler *s = open_sampler(100);
    struct sampling p = plain;
    p.temperature = 0;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), 31);
    const struct logit_bias bias = {31, -0.5f};
    p.biases = &bias;
    p.n_biases = 1;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), 70);
    p.repetition_penalty = 4;
    p.repetition_window = 2;
    const int32_t tokens[] = {99, 70, 3};
    ck_assert_int_eq(draw(s, logits, &p, tokens, 3), 99);
    sampler_destroy(s);
}
END_TEST

START_TEST(the_window_reaches_back_no_further_than_asked)
{
    float logits[10] = {0, 0, 5, 4.9f};
    struct sampler *s = open_sampler(10);
    struct sampling p = plain;
    p.temperature = 0;
    p.presence_penalty = 1;
    const int32_t tokens[] = {2, 7, 8, 9};
    p.repetition_window = 3;
    ck_assert_int_eq(draw(s, logits, &p, tokens, 4), 2);
    p.repetition_window = 4;
    ck_assert_int_eq(draw(s, logits, &p, tokens, 4), 3);
    p.repetition_window = 0;
    ck_assert_int_eq(draw(s, logits, &p, tokens, 4), 2);
    sampler_destroy(s);
}
END_TEST

START_TEST(what_comes_before_the_answer_can_be_left_out)
{
    float logits[10] = {0, 0, 5, 4.9f};
    struct sampler *s = open_sampler(10);
    struct sampling p = plain;
    p.temperature = 0;
    p.presence_penalty = 1;
    p.repetition_window = 64;
    const int32_t tokens[] = {2, 7, 2, 9};
    static const int32_t expected[] = {3, 3, 3, 2, 2, 2}; /* by where the answer begins */
    for (size_t from = 0; from < 6; from++) {
        p.penalties_from = from;
        ck_assert_int_eq(draw(s, logits, &p, tokens, 4), expected[from]);
    }
    p.penalties_from = 2;
    p.repetition_window = 1; /* the shorter of both */
    ck_assert_int_eq(draw(s, logits, &p, tokens, 4), 2);
    sampler_destroy(s);
}
END_TEST

START_TEST(banned_ids_never_come)
{
    float logits[4] = {9, 8, 1, 0};
    struct sampler *s = open_sampler(4);
    const int32_t first = 0, second = 1; /* lists of two owners */
    const struct sampler_ids ban[] = {{&first, 1}, {&second, 1}};
    struct error err;
    struct sampling settings[3] = {plain, plain, plain};
    settings[1].temperature = 0;
    settings[2].top_k = 3;
    for (int k = 0; k < 3; k++)
        for (settings[k].seed = 0; settings[k].seed < 200; settings[k].seed++) {
            int32_t id;
            ck_assert_int_eq(sampler_draw(s, logits, &settings[k], NULL, 0, ban, 2, &id, &err),
                             STATUS_OK);
            ck_assert_int_ge(id, 2);
        }
    sampler_destroy(s);
}
END_TEST

START_TEST(logits_are_left_as_they_were_found)
{
    enum { N = 300 };
    float logits[N], before[N];
    struct logit_bias biases[] = {{2, 3}, {5, -INFINITY}, {9, 1}};
    const int32_t tokens[] = {5, 9, 9, 11}, ban_ids[] = {9, 20};
    const struct sampler_ids ban = {ban_ids, 2};
    struct sampler *s = open_sampler(N);
    uint64_t state = 5;
    for (size_t i = 0; i < N; i++)
        before[i] = logits[i] = uniform(&state);
    struct sampling p = plain;
    p.biases = biases;
    p.n_biases = 3;
    p.repetition_penalty = 1.5f;
    p.repetition_window = 64;
    int32_t id;
    struct error err;
    ck_assert_int_eq(sampler_draw(s, logits, &p, tokens, 4, &ban, 1, &id, &err), STATUS_OK);
    ck_assert_int_eq(memcmp(logits, before, sizeof logits), 0);
    sampler_destroy(s);
}
END_TEST

START_TEST(what_cannot_be_drawn_from_is_an_error)
{
    float logits[4] = {1, NAN, 2, 3};
    struct sampler *s = open_sampler(4);
    struct error err;
    int32_t id;
    ck_assert_int_eq(sampler_check(s, logits, &err), STATUS_INTERNAL);
    ck_assert_int_eq(sampler_draw(s, logits, &plain, NULL, 0, NULL, 0, &id, &err), STATUS_INTERNAL);
    logits[1] = INFINITY;
    ck_assert_int_eq(sampler_draw(s, logits, &plain, NULL, 0, NULL, 0, &id, &err), STATUS_INTERNAL);
    logits[1] = -INFINITY;
    ck_assert_int_eq(sampler_draw(s, logits, &plain, NULL, 0, NULL, 0, &id, &err), STATUS_INTERNAL);
    logits[1] = 0;
    ck_assert_int_eq(sampler_check(s, logits, &err), STATUS_OK);
    const int32_t all_ids[] = {0, 1, 2, 3};
    const struct sampler_ids all = {all_ids, 4};
    ck_assert_int_eq(sampler_draw(s, logits, &plain, NULL, 0, &all, 1, &id, &err), STATUS_INVALID);
    ck_assert_int_eq(sampler_draw(s, logits, &plain, NULL, 0, NULL, 0, &id, &err), STATUS_OK);
    sampler_destroy(s);
}
END_TEST

START_TEST(one_candidate_always_stays)
{
    float logits[50];
    uint64_t state = 8;
    struct sampler *s = open_sampler(50);
    for (size_t i = 0; i < 50; i++)
        logits[i] = uniform(&state);
    struct sampling greedy = plain, p = plain;
    greedy.temperature = 0;
    int32_t best = draw(s, logits, &greedy, NULL, 0);
    p.top_p = 0;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), best);
    p.top_p = 1;
    p.min_p = 1;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), best);
    p.min_p = 0;
    p.top_k = 1;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), best);
    p.typical_p = 0;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), best);
    p.top_k = 0;
    draw(s, logits, &p, NULL, 0);
    p = plain;
    p.temperature = 1e-30f;
    ck_assert_int_eq(draw(s, logits, &p, NULL, 0), best);
    sampler_destroy(s);
}
END_TEST

START_TEST(log_probabilities_are_those_of_the_untouched_distribution)
{
    static const size_t sizes[] = {5, 300, VOCAB_MAX};
    static float logits[VOCAB_MAX];
    static struct entry entries[VOCAB_MAX];
    size_t n = sizes[_i], n_top = n < 20 ? n : 20;
    uint64_t state = 77;
    struct sampler *s = open_sampler(n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        logits[i] = rintf(200 * (uniform(&state) + uniform(&state))) / 20; /* ties among them */
        entries[i] = (struct entry){.logit = (double)logits[i], .id = (int)i};
        sum += exp((double)logits[i]);
    }
    qsort(entries, n, sizeof *entries, by_logit);
    struct logprob top[20];
    float chosen = sampler_logprobs(s, logits, 3, n_top, top);
    ck_assert(fabs((double)chosen - ((double)logits[3] - log(sum))) < 1e-5);
    for (size_t i = 0; i < n_top; i++) {
        ck_assert_int_eq(top[i].id, entries[i].id);
        ck_assert(fabs((double)top[i].logprob - (entries[i].logit - log(sum))) < 1e-5);
    }
    sampler_destroy(s);
}
END_TEST

START_TEST(the_k_highest_are_those_of_a_full_sort)
{
    static float logits[VOCAB_MAX];
    static struct entry entries[VOCAB_MAX];
    static const size_t ks[] = {1, 2, 39, 40, 41, 300, 2600, VOCAB_MAX};
    struct arena arena;
    struct error err;
    struct candidates c;
    ck_assert_int_eq(arena_init(&arena, candidates_bytes(VOCAB_MAX), "a test", &err), STATUS_OK);
    ck_assert(candidates_init(&c, &arena, VOCAB_MAX, kernels));
    uint64_t state = 9;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < VOCAB_MAX; i++) {
            float x = 10 * uniform(&state) - 5;
            logits[i] = round % 2 ? rintf(x) : x;
            if (round % 4 == 3)
                logits[i] = i % 100 == 0 ? -0.0f : 0.0f;
            entries[i] = (struct entry){.logit = (double)logits[i], .id = (int)i};
        }
        qsort(entries, VOCAB_MAX, sizeof *entries, by_logit);
        for (size_t k = 0; k < sizeof ks / sizeof *ks; k++) {
            candidates_top(&c, logits, ks[k]);
            ck_assert_uint_eq(c.n, ks[k]);
            for (size_t i = 0; i < c.n; i++)
                ck_assert_int_eq(c.list[i].id, entries[i].id);
        }
    }
    arena_free(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampler");
    TCase *tc = tcase_create("sampler");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_mix_of_filters_agrees_with_the_definition, 0, 5);
    tcase_add_test(tc, every_kernel_table_gives_the_same_ids_and_log_probabilities);
    tcase_add_test(tc, the_generator_is_philox_as_published);
    tcase_add_test(tc, seed_choice_and_position_each_change_the_draw);
    tcase_add_test(tc, ids_come_as_often_as_their_probability_says);
    tcase_add_test(tc, greedy_takes_the_highest_and_of_equals_the_lowest_id);
    tcase_add_test(tc, the_window_reaches_back_no_further_than_asked);
    tcase_add_test(tc, what_comes_before_the_answer_can_be_left_out);
    tcase_add_test(tc, banned_ids_never_come);
    tcase_add_test(tc, logits_are_left_as_they_were_found);
    tcase_add_test(tc, what_cannot_be_drawn_from_is_an_error);
    tcase_add_test(tc, one_candidate_always_stays);
    tcase_add_loop_test(tc, log_probabilities_are_those_of_the_untouched_distribution, 0, 3);
    tcase_add_test(tc, the_k_highest_are_those_of_a_full_sort);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
