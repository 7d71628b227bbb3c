/* test_trace.c - facts about traceparent: what joins a trace, and what is as good as absent. */
#include "server/trace/trace.h"

#include <check.h>
#include <stdlib.h>

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

START_TEST(a_trace_is_joined_as_a_span_of_its_own)
{
    struct trace trace;
    char text[TRACE_HEADER_MAX + 1];
    ck_assert(trace_join(&trace, "00-" TRACE "-" PARENT "-01", 0xabc));
    ck_assert_str_eq(trace.trace_id, TRACE);
    ck_assert_str_eq(trace.parent_id, PARENT);
    ck_assert_str_eq(trace.span_id, "0000000000000abc");
    trace_write(&trace, text);
    ck_assert_str_eq(text, "00-" TRACE "-0000000000000abc-01");
}
END_TEST

START_TEST(flags_that_are_unknown_are_not_passed_on)
{
    struct trace trace;
    char text[TRACE_HEADER_MAX + 1];
    ck_assert(trace_join(&trace, "00-" TRACE "-" PARENT "-ff", UINT64_MAX));
    trace_write(&trace, text);
    ck_assert_str_eq(text, "00-" TRACE "-ffffffffffffffff-03");
    ck_assert(trace_join(&trace, "00-" TRACE "-" PARENT "-f0", 1));
    ck_assert_uint_eq(trace.flags, 0);
}
END_TEST

START_TEST(a_later_version_is_read_as_far_as_it_is_known)
{
    struct trace trace;
    char text[TRACE_HEADER_MAX + 1];
    ck_assert(trace_join(&trace, "cc-" TRACE "-" PARENT "-01", 1));
    ck_assert(trace_join(&trace, "cc-" TRACE "-" PARENT "-01-", 1));
    ck_assert(trace_join(&trace, "cc-" TRACE "-" PARENT "-01-what the future will be like", 1));
    trace_write(&trace, text);
    ck_assert_str_eq(text, "00-" TRACE "-0000000000000001-01");
}
END_TEST

START_TEST(what_is_not_well_formed_is_as_good_as_absent)
{
    static const char *const bad[] = {
        NULL,
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-1",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-011",
        "cc-" TRACE "-" PARENT "-01.more",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "CC-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0x",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319-" PARENT "1-01",
        " 00-" TRACE "-" PARENT "-01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trace trace = {.trace_id = "left", .flags = 1};
        ck_assert_msg(!trace_join(&trace, bad[i], 1), "%zu", i);
        ck_assert_str_eq(trace.trace_id, "");
        ck_assert_uint_eq(trace.flags, 0);
    }
}
END_TEST

START_TEST(a_trace_that_is_begun_has_no_parent_and_is_sampled)
{
    struct trace trace;
    char header[TRACE_HEADER_MAX + 1];
    trace_begin(&trace, (const uint64_t[]){1, 0xab}, 0xcd);
    ck_assert_str_eq(trace.parent_id, "");
    trace_write(&trace, header);
    ck_assert_str_eq(header, "00-000000000000000100000000000000ab-00000000000000cd-03");
}
END_TEST

START_TEST(the_part_that_is_sampled_follows_from_the_id)
{
    static const struct {
        uint64_t low;
        double part;
        bool drawn;
    } cases[] = {
        {0, 1, true},
        {0, 0.999, false},
        {UINT64_MAX, 0, false},
        {UINT64_MAX, 0.001, true},
        {(uint64_t)1 << 55, 0.5, true},
        {((uint64_t)1 << 55) - 1, 0.5, false},
        {(uint64_t)0xff << 56, 0.5, false}, /* the first 8 bits do not count */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(trace_drawn((const uint64_t[]){9, cases[i].low}, cases[i].part) ==
                          cases[i].drawn,
                      "%zu", i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tests = tcase_create("trace");
    tcase_add_test(tests, a_trace_is_joined_as_a_span_of_its_own);
    tcase_add_test(tests, flags_that_are_unknown_are_not_passed_on);
    tcase_add_test(tests, a_later_version_is_read_as_far_as_it_is_known);
    tcase_add_test(tests, what_is_not_well_formed_is_as_good_as_absent);
    tcase_add_test(tests, a_trace_that_is_begun_has_no_parent_and_is_sampled);
    tcase_add_test(tests, the_part_that_is_sampled_follows_from_the_id);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
