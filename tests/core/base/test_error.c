/* test_error.c - facts about errors: one line of valid UTF-8, whatever they quote. */
#include "base/error.h"
#include "base/utf8.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(status_text_and_param_are_set)
{
    struct error err = {0};
    ck_assert_int_eq(error_set(&err, STATUS_FORMAT, "key '%s' is %d", "x", 3), STATUS_FORMAT);
    ck_assert_int_eq(err.status, STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'x' is 3");
    ck_assert_str_eq(err.param, "");
    ck_assert_int_eq(error_set_param(&err, STATUS_INVALID, "max_tokens", "no"), STATUS_INVALID);
    ck_assert_str_eq(err.param, "max_tokens");
    ck_assert_str_eq(err.text, "no");
}
END_TEST

START_TEST(a_null_error_is_allowed)
{
    ck_assert_int_eq(error_set(NULL, STATUS_FULL, "x"), STATUS_FULL);
    ck_assert_int_eq(error_set_param(NULL, STATUS_FULL, "p", "x"), STATUS_FULL);
    ck_assert_int_eq(error_no_memory(NULL, 1, "x"), STATUS_NO_MEMORY);
    ck_assert_int_eq(error_errno(NULL, ENOENT, "x"), STATUS_IO);
}
END_TEST

START_TEST(controls_and_ill_formed_bytes_become_question_marks)
{
    struct error err;
    error_set(&err, STATUS_INVALID, "%s",
              "a\nb\tc\x1b[1m \x7f \xc2\x85 \xe2\x80\xa8 \xff\xfe \xc3\xa9 \xed\xa0\x80 "
              "\xf0\x9f\x98\x80");
    ck_assert_str_eq(err.text, "a?b?c?[1m ? ? ? ?? \xc3\xa9 ??? \xf0\x9f\x98\x80");
    error_set_param(&err, STATUS_INVALID, "a\rb", "%s", "");
    ck_assert_str_eq(err.param, "a?b");
}
END_TEST

START_TEST(long_text_is_cut_at_a_characters_border)
{
    /* Every length of a text of 2, 3 and 4 byte characters, around the end of the room. */
    static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[1000] = "";
            memset(text, '.', shift);
            while (strlen(text) < 990)
                memcpy(text + strlen(text), characters[c], strlen(characters[c]) + 1);
            struct error err;
            error_set_param(&err, STATUS_INVALID, text, "%s", text);
            ck_assert_uint_eq(utf8_check(err.text, strlen(err.text)), strlen(err.text));
            ck_assert_uint_eq(utf8_check(err.param, strlen(err.param)), strlen(err.param));
            ck_assert_uint_gt(strlen(err.text), sizeof err.text - 5);
            ck_assert_uint_gt(strlen(err.param), sizeof err.param - 5);
            ck_assert(memcmp(err.text, text, strlen(err.text)) == 0);
            ck_assert(strchr(err.text, '?') == NULL && strchr(err.param, '?') == NULL);
        }
    }
}
END_TEST

START_TEST(an_error_may_quote_itself)
{
    struct error err;
    error_set(&err, STATUS_IO, "inner");
    error_set(&err, STATUS_FORMAT, "outer: %s", err.text);
    ck_assert_str_eq(err.text, "outer: inner");
}
END_TEST

START_TEST(memory_and_errno_have_their_forms)
{
    struct error err;
    error_no_memory(&err, 4096, "the arena");
    ck_assert_int_eq(err.status, STATUS_NO_MEMORY);
    ck_assert_str_eq(err.text, "out of memory: 4096 bytes for the arena");
    error_errno(&err, ENOENT, "%s", "/no/file");
    ck_assert_int_eq(err.status, STATUS_IO);
    ck_assert_str_eq(err.text, "/no/file: No such file or directory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, status_text_and_param_are_set);
    tcase_add_test(tc, a_null_error_is_allowed);
    tcase_add_test(tc, controls_and_ill_formed_bytes_become_question_marks);
    tcase_add_test(tc, long_text_is_cut_at_a_characters_border);
    tcase_add_test(tc, an_error_may_quote_itself);
    tcase_add_test(tc, memory_and_errno_have_their_forms);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
