/* test_tokenizer_classes.c - facts about character classes: the table against PCRE2's own Unicode
 * properties, and every code point's words, which must not depend on the machine's PCRE2.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/utf8.h"
#include "text/tokenizer/classes.h"
#include "text/tokenizer/pretokenizer.h"

#include <check.h>
#include <inttypes.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CODE_POINTS = 0x110000, SET_UNKNOWN = 255 };

static struct char_table *table_of_classes(void)
{
    struct error err = {0};
    struct char_table *table = NULL;
    ck_assert_msg(char_table_create(&table, LISTS_DEEPSEEK, &err) == STATUS_OK, "%s", err.text);
    return table;
}

static bool is_scalar(uint32_t cp)
{
    return cp < 0xd800 || cp > 0xdfff;
}

/* Every scalar value once, as text; the caller frees it. */
static char *every_character(size_t *n)
{
    char *text = malloc((size_t)4 * N_CODE_POINTS);
    ck_assert_ptr_nonnull(text);
    *n = 0;
    for (uint32_t cp = 0; cp < N_CODE_POINTS; cp++)
        if (is_scalar(cp))
            *n += utf8_encode(cp, text + *n);
    return text;
}

/* Gives kind to the code points that a pattern matches, one by one, by PCRE2's own properties. */
static void mark(uint8_t *kinds, const char *text, size_t n, const char *pattern, uint8_t kind)
{
    int code;
    PCRE2_SIZE at = 0;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    ck_assert_ptr_nonnull(compiled);
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    at = 0;
    while (pcre2_match(compiled, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, data, NULL) > 0) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
        for (at = ends[0]; at < ends[1];) {
            uint32_t cp;
            at += utf8_decode(text + at, ends[1] - at, &cp);
            kinds[cp] = kind;
        }
    }
    pcre2_match_data_free(data);
    pcre2_code_free(compiled);
}

static bool is_later_than_16(void)
{
    char version[32];
    return pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version) > 0 && atoi(version) > 16;
}

/* A character that this PCRE2 knows has the class that the table gives it. A later Unicode may move
 * a few characters to another class: those are printed. */
START_TEST(the_table_agrees_with_pcre2_on_each_character_that_it_knows)
{
    static const struct {
        const char *pattern;
        uint8_t kind;
    } sets[] = {{"[^\\p{Cn}]+", CHAR_OTHER},  {"\\p{Lu}+", CHAR_LU},         {"\\p{Lt}+", CHAR_LT},
                {"\\p{Lm}+", CHAR_LM},        {"\\p{Lo}+", CHAR_LO},         {"\\p{M}+", CHAR_M},
                {"\\p{Ll}+", CHAR_LL},        {"[\\p{Nl}\\p{No}]+", CHAR_N}, {"\\p{Nd}+", CHAR_ND},
                {"\\p{S}+", CHAR_S},          {"\\x{17f}", CHAR_LONG_S},     {"\\p{P}+", CHAR_P},
                {"[\\s\\x{85}]+", CHAR_SPACE}};
    size_t n;
    char *text = every_character(&n);
    uint8_t *kinds = malloc(N_CODE_POINTS);
    ck_assert_ptr_nonnull(kinds);
    memset(kinds, SET_UNKNOWN, N_CODE_POINTS);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        mark(kinds, text, n, sets[i].pattern, sets[i].kind);
    kinds[0x180e] = CHAR_OTHER; /* PCRE2's \s has it; White_Space does not since Unicode 6.3 */
    struct char_table *table = table_of_classes();
    size_t n_known = 0, n_differ = 0;
    for (uint32_t cp = 0; cp < N_CODE_POINTS; cp++) {
        if (kinds[cp] == SET_UNKNOWN)
            continue;
        n_known++;
        if (char_table_class(table, cp) != kinds[cp]) {
            printf("U+%04" PRIX32 ": the table says %d, PCRE2 %d\n", cp,
                   char_table_class(table, cp), kinds[cp]);
            n_differ++;
        }
    }
    ck_assert_uint_gt(n_known, 280000); /* Unicode 14's and the private ones */
    ck_assert_uint_le(n_differ, is_later_than_16() ? 16 : 0);
    char_table_destroy(table);
    free(kinds);
    free(text);
}
END_TEST

/* ASCII's sets stand in the patterns' macros, and must be the table's. */
START_TEST(the_sets_of_ascii_are_the_tables)
{
    static const struct {
        const char *set;
        unsigned classes;
    } sets[] = {
        {CLASS_L, 1u << CHAR_LU | 1u << CHAR_LT | 1u << CHAR_LM | 1u << CHAR_LO | 1u << CHAR_LL |
                      1u << CHAR_LONG_S},
        {CLASS_UPPER, 1u << CHAR_LU | 1u << CHAR_LT | 1u << CHAR_LM | 1u << CHAR_LO | 1u << CHAR_M},
        {CLASS_LOWER,
         1u << CHAR_LL | 1u << CHAR_LM | 1u << CHAR_LO | 1u << CHAR_M | 1u << CHAR_LONG_S},
        {CLASS_M, 1u << CHAR_M},
        {CLASS_S, 1u << CHAR_S},
        {CLASS_N, 1u << CHAR_N | 1u << CHAR_ND},
        {CLASS_P, 1u << CHAR_P},
        {CLASS_SPACE, 1u << CHAR_SPACE}};
    struct char_table *table = table_of_classes();
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        char pattern[512];
        int code;
        PCRE2_SIZE at;
        snprintf(pattern, sizeof pattern, "[%s]", sets[i].set);
        pcre2_code *compiled =
            pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
        ck_assert_ptr_nonnull(compiled);
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t subject = (uint8_t)byte;
            unsigned kind = byte < 0x80 ? char_table_class(table, byte) : byte & 0xf;
            bool is_in = kind < CHAR_CLASSES && sets[i].classes >> kind & 1;
            ck_assert_msg((pcre2_match(compiled, &subject, 1, 0, 0, data, NULL) > 0) == is_in,
                          "[%s] and byte 0x%02x", sets[i].set, byte);
        }
        pcre2_code_free(compiled);
    }
    pcre2_match_data_free(data);
    char_table_destroy(table);
}
END_TEST

static const char *const pre_names[] = {
    "gpt-2",    "smollm",         "default",      "falcon", "llama-bpe", "dbrx",        "qwen2",
    "tekken",   "deepseek-coder", "deepseek-llm", "qwen35", "gpt-4o",    "deepseek-v3", "kimi-k2",
    "minicpm5", "seed-coder",     "exaone-moe",   "youtu",  "spark2_5",  "afmoe",       "superbpe",
    "tiny_aya", "bloom",          "viking",       "laguna", "ufakzeka"};

/* FNV-1a over the offsets at which words end; the words must be the text, whole and in order. */
static uint64_t hash_of_words(const char *pre, const char *text, size_t n_text)
{
    struct error err = {0};
    struct pretokenizer *pretokenizer = NULL;
    struct pretokenizer_run *run = NULL;
    ck_assert_int_eq(pretokenizer_create(&pretokenizer, pre, strlen(pre), &err), STATUS_OK);
    ck_assert_int_eq(pretokenizer_run_create(&run, pretokenizer, &err), STATUS_OK);
    ck_assert_int_eq(pretokenizer_run_start(run, text, n_text, &err), STATUS_OK);
    uint64_t hash = 0xcbf29ce484222325;
    size_t at = 0;
    for (;;) {
        const char *word;
        size_t n;
        /* No assertion a word: each is a write to Check's pipe. */
        bool is_next = pretokenizer_run_next(run, &word, &n, &err) == STATUS_OK &&
                       (n == 0 || word == text + at);
        if (!is_next || n == 0)
            break;
        at += n;
        for (int shift = 0; shift < 32; shift += 8)
            hash = (hash ^ (at >> shift & 0xff)) * 0x100000001b3;
    }
    ck_assert_msg(at == n_text, "%s: words end at %zu of %zu: %s", pre, at, n_text, err.text);
    pretokenizer_run_destroy(run);
    pretokenizer_destroy(pretokenizer);
    return hash;
}

/* Each code point beside letters, digits, points and spaces. The numbers are one for all versions
 * of PCRE2; another version of Unicode changes them. */
START_TEST(every_code_points_words_are_the_same_on_each_machine)
{
    static const uint64_t expected[] = {
        0xd29152919fd1f2d5, 0xfb69c472534f32f5, 0xe6ae0754d65d566b, 0x980ad217dcce178a,
        0x7949414da4e5130d, 0x7949414da4e5130d, 0x7937b71ded8dd3f7, 0x66598b316867cc8f,
        0x059b515620e4ec65, 0x7c2da16499702b09, 0xf209d61b25cbadca, 0x08e6e9b8b0d273b9,
        0x74b1b45875bbf3c7, 0xaa33d1505a23cdde, 0x099a853826e3992a, 0xec2406ed28d826d3,
        0x0b06757b8aea99e2, 0x795172a93bfd789b, 0x4073338b01a02032, 0x447df8fb0f75cae9,
        0x472cb1d1ebb2834a, 0xa6ba63c93897f7a0, 0x518e07159e9cd085, 0x1f714e6e63c5dc50,
        0x71bc2c6a81ede2eb, 0x7937b71ded8dd3f7};
    static const char *const around[] = {"", "a", " ", "1", "(x", "!", "\n", "B "};
    size_t n = 0;
    char *text = malloc((size_t)6 * N_CODE_POINTS);
    ck_assert_ptr_nonnull(text);
    for (uint32_t cp = 0; cp < N_CODE_POINTS; cp++) {
        if (!is_scalar(cp))
            continue;
        n += utf8_encode(cp, text + n);
        const char *next = around[(cp ^ cp >> 3 ^ cp >> 9) % 8];
        for (; *next != '\0'; next++)
            text[n++] = *next;
    }
    ck_assert_uint_eq(sizeof expected / sizeof expected[0], sizeof pre_names / sizeof pre_names[0]);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        uint64_t hash = hash_of_words(pre_names[i], text, n);
        ck_assert_msg(hash == expected[i], "%s: 0x%016" PRIx64, pre_names[i], hash);
    }
    free(text);
}
END_TEST

/* What lengths a text's characters have must not shift a word's border. */
START_TEST(characters_of_all_lengths_keep_their_bytes)
{
    struct char_table *table = table_of_classes();
    static const char text[] = "a\xc3\xa9\xe4\xb8\xad\xf0\xb1\x8d\x93(\xf4\x8f\xbf\xbf";
    static const uint8_t expected[] = {
        'a', 0x80 + 16 * 1 + CHAR_LL, 0x80 + 16 * 4 + CHAR_LO, 0x80 + CHAR_LO, '(', 0x80};
    uint8_t out[sizeof text];
    size_t n = char_table_translate(table, text, sizeof text - 1, out);
    ck_assert_uint_eq(n, sizeof expected);
    ck_assert_mem_eq(out, expected, n);
    static const size_t ends[] = {0, 1, 3, 6, 10, 11, 15};
    for (size_t i = 0; i <= n; i++)
        ck_assert_uint_eq(chars_to_bytes(text, i), ends[i]);
    ck_assert_uint_eq(char_table_translate(table, text, 0, out), 0);
    char_table_destroy(table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_classes");
    TCase *tcase = tcase_create("classes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_table_agrees_with_pcre2_on_each_character_that_it_knows);
    tcase_add_test(tcase, the_sets_of_ascii_are_the_tables);
    tcase_add_test(tcase, every_code_points_words_are_the_same_on_each_machine);
    tcase_add_test(tcase, characters_of_all_lengths_keep_their_bytes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
