/* test_append.c - facts about a text of parts: it is whole where it fits, and never beyond its
 * room. */
#include "base/append.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(parts_come_one_after_another)
{
    char out[16];
    size_t n = 0;
    append_text(out, sizeof out, &n, "%s", "one");
    append_text(out, sizeof out, &n, ", %d", 2);
    ck_assert_str_eq(out, "one, 2");
    ck_assert_uint_eq(n, 6);
}
END_TEST

START_TEST(what_does_not_fit_is_cut_at_the_room_whatever_follows)
{
    for (size_t room = 1; room < 12; room++) {
        char *out = malloc(room); /* exactly: a sanitizer sees a byte beyond */
        ck_assert_ptr_nonnull(out);
        size_t n = 0;
        for (int i = 0; i < 5; i++)
            append_text(out, room, &n, "abc");
        ck_assert_uint_eq(n, room - 1);
        ck_assert_uint_eq(strlen(out), room - 1);
        ck_assert(strncmp(out, "abcabcabcabc", room - 1) == 0);
        free(out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("append");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, parts_come_one_after_another);
    tcase_add_test(tc, what_does_not_fit_is_cut_at_the_room_whatever_follows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
