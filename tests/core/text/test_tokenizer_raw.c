/* test_tokenizer_raw.c - facts about BPE over characters, as Gemma 4 has it. */
#include "core/text/vocabulary.h"

static struct vocabulary v;

static void begin_gemma(void)
{
    begin_spm(&v, true);
    v.model = "gemma4";
    v.no_scores = true;
    static const char *const letters[] = {"\xe2\x96\x81", "a", "b", "c", "\n", "\n\n", "\n\n\n\n"};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        add_entry(&v, letters[i], 0, 1);
    add_merge(&v, "a", "b");
    add_merge(&v, "\xe2\x96\x81", "ab");
}

static struct gguf_builder *built(void)
{
    static const char *merges[VOCABULARY_MAX];
    struct gguf_builder *b = build(&v);
    for (size_t i = 0; i < v.n_merges; i++)
        merges[i] = v.merges[i];
    builder_strings(b, "tokenizer.ggml.merges", merges, v.n_merges);
    builder_u32(b, "tokenizer.ggml.bos_token_id", 1);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 2);
    return b;
}

START_TEST(characters_are_merged_and_others_become_bytes)
{
    begin_gemma();
    struct tokenizer *t = created(built());
    ck_assert_str_eq(tokenizer_model(t), "gemma4");
    ck_assert_str_eq(tokens_of(t, "ab ab", 0), "ab|\xe2\x96\x81\x61\x62");
    ck_assert_str_eq(tokens_of(t, " c\xc3\xa9", 0), "\xe2\x96\x81|c|<0xC3>|<0xA9>");
    ck_assert_str_eq(tokens_of(t, "", 0), "");
    ck_assert_str_eq(tokens_of(t, "a", TOKENIZER_ADD_SPECIAL), "<s>|a");
    ck_assert(comes_back(t, " ab\xc3\xa9  c\n\n\n", 11, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(newlines_are_the_longest_tokens_of_newlines)
{
    begin_gemma();
    struct tokenizer *t = created(built());
    ck_assert_str_eq(tokens_of(t, "a\nb", 0), "a|\n|b");
    ck_assert_str_eq(tokens_of(t, "a\n\n\nb", 0), "a|\n\n|\n|b");
    ck_assert_str_eq(tokens_of(t, "\n\n\n\n\n\n\n", 0), "\n\n\n\n|\n\n|\n");
    tokenizer_destroy(t);
}
END_TEST

/* Where merges have newlines, they say what becomes of them. */
START_TEST(merges_reach_over_newlines_that_they_name)
{
    begin_gemma();
    add_merge(&v, "\n", "a");
    struct tokenizer *t = created(built());
    ck_assert_str_eq(tokens_of(t, "c\na\n\n", 0), "c|\na|\n|\n");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(some_files_name_the_kind_as_a_pre_tokenizer)
{
    begin_gemma();
    v.model = "gpt2";
    v.pre = "gemma4";
    v.no_merges = true;
    struct tokenizer *t = created(built());
    ck_assert_str_eq(tokens_of(t, "ab ab", 0), "ab|\xe2\x96\x81\x61\x62");
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_raw");
    TCase *tc = tcase_create("raw");
    tcase_add_test(tc, characters_are_merged_and_others_become_bytes);
    tcase_add_test(tc, newlines_are_the_longest_tokens_of_newlines);
    tcase_add_test(tc, merges_reach_over_newlines_that_they_name);
    tcase_add_test(tc, some_files_name_the_kind_as_a_pre_tokenizer);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
