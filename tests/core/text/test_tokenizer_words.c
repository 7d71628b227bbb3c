/* test_tokenizer_words.c - facts about byte-level BPE: how each pre-tokenizer cuts a text into
 * words, and what becomes of the words.
 */
#include "text/tokenizer/pretokenizer.h"
#include "vocabulary.h"

static struct vocabulary v;

/* The words of a text with bars between: good until the next call. */
static const char *words_of(const char *pre, const char *text)
{
    static char out[1024];
    size_t n_out = 0;
    struct error err = {0};
    struct pretokenizer *pretokenizer = NULL;
    struct pretokenizer_run *run = NULL;
    ck_assert_msg(pretokenizer_create(&pretokenizer, pre, strlen(pre), &err) == STATUS_OK, "%s",
                  err.text);
    ck_assert_int_eq(pretokenizer_run_create(&run, pretokenizer, &err), STATUS_OK);
    ck_assert_int_eq(pretokenizer_run_start(run, text, strlen(text), &err), STATUS_OK);
    out[0] = '\0';
    for (;;) {
        const char *word;
        size_t n;
        ck_assert_int_eq(pretokenizer_run_next(run, &word, &n, &err), STATUS_OK);
        if (n == 0)
            break;
        n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "%s%.*s", n_out ? "|" : "",
                                  (int)n, word);
        ck_assert_uint_lt(n_out, sizeof out);
    }
    pretokenizer_run_destroy(run);
    pretokenizer_destroy(pretokenizer);
    return out;
}

START_TEST(gpt2_words)
{
    ck_assert_str_eq(words_of("gpt-2", "Hello, world! I'm 42."), "Hello|,| world|!| I|'m| 42|.");
    ck_assert_str_eq(words_of("gpt-2", "we'll they've I'd it's 'S"),
                     "we|'ll| they|'ve| I|'d| it|'s| '|S");
    ck_assert_str_eq(words_of("gpt-2", "a  b"), "a| | b");
    ck_assert_str_eq(words_of("gpt-2", "a   "), "a|   ");
    ck_assert_str_eq(words_of("gpt-2", "a\n\n\tb"), "a|\n\n|\t|b");
    ck_assert_str_eq(words_of("gpt-2", "  \n"), "  \n");
    ck_assert_str_eq(words_of("gpt-2", "\xc3\xa9t\xc3\xa9 \xc2\xbd\xc2\xb2"),
                     "\xc3\xa9t\xc3\xa9| \xc2\xbd\xc2\xb2");
    ck_assert_str_eq(words_of("gpt-2", ""), "");
    ck_assert_str_eq(words_of("mpt", "ab12"), "ab|12");
}
END_TEST

START_TEST(white_space_is_unicodes)
{
    ck_assert_str_eq(words_of("gpt-2", "a\xc2\xa0\xe3\x80\x80 b"), "a|\xc2\xa0\xe3\x80\x80| b");
    ck_assert_str_eq(words_of("gpt-2", "a\xc2\x85z"), "a|\xc2\x85|z"); /* next line */
    ck_assert_str_eq(words_of("gpt-2", "!\xe1\xa0\x8e!"),
                     "!\xe1\xa0\x8e!"); /* U+180E is none any more */
    ck_assert_str_eq(words_of("gpt-2", "!\xe2\x80\x8b!"),
                     "!\xe2\x80\x8b!"); /* nor is the zero width space */
    ck_assert_str_eq(words_of("gpt-2", "!\xe2\x80\xa8!"), "!|\xe2\x80\xa8|!"); /* line separator */
}
END_TEST

START_TEST(digits_stand_alone)
{
    static const char *const names[] = {"smollm", "refact", "starcoder", "command-r"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(words_of(names[i], "ab 123 c"), "ab| |1|2|3| c");
        ck_assert_str_eq(words_of(names[i], "x=\xd9\xa1\xd9\xa2"), "x|=|\xd9\xa1|\xd9\xa2");
        ck_assert_str_eq(words_of(names[i], "  7"),
                         "  |7"); /* the spaces do not see beyond their part */
    }
}
END_TEST

START_TEST(default_words)
{
    ck_assert_str_eq(words_of("default", "a+b, 'tis 12345"), "a|+|b|,| |'|tis| |123|45");
    ck_assert_str_eq(words_of("default", "it's"), "it|'|s");
    ck_assert_str_eq(words_of("default", "...!? 1234567"), "...!?| |123|456|7");
    ck_assert_str_eq(words_of("", "1234"), words_of("default", "1234"));
}
END_TEST

START_TEST(falcon_words)
{
    ck_assert_str_eq(words_of("falcon", "a`b` 3333"), "a|`|b|`| |333|3");
    ck_assert_str_eq(words_of("falcon", "3333"), "333|3");
}
END_TEST

START_TEST(llama3_and_qwen2_words)
{
    ck_assert_str_eq(words_of("llama-bpe", "I'M it'S 12345 (a)\n\n b"),
                     "I|'M| it|'S| |123|45| (|a|)\n\n| b");
    ck_assert_str_eq(words_of("llama-bpe", "\ta\t\tb"), "\ta|\t|\tb");
    ck_assert_str_eq(words_of("llama-bpe", " \n \n  x"), " \n \n| | x");
    ck_assert_str_eq(words_of("qwen2", "12345"), "1|2|3|4|5");
    ck_assert_str_eq(words_of("dbrx", "12345"), "123|45");
}
END_TEST

START_TEST(tekken_words)
{
    ck_assert_str_eq(words_of("tekken", "HelloWorld ABC abC"), "Hello|World| ABC| ab|C");
    ck_assert_str_eq(words_of("tekken", "a/b// 12"), "a|/b|//| |1|2");
}
END_TEST

START_TEST(deepseek_words)
{
    ck_assert_str_eq(words_of("deepseek-coder", "a b!? 12\n\nc"), "a| b|!?| |1|2|\n|\n|c");
    ck_assert_str_eq(words_of("deepseek-coder", "\xe4\xb8\xad\xe6\x96\x87"
                                                "1"),
                     "\xe4\xb8\xad\xe6\x96\x87|1");
    ck_assert_str_eq(words_of("deepseek-llm", "Ab cd, 123  \ne  "), "Ab| cd|,| |123|  |\n|e|  ");
    ck_assert_str_eq(words_of("deepseek-llm", "a   1   "), "a|   |1|   ");
}
END_TEST

START_TEST(an_unknown_name_is_refused_with_those_known)
{
    struct pretokenizer *pretokenizer = NULL;
    static const char *const names[] = {"gpt-3", "gpt", "gpt-2 ", "gpt-2 phi-2", " ", "GPT-2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error err = {0};
        ck_assert_int_eq(pretokenizer_create(&pretokenizer, names[i], strlen(names[i]), &err),
                         STATUS_UNSUPPORTED);
        ck_assert_str_eq(err.param, "tokenizer.ggml.pre");
        ck_assert_ptr_nonnull(strstr(err.text, "smollm"));
        ck_assert_ptr_nonnull(strstr(err.text, "deepseek-llm")); /* the last: nothing was cut */
    }
}
END_TEST

START_TEST(merges_are_made_in_their_order_inside_words)
{
    begin_bytes(&v, "gpt-2");
    add_merge(&v, "b", "c");
    add_merge(&v, "a", "b");
    add_merge(&v, "ab", "c");
    add_merge(&v, "\xc4\xa0", "a");
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "abc", 0), "a|bc");
    ck_assert_str_eq(tokens_of(t, "ab ab", 0), "ab|\xc4\xa0|ab");
    ck_assert_str_eq(tokens_of(t, "b a", 0), "b|\xc4\xa0"
                                             "a");
    ck_assert_str_eq(tokens_of(t, "ab\xc3\xa9", 0), "ab|\xc3\x83|\xc2\xa9");
    ck_assert_str_eq(tokenizer_pre(t), "gpt-2");
    ck_assert_str_eq(tokenizer_model(t), "gpt2");
    ck_assert(comes_back(t, "a b\tabc\r\n\x7f\xc2\xad", 12, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(the_first_of_equal_merges_counts)
{
    begin_bytes(&v, "gpt-2");
    add_merge(&v, "b", "c");
    add_merge(&v, "a", "b");
    add_merge(&v, "b", "c");
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "abc", 0), "a|bc");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_word_that_is_a_token_is_kept_where_the_rules_say_so)
{
    begin_bytes(&v, "llama-bpe");
    add_entry(&v,
              "\xc4\xa0"
              "abc",
              0, 1);
    add_entry(&v, "zz", 0, 3);
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.bos_token_id", 0);
    struct tokenizer *t = created(b);
    ck_assert(tokenizer_adds_bos(t));
    ck_assert_str_eq(tokens_of(t, "abc abc", TOKENIZER_ADD_SPECIAL), "<|end|>|a|b|c|\xc4\xa0"
                                                                     "abc");
    ck_assert_str_eq(tokens_of(t, "zz", 0), "z|z"); /* text never becomes control */
    tokenizer_destroy(t);
    v.pre = "gpt-2";
    t = tokenizer_of(&v);
    ck_assert(!tokenizer_adds_bos(t));
    ck_assert_str_eq(tokens_of(t, " abc", 0), "\xc4\xa0|a|b|c");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(an_absent_pre_tokenizer_is_the_default_one)
{
    begin_bytes(&v, NULL);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokenizer_pre(t), "default");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(special_tokens_in_a_byte_level_text)
{
    begin_bytes(&v, "gpt-2");
    add_entry(&v, "  ", 0, 4);
    add_entry(&v, "<\xc3\xa9>", 0, 3); /* written as it is, not in the alphabet of bytes */
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "a   b<|end|>", TOKENIZER_PARSE_SPECIAL),
                     "a|  |\xc4\xa0|b|<|end|>");
    ck_assert_str_eq(tokens_of(t, "<\xc3\xa9>", TOKENIZER_PARSE_SPECIAL), "<\xc3\xa9>");
    ck_assert_str_eq(tokens_of(t, "<\xc3\xa9>", 0), "<|\xc3\x83|\xc2\xa9|>");
    ck_assert(comes_back(t, "a   b<|end|> ", 13, TOKENIZER_PARSE_SPECIAL));
    ck_assert(comes_back(t, "a   b<|end|> ", 13, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(each_byte_has_its_piece)
{
    begin_bytes(&v, "gpt-2");
    struct tokenizer *t = tokenizer_of(&v);
    for (unsigned byte = 0; byte < 256; byte++) {
        struct gguf_string piece = tokenizer_piece(t, (int32_t)byte + 1, false);
        ck_assert_uint_eq(piece.n, 1);
        ck_assert_uint_eq((uint8_t)piece.bytes[0], byte);
    }
    ck_assert_uint_eq(tokenizer_piece(t, 0, false).n, 0);
    ck_assert_uint_eq(tokenizer_piece(t, 0, true).n, 7);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_byte_without_a_token_is_refused)
{
    begin_bytes(&v, "gpt-2");
    snprintf(v.texts[1 + 0xf1], sizeof v.texts[0], "other");
    struct tokenizer *t = tokenizer_of(&v);
    int32_t ids[64];
    size_t n_ids;
    struct error err = {0};
    ck_assert_int_eq(tokenizer_encode(t, "\xf1\x80\x80\x80", 4, 0, ids, &n_ids, &err),
                     STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "0xf1"));
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_words");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, gpt2_words);
    tcase_add_test(tc, white_space_is_unicodes);
    tcase_add_test(tc, digits_stand_alone);
    tcase_add_test(tc, default_words);
    tcase_add_test(tc, falcon_words);
    tcase_add_test(tc, llama3_and_qwen2_words);
    tcase_add_test(tc, tekken_words);
    tcase_add_test(tc, deepseek_words);
    tcase_add_test(tc, an_unknown_name_is_refused_with_those_known);
    tcase_add_test(tc, merges_are_made_in_their_order_inside_words);
    tcase_add_test(tc, the_first_of_equal_merges_counts);
    tcase_add_test(tc, a_word_that_is_a_token_is_kept_where_the_rules_say_so);
    tcase_add_test(tc, an_absent_pre_tokenizer_is_the_default_one);
    tcase_add_test(tc, special_tokens_in_a_byte_level_text);
    tcase_add_test(tc, each_byte_has_its_piece);
    tcase_add_test(tc, a_byte_without_a_token_is_refused);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
