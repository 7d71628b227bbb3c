/* test_markdown.c - facts about what a terminal shows of Markdown: aligned, and never too wide. */
#include "cli/markdown.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char table[] = "| name | a | bb | ccc |  |\n"
                            "|---|---:|---:|---:|---|\n"
                            "| first | 1 | 22 | 333 | #### |\n"
                            "| second one | 4444 | 5 | 6 | # |\n";

static char *align(const char *text, size_t n_places)
{
    char *out = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&out, &n);
    ck_assert_ptr_nonnull(file);
    markdown_align(file, text, n_places);
    fclose(file);
    return out;
}

static void becomes(const char *text, size_t n_places, const char *expected)
{
    char *out = align(text, n_places);
    ck_assert_str_eq(out, expected);
    free(out);
}

START_TEST(cells_are_padded_to_their_columns)
{
    becomes(table, 80,
            "| name       |    a | bb | ccc |      |\n"
            "|------------|-----:|---:|----:|------|\n"
            "| first      |    1 | 22 | 333 | #### |\n"
            "| second one | 4444 |  5 |   6 | #    |\n");
}
END_TEST

START_TEST(bars_go_first)
{
    becomes(table, 36,
            "| name       |    a | bb | ccc |\n"
            "|------------|-----:|---:|----:|\n"
            "| first      |    1 | 22 | 333 |\n"
            "| second one | 4444 |  5 |   6 |\n");
}
END_TEST

START_TEST(then_a_table_is_continued_below_with_its_names)
{
    becomes(table, 26,
            "| name       |    a | bb |\n"
            "|------------|-----:|---:|\n"
            "| first      |    1 | 22 |\n"
            "| second one | 4444 |  5 |\n"
            "\n"
            "| name       | ccc |\n"
            "|------------|----:|\n"
            "| first      | 333 |\n"
            "| second one |   6 |\n");
}
END_TEST

START_TEST(lines_are_broken_at_spaces_below_their_marks)
{
    becomes(
        "one two three four\n\n- five six seven\n  - eight nine ten\n10. eleven twelve\n", 11,
        "one two\nthree four\n\n- five six\n  seven\n  - eight\n    nine\n    ten\n10. eleven\n    "
        "twelve\n");
    becomes("a bb  ccc\n", 80, "a bb  ccc\n");
    becomes("wordthatistoolong and more\n", 8, "wordthatistoolong\nand more\n");
    becomes("\033[1mone\033[0m two\n", 7, "\033[1mone\033[0m two\n");
    becomes("no newline", 80, "no newline\n");
}
END_TEST

START_TEST(nothing_is_lost_and_nothing_too_wide_at_any_width)
{
    for (size_t n_places = 17; n_places < 60; n_places++) {
        char *out = align(table, n_places);
        ck_assert_ptr_nonnull(strstr(out, "333"));
        ck_assert_ptr_nonnull(strstr(out, "4444"));
        for (const char *line = out; *line != '\0'; line += strcspn(line, "\n") + 1)
            ck_assert_uint_le(strcspn(line, "\n"), n_places > 21 ? n_places : 21);
        free(out);
    }
    becomes("", 80, "");
    becomes("| a\n", 80, "|\n"); /* a row without an end has no cell */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("markdown");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, cells_are_padded_to_their_columns);
    tcase_add_test(facts, bars_go_first);
    tcase_add_test(facts, then_a_table_is_continued_below_with_its_names);
    tcase_add_test(facts, lines_are_broken_at_spaces_below_their_marks);
    tcase_add_test(facts, nothing_is_lost_and_nothing_too_wide_at_any_width);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
