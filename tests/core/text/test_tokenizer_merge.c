/* test_tokenizer_merge.c - facts about the merging: it joins what a plain search for the best pair
 * would join, and long texts take it no longer than they should.
 */
#include "vocabulary.h"

#include <limits.h>

static struct vocabulary v;

enum { MAX_SYMBOLS = 48, ROUNDS = 30 };

/* The plain way: look at all neighbours, join the best and leftmost pair, begin again. Returns the
 * ids' number. */
static size_t join_plainly(const struct vocabulary *vocabulary, bool is_spm, char symbols[][64],
                           size_t n)
{
    for (;;) {
        long best = LONG_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char joined[256] = "";
            long rank = LONG_MAX;
            append(joined, sizeof joined, symbols[i]);
            append(joined, sizeof joined, is_spm ? "" : " ");
            append(joined, sizeof joined, symbols[i + 1]);
            size_t n_known = is_spm ? vocabulary->n : vocabulary->n_merges;
            for (size_t k = 0; k < n_known && rank == LONG_MAX; k++)
                if (strcmp(is_spm ? vocabulary->texts[k] : vocabulary->merges[k], joined) == 0)
                    rank = is_spm ? -(long)vocabulary->scores[k] : (long)k;
            if (rank < best) {
                best = rank;
                at = i;
            }
        }
        if (best == LONG_MAX)
            return n;
        append(symbols[at], sizeof symbols[at], symbols[at + 1]);
        memmove(symbols[at + 1], symbols[at + 2], (n - at - 2) * sizeof symbols[0]);
        n--;
    }
}

static void compare_with_plain(struct tokenizer *t, bool is_spm, uint64_t *seed)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        char symbols[MAX_SYMBOLS][64], text[MAX_SYMBOLS + 1], expected[4096];
        size_t n = 1 + next_random(seed) % MAX_SYMBOLS, n_expected = 0;
        unsigned n_letters = 1 + next_random(seed) % 3;
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)('a' + (char)(next_random(seed) % n_letters));
            snprintf(symbols[i], sizeof symbols[i], "%c", text[i]);
        }
        text[n] = '\0';
        n = join_plainly(&v, is_spm, symbols, n);
        for (size_t i = 0; i < n; i++)
            n_expected += (size_t)snprintf(expected + n_expected, sizeof expected - n_expected,
                                           "%s%s", i ? "|" : "", symbols[i]);
        ck_assert_str_eq(tokens_of(t, text, 0), expected);
    }
}

START_TEST(sentencepiece_joins_as_the_plain_search_does)
{
    uint64_t seed = 5;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n_scores = 1 + next_random(&seed) % 12; /* few: many equal ones */
        begin_spm(&v, false);
        for (int c = 'a'; c <= 'c'; c++)
            add_entry(&v, (char[]){(char)c, '\0'}, -20, 1);
        for (unsigned i = 0; i < 40; i++) {
            char text[8] = "";
            unsigned n = 2 + next_random(&seed) % 5;
            for (unsigned k = 0; k < n; k++)
                text[k] = (char)('a' + (char)(next_random(&seed) % 3));
            add_entry(&v, text, -(float)(next_random(&seed) % n_scores), 1);
        }
        struct gguf_builder *b = build(&v);
        builder_bool(b, "tokenizer.ggml.add_space_prefix", false);
        struct tokenizer *t = created(b);
        compare_with_plain(t, true, &seed);
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(byte_level_joins_as_the_plain_search_does)
{
    uint64_t seed = 6;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin_bytes(&v, "gpt-2");
        for (unsigned i = 0; i < 40; i++) {
            /* Of letters and what earlier merges made; shuffled after, which training never does.
             */
            const char *parts[2];
            for (unsigned k = 0; k < 2; k++)
                parts[k] = v.n > 257 && next_random(&seed) % 2
                               ? v.texts[257 + next_random(&seed) % (uint32_t)(v.n - 257)]
                               : v.texts[1 + 'a' + next_random(&seed) % 3];
            if (strlen(parts[0]) + strlen(parts[1]) < 16)
                add_merge(&v, parts[0], parts[1]);
        }
        for (size_t i = v.n_merges; round % 2 && i-- > 1;) {
            char other[64];
            size_t k = next_random(&seed) % (uint32_t)(i + 1);
            memcpy(other, v.merges[i], sizeof other);
            memmove(v.merges[i], v.merges[k], sizeof other);
            memcpy(v.merges[k], other, sizeof other);
        }
        struct tokenizer *t = tokenizer_of(&v);
        compare_with_plain(t, false, &seed);
        tokenizer_destroy(t);
    }
}
END_TEST

/* A unit again and again, up to n bytes, there and back. */
static void repeat(struct tokenizer *t, const char *unit, size_t n, unsigned flags)
{
    size_t n_unit = strlen(unit);
    char *text = malloc(n + n_unit);
    ck_assert_ptr_nonnull(text);
    size_t n_text = (n + n_unit - 1) / n_unit * n_unit;
    for (size_t i = 0; i < n_text; i++)
        text[i] = unit[i % n_unit];
    ck_assert_msg(comes_back(t, text, n_text, flags), "'%s'", unit);
    free(text);
}

/* A mebibyte is what must work; a step that is not linear shows with a part of it as well. */
enum { MEBIBYTE = 1 << 20, LONG = MEBIBYTE / 16 };

static void long_texts(struct tokenizer *t, size_t n)
{
    static const char *const units[] = {" ", "a", "\xf0\x9f\xa6\x99", "\n"};
    static const char *const others[] = {"0",       "!",        "\t ", "<",   "</s>",
                                         "<|end|>", "\xc2\xa0", "aA",  " \n", "'s"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        repeat(t, units[i], n, 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        repeat(t, others[i], LONG, TOKENIZER_PARSE_SPECIAL);
}

/* Tokens of 2, 4, ... 32 of the same letter, spaces among them. */
START_TEST(a_mebibyte_of_one_thing_sentencepiece)
{
    static const char *const letters[] = {"a", "\xe2\x96\x81", "!", "<"};
    for (int scored = 0; scored < 2; scored++) {
        begin_spm(&v, true);
        for (size_t i = 0; i < 4; i++) {
            char text[64] = "";
            for (unsigned n = 1, power = 1; n <= 16; n++) {
                append(text, sizeof text, letters[i]);
                if (n == power) {
                    add_entry(&v, text, scored ? -(float)n : 0, 1);
                    power *= 2;
                }
            }
        }
        struct tokenizer *t = tokenizer_of(&v);
        long_texts(t, scored ? MEBIBYTE : LONG);
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(a_long_run_of_one_thing_by_every_rule_set)
{
    static const char *const names[] = {"gpt-2",     "smollm", "default",        "falcon",
                                        "llama-bpe", "tekken", "deepseek-coder", "deepseek-llm"};
    begin_bytes(&v, names[_i]);
    static const char *const letters[] = {"a", "\xc4\xa0", "!", "\xc4\x8a"};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", letters[i]);
        for (unsigned n = 1; n < 16; n *= 2) {
            char half[64];
            memcpy(half, text, sizeof half);
            add_merge(&v, half, half);
            append(text, sizeof text, half);
        }
    }
    struct tokenizer *t = tokenizer_of(&v);
    long_texts(t, _i == 0 ? MEBIBYTE : LONG);
    tokenizer_destroy(t);
}
END_TEST

/* A walk token by token would take the text's length times theirs. */
START_TEST(long_special_tokens_do_not_slow_a_text_down)
{
    static char text[4097];
    const char *tokens[34] = {"<unk>", "a"};
    static char specials[32][4097];
    for (size_t i = 0; i < 32; i++) {
        memset(specials[i], 'a', 4096);
        specials[i][4095 - i] = 'b';
        tokens[2 + i] = specials[i];
    }
    int32_t types[34] = {2, 1};
    for (size_t i = 2; i < 34; i++)
        types[i] = 4;
    struct gguf_builder *b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    builder_strings(b, "tokenizer.ggml.tokens", tokens, 34);
    builder_put(builder_array(b, "tokenizer.ggml.token_type", GGUF_I32, 34), types, sizeof types);
    builder_bool(b, "tokenizer.ggml.add_space_prefix", false);
    struct tokenizer *t = created(b);
    repeat(t, "a", MEBIBYTE, 0);
    memset(text, 'a', 4096);
    text[4095] = 'b';
    repeat(t, text, MEBIBYTE, 0);
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_merge");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 200);
    tcase_add_test(tc, sentencepiece_joins_as_the_plain_search_does);
    tcase_add_test(tc, byte_level_joins_as_the_plain_search_does);
    tcase_add_test(tc, a_mebibyte_of_one_thing_sentencepiece);
    tcase_add_loop_test(tc, a_long_run_of_one_thing_by_every_rule_set, 0, 8);
    tcase_add_test(tc, long_special_tokens_do_not_slow_a_text_down);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
