/* test_tokenizer_wordpiece.c - facts about BERT's words and pieces. */
#include "core/text/vocabulary.h"

static struct vocabulary v;
static int32_t unk, cls, sep;

/* Pieces as a GGUF writes them: "_" begins a word. */
static void begin_bert(void)
{
    static const char *const pieces[] = {"_hello", "_un", "aff", "able", "_a",
                                         "_b",     "b",   "_,",  "_!",   "_e",
                                         "_the",   "_ss", "ss",  "_i",   "_\xe6\x97\xa5"};
    memset(&v, 0, sizeof v);
    v.model = "bert";
    add_entry(&v, "[PAD]", 0, 3);
    unk = add_entry(&v, "[UNK]", 0, 3);
    cls = add_entry(&v, "[CLS]", 0, 3);
    sep = add_entry(&v, "[SEP]", 0, 3);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        char text[64];
        const char *piece = pieces[i];
        snprintf(text, sizeof text, "%s%s", *piece == '_' ? "\xe2\x96\x81" : "",
                 piece + (*piece == '_'));
        add_entry(&v, text, 0, 1);
    }
    v.no_scores = true;
}

static struct gguf_builder *built(void)
{
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.unknown_token_id", (uint32_t)unk);
    builder_u32(b, "tokenizer.ggml.cls_token_id", (uint32_t)cls);
    builder_u32(b, "tokenizer.ggml.seperator_token_id", (uint32_t)sep);
    return b;
}

static struct tokenizer *bert(void)
{
    begin_bert();
    return created(built());
}

/* With "_" for U+2581. */
static const char *words_of(const struct tokenizer *t, const char *text, unsigned flags)
{
    static char out[4096];
    const char *from = tokens_of(t, text, flags);
    size_t n = 0;
    while (*from) {
        bool mark = strncmp(from, "\xe2\x96\x81", 3) == 0;
        out[n++] = mark ? '_' : *from;
        from += mark ? 3 : 1;
    }
    out[n] = '\0';
    return out;
}

START_TEST(words_are_cut_into_the_longest_pieces)
{
    struct tokenizer *t = bert();
    ck_assert_str_eq(tokenizer_model(t), "bert");
    ck_assert_str_eq(words_of(t, "hello unaffable", 0), "_hello|_un|aff|able");
    ck_assert_str_eq(words_of(t, "  hello\t\r\n the ", 0), "_hello|_the");
    ck_assert_str_eq(words_of(t, "unaffablez the", 0), "[UNK]|_the");
    ck_assert_str_eq(words_of(t, "", 0), "");
    ck_assert_str_eq(words_of(t, " \n", 0), "");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(signs_and_ideographs_are_words_by_themselves)
{
    struct tokenizer *t = bert();
    ck_assert_str_eq(words_of(t, "hello,the!", 0), "_hello|_,|_the|_!");
    ck_assert_str_eq(words_of(t, "the\xe6\x97\xa5the\xe6\x9c\xac", 0),
                     "_the|_\xe6\x97\xa5|_the|[UNK]");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(case_and_accents_go_as_the_file_says)
{
    struct tokenizer *t = bert();
    ck_assert_str_eq(words_of(t, "HELLO The", 0), "_hello|_the");
    ck_assert_str_eq(words_of(t, "h\xc3\xa9llo he\xcc\x81llo", 0), "_hello|_hello");
    ck_assert_str_eq(words_of(t, "\xc4\xb0", 0), "_i"); /* I with a dot */
    ck_assert_str_eq(words_of(t, "HELLO", TOKENIZER_NO_NORMALIZE), "[UNK]");
    tokenizer_destroy(t);

    begin_bert();
    struct gguf_builder *b = built();
    builder_bool(b, "tokenizer.ggml.normalizer.lowercase", false);
    t = created(b);
    ck_assert_str_eq(words_of(t, "hello HELLO h\xc3\xa9llo", 0), "_hello|[UNK]|[UNK]");
    tokenizer_destroy(t);

    begin_bert();
    b = built();
    builder_bool(b, "tokenizer.ggml.normalizer.strip_accents", false);
    t = created(b);
    ck_assert_str_eq(words_of(t, "HELLO h\xc3\xa9llo", 0), "_hello|[UNK]");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(controls_vanish_and_the_sign_of_a_words_start_is_no_start)
{
    struct tokenizer *t = bert();
    ck_assert_str_eq(words_of(t, "hel\x01lo\xc2\xad t\xef\xbf\xbdhe", 0), "_hello|_the");
    ck_assert_str_eq(words_of(t, "a\xe2\x96\x81the", 0), "[UNK]");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_hundred_characters_are_a_word_and_one_more_is_unknown)
{
    struct tokenizer *t = bert();
    char text[256];
    size_t n_ids;
    memset(text, 'b', sizeof text);
    int32_t *ids = ids_of(t, text, 100, 0, &n_ids);
    ck_assert_uint_eq(n_ids, 100);
    free(ids);
    ids = ids_of(t, text, 101, 0, &n_ids);
    ck_assert_uint_eq(n_ids, 1);
    ck_assert_int_eq(ids[0], unk);
    free(ids);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(cls_and_sep_stand_around_a_text)
{
    struct tokenizer *t = bert();
    ck_assert_int_eq(tokenizer_bos(t), cls);
    ck_assert_int_eq(tokenizer_sep(t), sep);
    ck_assert_str_eq(words_of(t, "the", TOKENIZER_ADD_SPECIAL), "[CLS]|_the|[SEP]");
    ck_assert_str_eq(words_of(t, "", TOKENIZER_ADD_SPECIAL), "[CLS]|[SEP]");
    ck_assert_str_eq(words_of(t, "the[SEP]a", TOKENIZER_PARSE_SPECIAL), "_the|[SEP]|_a");
    ck_assert_str_eq(words_of(t, "the[SEP]a", 0), "_the|[UNK]|[UNK]|[UNK]|_a");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(ids_decode_to_their_words)
{
    struct tokenizer *t = bert();
    ck_assert(comes_back(t, "hello unaffable the", 19, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_vocabulary_without_the_unknown_token_is_refused)
{
    begin_bert();
    struct gguf_builder *b = build(&v);
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_int_eq(create_built(b, &t, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "tokenizer.ggml.unknown_token_id");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_wordpiece");
    TCase *tc = tcase_create("wordpiece");
    tcase_add_test(tc, words_are_cut_into_the_longest_pieces);
    tcase_add_test(tc, signs_and_ideographs_are_words_by_themselves);
    tcase_add_test(tc, case_and_accents_go_as_the_file_says);
    tcase_add_test(tc, controls_vanish_and_the_sign_of_a_words_start_is_no_start);
    tcase_add_test(tc, a_hundred_characters_are_a_word_and_one_more_is_unknown);
    tcase_add_test(tc, cls_and_sep_stand_around_a_text);
    tcase_add_test(tc, ids_decode_to_their_words);
    tcase_add_test(tc, a_vocabulary_without_the_unknown_token_is_refused);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
