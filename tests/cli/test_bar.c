/* test_bar.c - facts about the line of progress: what it says, and that it never wraps. */
#include "cli/bar.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct bar bar = {.what = "quantizing", .unit = "MiB"};
static char line[BAR_LINE_MAX];

static const char *draw(size_t done, size_t total, double seconds, const char *note,
                        size_t n_columns)
{
    bar_line(line, &bar, done, total, seconds, note, n_columns);
    return line;
}

START_TEST(a_line_has_bar_share_amount_rate_time_and_note)
{
    ck_assert_str_eq(draw(50, 100, 2, "blk.1.attn_q.weight", 120),
                     "quantizing: [############............]  50 % 50 of 100 MiB, 25.0 MiB/s, "
                     "2 s left, blk.1.attn_q.weight");
}
END_TEST

START_TEST(what_was_there_before_is_no_part_of_the_rate)
{
    const struct bar resumed = {.what = "pulling", .unit = "MiB", .base = 40};
    bar_line(line, &resumed, 50, 100, 2, "", 120);
    ck_assert_ptr_nonnull(strstr(line, " 50 % 50 of 100 MiB, 5.00 MiB/s, 10 s left"));
}
END_TEST

START_TEST(what_does_not_fit_goes_the_note_first)
{
    ck_assert_ptr_null(strstr(draw(50, 100, 2, "blk.1.attn_q.weight", 80), "blk"));
    ck_assert_ptr_nonnull(strstr(line, "[####"));
    ck_assert_str_eq(draw(50, 100, 2, "blk", 60),
                     "quantizing: 50 of 100 MiB, 25.0 MiB/s, 2 s left");
}
END_TEST

START_TEST(no_line_is_as_wide_as_the_terminal)
{
    for (size_t n_columns = 1; n_columns < 600; n_columns++) {
        char note[300];
        memset(note, 'n', sizeof note - 1);
        note[sizeof note - 1] = '\0';
        size_t width = strlen(draw(123456789, 987654321, 1234.5, note, n_columns));
        ck_assert_uint_lt(width, n_columns);
        ck_assert_uint_lt(width, BAR_LINE_MAX);
    }
}
END_TEST

START_TEST(nothing_done_and_too_much_done_are_no_division)
{
    ck_assert_str_eq(draw(0, 100, 0, "", 60),
                     "quantizing: [........................]   0 % 0 of 100 "
                     "MiB");
    ck_assert_ptr_nonnull(strstr(draw(7, 5, 1, "", 100), "100 % 7 of 5 MiB"));
    ck_assert_str_eq(draw(7, 0, 1, "", 100), "quantizing: 7 of 0 MiB");
}
END_TEST

START_TEST(time_left_has_units_people_use)
{
    ck_assert_ptr_nonnull(strstr(draw(1, 91, 1, "", 100), ", 90 s left"));
    ck_assert_ptr_nonnull(strstr(draw(1, 201, 1, "", 100), ", 3 min 20 s left"));
    ck_assert_ptr_nonnull(strstr(draw(1, 7501, 1, "", 100), ", 2 h 5 min left"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bar");
    TCase *tcase = tcase_create("bar");
    tcase_add_test(tcase, a_line_has_bar_share_amount_rate_time_and_note);
    tcase_add_test(tcase, what_was_there_before_is_no_part_of_the_rate);
    tcase_add_test(tcase, what_does_not_fit_goes_the_note_first);
    tcase_add_test(tcase, no_line_is_as_wide_as_the_terminal);
    tcase_add_test(tcase, nothing_done_and_too_much_done_are_no_division);
    tcase_add_test(tcase, time_left_has_units_people_use);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
