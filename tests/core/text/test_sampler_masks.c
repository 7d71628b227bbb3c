/* test_sampler_masks.c - a draw among the ids of a mask is the draw in which all others are banned,
 * bit for bit, whatever filters there are. */
#include "base/cpu.h"
#include "text/sampler.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB_MAX = 3000 };

static const struct kernels *kernels;

static void setup(void)
{
    struct cpu cpu;
    struct error err;
    cpu_detect(&cpu);
    ck_assert_int_eq(kernels_select(&kernels, KERNELS_AUTO, &cpu, &err), STATUS_OK);
}

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* So many of a hundred ids; at least one. Returns the others. */
static size_t make_mask(uint64_t *mask, int32_t *others, size_t n_vocab, uint32_t percent,
                        uint64_t *state)
{
    size_t n = 0;
    const size_t sure = next(state) % n_vocab;
    memset(mask, 0, (VOCAB_MAX / 64 + 1) * sizeof *mask);
    for (size_t i = 0; i < n_vocab; i++) {
        if (i == sure || next(state) % 100 < percent)
            mask[i / 64] |= (uint64_t)1 << i % 64;
        else
            others[n++] = (int32_t)i;
    }
    if (n_vocab % 64 != 0) /* what lies beyond says nothing */
        mask[n_vocab / 64] |= ~(((uint64_t)1 << n_vocab % 64) - 1);
    return n;
}

START_TEST(a_mask_bans_all_others)
{
    static const size_t sizes[] = {1, 63, 64, 65, 700, VOCAB_MAX};
    static const uint32_t densities[] = {0, 1, 30, 70, 99, 100};
    static float logits[VOCAB_MAX], before[VOCAB_MAX];
    static int32_t others[VOCAB_MAX];
    static uint64_t mask[VOCAB_MAX / 64 + 1];
    static const int32_t tokens[] = {0, 0, 5, 17, 40, 5};
    const struct logit_bias biases[] = {{0, 2}, {7, -INFINITY}, {50, 1}};
    uint64_t state = 9;
    struct sampling settings[8];
    for (size_t k = 0; k < 8; k++)
        settings[k] = (struct sampling){
            .temperature = 0.9f, .top_p = 1, .typical_p = 1, .repetition_penalty = 1};
    settings[0].temperature = 0;
    settings[2].top_k = 20;
    settings[3].top_p = 0.7f;
    settings[4].min_p = 0.2f;
    settings[5].typical_p = 0.8f;
    settings[6].repetition_penalty = 1.5f;
    settings[6].repetition_window = 4;
    settings[7].biases = biases;
    settings[7].n_biases = 3;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n_vocab = sizes[s];
        struct sampler *sampler;
        struct error err;
        ck_assert_int_eq(sampler_create(&sampler, n_vocab, kernels, &err), STATUS_OK);
        for (size_t i = 0; i < n_vocab; i++)
            before[i] = logits[i] = (float)(next(&state) % 1000) * 0.01f;
        for (size_t d = 0; d < 6 * 8; d++) {
            struct sampling *p = &settings[d % 8];
            const size_t n = make_mask(mask, others, n_vocab, densities[d / 8], &state);
            const struct sampler_ids ban = {others, n};
            int32_t expected = -1, id = -1;
            p->seed = next(&state);
            const size_t n_tokens = n_vocab > 50 ? 6 : 2;
            enum status banned =
                sampler_draw(sampler, logits, p, tokens, n_tokens, &ban, 1, &expected, &err);
            enum status masked =
                sampler_draw_among(sampler, logits, p, tokens, n_tokens, mask, &id, &err);
            ck_assert_int_eq(masked, banned);
            ck_assert_int_eq(id, expected);
            ck_assert_int_eq(memcmp(logits, before, n_vocab * sizeof *logits), 0);
        }
        sampler_destroy(sampler);
    }
}
END_TEST

START_TEST(an_empty_mask_is_an_error)
{
    const float logits[3] = {1, 2, 3};
    const uint64_t mask[1] = {0};
    const struct sampling p = {
        .temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1};
    struct sampler *sampler;
    struct error err;
    int32_t id;
    ck_assert_int_eq(sampler_create(&sampler, 3, kernels, &err), STATUS_OK);
    ck_assert_int_eq(sampler_draw_among(sampler, logits, &p, NULL, 0, mask, &id, &err),
                     STATUS_INVALID);
    sampler_destroy(sampler);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampler_masks");
    TCase *tests = tcase_create("masks");
    tcase_add_unchecked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_mask_bans_all_others);
    tcase_add_test(tests, an_empty_mask_is_an_error);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
