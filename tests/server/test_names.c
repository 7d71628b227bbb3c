/* test_names.c - facts about what a served model is called. */
#include "server/names.h"

#include <check.h>
#include <string.h>

static struct names names;

static enum status init(const char *given, const char *path)
{
    struct error err;
    return names_init(&names, given, path, "smallmind-tiny", &err);
}

START_TEST(without_a_setting_it_is_the_files_name)
{
    static const char *const rows[][2] = {
        {"/models/Qwen3-0.6B.Q8_0.gguf", "Qwen3-0.6B.Q8_0"},
        {"model.gguf", "model"},
        {"dir.gguf/plain", "plain"},
        {"big-00001-of-00003.gguf", "big"},
        {"big-0001-of-00003.gguf", "big-0001-of-00003"},
        {"-00001-of-00003.gguf", "-00001-of-00003"},
        {".gguf", ".gguf"},
        {"builtin", "smallmind-tiny"},
        {"./builtin", "builtin"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_eq(init(NULL, rows[i][0]), STATUS_OK);
        ck_assert_uint_eq(names.n, 1);
        ck_assert_str_eq(names.list[0], rows[i][1]);
    }
}
END_TEST

START_TEST(the_first_given_name_is_the_one_that_answers_carry)
{
    ck_assert_int_eq(init("tiny,gpt-4o,a b", "x.gguf"), STATUS_OK);
    ck_assert_uint_eq(names.n, 3);
    ck_assert_str_eq(names.list[0], "tiny");
    ck_assert(names_has(&names, "gpt-4o"));
    ck_assert(names_has(&names, "a b"));
    ck_assert(!names_has(&names, "x"));
    ck_assert(!names_has(&names, ""));
}
END_TEST

START_TEST(a_name_is_the_same_with_the_tag_of_the_latest)
{
    ck_assert_int_eq(init("tiny,other:1b,third:latest", "x.gguf"), STATUS_OK);
    ck_assert(names_has(&names, "tiny:latest"));
    ck_assert(names_has(&names, "third"));
    ck_assert(names_has(&names, "third:latest"));
    ck_assert(names_has(&names, "other:1b:latest"));
    ck_assert(!names_has(&names, "other"));
    ck_assert(!names_has(&names, "other:latest"));
    ck_assert(!names_has(&names, "tiny:1b"));
    ck_assert(!names_has(&names, ":latest"));
    ck_assert(!names_has(&names, "tiny:latest:latest"));
}
END_TEST

START_TEST(empty_and_endless_names_are_refused)
{
    char longest[2 * NAMES_BYTES_MAX];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(init("", "x.gguf"), STATUS_INVALID);
    ck_assert_int_eq(init("a,,b", "x.gguf"), STATUS_INVALID);
    ck_assert_int_eq(init("a,", "x.gguf"), STATUS_INVALID);
    ck_assert_int_eq(init(longest, "x.gguf"), STATUS_INVALID);
    ck_assert_int_eq(init("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "x.gguf"), STATUS_OK);
    ck_assert_int_eq(init("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "x.gguf"), STATUS_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server/names");
    TCase *tests = tcase_create("names");
    tcase_add_test(tests, without_a_setting_it_is_the_files_name);
    tcase_add_test(tests, the_first_given_name_is_the_one_that_answers_carry);
    tcase_add_test(tests, a_name_is_the_same_with_the_tag_of_the_latest);
    tcase_add_test(tests, empty_and_endless_names_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
