/* test_tokenizer_spm.c - facts about SentencePiece BPE, special tokens and the way back, on
 * vocabularies of a few entries. */
#include "vocabulary.h"

#define SPACE "\xe2\x96\x81"

static struct vocabulary v;

/* "a" "b" "c" and a space are tokens, "ab" and "abc" and " a" are made of them. */
static void letters(bool with_bytes)
{
    begin_spm(&v, with_bytes);
    add_entry(&v, "ab", -1, 1);
    add_entry(&v, SPACE "a", -2, 1);
    add_entry(&v, "abc", -3, 1);
    add_entry(&v, SPACE, -10, 1);
    add_entry(&v, "a", -11, 1);
    add_entry(&v, "b", -12, 1);
    add_entry(&v, "c", -13, 1);
}

START_TEST(the_highest_score_is_joined_first)
{
    letters(true);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "abc", 0), SPACE "|abc");
    ck_assert_str_eq(tokens_of(t, "ac", 0), SPACE "a|c");
    ck_assert_str_eq(tokens_of(t, "ab ac", 0), SPACE "|ab|" SPACE "a|c");
    ck_assert_str_eq(tokenizer_model(t), "llama");
    ck_assert_str_eq(tokenizer_pre(t), "");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(of_equal_scores_the_leftmost_is_joined_first)
{
    begin_spm(&v, true);
    add_entry(&v, "aa", -1, 1);
    add_entry(&v, "ab", -1, 1);
    add_entry(&v, "a", -5, 1);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "aaab", 0), "<0xE2>|<0x96>|<0x81>|aa|ab");
    ck_assert_str_eq(tokens_of(t, "aab", 0), "<0xE2>|<0x96>|<0x81>|aa|<0x62>");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_space_stands_in_front_unless_the_file_says_no)
{
    letters(true);
    struct gguf_builder *b = build(&v);
    builder_bool(b, "tokenizer.ggml.add_space_prefix", false);
    struct tokenizer *t = created(b);
    ck_assert_str_eq(tokens_of(t, "abc", 0), "abc");
    ck_assert_str_eq(tokens_of(t, " ab", 0), SPACE "|ab");
    ck_assert(comes_back(t, " a", 2, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(an_unknown_character_becomes_its_bytes)
{
    letters(true);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "a\xc3\xa9", 0), SPACE "a|<0xC3>|<0xA9>");
    ck_assert(comes_back(t, "a\xc3\xa9\n\xf0\x9f\xa6\x99", 8, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(without_byte_tokens_it_becomes_the_unknown_token)
{
    letters(false);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "a\xc3\xa9z", 0), SPACE "a|<unk>|<unk>");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(without_an_unknown_token_it_is_refused)
{
    letters(false);
    v.types[0] = 1;
    struct tokenizer *t = tokenizer_of(&v);
    int32_t ids[64];
    size_t n_ids = 77;
    struct error err = {0};
    ck_assert_int_eq(tokenizer_encode(t, "a\xc3\xa9", 3, 0, ids, &n_ids, &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "0xc3"));
    ck_assert_uint_eq(n_ids, 77);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(bos_and_eos_are_added_as_the_model_says)
{
    letters(true);
    struct gguf_builder *b = build(&v);
    struct tokenizer *t = created(b);
    ck_assert(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t));
    ck_assert_int_eq(tokenizer_bos(t), 1);
    ck_assert_int_eq(tokenizer_eos(t), 2);
    ck_assert_str_eq(tokens_of(t, "a", TOKENIZER_ADD_SPECIAL), "<s>|" SPACE "a");
    ck_assert_str_eq(tokens_of(t, "", TOKENIZER_ADD_SPECIAL), "<s>");
    ck_assert_str_eq(tokens_of(t, "", 0), "");
    tokenizer_destroy(t);
    b = build(&v);
    builder_bool(b, "tokenizer.ggml.add_bos_token", false);
    builder_bool(b, "tokenizer.ggml.add_eos_token", true);
    t = created(b);
    ck_assert_str_eq(tokens_of(t, "a", TOKENIZER_ADD_SPECIAL), SPACE "a|</s>");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(control_text_stays_text_unless_it_is_parsed)
{
    letters(true);
    add_entry(&v, "</", -20, 1); /* so that merging could come as far as </s> */
    add_entry(&v, "s>", -21, 1);
    add_entry(&v, "s", -30, 1);
    add_entry(&v, "<", -31, 1);
    add_entry(&v, "/", -32, 1);
    add_entry(&v, ">", -33, 1);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "a</s>b", 0), SPACE "a|</|s>|b");
    ck_assert_str_eq(tokens_of(t, "a</s>b", TOKENIZER_PARSE_SPECIAL), SPACE "a|</s>|" SPACE "|b");
    ck_assert_str_eq(tokens_of(t, "<0x41>", TOKENIZER_PARSE_SPECIAL),
                     SPACE "|<|<0x30>|<0x78>|<0x34>|<0x31>|>");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(decoding_takes_off_each_space_put_in_front)
{
    letters(true);
    struct tokenizer *t = tokenizer_of(&v);
    static const char *const texts[] = {
        "abc", " abc", "  a", "</s>a", "a</s>b</s></s> c", "</s>",         "<s>",
        "",    " ",    "\n",  "<unk>", "a<unk>b",          "<unk> <unk>a",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_msg(comes_back(t, texts[i], strlen(texts[i]), 0), "'%s'", texts[i]);
        ck_assert_msg(comes_back(t, texts[i], strlen(texts[i]), TOKENIZER_PARSE_SPECIAL), "'%s'",
                      texts[i]);
    }
    int32_t ids[8];
    size_t n_ids;
    struct error err;
    char out[64];
    ck_assert_int_eq(tokenizer_encode(t, "a", 1, TOKENIZER_ADD_SPECIAL, ids, &n_ids, &err),
                     STATUS_OK);
    ck_assert_uint_eq(tokenizer_decode(t, ids, n_ids, out), 4);
    ck_assert_mem_eq(out, "<s>a", 4);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(user_defined_tokens_are_always_found)
{
    letters(true);
    add_entry(&v, "ca", 0, 4);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "abcab", 0), SPACE "|ab|ca|" SPACE "|b");
    ck_assert(comes_back(t, "abcab", 5, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(of_special_tokens_the_leftmost_then_longest_is_taken)
{
    letters(true);
    add_entry(&v, "<x>", 0, 3);
    add_entry(&v, "<x><y>", 0, 3);
    add_entry(&v, "<y>", 0, 3);
    add_entry(&v, "><", 0, 3);
    add_entry(&v, "y><x", 0, 3);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "<x><y><y><x>", TOKENIZER_PARSE_SPECIAL), "<x><y>|<y>|<x>");
    ck_assert_str_eq(tokens_of(t, "<x><x>", TOKENIZER_PARSE_SPECIAL), "<x>|<x>");
    ck_assert_str_eq(tokens_of(t, "y><x><", TOKENIZER_PARSE_SPECIAL), "y><x|><");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(of_equal_entries_the_lowest_id_is_used)
{
    letters(true);
    int32_t second = add_entry(&v, "abc", 0, 1);
    add_entry(&v, "</s>", 0, 3);
    struct tokenizer *t = tokenizer_of(&v);
    size_t n_ids;
    int32_t *ids = ids_of(t, "abc", 3, 0, &n_ids);
    ck_assert_uint_eq(n_ids, 2);
    ck_assert_int_lt(ids[1], second);
    free(ids);
    ids = ids_of(t, "</s>", 4, TOKENIZER_PARSE_SPECIAL, &n_ids);
    ck_assert_uint_eq(n_ids, 1);
    ck_assert_int_eq(ids[0], 2);
    free(ids);
    ck_assert_uint_eq(tokenizer_piece(t, second, false).n, 3);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(without_types_bytes_and_special_ids_are_recognised)
{
    letters(true);
    v.no_types = true;
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.bos_token_id", 1);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 2);
    builder_u32(b, "tokenizer.ggml.unknown_token_id", 0);
    struct tokenizer *t = created(b);
    ck_assert(tokenizer_is_control(t, 1) && tokenizer_is_control(t, 2) &&
              tokenizer_is_control(t, 0));
    ck_assert(!tokenizer_is_control(t, 3) && tokenizer_is_end(t, 2));
    ck_assert_mem_eq(tokenizer_piece(t, 3 + 'x', false).bytes, "x", 1);
    ck_assert(comes_back(t, "</s>\xc3\xa9", 6, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(without_scores_the_leftmost_is_joined_first)
{
    letters(true);
    v.no_scores = true;
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "abc", 0), SPACE "a|b|c");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(pieces_are_the_text_of_tokens)
{
    letters(true);
    int32_t unused = add_entry(&v, "[PAD]", 0, 5);
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_uint_eq(tokenizer_n_vocab(t), v.n);
    ck_assert_uint_eq(tokenizer_piece(t, 1, false).n, 0);
    ck_assert_mem_eq(tokenizer_piece(t, 1, true).bytes, "<s>", 3);
    ck_assert_uint_eq(tokenizer_piece(t, 3, false).n, 1); /* <0x00> */
    ck_assert_int_eq(tokenizer_piece(t, 3, false).bytes[0], 0);
    ck_assert_uint_eq((uint8_t)tokenizer_piece(t, 3 + 255, false).bytes[0], 255);
    ck_assert_uint_eq(tokenizer_piece(t, 3 + 256 + 1, false).n, 2);
    ck_assert_mem_eq(tokenizer_piece(t, 3 + 256 + 1, false).bytes, " a", 2);
    ck_assert_uint_eq(tokenizer_piece(t, unused, false).n, 0);
    ck_assert_uint_eq(tokenizer_max_piece(t), 5);
    ck_assert_uint_eq(tokenizer_piece(t, -1, true).n, 0);
    ck_assert_uint_eq(tokenizer_piece(t, (int32_t)v.n, true).n, 0);
    ck_assert_uint_eq(tokenizer_entry(t, INT32_MAX).n, 0);
    ck_assert(!tokenizer_is_end(t, -1) && !tokenizer_is_control(t, INT32_MAX));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(generation_ends_at_eos_eot_eom_and_known_names)
{
    letters(true);
    int32_t eot = add_entry(&v, "<turn>", 0, 3), eom = add_entry(&v, "<message>", 0, 3);
    int32_t named = add_entry(&v, "<|im_end|>", 0, 4), other = add_entry(&v, "<|im_start|>", 0, 3);
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.eot_token_id", (uint32_t)eot);
    builder_u32(b, "tokenizer.ggml.eom_token_id", (uint32_t)eom);
    struct tokenizer *t = created(b);
    ck_assert(tokenizer_is_end(t, 2) && tokenizer_is_end(t, eot) && tokenizer_is_end(t, eom));
    ck_assert(tokenizer_is_end(t, named) && tokenizer_is_control(t, named));
    ck_assert(!tokenizer_is_end(t, 1) && !tokenizer_is_end(t, other));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(phi3_special_tokens_swallow_the_white_space_behind)
{
    letters(true);
    add_entry(&v, "<|end|>", 0, 3);
    struct gguf_builder *b = build(&v);
    builder_string(b, "general.name", "Phi-3 mini");
    struct tokenizer *t = created(b);
    ck_assert_str_eq(tokens_of(t, "<|end|>\n \tab", TOKENIZER_PARSE_SPECIAL),
                     "<|end|>|" SPACE "|ab");
    ck_assert_str_eq(tokens_of(t, "<|end|>\n<|end|> ", TOKENIZER_PARSE_SPECIAL), "<|end|>|<|end|>");
    ck_assert_str_eq(tokens_of(t, "<s> a", TOKENIZER_PARSE_SPECIAL), "<s>|" SPACE "|" SPACE "a");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_text_that_is_not_utf8_is_refused_by_the_byte)
{
    letters(true);
    struct tokenizer *t = tokenizer_of(&v);
    int32_t ids[64];
    size_t n_ids;
    struct error err = {0};
    ck_assert_int_eq(tokenizer_encode(t, "ab\xff", 3, 0, ids, &n_ids, &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "byte 2"));
    ck_assert_int_eq(tokenizer_encode(t, "a\xe2\x96", 3, 0, ids, &n_ids, &err), STATUS_INVALID);
    ck_assert_int_eq(tokenizer_encode(t, "\xed\xa0\x80", 3, 0, ids, &n_ids, &err), STATUS_INVALID);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(max_ids_holds_where_even_a_space_is_bytes)
{
    begin_spm(&v, true);
    add_entry(&v, "!", 0, 4);
    struct gguf_builder *b = build(&v);
    builder_bool(b, "tokenizer.ggml.add_eos_token", true);
    struct tokenizer *t = created(b);
    static const char *const texts[] = {"",         " ",    "!",    " ! ! ! !",
                                        "! ! ! ! ", "!!!!", "    ", "a b"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) { /* ids_of checks the bound */
        size_t n_ids;
        free(ids_of(t, texts[i], strlen(texts[i]), TOKENIZER_ADD_SPECIAL | TOKENIZER_PARSE_SPECIAL,
                    &n_ids));
    }
    ck_assert_uint_eq(tokenizer_max_ids(t, SIZE_MAX), SIZE_MAX);
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_spm");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, the_highest_score_is_joined_first);
    tcase_add_test(tc, of_equal_scores_the_leftmost_is_joined_first);
    tcase_add_test(tc, a_space_stands_in_front_unless_the_file_says_no);
    tcase_add_test(tc, an_unknown_character_becomes_its_bytes);
    tcase_add_test(tc, without_byte_tokens_it_becomes_the_unknown_token);
    tcase_add_test(tc, without_an_unknown_token_it_is_refused);
    tcase_add_test(tc, bos_and_eos_are_added_as_the_model_says);
    tcase_add_test(tc, control_text_stays_text_unless_it_is_parsed);
    tcase_add_test(tc, decoding_takes_off_each_space_put_in_front);
    tcase_add_test(tc, user_defined_tokens_are_always_found);
    tcase_add_test(tc, of_special_tokens_the_leftmost_then_longest_is_taken);
    tcase_add_test(tc, of_equal_entries_the_lowest_id_is_used);
    tcase_add_test(tc, without_types_bytes_and_special_ids_are_recognised);
    tcase_add_test(tc, without_scores_the_leftmost_is_joined_first);
    tcase_add_test(tc, pieces_are_the_text_of_tokens);
    tcase_add_test(tc, generation_ends_at_eos_eot_eom_and_known_names);
    tcase_add_test(tc, phi3_special_tokens_swallow_the_white_space_behind);
    tcase_add_test(tc, a_text_that_is_not_utf8_is_refused_by_the_byte);
    tcase_add_test(tc, max_ids_holds_where_even_a_space_is_bytes);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
