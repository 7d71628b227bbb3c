/* test_normalize.c - facts about canonical forms: what is composed, how long texts are taken, and
 * that special tokens are found before.
 */
#include "core/text/vocabulary.h"
#include "text/tokenizer/normalize.h"

static struct normalizer normalizer;

static const char *composed(const char *text)
{
    static char out[1024];
    const char *made;
    size_t n;
    struct error err = {0};
    ck_assert(normalizer_compose(&normalizer, text, strlen(text), &made, &n, &err) == STATUS_OK);
    ck_assert_uint_lt(n, sizeof out);
    ck_assert_uint_le(n, NORMALIZE_MAX_GROWTH * strlen(text));
    memcpy(out, made, n);
    out[n] = '\0';
    return out;
}

START_TEST(decomposed_letters_are_composed)
{
    static const struct {
        const char *text, *form;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"xe\xcc\x81y", "x\xc3\xa9y"},
        {"\xcc\x81", "\xcc\x81"},
        {"a\xcc\xa3\xcc\x86", "\xe1\xba\xb7"}, /* a, dot below, breve */
        {"a\xcc\x86\xcc\xa3", "\xe1\xba\xb7"}, /* the marks' order is canonical */
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"}, /* Hangul */
        {"\xe2\x84\xab", "\xc3\x85"},                             /* the sign of an angstrom */
        {"\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"},             /* never composed */
        {"\xf0\x9d\x85\xa0", "\xf0\x9d\x85\x98\xf0\x9d\x85\xa5\xf0\x9d\x85\xae"},
        {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"},
        {"\xc3\xa9\xc3\xa9 e\xcc\x81\xe6\x97\xa5", "\xc3\xa9\xc3\xa9 \xc3\xa9\xe6\x97\xa5"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(composed(rows[i].text), rows[i].form);
}
END_TEST

/* Runs of marks in the worst order, and long stretches that have no plain character. */
/* A character's bytes, without an end. */
static void put(char *out, const char *bytes)
{
    while (*bytes != '\0')
        *out++ = *bytes++;
}

START_TEST(long_texts_are_composed_as_short_ones)
{
    enum { N = 200000 };
    char *text = malloc(4 * N + 1);
    ck_assert_ptr_nonnull(text);
    size_t n = 0, n_made;
    const char *made;
    struct error err = {0};
    text[n++] = 'a';
    for (size_t i = 0; i < N; i++, n += 2)
        put(text + n, i % 2 ? "\xcc\xa3" : "\xcc\x81");
    ck_assert(normalizer_compose(&normalizer, text, n, &made, &n_made, &err) == STATUS_OK);
    ck_assert_uint_eq(n_made, 3 + n - 1 - 2); /* one dot below joins the letter */
    ck_assert(memcmp(made, "\xe1\xba\xa1\xcc\xa3\xcc\xa3", 7) == 0);
    n = 0;
    for (size_t i = 0; i < N; i++, n += 3)
        put(text + n, i % 1000 ? "\xe6\x97\xa5" : "\xe2\x84\xab");
    ck_assert(normalizer_compose(&normalizer, text, n, &made, &n_made, &err) == STATUS_OK);
    ck_assert_uint_eq(n_made, n - N / 1000);
    free(text);
}
END_TEST

START_TEST(models_that_normalize_give_equal_texts_equal_ids)
{
    static struct vocabulary v;
    static const char decomposed[] = "e\xcc\x81", whole[] = "\xc3\xa9";
    begin_bytes(&v, "qwen2");
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, decomposed, 0), "\xc3\x83|\xc2\xa9");
    ck_assert_str_eq(tokens_of(t, whole, 0), "\xc3\x83|\xc2\xa9");
    ck_assert_str_eq(tokens_of(t, decomposed, TOKENIZER_NO_NORMALIZE), "e|\xc3\x8c|\xc4\xa3");
    ck_assert(comes_back(t, decomposed, 3, TOKENIZER_NO_NORMALIZE));
    tokenizer_destroy(t);

    begin_bytes(&v, "llama-bpe"); /* which does not */
    t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, decomposed, 0), "e|\xc3\x8c|\xc4\xa3");
    tokenizer_destroy(t);

    begin_bytes(&v, "llama-bpe");
    struct gguf_builder *b = build(&v);
    builder_bool(b, "tokenizer.ggml.normalizer.nfc", true); /* some files say it */
    t = created(b);
    ck_assert_str_eq(tokens_of(t, decomposed, 0), "\xc3\x83|\xc2\xa9");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(special_tokens_are_found_before_and_split_what_is_composed)
{
    static struct vocabulary v;
    begin_bytes(&v, "qwen2");
    add_entry(&v, "<x>", 0, 3);
    add_entry(&v, "\xc3\x85", 0, 3); /* A with a ring: what an angstrom's sign becomes */
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "e<x>\xcc\x81", TOKENIZER_PARSE_SPECIAL),
                     "e|<x>|\xc3\x8c|\xc4\xa3");
    ck_assert_str_eq(tokens_of(t, "\xe2\x84\xab", TOKENIZER_PARSE_SPECIAL), "\xc3\x83|\xc4\xa7");
    /* A plain part stays one, wherever composing moves its bytes. */
    static const char text[] = "e\xcc\x81<x>e\xcc\x81<x>";
    struct tokenizer_span plain = {6, 12};
    int32_t ids[64];
    size_t n_ids = 0, n_special = 0;
    struct error err = {0};
    ck_assert(tokenizer_encode_around(t, text, sizeof text - 1, 0, &plain, 1, ids, &n_ids, &err) ==
              STATUS_OK);
    for (size_t i = 0; i < n_ids; i++)
        n_special += ids[i] == (int32_t)v.n - 2;
    ck_assert_uint_eq(n_special, 1);
    ck_assert_int_eq(ids[2], (int32_t)v.n - 2);
    tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("normalize");
    TCase *tc = tcase_create("normalize");
    tcase_add_test(tc, decomposed_letters_are_composed);
    tcase_add_test(tc, long_texts_are_composed_as_short_ones);
    tcase_add_test(tc, models_that_normalize_give_equal_texts_equal_ids);
    tcase_add_test(tc, special_tokens_are_found_before_and_split_what_is_composed);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
